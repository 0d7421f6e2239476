"""What is held of the words of an arm: counts for every scenario, texts of a sample of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from opoi.intervals import Floats
from opoi.measures.text import kept
from opoi.measures.words.views import Ints, View, called, flat, spoken, units
from opoi.seeds import Stream
from opoi.types import Arm, Cleaned, Group

__all__ = ["JS_SCENARIOS", "WIDTH", "Lexicon", "Sample", "TextColumns", "vocabulary_stream"]

JS_SCENARIOS = 1_000
"""Most scenarios of an arm whose texts are held; they are drawn by id, the same in every arm."""

WIDTH = 4
"""Columns of `TextColumns.aligned`."""

NOTE_OWN_RUNS = "run 0 against the vocabulary of the other runs"
NOTE_OWN_HALVES = "one half of the scenarios against the vocabulary of the other"

_FIRST_RUN, _OTHER_RUN, _HALF, _OTHER_HALF = 1, 2, 4, 8

_Passages = list[list[str]]


def vocabulary_stream(seed: int) -> Stream:
    """Return the stream of everything that is drawn where words are compared."""
    return Stream(seed, "measures", "vocabulary")


class Lexicon:
    """Words of a reference arm with where they occur, and numbers for the words of all arms.

    Args:
        base: The reference arm; walked once.
        stream: Draws the halves of scenarios.
    """

    def __init__(self, base: Arm, stream: Stream) -> None:
        self._stream = stream
        self._number: dict[str, int] = {}
        self._where: dict[str, int] = {}
        self.several_runs = False
        for group in base.groups():
            half = self.half(group)
            for rank, cleaned in enumerate(kept(group)):
                self.several_runs |= rank > 0
                mark = half | (_OTHER_RUN if rank else _FIRST_RUN)
                for word in chain.from_iterable(spoken(cleaned)):
                    self._where[word] = self._where.get(word, 0) | mark

    def half(self, group: Group) -> int:
        """Return the mark of the half that a scenario belongs to."""
        return _HALF if self._stream.chance(0.5, "half", group.scenario.id) else _OTHER_HALF

    def numbers(self, sequences: _Passages) -> Ints:
        """Return sequences as numbers, see `flat`; words that were never seen get new ones."""
        known = self._number
        return flat([known.setdefault(word, len(known)) for word in sequence] for sequence in sequences)

    def spelled(self) -> list[str]:
        """Return all words by number."""
        return list(self._number)

    def lacks(self, word: str, mark: int) -> bool:
        """Return whether the base arm does not have a word in the part with the mark (0: anywhere)."""
        where = self._where.get(word, 0)
        return not (where & mark if mark else where)


class Sample(NamedTuple):
    """What is held of one scenario: sequences of numbers, as `flat` joins them.

    Attributes:
        words: Passages of the rationales of all its kept traces.
        calls: Tools called, one sequence for each kept trace.
        first: Passages of the first kept trace alone.
    """

    words: Ints
    calls: Ints
    first: Ints


class TextColumns:
    """Per scenario: kept traces, tokens, tokens unknown to the base arm; and sampled texts.

    Args:
        lexicon: Of the reference arm.
        stream: Draws the scenarios whose texts are held in memory.
        own: Whether the arm is the reference arm itself.
    """

    def __init__(self, lexicon: Lexicon, stream: Stream, *, own: bool = False) -> None:
        self.lexicon = lexicon
        self.own = own
        self._stream = stream
        self._counts: dict[str, tuple[int, int, int, int]] = {}
        self._samples: list[tuple[int, str, Sample]] = []

    @property
    def note(self) -> str:
        """How unknown words of the reference arm itself were counted, `""` for another arm."""
        if not self.own:
            return ""
        return NOTE_OWN_RUNS if self.lexicon.several_runs else NOTE_OWN_HALVES

    def add(self, group: Group) -> None:
        """Count one group."""
        entries = list(kept(group))
        texts = [list(spoken(cleaned)) for cleaned in entries]
        tokens = sum(len(passage) for text in texts for passage in text)
        unknown, tested = self._unknown(group, texts)
        self._counts[group.scenario.id] = (len(texts), tokens, unknown, tested)
        if entries:
            self._hold(group.scenario.id, entries, texts)

    def _hold(self, name: str, entries: list[Cleaned], texts: list[_Passages]) -> None:
        rank = -self._stream.bits("sample", name)
        full = len(self._samples) >= JS_SCENARIOS
        if full and (rank, name) < self._samples[0][:2]:
            return
        numbers = self.lexicon.numbers
        sample = Sample(
            words=numbers([passage for text in texts for passage in text]),
            calls=numbers([calls for cleaned in entries for calls in called(cleaned)]),
            first=numbers(texts[0]),
        )
        place = heapq.heappushpop if full else heapq.heappush
        place(self._samples, (rank, name, sample))

    def _unknown(self, group: Group, texts: list[_Passages]) -> tuple[int, int]:
        """Return tokens that the base arm lacks, and tokens looked at."""
        mark = 0
        if self.own and self.lexicon.several_runs:
            texts, mark = texts[:1], _OTHER_RUN
        elif self.own:
            if self.lexicon.half(group) == _OTHER_HALF:
                return 0, 0
            mark = _OTHER_HALF
        looked = [word for text in texts for passage in text for word in passage]
        return sum(self.lexicon.lacks(word, mark) for word in looked), len(looked)

    def texts(self, view: View) -> dict[str, Ints]:
        """Return what a view shows of the sampled scenarios, as numbers of its units, by scenario."""
        return {name: units(getattr(sample, view.source), view.order) for _, name, sample in self._samples}

    def rationales(self) -> dict[str, Ints]:
        """Return the words of the first kept trace of the sampled scenarios, by scenario."""
        return {name: units(sample.first, 1) for _, name, sample in self._samples}

    def aligned(self, ids: Sequence[str]) -> Floats:
        """Return kept traces, tokens, unknown and tested tokens, shape `(len(ids), WIDTH)`."""
        none = (0,) * WIDTH
        rows = [self._counts.get(name, none) for name in ids]
        return np.array(rows, dtype=np.float64).reshape(-1, WIDTH)

    def contributing(self, column: int) -> int:
        """Return how many scenarios have more than 0 in a column of `aligned`."""
        return sum(counts[column] > 0 for counts in self._counts.values())

    @property
    def ids(self) -> Iterator[str]:
        """Scenarios counted."""
        return iter(self._counts)
