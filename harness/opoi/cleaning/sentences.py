"""From spans to the sentences around them, and to what can be cut without leaving a scar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

import sentencex

__all__ = ["sentences", "touched", "without_scar"]


_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,80}>")
_MARKS = ("**", "__")


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of a text as spans that follow one another and cover it, blanks included.

    A tag such as `<think>` is a span of its own: what stands in it can go without it.
    """
    spans: list[tuple[int, int]] = []
    position = 0
    for tag in _TAG.finditer(text):
        spans += _plain(text, position, tag.start())
        spans.append(tag.span())
        position = tag.end()
    return [*spans, *_plain(text, position, len(text))]


def _plain(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for sentence in sentencex.segment("en", text[start:end]) if start < end else ():
        yield start, start + len(sentence)
        start += len(sentence)


def touched(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int, tuple[int, int]]]:
    """Return the sentences that any of the spans touches, as `(start, end, first span in it)`.

    Sentences that end the text begin with the blanks before them: none is to stay behind when they go.
    """
    wanted = sorted(spans)
    found: list[tuple[int, int, tuple[int, int]]] = []
    place = 0
    for start, end in sentences(text):
        while place < len(wanted) and wanted[place][1] <= start:
            place += 1
        first = next(
            (span for span in islice(wanted, place, None) if span[1] > start or span[0] >= end), None
        )
        if first is not None and first[0] < end:
            found.append((start, _with_mark(text, start, end), first))
    last = len(text)
    for position in reversed(range(len(found))):
        start, end, span = found[position]
        if end != last:
            break
        last = start
        if position == 0 or found[position - 1][1] != start:
            found[position] = (len(text[:start].rstrip()), end, span)
    return found


def _with_mark(text: str, start: int, end: int) -> int:
    """Return the end of a sentence with the mark behind it that closes one inside, such as `**`."""
    for mark in _MARKS:
        if text.startswith(mark, end) and text.count(mark, start, end) % 2:
            return end + len(mark)
    return end


def without_scar(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span that is to be cut: no second blank and none before a full stop is to stay behind."""
    before, after = text[:start], text[end:]
    open_before = not before or before[-1].isspace()
    if after[:1].isspace() and open_before:
        end += 1
    elif (not after or after[0] in ",.;:!?)") and before[-1:] in (" ", "\t"):
        start -= 1
    return start, end
