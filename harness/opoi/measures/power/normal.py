"""Scenarios and power where the mean of a difference is near enough to normal."""

from __future__ import annotations

import math
from statistics import NormalDist

from opoi.intervals import rounded, wilson

__all__ = ["expected_z", "half_width", "power_of", "scenarios_for"]

_NORMAL = NormalDist()


def scenarios_for(
    effect: float, variance: float, *, power: float, alpha: float, score: bool = False
) -> float:
    """Return how many scenarios a two-sided test of a mean difference needs; round it up.

    `(z_a * s0 + z_b * s1)**2 / effect**2` with `z_a = z(1 - alpha/2)`, `z_b = z(power)`, `s1**2` the variance
    and `s0**2` the variance under no effect (Lachin 1981). For a difference of two independent arms the
    variance is the sum of theirs and the answer is per arm. That the test rejects on the wrong side is left
    out, which is below 1e-6 at a power of 0.5 and less above. Student's t instead of z asks for about
    `z_a**2 / 2` more pairs, or half as many more per independent arm (Guenther 1981).

    Args:
        effect: True mean difference, not 0.
        variance: Variance of one scenario's difference, 0 or more.
        power: Probability of a rejection, 0.5 to 1, open above.
        alpha: Level of the two-sided test, between 0 and 1.
        score: Take the variance under no effect as the mean square `variance + effect**2`, as McNemar's test
            does (Miettinen 1968, Connor 1987). Otherwise it is the variance, as for a bootstrap or t test.

    Raises:
        ValueError: The effect is 0.
    """
    if effect == 0:
        raise ValueError("scenarios_for: no number of scenarios finds an effect of 0")
    spread, null = _deviations(effect, variance, score=score)
    root = _NORMAL.inv_cdf(1 - alpha / 2) * null + _NORMAL.inv_cdf(power) * spread
    return rounded((root / effect) ** 2, 9)


def power_of(effect: float, variance: float, scenarios: float, *, alpha: float, score: bool = False) -> float:
    """Return the probability that a two-sided test rejects, on either side.

    The inverse of `scenarios_for` but for the other side, which is counted here.

    Args:
        effect: True mean difference; 0 gives `alpha` (for a score test too).
        variance: Variance of one scenario's difference; 0 makes any effect certain to be found.
        scenarios: Number of scenarios, of each arm where the arms are independent.
        alpha: Level of the test.
        score: As for `scenarios_for`.
    """
    spread, null = _deviations(effect, variance, score=score)
    bar, shift = _NORMAL.inv_cdf(1 - alpha / 2) * null, abs(effect) * math.sqrt(scenarios)
    if spread == 0:
        return float(shift > bar)
    return rounded(_NORMAL.cdf((shift - bar) / spread) + _NORMAL.cdf((-shift - bar) / spread), 9)


def expected_z(effect: float, variance: float, scenarios: float) -> float:
    """Return the effect in standard errors of a mean over so many scenarios, infinite without variance."""
    if variance == 0:
        return math.copysign(math.inf, effect) if effect else 0.0
    return rounded(effect / math.sqrt(variance / scenarios), 9)


def half_width(share: float, scenarios: float) -> float:
    """Return half the width of Wilson's 95 % interval (Wilson 1927) of a share at so many scenarios.

    Args:
        share: The share that is seen, 0 to 1.
        scenarios: Number of scenarios, above 0; one yes or no of each.
    """
    low, high = wilson(share * scenarios, scenarios)
    return rounded((high - low) / 2, 9)


def _deviations(effect: float, variance: float, *, score: bool) -> tuple[float, float]:
    return math.sqrt(variance), math.sqrt(variance + effect * effect if score else variance)
