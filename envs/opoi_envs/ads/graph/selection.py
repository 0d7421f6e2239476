"""The `fields` parameter: names, and what is asked of objects and edges inside them.

`name,adsets.limit(1){id,name},campaign{name}` or the same names as a JSON array.
"""

from __future__ import annotations

from msgspec import Struct, field

from opoi_envs.ads.graph.errors import ApiError, invalid
from opoi_envs.ads.graph.params import Params, names

__all__ = ["Wanted", "wanted"]

_DEPTH = 8
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Wanted(Struct, frozen=True):
    """One asked field.

    Attributes:
        name: Of the field or edge.
        params: Of an edge: what stands in `.limit(1)`; values as text.
        fields: What is asked of the objects inside; None where nothing is said.
    """

    name: str
    params: dict[str, str] = field(default_factory=dict)
    fields: tuple[Wanted, ...] | None = None


def wanted(params: Params) -> tuple[Wanted, ...] | None:
    """Return what a request's `fields` ask for; None where it has none.

    Raises:
        ApiError: They cannot be read.
    """
    text = params.get("fields", "").strip()
    if not text:
        return None
    if text[0] in "[\"'":
        parts = [_Reader(item).whole() for item in names(params, "fields")]
        return _once([each for part in parts for each in part])
    return _once(_Reader(text).whole())


def _once(fields: list[Wanted]) -> tuple[Wanted, ...]:
    """Return fields without repetitions; the last of a name counts, in the place of the first."""
    return tuple({each.name: each for each in fields}.values())


class _Reader:
    """Reads fields from a text, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> list[Wanted]:
        fields = self.fields(0)
        if self.at < len(self.text):
            raise self.wrong()
        return fields

    def wrong(self) -> ApiError:
        return invalid(f"Syntax error in fields at position {self.at}", "fields")

    def peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def fields(self, depth: int) -> list[Wanted]:
        if depth > _DEPTH:
            raise invalid("fields are nested too deeply", "fields")
        result: list[Wanted] = []
        while True:
            if self.peek() in ("", "}"):
                return result
            result.append(self.field(depth))
            if self.peek() != ",":
                return result
            self.at += 1

    def field(self, depth: int) -> Wanted:
        name = self.word()
        params: dict[str, str] = {}
        while self.peek() == ".":
            self.at += 1
            modifier = self.word()
            params[modifier] = self.argument()
        inner = None
        if self.peek() == "{":
            self.at += 1
            inner = _once(self.fields(depth + 1))
            if self.peek() != "}":
                raise self.wrong()
            self.at += 1
        return Wanted(name, params, inner)

    def word(self) -> str:
        self.peek()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _WORD:
            self.at += 1
        if start == self.at:
            raise self.wrong()
        return self.text[start : self.at]

    def argument(self) -> str:
        """Return what stands in the brackets of a modifier, itself with balanced brackets."""
        if self.peek() != "(":
            raise self.wrong()
        start, open_brackets = self.at + 1, 0
        for place in range(self.at, len(self.text)):
            open_brackets += {"(": 1, ")": -1}.get(self.text[place], 0)
            if not open_brackets:
                self.at = place + 1
                return self.text[start:place]
        raise self.wrong()
