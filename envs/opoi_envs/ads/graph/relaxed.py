"""JSON as other clients write it: single quotes, unquoted keys and words are understood as well."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

__all__ = ["Malformed", "parse"]

_DEPTH = 32
_SHOWN = 40
_ENDS = ",:[]{}"
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {each: each for each in "\"'\\/"}
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates
    r"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class Malformed(ValueError):  # noqa: N818 - says what the text is
    """A text is no JSON, not even a relaxed one."""


def parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text, strict or relaxed.

    Raises:
        Malformed: It is neither, or holds half a character (a lone surrogate) or a number that is not finite.
    """
    try:
        return msgspec.json.decode(text.encode())
    except UnicodeEncodeError:
        raise Malformed("a character is incomplete") from None
    except msgspec.ValidationError as error:
        raise Malformed(str(error)) from None  # a number is too large
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
            letters.append(self.escaped() if letter == "\\" else letter)
        raise Malformed("a quotation does not end")

    def escaped(self) -> str:
        """Return what an escape stands for; the backslash has been read."""
        letter = self.text[self.at : self.at + 1]
        if letter != "u":
            if letter not in _ESCAPES:
                raise Malformed(f"an unknown escape at {self.at}")
            self.at += 1
            return _ESCAPES[letter]
        found = _CHARACTER.match(self.text, self.at - 1)
        if found is None:
            raise Malformed(f"an incomplete character at {self.at - 1}")
        self.at = found.end()
        return bytes.fromhex(found[0].replace("\\u", "")).decode("utf-16-be")

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
    """Return what an unquoted word means: a constant, a number or itself.

    Raises:
        Malformed: It is a number that is not finite.
    """
    if word in _WORDS:
        return _WORDS[word]
    overflows = _NUMBER.fullmatch(word) and not math.isfinite(float(word))
    if overflows or _NOT_FINITE.fullmatch(word):
        raise Malformed(f"{word[:_SHOWN]} is no number that JSON knows")
    try:
        return msgspec.json.decode(word.encode())
    except msgspec.DecodeError:
        return word
