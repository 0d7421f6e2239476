"""What whitelisted arithmetic makes of observed values.

Few short numbers are out of reach of free arithmetic on a hundred values, so only what a reader would
call a comparison counts. All of it is about values of one unit, and of one entity but for settings:

- *over time*: two windows of the same metric and of the same length, one after the other or the first and
  the last: difference, later / earlier, percent change from the earlier to the later one; sums and means of
  consecutive windows; the last of a metric's windows of a length against a longer one around it, where
  neither value is more than twice the other;
- *against a setting*: a value and a number without a window (a target, a budget, a number of the prompt
  or of the decision): difference, ratio, share in percent and percent change, where neither is more than
  five times the other. The words of one name must be part of the other's (`cpa`, `target_cpa`); a number
  of the prompt has no name and meets every value of its unit (two percentages only by difference);
- *of one window*: cost per count (summed over consecutive windows too), quotient and difference of two
  sums of money, share of one count in another; and two values of names that share a word, such as
  `budget_before` and `budget_after`: difference and percent change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi.provenance.claims import Claimed
from opoi.provenance.sources import UnitClass, numeric, unit_class
from opoi.provenance.windows import Window, window_of
from opoi.types import Fact

__all__ = ["Derived", "Setting"]

MOST_WINDOWS = 32
"""Most windows of one metric (those revealed last) that are compared."""

MOST_SETTINGS = 16
"""Most numbers of the prompt and the decision (the last) that values are compared with."""

_NEAR = 5.0
_CLOSE = 2.0
_SLACK = 1e-9

_FITS: dict[str, tuple[tuple[UnitClass, float], ...]] = {
    "currency": (("currency", 1.0), ("", 1.0)),
    "%": (("%", 1.0),),
    "x": (("x", 1.0), ("", 1.0)),
    "": (("currency", 1.0), ("%", 1.0), ("%", 0.01), ("x", 1.0), ("count", 1.0), ("", 1.0)),
}
"""Unit of a claim -> classes of derived values that it can state, with the factor between them."""


class Setting(Struct, frozen=True):
    """A number that observed values are compared with.

    Attributes:
        name: What it is called, `""` for a number of a text.
        unit: Class of unit, `""` for any.
        value: Magnitude.
    """

    name: str
    unit: UnitClass
    value: float


class _Point(Struct, frozen=True):
    """A number that was observed; `window` is None for a setting."""

    entity: str
    metric: str
    unit: UnitClass
    window: Window | None
    value: float


class Derived:
    """Differences, ratios, percent changes, sums and means of few observed values.

    Args:
        facts: Observed facts, in the order in which they were revealed.
        own: Numbers of the prompt and of the decision.
    """

    def __init__(self, facts: Iterable[Fact], own: Iterable[Setting] = ()) -> None:
        self._points = list(dict.fromkeys(point for fact in facts for point in _points(fact)))
        self._own = tuple(dict.fromkeys(own))[-MOST_SETTINGS:]
        self._tables: dict[UnitClass, npt.NDArray[np.float64]] | None = None

    def restates(self, claim: Claimed) -> bool:
        """Return whether the claim is one of the derived values, rounded to the digits it prints."""
        if self._tables is None:
            self._tables = self._build()
        half = claim.step / 2 * (1 + _SLACK)
        for unit, factor in _FITS[claim.unit]:
            table = self._tables.get(unit)
            if table is None:
                continue
            first = np.searchsorted(table, (claim.value - half) / factor * (1 - _SLACK))
            if first < len(table) and table[first] * factor <= (claim.value + half) * (1 + _SLACK):
                return True
        return False

    def _build(self) -> dict[UnitClass, npt.NDArray[np.float64]]:
        found: dict[UnitClass, list[float]] = {}
        for unit, value in self._values():
            found.setdefault(unit, []).append(value)
        return {unit: np.unique(np.array(values)) for unit, values in found.items()}

    def _values(self) -> Iterator[tuple[UnitClass, float]]:
        timed = [point for point in self._points if point.window is not None]
        series: dict[tuple[str, str, UnitClass], list[_Point]] = {}
        windows: dict[tuple[str, Window | None], list[_Point]] = {}
        for point in timed:
            series.setdefault((point.entity, point.metric, point.unit), []).append(point)
            windows.setdefault((point.entity, point.window), []).append(point)
        runs: dict[tuple[str, Window], list[_Point]] = {}
        for points in series.values():
            recent = sorted(points[-MOST_WINDOWS:], key=_when)
            yield from _over_time(recent)
            for total, parts in _runs(recent):
                if total.unit in ("currency", "count"):
                    yield total.unit, total.value
                yield total.unit, total.value / parts
                runs.setdefault((total.entity, _at(total)), []).append(total)
        for points in windows.values():
            yield from _of_one_window(points)
        for points in runs.values():
            yield from _costs(points)
        yield from self._against_settings()

    def _against_settings(self) -> Iterator[tuple[UnitClass, float]]:
        settings = [point for point in self._points if point.window is None]
        for point in self._points:
            for setting in settings:
                if (
                    setting is not point
                    and setting.unit == point.unit
                    and (point.window is not None or setting.entity == point.entity)
                    and _related(setting.metric, point.metric)
                ):
                    yield from _compared(point, setting.value)
            for own in self._own:
                if own.unit in ("", point.unit) and (not own.name or _related(own.name, point.metric)):
                    yield from _compared(point, own.value, anonymous=not own.name)


def _points(fact: Fact) -> Iterator[_Point]:
    """Yield the fact as a point, if it is a number of a window that can be read, or of none."""
    value, window = numeric(fact), window_of(fact.window)
    if value is not None and (window is not None or not fact.window):
        yield _Point(fact.entity, fact.metric, unit_class(fact.unit), window, value)


def _at(point: _Point) -> Window:
    assert point.window is not None
    return point.window


def _when(point: _Point) -> tuple[int, int]:
    """Return the sorting key of a point in a series: windows of one length stand together, in time."""
    return _at(point).days, _at(point).first


def _related(left: str, right: str) -> bool:
    """Return whether the words of one name are part of the other's."""
    one, other = ({*name.casefold().split("_")} for name in (left, right))
    return one <= other or other <= one


