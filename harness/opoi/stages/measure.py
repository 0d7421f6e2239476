"""From the cleaned traces to figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from opoi.run import Run
from opoi.stages.common import trace_files
from opoi.stages.score import score_files
from opoi.store import Index, encode, fingerprint, read
from opoi.types import Arm, Cleaned, Group, Review, Scenario, Scored

if TYPE_CHECKING:  # slow to import: loaded where it is needed
    from opoi.measures.run import Measured

__all__ = ["arms_of", "measure"]


def measure(run: Run) -> None:
    """Measure every arm: `measures.json`, and `units.jsonl` with the parts of the figures by scenario."""
    settings = run.settings
    arms = [name for name, _ in trace_files(run)]
    cleaned = [run.file("cleaned", f"{name}.jsonl") for name in arms]
    scores = [file for name in arms for file in score_files(run, name)]
    inputs = [run.file("scenarios.jsonl"), run.file("reviews.jsonl"), *cleaned, *scores]
    depends = [run.cast.suite_identity, settings.seed, settings.resamples]
    made = cache(lambda: _measured(run))  # both artefacts come from one walk, if any has to be made

    def results() -> Iterator[bytes]:
        yield msgspec.json.format(encode(made().results), indent=1) + b"\n"

    run.write("measures", run.file("measures.json"), inputs=inputs, depends=depends, chunks=results)
    run.write(
        "units", run.file("units.jsonl"), inputs=inputs, depends=depends, chunks=lambda: _units(run, made)
    )


def _measured(run: Run) -> Measured:
    from opoi.measures import measured

    arms = arms_of(run)
    steps = 2 * (len(arms) + 2) + 2  # two walks over each arm and the two policies, words, bootstrap
    watch = run.progress.start("measures", steps)
    try:
        return measured(
            arms,
            suite=run.suite,
            seed=run.settings.seed,
            resamples=run.settings.resamples,
            progress=lambda _: watch.advance(),
        )
    finally:
        watch.close()


def _units(run: Run, made: Callable[[], Measured]) -> Iterator[bytes]:
    from opoi.measures import UnitRow

    worlds = Index(run.file("scenarios.jsonl"), Scenario, key="id")
    table = made().table
    for name, arms in zip(table.ids, table.rows(), strict=True):
        scenario = worlds.one(name)
        row = UnitRow(scenario_id=name, world=fingerprint(scenario), kind=scenario.kind, arms=arms)
        yield encode(row) + b"\n"


def arms_of(run: Run) -> list[Arm]:
    """Return the arms of a run, the unsteered one first; each can be walked again and again."""
    verdicts = Index(run.file("reviews.jsonl"), Review, key="scenario_id")
    base: Arm | None = None
    arms = []
    for name, _ in trace_files(run):
        arm = _arm(run, name, verdicts, base)
        base = base or arm
        arms.append(arm)
    return arms


def _arm(run: Run, name: str, verdicts: Index[Review], base: Arm | None) -> Arm:
    entries = Index(run.file("cleaned", f"{name}.jsonl"), Cleaned, key="trace.scenario_id")
    scores = [Index(file, Scored, key="scenario_id") for file in score_files(run, name)]

    def groups() -> Iterator[Group]:
        for scenario in read(run.file("scenarios.jsonl"), Scenario):
            seen = verdicts.get(scenario.id)
            yield Group(
                scenario=scenario,
                verdict=seen[0].verdict if seen else None,
                cleaned=tuple(entries.get(scenario.id)),
                scores=tuple(scored for index in scores for scored in index.get(scenario.id)),
            )

    return Arm(name, groups, base=base)
