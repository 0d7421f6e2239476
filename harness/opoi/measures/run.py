"""Measure all arms of a run together: one walk per arm, one set of resamples for everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from opoi.errors import UsageError
from opoi.measures.accuracy import accuracy_metrics
from opoi.measures.citations import citation_metrics
from opoi.measures.common import ACCURACY_COMMON, JS_COMMON
from opoi.measures.consensus import consensus_metrics
from opoi.measures.gaps import gap_metrics
from opoi.measures.grounding import grounding_metrics
from opoi.measures.policies import null_arm, random_arm
from opoi.measures.profile import profile_metrics
from opoi.measures.ratio import NO_TEXT, RatioMetric
from opoi.measures.residue import residue_metrics
from opoi.measures.results import Definition, Results
from opoi.measures.table import Table
from opoi.measures.vocabulary import VocabularyMetric, vocabulary_metrics
from opoi.measures.walks import Walk, walk_all
from opoi.protocols import Metric, Suite
from opoi.types import Arm, Measure

__all__ = ["measure_all", "standard_metrics"]


def standard_metrics(suite: Suite) -> tuple[RatioMetric | VocabularyMetric, ...]:
    """Return the figures that `measure_all` always makes, in the order of the tables.

    The two `*_common` figures are not among them: they need all arms at once.
    """
    return (
        *accuracy_metrics(suite.null_action),
        *gap_metrics(suite),
        *consensus_metrics(),
        *profile_metrics(),
        *residue_metrics(),
        *grounding_metrics(),
        *citation_metrics(),
        *vocabulary_metrics(),
    )


def measure_all(
    arms: Sequence[Arm],
    *,
    suite: Suite,
    seed: int,
    resamples: int = 10_000,
    metrics: Sequence[Metric] = (),
    progress: Callable[[str], None] | None = None,
) -> Results:
    """Measure arms, and next to them the policies that do nothing and that pick at random.

    Args:
        arms: Data arms; the first is the base arm. Each is walked once, a base arm twice.
        suite: Gives the actions.
        seed: Seed of all draws.
        resamples: Resamples asked for; many scenarios get fewer, `Results.resamples` says how many.
        metrics: More figures, made after the standard ones.
        progress: Told what is being done.

    Raises:
        opoi.errors.UsageError: No arm, two arms of one name, or two figures of one name.
        opoi.errors.ArtefactError: An arm has a scenario twice.
    """
    if not arms:
        raise UsageError("nothing to measure", why="no arm was given", fix="run at least the base arm")
    every = (*arms, null_arm(arms[0], suite), random_arm(arms[0], suite, seed))
    _distinct("arm", [arm.name for arm in every])
    listed = (*standard_metrics(suite), ACCURACY_COMMON, JS_COMMON, *metrics)
    _distinct("metric", [metric.name for metric in listed])
    tell = progress or _quiet
    batch = [m for m in listed if isinstance(m, RatioMetric) and m is not ACCURACY_COMMON]
    walks = walk_all(every, batch, seed, tell)
    tell("bootstrap")
    table = Table(walks, seed, resamples)
    results = []
    for walk in walks:
        tell(f"figures of {walk.arm.name}")
        results.append(walk.result({metric.name: _figure(metric, table, walk) for metric in listed}))
    return Results(
        schema="opoi.measures/1",
        suite=suite.name,
        scenarios=len(table.ids),
        common=len(table.common),
        resamples=table.resamples,
        seed=seed,
        arms=tuple(results),
        definitions={metric.name: _define(metric) for metric in listed},
    )


def _figure(metric: Metric, table: Table, walk: Walk) -> Measure:
    if isinstance(metric, RatioMetric):
        return table.ratio(walk, metric)
    if isinstance(metric, VocabularyMetric):
        return table.vocabulary(walk, metric)
    return metric(walk.arm) if walk.arm.kind == "data" else Measure(value=None, note=NO_TEXT)


def _define(metric: Metric) -> Definition:
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
