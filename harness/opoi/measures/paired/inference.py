"""Tests of the difference between two arms on the same scenarios.

The unit is the scenario. Each arm brings a numerator and a denominator per scenario, a figure is the ratio of
their sums, and the question is whether the ratio of B is another than that of A. Definitions: methods
specification 5.10.

What is drawn comes from `opoi.seeds.Stream`, and sums are exact on the grid of `statistics.on_grid`, so that
no order of summation shows. A permutation p does not depend on the order or the names of scenarios, nor on
which arm is A: the two arms of each scenario are put in an order of their own before anything is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from opoi.intervals import Floats, rounded
from opoi.measures.paired.pairing import Paired
from opoi.measures.statistics import (
    CHUNK_DRAWS,
    bootstrap_sums,
    on_grid,
    percentile_interval,
    quotient,
)
from opoi.seeds import Stream

__all__ = [
    "ALPHA",
    "MOST_NEEDED",
    "POWER",
    "bootstrap_intervals",
    "holm",
    "influence",
    "mcnemar_p",
    "needed_scenarios",
    "permutation_p",
    "permutation_ps",
]

ALPHA = 0.05
"""The rate of false finds that a verdict allows."""

POWER = 0.8
"""The chance of finding an effect for which scenarios are counted."""

MOST_NEEDED = 1_000_000
"""Numbers of scenarios above this one are not told apart."""

EXACT = 12
"""Most scenarios that differ for which every swap is tried, 2**12 of them."""

_TIE = 1e-6
"""Distances in standard errors that differ by less are equal: thirds have no exact sums."""

_WIDTH = 6
"""Columns of `_moments`."""


# ---------------------------------------------------------------- tests


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p of McNemar's test (McNemar 1947; exact: the sign test).

    `min(1, 2 * P(X <= min(only_a, only_b)))` for X binomial with `only_a + only_b` trials and chance 1/2.

    Args:
        only_a: Scenarios that are 1 in A and 0 in B.
        only_b: Scenarios that are 0 in A and 1 in B.

    Raises:
        ValueError: A count is negative.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"mcnemar_p: counts must not be negative, got {only_a} and {only_b}")
    count, ways, term = only_a + only_b, 0, 1
    for k in range(min(only_a, only_b) + 1):
        ways += term
        term = term * (count - k) // (k + 1)
    return min(1.0, float(Fraction(2 * ways, 2**count)))


def permutation_p(figure: Paired, stream: Stream, resamples: int) -> float:
    """Return the p of one figure; see `permutation_ps`."""
    return permutation_ps([figure], stream, resamples)[0]


def permutation_ps(figures: Sequence[Paired], stream: Stream, resamples: int) -> list[float]:
    """Return the two-sided p of the difference of two ratios of sums, for several figures.

    The arms are exchanged within scenarios: with a chance of 1/2 each, or in every way where at most `EXACT`
    scenarios differ. p is the share of exchanges whose difference is at least as far from 0 as the observed
    one; `(1 + #) / (1 + resamples)` where they are drawn, so that it is never too small (Phipson and Smyth
    2010). How far is told in standard errors of the difference by linearisation, worked out anew for each
    exchange: p then holds, for many scenarios, also for arms of one ratio with other denominators, where the
    plain difference finds far too much (studentised permutation: Janssen 1997; Konietschke and Pauly 2014).
    For equal denominators both give the same p. An exchange that leaves an arm without denominators counts
    as far.

    Args:
        figures: On the same number of scenarios; both ratios must exist.
        stream: Where the exchanges come from; all figures get the same ones.
        resamples: How many to draw, at least 1.
    """
    swaps = [_Swaps(figure) for figure in figures]
    drawn = [one for one in swaps if one.differing > EXACT]
    far = [0] * len(drawn)
    if drawn:
        stacked = np.hstack([one.moved for one in drawn])
        for masks in _masks(stream, len(stacked), resamples):
            sums = masks @ stacked
            for index, one in enumerate(drawn):
                far[index] += one.far(sums[:, _WIDTH * index : _WIDTH * (index + 1)])
    counts = dict(zip(map(id, drawn), far, strict=True))
    return [
        rounded((1 + counts[id(one)]) / (1 + resamples)) if id(one) in counts else one.exact()
        for one in swaps
    ]


class _Swaps:
    """What exchanging the arms of some scenarios does to the difference of a figure.

    Scenarios stand in the order of their values, and in each of them the smaller arm first: what is drawn
    then falls on the same scenarios whatever their order, their names, and whichever arm is called A.
    """

    def __init__(self, figure: Paired) -> None:
        both = on_grid(
            np.column_stack(
                [
                    np.concatenate([figure.above_a, figure.above_b]),
                    np.concatenate([figure.below_a, figure.below_b]),
                ]
            )
        )
        above, below = both.sum(axis=0)
        both[:, 0] -= both[:, 1] * (above / below if below else 0.0)  # keeps differences, spares digits
        a, b = both[: len(both) // 2], both[len(both) // 2 :]
        turned = (a[:, 0] > b[:, 0]) | ((a[:, 0] == b[:, 0]) & (a[:, 1] > b[:, 1]))
        first, second = np.where(turned[:, None], b, a), np.where(turned[:, None], a, b)
        moments = on_grid(np.vstack([_moments(first, second), _moments(second, first)]))
        one, other = moments[: len(a)], moments[len(a) :]
        self.differing = figure.differing
        self._count = figure.both
        self._one = one.sum(axis=0)
        self._all = self._one + other.sum(axis=0)
        self._cross = on_grid(first * second).sum(axis=0)
        self._moved = other - one
        self._observed = float(self._distances(turned[None].astype(np.float64) @ self._moved)[0])
        self._order = np.lexsort([*second.T, *first.T])

    @property
    def moved(self) -> Floats:
        """What the exchange of each scenario moves in the sums of the first arm, `(scenarios, _WIDTH)`."""
        return np.asarray(self._moved[self._order])

    def _distances(self, sums: Floats) -> Floats:
        """Return how far exchanges are from 0, given what they move in all.

        With t the difference over its standard error and n scenarios it is `|t| / sqrt(1 + t**2 / n)`, which
        grows with |t| and stays finite.
        """
        one = self._one + sums
        two = self._all - one
        r1, r2 = quotient(one[:, 0], one[:, 1]), quotient(two[:, 0], two[:, 1])
        shared = self._cross[0] - r2 * one[:, 5] - r1 * two[:, 5] + r1 * r2 * self._cross[1]
        squares = _squares(one, r1) + _squares(two, r2) - 2 * quotient(shared, one[:, 1] * two[:, 1])
        scale = np.sqrt(np.maximum(squares, 0.0) + (r2 - r1) ** 2 / self._count)
        return np.where(scale == 0, 0.0, quotient(np.abs(r2 - r1), scale))

    def far(self, sums: Floats) -> int:
        """Return how many exchanges are at least as far from 0 as what was observed.

        Args:
            sums: What each of them moves in all, shape `(exchanges, _WIDTH)`.
        """
        return int(np.count_nonzero(~(self._distances(sums) < self._observed - _TIE)))

    def exact(self) -> float:
        """Return the share of all exchanges that are as far."""
        if not self.differing:
            return 1.0
        rows = self._moved[(self._moved != 0).any(axis=1)]
        ways = np.arange(2 ** len(rows))
        masks = ((ways[:, None] >> np.arange(len(rows))) & 1).astype(np.float64)
        return rounded(self.far(masks @ rows) / len(ways))


def _moments(own: Floats, other: Floats) -> Floats:
    """Return per scenario what the standard error of a difference is made of, for one of the two arms."""
    above, below = own.T
    return np.column_stack([above, below, above**2, above * below, below**2, above * other[:, 1]])


def _squares(sums: Floats, ratio: Floats) -> Floats:
    """Return the sum of squares of `(above - ratio * below) / sum(below)` over scenarios."""
    return quotient(sums[:, 2] - 2 * ratio * sums[:, 3] + ratio**2 * sums[:, 4], sums[:, 1] ** 2)


def _masks(stream: Stream, scenarios: int, resamples: int) -> Iterator[Floats]:
    """Yield which scenarios to exchange, 0 or 1, in chunks of shape `(rows, scenarios)`."""
    step = max(1, CHUNK_DRAWS // max(1, scenarios))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        count = rows * scenarios
        packed = np.frombuffer(stream.raw((count + 63) // 64, "chunk", start), dtype=np.uint8)
        yield np.unpackbits(packed)[:count].reshape(rows, scenarios).astype(np.float64)


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's step-down adjusted p-values (Holm 1979), in the order given.

    The k-th smallest of m is multiplied by m - k + 1, is at least the one before it, and at most 1.
    """
    adjusted = [0.0] * len(ps)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = rounded(least)
    return tuple(adjusted)


