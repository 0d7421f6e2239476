"""Read numbers that are written in words: `forty-eight hundred`, `achtundvierzig`, `cuatro mil ochocientos`.

English, German and Spanish, cardinal numbers below a billion, English decimals (`eighteen point five`) and,
after a preposition, a few fractions (`by a third`). Words that mean something else as well (`once`, `second`)
are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

__all__ = ["Worded", "find_words"]

_ENGLISH = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_GERMAN = (
    "eins zwei drei vier f\u00fcnf sechs sieben acht neun zehn elf zw\u00f6lf dreizehn vierzehn "
    "f\u00fcnfzehn sechzehn siebzehn achtzehn neunzehn"
)
_SPANISH = "dos tres cuatro cinco seis siete ocho nueve diez"
_SPANISH_TEENS = (
    "doce trece catorce quince diecis\u00e9is diecisiete dieciocho diecinueve veinte "
    "veintiuno veintid\u00f3s veintitr\u00e9s veinticuatro veinticinco veintis\u00e9is veintisiete "
    "veintiocho veintinueve"
)
_TENS = (
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "zwanzig drei\u00dfig vierzig f\u00fcnfzig sechzig siebzig achtzig neunzig",
    "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
)
_HUNDREDS = (
    "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
)


def _numbered(names: str, first: int = 1, factor: int = 1) -> dict[str, int]:
    """Return name -> value for names that count upwards."""
    return {name: factor * value for value, name in enumerate(names.split(), start=first)}


_UNITS: dict[str, int] = {
    **_numbered(_ENGLISH),
    **_numbered(_GERMAN),
    **_numbered(_SPANISH, first=2),
    **_numbered(_SPANISH_TEENS, first=12),
    **{name: value for names in _TENS for name, value in _numbered(names, first=2, factor=10).items()},
    **_numbered(_HUNDREDS, factor=100),
    "ein": 1,
    "dreissig": 30,
    "cien": 100,
    "zero": 0,
}
_SCALES = {
    "hundred": 100,
    "hundert": 100,
    "thousand": 1000,
    "tausend": 1000,
    "mil": 1000,
    "million": 1_000_000,
    "millionen": 1_000_000,
    "mill\u00f3n": 1_000_000,
    "millones": 1_000_000,
}
_JOIN = r"[\s-]+|(?:(?<=hundred)|(?<=thousand)|(?<=million))\s+and\s+|(?<=ta)\s+y\s+|und"
"""What can stand between the words of one number."""

_FRACTIONS = {
    **dict.fromkeys(("half", "h\u00e4lfte", "mitad"), 50.0),
    **dict.fromkeys(("two thirds", "two-thirds", "zwei drittel", "dos tercios"), 200 / 3),
    **dict.fromkeys(("three quarters", "three-quarters", "drei viertel", "tres cuartos"), 75.0),
    **dict.fromkeys(("third", "drittel", "tercio"), 100 / 3),
    **dict.fromkeys(("quarter", "viertel", "cuarto"), 25.0),
    **dict.fromkeys(("fifth", "f\u00fcnftel", "quinto"), 20.0),
    **dict.fromkeys(("tenth", "zehntel"), 10.0),
}
FRACTION_STEP = 4.0
"""What a fraction in words leaves open, in percentage points: `a third` is said of 32 as of 35 %."""


def _any(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))


_WORD = re.compile(f"{_any({**_UNITS, **_SCALES})}|point")
_NUMBER = rf"(?:{_any({**_UNITS, **_SCALES})})"
_RUN = re.compile(
    rf"(?<![\w-])(?:an?\s+)?{_NUMBER}(?:(?:{_JOIN})?{_NUMBER})*"
    rf"(?:\s+point(?:\s+{_NUMBER})+(?:\s+(?:{_any(_SCALES)}))?)?(?![\w-])",
    re.IGNORECASE,
)
_FRACTION = re.compile(
    r"\b(?:by|about|nearly|roughly|around|almost|approximately|um|etwa|rund|fast|en|casi)\s+"
    rf"(?:an?\s+|one[\s-]|ein(?:en?)?\s+|die\s+|una?\s+|la\s+)?(?P<name>{_any(_FRACTIONS)})\b",
    re.IGNORECASE,
)


_LETTERS = re.compile(r"[^\W\d_]+")
_SMALLEST = 10
_LARGE = frozenset(name for name, value in _UNITS.items() if value >= _SMALLEST) | {*_SCALES, "point"}
_COMPOUND = ("hundert", "tausend", "zig", "\u00dfig", "ssig")
_FRACTIONAL = (
    "half",
    "third",
    "quarter",
    "fifth",
    "tenth",
    "tel",
    "h\u00e4lfte",
    "tercio",
    "cuarto",
    "mitad",
    "quinto",
)
"""What a text must hold to be searched at all: looking for these is much faster than the search."""


class Worded(Struct, frozen=True):
    """One number in words.

    Attributes:
        value: Its value; a fraction in percent.
        step: What one unit of its last digit is worth.
        fraction: Whether it is a fraction such as `a third`.
        start: First character.
        end: One past the last.
    """

    value: float
    step: float
    fraction: bool
    start: int
    end: int


def find_words(text: str) -> Iterator[Worded]:
    """Yield the numbers in words of a text and its fractions; a scale alone is none.

    A text with no number from ten on is not searched for smaller ones.
    """
    lower = text.lower()
    if not _LARGE.isdisjoint(_LETTERS.findall(lower)) or any(part in lower for part in _COMPOUND):
        for match in _RUN.finditer(text):
            words = _WORD.findall(match[0].lower())
            value, step = _value(words)
            if not all(word in _SCALES for word in words):
                yield Worded(value, step, False, match.start(), match.end())
    if any(part in lower for part in _FRACTIONAL):
        for match in _FRACTION.finditer(text):
            share = _FRACTIONS[" ".join(match["name"].lower().split())]
            yield Worded(share, FRACTION_STEP, True, match.start("name"), match.end("name"))


def _value(words: list[str]) -> tuple[float, float]:
    """Return value and step of the words of one number."""
    if "point" in words:
        return _decimal(words)
    return float(_whole(words)), 1.0


def _whole(words: list[str]) -> int:
    total = part = 0
    for word in words:
        scale = _SCALES.get(word)
        if scale is None:
            part += _UNITS[word]
        elif scale == 100:
            part = (part or 1) * scale
        else:
            total += (part or 1) * scale
            part = 0
    return total + part


def _decimal(words: list[str]) -> tuple[float, float]:
    """Read `eighteen point five seven`, with a scale after it or without."""
    at = words.index("point")
    scale = _SCALES.get(words[-1], 1)
    digits = "".join(str(_UNITS[word]) for word in words[at + 1 :] if word in _UNITS)
    step = 10.0 ** -len(digits)
    return scale * float(f"{_whole(words[:at])}.{digits}"), scale * step
