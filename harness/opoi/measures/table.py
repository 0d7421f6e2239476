"""The columns of all arms side by side, under one set of resamples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opoi.intervals import Floats
from opoi.measures.excess import ExcessMetric, excess_measure
from opoi.measures.figures.common import accuracy_observable_common, js_excess_common
from opoi.measures.figures.vocabulary import WIDTH, Comparison, VocabularyMetric, vocabulary_stream
from opoi.measures.ratio import NO_TEXT, Pair, RatioMetric, bootstrap_stream, check_share, missing
from opoi.measures.statistics import affordable, bootstrap_sums, on_grid, ratio_measure
from opoi.measures.walks import Walk, can
from opoi.measures.words.contrast import Parts
from opoi.types import Measure

__all__ = ["Table"]

NO_BASE = "no base arm to compare with"
_TEXT = " text"


class Table:
    """The columns of all arms side by side, and their sums in every resample.

    Scenarios are aligned by id over all arms: one that an arm lacks contributes nothing to it.
    """

    def __init__(self, walks: list[Walk], seed: int, resamples: int) -> None:
        self._walks = walks
        self._stream = vocabulary_stream(seed)
        self.ids = sorted({name for walk in walks for name in walk.columns.ids})
        kept_sets = [walk.kept_ids for walk in walks if walk.arm.kind == "data"]
        self.common = set.intersection(*kept_sets)
        self.resamples = affordable(resamples, len(self.ids))
        self._mask = np.array([[float(name in self.common)] for name in self.ids])
        self._place: dict[tuple[int, str], int] = {}
        parts: list[Floats] = []
        width = 0
        for walk in _with_bases(walks):
            for name, block in self._blocks(walk):
                self._place[id(walk), name] = width
                width += block.shape[1]
                parts.append(block)
        self._raw = np.hstack(parts)
        self._columns = on_grid(self._raw)
        self._sums = bootstrap_sums(self._columns, bootstrap_stream(seed), self.resamples)
        self._comparisons: dict[tuple[int, bool], Comparison] = {}
        self._words: dict[tuple[str, str], Parts] = {}

    def _blocks(self, walk: Walk) -> Iterator[tuple[str, Floats]]:
        """Yield the columns of one arm by name, each of shape `(scenarios, columns)`."""
        for metric in walk.columns.metrics:
            block = np.column_stack(walk.columns.aligned(metric.name, self.ids))
            yield metric.name, block * self._mask if metric is accuracy_observable_common else block
        if walk.text is not None:
            yield _TEXT, walk.text.aligned(self.ids)

    def ratio(self, walk: Walk, metric: RatioMetric) -> Measure:
        """Return a ratio of sums."""
        if not can(metric, walk.arm):
            return Measure(value=None, note=NO_TEXT)
        at = self._place[id(walk), metric.name]
        check_share(metric, self.ids, self._raw[:, at], self._raw[:, at + 1])
        found = ratio_measure(
            self._columns[:, at],
            self._columns[:, at + 1],
            (self._sums[:, at], self._sums[:, at + 1]),
            unit=metric.unit,
        )
        return missing(found, metric.needs) if walk.kept_ids else found

    def excess(self, walk: Walk, metric: ExcessMetric) -> Measure:
        """Return a difference of two ratios of sums."""
        if not can(metric.more, walk.arm):
            return Measure(value=None, note=NO_TEXT)
        places = [
            self._place[id(walk), each.name] + part for each in (metric.more, metric.less) for part in (0, 1)
        ]
        return excess_measure(self._columns[:, places], self._sums[:, places])

    def rows(self) -> Iterator[dict[str, dict[str, Pair]]]:
        """Yield, for each scenario in the order of `ids`, the parts of all figures by arm and name.

        Those of figures of words are there once the figures are.
        """
        named = [
            (walk, metric.name, self._place[id(walk), metric.name])
            for walk in self._walks
            for metric in walk.columns.metrics
        ]
        for scenario, row in zip(self.ids, self._raw, strict=True):
            found: dict[str, dict[str, Pair]] = {walk.arm.name: {} for walk in self._walks}
            for walk, name, at in named:
                above, below = float(row[at]), float(row[at + 1])
                if below:
                    found[walk.arm.name][name] = (above, below)
            for (arm, name), parts in self._words.items():
                if scenario in parts:
                    found[arm][name] = parts[scenario]
            yield found

    def vocabulary(self, walk: Walk, metric: VocabularyMetric) -> Measure:
        """Return a figure of the arm's words."""
        if walk.arm.kind == "policy":
            return Measure(value=None, note=NO_TEXT)
        comparison = self._comparison(walk, metric)
        if comparison is None:
            return Measure(value=None, note=NO_BASE)
        if metric.parts is not None:
            self._words[walk.arm.name, metric.name] = metric.parts(comparison)
        return metric.compare(comparison)

    def _comparison(self, walk: Walk, metric: VocabularyMetric) -> Comparison | None:
        """Return an arm next to its base, None where one of the two has no text."""
        if walk.base is None or walk.base.text is None or walk.text is None:
            return None
        common = metric is js_excess_common and len(self.common) < len(self.ids)
        key = (id(walk), common)
        if key not in self._comparisons:
            self._comparisons[key] = Comparison(
                walk.base.text,
                walk.text,
                self._stream,
                base_sums=self._text_sums(walk.base),
                arm_sums=self._text_sums(walk),
                among=self.common if common else None,
            )
        return self._comparisons[key]

    def _text_sums(self, walk: Walk) -> Floats:
        at = self._place[id(walk), _TEXT]
        whole = self._columns[:, at : at + WIDTH].sum(axis=0)
        return np.vstack([whole, self._sums[:, at : at + WIDTH]])


def _with_bases(walks: list[Walk]) -> list[Walk]:
    bases = [walk.base for walk in walks if walk.base is not None]
    return list({id(walk): walk for walk in (*walks, *bases)}.values())
