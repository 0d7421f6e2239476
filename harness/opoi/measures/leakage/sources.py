"""Where a claimed value can come from: tables of values that answer "is it in here?".

`Values` holds plain values, `Derived` what whitelisted arithmetic makes of them. The arithmetic is
bounded: per entity and unit at most `MOST_VALUES` distinct values (those revealed last), pairs of them,
means and sums of up to three values of the same metric among the last `MOST_SERIES`, and at most
`MOST_OWN` numbers of the prompt and the decision to compare them with.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import inf
from typing import Literal

import numpy as np

from opoi.measures.leakage.claims import Claimed, number_of
from opoi.measures.statistics import Floats
from opoi.types import Fact

__all__ = ["Derived", "UnitClass", "Values", "numeric", "unit_class"]

UnitClass = Literal["currency", "%", "x", "count", ""]

LOOSE = 0.005
MOST_VALUES = 48
MOST_SERIES = 10
MOST_OWN = 16
_SLACK = 1e-9

_FITS: dict[str, tuple[tuple[UnitClass, float], ...]] = {
    "currency": (("currency", 1.0), ("", 1.0)),
    "%": (("%", 1.0), ("x", 100.0), ("", 100.0), ("", 1.0)),
    "x": (("x", 1.0), ("", 1.0)),
    "": (("currency", 1.0), ("%", 1.0), ("%", 0.01), ("x", 1.0), ("count", 1.0), ("", 1.0)),
}
"""Unit of a claim -> classes of values it can restate, with the factor between them."""


def unit_class(unit: str) -> UnitClass:
    """Return the class of a fact's unit; everything that is not known is a currency."""
    if unit in ("%", "x", ""):
        return unit  # type: ignore[return-value]  # narrowed by the line above
    return "count" if unit in ("count", "day") else "currency"


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


class Derived:
    """Differences, ratios, percent changes, sums and means of few observed values of one entity.

    Args:
        facts: Observed facts, in the order in which they were revealed.
        own: Magnitudes with class of unit that the facts of any entity may be compared with: what the
            author decides (the new budget with the old) and the targets in the prompt.
    """

    def __init__(self, facts: Iterable[Fact], own: Iterable[tuple[UnitClass, float]] = ()) -> None:
        self._facts: dict[str, dict[Fact, None]] = {}
        for fact in facts:
            pool = self._facts.setdefault(fact.entity, {})
            pool.pop(fact, None)
            pool[fact] = None
        self._own = tuple(dict.fromkeys(own))[-MOST_OWN:]
        self._tables: dict[UnitClass, Floats] | None = None

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

    def _build(self) -> dict[UnitClass, Floats]:
        parts: dict[UnitClass, list[Floats]] = {}
        for pool in self._facts.values():
            self._entity(list(pool), parts)
        return {unit: np.unique(np.concatenate(tables)) for unit, tables in parts.items()}

    def _entity(self, facts: list[Fact], parts: dict[UnitClass, list[Floats]]) -> None:
        """Add what can be derived from the facts of one entity."""
        pools: dict[UnitClass, dict[float, None]] = {}
        series: dict[tuple[str, UnitClass], dict[float, None]] = {}
        for fact in facts:
            value = numeric(fact)
            if value is not None:
                unit = unit_class(fact.unit)
                pools.setdefault(unit, {})[value] = None
                series.setdefault((fact.metric, unit), {})[value] = None
        for unit, value in self._own:
            for into in (unit,) if unit else tuple(pools):
                if into in pools:
                    pools[into][value] = None
        latest = {unit: np.array(list(pool)[-MOST_VALUES:]) for unit, pool in pools.items()}
        for unit, values in latest.items():
            _pairs(unit, values, parts)
        if "currency" in latest and "count" in latest:
            costs = _over(latest["currency"], latest["count"])
            parts.setdefault("currency", []).append(costs)
        for (_, unit), pool in series.items():
            parts.setdefault(unit, []).append(_blends(list(pool)[-MOST_SERIES:]))


def _over(above: Floats, below: Floats) -> Floats:
    """Return all quotients of two sets of values that exist."""
    divisors = below[below != 0]
    return np.asarray((above[:, None] / divisors[None, :]).ravel(), dtype=np.float64)


def _pairs(unit: UnitClass, values: Floats, parts: dict[UnitClass, list[Floats]]) -> None:
    """Add differences, sums, means, ratios and percent changes of two values of the same unit."""
    left, right = np.triu_indices(len(values), k=1)
    differences = np.abs(values[left] - values[right])
    sums = values[left] + values[right]
    parts.setdefault(unit, []).extend([differences, sums, sums / 2])
    divisors = values[values != 0]
    ratios = (values[:, None] / divisors[None, :])[~np.equal.outer(values, divisors)]
    parts.setdefault("x", []).append(ratios)
    parts.setdefault("%", []).extend([100 * ratios, 100 * np.abs(ratios - 1)])


def _blends(values: list[float]) -> Floats:
    """Return sums and means of three values, and the mean and sum of all of a short series."""
    sums = np.array([sum(three) for three in combinations(values, 3)])
    total = sum(values) if values else inf
    return np.concatenate([sums, sums / 3, np.array([total, total / max(1, len(values))])])
