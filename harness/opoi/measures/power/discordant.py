"""Exact power where each scenario is yes or no in both arms: only scenarios that differ speak.

The number D of scenarios that differ is binomial, and given D so is the number X that the second arm gains
(McNemar 1947). A test rejects where the smaller side is at most a bound that depends on D. Its power is a
finite sum over D and X.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi.intervals import Floats, rounded
from opoi.measures.power.normal import scenarios_for

__all__ = ["MOST", "Discordant", "Test", "exact_power", "exact_scenarios"]

Ints = npt.NDArray[np.int64]
Test = Literal["mcnemar", "wald"]

MOST = 20_000
"""Most scenarios of an exact sum."""

_REACH = 9.0
"""Standard deviations that a sum covers: the rest has a probability below 1e-18."""

_ROWS = 256
_TIE = 1e-9


class Discordant(Struct, frozen=True):
    """How often a scenario differs between two arms.

    Attributes:
        gained: Probability of no in the first arm and yes in the second.
        lost: Probability of yes in the first and no in the second; both sum to 1 at most and are not both 0.
    """

    gained: float
    lost: float

    @property
    def effect(self) -> float:
        """Difference of the two shares of yes."""
        return self.gained - self.lost

    @property
    def variance(self) -> float:
        """Variance of one scenario's difference."""
        return self.gained + self.lost - self.effect**2


def exact_power(scenarios: int, rates: Discordant, *, alpha: float, test: Test = "mcnemar") -> float:
    """Return the probability that a two-sided test of paired shares rejects.

    Args:
        scenarios: 1 to `MOST`.
        rates: How often a scenario differs.
        alpha: Level of the test.
        test: `mcnemar` is the exact conditional test. `wald` divides the mean difference by its estimated
            standard error and takes normal quantiles, which is what an interval of a bootstrap comes to; it
            rejects too often where few scenarios differ.

    Raises:
        ValueError: The number of scenarios is out of range, or the rates are no probabilities.
    """
    if not 1 <= scenarios <= MOST:
        raise ValueError(f"exact_power: need 1 to {MOST} scenarios, got {scenarios}")
    differ = rates.gained + rates.lost
    if min(rates.gained, rates.lost) < 0 or not 0 < differ <= 1 + _TIE:
        raise ValueError(f"exact_power: no probabilities: {rates}")
    start, chances = _binomials(np.array([scenarios]), min(1.0, differ))
    discordant = np.arange(len(chances[0])) + start[0]
    inside = discordant <= scenarios
    discordant, chances = discordant[inside], chances[0][inside]
    total = 0.0
    for begin in range(0, len(discordant), _ROWS):
        part = slice(begin, begin + _ROWS)
        rejected = _rejected(discordant[part], scenarios, rates, alpha, test)
        total += float((chances[part] * rejected).sum())
    return rounded(min(1.0, total), 9)


def exact_scenarios(rates: Discordant, *, power: float, alpha: float, test: Test = "mcnemar") -> int | None:
    """Return the fewest scenarios with that power, None where they are more than `MOST`.

    Exact power moves a little up and down with the number of scenarios. The search ends at a number that has
    the power while the next smaller has not.

    Args:
        rates: How often a scenario differs, with an effect that is not 0.
        power: 0.5 to 1, open above.
        alpha: Level of the test.
        test: As for `exact_power`.
    """

    def enough(count: int) -> bool:
        return exact_power(count, rates, alpha=alpha, test=test) >= power

    near = math.ceil(scenarios_for(rates.effect, rates.variance, power=power, alpha=alpha, score=True))
    if near > MOST:
        return None
    step = max(8, math.ceil(2 / abs(rates.effect)))
    high = max(2, near)
    while not enough(high):
        if high == MOST:
            return None
        high = min(MOST, high + step)
    low = max(1, high - step)
    while low > 1 and enough(low):
        high, low = low, max(1, low - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _rejected(discordant: Ints, scenarios: int, rates: Discordant, alpha: float, test: Test) -> Floats:
    """Return the probability of a rejection for each number of scenarios that differ."""
    bound = _mcnemar(discordant, alpha) if test == "mcnemar" else _wald(discordant, scenarios, alpha)
    share = rates.gained / (rates.gained + rates.lost)
    start, chances = _binomials(discordant, share)
    running = np.cumsum(chances, axis=1)
    few = _at(running, bound - start)
    many = 1 - _at(running, discordant - bound - 1 - start)
    many = np.where(bound < 0, 0.0, np.maximum(many, 0.0))
    return np.asarray(few + many, dtype=np.float64)


def _mcnemar(discordant: Ints, alpha: float) -> Ints:
    """Return the largest smaller side that the exact test rejects, -1 where it rejects none."""
    start, chances = _binomials(discordant, 0.5)
    small = np.cumsum(chances, axis=1) <= alpha / 2 * (1 + _TIE)
    return np.asarray(start + small.sum(axis=1) - 1, dtype=np.int64)


def _wald(discordant: Ints, scenarios: int, alpha: float) -> Ints:
    """Return the same for the mean difference over its standard error (variance over n, not n - 1)."""
    z2 = NormalDist().inv_cdf(1 - alpha / 2) ** 2
    margin = np.sqrt(z2 * discordant / (1 + z2 / scenarios))
    return np.asarray(np.ceil((discordant - margin) / 2) - 1, dtype=np.int64)


def _binomials(trials: Ints, share: float) -> tuple[Ints, Floats]:
    """Return binomial probabilities in a window around the mean of each row, and where windows start.

    Args:
        trials: Shape `(rows,)`.
        share: Probability of a success.

    Returns:
        Starts of shape `(rows,)`, at least 0; probabilities of shape `(rows, width)`, 0 beyond the trials.
    """
    most = int(trials.max())
    half = math.ceil(_REACH * math.sqrt(most * share * (1 - share))) + 40
    width = min(most + 1, 2 * half + 1)
    start = np.clip(np.floor(trials * share).astype(np.int64) - half, 0, most + 1 - width)
    k = start[:, None] + np.arange(width)
    rest = trials[:, None] - k
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, most + 1)))])
    held = rest >= 0
    rest = np.maximum(rest, 0)
    with np.errstate(divide="ignore"):
        hit, miss = np.log([share, 1 - share])
    weight = logs[trials][:, None] - logs[k] - logs[rest] + _times(k, hit) + _times(rest, miss)
    return start, np.where(held, np.exp(weight), 0.0)


def _times(count: Ints, log: float) -> Floats:
    """Return `count * log`, 0 where the count is 0 even if the log is minus infinity."""
    if math.isinf(log):
        return np.where(count > 0, -np.inf, 0.0)
    return np.asarray(count * log, dtype=np.float64)


def _at(running: Floats, index: Ints) -> Floats:
    """Return the running sum of each row up to an index: 0 before the window, the last beyond it."""
    inside = np.clip(index, 0, running.shape[1] - 1)
    return np.where(index < 0, 0.0, np.take_along_axis(running, inside[:, None], axis=1)[:, 0])
