"""Shares and areas under the curve, with 95 % intervals that hold at 0 and at 1 too, and with p."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "Floats",
    "area",
    "area_interval",
    "area_p",
    "fisher_p",
    "rounded",
    "t_quantile",
    "wilson",
    "wins",
]

Floats = npt.NDArray[np.float64]

Z95 = 1.959963984540054
_HALVINGS = 60
_LARGE = 1_000


def rounded(value: float, digits: int = 12) -> float:
    """Return a float with so many significant digits, so that the last bits of a libm do not show."""
    return float(f"{value:.{digits}g}") + 0.0


@lru_cache(maxsize=1024)
def t_quantile(freedom: int) -> float:
    """Return the 97.5 percentile of Student's t distribution.

    Found by halving, from the finite sums that the distribution has for whole degrees of freedom (Abramowitz
    and Stegun 26.7.3 and 26.7.4); from 1,000 on by their expansion 26.7.5.

    Args:
        freedom: Degrees of freedom, at least 1.
    """
    if freedom >= _LARGE:
        z = Z95
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = Z95, 13.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return rounded(high)


def _within(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies between -t and t."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def wilson(successes: float, count: float, z: float = Z95) -> tuple[float, float]:
    """Return Wilson's score interval of a share (Wilson 1927).

    A sum of shares, each in [0, 1], may stand for the successes: the interval is then too wide, never too
    narrow, because nothing in [0, 1] varies more than what is 0 or 1.

    Args:
        successes: From 0 to `count`; need not be whole.
        count: Number of trials, above 0.
        z: Quantile of the deviation, that of 95 % unless told.

    Raises:
        ValueError: The numbers are out of range.
    """
    if not (count > 0 and 0 <= successes <= count):
        raise ValueError(f"wilson: need 0 <= successes <= count and count > 0, got {successes} of {count}")
    share, z2 = successes / count, z * z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == count else min(1.0, centre + half)
    return low, high


def area(above: Floats, below: Floats) -> float:
    """Return the area under the ROC curve: how often one of `above` exceeds one of `below`, ties as half.

    Args:
        above: Scores that should be higher, shape `(m,)`, at least one.
        below: The others, shape `(n,)`, at least one.
    """
    return wins(above, below) / (2 * len(above) * len(below))


def wins(above: Floats, below: Floats) -> int:
    """Return twice the number of pairs in which one of `above` exceeds one of `below`, ties as half."""
    order = np.sort(below)
    return int((np.searchsorted(order, above, "left") + np.searchsorted(order, above, "right")).sum())


def area_interval(value: float, above: float, below: float) -> tuple[float, float]:
    """Return an interval of an area: every area that the value does not speak against.

    The variance is the one that exponential scores would have (Hanley and McNeil 1982) at the area that is
    tried, as in Wilson's interval (Newcombe 2006, method 5): it does not shrink to nothing at 0 or 1.

    Args:
        value: The area, 0 to 1.
        above: Number of units that should score higher, at least 1.
        below: Number of the others, at least 1.
    """
    extra = (above + below) / 2 - 1

    def far(area: float) -> bool:
        spread = 1 + extra * ((1 - area) / (2 - area) + area / (1 + area))
        return abs(value - area) > Z95 * math.sqrt(area * (1 - area) * spread / (above * below))

    def end(outside: float) -> float:
        inside = value
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if far(middle) else (middle, outside)
        return rounded(inside)

    return (end(0.0) if value > 0 else 0.0), (end(1.0) if value < 1 else 1.0)


def area_p(above: Floats, below: Floats) -> float:
    """Return the probability of an area as large where both samples come from one source.

    One-sided Mann-Whitney test by the normal distribution, corrected for ties and for continuity.

    Args:
        above: Scores that should be higher, shape `(m,)`, at least one.
        below: The others, shape `(n,)`, at least one.
    """
    m, n = len(above), len(below)
    total = m + n
    _, ties = np.unique(np.concatenate([above, below]), return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum())
    variance = m * n / 12 * ((total + 1) - tied / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = (area(above, below) * m * n - m * n / 2 - 0.5) / math.sqrt(variance)
    return rounded(0.5 * math.erfc(z / math.sqrt(2)))


def fisher_p(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """Return the probability of so many hits or more where hits fall on all alike (Fisher's exact test).

    Args:
        hits: Hits among the first.
        count: Number of the first.
        other_hits: Hits among the others.
        other_count: Number of the others.
    """
    total, drawn = count + other_count, hits + other_hits
    ways = sum(
        math.comb(count, k) * math.comb(other_count, drawn - k)
        for k in range(hits, min(count, drawn) + 1)
        if drawn - k <= other_count
    )
    return rounded(ways / math.comb(total, drawn))
