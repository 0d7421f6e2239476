"""What whitelisted arithmetic makes of observed values, with the expression.

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
  `budget_before` and `budget_after`: difference and percent change, either way.

The order in which facts came does not matter. The table is built, by whole columns, when the first claim is
asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from opoi.provenance.claims import Claimed, rounded
from opoi.provenance.points import UNITS, Floats, Ints, Points, Setting, across, within
from opoi.provenance.sources import UnitClass
from opoi.types import Fact

__all__ = ["FITS", "Derivation", "Derived", "Operation", "derivation", "restating"]

NEAR = 5.0
_CLOSE = 2.0
_SLACK = 1e-9
_CURRENCY, _PERCENT, _TIMES, _COUNT = range(4)

FITS: dict[str, tuple[tuple[UnitClass, float], ...]] = {
    "currency": (("currency", 1.0), ("", 1.0)),
    "%": (("%", 1.0),),
    "x": (("x", 1.0), ("", 1.0)),
    "": (("currency", 1.0), ("%", 1.0), ("%", 0.01), ("x", 1.0), ("count", 1.0), ("", 1.0)),
}
"""Unit of a claim -> classes of derived values that it can state, with the factor between them."""


class Operation(IntEnum):
    """What is done with two numbers, or with the parts of one.

    `DISTANCE` and `SWING` are difference and change of two numbers on different sides of 0: as magnitudes
    stand in expressions, they are added.
    """

    DIFFERENCE = 0
    RATIO = 1
    SHARE = 2
    CHANGE = 3
    SUM = 4
    MEAN = 5
    DISTANCE = 6
    SWING = 7


class Derivation(Struct, frozen=True):
    """Arithmetic that gives a claimed value.

    Attributes:
        expression: Numbers, brackets and signs, e.g. `(52.1 - 40) / 40`.
        value: What it comes to, in the unit: the expression's own magnitude, times 100 for `%`.
        unit: `%`, `x`, a currency, `count` or `""`.
        names: What the numbers are.
    """

    expression: str
    value: float
    unit: str
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """The equation on one line, e.g. `(52.1 - 40) / 40 = 30.25 %`."""
        return " ".join(part for part in (self.expression, "=", f"{self.value:.7g}", self.unit) if part)


class _Block(NamedTuple):
    """Values that one operation makes; `left` and `right` are positions among the points."""

    operation: Operation
    unit: Ints
    value: Floats
    left: Ints
    right: Ints
    left_parts: Ints
    right_parts: Ints


class Derived:
    """Differences, ratios, percent changes, sums and means of few observed values.

    Args:
        facts: Observed facts, in any order.
        own: Numbers of the prompt and of the decision.
        hidden: Facts that are not compared here, but stand among the points for whoever does.
    """

    def __init__(
        self, facts: Iterable[Fact], own: Iterable[Setting] = (), hidden: Iterable[Fact] = ()
    ) -> None:
        self._facts = tuple(facts)
        self._own = tuple(own)
        self._hidden = tuple(hidden)

    @cached_property
    def points(self) -> Points:
        """The numbers that are worked on."""
        return Points(self._facts, self._own, self._hidden)

    def restates(self, claim: Claimed) -> Derivation | None:
        """Return the arithmetic that gives the claim, rounded to the digits it prints, None without any."""
        return self._look_up(claim)

    def rounds(self, claim: Claimed) -> Derivation | None:
        """The same for a round whole number, exact only to its last digit that is not 0."""
        loose = rounded(claim)
        return None if loose is None else self._look_up(loose)

    def _look_up(self, claim: Claimed) -> Derivation | None:
        for unit, factor in FITS[claim.unit]:
            block = self._tables.get(unit)
            if block is not None:
                found = restating(claim, block[0], factor)
                if len(found):
                    return self._render(int(block[1][found[0]]))
        return None

    @cached_property
    def _blocks(self) -> list[_Block]:
        return [block for block in _blocks(self.points) if len(block.value)]

    @cached_property
    def _tables(self) -> dict[UnitClass, tuple[Floats, Ints]]:
        """Values by class of unit, each with its position among the values of all blocks."""
        if not self._blocks:
            return {}
        value = np.concatenate([block.value for block in self._blocks])
        unit = np.concatenate([block.unit for block in self._blocks])
        rows = {name: np.flatnonzero(unit == code) for code, name in enumerate(UNITS)}
        return {name: (value[found], found) for name, found in rows.items() if len(found)}

    def _render(self, position: int) -> Derivation:
        for block in self._blocks:
            if position < len(block.value):
                break
            position -= len(block.value)
        return derivation(
            self.points,
            block.operation,
            (int(block.left[position]), int(block.left_parts[position])),
            (int(block.right[position]), int(block.right_parts[position])),
            value=float(block.value[position]),
            unit=UNITS[int(block.unit[position])],
        )


def restating(claim: Claimed, values: Floats, factor: float) -> Ints:
    """Return the positions of the values that the claim is, rounded to the digits it prints."""
    scaled = values * factor
    return np.flatnonzero(np.abs(scaled - claim.value) <= claim.step / 2 * (1 + _SLACK) + _SLACK * scaled)


def derivation(
    points: Points,
    operation: Operation,
    left: tuple[int, int],
    right: tuple[int, int],
    *,
    value: float,
    unit: UnitClass,
) -> Derivation:
    """Return the arithmetic on two numbers, each a position and a number of parts, in words and signs."""
    one, other = points.text(*left), points.text(*right)
    names = dict.fromkeys((points.name(*left), points.name(*right)))
    if operation is Operation.DIFFERENCE:
        low, high = sorted(
            (one, other), key=lambda term: float(points.value[left[0] if term == one else right[0]])
        )
        expression = f"{high} - {low}"
    elif operation is Operation.DISTANCE:
        expression = f"{one} + {other}"
    elif operation is Operation.SWING:
        expression = f"({one} + {other}) / {other}"
    elif operation is Operation.CHANGE:
        expression = f"({one} - {other}) / {other}"
    elif operation is Operation.SUM:
        expression, names = one.strip("()"), {points.name(*left): None}
    elif operation is Operation.MEAN:
        expression, names = f"{one} / {left[1]}", {points.name(*left): None}
    else:
        expression = f"{one} / {other}"
    shown = unit if unit in ("%", "x", "") else points.printed_unit(left[0])
    return Derivation(expression, value, shown, tuple(names))


# ---------------------------------------------------------------- the table


def _block(
    operation: Operation,
    unit: Ints | int,
    value: Floats,
    left: Ints,
    right: Ints,
    *,
    left_parts: Ints | int = 1,
    right_parts: Ints | int = 1,
) -> _Block:
    shape = np.zeros(len(value), dtype=np.int64)
    return _Block(operation, unit + shape, value, left, right, left_parts + shape, right_parts + shape)


def _blocks(points: Points) -> Iterator[_Block]:
    """Yield everything that the module's documentation lists."""
    yield from _over_time(points)
    yield from _around(points)
    runs = _runs(points)
    if runs is not None:
        yield from _totals(points, runs)
        yield from _costs_of_runs(points, runs)
    yield from _of_one_window(points)
    yield from _against_settings(points)


