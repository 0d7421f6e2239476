"""Figures that are a ratio of two sums over scenarios: the shape of nearly every figure here.

Such a figure is a function `Group -> {name: (numerator, denominator)}`. Called alone it is an
`opoi.protocols.Metric`; `opoi.measures.measure_all` walks an arm once for all of them together, and
functions that serve several figures are called once per group.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opoi.errors import ArtefactError
from opoi.intervals import Floats
from opoi.measures.statistics import affordable, bootstrap_sums, on_grid, ratio_measure
from opoi.seeds import Stream
from opoi.types import Arm, Group, Measure

__all__ = ["NO_TEXT", "Columns", "Pair", "RatioMetric", "Tally", "bootstrap_stream", "ratio"]

Pair = tuple[float, float]
"""Numerator and denominator of one scenario; `(0, 0)` contributes nothing."""

Tally = Callable[[Group], Mapping[str, Pair]]

NO_TEXT = "no text"
"""Why a policy row lacks the figures that read traces."""


@dataclass(eq=False, slots=True)
class RatioMetric:
    """A figure that is a ratio of sums; satisfies `opoi.protocols.Metric`.

    Attributes:
        name: Key in the results.
        title: Column head.
        unit: `share`, `count`, `bits`, or `utility` for the suite's unit.
        doc: One line: what the figure says.
        tally: Gives the pair of this name (and maybe others) for a group.
        text: Whether it reads traces, so that a policy row cannot have it.
    """

    name: str
    title: str
    unit: str
    doc: str
    tally: Tally
    text: bool = True

    def __call__(self, arm: Arm, *, seed: int = 0, resamples: int = 10_000) -> Measure:
        """Walk the arm and return the figure with its 95 % bootstrap interval."""
        if self.text and arm.kind == "policy":
            return Measure(value=None, note=NO_TEXT)
        columns = Columns([self])
        for group in arm.groups():
            columns.add(group, where=arm.name)
        ids = sorted(columns.ids)
        above, below = (on_grid(part[:, None]) for part in columns.aligned(self.name, ids))
        sums = bootstrap_sums(
            np.hstack([above, below]), bootstrap_stream(seed), affordable(resamples, len(ids))
        )
        return ratio_measure(above[:, 0], below[:, 0], (sums[:, 0], sums[:, 1]), unit=self.unit)


def ratio(
    name: str, title: str, unit: str, doc: str, *, text: bool = True
) -> Callable[[Callable[[Group], Pair]], RatioMetric]:
    """Make a figure of a function `Group -> (numerator, denominator)`.

    >>> @ratio("runs", "runs", "count", "Runs per scenario.", text=False)
    ... def runs(group):
    ...     return len(group.cleaned), 1
    >>> runs.name
    'runs'
    """

    def wrap(count: Callable[[Group], Pair]) -> RatioMetric:
        def tally(group: Group) -> Mapping[str, Pair]:
            return {name: count(group)}

        return RatioMetric(name, title, unit, doc, tally, text)

    return wrap


def bootstrap_stream(seed: int) -> Stream:
    """Return the stream of the bootstrap: the same for all figures and arms of a run."""
    return Stream(seed, "measures", "bootstrap")


class Columns:
    """Two numbers per scenario for each of several figures, filled in one walk.

    Args:
        metrics: The figures to count.
    """

    def __init__(self, metrics: Iterable[RatioMetric]) -> None:
        self.metrics = tuple(metrics)
        self.ids: dict[str, int] = {}
        self._tallies = tuple(dict.fromkeys(metric.tally for metric in self.metrics))
        self._above = {metric.name: array("d") for metric in self.metrics}
        self._below = {metric.name: array("d") for metric in self.metrics}

    def add(self, group: Group, *, where: str) -> None:
        """Count one group.

        Raises:
            opoi.errors.ArtefactError: The scenario was counted before.
        """
        name = group.scenario.id
        if name in self.ids:
            raise ArtefactError(
                f"arm {where!r} has scenario {name!r} twice",
                why="every figure takes a scenario as one unit",
                fix="give every scenario of a run an id of its own",
            )
        self.ids[name] = len(self.ids)
        pairs: dict[str, Pair] = {}
        for tally in self._tallies:
            pairs.update(tally(group))
        for metric in self.metrics:
            above, below = pairs[metric.name]
            self._above[metric.name].append(above)
            self._below[metric.name].append(below)

    def aligned(self, name: str, ids: Sequence[str]) -> tuple[Floats, Floats]:
        """Return numerators and denominators in the order of `ids`, 0 for scenarios without a group."""
        rows = np.array([self.ids.get(item, -1) for item in ids], dtype=np.int64)
        return _take(self._above[name], rows), _take(self._below[name], rows)


def _take(values: array[float], rows: np.ndarray) -> Floats:
    padded = np.append(np.frombuffer(values, dtype=np.float64) if values else np.zeros(0), 0.0)
    return np.asarray(padded[rows], dtype=np.float64)
