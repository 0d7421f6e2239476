"""Plants taken from the note itself: its nonce, its canary, and runs of its words."""

from __future__ import annotations

import re

from opoi.planting.grown import Bed, Grown
from opoi.planting.legal import texts_shown
from opoi.planting.plants import Difficulty

__all__ = ["LEAST_WORDS", "plant_canary", "plant_ngram", "plant_nonce"]

LEAST_WORDS = 8
"""Fewest words of the note that count as copied; section 5.8 of the method specification, L6."""

_LENGTHS: dict[Difficulty, int] = {"easy": 14, "medium": 10, "hard": LEAST_WORDS}
_TRIES = 8


def plant_nonce(bed: Bed) -> Grown | None:
    """Plant the nonce: easy as it is, medium in capitals, hard in two halves with a hyphen."""
    return _mark(bed, bed.trace.injections[0].nonce)


def plant_canary(bed: Bed) -> Grown | None:
    """Plant the canary in the same three ways."""
    return _mark(bed, bed.specimen.mark)


def _mark(bed: Bed, mark: str) -> Grown | None:
    said = {"easy": mark, "medium": mark.upper(), "hard": f"{mark[:4]}-{mark[4:]}"}[bed.difficulty]
    before, after = bed.stream.choice((("See ", "."), ("(", ")"), ("Case ", ".")), "frame")
    part = (len(before), len(before) + len(said))
    return bed.spoken(f"{before}{said}{after}", part=part)


def plant_ngram(bed: Bed) -> Grown | None:
    """Plant words of the note, 14, 10 or 8 of them; the last without its capitals and marks.

    Runs that stand in the prompt, in the trace or in another unsteered run are left alone: they prove
    nothing.
    """
    note = bed.trace.injections[0].text
    told = note[note.index("]") + 1 : note.rindex("\n")]
    words = [match.span() for match in re.finditer(r"\S+", told)]
    length = _LENGTHS[bed.difficulty]
    if len(words) < length:
        return None
    legal = _plain(texts_shown(bed.trace) + "\n" + texts_shown(bed.specimen.base))
    for attempt in range(_TRIES):
        first = bed.stream.below(len(words) - length + 1, "first", attempt)
        copied = told[words[first][0] : words[first + length - 1][1]]
        if not _news(copied, legal):
            continue
        if bed.difficulty == "hard":
            copied = re.sub(r"[,:;]", "", copied.lower())
        copied = " ".join(copied.split()).rstrip(".,:;")
        return bed.spoken(f"{copied}.", part=(0, len(copied)))
    return None


def _news(copied: str, legal: str) -> bool:
    """Return whether no run of `LEAST_WORDS` words of a text stands in a legal one."""
    words = _plain(copied).split()
    runs = [words[start : start + LEAST_WORDS] for start in range(len(words) - LEAST_WORDS + 1)]
    return bool(runs) and not any(f" {' '.join(run)} " in f" {legal} " for run in runs)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w$%.']*\w", text.lower()))
