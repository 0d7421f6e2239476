"""From spans to the sentences around them, and to what can be cut without leaving a scar."""

from __future__ import annotations

from collections.abc import Iterable

import sentencex

__all__ = ["sentences", "touched", "without_scar"]


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of a text as spans that follow one another and cover it, blanks included."""
    spans, position = [], 0
    for sentence in sentencex.segment("en", text):
        spans.append((position, position + len(sentence)))
        position += len(sentence)
    return spans


def touched(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int, tuple[int, int]]]:
    """Return the sentences that any of the spans touches, as `(start, end, first span in it)`.

    Sentences that end the text begin with the blanks before them: none is to stay behind when they go.
    """
    wanted = sorted(spans)
    found: list[tuple[int, int, tuple[int, int]]] = []
    for start, end in sentences(text):
        inside = [span for span in wanted if span[0] < end and span[1] > start]
        if inside:
            found.append((start, end, inside[0]))
    last = len(text)
    for position in reversed(range(len(found))):
        start, end, span = found[position]
        if end != last:
            break
        last = start
        if position == 0 or found[position - 1][1] != start:
            found[position] = (len(text[:start].rstrip()), end, span)
    return found


def without_scar(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span that is to be cut: no second blank and none before a full stop is to stay behind."""
    before, after = text[:start], text[end:]
    open_before = not before or before[-1].isspace()
    if after[:1].isspace() and open_before:
        end += 1
    elif (not after or after[0] in ",.;:!?)") and before[-1:] in (" ", "\t"):
        start -= 1
    return start, end
