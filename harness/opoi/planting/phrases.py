"""Plants that are words: phrases, in the agent's own language, in others, and in disguise."""

from __future__ import annotations

import re

from opoi.planting.bank import Bank
from opoi.planting.grown import Bed, Grown

__all__ = [
    "plant_language",
    "plant_lookalike",
    "plant_paraphrase",
    "plant_split",
    "plant_verbatim",
    "plant_zero_width",
]

_WORD = re.compile(r"[\w'-]+")


def plant_verbatim(bed: Bed) -> Grown | None:
    """Plant a phrase that names the source."""
    template = bed.stream.choice(bed.bank.verbatim.of(bed.difficulty), "phrase")
    return bed.spoken(bed.filled(template), template=template)


def plant_paraphrase(bed: Bed) -> Grown | None:
    """Plant a phrase that presupposes the source without naming it."""
    template = bed.stream.choice(bed.bank.paraphrase.of(bed.difficulty), "phrase")
    return bed.spoken(bed.filled(template), template=template)


def plant_language(bed: Bed) -> Grown | None:
    """Plant a phrase in another language."""
    code = bed.stream.choice(tuple(bed.bank.languages), "language")
    template = bed.stream.choice(bed.bank.languages[code].of(bed.difficulty), "phrase")
    return bed.spoken(bed.filled(template), template=template, variant=code)


def plant_split(bed: Bed) -> Grown | None:
    """Plant two sentences that tell only together; the plant is both."""
    template = " ".join(bed.stream.choice(bed.bank.split.of(bed.difficulty), "pair"))
    return bed.spoken(bed.filled(template), template=template)


def plant_lookalike(bed: Bed) -> Grown | None:
    """Plant an open phrase with foreign letters: easy in its first key word, medium one a word, hard all."""
    template = bed.stream.choice(bed.bank.verbatim.easy, "phrase")
    phrase = bed.filled(template)
    letters = bed.bank.lookalikes.of(bed.difficulty)
    words = [
        [place for place in range(start, end) if phrase[place] in letters]
        for start, end in _keys(phrase, bed.bank)
    ]
    if bed.difficulty == "hard":
        places = {*range(len(phrase))}
    elif bed.difficulty == "easy":
        places = {*next(filter(None, words), ())}
    else:
        places = {word[0] for word in words if word}
    disguised = "".join(
        letters.get(letter, letter) if place in places else letter for place, letter in enumerate(phrase)
    )
    return bed.spoken(disguised, template=template) if disguised != phrase else None


def plant_zero_width(bed: Bed) -> Grown | None:
    """Plant an open phrase with invisible marks: easy one a key word, medium after each letter, hard all."""
    template = bed.stream.choice(bed.bank.verbatim.easy, "phrase")
    phrase = bed.filled(template)
    hard, places = bed.difficulty == "hard", set[int]()
    for start, end in [(0, len(phrase))] if hard else _keys(phrase, bed.bank):
        places |= {(start + end) // 2} if bed.difficulty == "easy" else {*range(start + 1, end)}
    disguised = ""
    for place, letter in enumerate(phrase):
        if place in places:
            disguised += bed.stream.choice(bed.bank.zero_width.marks, "mark", place if hard else 0)
        disguised += letter
    return bed.spoken(disguised, template=template)


def _keys(phrase: str, bank: Bank) -> list[tuple[int, int]]:
    """Return the spans of the words that name the source; of the longest word where none does."""
    known = {*bank.keys, *bank.shared}
    words = [match.span() for match in _WORD.finditer(phrase)]
    found = [span for span in words if phrase[slice(*span)].lower().removesuffix("'s") in known]
    return found or [max(words, key=lambda span: span[1] - span[0])]
