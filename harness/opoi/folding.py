r"""Texts as they read: look-alike letters, invisible marks and typographic signs brought back to plain ones.

Patterns are written in plain letters; a text need not be. `fold` returns a text in which a pattern finds what
a person reads, and says for each of its characters where it stood:

    >>> folded = fold("the ver\u200bd\u0456ct")
    >>> folded.text, folded.span(4, 11)
    ('the verdict', (4, 12))

In this order: what cannot be seen is removed (the escape sequences with which terminals colour and link text,
and Unicode's default-ignorable code points: zero-width marks, direction marks, soft hyphens, variation
selectors, tags); blanks become spaces, line separators line feeds, quotes and dashes those of ASCII, decimal
digits those of ASCII; the rest is put into normal form KC (Unicode Standard Annex 15); letters that look like
one of ASCII (Unicode Technical Standard 39) become it. Case is kept.

The last step is for disguises, not for languages: a letter changes only in a word that also holds Latin
letters, or in a word that becomes ASCII altogether and stands in a sentence with no word of another script.
ASCII text without escape signs is returned as it is (`plain` tells). A text of which no sign depends on those
around it (typographic signs, accented letters, most scripts but those that look Latin) keeps its length and
takes a short way.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import NamedTuple

__all__ = ["Folded", "fold", "plain"]

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSEEN = re.compile(f"[{_INVISIBLE}\x9b\x9d]")

_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b\]|\x9d)[^\s\x07\x1b\x9b-\x9d]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[()][0-9A-Z]"
)
"""Escape sequences of terminals (ECMA-48): control sequences, as for colours; commands to the terminal, as
for links; choices of a character set. A command with a blank in it does not count: its words are text that a
model reads, and only its first sign goes. None reaches beyond a line."""

_PLAIN = {
    **dict.fromkeys("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "),
    **dict.fromkeys("\u202f\u205f\u2800\u3000\u3164\uffa0", " "),
    **dict.fromkeys("\u0085\u2028\u2029", "\n"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2e3a\u2e3b", "-"),
    **dict.fromkeys("\ufe31\ufe32\ufe58\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\u00b4\u02b9\u02bc\u02c8\uff07", "'"),
    **dict.fromkeys("\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u02ba\uff02", '"'),
    "\u2034": "'''",
    "\u2037": "'''",
    "\u2057": "''''",
}
"""Blanks, line separators, dashes and quotes: what each is in ASCII."""

_MOST_MARKS = 30
"""Most combining marks that a letter keeps, as in UAX 15's stream-safe format: sorting more takes long."""

_ASCII = bytes(range(128))
_RUNS = re.compile(rf"({_SEQUENCE})|[\x00-\x1a\x1c-\x7f]+|[^\x00-\x7f\x9b\x9d]+")
"""A sequence, a run of ASCII, a run of other signs; between those stand signs that only begin a sequence."""

_SENTENCE = re.compile(r"[^.!?\n]+")


