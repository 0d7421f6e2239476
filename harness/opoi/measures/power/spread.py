"""What one scenario's figure varies by: chances of a scenario are Beta, runs are draws from them.

A scenario has a chance p of one of two outcomes in a run: the rarer action, or the right one. Over scenarios
p is Beta with a mean and a concentration (the sum of both parameters): 0 where every scenario is certain,
large where all are alike. The runs of a scenario are independent given p, so counts are beta-binomial
(Skellam 1948). Two arms meet in the same scenarios: their p are tied by a Gaussian copula, whose correlation
is that of difficulty between the arms.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from msgspec import Struct

from opoi.intervals import Floats

__all__ = ["Chances", "all_alike", "chance", "covariance", "majority", "pairs_alike"]

_POINTS = 2001
_TERMS = 200
_FAR = 40.0
_LEAST = 1e-16


class Chances(Struct, frozen=True):
    """How the chances of scenarios are distributed in one arm.

    Attributes:
        mean: Mean chance, between 0 and 1.
        concentration: Sum of the two parameters of the Beta distribution, above 0.
    """

    mean: float
    concentration: float

    @property
    def between(self) -> float:
        """Variance of p."""
        return self.mean * (1 - self.mean) / (self.concentration + 1)

    @property
    def within(self) -> float:
        """Mean of p * (1 - p): half of how often two runs of a scenario differ."""
        return self.between * self.concentration

    @property
    def uneven(self) -> float:
        """Variance of p * (1 - p)."""
        above, below = self.mean * self.concentration, (1 - self.mean) * self.concentration
        square = above * (above + 1) * below * (below + 1)
        square /= math.prod(self.concentration + k for k in range(4))
        return max(0.0, square - self.within**2)

    def counts(self, runs: int) -> Floats:
        """Return the probability of each count 0 ... `runs` of the outcome, shape `(runs + 1,)`."""
        above, below = self.mean * self.concentration, (1 - self.mean) * self.concentration
        whole = math.lgamma(runs + 1) - _log_beta(above, below)
        logs = [
            whole - math.lgamma(k + 1) - math.lgamma(runs - k + 1) + _log_beta(above + k, below + runs - k)
            for k in range(runs + 1)
        ]
        return np.asarray(np.exp(np.array(logs)), dtype=np.float64)

    def moments(self, values: Floats) -> tuple[float, float]:
        """Return mean and variance of a figure that has `values[k]` where k runs had the outcome."""
        weights = self.counts(len(values) - 1)
        mean = float(weights @ values)
        return mean, float(weights @ (values - mean) ** 2)

    def nodes(self) -> tuple[Floats, Floats, Floats]:
        """Return chances, their weights, and their normal scores: the grid for integrals over scenarios.

        The grid is even in t where `logit p = logit(mean) + sinh(t)`: sums over it converge fast, however
        close to 0 and 1 the chances crowd. Covariances from it are off by less than 1e-6 for correlations up
        to 0.9, by less than 1e-4 up to 0.99 (the tests compare them with scipy).
        """
        above, below = self.mean * self.concentration, (1 - self.mean) * self.concentration
        centre = math.log(self.mean / (1 - self.mean))
        ends = (_FAR + abs(centre) + _FAR / side for side in (above, below))
        low, high = (math.asinh(end) for end in ends)
        t = np.linspace(-low, high, _POINTS)
        x = centre + np.sinh(t)
        p = np.exp(-np.logaddexp(0, -x))
        logs = -above * np.logaddexp(0, -x) - below * np.logaddexp(0, x) + np.log(np.cosh(t))
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        return p, weights, _scores(weights)


def all_alike(runs: int) -> Floats:
    """Return the figure of each count: 1 where all runs of a scenario agree, shape `(runs + 1,)`."""
    values = np.zeros(runs + 1)
    values[[0, runs]] = 1.0
    return values


def pairs_alike(runs: int) -> Floats:
    """Return the figure of each count: the share of pairs of runs that agree; at least two runs."""
    k = np.arange(runs + 1.0)
    return np.asarray((k * (k - 1) + (runs - k) * (runs - k - 1)) / (runs * (runs - 1)), dtype=np.float64)


def chance(runs: int) -> Floats:
    """Return the figure of each count: the share of runs with the outcome."""
    return np.arange(runs + 1.0) / runs


def majority(runs: int) -> Floats:
    """Return the figure of each count: 1 where more than half of the runs have the outcome."""
    return (2 * np.arange(runs + 1) > runs).astype(np.float64)


def covariance(one: Chances, other: Chances, values: Floats, correlation: float) -> float:
    """Return what a figure of the same scenarios covaries by between two arms.

    With a Gaussian copula the covariance is `sum_k r**k a_k b_k`, with a_k and b_k the coefficients of the
    expected figures in normalised Hermite polynomials of the normal scores (Mehler 1866).

    Args:
        one: Chances of the first arm.
        other: Those of the second.
        values: The figure of each count, shape `(runs + 1,)`, the same for both arms.
        correlation: Correlation of difficulty r, at most 0.99 in size.
    """
    figure = tuple(values.tolist())
    product = np.array(_coefficients(one, figure)) * np.array(_coefficients(other, figure))
    return float((product * correlation ** np.arange(1.0, _TERMS + 1)).sum())


@lru_cache(maxsize=64)
def _coefficients(chances: Chances, figure: tuple[float, ...]) -> tuple[float, ...]:
    p, weights, scores = chances.nodes()
    weighted = weights * _expected(p, np.array(figure))
    before, now = np.ones_like(scores), scores
    found = []
    for k in range(1, _TERMS + 1):
        found.append(float((weighted * now).sum()))
        before, now = now, (scores * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    return tuple(found)


def _expected(p: Floats, values: Floats) -> Floats:
    """Return the mean of a figure over runs, given the chance: a Bernstein polynomial, by de Casteljau."""
    steps = np.repeat(values[:, None], len(p), axis=1)
    while len(steps) > 1:
        steps = steps[:-1] + (steps[1:] - steps[:-1]) * p
    return np.asarray(steps[0], dtype=np.float64)


def _scores(weights: Floats) -> Floats:
    """Return the normal score of the middle of each weight: from the nearer end, so that tails are kept."""
    below = np.cumsum(weights) - weights / 2
    above = np.cumsum(weights[::-1])[::-1] - weights / 2
    score = NormalDist().inv_cdf
    return np.array(
        [
            score(max(low, _LEAST)) if low < 0.5 else -score(max(high, _LEAST))
            for low, high in zip(below.tolist(), above.tolist(), strict=True)
        ]
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
