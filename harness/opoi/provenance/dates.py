"""Find the days that a text names: `2025-08-06`, `6 August`, `Aug 6th`, `06/08/2025`, `6 de agosto`.

Also `the sixth of August`, `Wednesday the 6th` and `2025-W32`. A spelling that leaves something open (no
year, day and month in either order, a whole week) gives several days: the text is taken to mean any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from msgspec import Struct

__all__ = ["Dated", "find_dates"]

_NAMES: tuple[tuple[str, ...], ...] = (
    ("january", "januar", "enero", "janvier"),
    ("february", "februar", "febrero", "f\u00e9vrier"),
    ("march", "m\u00e4rz", "marzo", "mars"),
    ("april", "abril", "avril"),
    ("may", "mai", "mayo"),
    ("june", "juni", "junio", "juin"),
    ("july", "juli", "julio", "juillet"),
    ("august", "agosto", "ao\u00fbt"),
    ("september", "septiembre", "septembre"),
    ("october", "oktober", "octubre", "octobre"),
    ("november", "noviembre", "novembre"),
    ("december", "dezember", "diciembre", "d\u00e9cembre"),
)
"""The months in English, German, Spanish and French."""

_SHORT = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {
    **{name: number for number, name in enumerate(_SHORT, start=1)},
    **{name: number for number, names in enumerate(_NAMES, start=1) for name in names},
    "sept": 9,
}
_CAPITAL = ("may", "march", "mar", "mars", "mai")
"""Names that are words of their own too: months only where they begin with a capital letter."""

_MONTH = "|".join(sorted(_MONTHS, key=lambda name: (-len(name), name)))
_DIGIT = re.compile(r"\d")
_ISO = re.compile(
    r"(?<![\w-])(\d{4}-\d{2}-\d{2})"
    r"(?:(?:[Tt]\d{2}:?| \d{2}:)[0-5]\d(?::?\d{2}(?:[.,]\d+)?)?(?:[Zz]|\s?[+-]\d{2}:?\d{2})?)?(?![\w-])"
)
"""A day, with a time as in ISO 8601 (`2025-03-20T10:00:00Z`) or without."""

_YEAR_FIRST = re.compile(r"(?<![\w/.-])(\d{4})([/.])(\d{1,2})\2(\d{1,2})(?![\w/])")
_WEEK = re.compile(r"(?<![\w-])(\d{4})-?W(\d{2})(?:-([1-7]))?(?![\w-])")
_NUMERIC = re.compile(r"(?<![\w/.,-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-]|\.\d)")
_DAY_MONTH = re.compile(
    rf"(?<![\w.,])(\d{{1,2}})(?:st|nd|rd|th|\.|\u00ba)?(?:\s+(?:of|de))?[\s-]+({_MONTH})\b\.?"
    r"(?:,?[\s-]+(?:de\s+|del\s+)?(\d{4})\b)?",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    r"(?<=[^\W\d_]|\.)\s+(?:the\s+)?(\d{1,2})(?:st|nd|rd|th)?\b(?!\s*%|[.,]\d)(?:,?\s+(\d{4})\b)?"
)
"""What follows the name of a month; the name itself is looked up, which is much faster than to search."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY = re.compile(
    rf"\b({'|'.join(_WEEKDAYS)}),?\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)\b", re.IGNORECASE
)
_HALF_A_YEAR = 183
_UP_TO_19 = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_ORDINALS = {name: number for number, name in enumerate(_UP_TO_19.split(), start=1)}
_ORDINALS |= {f"twenty-{name}": 20 + number for name, number in _ORDINALS.items() if number < 10}
_ORDINALS |= {"twentieth": 20, "thirtieth": 30, "thirty-first": 31}
_SPOKEN = re.compile(
    rf"\b({'|'.join(sorted(_ORDINALS, key=len, reverse=True))})\s+of\s+({_MONTH})\b(?:,?\s+(\d{{4}})\b)?",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"(?<![^\W\d_])([^\W\d_]{3,10})\.?$")
_LONGEST_NAME = 12


class Dated(Struct, frozen=True):
    """One day that a text names.

    Attributes:
        days: ISO days that it can mean, the most likely first; never empty.
        start: First character.
        end: One past the last.
    """

    days: tuple[str, ...]
    start: int
    end: int


