"""From the cleaned traces to figures."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from opoi.run import Run
from opoi.stages.common import trace_files
from opoi.store import Index, encode, read
from opoi.types import Arm, Cleaned, Group, Review, Scenario

__all__ = ["measure"]


def measure(run: Run) -> None:
    """Measure every arm: `measures.json`."""
    from opoi.measures import measure_all

    settings = run.settings
    cleaned = [run.file("cleaned", f"{name}.jsonl") for name, _ in trace_files(run)]

    def chunks() -> Iterator[bytes]:
        arms = _arms(run)
        steps = 2 * (len(arms) + 2) + 2  # two walks over each arm and the two policies, words, bootstrap
        watch = run.progress.start("measures", steps)
        try:
            results = measure_all(
                arms,
                suite=run.suite,
                seed=settings.seed,
                resamples=settings.resamples,
                progress=lambda _: watch.advance(),
            )
        finally:
            watch.close()
        yield msgspec.json.format(encode(results), indent=1) + b"\n"

    run.write(
        "measures",
        run.file("measures.json"),
        inputs=[run.file("scenarios.jsonl"), run.file("reviews.jsonl"), *cleaned],
        depends=[run.cast.suite_identity, settings.seed, settings.resamples],
        chunks=chunks,
    )


def _arms(run: Run) -> list[Arm]:
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

    def groups() -> Iterator[Group]:
        for scenario in read(run.file("scenarios.jsonl"), Scenario):
            seen = verdicts.get(scenario.id)
            yield Group(
                scenario=scenario,
                verdict=seen[0].verdict if seen else None,
                cleaned=tuple(entries.get(scenario.id)),
            )

    return Arm(name, groups, base=base)
