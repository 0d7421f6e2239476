"""What cleaning did to a text, piece by piece: what was kept, what was cut and what was put in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal, NamedTuple

from opoi.cleaning.engine import MESSAGE
from opoi.passages import regions_of
from opoi.types import Edit, Trace

__all__ = ["Change", "Piece", "changes", "pieces", "rewritten"]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")

_COMPARABLE = 1_000_000
"""Most pairs of words that are compared; beyond, a text counts as rewritten from the first change on."""


class Piece(NamedTuple):
    """A stretch of text.

    Attributes:
        kind: `kept`, `cut` (it is gone) or `put` (it was not there).
        text: The text.
        rule: Id of the rule that did it, `""` for what was kept.
    """

    kind: Literal["kept", "cut", "put"]
    text: str
    rule: str = ""


class Change(NamedTuple):
    """What cleaning did to one text of a trace.

    Attributes:
        message: Index of the message in the trace as it came in.
        region: Name of the text, see `opoi.passages.regions_of`; `message` for all of it.
        pieces: The text as it was and as it is.
    """

    message: int
    region: str
    pieces: list[Piece]


def changes(before: Trace, edits: Sequence[Edit], prose: Sequence[str]) -> list[Change]:
    """Return what the edits did to a trace, text by text, in the order of the trace.

    Args:
        before: The trace as it came in.
        edits: Of `Cleaned.edits`.
        prose: Keys of a decision object that hold prose.
    """
    by_text: dict[tuple[int, str], list[Edit]] = {}
    for edit in edits:
        by_text.setdefault((edit.message[0], edit.region), []).append(edit)
    found = []
    for (index, region), together in sorted(by_text.items(), key=lambda item: item[0]):
        if region == MESSAGE:
            shown = rewritten(together[0].removed, together[-1].text, together[-1].rule)
        else:
            shown = pieces(regions_of(before.messages[index].content, prose)[region], together)
        found.append(Change(index, region, shown))
    return found


def rewritten(old: str, new: str, rule: str) -> list[Piece]:
    """Return the difference of two texts, word by word: the words that they share, and those only one has."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    last, end = len(before) - tail, len(after) - tail
    found = [
        Piece("kept", "".join(before[:head])),
        *_differing(before[head:last], after[head:end], rule),
        Piece("kept", "".join(before[last:])),
    ]
    return [piece for piece in found if piece.text]


def _shared(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many items two sequences share from the start."""
    return next(
        (index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )


def _differing(old: Sequence[str], new: Sequence[str], rule: str) -> Iterator[Piece]:
    """Yield what differs between two lists of words; as one change where comparing would take too long."""
    if len(old) * len(new) > _COMPARABLE:
        yield from (Piece("cut", "".join(old), rule), Piece("put", "".join(new), rule))
        return
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Piece("kept", "".join(old[i:j]))
        else:
            yield from (Piece("cut", "".join(old[i:j]), rule), Piece("put", "".join(new[k:m]), rule))


def pieces(text: str, edits: Iterable[Edit]) -> list[Piece]:
    """Return a text as it was and as it is, in one list.

    The kept and cut pieces together are the text as it was; the kept and put ones the text as it is.

    Args:
        text: One text of a message before cleaning.
        edits: All edits of this text, in the order in which they were made.
    """
    found = [Piece("kept", text)] if text else []
    for _, together in groupby(edits, key=lambda edit: edit.step):
        for edit in sorted(together, key=lambda edit: edit.start, reverse=True):
            found = _cut(found, edit)
    return found


def _cut(found: list[Piece], edit: Edit) -> list[Piece]:
    """Make one edit; its span counts the pieces that still stand."""
    found, first = _split(found, edit.start)
    found, last = _split(found, edit.end)
    gone = [
        piece._replace(kind="cut", rule=edit.rule) if piece.kind == "kept" else piece
        for piece in found[first:last]
        if piece.kind != "put"
    ]
    put = [Piece("put", edit.text, edit.rule)] if edit.text else []
    return [*found[:first], *gone, *put, *found[last:]]


def _split(found: list[Piece], position: int) -> tuple[list[Piece], int]:
    """Return the pieces with a border at a position of what still stands, and the index of that border."""
    standing = 0
    for index, piece in enumerate(found):
        if standing == position:
            return found, index
        if piece.kind == "cut":
            continue
        inside = position - standing
        if inside < len(piece.text):
            halves = [piece._replace(text=piece.text[:inside]), piece._replace(text=piece.text[inside:])]
            return [*found[:index], *halves, *found[index + 1 :]], index + 1
        standing += len(piece.text)
    return found, len(found)