def _changed(points: Points, old: Ints, new: Ints) -> Iterator[_Block]:
    before, after = points.value[old], points.value[new]
    yield _block(Operation.DIFFERENCE, points.unit[old], np.abs(after - before), new, old)
    some = before != 0
    old, new, before, after = old[some], new[some], before[some], after[some]
    yield _block(Operation.RATIO, _TIMES, after / before, new, old)
    yield _block(Operation.CHANGE, _PERCENT, 100 * np.abs(after / before - 1), new, old)


def _lengths(points: Points) -> Ints:
    """Return codes of (series, length of window) of the numbers that belong to a window."""
    days = points.days[: points.timed]
    return points.series[: points.timed] * (1 + int(days.max(initial=0))) + days


def _over_time(points: Points) -> Iterator[_Block]:
    """Compare neighbours, and the ends of what has more than two windows."""
    key = _lengths(points)
    if not len(key):
        return
    same = np.flatnonzero((key[1:] == key[:-1]) & (np.diff(points.first[: points.timed]) > 0))
    yield from _changed(points, same, same + 1)
    starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    ends = np.append(starts[1:], len(key)) - 1
    long = ends - starts > 1
    yield from _changed(points, starts[long], ends[long])


def _around(points: Points) -> Iterator[_Block]:
    """Compare the last window of each length with longer ones around it."""
    key = _lengths(points)
    lasts = np.flatnonzero(np.diff(key, append=key[-1:] + 1))
    if not len(lasts):
        return
    series = points.series[: points.timed]
    at, around = across(series[lasts], series)
    last = lasts[at]
    first, end = points.first, points.first + points.days
    fits = (
        (points.days[last] < points.days[around])
        & (first[around] <= first[last])
        & (end[last] <= end[around])
    )
    fits &= _within(points.value[last], points.value[around], _CLOSE)
    yield from _changed(points, around[fits], last[fits])


class _Runs(NamedTuple):
    """Sums over consecutive windows of one length: how many, where they start, and what they come to."""

    parts: Ints
    start: Ints
    total: Floats


def _runs(points: Points) -> _Runs | None:
    """Return the sums over two and more windows, None where no window follows another."""
    key, first, days = _lengths(points), points.first[: points.timed], points.days[: points.timed]
    chained = np.zeros(len(key), dtype=bool)
    chained[:-1] = (key[1:] == key[:-1]) & (first[:-1] + days[:-1] == first[1:])
    start = np.flatnonzero(chained)
    total = points.value[start]
    found: list[tuple[Ints, Ints, Floats]] = []
    while len(start):
        parts = len(found) + 2
        total = total + points.value[start + parts - 1]
        found.append((np.full(len(start), parts), start, total))
        on = chained[start + parts - 1]
        start, total = start[on], total[on]
    return _Runs(*(np.concatenate(column) for column in zip(*found, strict=True))) if found else None


