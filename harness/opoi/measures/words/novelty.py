"""Which words of an arm its base does not have, counted once each.

The share of new words among all distinct ones grows with the text that is looked at and falls with the text
that it is looked up in. So the words of one half of the scenarios are looked up in the base arm's texts on
the other half, for the arm and for the base arm itself, with the same numbers of tokens in both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from opoi.intervals import Floats, rounded, t_quantile, wilson
from opoi.measures.words.pairs import NOTE_FEW, Bags, Pairs, Texts, paired
from opoi.seeds import Stream
from opoi.types import Measure

__all__ = ["Novelty", "novelty"]

_NO_VARIANCE = 1e-18


class Novelty(NamedTuple):
    """Share of distinct words that are new: the arm's, and what the base arm's own texts give."""

    share: Measure
    null: Measure


def novelty(base: Texts, arm: Texts, stream: Stream) -> Novelty:
    """Measure which share of an arm's distinct words is absent from its base.

    Args:
        base: Texts of the reference arm.
        arm: Texts of the arm; only scenarios with text in both count.
        stream: Where cuts and splits come from.
    """
    pairs = paired(base, arm, stream)
    if isinstance(pairs, int):
        none = Measure(value=None, n=pairs, note=NOTE_FEW)
        return Novelty(none, none)
    return Novelty(_share(pairs, pairs.arm), _share(pairs, pairs.base))


def _share(pairs: Pairs, other: Bags) -> Measure:
    """Return the share with the interval of a jackknife: the same without each scenario in turn."""
    new = distinct = 0.0
    new_without, distinct_without = np.zeros(pairs.count), np.zeros(pairs.count)
    for first, second in zip(pairs.halves, pairs.rest, strict=True):
        known, held = pairs.base.holders(first), other.holders(second)
        unknown = (held > 0) & (known == 0)
        new += unknown.sum()
        distinct += (held > 0).sum()
        alone = held == 1
        new_without += second * -other.listed((alone & unknown).astype(float))
        new_without += first * pairs.base.listed(((known == 1) & (held > 0)).astype(float))
        distinct_without -= second * other.listed(alone.astype(float))
    without = (new + new_without) / np.maximum(distinct + distinct_without, 1.0)
    return _measure(float(new / distinct), without)


def _measure(share: float, without: Floats) -> Measure:
    """Return a share with Wilson's interval, for as many trials as vary as much as the jackknife says."""
    n = len(without)
    variance = (n - 1) / n * float(((without - without.mean()) ** 2).sum())
    spread = share * (1 - share)
    trials = float(n) if min(variance, spread) <= _NO_VARIANCE else spread / variance
    low, high = wilson(share * trials, trials, t_quantile(n - 1))
    return Measure(value=rounded(share, 9), low=rounded(low, 9), high=rounded(high, 9), n=n)
