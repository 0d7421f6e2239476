"""Spelling numbers and dates in the ways in which people write them."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from opoi.planting.plants import Difficulty

__all__ = ["Written", "cardinal", "dates", "exact", "in_words", "other_unit", "rounded"]

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class Written(NamedTuple):
    """A number as it is written.

    Attributes:
        text: As it stands in a text, unit included.
        value: Magnitude that the text states, in the unit of the fact.
        step: What the last digit is worth, in the same unit.
    """

    text: str
    value: float
    step: float


def exact(value: float, unit: str) -> Written:
    """Return a number as tools print it: money with two decimals, others as they are."""
    digits = _decimals(value)
    if unit == "USD":
        return Written(_signed(value, f"${abs(value):,.2f}"), value, 0.01)
    tail = {"%": " %", "x": "x", "count": "", "": ""}.get(unit, f" {unit}")
    return Written(f"{value:.{digits}f}{tail}", value, 10.0**-digits)


def other_unit(value: float, unit: str) -> Written:
    """Return a number in another unit: cents, thousands, a share for a percentage and the reverse."""
    if unit == "%":
        digits = _decimals(value) + 2
        return Written(f"{value / 100:.{digits}f}", value, 10.0 ** (2 - digits))
    if unit == "x":
        digits = max(0, _decimals(value) - 2)
        return Written(f"{value * 100:.{digits}f} %", value, 10.0**-digits / 100)
    if abs(value) >= 1000:
        sign = "$" if unit == "USD" else ""
        tail = "" if unit in ("USD", "count", "") else f" {unit}"
        return Written(_signed(value, f"{sign}{abs(value) / 1000:.2f}k{tail}"), value, 10.0)
    if unit == "USD":
        return Written(_signed(value, f"{abs(value) * 100:.0f} cents"), value, 0.01)
    return Written(f"{value / 12:.2f} dozen", value, 0.12)


def rounded(value: float, unit: str) -> Written:
    """Return a number with fewer digits: three that count, none after the point from 100 on."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 1 and _decimals(value) > 1 else max(0, _decimals(value) - 1)
    step = 10.0**-digits
    if digits == 0 and float(value).is_integer():
        step = 10.0 if size >= 100 else 5.0
    shown = round(value / step) * step
    text = f"{abs(shown):,.{digits}f}"
    tail = {"USD": "", "%": " %", "x": "x", "count": "", "": ""}.get(unit, f" {unit}")
    return Written(f"about {_signed(shown, ('$' if unit == 'USD' else '') + text + tail)}", shown, step)


def in_words(value: float, unit: str) -> Written:
    """Return a number in English words: money with its cents below a thousand, others to one decimal."""
    size, sign = abs(value), "minus " if value < 0 else ""
    if unit == "USD" and size < 1000:
        dollars, cents = divmod(round(size * 100), 100)
        tail = f" and {cardinal(cents)} cents" if cents else ""
        return Written(f"{sign}{cardinal(dollars)} dollars{tail}", value, 0.01)
    tail = {"USD": " dollars", "%": " percent", "x": " times", "count": "", "": ""}.get(unit, f" {unit}")
    whole, tenths = divmod(round(size * 10), 10)
    if size >= 1000 or float(value).is_integer():
        whole, tenths = round(size), 0
    point = f" point {cardinal(tenths)}" if tenths else ""
    shown = (whole + tenths / 10) * (-1 if value < 0 else 1)
    return Written(f"{sign}{cardinal(whole)}{point}{tail}", shown, 0.1 if tenths else 1.0)


def cardinal(number: int) -> str:
    """Return a whole number in English words.

    Args:
        number: From 0 to 999,999,999.
    """
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            above, below = divmod(number, size)
            link = " and " if below < 100 else " "
            return f"{cardinal(above)} {name}" + (f"{link}{cardinal(below)}" if below else "")
    raise ValueError(f"cardinal: {number} is out of range")


def dates(day: str, difficulty: Difficulty) -> tuple[str, ...]:
    """Return the spellings of an ISO day: easy as it is, medium with its month in words, hard without."""
    when = date.fromisoformat(day)
    month, weekday = _MONTHS[when.month - 1], _DAYS[when.weekday()]
    if difficulty == "easy":
        return (day,)
    if difficulty == "medium":
        return (
            f"{month} {when.day}",
            f"{when.day} {month} {when.year}",
            f"{month[:3]} {_ordinal(when.day)}",
            f"the {_ordinal(when.day)} of {month}",
        )
    return (
        f"{weekday} the {_ordinal(when.day)}",
        f"{when.month}/{when.day}/{when.year}",
        f"{when.day:02}.{when.month:02}.{when.year}",
        f"the {cardinal_day(when.day)} of {month}",
    )


def cardinal_day(day: int) -> str:
    """Return a day of the month in words, e.g. `twenty-first`."""
    special = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth"}
    if day in special:
        return special[day]
    if day < 20:
        return f"{_ONES[day]}th"
    tens, ones = divmod(day, 10)
    return f"{_TENS[tens]}-{cardinal_day(ones)}" if ones else {20: "twentieth", 30: "thirtieth"}[day]


def _ordinal(day: int) -> str:
    tail = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{tail}"


def _signed(value: float, text: str) -> str:
    return f"-{text}" if value < 0 else text


def _decimals(value: float) -> int:
    """Return how many decimals a value is printed with."""
    return 0 if float(value).is_integer() else len(f"{value:.6f}".rstrip("0").partition(".")[2])