# ---------------------------------------------------------------- intervals


def bootstrap_intervals(
    figures: Sequence[Paired], stream: Stream, resamples: int
) -> list[tuple[float, float] | None]:
    """Return the 95 % percentile interval of B minus A for each figure, None where there is none.

    Scenarios are drawn with both arms together, the same ones for all figures.

    Args:
        figures: On the same scenarios in the same order.
        stream: Where the draws come from.
        resamples: How many to make.
    """
    if not figures:
        return []
    columns = [(one.above_a, one.below_a, one.above_b, one.below_b) for one in figures]
    sums = bootstrap_sums(on_grid(np.column_stack([c for four in columns for c in four])), stream, resamples)
    return [_interval(one, sums[:, 4 * at : 4 * at + 4]) for at, one in enumerate(figures)]


def _interval(figure: Paired, sums: Floats) -> tuple[float, float] | None:
    n = figure.both
    if n < 2:
        return None
    return percentile_interval(quotient(sums[:, 2], sums[:, 3]) - quotient(sums[:, 0], sums[:, 1]), n)


# ---------------------------------------------------------------- scenarios needed


def influence(figure: Paired) -> Floats:
    """Return what each scenario adds to the difference, to first order; shape `(scenarios,)`, mean 0.

    For one arm with ratio r it is `(above - r * below) / mean(below)` (the delta method); the difference has
    that of B minus that of A. Its variance over the number of scenarios is that of the difference.

    Args:
        figure: Both ratios must exist.
    """
    return _influence(figure.above_b, figure.below_b) - _influence(figure.above_a, figure.below_a)


