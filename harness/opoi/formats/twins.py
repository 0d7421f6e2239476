"""Keys that stand twice in one object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["as_often", "no_twins"]

_ESCAPED_LETTER: Final = re.compile(rb"\\u00[567]")
"""Of the keys that are read: they are of small letters and low lines."""


def no_twins(raw: bytes, expected: Mapping[bytes, int]) -> None:
    """Refuse JSON in which a key stands twice in one object.

    Readers do not agree on which of the two counts, and one of them would escape every rule and detector.

    Args:
        raw: The JSON text.
        expected: How often each quoted key was read. As long as that is how often it stands there, none of
            them can be hidden, and the slow look at every object is spared.

    Raises:
        ValueError: There are twins; the message names the key.
    """
    if not as_often(raw, expected):
        json.loads(raw, object_pairs_hook=_pairs, parse_int=str, parse_float=str)


def as_often(raw: bytes, expected: Mapping[bytes, int]) -> bool:
    """Return whether each quoted key stands in a JSON text just as often as it was read.

    Where letters are escaped it does not: a key may be written with such escapes.
    """
    return _ESCAPED_LETTER.search(raw) is None and all(
        raw.count(key) == times for key, times in expected.items()
    )


def _pairs(members: list[tuple[str, object]]) -> None:
    names = {name for name, _ in members}
    if len(names) < len(members):
        seen: set[str] = set()
        for name, _ in members:
            if name in seen:
                raise ValueError(f"the key {name[:40]!r} stands twice in one object")
            seen.add(name)
