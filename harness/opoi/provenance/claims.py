r"""Find the checkable claims in a text: numbers with their unit, dates, and ids of things.

A claim is a number (with currency sign, `%`, `x`, or a suffix such as `k`), an ISO date, or an id. Not
claims: spans of time (`last 7 days`, `7-day`), markers of a list, the numbers inside words and ids, and
bare whole numbers below 10, which prose is full of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

__all__ = [
    "Claimed",
    "Kind",
    "find_claims",
    "find_ids",
    "find_numbers",
    "id_shapes",
    "number_of",
    "plain_number",
    "without_ids",
]

Kind = Literal["number", "date", "id"]
Unit = Literal["currency", "%", "x", ""]


class Claimed(Struct, frozen=True):
    """One checkable claim.

    Attributes:
        kind: What is claimed.
        text: As it stands in the text, for dates and ids in their canonical form.
        value: Magnitude of a number (signs are dropped: texts say "down 12%"), 0.0 otherwise.
        step: What one unit of the last printed digit is worth; half of it is the rounding error.
        digits: Significant digits printed.
        unit: Unit of a number.
    """

    kind: Kind
    text: str
    value: float = 0.0
    step: float = 0.0
    digits: int = 0
    unit: Unit = ""


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"(?<![\w-])(\d{4}-\d{2}-\d{2})(?![\w-])")
_MONTH_DAY = re.compile(
    r"\b(Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)"
    r"(?:uary|ruary|ch|il|ust|ember|tember|ober)?\.?\s+(\d{1,2})(?:st|nd|rd|th)?\b(?!\s*%)(?:,?\s+\d{4}\b)?"
)
_TIME = re.compile(r"(?<![\w:.])\d{1,2}:\d{2}(?::\d{2})?(?![\w:])")
_SPAN = re.compile(
    r"(?<![\w.,$\u20ac\u00a3])\d{1,3}(?:\s*(?:-|\u2013|to)\s*\d{1,3})?[\s-]?(?:days?|d|hours?|hrs?|h|weeks?|wks?|months?)\b",
    re.IGNORECASE,
)
_MARKER = re.compile(r"^\s*(?:step\s+)?\d{1,2}[.):](?=\s)", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,])(?<![A-Za-z_]-)"
    r"(?P<before>(?:US)?\$|\u20ac|\u00a3|(?:USD|EUR|GBP)\s)?\s?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?P<scale>[kK](?![A-Za-z0-9])|[mM](?![A-Za-z0-9]))?"
    r"(?P<after>\s?%|\s?(?:percent|pct)\b|\s?[x\u00d7](?![A-Za-z0-9])|\s?(?:USD|EUR|GBP|dollars|euros)\b)?"
    r"(?![A-Za-z0-9_])(?!\.\d)",
)
_SCALES = {"k": 1e3, "m": 1e6}


def find_numbers(text: str) -> Iterator[Claimed]:
    """Yield every number of a text, small ones included; spans of time, dates and list markers are not."""
    for match in _NUMBER.finditer(_blank(text, (_DATE, _MONTH_DAY, _TIME, _SPAN, _MARKER))):
        yield _number(match)


def find_claims(text: str, *, year: str = "") -> Iterator[Claimed]:
    """Yield numbers and dates that a text claims.

    Args:
        text: Prose.
        year: Four digits; lets `March 7` be read as a date, and makes the year itself no claim.
    """
    for match in _DATE.finditer(text):
        yield Claimed("date", match[1])
    if year:
        for match in _MONTH_DAY.finditer(text):
            month = _MONTHS.index(match[1][:3].lower()) + 1
            if 1 <= int(match[2]) <= 31:
                yield Claimed("date", f"{year}-{month:02d}-{int(match[2]):02d}")
    for claim in find_numbers(text):
        bare = not claim.unit and claim.step == 1.0
        if not (bare and (claim.value < 10 or claim.text == year)):
            yield claim


def number_of(text: str) -> Claimed | None:
    """Return the number that makes up a whole text, None where it is not one number."""
    match = _NUMBER.fullmatch(text.strip().lstrip("+-\u2212"))
    return None if match is None else _number(match)


def plain_number(value: float) -> str:
    """Return the magnitude of a number in digits, without an exponent."""
    text = repr(abs(value))
    return text if "e" not in text and "n" not in text else f"{abs(value):f}"


def id_shapes(ids: Iterable[str]) -> tuple[str, ...]:
    r"""Return patterns of ids that look like the given ones, e.g. `c\d+` for `c2`.

    Ids without a digit have no shape, as they cannot be told from words; ids of digits only have one from
    6 digits on, as shorter ones cannot be told from numbers.
    """
    shapes = {
        _shape(name) for name in ids if re.search(r"\d", name) and not (name.isdigit() and len(name) < 6)
    }
    return tuple(sorted(shapes, key=lambda shape: (-len(shape), shape)))


def find_ids(text: str, shapes: tuple[str, ...]) -> Iterator[Claimed]:
    """Yield what has the shape of an id in a text."""
    if shapes:
        for match in _pattern(shapes).finditer(text):
            yield Claimed("id", match[0])


def without_ids(text: str, shapes: tuple[str, ...]) -> str:
    """Return a text with everything that has the shape of an id replaced by spaces."""
    return _blank(text, (_pattern(shapes),)) if shapes else text


def _pattern(shapes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(shapes)})(?![\w-])")


def _shape(name: str) -> str:
    """Return an id with its runs of digits made general; an id of digits only must keep its length."""
    return rf"\d{{{len(name)}}}" if name.isdigit() else re.sub(r"\d+", r"\\d+", re.escape(name))


def _blank(text: str, patterns: Iterable[re.Pattern[str]]) -> str:
    """Return the text with everything that matches replaced by spaces, lengths unchanged."""
    for pattern in patterns:
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text


def _number(match: re.Match[str]) -> Claimed:
    digits = match["digits"].replace(",", "")
    _, _, fraction = digits.partition(".")
    scale = _SCALES[match["scale"].lower()] if match["scale"] else 1.0
    significant = digits.replace(".", "").lstrip("0")
    if not fraction and scale == 1.0:
        significant = significant.rstrip("0") or significant
    return Claimed(
        "number",
        match[0].strip(),
        float(digits) * scale,
        scale * 10.0 ** -len(fraction),
        len(significant),
        _unit(match["before"], match["after"]),
    )


def _unit(before: str | None, after: str | None) -> Unit:
    mark = (after or "").strip()
    if mark in ("%", "percent", "pct"):
        return "%"
    if before or mark in ("USD", "EUR", "GBP", "dollars", "euros"):
        return "currency"
    return "x" if mark in ("x", "\u00d7") else ""
