"""Figures that are a ratio of two sums over scenarios: the shape of nearly every figure here.

Such a figure is one function `Seen -> (numerator, denominator)` under the decorator `figure`. Called with an
arm it is an `opoi.protocols.Metric`; `opoi.measures.measure_all` walks an arm once for all of them together.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from opoi.errors import ArtefactError, PluginError
from opoi.intervals import Floats
from opoi.measures.define import Described, define
from opoi.measures.seen import Seen
from opoi.measures.statistics import affordable, bootstrap_sums, on_grid, ratio_measure
from opoi.protocols import Suite
from opoi.seeds import Stream
from opoi.types import Arm, Group, Measure, Tier

__all__ = [
    "NO_TEXT",
    "Columns",
    "Packed",
    "Pair",
    "RatioMetric",
    "bootstrap_stream",
    "check_share",
    "figure",
    "matched",
    "missing",
    "seen_of",
]

Pair = tuple[float, float]
"""Numerator and denominator of one scenario; `(0, 0)` contributes nothing."""

NO_TEXT = "no text"
"""Why a policy row lacks the figures that read traces."""

_SLACK = 1e-9
"""How far a share may be out of its range by rounding, in units of the denominator or of 1."""


class RatioMetric(Described, frozen=True, eq=False):
    """A figure that is a ratio of sums; satisfies `opoi.protocols.Metric`.

    Attributes:
        count: Gives numerator and denominator of one scenario.
        policies: Whether a row that only decides can have it; else it reads traces.
        suite: Of the arms that it is called with; None to look it up by the name in each scenario.
    """

    count: Callable[[Seen], Pair]
    policies: bool = False
    suite: Suite | None = None

    def of(self, suite: Suite) -> RatioMetric:
        """Return the figure for arms of a suite."""
        return replace(self, suite=suite)

    def __call__(self, arm: Arm, *, seed: int = 0, resamples: int = 10_000) -> Measure:
        """Walk the arm and return the figure with its 95 % interval."""
        if not self.policies and arm.kind == "policy":
            return Measure(value=None, note=NO_TEXT)
        columns = Columns([self])
        for group, base in matched(arm):
            columns.add(seen_of(group, base, self.suite), where=arm.name)
        ids = sorted(columns.ids)
        check_share(self, ids, *columns.aligned(self.name, ids))
        above, below = (on_grid(part[:, None]) for part in columns.aligned(self.name, ids))
        sums = None
        if self.unit != "share":
            stream, count = bootstrap_stream(seed), affordable(resamples, len(ids))
            drawn = bootstrap_sums(np.hstack([above, below]), stream, count)
            sums = drawn[:, 0], drawn[:, 1]
        found = ratio_measure(above[:, 0], below[:, 0], sums, unit=self.unit)
        return missing(found, self.needs) if columns.kept else found


def seen_of(group: Group, base: Group | None, suite: Suite | None) -> Seen:
    """Return what figures read of a group with that of its base arm."""
    return Seen(group, suite, base=None if base is None else Seen(base, suite))


def figure(title: str, *, policies: bool = False) -> Callable[[Callable[[Seen], Pair]], RatioMetric]:
    """Make a figure of a function `Seen -> (numerator, denominator)`; its docstring says what it means.

    >>> @figure("runs", policies=True)
    ... def runs(seen):
    ...     \"\"\"Runs per scenario.
    ...
    ...     Formula: traces / scenarios
    ...     Unit: count
    ...     \"\"\"
    ...     return len(seen.cleaned), 1
    >>> runs.name, runs.unit, runs.definition.formula
    ('runs', 'count', 'traces / scenarios')

    Args:
        title: Column head.
        policies: Whether a row that only decides can have it.
    """

    def wrap(count: Callable[[Seen], Pair]) -> RatioMetric:
        return RatioMetric(count.__name__.rstrip("_"), define(count, title, parts=True), count, policies)

    return wrap


def check_share(metric: RatioMetric, ids: Sequence[str], above: Floats, below: Floats) -> None:
    """Check that a figure that calls itself a share is one in every scenario.

    Args:
        metric: The figure.
        ids: The scenarios.
        above: Its numerator in each of them.
        below: Its denominator.

    Raises:
        opoi.errors.PluginError: A numerator, or a denominator, is below 0 or not finite, or the numerator is
            above the denominator.
    """
    if metric.unit != "share":
        return
    slack = _SLACK * np.maximum(1.0, np.abs(below))
    wrong = np.flatnonzero(~((above >= -slack) & (above <= below + slack) & np.isfinite(below)))
    if wrong.size:
        first = int(wrong[0])
        raise PluginError(
            f"the figure {metric.name!r} is no share: {above[first]:g} of {below[first]:g} in {ids[first]!r}",
            why="a share lies in 0..1, and a figure without `Unit:` in its docstring is one",
            fix="say `Unit: count`, or `Unit: x`, in its docstring, or mend what it counts",
        )


def missing(measure: Measure, needs: Tier) -> Measure:
    """Return a figure of kept traces, or what it needs where nothing of that kind came with them."""
    if measure.value is None and needs is not Tier.T0:
        return Measure(value=None, note=f"needs {needs}")
    return measure


def matched(arm: Arm) -> Iterator[tuple[Group, Group | None]]:
    """Yield each group of an arm with that of its base arm on the same scenario, None where there is none.

    Both are read side by side; of two arms in the same order only one group each is held.
    """
    if arm.base is None:
        yield from ((group, group) for group in arm.groups())
        return
    others = arm.base.groups()
    waiting: dict[str, Group] = {}
    for group in arm.groups():
        name = group.scenario.id
        while name not in waiting and (other := next(others, None)) is not None:
            waiting[other.scenario.id] = other
        yield group, waiting.pop(name, None)


def bootstrap_stream(seed: int) -> Stream:
    """Return the stream of the bootstrap: the same for all figures and arms of a run."""
    return Stream(seed, "measures", "bootstrap")


class Packed(Struct, frozen=True):
    """The content of `Columns` as plain bytes."""

    ids: tuple[str, ...]
    kept: int
    above: dict[str, bytes]
    below: dict[str, bytes]


class Columns:
    """Two numbers per scenario for each of several figures, filled in one walk.

    Args:
        metrics: The figures to count.

    Attributes:
        ids: Scenarios counted, with their places.
        kept: Number of kept traces.
    """

    def __init__(self, metrics: Iterable[RatioMetric]) -> None:
        self.metrics = tuple(metrics)
        self.ids: dict[str, int] = {}
        self.kept = 0
        self._above = {metric.name: array("d") for metric in self.metrics}
        self._below = {metric.name: array("d") for metric in self.metrics}

    def add(self, seen: Seen, *, where: str) -> None:
        """Count one scenario.

        Raises:
            opoi.errors.ArtefactError: The scenario was counted before.
        """
        self._name(seen.scenario.id, where)
        self.kept += len(seen.kept)
        for metric in self.metrics:
            above, below = metric.count(seen)
            self._above[metric.name].append(above)
            self._below[metric.name].append(below)

    def _name(self, name: str, where: str) -> None:
        """Give a scenario the next place."""
        if name in self.ids:
            raise ArtefactError(
                f"arm {where!r} has scenario {name!r} twice",
                why="every figure takes a scenario as one unit",
                fix="give every scenario of a run an id of its own",
            )
        self.ids[name] = len(self.ids)

    def packed(self) -> Packed:
        """Return what was counted, for another process."""
        return Packed(
            ids=tuple(self.ids),
            kept=self.kept,
            above={name: values.tobytes() for name, values in self._above.items()},
            below={name: values.tobytes() for name, values in self._below.items()},
        )

    def take(self, parts: Iterable[Packed], *, where: str) -> None:
        """Add what other processes counted, each of other scenarios.

        Raises:
            opoi.errors.ArtefactError: A scenario was counted before.
        """
        for part in parts:
            for name in part.ids:
                self._name(name, where)
            self.kept += part.kept
            for metric in self.metrics:
                self._above[metric.name].frombytes(part.above[metric.name])
                self._below[metric.name].frombytes(part.below[metric.name])

    def aligned(self, name: str, ids: Sequence[str]) -> tuple[Floats, Floats]:
        """Return numerators and denominators in the order of `ids`, 0 for scenarios without a group."""
        rows = np.array([self.ids.get(item, -1) for item in ids], dtype=np.int64)
        return _take(self._above[name], rows), _take(self._below[name], rows)


def _take(values: array[float], rows: np.ndarray) -> Floats:
    padded = np.append(np.frombuffer(values, dtype=np.float64) if values else np.zeros(0), 0.0)
    return np.asarray(padded[rows], dtype=np.float64)
