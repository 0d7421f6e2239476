"""Finding the elements of one JSON array in a stream of bytes, without decoding and without holding it.

To put a record back into its file unchanged its own bytes are needed, which decoders do not hand over, and to
keep memory flat they are needed one record at a time. So this follows strings and brackets only; whether an
element is valid JSON shows when it is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

import re2

__all__ = ["Piece", "split", "top_keys"]

_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_LEVELS: Final = 6
_QUOTE, _COMMA, _OPEN = b'",['
_HEAD: Final = 64 * 1024
_KEY: Final = 256


def _balanced(plain: bytes, levels: int) -> bytes:
    """Return a pattern of plain bytes, strings and brackets that close again, nested so deeply at most."""
    inner = b"" if not levels else rb"|[\[{]" + _balanced(rb'[^"\[\]{}]', levels - 1) + rb"[\]}]"
    return b"(?:" + plain + b"|" + _STRING + inner + b")*"


def _compiled(pattern: bytes) -> Any:  # noqa: ANN401 - re2 ships no types
    """Return a pattern of RE2, which is linear whatever the text; `re` is hungry where escapes abound."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes, whatever they mean
    options.dot_nl = True
    options.log_errors = False
    return re2.compile(pattern, options)


_TOKEN: Final = _compiled(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{},]')
_REST: Final = _compiled(rb'[^"\\]*(?:\\.[^"\\]*)*')
_ELEMENT: Final = _compiled(_balanced(rb'[^",\[\]{}]', _LEVELS + 1))
_INSIDE: Final = _compiled(_balanced(rb'[^"\[\]{}]', _LEVELS))


class Piece(NamedTuple):
    """A stretch of the stream. All in order are the stream, but for `long` elements.

    Attributes:
        kind: `element`: one element and the white space around it. `comma`: what parts two of them.
            `close`: the closing bracket, which may be the wrong one. `frame`: what stands before the first
            element (the opening bracket too) or after the closing bracket. `long`: the head of an element
            over the limit. `cut`: the stream ends inside this element.
        data: Its bytes.
    """

    kind: Literal["frame", "comma", "element", "long", "cut", "close"]
    data: bytes


def split(chunks: Iterable[bytes], *, key: str = "", limit: int) -> Iterator[Piece]:
    """Yield the elements of an array and what stands around them.

    An empty array has one element of white space.

    Args:
        chunks: The stream.
        key: Member of the top-level object that holds the array; `""` where the array is the document.
        limit: Longest element in bytes; not much more is ever held.
    """
    splitter = _Splitter(f'"{key}"'.encode() if key else b"", limit)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.end()


class _Splitter:
    """What has to be known between two chunks."""

    def __init__(self, key: bytes, limit: int) -> None:
        self._key = key
        self._around = 1 if key else 0  # depth of what holds the array
        self._limit = limit
        self._state: Literal["before", "inside", "after"] = "before"
        self._depth = 0
        self._name = b""  # the last string beside the array: its key, where the array comes next
        self._in_string = False
        self._tail = b""  # end of a chunk that means something only with the next one
        self._held: list[bytes] = []
        self._size = 0
        self._long = False

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Yield the pieces that end in this chunk."""
        data = self._tail + chunk
        self._tail = b""
        start, position = 0, self._string_ends(data, 0) if self._in_string else 0
        if self._state == "before":
            found = self._find_array(data, position)
            if found is not None:
                self._state = "inside"
                yield Piece("frame", data[:found])
                start = position = found
        while self._state == "inside" and position < len(data):
            pattern = _ELEMENT if self._depth == self._around + 1 else _INSIDE
            position = pattern.match(data, position).end()
            if position == len(data):
                break
            byte = data[position]
            if byte == _QUOTE:  # of a string that does not end in this chunk
                position = self._string_ends(data, position + 1)
            elif byte == _COMMA:
                yield self._element(data[start:position])
                yield Piece("comma", b",")
                start = position = position + 1
            else:
                self._depth += 1 if byte in b"[{" else -1
                if self._depth == self._around:
                    yield self._element(data[start:position])
                    yield Piece("close", data[position : position + 1])
                    self._state, start = "after", position + 1
                position += 1
        rest = data[start : len(data) - len(self._tail)]
        if self._state == "inside":
            self._hold(rest)
        elif rest:
            yield Piece("frame", rest)

    def end(self) -> Iterator[Piece]:
        """Yield what is left when the stream has ended."""
        if self._state == "inside":
            self._hold(self._tail)
            yield Piece("long" if self._long else "cut", b"".join(self._held))
        elif self._tail:
            yield Piece("frame", self._tail)

    def _find_array(self, data: bytes, position: int) -> int | None:
        """Return where the array begins, after its bracket; None where it does not yet."""
        for match in _TOKEN.finditer(data, position):
            byte = data[match.start()]
            if byte == _QUOTE:
                self._string_before(data, match.span(), closed=bool(match[1]))
            elif byte != _COMMA:
                here = byte == _OPEN and self._depth == self._around and self._name == self._key
                self._depth += 1 if byte in b"[{" else -1
                if here:
                    return int(match.end())
        return None

    def _string_before(self, data: bytes, span: tuple[int, int], *, closed: bool) -> None:
        """Take in a string before the array: perhaps its key, perhaps cut."""
        beside = self._key != b"" and self._depth == self._around
        if closed:
            if beside:
                self._name = data[span[0] : span[1]]
        elif beside and len(data) - span[0] < _KEY:
            self._tail = data[span[0] :]  # read it again with what follows
        else:
            self._string_ends(data, span[0] + 1)

    def _string_ends(self, data: bytes, position: int) -> int:
        """Return where a string ends that is open at a position; the end of the data where it goes on."""
        end: int = _REST.match(data, position).end()
        self._in_string = data[end : end + 1] != b'"'
        if not self._in_string:
            return end + 1
        self._tail = data[end:]  # a backslash without what it escapes
        return len(data)

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._held.append(data)
        elif not self._long:
            self._long, self._held = True, [b"".join([*self._held, data])[:_HEAD]]

    def _element(self, data: bytes) -> Piece:
        self._hold(data)
        piece = Piece("long" if self._long else "element", b"".join(self._held))
        self._held, self._size, self._long = [], 0, False
        return piece


def top_keys(head: bytes) -> list[str]:
    """Return the keys of the top-level object that a document begins with, as far as the head shows them."""
    keys, depth = [], 0
    for match in _TOKEN.finditer(head):
        byte = head[match.start()]
        if byte == _QUOTE:
            if depth == 1 and match[1] and head[match.end() :].lstrip()[:1] == b":":
                keys.append(match[0][1:-1].decode(errors="replace"))
        elif byte != _COMMA:
            depth += 1 if byte in b"[{" else -1
    return keys
