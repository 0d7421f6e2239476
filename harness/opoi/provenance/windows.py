"""The windows of facts as days: which days one covers, and which windows can be compared."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from msgspec import Struct

__all__ = ["LONGEST", "Window", "days_in", "window_of"]

LONGEST = 45
"""Most days of a window whose inner days count as seen; a longer one shows only its ends."""

_ISO_DAY = re.compile(r"(?<![\w-])\d{4}-\d{2}-\d{2}(?:(?![\w-])|(?=[Tt]\d{2}:?\d{2}))")


class Window(Struct, frozen=True):
    """Consecutive days.

    Attributes:
        first: Number of the first day (proleptic Gregorian ordinal).
        days: How many days it has, at least 1.
    """

    first: int
    days: int

    @property
    def end(self) -> int:
        """Number of the day after the last."""
        return self.first + self.days

    def inside(self, other: Window) -> bool:
        """Return whether another, longer window holds this one."""
        return self.days < other.days and other.first <= self.first and self.end <= other.end


def days_in(text: str) -> list[str]:
    """Return the ISO days that stand in a text, those of times such as `2025-03-20T10:00:00Z` included."""
    return _ISO_DAY.findall(text)


@lru_cache(maxsize=4096)
def window_of(text: str) -> Window | None:
    """Read `day` or `first..last`; None for a state without a date and for any other text."""
    first, _, last = text.partition("..")
    start, end = _ordinal(first), _ordinal(last or first)
    if start is None or end is None or end < start:
        return None
    return Window(start, end - start + 1)


def _ordinal(text: str) -> int | None:
    if not _ISO_DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        return None
