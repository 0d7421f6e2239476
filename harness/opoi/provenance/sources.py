"""Where a claimed value can come from: a table of values that answers "is it in here?"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from opoi.provenance.claims import Claimed, number_of
from opoi.types import Fact

__all__ = ["UnitClass", "Values", "numeric", "unit_class"]

UnitClass = Literal["currency", "%", "x", "count", ""]

LOOSE = 0.005
_SLACK = 1e-9

_CLASS: dict[str, UnitClass] = {"%": "%", "x": "x", "": "", "count": "count", "day": "count"}

_FITS: dict[str, tuple[tuple[UnitClass, float], ...]] = {
    "currency": (("currency", 1.0), ("", 1.0)),
    "%": (("%", 1.0), ("x", 100.0), ("", 100.0), ("", 1.0)),
    "x": (("x", 1.0), ("", 1.0)),
    "": (("currency", 1.0), ("%", 1.0), ("%", 0.01), ("x", 1.0), ("count", 1.0), ("", 1.0)),
}
"""Unit of a claim -> classes of values it can restate, with the factor between them."""


def unit_class(unit: str) -> UnitClass:
    """Return the class of a fact's unit; everything that is not known is a currency."""
    return _CLASS.get(unit, "currency")


def numeric(fact: Fact) -> float | None:
    """Return the magnitude of a fact, None for one that is no number (text such as `"47.13"` is one)."""
    if isinstance(fact.value, str):
        number = number_of(fact.value)
        return None if number is None else number.value
    return abs(float(fact.value))


class Values:
    """Values by class of unit."""

    def __init__(self) -> None:
        self._by_class: dict[UnitClass, dict[float, None]] = {}

    def add(self, unit: UnitClass, value: float) -> None:
        """Add a magnitude."""
        self._by_class.setdefault(unit, {})[value] = None

    def add_facts(self, facts: Iterable[Fact]) -> None:
        """Add the facts that are numbers."""
        for fact in facts:
            value = numeric(fact)
            if value is not None:
                self.add(unit_class(fact.unit), value)

    def add_numbers(self, numbers: Iterable[Claimed]) -> None:
        """Add numbers that stand in a text; a bare one may be of any unit."""
        for number in numbers:
            self.add(number.unit, number.value)
            if not number.unit:
                self.add("count", number.value)

    def restates(self, claim: Claimed) -> bool:
        """Return whether the claim is one of the values, rounded to the digits it prints."""
        return self._within(claim, 0.0)

    def resembles(self, claim: Claimed) -> bool:
        """Return whether the claim is within rounding or 0.5 % of one of the values."""
        return self._within(claim, LOOSE)

    def _within(self, claim: Claimed, loose: float) -> bool:
        half = claim.step / 2 * (1 + _SLACK)
        for unit, factor in _FITS[claim.unit]:
            for value in self._by_class.get(unit, ()):
                scaled = value * factor
                if abs(claim.value - scaled) <= max(half, loose * scaled) + _SLACK * scaled:
                    return True
        return False
