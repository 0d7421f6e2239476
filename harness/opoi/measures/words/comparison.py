"""Figures that compare the texts of an arm with those of its base."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from opoi.intervals import Floats
from opoi.measures.define import Described, define
from opoi.measures.ratio import NO_TEXT, bootstrap_stream
from opoi.measures.statistics import affordable, bootstrap_sums, on_grid
from opoi.measures.words.contrast import Parts
from opoi.measures.words.divergence import Divergence, excess
from opoi.measures.words.lexicon import WIDTH, Lexicon, TextColumns, vocabulary_stream
from opoi.measures.words.mauve import Frontier, mauve_lite_of
from opoi.measures.words.novelty import Novelty, novelty
from opoi.measures.words.pairs import Texts
from opoi.measures.words.views import WORDS, View
from opoi.seeds import Stream
from opoi.types import Arm, Measure

__all__ = ["Comparison", "VocabularyMetric", "compared"]


class Comparison:
    """An arm next to its reference arm: what figures compare, each thing worked out once.

    Args:
        base: The reference arm.
        arm: The arm, maybe the same.
        stream: Where cuts, splits and permutations come from.
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
        self._divergences: dict[View, Divergence] = {}

    def of(self, view: View) -> Divergence:
        """Return the divergence of what a view shows of both arms, on the scenarios in both samples."""
        if view not in self._divergences:
            base, arm = (self._limited(columns.texts(view)) for columns in (self.base, self.arm))
            self._divergences[view] = excess(base, arm, self._stream.at(view.name))
        return self._divergences[view]

    @property
    def divergence(self) -> Divergence:
        """Divergence of the words."""
        return self.of(WORDS)

    @cached_property
    def novelty(self) -> Novelty:
        """Distinct words that the base arm does not have."""
        base, arm = (self._limited(columns.texts(WORDS)) for columns in (self.base, self.arm))
        return novelty(base, arm, self._stream.at(WORDS.name))

    @cached_property
    def frontier(self) -> Frontier:
        """Frontier between the rationales of both arms."""
        base, arm = (self._limited(columns.rationales()) for columns in (self.base, self.arm))
        return mauve_lite_of(base, arm, self.arm.lexicon.spelled(), self._stream.at("rationales"))

    def _limited(self, texts: Texts) -> Texts:
        if self._among is None:
            return texts
        return {name: text for name, text in texts.items() if name in self._among}


class VocabularyMetric(Described, frozen=True, eq=False):
    """A figure that compares the words of an arm with its base; satisfies `opoi.protocols.Metric`.

    Attributes:
        compare: Works it out.
        parts: Gives its parts by scenario, None where scenarios have none.
    """

    compare: Callable[[Comparison], Measure]
    parts: Callable[[Comparison], Parts] | None = None

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


def compared(
    title: str, *, parts: Callable[[Comparison], Parts] | None = None
) -> Callable[[Callable[[Comparison], Measure]], VocabularyMetric]:
    """Make a figure of a function of an arm next to its base; its docstring says what it means.

    Args:
        title: Column head.
        parts: Gives the numerators and denominators by scenario of which the figure is the ratio of sums.
    """

    def wrap(compare: Callable[[Comparison], Measure]) -> VocabularyMetric:
        told = define(compare, title, parts=parts is not None)
        return VocabularyMetric(compare.__name__, told, compare, parts)

    return wrap
