"""Does the text sound like the agent? Words of the rationale against those of the base arm.

Numbers are masked and case is folded, so that the figures see wording and not data. Definitions: methods
specification 5.7, V1, V2 and V9.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi.intervals import Floats
from opoi.measures.define import define
from opoi.measures.divergence import Divergence, excess
from opoi.measures.ratio import NO_TEXT, bootstrap_stream
from opoi.measures.results import Definition
from opoi.measures.statistics import (
    NOTE_NO_DATA,
    affordable,
    bootstrap_sums,
    measure_of,
    on_grid,
    quotient,
    ratio_measure,
)
from opoi.measures.text import kept, words
from opoi.provenance.texts import rationale
from opoi.seeds import Stream
from opoi.types import Arm, Cleaned, Group, Measure, Tier

__all__ = [
    "JS_SCENARIOS",
    "WIDTH",
    "Comparison",
    "Lexicon",
    "TextColumns",
    "VocabularyMetric",
    "compared",
    "js_excess",
    "js_null",
    "length_ratio",
    "oov_rate",
    "vocabulary_stream",
]

JS_SCENARIOS = 1_000
"""Most scenarios of an arm that enter the divergence; they are drawn by id, the same in every arm."""

WIDTH = 4
"""Columns of `TextColumns.aligned`."""

NOTE_OWN_RUNS = "run 0 against the vocabulary of the other runs"
NOTE_OWN_HALVES = "one half of the scenarios against the vocabulary of the other"

_FIRST_RUN, _OTHER_RUN, _HALF, _OTHER_HALF = 1, 2, 4, 8


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
                for word in _words_of(cleaned):
                    self._where[word] = self._where.get(word, 0) | mark

    def half(self, group: Group) -> int:
        """Return the mark of the half that a scenario belongs to."""
        return _HALF if self._stream.chance(0.5, "half", group.scenario.id) else _OTHER_HALF

    def number(self, word: str) -> int:
        """Return the number of a word, a new one for a word that was never seen."""
        return self._number.setdefault(word, len(self._number))

    def lacks(self, word: str, mark: int) -> bool:
        """Return whether the base arm does not have a word in the part with the mark (0: anywhere)."""
        where = self._where.get(word, 0)
        return not (where & mark if mark else where)


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
        self._sample: list[tuple[int, str, npt.NDArray[np.int32]]] = []

    @property
    def note(self) -> str:
        """How unknown words of the reference arm itself were counted, `""` for another arm."""
        if not self.own:
            return ""
        return NOTE_OWN_RUNS if self.lexicon.several_runs else NOTE_OWN_HALVES

    def add(self, group: Group) -> None:
        """Count one group."""
        texts = [list(_words_of(cleaned)) for cleaned in kept(group)]
        tokens = sum(len(text) for text in texts)
        unknown, tested = self._unknown(group, texts)
        name = group.scenario.id
        self._counts[name] = (len(texts), tokens, unknown, tested)
        if tokens:
            numbers = [self.lexicon.number(word) for text in texts for word in text]
            entry = (-self._stream.bits("sample", name), name, np.array(numbers, dtype=np.int32))
            if len(self._sample) < JS_SCENARIOS:
                heapq.heappush(self._sample, entry)
            else:
                heapq.heappushpop(self._sample, entry)

    def _unknown(self, group: Group, texts: list[list[str]]) -> tuple[int, int]:
        """Return tokens that the base arm lacks, and tokens looked at."""
        mark = 0
        if self.own and self.lexicon.several_runs:
            texts, mark = texts[:1], _OTHER_RUN
        elif self.own:
            if self.lexicon.half(group) == _OTHER_HALF:
                return 0, 0
            mark = _OTHER_HALF
        looked = [word for text in texts for word in text]
        return sum(self.lexicon.lacks(word, mark) for word in looked), len(looked)

    def texts(self) -> dict[str, npt.NDArray[np.int32]]:
        """Return the sampled texts as word numbers, by scenario."""
        return {name: numbers for _, name, numbers in self._sample}

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


class Comparison:
    """An arm next to its reference arm, with everything that the figures of this module need.

    Args:
        base: The reference arm.
        arm: The arm, maybe the same.
        stream: Where the divergence's splits come from.
        base_sums: Columns of `base.aligned` summed: row 0 over all scenarios, then in every resample.
        arm_sums: The same of the arm, on the same resamples.
        among: The scenarios to compare texts on, None for all.
    """

    def __init__(
        self,
        base: TextColumns,
        arm: TextColumns,
        stream: Stream,
        *,
        base_sums: Floats,
        arm_sums: Floats,
        among: set[str] | None = None,
    ) -> None:
        self.base = base
        self.arm = arm
        self.base_sums = base_sums
        self.arm_sums = arm_sums
        self._stream = stream
        self._among = among

    @cached_property
    def divergence(self) -> Divergence:
        """Divergence of the arm's texts from the base arm's on the scenarios in both samples."""
        base, arm = (
            {name: text for name, text in part.texts().items() if self._among is None or name in self._among}
            for part in (self.base, self.arm)
        )
        return excess(base, arm, self._stream)


class VocabularyMetric(Struct, frozen=True, eq=False):
    """A figure that compares the words of an arm with its base; satisfies `opoi.protocols.Metric`.

    Attributes:
        name: Key in the results.
        definition: What the figure says.
        compare: Works it out.
    """

    name: str
    definition: Definition
    compare: Callable[[Comparison], Measure]

    @property
    def title(self) -> str:
        """Column head."""
        return self.definition.title

    @property
    def unit(self) -> str:
        """Unit, see `Definition`."""
        return self.definition.unit

    @property
    def doc(self) -> str:
        """What the figure says."""
        return self.definition.doc

    @property
    def needs(self) -> Tier:
        """What it asks of the model's endpoint."""
        return self.definition.needs

    def __call__(self, arm: Arm, *, seed: int = 0, resamples: int = 10_000) -> Measure:
        """Walk the arm and its base and return the figure; an arm without a base is its own."""
        if arm.kind == "policy":
            return Measure(value=None, note=NO_TEXT)
        base = arm.base or arm
        stream = vocabulary_stream(seed)
        lexicon = Lexicon(base, stream)
        both = [TextColumns(lexicon, stream, own=own) for own in (True, base is arm)]
        for columns, source in zip(both, (base, arm), strict=True):
            for group in source.groups():
                columns.add(group)
        ids = sorted({*both[0].ids, *both[1].ids})
        table = on_grid(np.hstack([columns.aligned(ids) for columns in both]))
        draws = bootstrap_sums(table, bootstrap_stream(seed), affordable(resamples, len(ids)))
        sums = np.vstack([table.sum(axis=0), draws])
        return self.compare(
            Comparison(both[0], both[1], stream, base_sums=sums[:, :WIDTH], arm_sums=sums[:, WIDTH:])
        )


