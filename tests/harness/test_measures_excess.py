"""The difference of two figures: against the figures themselves, and its interval against scipy's."""

import numpy as np
import pytest
from scipy import stats

from opoi.measures.excess import excess_measure
from opoi.measures.statistics import bootstrap_sums, on_grid
from opoi.seeds import Stream


def measured(columns, resamples=4_000):
    table = on_grid(np.asarray(columns, dtype=np.float64))
    return excess_measure(table, bootstrap_sums(table, Stream(1, "t"), resamples))


def test_the_excess_is_the_difference_of_the_ratios_and_its_interval_is_scipys():
    rng = np.random.default_rng(2)
    off, on = rng.integers(0, 3, 300), rng.integers(1, 4, 300)
    wrong_off, wrong_on = rng.binomial(off, 0.6), rng.binomial(on, 0.2)
    found = measured(np.column_stack([wrong_off, off, wrong_on, on]))
    assert found.value == pytest.approx(wrong_off.sum() / off.sum() - wrong_on.sum() / on.sum())
    theirs = stats.bootstrap(
        (wrong_off, off, wrong_on, on),
        lambda a, b, c, d, axis: a.sum(axis) / b.sum(axis) - c.sum(axis) / d.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=4_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)


def test_an_arm_that_never_leaves_the_path_has_no_excess():
    assert measured([[0, 0, 1, 3], [0, 0, 0, 3]]).value is None


def test_swapping_both_figures_turns_the_sign():
    rows = np.array([[1, 2, 0, 1], [0, 1, 1, 2], [2, 2, 0, 1], [1, 1, 1, 1]], dtype=np.float64)
    assert measured(rows).value == pytest.approx(-measured(rows[:, [2, 3, 0, 1]]).value)
