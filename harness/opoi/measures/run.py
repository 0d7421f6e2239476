"""Measure all arms of a run together: one walk per arm, one set of resamples for everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from opoi.errors import UsageError
from opoi.measures.excess import ExcessMetric
from opoi.measures.figures.common import accuracy_observable_common, js_excess_common
from opoi.measures.figures.standard import STANDARD
from opoi.measures.figures.vocabulary import VocabularyMetric
from opoi.measures.policies import null_arm, random_arm
from opoi.measures.ratio import NO_TEXT, Packed, RatioMetric
from opoi.measures.results import SCHEMA, Definition, Results
from opoi.measures.table import Table
from opoi.measures.walks import Walk, columns_of, count_arm, walk_all
from opoi.protocols import Metric, Suite
from opoi.types import Arm, Measure

__all__ = ["Measured", "count_part", "measure_all", "measured", "with_policies"]


class Measured(NamedTuple):
    """What was measured: the figures of all arms, and the table from which their parts can be read."""

    results: Results
    table: Table


def measure_all(
    arms: Sequence[Arm],
    *,
    suite: Suite,
    seed: int,
    resamples: int = 10_000,
    metrics: Sequence[Metric] = (),
    progress: Callable[[str], None] | None = None,
) -> Results:
    """Return the figures alone; see `measured`."""
    return measured(
        arms, suite=suite, seed=seed, resamples=resamples, metrics=metrics, progress=progress
    ).results


def measured(
    arms: Sequence[Arm],
    *,
    suite: Suite,
    seed: int,
    resamples: int = 10_000,
    metrics: Sequence[Metric] = (),
    progress: Callable[[str], None] | None = None,
    counted: Callable[[], Mapping[str, Sequence[Packed]]] | None = None,
) -> Measured:
    """Measure arms, and next to them the policies that do nothing and that pick at random.

    Args:
        arms: Data arms; the first is the base arm. Each is walked once, a base arm twice.
        suite: Gives the actions.
        seed: Seed of all draws.
        resamples: Resamples asked for; many scenarios get fewer, `Results.resamples` says how many.
        metrics: More figures, made after the standard ones.
        progress: Told what is being done.
        counted: Called for the figures of single scenarios, by arm, where other processes count them
            (`count_part`); then `metrics` may hold no `RatioMetric`.

    Raises:
        opoi.errors.UsageError: No arm, two arms of one name, or two figures of one name.
        opoi.errors.ArtefactError: An arm has a scenario twice.
    """
    if not arms:
        raise UsageError("nothing to measure", why="no arm was given", fix="run at least the base arm")
    every = with_policies(arms, suite, seed)
    _distinct("arm", [arm.name for arm in every])
    listed = (*STANDARD, accuracy_observable_common, js_excess_common, *metrics)
    _distinct("metric", [metric.name for metric in listed])
    tell = progress or _quiet
    batch = [metric for metric in listed if isinstance(metric, RatioMetric)]
    walks = walk_all(every, batch, suite, seed, tell, counted=counted)
    tell("bootstrap")
    table = Table(walks, seed, resamples)
    results = []
    for walk in walks:
        tell(f"figures of {walk.arm.name}")
        results.append(walk.result({metric.name: _figure(metric, table, walk) for metric in listed}))
    found = Results(
        schema=SCHEMA,
        suite=suite.name,
        scenarios=len(table.ids),
        common=len(table.common),
        resamples=table.resamples,
        seed=seed,
        arms=tuple(results),
        definitions={metric.name: _define(metric) for metric in listed},
    )
    return Measured(found, table)


def with_policies(arms: Sequence[Arm], suite: Suite, seed: int) -> tuple[Arm, ...]:
    """Return the arms, and the policies that do nothing and that pick at random."""
    return (*arms, null_arm(arms[0], suite), random_arm(arms[0], suite, seed))


def count_part(arms: Sequence[Arm], *, suite: Suite, seed: int) -> dict[str, Packed]:
    """Return the standard figures of every scenario of the arms, and of the policies, for another process.

    Args:
        arms: The data arms, with a part of the scenarios; the first is the base arm.
        suite: Of the arms.
        seed: As for `measured`.
    """
    listed = (*STANDARD, accuracy_observable_common)
    batch = [metric for metric in listed if isinstance(metric, RatioMetric)]
    found = {}
    for arm in with_policies(arms, suite, seed):
        columns = columns_of(arm, batch)
        count_arm(columns, arm, suite)
        found[arm.name] = columns.packed()
    return found


def _figure(metric: Metric, table: Table, walk: Walk) -> Measure:
    if isinstance(metric, RatioMetric):
        return table.ratio(walk, metric)
    if isinstance(metric, ExcessMetric):
        return table.excess(walk, metric)
    if isinstance(metric, VocabularyMetric):
        return table.vocabulary(walk, metric)
    return metric(walk.arm) if walk.arm.kind == "data" else Measure(value=None, note=NO_TEXT)


def _define(metric: Metric) -> Definition:
    told = getattr(metric, "definition", None)
    if isinstance(told, Definition):
        return told
    return Definition(title=metric.title, unit=metric.unit, doc=metric.doc)


def _quiet(_message: str) -> None:
    """Tell nobody."""


def _distinct(kind: str, names: list[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UsageError(
            f"two {kind}s are called {twice[0]!r}",
            why="results are kept by name; `null` and `random` are the names of the reference policies",
            fix=f"rename one {kind}",
        )
