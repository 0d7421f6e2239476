"""From the cleaned traces, and the scores of their texts, to figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from opoi.run import Run
from opoi.stages.arms import arms_of
from opoi.stages.common import count_lines, trace_files
from opoi.stages.counting import counting, processes
from opoi.stages.score import score_file, score_files, score_notes
from opoi.store import Index, encode, fingerprint
from opoi.types import Measure, Scenario, Tier

if TYPE_CHECKING:  # slow to import: loaded where it is needed
    from opoi.measures.results import Results
    from opoi.measures.run import Measured

__all__ = ["measure"]


def measure(run: Run) -> None:
    """Measure every arm: `measures.json`, and `units.jsonl` with the parts of the figures by scenario."""
    from opoi.measures.results import SCHEMA

    settings = run.settings
    arms = [name for name, _ in trace_files(run)]
    cleaned = [run.file("cleaned", f"{name}.jsonl") for name in arms]
    scores = [file for name in arms for file in score_files(run, name)]
    inputs = [run.file("scenarios.jsonl"), run.file("reviews.jsonl"), *cleaned, *scores]
    depends = [SCHEMA, run.cast.suite_identity, settings.seed, settings.resamples]
    depends += [name for _, name in run.cast.scorers]  # the first counts even where it has no file
    depends += _reasons(run).items()
    made = cache(lambda: _measured(run))  # both artefacts come from one walk, if any has to be made

    def results() -> Iterator[bytes]:
        yield msgspec.json.format(encode(made().results), indent=1) + b"\n"

    run.write("measures", run.file("measures.json"), inputs=inputs, depends=depends, chunks=results)
    run.write(
        "units", run.file("units.jsonl"), inputs=inputs, depends=depends, chunks=lambda: _units(run, made)
    )


def _measured(run: Run) -> Measured:
    from opoi.measures.logprobs.scorers import confidence_of
    from opoi.measures.run import measured

    settings, arms = run.settings, arms_of(run)
    steps = 2 * (len(arms) + 2) + 2  # two walks over each arm and the two policies, words, bootstrap
    watch = run.progress.start("measures", steps)
    parts = _parts(run)
    try:
        with ExitStack() as stack:
            counted = stack.enter_context(counting(run, parts)) if parts > 1 else None
            found = measured(
                arms,
                suite=run.suite,
                seed=settings.seed,
                resamples=settings.resamples,
                progress=lambda _: watch.advance(),
                counted=counted,
            )
    finally:
        watch.close()
    found = found._replace(results=_explained(found.results, _reasons(run)))
    scorers = [name for _, name in run.cast.scorers]
    if not any(score_files(run, arm.name) for arm in arms):
        return found
    confidence = confidence_of(
        arms,
        scorers,
        prose_keys=run.suite.prose,
        seed=settings.seed,
        resamples=settings.resamples,
        notes=score_notes(run),
    )
    return found._replace(results=msgspec.structs.replace(found.results, confidence=confidence))


def _reasons(run: Run) -> dict[str, str]:
    """Return what to say in the place of "needs T1" or "needs T2" where it is not for want of access."""
    settings, found = run.settings, {}
    if settings.remote and settings.endpoint.logprobs == "off":
        found[f"needs {Tier.T1}"] = "not asked for (--logprobs off)"
    if settings.remote and settings.scorers == ("none",):
        found[f"needs {Tier.T2}"] = "not scored (--scorers none)"
    for _, scorer in run.cast.scorers[:1]:
        if any(run.file("scores", score_file(scorer, arm)).exists() for arm, _ in trace_files(run)):
            found[f"needs {Tier.T2}"] = "not scored: the scorer gave no figures"
    return found


def _explained(results: Results, reasons: dict[str, str]) -> Results:
    """Return results whose absent figures say why they are absent."""
    if not reasons:
        return results

    def told(each: Measure) -> Measure:
        return msgspec.structs.replace(each, note=reasons.get(each.note, each.note))

    arms = tuple(
        msgspec.structs.replace(arm, measures={name: told(each) for name, each in arm.measures.items()})
        for arm in results.arms
    )
    return msgspec.structs.replace(results, arms=arms)


def _parts(run: Run) -> int:
    """Return how many processes count; `OPOI_PROCESSES` says otherwise."""
    most = os.environ.get("OPOI_PROCESSES", "")
    parts = processes(count_lines(run.file("scenarios.jsonl")))
    return min(parts, int(most)) if most.isdecimal() and int(most) else parts


def _units(run: Run, made: Callable[[], Measured]) -> Iterator[bytes]:
    from opoi.measures import UnitRow

    worlds = Index(run.file("scenarios.jsonl"), Scenario, key="id")
    table = made().table
    for name, arms in zip(table.ids, table.rows(), strict=True):
        scenario = worlds.one(name)
        row = UnitRow(scenario_id=name, world=fingerprint(scenario), kind=scenario.kind, arms=arms)
        yield encode(row) + b"\n"
