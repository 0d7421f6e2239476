"""Numbers derived from a hidden one: its difference, ratio or percent change against an observed value.

Two values make a handful of numbers, a hidden value and a hundred observed ones make hundreds: most short
numbers are among them. So a match counts only where chance is small: with n candidates of the claim's unit
between two thirds and one and a half of its value, a number of that size, made up, hits one of them with
probability n * step / width. Candidates are tried in rings, from those a reader would think of first, and a
match proves something where that probability, times the numbers of the trace that nothing else explains (the
others are never tested), is under 0.3 % and the names of the two share a word. What is above 5 % for one
number is not even mentioned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from opoi.provenance.claims import Claimed
from opoi.provenance.derived import FITS, NEAR, Derivation, Operation, derivation, restating
from opoi.provenance.points import UNITS, Floats, Ints, Points
from opoi.provenance.privileged import Secret
from opoi.provenance.sources import UnitClass
from opoi.types import Fact

__all__ = ["MOST_CHANCE", "SOME_CHANCE", "Compared", "Comparisons"]

MOST_CHANCE = 0.003
"""A match proves a leak where any of the tested numbers of a trace, were they made up, hits a candidate with
less than this probability."""

SOME_CHANCE = 0.05
"""A match is worth mentioning up to this probability."""

_BAND = 1.5
_RINGS = 6


class Compared(Struct, frozen=True):
    """Arithmetic on a hidden and an observed value that gives a claimed number.

    Attributes:
        secret: The hidden value.
        derivation: The arithmetic.
        akin: Whether the names of the two share a word, so that a reader would compare them.
        chance: Probability that a made-up number of this size and this many digits fits some candidate.
    """

    secret: Secret
    derivation: Derivation
    akin: bool
    chance: float


class _Candidates(NamedTuple):
    """Numbers of one unit made of pairs (one, other), and the ring that each pair belongs to."""

    ring: Ints
    operation: Ints
    value: Floats
    one: Ints
    other: Ints


class Comparisons:
    """What hidden and observed values make of each other.

    Args:
        points: Observed and hidden numbers of the whole trace: who was told a derived number need not have
            seen the other one.
        secrets: Where the hidden facts come from.
    """

    def __init__(self, points: Points, secrets: Mapping[Fact, Secret]) -> None:
        self._points = points
        self._secrets = secrets

    def find(self, claim: Claimed) -> Compared | None:
        """Return how a number follows from a hidden and an observed value, None where chance may do it."""
        width = claim.value * (_BAND - 1 / _BAND)
        if claim.vague or width <= 0 or claim.step >= width:
            return None
        near = np.zeros(_RINGS, dtype=np.int64)
        best: tuple[int, _Candidates, int, UnitClass] | None = None
        for unit, factor in FITS[claim.unit]:
            if unit not in self._tables:
                continue
            table = self._tables[unit]
            scaled = table.value * factor
            band = (scaled >= claim.value / _BAND) & (scaled <= claim.value * _BAND)
            near += np.bincount(table.ring[band], minlength=_RINGS)
            hits = restating(claim, table.value, factor)
            if len(hits):
                hit = int(hits[np.argmin(table.ring[hits])])
                if best is None or table.ring[hit] < best[0]:
                    best = (int(table.ring[hit]), table, hit, unit)
        if best is None:
            return None
        chance = float(near[: best[0] + 1].sum()) * claim.step / width
        return self._compared(*best[1:], chance) if chance < SOME_CHANCE else None

    def _compared(self, table: _Candidates, hit: int, unit: UnitClass, chance: float) -> Compared:
        one, other = int(table.one[hit]), int(table.other[hit])
        operation, value = Operation(int(table.operation[hit])), float(table.value[hit])
        made = derivation(self._points, operation, (one, 1), (other, 1), value=value, unit=unit)
        fact = self._points.labels[max(one, other)]
        assert isinstance(fact, Fact)
        akin = bool(self._points.alike[self._points.metric[one], self._points.metric[other]])
        return Compared(self._secrets[fact], made, akin, chance)

    @cached_property
    def _tables(self) -> dict[UnitClass, _Candidates]:
        hidden = np.arange(self._points.open, len(self._points.value))
        left, right = (
            grid.ravel() for grid in np.meshgrid(hidden, np.arange(self._points.facts), indexing="ij")
        )
        ring = _rings(self._points, left, right)
        kept = ring < _RINGS
        found: dict[UnitClass, list[_Candidates]] = {}
        for unit, candidates in _candidates(self._points, ring[kept], left[kept], right[kept]):
            found.setdefault(unit, []).append(candidates)
        return {
            unit: _Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))
            for unit, parts in found.items()
        }


def _rings(points: Points, left: Ints, right: Ints) -> Ints:
    """Return how near pairs (hidden, observed) lie to a reader's mind, `_RINGS` for pairs that make no sense.

    0: a total or setting of a related name; 1: any related one; 2: one whose name shares a word; 3: near in
    size; 4: of the same entity; 5: of the same unit.
    """
    same = points.unit[left] == points.unit[right]
    value, other = points.value[left], points.value[right]
    same &= (value > 0) & (other > 0)
    here = same & ((points.entity[left] == points.entity[right]) | (points.days[right] == 0))
    near = here & (value <= NEAR * other) & (other <= NEAR * value)
    akin = near & points.alike[points.metric[left], points.metric[right]]
    related = akin & points.related[points.metric[left], points.metric[right]]
    total = related & ((points.days[right] == 0) | (points.days[right] > 1))
    return np.select([total, related, akin, near, here, same], list(range(_RINGS)), default=_RINGS)


def _candidates(
    points: Points, ring: Ints, left: Ints, right: Ints
) -> Iterator[tuple[UnitClass, _Candidates]]:
    negative = np.array([isinstance(each, Fact) and _below_0(each) for each in points.labels], dtype=bool)
    apart = negative[left] != negative[right]
    hidden, seen = points.value[left], points.value[right]
    gap = np.where(apart, hidden + seen, np.abs(hidden - seen))
    kind = np.where(apart, int(Operation.DISTANCE), int(Operation.DIFFERENCE))
    for code, unit in enumerate(UNITS):
        rows = points.unit[left] == code
        if rows.any():
            yield unit, _Candidates(ring[rows], kind[rows], gap[rows], left[rows], right[rows])
    change = np.where(apart, int(Operation.SWING), int(Operation.CHANGE))
    times = np.full(len(ring), int(Operation.RATIO))
    for one, other in ((left, right), (right, left)):
        ratio = points.value[one] / points.value[other]
        percent = 100 * np.where(apart, ratio + 1, np.abs(ratio - 1))
        yield "%", _Candidates(ring, change, percent, one, other)
        yield "x", _Candidates(ring, times, ratio, one, other)


def _below_0(fact: Fact) -> bool:
    return not isinstance(fact.value, str) and fact.value < 0
