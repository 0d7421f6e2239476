"""What "x % better" can mean. Two figures have many percentages between them; each has a name here.

A percentage without its definition cannot be checked: the same two mean log-probabilities are 16 % or 6 %
apart. Mean log-probabilities are in nats, 0 or below; shares of the gap between a base and perfect confidence
are `opoi.measures.logprobs.confidence.share_of_gap_closed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

__all__ = [
    "loss_cut",
    "perplexity_change",
    "points",
    "printed_range",
    "probability_change",
    "relative_change",
]


def points(before: float, after: float) -> float:
    """Return the difference of two figures, for shares in points when multiplied by 100.

    Formula: after - before
    """
    return after - before


def relative_change(before: float, after: float) -> float:
    """Return by which share of itself a figure changed.

    Formula: after / before - 1; NaN where before is 0
    """
    return after / before - 1 if before else math.nan


def loss_cut(before: float, after: float) -> float:
    """Return which share of the mean negative log-probability is gone.

    Formula: (|before| - |after|) / |before| of mean log-probabilities (nats); NaN where before is 0
    """
    return (abs(before) - abs(after)) / abs(before) if before else math.nan


def probability_change(before: float, after: float) -> float:
    """Return by which share of itself the geometric mean of the tokens' probabilities changed.

    Formula: e^after / e^before - 1
    """
    return math.expm1(after - before)


def perplexity_change(before: float, after: float) -> float:
    """Return by which share of itself the perplexity changed.

    Formula: e^-after / e^-before - 1
    """
    return math.expm1(before - after)


def printed_range(
    formula: Callable[..., float], printed: Sequence[float], decimals: Sequence[int]
) -> tuple[float, float]:
    """Return between what a percentage can lie that was worked out before its inputs were rounded for print.

    Args:
        formula: Monotone in each of its arguments within their rounding.
        printed: Its arguments as printed.
        decimals: To how many decimals each was rounded.
    """
    corners = [
        (value - 0.5 * 10.0**-places, value + 0.5 * 10.0**-places)
        for value, places in zip(printed, decimals, strict=True)
    ]
    values = [formula(*corner) for corner in product(*corners)]
    return min(values), max(values)