def find_dates(text: str, *, as_of: str = "") -> Iterator[Dated]:
    """Yield the days that a text names; no two overlap, those of one spelling stand together.

    Args:
        text: Prose.
        as_of: ISO day of the decision; lets `March 7` be read without a year.
    """
    taken: list[tuple[int, int]] = []
    digits, lower = _DIGIT.search(text) is not None, text.lower()
    for pattern, read, needed in _SPELLINGS:
        if needed not in lower if needed else not digits:
            continue
        for match in pattern.finditer(text):
            days = read(match, as_of)
            if not days:
                continue
            start, end = _start(match), match.end()
            if not any(begin < end and start < close for begin, close in taken):
                taken.append((start, end))
                yield Dated(days, start, end)


def _iso(match: re.Match[str], _: str) -> tuple[str, ...]:
    return (match[1],)


def _year_first(match: re.Match[str], _: str) -> tuple[str, ...]:
    return _day(int(match[1]), int(match[3]), int(match[4]))


def _week(match: re.Match[str], _: str) -> tuple[str, ...]:
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), int(match[3] or 1))
    except ValueError:
        return ()
    return tuple((monday + timedelta(days=day)).isoformat() for day in range(1 if match[3] else 7))


def _numeric(match: re.Match[str], _: str) -> tuple[str, ...]:
    year = int(match[4]) + (2000 if len(match[4]) == 2 else 0)
    one, other = int(match[1]), int(match[3])
    return tuple(dict.fromkeys((*_day(year, other, one), *_day(year, one, other))))


def _day_month(match: re.Match[str], as_of: str) -> tuple[str, ...]:
    return _named(match[2], match[1], match[3], as_of)


def _month_day(match: re.Match[str], as_of: str) -> tuple[str, ...]:
    word = _word_before(match)
    return _named(word[1], match[1], match[2], as_of) if word and word[1].lower() in _MONTHS else ()


def _word_before(match: re.Match[str]) -> re.Match[str] | None:
    return _LAST_WORD.search(match.string[max(0, match.start() - _LONGEST_NAME) : match.start()])


def _start(match: re.Match[str]) -> int:
    """Return where a spelling begins: a month before its day is not part of the match."""
    if match.re is not _MONTH_DAY:
        return match.start()
    word = _word_before(match)
    return match.start() if word is None else match.start() - len(word[0])


def _spoken(match: re.Match[str], as_of: str) -> tuple[str, ...]:
    return _named(match[2], str(_ORDINALS[match[1].lower()]), match[3], as_of)


def _weekday(match: re.Match[str], as_of: str) -> tuple[str, ...]:
    """Return the days within half a year that fit a weekday and a day of the month, the nearest first."""
    if not as_of:
        return ()
    today, number, name = date.fromisoformat(as_of), int(match[2]), _WEEKDAYS.index(match[1].lower())
    near = (today + timedelta(days=offset) for offset in range(-_HALF_A_YEAR, _HALF_A_YEAR))
    fits = [day for day in near if day.day == number and day.weekday() == name]
    return tuple(day.isoformat() for day in sorted(fits, key=lambda day: abs(day - today)))


def _named(name: str, day: str, year: str | None, as_of: str) -> tuple[str, ...]:
    """Return the day of a named month; without a year that of the decision, then the nearest one."""
    word = name.lower()
    if word in _CAPITAL and not name[0].isupper():
        return ()
    month = _MONTHS[word]
    if year:
        return _day(int(year), month, int(day))
    if not as_of:
        return ()
    today = date.fromisoformat(as_of)
    near = today.year + (month < today.month - 6) - (month > today.month + 6)
    return tuple(dict.fromkeys((*_day(today.year, month, int(day)), *_day(near, month, int(day)))))


def _day(year: int, month: int, day: int) -> tuple[str, ...]:
    try:
        return (date(year, month, day).isoformat(),)
    except ValueError:
        return ()


_SPELLINGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], tuple[str, ...]], str], ...] = (
    (_ISO, _iso, "-"),
    (_YEAR_FIRST, _year_first, ""),
    (_WEEK, _week, "w"),
    (_NUMERIC, _numeric, ""),
    (_DAY_MONTH, _day_month, ""),
    (_SPOKEN, _spoken, " of"),
    (_WEEKDAY, _weekday, "day"),
    (_MONTH_DAY, _month_day, ""),
)
"""Patterns, their readers, and what a text must hold in lower case to be searched, `""` for a digit."""
