"""Observed numbers as columns: what arithmetic works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi.provenance.claims import plain_number
from opoi.provenance.sources import UnitClass, numeric, unit_class
from opoi.provenance.windows import Window, window_of
from opoi.types import Fact

__all__ = [
    "MOST_SETTINGS",
    "MOST_WINDOWS",
    "UNITS",
    "Floats",
    "Ints",
    "Points",
    "Setting",
    "across",
    "within",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_WINDOWS = 32
"""Most windows of one metric (the latest) that are compared."""

MOST_SETTINGS = 16
"""Most numbers of the prompt and the decision (the last) that values are compared with."""

UNITS: tuple[UnitClass, ...] = ("currency", "%", "x", "count", "")
"""The classes of units; a column of units holds positions in this tuple."""

_FREE = UNITS.index("")
_TIME_WORDS = (
    "a after ago at before by daily day days first for from in last later monthly month new next of old per "
    "previous since the then to today total until week weekly weeks with yearly yesterday"
)
_OF_TIME = frozenset(_TIME_WORDS.split())


class Setting(Struct, frozen=True):
    """A number that observed values are compared with.

    Attributes:
        name: What it is called, `""` for a number of a text.
        unit: Class of unit, `""` for any.
        value: Magnitude.
    """

    name: str
    unit: UnitClass
    value: float


class Points:
    """Numbers of facts and settings, in columns; facts of windows come first, sorted.

    Attributes:
        labels: What each number is.
        value: Magnitudes.
        unit: Positions in `UNITS`.
        entity: Codes of entities, -1 for the numbers of prompt and decision.
        metric: Codes of names.
        first: First day of the window (ordinal), 0 without one.
        days: Length of the window, 0 without one.
        timed: How many numbers belong to a window: those before this position.
        facts: How many are observed facts: those before this position.
        open: The numbers from `facts` to here are those of prompt and decision; from here on they are hidden.
        nameless: Which are numbers without a name.
    """

    def __init__(
        self, facts: Iterable[Fact], own: Iterable[Setting] = (), hidden: Iterable[Fact] = ()
    ) -> None:
        windows: dict[str, Window | None] = {"": None}
        timed: list[tuple[Fact, float, Window]] = []
        settings: list[tuple[Fact, float]] = []
        for fact in facts:
            value = numeric(fact)
            if value is None:
                continue
            if fact.window not in windows:
                windows[fact.window] = window_of(fact.window)
            window = windows[fact.window]
            if window is not None:
                timed.append((fact, value, window))
            elif not fact.window:
                settings.append((fact, value))
        settings = list(dict.fromkeys(settings))
        secret = [(fact, value) for fact in dict.fromkeys(hidden) if (value := numeric(fact)) is not None]
        ours = tuple(dict.fromkeys(own))[-MOST_SETTINGS:]
        known = [*(row[0] for row in timed), *(row[0] for row in settings)]
        shown = [*known, *(row[0] for row in secret)]
        self.labels: list[Fact | Setting] = [*known, *ours, *(row[0] for row in secret)]
        self.timed, self.facts, self.open = len(timed), len(known), len(known) + len(ours)
        rest = len(self.labels) - self.timed
        self.value: Floats = np.array(
            [
                *(row[1] for row in timed),
                *(row[1] for row in settings),
                *(each.value for each in ours),
                *(row[1] for row in secret),
            ],
            dtype=float,
        )
        self.first = _ints([*(row[2].first for row in timed), *(0 for _ in range(rest))])
        self.days = _ints([*(row[2].days for row in timed), *(0 for _ in range(rest))])
        entities = _codes(fact.entity for fact in shown)
        metrics = _codes([*(fact.metric for fact in shown), *(each.name for each in ours)])
        self.entity = _ints([entities[each.entity] if isinstance(each, Fact) else -1 for each in self.labels])
        self.metric = _ints(
            [metrics[each.metric if isinstance(each, Fact) else each.name] for each in self.labels]
        )
        units = {unit: UNITS.index(unit_class(unit)) for unit in dict.fromkeys(fact.unit for fact in shown)}
        self.unit = _ints(
            [units[each.unit] if isinstance(each, Fact) else UNITS.index(each.unit) for each in self.labels]
        )
        self.nameless = np.zeros(len(self.labels), dtype=bool)
        self.nameless[self.facts : self.open] = [not each.name for each in ours]
        self.related, self.alike = _names(list(metrics))
        self._sort()

    @property
    def series(self) -> Ints:
        """Codes of (entity, metric, unit), ascending over the numbers that belong to a window."""
        return (self.entity * (1 + int(self.metric.max(initial=0))) + self.metric) * len(UNITS) + self.unit

    def restrained(self, left: Ints, right: Ints) -> Flags:
        """Return for pairs (a fact, a setting) whether a reader would compare them by unit and name."""
        unit = self.unit[right]
        loose = (right >= self.facts) & (unit == _FREE)
        named = self.related[self.metric[left], self.metric[right]] | self.nameless[right]
        fits: Flags = ((self.unit[left] == unit) | loose) & named
        return fits

    def text(self, index: int, parts: int = 1) -> str:
        """Return a number as it is printed; of several parts their sum, in brackets."""
        terms = [plain_number(float(value)).removesuffix(".0") for value in self.value[index : index + parts]]
        return terms[0] if parts == 1 else f"({' + '.join(terms)})"

    def name(self, index: int, parts: int = 1) -> str:
        """Return what a number is."""
        label = self.labels[index]
        if isinstance(label, Setting):
            return label.name or "the prompt"
        last = self.labels[index + parts - 1]
        window = label.window
        if parts > 1 and isinstance(last, Fact):
            window = f"{label.window[:10]}..{last.last_day}"
        return " ".join(part for part in (label.entity, label.metric, window) if part)

    def printed_unit(self, index: int) -> str:
        """Return the unit of a number as its fact says it."""
        return self.labels[index].unit

    def _sort(self) -> None:
        """Bring the facts of windows into order by series, length and time, each once; keep the latest."""
        rows = np.arange(len(self.value))
        timed = rows[: self.timed]
        series = self.series[: self.timed]
        keys = (self.value[timed], self.first[timed], self.days[timed], series)
        order = np.lexsort(keys)
        order = order[
            np.append(True, np.any([np.diff(key[order]) != 0 for key in keys], axis=0))[: len(order)]
        ]
        if self.timed and np.bincount(np.unique(series, return_inverse=True)[1]).max() > MOST_WINDOWS:
            order = order[_latest(series[order], (self.first + self.days)[order])]
        order = np.concatenate([order, rows[self.timed :]])
        dropped = len(rows) - len(order)
        self.timed, self.facts, self.open = self.timed - dropped, self.facts - dropped, self.open - dropped
        self.labels = [self.labels[index] for index in order]
        for column in ("value", "unit", "entity", "metric", "first", "days", "nameless"):
            setattr(self, column, getattr(self, column)[order])


def within(key: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield all pairs of positions with the same key; equal keys must stand together."""
    for lag in range(1, len(key)):
        left = np.flatnonzero(key[lag:] == key[:-lag])
        if not len(left):
            return
        yield left, left + lag


