"""Which language a clause is in, by its function words: enough to see that a text changes its language.

No model and no library: a clause of a handful of words is below what language identifiers can tell, and the
question here is smaller, whether its little words are those of another language rather than of English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Clause", "Words", "languages_of", "strange_clauses", "unaccented"]

Words = Mapping[str, frozenset[str]]
"""Frequent words by language, without accents. Those of English are under `en`, some also elsewhere."""

_SENTENCE = re.compile(r"[^.!?\n]+")
_CLAUSE = re.compile(r"[^.!?;:,()\n\"]+")
_WORD = re.compile(r"[^\W\d_]+")
_LEAST = 2
_SHARE = 0.25
_SHORT = 2
_SPOKEN = 6
_ALONE = {"ß": "s", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "a", "œ": "o"}


class Clause(NamedTuple):
    """A clause in another language: which, and where."""

    language: str
    start: int
    end: int


def unaccented(text: str) -> str:
    """Return a text without accents, each character in its place."""
    return text if text.isascii() else "".join(map(_bare, text))


@lru_cache(maxsize=1 << 12)
def _bare(sign: str) -> str:
    base = unicodedata.normalize("NFKD", sign)[0]
    return base if base.isascii() else _ALONE.get(sign, sign)


def languages_of(text: str, words: Words) -> set[str]:
    """Return the languages of which a text holds at least 6 different words that are not English."""
    said = {unaccented(word.lower()) for word in _WORD.findall(text)} - words["en"]
    return {language for language, known in words.items() if len(said & known) >= _SPOKEN}


def strange_clauses(
    text: str, words: Words, usual: Collection[str], neutral: Collection[str] = ()
) -> Iterator[Clause]:
    """Yield the clauses, or whole sentences, in a language that is not usual here; English always is.

    Frequent words of the language and words with accents are for it, frequent English words against. They
    have to be ahead by two and a quarter of all words; at least one of them is not English and has three
    letters or an accent.

    Args:
        text: A folded text.
        words: Frequent words by language.
        usual: Languages that are no surprise.
        neutral: Words that are in no language, such as names of actions.
    """
    for sentence in _SENTENCE.finditer(text):
        clauses = [(clause[0], sentence.start() + clause.start()) for clause in _CLAUSE.finditer(sentence[0])]
        found = [
            _trimmed(language, clause, start)
            for clause, start in clauses
            if (language := _strange(clause, words, usual, neutral))
        ]
        if not found and len(clauses) > 1 and (language := _strange(sentence[0], words, usual, neutral)):
            found = [_trimmed(language, sentence[0], sentence.start())]
        yield from found


def _trimmed(language: str, text: str, start: int) -> Clause:
    left = len(text) - len(text.lstrip())
    return Clause(language, start + left, start + len(text.rstrip()))


def _strange(text: str, words: Words, usual: Collection[str], neutral: Collection[str]) -> str:
    """Return the unusual language that a text is in, `""` for none."""
    written = [word for word in map(str.lower, _WORD.findall(text)) if word not in neutral]
    said = [unaccented(word) for word in written]
    accents = sum(not word.isascii() for word in written)
    telling = {
        plain for word, plain in zip(written, said, strict=True) if len(word) > _SHORT or word != plain
    }
    english = sum(word in words["en"] for word in said)
    scores = {
        language: sum(word in known for word in said) + accents
        for language, known in words.items()
        if language != "en" and telling & (known - words["en"])
    }
    best = max(scores.values(), default=0)
    if best - english < max(_LEAST, _SHARE * len(said)):
        return ""
    likely = [language for language, score in scores.items() if score == best]
    return "" if set(likely) & set(usual) else likely[0]
