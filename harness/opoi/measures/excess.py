"""Figures that are the difference of two ratios of sums on the same arm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opoi.intervals import Floats
from opoi.measures.define import Described, define
from opoi.measures.ratio import NO_TEXT, Columns, RatioMetric, bootstrap_stream, matched, seen_of
from opoi.measures.statistics import NOTE_NO_DATA, affordable, bootstrap_sums, measure_of, on_grid, quotient
from opoi.protocols import Suite
from opoi.types import Arm, Measure

__all__ = ["ExcessMetric", "excess_measure", "excess_of"]


class ExcessMetric(Described, frozen=True, eq=False):
    """The difference of two figures; satisfies `opoi.protocols.Metric`.

    Attributes:
        more: From this one
        less: this one is taken.
    """

    more: RatioMetric
    less: RatioMetric

    def of(self, suite: Suite) -> ExcessMetric:
        """Return the figure for arms of a suite."""
        return ExcessMetric(self.name, self.definition, self.more.of(suite), self.less.of(suite))

    def __call__(self, arm: Arm, *, seed: int = 0, resamples: int = 10_000) -> Measure:
        """Walk the arm and return the figure with its 95 % interval."""
        if not self.more.policies and arm.kind == "policy":
            return Measure(value=None, note=NO_TEXT)
        columns = Columns((self.more, self.less))
        for group, base in matched(arm):
            columns.add(seen_of(group, base, self.more.suite), where=arm.name)
        ids = sorted(columns.ids)
        parts = [part for each in (self.more, self.less) for part in columns.aligned(each.name, ids)]
        table = on_grid(np.column_stack(parts)) if ids else np.zeros((0, 4))
        return excess_measure(
            table, bootstrap_sums(table, bootstrap_stream(seed), affordable(resamples, len(ids)))
        )


def excess_of(
    title: str, more: RatioMetric, less: RatioMetric
) -> Callable[[Callable[[], None]], ExcessMetric]:
    """Make a figure of two; the docstring of the function under it says what it means.

    Args:
        title: Column head.
        more: From this one
        less: this one is taken.
    """

    def wrap(told: Callable[[], None]) -> ExcessMetric:
        return ExcessMetric(told.__name__, define(told, title), more, less)

    return wrap


def excess_measure(columns: Floats, drawn: Floats) -> Measure:
    """Return the difference of two ratios of sums with its bootstrap interval.

    Args:
        columns: Numerator and denominator of both, shape `(scenarios, 4)`, on the grid.
        drawn: The same summed in every resample, shape `(resamples, 4)`.
    """
    sums = columns.sum(axis=0)
    if not (sums[1] and sums[3]):
        return Measure(value=None, note=NOTE_NO_DATA)
    value = float(sums[0] / sums[1] - sums[2] / sums[3])
    samples = quotient(drawn[:, 0], drawn[:, 1]) - quotient(drawn[:, 2], drawn[:, 3])
    return measure_of(value, samples, n=int(np.count_nonzero(columns[:, 1] + columns[:, 3])))