def compared(title: str) -> Callable[[Callable[[Comparison], Measure]], VocabularyMetric]:
    """Make a figure of a function of an arm next to its base; its docstring says what it means.

    Args:
        title: Column head.
    """

    def wrap(compare: Callable[[Comparison], Measure]) -> VocabularyMetric:
        return VocabularyMetric(compare.__name__, define(compare, title), compare)

    return wrap


def vocabulary_stream(seed: int) -> Stream:
    """Return the stream of this module's draws."""
    return Stream(seed, "measures", "vocabulary")


@compared("JS excess")
def js_excess(pair: Comparison) -> Measure:
    """How far the rationale's words are from the base arm's, beyond what chance gives at that length.

    Formula: JS(base[H1], arm[H2]) - JS(base[H1], base[H2]) in bits, random halves H1, H2 of the scenarios cut
        to one number of tokens, mean of 20 splits
    Unit: bits
    Range: about 0 to 1; 0 for the base arm
    Source: methods specification 5.7, V1 (Jensen-Shannon divergence; Lin 1991)
    Needs: T0
    Not for: facts: numbers are masked; arms on other scenarios than the base
    """
    return pair.divergence.excess


@compared("JS of base halves")
def js_null(pair: Comparison) -> Measure:
    """What was taken off: the divergence of two random halves of the base arm at that length.

    Formula: JS(base[H1], base[H2]) in bits, halves as in js_excess
    Unit: bits
    Range: 0 to 1; falls with the number of tokens
    Source: methods specification 5.7, V1
    Needs: T0
    Not for: comparing arms: it is the yardstick
    """
    return pair.divergence.null


@compared("unknown words")
def oov_rate(pair: Comparison) -> Measure:
    """Share of the rationale's words that never occur in the base arm (numbers masked).

    Formula: word tokens absent from the base arm / word tokens; for the base arm, run 0 against its other
        runs
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V2 (tokens)
    Needs: T0
    Not for: few base traces: they know few words
    """
    counts = pair.arm.aligned(sorted(pair.arm.ids))
    return ratio_measure(counts[:, 2], counts[:, 3], None, unit="share", note=pair.arm.note)


@compared("length vs base")
def length_ratio(pair: Comparison) -> Measure:
    """Words of rationale per kept trace, divided by the base arm's.

    Formula: (words / kept traces) / (words / kept traces of the base arm)
    Unit: x
    Range: 0 up; 1 for the base arm
    Source: methods specification 5.7, V9
    Needs: T0
    Not for: tokens with loss: decisions and calls are not counted
    """
    arm = quotient(pair.arm_sums[:, 1], pair.arm_sums[:, 0])
    base = quotient(pair.base_sums[:, 1], pair.base_sums[:, 0])
    return _quotient(arm, base, n=pair.arm.contributing(0))


def _quotient(above: Floats, below: Floats, *, n: int) -> Measure:
    """Return a quotient whose first row is the estimate and whose other rows are resamples."""
    values = quotient(above, np.nan_to_num(below))
    if n == 0 or not np.isfinite(values[0]):
        return Measure(value=None, note=NOTE_NO_DATA)
    return measure_of(float(values[0]), values[1:], n=n)


def _words_of(cleaned: Cleaned) -> Iterator[str]:
    for _, text in rationale(cleaned.trace):
        yield from words(text)
