"""Products: a setting or a daily value times a number of days, and a setting changed by a step.

`$470 a day is $3,290 a week` states 470 * 7. The days are those that the sentence itself names (`7 days`,
`two weeks`, `a month`), or a factor that it writes out (`x 6`). Steps are percentages that the sentence names
(`20 % less`) and factors with decimals that it or the prompt writes out (`x 0.8`). Without one no product is
tried, as with free factors nearly every number is within reach.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from opoi.provenance.claims import Claimed
from opoi.provenance.derived import FITS, Derivation, restating
from opoi.provenance.points import UNITS, Points
from opoi.provenance.sources import UnitClass

__all__ = ["multiplied", "named_factors", "named_steps"]

_MOST = 366
_SIZES = {"day": (1,), "tag": (1,), "week": (7,), "woche": (7,), "month": (30, 28, 31), "monat": (30, 28, 31)}
_SIZES |= {"fortnight": (14,), "quarter": (90, 91, 92), "year": (365,), "jahr": (365,)}
_UNIT = r"(?P<unit>day|week|fortnight|month|quarter|year|tag|woche|monat|jahr)"
_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_WORDS |= {"twelve": 12, "fourteen": 14, "thirty": 30}
_COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(_WORDS)})"
_SPAN = re.compile(rf"(?<![\w.,$]){_COUNT}[\s-]*{_UNIT}(?:s|e|en|n)?\b", re.IGNORECASE)
_ONE = re.compile(
    rf"\b(?:a|an|one|per|each|every|the|this|next|whole|full|pro|im|eine?[nr]?)\s+{_UNIT}\b", re.IGNORECASE
)
_ADVERB = re.compile(r"\b(?P<unit>week|month|quarter|year)ly\b", re.IGNORECASE)
_FACTOR = re.compile(rf"(?:[x\u00d7*]|\btimes)\s*{_COUNT}(?![\w%]|[.,]\d)", re.IGNORECASE)
_FACTOR_BEFORE = re.compile(
    rf"(?<![\w.,$]){_COUNT}\s*(?:[x\u00d7*]|times)\s+(?=[$\u20ac\u00a3\d])", re.IGNORECASE
)
_STEP = re.compile(r"(?:[x\u00d7*]|\btimes)\s*(?P<step>\d\.\d{1,2})(?!\w|\.\d)", re.IGNORECASE)
_PERCENT = re.compile(r"(?<![\w.,])(?P<share>\d{1,2}(?:\.\d)?)\s?(?:%|percent\b)", re.IGNORECASE)
_MOST_STEP = 3.0
_ADDED: tuple[UnitClass, ...] = ("currency", "count", "")
"""Classes of units of which days add up; percentages and ratios do not."""


def named_factors(sentence: str) -> tuple[int, ...]:
    """Return the numbers of days that a sentence names and the factors that it writes out, ascending.

    Args:
        sentence: One sentence.

    Returns:
        Whole numbers from 2 to 366; a month has 30, 28 or 31 days.
    """
    found = set(_spans(sentence))
    for pattern in (_FACTOR, _FACTOR_BEFORE):
        found.update(_whole(match["count"]) for match in pattern.finditer(sentence))
    return tuple(sorted(factor for factor in found if 1 < factor <= _MOST))


def named_steps(text: str, *, percent: bool = True) -> tuple[float, ...]:
    """Return the factors with decimals that a text writes out, ascending, and those of its percentages.

    Args:
        text: A sentence, or the prompt.
        percent: Whether `20 %` counts: as 0.8 and 1.2.
    """
    found = {float(match["step"]) for match in _STEP.finditer(text)}
    for match in _PERCENT.finditer(text) if percent else ():
        share = float(match["share"]) / 100
        found |= {round(1 + share, 9), round(1 - share, 9)}
    return tuple(sorted(step for step in found if 0 < step < _MOST_STEP and step != 1))


def _spans(sentence: str) -> Iterator[int]:
    for match in _SPAN.finditer(sentence):
        yield from (_whole(match["count"]) * size for size in _SIZES[match["unit"].lower()])
    for pattern in (_ONE, _ADVERB):
        for match in pattern.finditer(sentence):
            yield from _SIZES[match["unit"].lower()]


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else _WORDS[text.lower()]


def multiplied(
    claim: Claimed, points: Points, factors: Sequence[int], steps: Sequence[float] = ()
) -> Derivation | None:
    """Return the product of a setting or a daily value that gives the claim, None without any.

    Args:
        claim: A number.
        points: Observed numbers and those of the prompt and the decision.
        factors: What settings and daily values may be multiplied with, as `named_factors` returns them.
        steps: The same for settings alone, as `named_steps` returns them.
    """
    days = points.days[: points.open]
    for factor in (*factors, *steps):
        longest = 1 if isinstance(factor, int) else 0
        single = np.flatnonzero((days <= longest) & (points.value[: points.open] > 0))
        for unit, scale in FITS[claim.unit]:
            if unit in _ADDED:
                rows = single[points.unit[single] == UNITS.index(unit)]
                hits = restating(claim, points.value[rows] * factor, scale)
                if len(hits):
                    return _product(points, int(rows[hits[0]]), factor, unit)
    return None


def _product(points: Points, row: int, factor: float, unit: UnitClass) -> Derivation:
    value = float(points.value[row]) * factor
    printed = points.printed_unit(row) or unit
    return Derivation(f"{points.text(row)} * {factor}", value, printed, (points.name(row),))
