r"""Find the checkable claims in a text: numbers with their unit, dates, and ids of things.

A claim is a number (with currency sign, `%`, `x`, or a suffix such as `k`, in digits or in words), a day in
any usual spelling, or an id. Not claims: spans of time (`last 7 days`, `7-day`), markers of a list, the
numbers inside words and ids, and bare whole numbers below 10, which prose is full of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct

from opoi.provenance.dates import find_dates
from opoi.provenance.words import find_words

__all__ = [
    "Claimed",
    "Kind",
    "Unit",
    "find_claims",
    "find_ids",
    "find_numbers",
    "id_shapes",
    "number_of",
    "plain_number",
    "printed_digits",
    "rounded",
    "without_ids",
]

Kind = Literal["number", "date", "id", "name", "cause"]
Unit = Literal["currency", "%", "x", ""]


class Claimed(Struct, frozen=True):
    """One checkable claim.

    Attributes:
        kind: What is claimed.
        text: As it stands in the text; a date in its canonical form.
        value: Magnitude of a number (signs are dropped: texts say "down 12%"), 0.0 otherwise.
        step: What one unit of the last printed digit is worth; half of it is the rounding error.
        digits: Significant digits printed.
        unit: Unit of a number.
        days: ISO days that a date can mean, the most likely first.
        vague: A round word (`a third`): it claims nothing by itself, but may tell what is hidden.
        as_decimal_comma: What the same characters mean where the comma marks decimals (`1,391` and `1.391`),
            if that is possible: not for an amount such as `$47,400`.
        start: First character of the claim in the text.
        end: One past the last.
    """

    kind: Kind
    text: str
    value: float = 0.0
    step: float = 0.0
    digits: int = 0
    unit: Unit = ""
    days: tuple[str, ...] = ()
    vague: bool = False
    as_decimal_comma: Claimed | None = None
    start: int = 0
    end: int = 0


_TIME = re.compile(r"(?<![\w:.])\d{1,2}:\d{2}(?::\d{2})?(?![\w:])")
_SPAN_UNIT = (
    r"(?:days?|d|hours?|hrs?|h|weeks?|wks?|months?|minutes?|tage[ns]?|stunden|wochen?|monaten?|"
    r"d\u00edas?|horas|semanas?|mes(?:es)?)"
)
_SPAN = re.compile(
    r"(?<![\w.,$\u20ac\u00a3])\d{1,3}(?:\s*(?:-|\u2013|to)\s*\d{1,3})?[\s-]?" + _SPAN_UNIT + r"\b",
    re.IGNORECASE,
)
_TIMED = re.compile(r"[\s-]+" + _SPAN_UNIT + r"\b", re.IGNORECASE)
_MARKER = re.compile(r"^\s*(?:step\s+)?\d{1,2}[.):](?=\s)", re.IGNORECASE | re.MULTILINE)
_OPERAND = (
    r"(?:[\d$\u20ac\u00a3(]|(?:USD|EUR|GBP)\s"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|twelve|fourteen|thirty)\b)"
)
_FACTOR = rf"[x\u00d7](?![A-Za-z0-9])|\s[x\u00d7](?![A-Za-z0-9]|\s*{_OPERAND})|\s?times\b(?!\s+{_OPERAND})"
"""A factor such as `2.1x`; in `52.10 x 6` the sign stands between two numbers and is the unit of none."""

_AFTER = (
    r"\s?[%\u2030\u00a2\u20ac]|\s?(?:percent(?:age\spoints?)?|per\s(?:cent|mille?)|pct|pp|prozent(?:punkte)?|"
    r"por\sciento|pour\scent|bps?|basis[\s-]points?|basispunkte?|permille|promille)\b"
    rf"|{_FACTOR}|-?fold\b|-?fach\b|\sveces\b"
    r"|\s?(?:USD|EUR|GBP|dollars?|euros?|pounds|d\u00f3lares|cents?|c\u00e9ntimos|centavos)\b"
)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,])(?<![A-Za-z_]-)"
    r"(?P<before>(?:US)?\$|\u20ac|\u00a3|(?:USD|EUR|GBP)\s)?\s?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}(?![\d.])"
    r"|\d{1,3}(?: \d{3})+[.,]\d\d?(?!\d)|\d{1,3}(?:'\d{3})+(?:\.\d+)?"
    r"|\d+,(?:\d\d?|\d{4,})(?![\d,])|0,\d+|\d+(?:\.\d+)?)"
    r"(?P<scale>[kK](?![A-Za-z0-9])|[mM](?![A-Za-z0-9])|(?:bn|B)(?![A-Za-z0-9])"
    r"|\s?(?i:hundred|thousand|million|mio\.?|tausend|millionen|mil|millones|dozen)\b)?"
    rf"(?P<after>(?i:{_AFTER}))?"
    r"(?:(?![A-Za-z0-9_])|(?(before)(?=x[\d$])|(?!)))(?!\.\d)",
)
_WORD_AFTER = re.compile(_AFTER, re.IGNORECASE)
_SWAPPED = re.compile(r"\d{1,3}(?:[.,]\d{3})")
_SCALES = {
    "k": 1e3,
    "m": 1e6,
    "bn": 1e9,
    "b": 1e9,
    "hundred": 1e2,
    "thousand": 1e3,
    "tausend": 1e3,
    "mil": 1e3,
    "million": 1e6,
    "mio": 1e6,
    "millionen": 1e6,
    "millones": 1e6,
    "dozen": 12.0,
}
_PERCENT = re.compile(r"%|percent|per\scent|pct|pp|prozent|por\sciento|pour\scent", re.IGNORECASE)
_BASIS = re.compile(r"bps?\b|basis", re.IGNORECASE)
_MILLE = re.compile(r"\u2030|mille", re.IGNORECASE)
_CENTS = re.compile(r"\u00a2|cent|c\u00e9nt", re.IGNORECASE)
_TIMES = re.compile(r"x|\u00d7|times|fold|fach|veces", re.IGNORECASE)
_ROUND_FROM = 100.0
_SMALL = 10
_CENT = 0.01
_AND = re.compile(r"\s*(?:and|und|con|y|et|,)?\s*", re.IGNORECASE)


def find_numbers(text: str) -> Iterator[Claimed]:
    """Yield every number of a text, small ones included; spans of time, dates and list markers are not."""
    yield from _numbers(_blank_spans(text, ((each.start, each.end) for each in find_dates(text))))


def find_claims(text: str, *, as_of: str = "") -> Iterator[Claimed]:
    """Yield numbers and dates that a text claims.

    Args:
        text: Prose.
        as_of: ISO day of the decision; lets `March 7` be read as a date, and makes the year itself no claim.
    """
    dated = list(find_dates(text, as_of=as_of))
    for each in dated:
        yield Claimed("date", each.days[0], days=each.days, start=each.start, end=each.end)
    text = _blank_spans(text, ((each.start, each.end) for each in dated))
    numbers = list(_numbers(text))
    text = _blank_spans(text, ((each.start, each.end) for each in numbers))
    for claim in _joined(sorted((*numbers, *_worded(text)), key=lambda each: each.start), text):
        bare = not claim.unit and claim.step == 1.0
        if not (bare and (claim.value < _SMALL or claim.text == as_of[:4])) and not _small(claim):
            yield claim


def number_of(text: str) -> Claimed | None:
    """Return the number that makes up a whole text, None where it is not one number."""
    match = _NUMBER.fullmatch(text.strip().lstrip("+-\u2212"))
    return None if match is None else _number(match)


def plain_number(value: float) -> str:
    """Return the magnitude of a number in digits, without an exponent."""
    text = repr(abs(value))
    return text if "e" not in text and "n" not in text else f"{abs(value):f}"


def printed_digits(value: float) -> int:
    """Return how many significant digits a number has, without zeros at its end."""
    return len(plain_number(value).removesuffix(".0").replace(".", "").strip("0")) or 1


def rounded(claim: Claimed) -> Claimed | None:
    """Return a round whole number (`4,800`) as one that is only exact to its last digit that is not 0.

    None where nothing is left open: numbers with decimals, below 100, or not round.
    """
    if claim.vague or claim.step != 1.0 or claim.value < _ROUND_FROM or claim.value % 10:
        return None
    whole = str(int(claim.value))
    return msgspec.structs.replace(claim, step=10.0 ** (len(whole) - len(whole.rstrip("0"))))


def id_shapes(ids: Iterable[str]) -> tuple[str, ...]:
    r"""Return patterns of ids that look like the given ones, e.g. `c\d+` for `c2`.

    Ids without a digit have no shape, as they cannot be told from words; ids of digits only have one from
    6 digits on, as shorter ones cannot be told from numbers.
    """
    shapes = {
        _shape(name) for name in ids if _HAS_DIGIT.search(name) and not (name.isdigit() and len(name) < 6)
    }
    return tuple(sorted(shapes, key=lambda shape: (-len(shape), shape)))


def find_ids(text: str, shapes: tuple[str, ...]) -> Iterator[Claimed]:
    """Yield what has the shape of an id in a text."""
    if shapes:
        for match in _pattern(shapes).finditer(text):
            yield Claimed("id", match[0], start=match.start(), end=match.end())


def without_ids(text: str, shapes: tuple[str, ...]) -> str:
    """Return a text with everything that has the shape of an id replaced by spaces, lengths unchanged."""
    return _blank(text, (_pattern(shapes),)) if shapes else text


_HAS_DIGIT = re.compile(r"\d")


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


def _blank_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in spans:
        text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text


def _numbers(text: str) -> Iterator[Claimed]:
    """Yield the numbers in digits of a text without dates."""
    if _HAS_DIGIT.search(text):
        for match in _NUMBER.finditer(_blank(text, (_TIME, _SPAN, _MARKER))):
            yield _number(match)


def _worded(text: str) -> Iterator[Claimed]:
    """Yield the numbers in words; those that count a time are no claims."""
    for found in find_words(text):
        start, end = found.start, found.end
        if found.fraction:
            spoken = text[start:end]
            yield Claimed("number", spoken, found.value, found.step, 1, "%", (), True, None, start, end)
        elif not _TIMED.match(text, end):
            mark = _WORD_AFTER.match(text, end)
            after = mark[0] if mark else ""
            end += len(after)
            unit, factor = _unit(None, after)
            value, step = found.value * factor, found.step * factor
            whole = f"{found.value:.10g}".replace(".", "")
            digits = len(whole.rstrip("0") if found.step >= 1 else whole) or 1
            yield Claimed("number", text[start:end], value, step, digits, unit, start=start, end=end)


def _joined(claims: Iterable[Claimed], text: str) -> Iterator[Claimed]:
    """Make one claim of a whole amount and the cents after it: `forty dollars and thirteen cents`."""
    last: Claimed | None = None
    for claim in claims:
        if last is not None and _is_change(last, claim) and _AND.fullmatch(text, last.end, claim.start):
            last = Claimed(
                "number",
                f"{last.text} {claim.text}",
                last.value + claim.value,
                claim.step,
                len(f"{100 * (last.value + claim.value):.0f}"),
                "currency",
                start=last.start,
                end=claim.end,
            )
            continue
        if last is not None:
            yield last
        last = claim
    if last is not None:
        yield last


def _is_change(amount: Claimed, cents: Claimed) -> bool:
    """Return whether a claim is a whole amount of money and the next one counts cents."""
    whole = amount.unit == cents.unit == "currency" and amount.step == 1.0
    return whole and cents.step == _CENT and cents.value < 1


def _small(claim: Claimed) -> bool:
    """Return whether a claim is a single small number in words, such as `five percent`: too short to tell."""
    return (
        not claim.vague and claim.digits == 1 and claim.value < _SMALL and not _HAS_DIGIT.search(claim.text)
    )


def _number(match: re.Match[str]) -> Claimed:
    raw = match["digits"]
    claim = _read(match, _plain(raw))
    amount = match["before"] and "," in raw
    if _SWAPPED.fullmatch(raw) and not raw.startswith("0") and not amount:
        swapped = raw.replace(",", ".") if "," in raw else raw.replace(".", "")
        claim = msgspec.structs.replace(claim, as_decimal_comma=_read(match, swapped))
    return claim


def _plain(digits: str) -> str:
    """Return digits with a point before the decimals and nothing between the thousands."""
    digits = digits.replace("'", "").replace(" ", "")
    head, comma, tail = digits.rpartition(",")
    if comma and "." not in tail and not (len(tail) == 3 and head != "0" and "." not in head):
        return f"{head.replace('.', '').replace(',', '')}.{tail}"
    digits = digits.replace(",", "")
    return digits.replace(".", "") if digits.count(".") > 1 else digits


def _read(match: re.Match[str], digits: str) -> Claimed:
    _, _, fraction = digits.partition(".")
    scale = _SCALES[match["scale"].strip().rstrip(".").lower()] if match["scale"] else 1.0
    unit, factor = _unit(match["before"], match["after"])
    significant = digits.replace(".", "").lstrip("0")
    if not fraction and scale == 1.0:
        significant = significant.rstrip("0") or significant
    start = match.start() + len(match[0]) - len(match[0].lstrip())
    return Claimed(
        "number",
        match[0].strip(),
        float(digits) * scale * factor,
        scale * 10.0 ** -len(fraction) * factor,
        len(significant),
        unit,
        start=start,
        end=match.end() - len(match[0]) + len(match[0].rstrip()),
    )


def _unit(before: str | None, after: str | None) -> tuple[Unit, float]:
    """Return the unit that signs before and after a number say, and what the number counts in it."""
    mark = (after or "").strip().lstrip("-")
    if _MILLE.search(mark):
        return "%", 0.1
    if _PERCENT.match(mark):
        return "%", 1.0
    if _BASIS.match(mark):
        return "%", 0.01
    if _CENTS.match(mark):
        return "currency", 0.01
    if mark and not before and _TIMES.fullmatch(mark):
        return "x", 1.0
    return ("currency", 1.0) if before or mark else ("", 1.0)
