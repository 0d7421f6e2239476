"""JSON as other clients write it: single quotes, unquoted keys and words are understood as well."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Malformed", "parse"]

_DEPTH = 32
_ENDS = ",:[]{}"
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class Malformed(ValueError):  # noqa: N818 - says what the text is
    """A text is no JSON, not even a relaxed one."""


def parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text, strict or relaxed.

    Raises:
        Malformed: It is neither.
    """
    try:
        return _finite(msgspec.json.decode(text.encode("utf-8", "replace")))
    except (msgspec.DecodeError, RecursionError):
        return _Reader(text).whole()


class _Reader:
    """Reads one value from a text, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> Any:  # noqa: ANN401 - any JSON value
        value = self.value(0)
        if self.peek():
            raise Malformed(f"unexpected {self.peek()!r} at {self.at}")
        return value

    def peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> None:
        if self.peek() != expected:
            raise Malformed(f"expected {expected!r} at {self.at}")
        self.at += 1

    def value(self, depth: int) -> Any:  # noqa: ANN401 - any JSON value
        if depth > _DEPTH:
            raise Malformed("nested too deeply")
        start = self.peek()
        if start == "[":
            return self.array(depth)
        if start == "{":
            return self.table(depth)
        if start in ("'", '"'):
            return self.quoted(start)
        return _word(self.bare())

    def array(self, depth: int) -> list[Any]:
        self.take("[")
        items: list[Any] = []
        while self.peek() != "]":
            if items:
                self.take(",")
            items.append(self.value(depth + 1))
        self.take("]")
        return items

    def table(self, depth: int) -> dict[str, Any]:
        self.take("{")
        items: dict[str, Any] = {}
        while self.peek() != "}":
            if items:
                self.take(",")
            start = self.peek()
            key = self.quoted(start) if start in ("'", '"') and start else self.bare()
            self.take(":")
            items[key] = self.value(depth + 1)
        self.take("}")
        return items

    def quoted(self, quote: str) -> str:
        self.take(quote)
        letters: list[str] = []
        while self.at < len(self.text):
            letter = self.text[self.at]
            self.at += 1
            if letter == quote:
                return "".join(letters)
            if letter == "\\" and self.at < len(self.text):
                letter = self.text[self.at]
                self.at += 1
            letters.append(letter)
        raise Malformed("a quotation does not end")

    def bare(self) -> str:
        self.peek()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _ENDS:
            self.at += 1
        word = self.text[start : self.at].strip()
        if not word or any(letter in word for letter in "'\""):
            raise Malformed(f"nothing readable at {start}")
        return word


def _word(word: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what an unquoted word means: a constant, a number or itself."""
    if word in _WORDS:
        return _WORDS[word]
    try:
        return _finite(msgspec.json.decode(word.encode("utf-8", "replace")))
    except msgspec.DecodeError:
        return word


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise Malformed("a number is too large")
    return value