def _influence(above: Floats, below: Floats) -> Floats:
    return np.asarray((above - above.sum() / below.sum() * below) / below.mean(), dtype=np.float64)


def needed_scenarios(figure: Paired, *, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return for how many scenarios the observed difference would be found with the given chance.

    `((z(1 - alpha/2) + z(power)) * sd / difference)**2` by the normal approximation, sd of the influence
    values; not less than one more scenario than there are, nor than the test needs to reach alpha at all,
    `1 - log2(alpha)`. All of them are scenarios to which both arms contribute.

    Args:
        figure: Both ratios must exist.
        alpha: Two-sided.
        power: Chance of finding it.

    Returns:
        `MOST_NEEDED + 1` for any number above `MOST_NEEDED`, None where there is no difference.
    """
    a, b = figure.values
    if a is None or b is None or abs(b - a) <= 1e-9 * (abs(a) + abs(b)):
        return None
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    count = figure.both
    own = influence(figure)[figure.below_a != 0] * (count / len(figure.below_a))  # means over the pairs
    spread = float(own.std(ddof=1)) if count > 1 else 0.0
    needed = (reach * spread / (b - a)) ** 2
    if needed > MOST_NEEDED:
        return MOST_NEEDED + 1
    return max(math.ceil(rounded(needed)), count + 1, math.ceil(1 - math.log2(alpha)))