def _totals(points: Points, runs: _Runs) -> Iterator[_Block]:
    unit = points.unit[runs.start]
    summed = (unit == _CURRENCY) | (unit == _COUNT)
    start, parts = runs.start[summed], runs.parts[summed]
    yield _block(Operation.SUM, unit[summed], runs.total[summed], start, start, left_parts=parts)
    yield _block(Operation.MEAN, unit, runs.total / runs.parts, runs.start, runs.start, left_parts=runs.parts)


def _window_key(points: Points, rows: Ints, days: Ints) -> Ints:
    """Return codes of (entity, window) for windows of so many days that begin where the rows do."""
    width = 1 + int(days.max(initial=0))
    span = 1 + int(points.first.max(initial=0))
    return (points.entity[rows] * span + points.first[rows]) * width + days


def _costs_of_runs(points: Points, runs: _Runs) -> Iterator[_Block]:
    """Yield money per count, both summed over the same days."""
    parts, start, total = runs
    key = _window_key(points, start, points.days[start] * parts)
    money = np.flatnonzero(points.unit[start] == _CURRENCY)
    counts = np.flatnonzero((points.unit[start] == _COUNT) & (total != 0))
    one, other = across(key[money], key[counts])
    left, right = money[one], counts[other]
    cost = total[left] / total[right]
    yield _block(
        Operation.RATIO,
        _CURRENCY,
        cost,
        start[left],
        start[right],
        left_parts=parts[left],
        right_parts=parts[right],
    )


def _of_one_window(points: Points) -> Iterator[_Block]:
    """Compare the metrics of one entity and window."""
    rows = np.flatnonzero(
        (points.unit[: points.timed] == _CURRENCY) | (points.unit[: points.timed] == _COUNT)
    )
    rows = rows[points.value[rows] != 0]
    key = _window_key(points, rows, points.days[rows])
    rows = rows[np.argsort(key, kind="stable")]
    pairs = list(within(np.sort(key)))
    if pairs:
        left, right = (rows[np.concatenate(side)] for side in zip(*pairs, strict=True))
        yield from _compared_metrics(points, left, right)


def _compared_metrics(points: Points, left: Ints, right: Ints) -> Iterator[_Block]:
    money_left, money_right = points.unit[left] == _CURRENCY, points.unit[right] == _CURRENCY
    cost, paid = money_left & ~money_right, money_right & ~money_left
    yield _ratio(points, left[cost], right[cost], _CURRENCY)
    yield _ratio(points, right[paid], left[paid], _CURRENCY)
    differ = points.metric[left] != points.metric[right]
    shares = differ & ~money_left & ~money_right
    low, high = _sorted(points, left[shares], right[shares])
    yield _block(Operation.SHARE, _PERCENT, 100 * points.value[low] / points.value[high], low, high)
    both = differ & money_left & money_right
    left, right = left[both], right[both]
    yield _ratio(points, left, right, _TIMES)
    yield _ratio(points, right, left, _TIMES)
    gap = np.abs(points.value[left] - points.value[right])
    yield _block(Operation.DIFFERENCE, _CURRENCY, gap, left, right)
    alike = points.alike[points.metric[left], points.metric[right]]
    for new, old in ((left[alike], right[alike]), (right[alike], left[alike])):
        yield _block(
            Operation.CHANGE, _PERCENT, 100 * np.abs(points.value[new] / points.value[old] - 1), new, old
        )


def _ratio(points: Points, left: Ints, right: Ints, unit: int) -> _Block:
    return _block(Operation.RATIO, unit, points.value[left] / points.value[right], left, right)


def _sorted(points: Points, left: Ints, right: Ints) -> tuple[Ints, Ints]:
    swap = points.value[left] > points.value[right]
    return np.where(swap, right, left), np.where(swap, left, right)


def _against_settings(points: Points) -> Iterator[_Block]:
    """Compare every fact with the numbers that belong to no window."""
    rows, settings = np.arange(points.facts), np.arange(points.timed, points.open)
    left, right = (grid.ravel() for grid in np.meshgrid(rows, settings, indexing="ij"))
    fits = points.restrained(left, right) & (left != right)
    fits &= (left < points.timed) | (right >= points.facts) | (points.entity[left] == points.entity[right])
    fits &= _within(points.value[left], points.value[right], NEAR)
    left, right = left[fits], right[fits]
    unit = points.unit[left]
    gap = np.abs(points.value[left] - points.value[right])
    yield _block(Operation.DIFFERENCE, unit, gap, left, right)
    kept = ~(points.nameless[right] & (unit == _PERCENT))
    left, right = left[kept], right[kept]
    ratio = points.value[left] / points.value[right]
    yield _block(Operation.RATIO, _TIMES, ratio, left, right)
    yield _block(Operation.SHARE, _PERCENT, 100 * ratio, left, right)
    yield _block(Operation.CHANGE, _PERCENT, 100 * np.abs(ratio - 1), left, right)


def _within(left: Floats, right: Floats, factor: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (left > 0) & (left <= factor * right) & (right <= factor * left)