def _within(left: float, right: float, factor: float) -> bool:
    return 0 < left <= factor * right and right <= factor * left


def _over_time(series: list[_Point]) -> Iterator[tuple[UnitClass, float]]:
    """Compare the windows of one metric; `series` is sorted by `_when`."""
    lengths: dict[int, list[_Point]] = {}
    for point in series:
        lengths.setdefault(_at(point).days, []).append(point)
    for same in lengths.values():
        for old, new in (*pairwise(same), *([(same[0], same[-1])] if len(same) > 2 else [])):
            yield from _changed(old, new)
        for around in series:
            if _at(same[-1]).inside(_at(around)) and _within(same[-1].value, around.value, _CLOSE):
                yield from _changed(around, same[-1])


def _changed(old: _Point, new: _Point) -> Iterator[tuple[UnitClass, float]]:
    yield old.unit, abs(new.value - old.value)
    if old.value:
        yield "x", new.value / old.value
        yield "%", 100 * abs(new.value / old.value - 1)


def _runs(series: list[_Point]) -> Iterator[tuple[_Point, int]]:
    """Yield sums over consecutive windows of one length, and the number of windows (two and more)."""
    for start, first in enumerate(series):
        total, end = first.value, _at(first).end
        for parts, point in enumerate(series[start + 1 :], start=2):
            if _at(point).days != _at(first).days or _at(point).first != end:
                break
            total, end = total + point.value, _at(point).end
            window = Window(_at(first).first, end - _at(first).first)
            yield _Point(first.entity, first.metric, first.unit, window, total), parts


def _of_one_window(points: list[_Point]) -> Iterator[tuple[UnitClass, float]]:
    """Compare the metrics of one entity and window, in the order in which they were revealed."""
    yield from _costs(points)
    for one, other in combinations(points, 2):
        if one.unit != other.unit or one.metric == other.metric or not (one.value and other.value):
            continue
        low, high = sorted((one.value, other.value))
        if one.unit == "count":
            yield "%", 100 * low / high
        elif one.unit == "currency":
            yield "x", one.value / other.value
            yield "x", other.value / one.value
            yield "currency", high - low
            if {*one.metric.casefold().split("_")} & {*other.metric.casefold().split("_")}:
                yield "%", 100 * abs(other.value / one.value - 1)


def _costs(points: list[_Point]) -> Iterator[tuple[UnitClass, float]]:
    """Yield money per count."""
    counts = [point.value for point in points if point.unit == "count" and point.value]
    for point in points:
        if point.unit == "currency":
            for count in counts:
                yield "currency", point.value / count


def _compared(point: _Point, setting: float, *, anonymous: bool = False) -> Iterator[tuple[UnitClass, float]]:
    """Compare a value with a setting."""
    if not _within(point.value, setting, _NEAR):
        return
    yield point.unit, abs(point.value - setting)
    if anonymous and point.unit == "%":
        return
    ratio = point.value / setting
    yield "x", ratio
    yield from (("%", 100 * ratio), ("%", 100 * abs(ratio - 1)))
