"""Putting changed texts back into a record: the bytes around them are not touched."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from opoi.formats.conversion import Path, Piece, dotted
from opoi.formats.readers import READERS
from opoi.formats.records import Record

__all__ = ["write_back"]

_SPACE = " \t\r\n"
_CONTENT: Path = ("content",)


def write_back(record: Record, contents: Mapping[int, str | None]) -> bytes:
    """Return the record with new texts in its messages; everything else stays as it is, byte for byte.

    A message of the record with several texts stands in the trace as several messages. It goes when all of
    them are removed; where some are, the others stay, tool calls included.

    Args:
        record: As it was read.
        contents: New content by index into `record.trace.messages`; None removes the message.

    Returns:
        The record; `record.raw` itself where no text is another one than before.

    Raises:
        ValueError: An index is out of range, or a message has no text that could change: it holds images
            only, or a tool call written as text.
    """
    converted = record.converted or READERS[record.format](record.raw, record.line)
    changes: dict[int, str | None] = {}
    for index, content in contents.items():
        if not 0 <= index < len(converted.pieces):
            raise ValueError(f"{record.trace.id} has {len(converted.pieces)} messages and no message {index}")
        if content != converted.pieces[index].message.content:
            changes[index] = content
    if not changes:
        return record.raw
    document = _Document(record.raw)
    gone = _without_text(converted.pieces, changes, _message)
    for item in gone:
        document.remove(item)
        for key in converted.beside:
            document.remove((key, *item[1:]))
    emptied = set(_without_text(converted.pieces, changes, _holder))
    for index, content in changes.items():
        piece = converted.pieces[index]
        if piece.item in gone:
            continue
        if piece.inner is None:
            raise ValueError(f"{dotted(piece.item)} has no text that could change")
        holder = _holder(piece)
        if content is None and holder in emptied and piece.inner != _CONTENT:
            document.remove(holder)
        else:
            document.put((*piece.item, *piece.inner), content or "")
    return document.result()


def _message(piece: Piece) -> Path:
    return piece.item


def _holder(piece: Piece) -> Path:
    """Return the path of what goes with a text: its part, or the member of the message that holds it."""
    return (*piece.item, *(piece.inner or ())[:2])


def _without_text(
    pieces: Sequence[Piece], changes: Mapping[int, str | None], holder: Callable[[Piece], Path]
) -> list[Path]:
    """Return the paths of what holds texts, all of which are removed."""
    left: dict[Path, int] = defaultdict(int)
    for index, piece in enumerate(pieces):
        left[holder(piece)] += changes.get(index, "") is not None
    return [path for path, count in left.items() if not count]


class _Member(NamedTuple):
    """A member of an object or an element of a list.

    Attributes:
        name: Its key or index.
        start: Where it begins, its key included.
        value: Where its value begins.
        end: One past its end.
    """

    name: str | int
    start: int
    value: int
    end: int


class _Document:
    """A JSON text and what is to change in it."""

    def __init__(self, raw: bytes) -> None:
        self._text = raw.decode()
        # Numbers stay text: they are only passed over, and long ones are slow and refused as integers.
        self._scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
        self._known: dict[int, list[_Member]] = {}
        self._edits: list[tuple[int, int, str]] = []
        self._removed: dict[Path, set[str | int]] = defaultdict(set)

    def put(self, path: Path, content: str) -> None:
        """Replace the value at a path by a string, or add it to the object where it is not there yet."""
        new = json.dumps(content, ensure_ascii=self._text.isascii())
        parent = self._value(path[:-1])
        members = self._members(parent)
        for member in reversed(members):  # of twins the last counts
            if member.name == path[-1]:
                self._edits.append((member.value, member.end, new))
                return
        end = members[-1].end if members else parent + 1
        self._edits.append((end, end, f"{',' if members else ''}{json.dumps(path[-1])}:{new}"))

    def remove(self, path: Path) -> None:
        """Remove an element of a list or a member of an object."""
        self._removed[path[:-1]].add(path[-1])

    def result(self) -> bytes:
        """Return the text with all changes made."""
        for parent, names in self._removed.items():
            self._edits += _cuts(self._members(self._value(parent)), names)
        parts, position = [], 0
        for start, end, new in sorted(self._edits):
            parts += [self._text[position:start], new]
            position = end
        return "".join([*parts, self._text[position:]]).encode()

    def _value(self, path: Path) -> int:
        """Return where the value at a path begins."""
        position = self._skip(0)
        for step in path:
            position = [member for member in self._members(position) if member.name == step][-1].value
        return position

    def _members(self, position: int) -> list[_Member]:
        """Return what the list or object that begins there holds, in order."""
        if position not in self._known:
            self._known[position] = list(self._walk(position))
        return self._known[position]

    def _walk(self, position: int) -> Iterator[_Member]:
        named = self._text[position] == "{"
        place = self._skip(position + 1)
        for index in count():
            if self._text[place] in "]}":
                return
            start = place
            name: str | int = index
            if named:
                name, place = self._scan(self._text, place)
                place = self._skip(self._skip(place) + 1)
            _, end = self._scan(self._text, place)
            yield _Member(name, start, place, end)
            place = self._skip(end)
            if self._text[place] == ",":
                place = self._skip(place + 1)

    def _skip(self, position: int) -> int:
        while self._text[position] in _SPACE:
            position += 1
        return position


def _cuts(members: Sequence[_Member], names: Collection[str | int]) -> Iterator[tuple[int, int, str]]:
    """Yield the edits that take members out, each with one comma."""
    gone = [member.name in names for member in members]
    if all(gone):
        yield members[0].start, members[-1].end, ""
        return
    last = max(index for index, lost in enumerate(gone) if not lost)
    for index in range(last):
        if gone[index]:
            yield members[index].start, members[index + 1].start, ""
    if last < len(members) - 1:
        yield members[last].end, members[-1].end, ""
