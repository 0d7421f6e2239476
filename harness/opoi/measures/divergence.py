"""How far two bodies of text are apart: Jensen-Shannon divergence, minus what chance alone gives.

The divergence of two samples of the same source is above 0, and the more so the fewer tokens there are.
So the scenarios are split at random into halves H1 and H2, all texts are cut to the same number of
tokens T, and the excess is `JS(base[H1], arm[H2]) - JS(base[H1], base[H2])`, averaged over splits.
A scenario never stands in both halves, so that shared facts of a scenario cannot make texts look alike.
The interval is a bootstrap over scenarios inside each half, with the same draw for both terms, moved so
that its mean is the estimate (resampling alone makes divergences larger).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi.intervals import Floats
from opoi.measures.statistics import measure_of, weights
from opoi.seeds import Stream
from opoi.types import Measure

__all__ = ["Divergence", "Texts", "excess", "js_divergence"]

Texts = Mapping[str, npt.NDArray[np.int32]]
"""Token ids of each scenario."""

SPLITS = 20
RESAMPLES = 200
LEAST_SCENARIOS = 4
NOTE_INTERVAL = (
    f"interval of {RESAMPLES} resamples inside each half, shifted so that their mean is the estimate"
)
NOTE_FEW = "fewer than 4 scenarios with text in both arms"
_FRACTION = 4096.0


class Divergence(Struct, frozen=True):
    """Excess of an arm over the base arm, and the chance level that was taken off. Both in bits."""

    excess: Measure
    null: Measure


def js_divergence(left: Floats, right: Floats) -> Floats:
    """Return the Jensen-Shannon divergence (base 2) of rows of counts.

    Args:
        left: Counts of shape `(rows, types)`; every row has a sum above 0.
        right: Same shape.

    Returns:
        Divergences in [0, 1], shape `(rows,)`.
    """
    p = left / left.sum(axis=1, keepdims=True)
    q = right / right.sum(axis=1, keepdims=True)
    return np.maximum(0.0, _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2)


def excess(base: Texts, arm: Texts, stream: Stream) -> Divergence:
    """Measure how much farther an arm is from the base arm than the base arm is from itself.

    Args:
        base: Texts of the reference arm.
        arm: Texts of the arm; only scenarios with text in both count.
        stream: Where splits and resamples come from.
    """
    ids = sorted(name for name in base if name in arm and len(base[name]) and len(arm[name]))
    if len(ids) < LEAST_SCENARIOS:
        none = Measure(value=None, n=len(ids), note=NOTE_FEW)
        return Divergence(none, none)
    halves = _Halves([base[name] for name in ids], [arm[name] for name in ids], stream)
    terms = halves.terms(np.ones(len(ids)))
    draws = [
        halves.terms(row) for chunk in weights(stream.at("resample"), len(ids), RESAMPLES) for row in chunk
    ]
    crossed, null = np.array(draws).T
    n = len(ids)
    return Divergence(
        measure_of(
            terms[0] - terms[1],
            _centred(crossed - null, terms[0] - terms[1]),
            n=n,
            note=NOTE_INTERVAL,
        ),
        measure_of(terms[1], np.maximum(0.0, _centred(null, terms[1])), n=n, note=NOTE_INTERVAL),
    )


def _centred(samples: Floats, value: float) -> Floats:
    """Return resamples moved so that their mean is the estimate.

    A resample has fewer distinct scenarios than the sample, so its divergences are larger throughout.
    """
    return samples + (value - float(np.nanmean(samples)))


def _entropy(p: Floats) -> Floats:
    """Return the entropy of each row in bits."""
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logs).sum(axis=1), dtype=np.float64)


class _Halves:
    """Two arms on the same scenarios, and the random splits of these into halves."""

    def __init__(
        self, base: list[npt.NDArray[np.int32]], arm: list[npt.NDArray[np.int32]], stream: Stream
    ) -> None:
        types = np.unique(np.concatenate([*base, *arm]))
        self.base = _bags(base, types)
        self.arm = _bags(arm, types)
        self.base_tokens = self.base.sum(axis=1)
        self.arm_tokens = self.arm.sum(axis=1)
        half = len(base) // 2
        orders = np.array([stream.shuffled(range(len(base)), "split", index) for index in range(SPLITS)])
        self.first, self.second = orders[:, :half], orders[:, half : 2 * half]

    def terms(self, weight: Floats) -> tuple[float, float]:
        """Return `JS(base[H1], arm[H2])` and `JS(base[H1], base[H2])`, averaged over the splits.

        Args:
            weight: How often each scenario is taken, shape `(scenarios,)`.

        Returns:
            NaN for both where no split has tokens in every part.
        """
        parts = (
            (self.first, self.base_tokens),
            (self.second, self.arm_tokens),
            (self.second, self.base_tokens),
        )
        sizes = [(weight * tokens)[order].sum(axis=1) for order, tokens in parts]
        length = np.minimum.reduce(sizes)
        usable = length > 0
        if not usable.any():
            return float("nan"), float("nan")
        one, other, null = (_cut(order[usable], weight, tokens, length[usable]) for order, tokens in parts)
        reference = one @ self.base
        return (
            float(js_divergence(reference, other @ self.arm).mean()),
            float(js_divergence(reference, null @ self.base).mean()),
        )


def _bags(texts: list[npt.NDArray[np.int32]], types: npt.NDArray[np.int32]) -> Floats:
    """Return counts of shape `(scenarios, types)`."""
    return np.array(
        [np.bincount(np.searchsorted(types, text), minlength=len(types)) for text in texts], dtype=np.float64
    )


def _cut(order: npt.NDArray[np.int64], weight: Floats, tokens: Floats, length: Floats) -> Floats:
    """Return weights that take scenarios in order until `length` tokens are reached.

    The last scenario is taken in part. Weights are multiples of 1/4096, so that sums are exact.

    Args:
        order: Scenario indices of each split, shape `(splits, scenarios of a half)`.
        weight: How often each scenario is taken, shape `(scenarios,)`.
        tokens: Tokens of each scenario, all above 0.
        length: Tokens to take in each split.

    Returns:
        Shape `(splits, scenarios)`.
    """
    size = (weight * tokens)[order]
    before = np.cumsum(size, axis=1) - size
    taken = np.clip(length[:, None] - before, 0.0, size) / tokens[order]
    result = np.zeros((len(order), len(weight)))
    np.put_along_axis(result, order, np.ceil(taken * _FRACTION) / _FRACTION, axis=1)
    return result
