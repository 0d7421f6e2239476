"""Where a claimed value can come from: a table of values that answers "is it in here, and what is it?"."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from opoi.provenance.claims import Claimed, number_of, rounded
from opoi.types import Fact

__all__ = ["PLAIN", "SCALED", "Fits", "Match", "UnitClass", "Values", "numeric", "unit_class"]

UnitClass = Literal["currency", "%", "x", "count", ""]
Fits = dict[str, tuple[tuple[UnitClass, float], ...]]
T = TypeVar("T")

LOOSE = 0.005
_SLACK = 1e-9

_CLASS: dict[str, UnitClass] = {"%": "%", "x": "x", "": "", "count": "count", "day": "count"}

PLAIN: Fits = {
    "currency": (("currency", 1.0), ("", 1.0)),
    "%": (("%", 1.0), ("x", 100.0), ("", 100.0), ("", 1.0)),
    "x": (("x", 1.0), ("", 1.0)),
    "": (("currency", 1.0), ("%", 1.0), ("%", 0.01), ("x", 1.0), ("count", 1.0), ("", 1.0)),
}
"""Unit of a claim -> classes of values it can restate, with the factor between them."""

SCALED: Fits = {
    "currency": (),
    "%": (),
    "x": (("%", 0.01),),
    "": (
        ("currency", 100.0),
        ("currency", 1e-3),
        ("currency", 1e-6),
        ("count", 1e-3),
        ("count", 1e-6),
        ("%", 100.0),
        ("%", 10.0),
        ("x", 100.0),
        ("", 100.0),
        ("", 1e-3),
    ),
}
"""The same for numbers whose unit is not said: cents, thousands, millions, basis points, per mille; and
`1.5x` for 150 %."""


class Match(Struct, Generic[T], frozen=True):
    """A value that a claim restates.

    Attributes:
        value: The value, in its own unit.
        unit: Class of its unit.
        label: What it is.
    """

    value: float
    unit: UnitClass
    label: T


def unit_class(unit: str) -> UnitClass:
    """Return the class of a fact's unit; everything that is not known is a currency."""
    return _CLASS.get(unit, "currency")


def numeric(fact: Fact) -> float | None:
    """Return the magnitude of a fact, None for one that is no number (text such as `"47.13"` is one)."""
    value = fact.value
    if not isinstance(value, str):
        return abs(value)
    number = number_of(value)
    return None if number is None else number.value


class _Column(Generic[T]):
    """The values of one class of unit, sorted when they are asked for."""

    __slots__ = ("_labels", "_sorted", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._labels: list[T] = []
        self._sorted = True

    def add(self, value: float, label: T) -> None:
        self._values.append(value)
        self._labels.append(label)
        self._sorted = False

    def add_all(self, values: Iterable[float | None], labels: Iterable[T]) -> None:
        """Add values with their labels, but for those that are None."""
        for value, label in zip(values, labels, strict=True):
            if value is not None:
                self._values.append(value)
                self._labels.append(label)
        self._sorted = False

    def extend(self, other: _Column[T]) -> None:
        self._values += other._values
        self._labels += other._labels
        self._sorted = False

    def nearest(self, aim: float, low: float, high: float) -> tuple[float, T] | None:
        """Return the value closest to an aim among those from low to high, with its label."""
        if not self._sorted:
            order = sorted(range(len(self._values)), key=self._values.__getitem__)
            self._values = [self._values[index] for index in order]
            self._labels = [self._labels[index] for index in order]
            self._sorted = True
        first, last = bisect_left(self._values, low), bisect_right(self._values, high)
        if first >= last:
            return None
        best = min(range(first, last), key=lambda index: abs(self._values[index] - aim))
        return self._values[best], self._labels[best]


class Values(Generic[T]):
    """Values by class of unit, each with a label that says what it is."""

    def __init__(self) -> None:
        self._columns: dict[UnitClass, _Column[T]] = {}

    def add(self, unit: UnitClass, value: float, label: T) -> None:
        """Add a magnitude."""
        column = self._columns.get(unit)
        if column is None:
            column = self._columns[unit] = _Column()
        column.add(value, label)

    def add_fact(self, fact: Fact, label: T) -> None:
        """Add a fact if it is a number."""
        value = numeric(fact)
        if value is not None:
            self.add(unit_class(fact.unit), value, label)

    def add_facts(self: Values[Fact], facts: Iterable[Fact]) -> None:
        """Add the facts that are numbers, each with itself as label."""
        by_unit: dict[str, list[Fact]] = {}
        for fact in facts:
            by_unit.setdefault(fact.unit, []).append(fact)
        for unit, some in by_unit.items():
            column = self._columns.get(unit_class(unit))
            if column is None:
                column = self._columns[unit_class(unit)] = _Column()
            column.add_all([numeric(fact) for fact in some], some)

    def add_number(self, number: Claimed, label: T) -> None:
        """Add a number that stands in a text; a bare one may be of any unit."""
        self.add(number.unit, number.value, label)
        if not number.unit:
            self.add("count", number.value, label)

    def add_all(self, numbers: Iterable[Claimed], label: T) -> None:
        """Add numbers that stand in a text, all with one label."""
        for number in numbers:
            self.add_number(number, label)

    def copy(self) -> Values[T]:
        """Return a table of the same values that can grow on its own."""
        twin: Values[T] = Values()
        for unit, column in self._columns.items():
            twin._columns[unit] = _Column()
            twin._columns[unit].extend(column)
        return twin

    def restates(self, claim: Claimed, fits: Fits = PLAIN) -> Match[T] | None:
        """Return the value that the claim is, rounded to the digits it prints."""
        return self._within(claim, 0.0, fits)

    def resembles(self, claim: Claimed, fits: Fits = PLAIN) -> Match[T] | None:
        """Return a value that the claim is within rounding or 0.5 % of."""
        return self._within(claim, LOOSE, fits)

    def rounds(self, claim: Claimed, fits: Fits = PLAIN) -> Match[T] | None:
        """Return the value that a round claim (`4,800`) is, rounded to its digits that are not 0."""
        loose = rounded(claim)
        return None if loose is None else self._within(loose, 0.0, fits)

    def _within(self, claim: Claimed, loose: float, fits: Fits) -> Match[T] | None:
        half = claim.step / 2 * (1 + _SLACK)
        for unit, factor in fits[claim.unit]:
            column = self._columns.get(unit)
            if column is None:
                continue
            low = min(claim.value - half, claim.value / (1 + loose)) / factor
            high = max(claim.value + half, claim.value / (1 - loose)) / factor
            found = column.nearest(claim.value / factor, low * (1 - _SLACK), high * (1 + _SLACK))
            if found is not None:
                return Match(found[0], unit, found[1])
        return None
