"""Uncertainty of one figure. The unit is the scenario: all runs of a scenario belong together.

A share gets Wilson's interval with as many trials as would vary as much as the scenarios do
(`share_interval`): it holds near 0 and 1, where a bootstrap is too narrow. Everything else gets a bootstrap
over scenarios, whose percentiles are corrected for bias, skewness (BCa) and few scenarios.
One set of draws serves every figure of every arm, so that differences between arms are paired. Draws come
from `opoi.seeds.Stream` and do not depend on numpy's generators.

Sums are exact: columns are first put on a binary grid so coarse that no sum of a resample needs more
than 53 bits. The order of summation (BLAS, threads, platform) then cannot change a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from opoi.intervals import Floats, rounded, t_quantile, wilson
from opoi.seeds import Stream
from opoi.types import Measure

__all__ = [
    "NOTE_NO_DATA",
    "affordable",
    "bootstrap_sums",
    "measure_of",
    "on_grid",
    "percentile_interval",
    "quotient",
    "ratio_measure",
    "share_interval",
    "weights",
]


MOST_DRAWS = 40_000_000
"""Most draws of a scenario in one bootstrap; more scenarios get fewer resamples."""

LEAST_RESAMPLES = 1_000
CHUNK_DRAWS = 1_000_000

_NORMAL = NormalDist()
_NO_VARIANCE = 1e-18

NOTE_NO_DATA = "nothing to measure"
NOTE_ONE = "one scenario: no interval"


def affordable(resamples: int, scenarios: int) -> int:
    """Return how many resamples to make: as asked, fewer for many scenarios, never under 1,000 if asked.

    Args:
        resamples: Resamples asked for, at least 1.
        scenarios: Number of scenarios, 0 or more.
    """
    cap = max(LEAST_RESAMPLES, MOST_DRAWS // max(1, scenarios))
    return max(1, min(resamples, cap))


def weights(stream: Stream, scenarios: int, resamples: int) -> Iterator[Floats]:
    """Yield how often each scenario is in each resample, in chunks of shape `(rows, scenarios)`.

    Every row sums to `scenarios`. Row i depends on the stream, i and the number of scenarios alone.
    The bias of a draw is below `scenarios / 2**32`.
    """
    step = max(1, CHUNK_DRAWS // max(1, scenarios))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        count = step * scenarios
        words = np.frombuffer(stream.raw((count + 1) // 2, "chunk", start), dtype="<u4")
        drawn = (words[: rows * scenarios].astype(np.uint64) * np.uint64(scenarios)) >> np.uint64(32)
        offsets = np.repeat(np.arange(rows, dtype=np.int64) * scenarios, scenarios)
        flat = np.bincount(drawn.astype(np.int64) + offsets, minlength=rows * scenarios)
        yield flat.reshape(rows, scenarios).astype(np.float64)


def on_grid(columns: Floats) -> Floats:
    """Round each column of shape `(scenarios, columns)` to a grid on which all its sums are exact.

    The grid is at most `scenarios * max|column| * 2**-51`: integers below 2**51 / scenarios stay as
    they are, other values move by a relative 1e-12 or less for 1,000 scenarios.
    """
    if columns.size == 0:
        return columns
    largest = np.abs(columns).max(axis=0) * len(columns)
    _, exponents = np.frexp(largest)
    grid = np.ldexp(1.0, np.maximum(exponents - 52, -1000))
    return np.asarray(np.round(columns / grid) * grid, dtype=np.float64)


def bootstrap_sums(columns: Floats, stream: Stream, resamples: int) -> Floats:
    """Return the column sums of every resample of the rows.

    Args:
        columns: Shape `(scenarios, columns)`, on the grid of `on_grid`.
        stream: Where the draws come from.
        resamples: Number of resamples.

    Returns:
        Sums of shape `(resamples, columns)`.
    """
    if len(columns) == 0:
        return np.zeros((resamples, columns.shape[1]))
    return np.concatenate([chunk @ columns for chunk in weights(stream, len(columns), resamples)])


def percentile_interval(
    samples: Floats, n: int, corrected: tuple[float, float] | None = None
) -> tuple[float, float] | None:
    """Return the ends of a 95 % interval from resamples, None where none of them is finite.

    The plain percentiles of n scenarios are too close by a factor of `sqrt((n-1)/n)`, and take the spread as
    known. The levels that are taken instead would make the interval of a mean that of Student's t
    (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.3: expanded percentiles).
    Where the acceleration is known, they are then moved as for BCa (Efron 1987).

    Args:
        samples: The estimate in every resample.
        n: Number of scenarios behind it, at least 2.
        corrected: The estimate and its acceleration, None for percentiles as they are.
    """
    finite = samples[np.isfinite(samples)]
    if finite.size == 0:
        return None
    reach = math.sqrt(n / (n - 1)) * t_quantile(n - 1)
    shift, skew = (0.0, 0.0) if corrected is None else (_shift(finite, corrected[0]), corrected[1])
    levels = []
    for side in (-reach, reach):
        moved = 1 - skew * (shift + side)
        levels.append(_NORMAL.cdf(shift + (shift + side) / moved) if moved > 0 else float(side > 0))
    low, high = np.quantile(finite, levels)
    return float(low), float(high)


def _shift(samples: Floats, value: float) -> float:
    """Return by how many standard deviations the median of the resamples is off the estimate."""
    slack = 1e-12 * max(1.0, abs(value))
    below = np.count_nonzero(samples < value - slack) + np.count_nonzero(abs(samples - value) <= slack) / 2
    return _NORMAL.inv_cdf(min(max(below, 0.5), samples.size - 0.5) / samples.size)


def share_interval(numerators: Floats, denominators: Floats) -> tuple[float, float]:
    """Return a 95 % interval of a share that is a ratio of two sums over scenarios.

    Wilson's interval with `n` in the place of the number of trials and Student's quantile in the place of the
    normal one: `n = p(1-p) / v`, where v is the variance of the ratio by linearisation, with scenarios as
    clusters. Where all scenarios have the very same share, 0 and 1 included, nothing tells how much they
    would vary, and their number stands for n: on the safe side, and wider than where they hardly differ.
    n has no upper bound: means of shares, as of runs that agree, vary less than what is 0 or 1.
    Source: Korn and Graubard 1998 and Dean and Pagano 2015 on intervals of shares from clustered samples;
    Wilson 1927.

    Args:
        numerators: One per scenario.
        denominators: One per scenario, at least two of them above 0; the share of their sums is in [0, 1].
    """
    used = denominators > 0
    above, below = numerators[used], denominators[used]
    n, whole = len(below), float(below.sum())
    share = min(1.0, max(0.0, float(above.sum()) / whole))
    residuals = (above - share * below) ** 2
    variance = n / (n - 1) * math.fsum(residuals.tolist()) / whole**2
    trials = float(n) if variance <= _NO_VARIANCE else share * (1 - share) / variance
    return wilson(share * trials, trials, t_quantile(n - 1))


def measure_of(
    value: float, samples: Floats | None, *, n: int, note: str = "", skew: float | None = None
) -> Measure:
    """Return a figure with its bootstrap interval.

    Args:
        value: The estimate.
        samples: The estimate in every resample, None where there are none.
        n: Number of scenarios that contributed.
        note: What else to say.
        skew: Acceleration of the estimate, for an interval that is corrected for bias and skewness.
    """
    shown = rounded(value)
    if n < 2 or samples is None:
        return Measure(value=shown, n=n, note=note or (NOTE_ONE if n < 2 else ""))
    interval = percentile_interval(samples, n, None if skew is None else (value, skew))
    if interval is None:
        return Measure(value=shown, n=n, note=note)
    low, high = map(rounded, interval)
    if low == high:  # resamples of scenarios that are alike are alike
        most = f"{100 * (1 - 0.05 ** (1 / n)):.2g} %"
        note = "; ".join(
            filter(None, (note, f"alike in all {n} scenarios: 95 % sure that under {most} differ"))
        )
    return Measure(value=shown, low=low, high=high, n=n, note=note)


def _skew(numerators: Floats, denominators: Floats, value: float) -> float:
    """Return the acceleration of a ratio of sums: a sixth of the skewness of what scenarios add."""
    influence = numerators - value * denominators
    spread = math.fsum((influence**2).tolist()) ** 1.5
    return rounded(math.fsum((influence**3).tolist()) / (6 * spread), 9) if spread else 0.0


def ratio_measure(
    numerators: Floats,
    denominators: Floats,
    sums: tuple[Floats, Floats] | None,
    *,
    unit: str,
    note: str = "",
) -> Measure:
    """Return a ratio of sums over scenarios with its interval.

    Args:
        numerators: One per scenario, on the grid.
        denominators: One per scenario, on the grid; 0 where the scenario contributes nothing.
        sums: Both summed in every resample, for figures that are no share; None for no interval.
        unit: Unit of the figure; a `share` gets Wilson's interval.
        note: What else to say.
    """
    n = int(np.count_nonzero(denominators))
    below = float(denominators.sum())
    if n == 0 or below == 0:
        return Measure(value=None, note=note or NOTE_NO_DATA)
    value = float(numerators.sum()) / below
    if unit == "share" and n > 1:
        low, high = map(rounded, share_interval(numerators, denominators))
        return Measure(value=rounded(value), low=low, high=high, n=n, note=note)
    samples = None if sums is None else quotient(*sums)
    return measure_of(value, samples, n=n, note=note, skew=_skew(numerators, denominators, value))


def quotient(above: Floats, below: Floats) -> Floats:
    """Return `above / below`, NaN where `below` is 0."""
    result = np.full_like(above, np.nan)
    np.divide(above, below, out=result, where=below != 0)
    return result
