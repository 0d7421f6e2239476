"""One walk over an arm that reads everything the figures need, and holds a few numbers per scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from opoi.measures.figures.vocabulary import Lexicon, TextColumns, vocabulary_stream
from opoi.measures.ratio import Columns, Packed, RatioMetric, matched, seen_of
from opoi.measures.results import ArmResult
from opoi.measures.text import drop_reason
from opoi.protocols import Suite
from opoi.types import Arm, Group, Measure

__all__ = ["Walk", "can", "columns_of", "count_arm", "walk_all"]


class Walk:
    """Everything that was read from one arm.

    Args:
        arm: The arm.
        metrics: Figures to count; those that an arm of its kind cannot have are left out.
        text: Counts the arm's words, None where there is nothing to compare them with.

    Attributes:
        base: The walk of the reference arm, None where there is none.
        attempted: Traces read.
        drops: Traces by drop reason; `""` are the kept ones.
        kept_ids: Scenarios with a kept trace.
    """

    def __init__(self, arm: Arm, metrics: Iterable[RatioMetric], text: TextColumns | None) -> None:
        self.arm = arm
        self.columns = columns_of(arm, metrics)
        self.text = text
        self.base: Walk | None = None
        self.attempted = 0
        self.drops: Counter[str] = Counter()
        self.kept_ids: set[str] = set()

    def read(self, suite: Suite, *, count: bool = True) -> None:
        """Walk the arm.

        Args:
            suite: Its suite.
            count: Whether to count its figures, too; else other processes do, and `columns` takes them.
        """
        if count:
            count_arm(self.columns, self.arm, suite, also=self._note)
            return
        for group in self.arm.groups():
            self._note(group)

    def _note(self, group: Group) -> None:
        """Note words and endings of one scenario."""
        if self.text is not None:
            self.text.add(group)
        reasons = [drop_reason(cleaned) for cleaned in group.cleaned]
        self.attempted += len(reasons)
        self.drops.update(reasons)
        if "" in reasons:
            self.kept_ids.add(group.scenario.id)

    def result(self, measures: dict[str, Measure]) -> ArmResult:
        """Return the arm's part of the results."""
        drops = {reason: count for reason, count in sorted(self.drops.items()) if reason}
        kept_count = self.drops[""]
        assert kept_count + sum(drops.values()) == self.attempted
        return ArmResult(
            name=self.arm.name,
            kind="policy" if self.arm.kind == "policy" else "data",
            attempted=self.attempted,
            kept=kept_count,
            drops=drops,
            measures=measures,
        )


def columns_of(arm: Arm, metrics: Iterable[RatioMetric]) -> Columns:
    """Return empty columns for the figures that an arm can have."""
    return Columns([metric for metric in metrics if can(metric, arm)])


def count_arm(
    columns: Columns, arm: Arm, suite: Suite, *, also: Callable[[Group], None] | None = None
) -> None:
    """Count the figures of every scenario of an arm: most of the work of measuring.

    Args:
        columns: Where to count.
        arm: The arm; walked once.
        suite: Its suite.
        also: Called with each group.
    """
    for group, base in matched(arm):
        columns.add(seen_of(group, base, suite), where=arm.name)
        if also is not None:
            also(group)


def can(metric: RatioMetric, arm: Arm) -> bool:
    """Return whether an arm can have a figure: a policy has no text."""
    return arm.kind == "data" or metric.policies


def walk_all(
    arms: Sequence[Arm],
    metrics: Sequence[RatioMetric],
    suite: Suite,
    seed: int,
    tell: Callable[[str], None],
    *,
    counted: Callable[[], Mapping[str, Sequence[Packed]]] | None = None,
) -> list[Walk]:
    """Walk every arm; texts are compared with the arm's base, the first arm with itself.

    What other processes count is waited for when everything else is read.
    """
    stream = vocabulary_stream(seed)
    lexicons: dict[str, Lexicon] = {}
    walks: dict[str, Walk] = {}
    outside: dict[str, Walk] = {}
    for arm in arms:
        base = (arm.base or (arm if arm is arms[0] else None)) if arm.kind == "data" else None
        text = None
        if base is not None:
            if base.name not in lexicons:
                tell(f"words of {base.name}")
                lexicons[base.name] = Lexicon(base, stream)
            text = TextColumns(lexicons[base.name], stream, own=base.name == arm.name)
        tell(f"traces of {arm.name}")
        walk = walks[arm.name] = Walk(arm, metrics, text)
        walk.read(suite, count=counted is None)
        if base is not None:
            walk.base = walks.get(base.name) or outside.get(base.name)
            if walk.base is None:
                walk.base = outside[base.name] = Walk(
                    base, (), TextColumns(lexicons[base.name], stream, own=True)
                )
                walk.base.read(suite)
    if counted is not None:
        parts = counted()
        for walk in walks.values():
            walk.columns.take(parts[walk.arm.name], where=walk.arm.name)
    return list(walks.values())
