"""One figure of two arms on the scenarios that both have: what every test and interval starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from opoi.intervals import Floats

__all__ = ["Paired"]

_NOISE = 1e-9
"""Numbers that differ by a smaller part of themselves are one number, added up in another order."""


@dataclass(frozen=True, eq=False, slots=True)
class Paired:
    """One figure of two arms on the same scenarios, four arrays of shape `(scenarios,)`.

    A scenario in which an arm contributes nothing has 0 as its denominator. Only a scenario to which both
    contribute is a pair: all others are 0 in all four arrays, whatever was given, so that nothing that reads
    them can take a scenario of one arm alone for a difference. Numbers of A and B that differ by rounding
    alone become their mean.

    Attributes:
        above_a: Numerators of A.
        below_a: Denominators of A, 0 or more.
        above_b: Numerators of B.
        below_b: Denominators of B.
        only_a: Scenarios to which A alone contributes; those found are added to the number given.
        only_b: Scenarios to which B alone contributes, likewise.
    """

    above_a: Floats
    below_a: Floats
    above_b: Floats
    below_b: Floats
    only_a: int = 0
    only_b: int = 0

    def __post_init__(self) -> None:
        """Leave out what is no pair, and rounding."""
        has_a, has_b = self.below_a != 0, self.below_b != 0
        above = _without_noise(*(np.where(has_a & has_b, one, 0.0) for one in (self.above_a, self.above_b)))
        below = _without_noise(*(np.where(has_a & has_b, one, 0.0) for one in (self.below_a, self.below_b)))
        kept = {
            "above_a": above[0],
            "above_b": above[1],
            "below_a": below[0],
            "below_b": below[1],
            "only_a": self.only_a + int(np.count_nonzero(has_a & ~has_b)),
            "only_b": self.only_b + int(np.count_nonzero(has_b & ~has_a)),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @property
    def values(self) -> tuple[float | None, float | None]:
        """The ratio of sums of A and of B over the pairs, None where there is no pair."""
        return _ratio(self.above_a, self.below_a), _ratio(self.above_b, self.below_b)

    @property
    def swapped(self) -> Paired:
        """The same with A as B and B as A."""
        return Paired(self.above_b, self.below_b, self.above_a, self.below_a, self.only_b, self.only_a)

    @property
    def both(self) -> int:
        """Number of scenarios to which both arms contribute."""
        return int(np.count_nonzero(self.below_a))

    @property
    def one_sided(self) -> int:
        """Number of scenarios to which one arm alone contributes; they are left out."""
        return self.only_a + self.only_b

    @property
    def differing(self) -> int:
        """Number of scenarios in which numerator or denominator differ: only these speak in a test.

        None where every scenario has the same ratio in both arms, as for shares that are 0 throughout.
        """
        above = np.concatenate([self.above_a, self.above_b])
        below = np.concatenate([self.below_a, self.below_b])
        whole = math.fsum(below)
        if whole and np.allclose(above, below * (math.fsum(above) / whole), rtol=_NOISE, atol=_floor(above)):
            return 0
        return int(np.count_nonzero((self.above_a != self.above_b) | (self.below_a != self.below_b)))

    @property
    def discordant(self) -> tuple[int, int]:
        """Number of scenarios with the larger numerator in A, and in B."""
        apart = self.above_a - self.above_b
        return int(np.count_nonzero(apart > 0)), int(np.count_nonzero(apart < 0))

    @property
    def is_binary(self) -> bool:
        """Whether every scenario counts once in both arms or in neither, with 0 or 1."""
        ones = bool((self.below_a == self.below_b).all()) and _zeros_and_ones(self.below_a)
        return ones and _zeros_and_ones(self.above_a) and _zeros_and_ones(self.above_b)


def _without_noise(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return two columns in which numbers that rounding alone keeps apart are equal."""
    near = np.abs(a - b) <= _NOISE * np.maximum(np.abs(a), np.abs(b)) + _floor(a, b)
    middle = (a + b) / 2
    return np.where(near, middle, a), np.where(near, middle, b)


def _floor(*columns: Floats) -> float:
    """Return what counts as 0 beside the largest number: sums of large numbers cancel to so much."""
    return 1e-3 * _NOISE * max((float(np.abs(one).max(initial=0.0)) for one in columns), default=0.0)


def _zeros_and_ones(column: Floats) -> bool:
    return bool(np.isclose(column, np.rint(column), rtol=0.0, atol=_NOISE).all()) and bool(
        np.isin(np.rint(column), (0.0, 1.0)).all()
    )


def _ratio(above: Floats, below: Floats) -> float | None:
    under = math.fsum(below)
    return math.fsum(above) / under if under else None
