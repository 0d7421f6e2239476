"""Two arms on the same scenarios with equal numbers of tokens, and the halves that they are compared on.

Divergences of samples depend on how many tokens there are. So in every scenario the longer of the two texts
is cut, by a random choice of its tokens without replacement, to the length of the shorter one. What either
arm has of a set of scenarios then holds the same number of tokens, and swapping the arms of a scenario
changes no length.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi.intervals import Floats
from opoi.measures.words.views import Ints
from opoi.seeds import Stream

__all__ = ["LEAST_SCENARIOS", "NOTE_FEW", "SPLITS", "Bags", "Pairs", "Texts", "paired"]

SPLITS = 20
LEAST_SCENARIOS = 4
NOTE_FEW = f"fewer than {LEAST_SCENARIOS} scenarios with text in both arms"

Texts = Mapping[str, Ints]
"""Numbers of the tokens of each scenario."""

Flags = npt.NDArray[np.bool_]


class Bags(Struct, frozen=True, eq=False):
    """How often each type of token stands in each scenario: one entry for each that does.

    Attributes:
        scenario: Index of the scenario of each entry, ascending.
        type: Index of its type.
        count: How often it stands there, above 0.
        shape: Number of scenarios and of types.
    """

    scenario: Ints
    type: Ints
    count: Floats
    shape: tuple[int, int]

    def total(self, chosen: Flags) -> Floats:
        """Return the counts of all types over chosen scenarios; `chosen` has one flag per scenario."""
        return _sums(self.type, self.count * chosen[self.scenario], self.shape[1])

    def holders(self, chosen: Flags) -> Floats:
        """Return how many of the chosen scenarios hold each type."""
        return _sums(self.type, chosen[self.scenario].astype(np.float64), self.shape[1])

    def listed(self, worth: Floats) -> Floats:
        """Return the sum over the types that each scenario holds of what these are worth."""
        return _sums(self.scenario, worth[self.type], self.shape[0])


class Pairs(Struct, frozen=True, eq=False):
    """Two arms on the same scenarios, cut to equal lengths.

    Attributes:
        ids: The scenarios.
        base: The reference arm.
        arm: The other one.
        sizes: Tokens of each scenario, in either arm.
        halves: One row per split: whether each scenario is in the first half.
        rest: One row per split: whether it is in the second half (of an odd number, one is in neither).
    """

    ids: tuple[str, ...]
    base: Bags
    arm: Bags
    sizes: Floats
    halves: Flags
    rest: Flags

    @property
    def count(self) -> int:
        """Number of scenarios."""
        return len(self.sizes)


def _sums(places: Ints, amounts: Floats, length: int) -> Floats:
    return np.asarray(np.bincount(places, amounts, length), dtype=np.float64)


def paired(base: Texts, arm: Texts, stream: Stream) -> Pairs | int:
    """Return two arms on the scenarios where both have tokens; their number where these are too few.

    Args:
        base: Texts of the reference arm.
        arm: Texts of the other arm.
        stream: Where cuts and splits come from; they go by the place of a scenario among the ids in order.
    """
    ids = sorted(name for name in base if name in arm and len(base[name]) and len(arm[name]))
    if len(ids) < LEAST_SCENARIOS:
        return len(ids)
    lengths = [min(len(base[name]), len(arm[name])) for name in ids]
    cut = [
        [
            _cut(source[name], length, stream.at("cut", place))
            for place, (name, length) in enumerate(zip(ids, lengths, strict=True))
        ]
        for source in (base, arm)
    ]
    types, numbers = np.unique(np.concatenate([*cut[0], *cut[1]]), return_inverse=True)
    half = len(numbers) // 2
    sizes = np.array(lengths, dtype=np.int64)
    halves, rest = _split(len(ids), stream.at("split"))
    return Pairs(
        ids=tuple(ids),
        base=_bags(numbers[:half], sizes, len(types)),
        arm=_bags(numbers[half:], sizes, len(types)),
        sizes=sizes.astype(np.float64),
        halves=halves,
        rest=rest,
    )


def _cut(text: Ints, length: int, stream: Stream) -> Ints:
    """Return so many tokens of a text, each choice with the same probability."""
    if len(text) == length:
        return text
    draws = np.frombuffer(stream.raw(len(text)), dtype="<u8")
    return text[np.argsort(draws, kind="stable")[:length]]


def _split(count: int, stream: Stream) -> tuple[Flags, Flags]:
    """Return which scenarios are in the first, and in the second half of each split."""
    draws = np.frombuffer(stream.raw(SPLITS * count), dtype="<u8").reshape(SPLITS, count)
    ranks = np.argsort(np.argsort(draws, axis=1, kind="stable"), axis=1)
    half = count // 2
    return ranks < half, (ranks >= half) & (ranks < 2 * half)


def _bags(numbers: Ints, sizes: Ints, types: int) -> Bags:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    keys, counts = np.unique(owner * types + numbers, return_counts=True)
    return Bags(keys // types, keys % types, counts.astype(np.float64), (len(sizes), types))
