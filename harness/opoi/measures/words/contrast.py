"""How far an arm is from its base, beyond what two halves of the base are from each other.

The scenarios are split at random into halves H1 and H2. A distance d of two distributions of types gives
`d(base[H1], arm[H2])` and, as what chance gives at these lengths, `d(base[H1], base[H2])`; both are averaged
over the splits. A scenario never stands on both sides, so that what all texts about one scenario share cannot
make them look alike.

Intervals are linear: each scenario has a share in the estimate, and the interval is Student's. The share is
half of what the estimate changes by between counting the scenario twice and leaving it out. Its derivative
(the infinitesimal jackknife; Efron 1982, chapter 6) would be too small for words that one scenario alone
has, and leaving out alone (the jackknife) too large. A distance without sharp bends takes the derivative.
Resampling scenarios would make all distances larger, and takes a hundred times as long.

The p is of a permutation test: in each scenario the labels of the two arms are swapped or not, and d of all
scenarios of the one label and all of the other is compared with what it is under the true labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from opoi.intervals import Floats, rounded, t_quantile
from opoi.measures.words.pairs import Bags, Pairs
from opoi.measures.words.views import Ints
from opoi.seeds import Stream
from opoi.types import Measure

__all__ = [
    "PERMUTATIONS",
    "Contrast",
    "Distance",
    "Far",
    "Parts",
    "Slopes",
    "Swing",
    "contrast",
    "permutation_p",
]

PERMUTATIONS = 400

_SAME = 1e-12


class Slopes(NamedTuple):
    """A distance of two distributions p and q, and its derivatives.

    Attributes:
        value: The distance.
        left: By each element of p, up to a constant; anything where p is 0.
        right: The same by q.
    """

    value: float
    left: Floats
    right: Floats


Distance = Callable[[Floats, Floats], Slopes]
"""Of two distributions over the same types."""

Swing = Callable[[Floats, Floats, Floats], Floats]
"""Of shares of types on one side, on the other, and parts of the first: half the change from none to two."""

Far = Callable[[Ints, Ints], float]
"""Something that grows with the distance of two rows of counts with the same sum."""

Parts = Mapping[str, tuple[float, float]]
"""Numerators and denominators by scenario: the ratio of their sums is the figure."""


class Contrast(NamedTuple):
    """What came out, each with its interval.

    Attributes:
        crossed: `d(base[H1], arm[H2])`.
        null: `d(base[H1], base[H2])`.
        excess: The first minus the second.
        parts: The excess as a mean over scenarios: its value, and what it owes to each of them times their
            number (pseudo-values; Efron 1982, chapter 6). By id, each over 1.
    """

    crossed: Measure
    null: Measure
    excess: Measure
    parts: Parts


def contrast(pairs: Pairs, distance: Distance, swing: Swing | None = None) -> Contrast:
    """Compare two arms; without p.

    Args:
        pairs: The arms.
        distance: The distance.
        swing: Half of what it changes by between counting a part twice and not at all; None takes the
            derivative for it.
    """
    values, shares = np.zeros(2), np.zeros((2, pairs.count))
    for first, second in zip(pairs.halves, pairs.rest, strict=True):
        for row, other in enumerate((pairs.arm, pairs.base)):
            value, share = _one(pairs, other, (first, second), distance, swing)
            values[row] += value / len(pairs.halves)
            shares[row] += share / len(pairs.halves)
    shares -= shares.mean(axis=1, keepdims=True)
    return Contrast(
        _measure(values[0], shares[0]),
        _measure(values[1], shares[1]),
        _measure(values[0] - values[1], shares[0] - shares[1]),
        _parts(pairs.ids, values[0] - values[1], shares[0] - shares[1]),
    )


def _one(
    pairs: Pairs,
    other: Bags,
    halves: tuple[np.ndarray, np.ndarray],
    distance: Distance,
    swing: Swing | None,
) -> tuple[float, Floats]:
    """Return the distance of the base on one half from an arm on the other, and each scenario's share."""
    first, second = halves
    left, right = pairs.base.total(first), other.total(second)
    p, q = left / left.sum(), right / right.sum()
    found = distance(p, q)
    mine = _shares(pairs.base, first, (p, q, found.left), pairs.sizes / left.sum(), swing)
    theirs = _shares(other, second, (q, p, found.right), pairs.sizes / right.sum(), swing)
    return found.value, np.where(first, mine, 0.0) + np.where(second, theirs, 0.0)


