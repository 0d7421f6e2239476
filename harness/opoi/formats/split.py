"""Finding the elements of one JSON array in a stream of bytes, without decoding and without holding it.

To put a record back into its file unchanged its own bytes are needed, which decoders do not hand over, and to
keep memory flat they are needed one record at a time. So this follows strings and brackets only; whether an
element is valid JSON shows when it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

__all__ = ["Piece", "split", "top_keys"]

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[\[\]{},]', re.DOTALL)
_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.DOTALL)
_QUOTE, _COMMA, _OPEN, _CLOSE = b'",[]'
_HEAD: Final = 64 * 1024
_KEY: Final = 256


class Piece(NamedTuple):
    """A stretch of the stream. All in order are the stream, but for `long` elements.

    Attributes:
        kind: `element`: one element and the white space around it. `comma`: what parts two of them.
            `close`: the closing bracket. `frame`: what stands before the first element (the opening bracket
            included) or after the closing bracket. `long`: the head of an element over the limit. `cut`: the
            stream ends inside this element.
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
        start = 0
        if self._state != "after":
            for match in _TOKEN.finditer(data, self._string_goes_on(data)):
                byte = data[match.start()]
                if byte == _QUOTE:
                    self._string(match)
                    continue
                here = self._depth == self._around + 1
                if byte == _COMMA:
                    if here and self._state == "inside":
                        yield self._element(data[start : match.start()])
                        yield Piece("comma", b",")
                        start = match.end()
                elif byte in b"[{":
                    if self._opens(byte):
                        yield Piece("frame", data[start : match.end()])
                        self._state, start = "inside", match.end()
                    self._depth += 1
                else:
                    self._depth -= 1
                    if here and self._state == "inside":
                        yield self._element(data[start : match.start()])
                        yield Piece("close", b"]")
                        self._state, start = "after", match.end()
                        break
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

    def _opens(self, byte: int) -> bool:
        """Whether this bracket opens the array."""
        found = self._state == "before" and byte == _OPEN and self._depth == self._around
        return found and self._name == self._key

    def _string_goes_on(self, data: bytes) -> int:
        """Return where the string that began in an earlier chunk ends."""
        if not self._in_string:
            return 0
        match = _REST.match(data)
        assert match is not None  # it matches nothing at all, too
        self._in_string = not match[1]
        if self._in_string:
            self._tail = data[match.end() :]
            return len(data)
        return match.end()

    def _string(self, match: re.Match[bytes]) -> None:
        beside = self._state == "before" and self._key != b"" and self._depth == self._around
        if match[1]:
            if beside:
                self._name = match[0]
        elif beside and len(match.string) - match.start() < _KEY:
            self._tail = match.string[match.start() :]  # a key, perhaps: read it again with what follows
        else:
            self._in_string, self._tail = True, match.string[match.end() :]

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