def across(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of positions (in left, in right) with the same key."""
    order = np.argsort(right, kind="stable")
    low = np.searchsorted(right[order], left, "left")
    counts = np.searchsorted(right[order], left, "right") - low
    ones = np.repeat(np.arange(len(left)), counts)
    inside = np.arange(len(ones)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ones, order[np.repeat(low, counts) + inside]


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _codes(names: Iterable[str]) -> dict[str, int]:
    """Return name -> its place in the alphabet."""
    return {name: code for code, name in enumerate(sorted(set(names)))}


def _names(names: Sequence[str]) -> tuple[Flags, Flags]:
    """Return which names are part of each other, word by word, and which share a word that tells.

    Words that only say which time is meant (`7d`, `last`) do not.
    """
    words = [{*name.casefold().split("_")} for name in names]
    known = {word: code for code, word in enumerate(sorted(set().union(*words)))}
    table = np.zeros((len(names), len(known)), dtype=np.int64)
    for row, mine in enumerate(words):
        table[row, [known[word] for word in mine]] = 1
    common = table @ table.T
    size = table.sum(axis=1)
    telling = table[:, [word.isalpha() and word not in _OF_TIME for word in sorted(known)]]
    alike = (telling @ telling.T > 0) | np.eye(len(names), dtype=bool)
    return common == np.minimum(size[:, None], size[None, :]), alike


def _latest(series: Ints, end: Ints) -> Ints:
    """Return the positions of the latest windows of each series, in the order they have."""
    order = np.lexsort((end, series))
    ranked = series[order]
    last = np.searchsorted(ranked, ranked, "right")
    return np.sort(order[last - np.arange(len(order)) <= MOST_WINDOWS])