def _shares(
    bags: Bags,
    chosen: np.ndarray,
    types: tuple[Floats, Floats, Floats],
    sizes: Floats,
    swing: Swing | None,
) -> Floats:
    """Return the shares of the chosen scenarios of one side in a distance.

    Args:
        bags: The side.
        chosen: One flag per scenario; for others what is returned means nothing.
        types: Shares of the types on this side and on the other, and the derivative by the first.
        sizes: Tokens of each scenario, as a share of those of the side.
        swing: As for `contrast`.
    """
    own, across, slope = types
    held = chosen[bags.scenario]
    scenario, kind = bags.scenario[held], bags.type[held]
    part = bags.count[held] / bags.count[held].sum()
    each = part * slope[kind] if swing is None else swing(own[kind], across[kind], part)
    # shares of types add up to 1: as a scenario counts more, all types count less
    return np.bincount(scenario, each, len(sizes)) - sizes * float(own @ slope)


def _parts(ids: Sequence[str], value: float, shares: Floats) -> Parts:
    each = (value + len(ids) * shares).tolist()
    return {name: (rounded(one, 9), 1.0) for name, one in zip(ids, each, strict=True)}


def _measure(value: float, shares: Floats) -> Measure:
    n = len(shares)
    error = math.sqrt(float(shares @ shares) * n / (n - 1)) * t_quantile(n - 1)
    value, low, high = (rounded(each, 9) for each in (value, value - error, value + error))
    return Measure(value=value, low=low, high=high, n=n)


def permutation_p(pairs: Pairs, far: Far, stream: Stream, permutations: int = PERMUTATIONS) -> float:
    """Return how often swapped labels put the arms at least as far apart as the true ones, one-sided.

    Args:
        pairs: The arms.
        far: Told the counts of all types under either label.
        stream: Where the swaps come from.
        permutations: How many are drawn.

    Returns:
        `(1 + those) / (1 + permutations)`, in (0, 1].
    """
    everyone = np.ones(pairs.count, dtype=bool)
    base, arm = (bags.total(everyone) for bags in (pairs.base, pairs.arm))
    change = _change(pairs)
    swaps = _swaps(pairs.count, permutations, stream)
    truth = far(base.astype(np.int64), arm.astype(np.int64))
    least = truth - _SAME * max(1.0, abs(truth))
    hits = 0
    for swapped in swaps:
        moved = change.total(swapped)
        hits += far((base + moved).astype(np.int64), (arm - moved).astype(np.int64)) >= least
    return (1 + hits) / (1 + permutations)


def _change(pairs: Pairs) -> Bags:
    """Return what each scenario adds to the first label when its labels are swapped, 0 entries left out."""
    base, arm = pairs.base, pairs.arm
    types = base.shape[1]
    keys = np.concatenate([each.scenario * types + each.type for each in (base, arm)])
    unique, place = np.unique(keys, return_inverse=True)
    amount = np.bincount(place, np.concatenate([-base.count, arm.count]), len(unique))
    unique, amount = unique[amount != 0], amount[amount != 0]
    return Bags(unique // types, unique % types, amount, base.shape)


def _swaps(count: int, permutations: int, stream: Stream) -> np.ndarray:
    words = -(-count // 64)
    raw = np.frombuffer(stream.raw(words * permutations), dtype=np.uint8).reshape(permutations, -1)
    return np.unpackbits(raw, axis=1)[:, :count].astype(bool)