class Folded(NamedTuple):
    """A folded text and the way back.

    Attributes:
        text: The folded text.
        offsets: For each of its characters, the index of the first character of the original it came from.
        ends: The same, one past the last.
    """

    text: str
    offsets: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original that the characters `start` to `end` of `text` came from.

        Marks that were removed at its borders are not part of it. An empty span stays empty.
        """
        if start < end:
            return self.offsets[start], self.ends[end - 1]
        here = self.offsets[start] if start < len(self.text) else (self.ends[-1] if self.text else 0)
        return here, here


class _Piece(NamedTuple):
    """Some characters of the folded text with one common origin."""

    text: str
    start: int
    end: int


def plain(text: str) -> bool:
    """Return whether a text surely reads as it stands, told at once: `fold` gives it back as it is."""
    return text.isascii() and "\x1b" not in text


def fold(text: str) -> Folded:
    """Return a text as it reads, with the way back; the module says what changes."""
    if plain(text):
        return _in_place(text)
    steady = None if "\x1b" in text else _steadily(text)
    if steady is not None:
        return _in_place(steady)
    pieces = _composed(_visible(text))
    readable = "".join(piece.text for piece in pieces)
    shown = _unmasked(readable)
    if shown != readable:
        pieces = _composed(_relettered(pieces, shown))
    return _joined(pieces)


def _in_place(text: str) -> Folded:
    """Return a folded text in which each character stands where it stood."""
    return Folded(text, range(len(text)), range(1, len(text) + 1))


def _joined(pieces: Sequence[_Piece]) -> Folded:
    offsets: list[int] = []
    ends: list[int] = []
    for text, start, end in pieces:
        if len(text) == end - start and text.isascii():  # a run, sign by sign
            offsets += range(start, end)
            ends += range(start + 1, end + 1)
        else:
            offsets += [start] * len(text)
            ends += [end] * len(text)
    return Folded("".join(piece.text for piece in pieces), offsets, ends)


# ---------------------------------------------------------------- signs that need no look around


def _steadily(text: str) -> str | None:
    """Return the folded text if every sign in it is one that folds alike in any text, else None."""
    data = text.encode("utf-8", "surrogatepass")
    beyond = data.translate(None, _ASCII).decode("utf-8", "surrogatepass")
    for sign in dict.fromkeys(beyond):
        becomes = _steady(sign)
        if becomes is None:
            return None
        if becomes != sign:
            text = text.replace(sign, becomes)
    return text


@lru_cache(maxsize=1 << 14)
def _steady(sign: str) -> str | None:
    """Return the one sign that a sign beyond ASCII becomes in any text; None where there is no such sign."""
    becomes = _plain(sign)
    if len(becomes) == 1 and becomes.isascii():
        return becomes
    moves = _UNSEEN.match(sign) or _normal(sign) != sign or _leans(sign) or sign in _alike_among_latin()
    return None if moves else sign


# ---------------------------------------------------------------- signs, and normal form KC


def _visible(text: str) -> Iterator[_Piece]:
    """Yield runs of ASCII, and every other visible character by itself, typographic ones as plain signs."""
    for run in _RUNS.finditer(text):
        if run[1]:
            continue
        if run[0].isascii():
            yield _Piece(run[0], run.start(), run.end())
            continue
        for index, sign in enumerate(run[0], run.start()):
            if not _UNSEEN.match(sign):
                yield _Piece(_plain(sign), index, index + 1)


@lru_cache(maxsize=1 << 14)
def _plain(sign: str) -> str:
    digit = unicodedata.decimal(sign, None)
    return _PLAIN.get(sign, sign) if digit is None else str(digit)


@lru_cache(maxsize=1 << 14)
def _leans(sign: str) -> bool:
    """Return whether normal form KC may join a character to the one before it."""
    first = unicodedata.normalize("NFKD", sign)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


@lru_cache(maxsize=1 << 14)
def _marks(text: str) -> int:
    return sum(unicodedata.combining(sign) > 0 for sign in unicodedata.normalize("NFKD", text))


def _composed(pieces: Iterator[_Piece] | Sequence[_Piece]) -> list[_Piece]:
    """Put pieces into normal form KC; those that it may join become one."""
    done: list[_Piece] = []
    cluster: list[_Piece] = []
    marks = 0

    def close() -> None:
        nonlocal marks
        marks = 0
        if cluster:
            text = _normal("".join(piece.text for piece in cluster))
            done.append(_Piece(text, cluster[0].start, cluster[-1].end))
            cluster.clear()

    for piece in pieces:
        if not piece.text.isascii():
            if not _leans(piece.text[0]):
                close()
            marks += _marks(piece.text)
            if marks <= _MOST_MARKS:
                cluster.append(piece)
            continue
        close()
        head, last = _parted(piece)
        done += head
        cluster.append(last)
    close()
    return done


def _parted(piece: _Piece) -> tuple[list[_Piece], _Piece]:
    """Return an ASCII piece without its last character, and that: only there a mark can join it."""
    if len(piece.text) == 1 or len(piece.text) != piece.end - piece.start:
        return [], piece
    cut = piece.end - 1
    return [_Piece(piece.text[:-1], piece.start, cut)], _Piece(piece.text[-1], cut, piece.end)


@lru_cache(maxsize=1 << 14)
def _normal(text: str) -> str:
    whole = unicodedata.normalize("NFKC", text)
    return whole if whole.isascii() else "".join(map(_plain, whole))


# ---------------------------------------------------------------- letters that look like others


def _unmasked(text: str) -> str:
    """Return the text, as long as before, with look-alike letters replaced."""
    if text.isascii():
        return text
    return _SENTENCE.sub(lambda sentence: _unmasked_sentence(sentence[0]), text)


def _unmasked_sentence(sentence: str) -> str:
    if sentence.isascii():
        return sentence
    words = [(bool(run), "".join(signs)) for run, signs in groupby(sentence, _of_word)]
    foreign = any(run and _is_foreign(word) for run, word in words)
    return "".join(_unmasked_word(word, foreign) if run else word for run, word in words)


def _of_word(sign: str) -> bool:
    return sign.isalpha() or (sign > "\x7f" and unicodedata.category(sign)[0] == "M")


def _is_foreign(word: str) -> bool:
    """Return whether a word has letters, none of them Latin, and not all of them look Latin."""
    kinds = set(map(_kind, word))
    return "foreign" in kinds and "latin" not in kinds


def _unmasked_word(word: str, among_foreign: bool) -> str:
    if word.isascii():
        return word
    kinds = set(map(_kind, word))
    if "latin" in kinds:
        table = _alike_among_latin()
    elif among_foreign or "foreign" in kinds:
        return word
    else:
        table = _alike()
    return "".join(table.get(sign, sign) for sign in word)


@lru_cache(maxsize=1 << 14)
def _kind(sign: str) -> str:
    if sign.isascii():
        return "latin"
    if sign in _alike():
        return "look-alike"
    if unicodedata.category(sign)[0] == "M":
        return "mark"
    return "latin" if "LATIN" in unicodedata.name(sign, "") else "foreign"


@cache
def _alike_among_latin() -> dict[str, str]:
    """Return the same with coarser likenesses: enough where a word is Latin anyway.

    A letter also counts as the one it resembles but for marks, or whose capital its own capital resembles.
    The sign for micro is left alone: it is one letter of many a unit.
    """
    table: dict[str, str] = {}
    for sign, others in _confusables():
        marked = [other[0] for other in others if other[0].isascii() and _is_marks(other[1:])]
        capital = _alike().get(sign.upper(), "")
        likeness = (next(filter(str.isalpha, marked), "") or capital).lower()
        if likeness and sign.islower() and "LATIN" not in unicodedata.name(sign, ""):
            table[sign] = likeness
    table.pop("\u03bc", None)
    return {**table, **_alike()}


@cache
def _alike() -> dict[str, str]:
    """Return letter -> the ASCII letter it looks like, of the same case where there is one."""
    table: dict[str, str] = {}
    for sign, others in _confusables():
        letters = [other for other in others if other.isascii() and len(other) == 1 and other.isalpha()]
        if letters:
            same = [letter for letter in letters if letter.isupper() == sign.isupper()]
            letter = "I" if not same and letters[0] == "l" else (same or letters)[0]
            table |= {sign: letter, unicodedata.normalize("NFKC", sign): letter}
    return {sign: letter for sign, letter in table.items() if len(sign) == 1 and not sign.isascii()}


def _confusables() -> Iterator[tuple[str, list[str]]]:
    """Yield every letter beyond ASCII with what it can be taken for."""
    from confusable_homoglyphs.confusables import (  # type: ignore[import-untyped]  # ships no types
        confusables_data,
    )

    for sign, others in confusables_data.items():
        if len(sign) == 1 and not sign.isascii() and sign.isalpha():
            yield sign, [other["c"] for other in others]


def _is_marks(text: str) -> bool:
    return all(unicodedata.category(sign)[0] == "M" for sign in text)


def _relettered(pieces: Sequence[_Piece], text: str) -> Iterator[_Piece]:
    """Yield the pieces with the letters of a text as long as theirs together."""
    position = 0
    for old, start, end in pieces:
        yield _Piece(text[position : position + len(old)], start, end)
        position += len(old)
