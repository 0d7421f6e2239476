"""From a scenario over the unsteered rollout to the review of it."""

from __future__ import annotations

from collections.abc import Iterator

from opoi.errors import ArtefactError, UnknownNameError
from opoi.executor import Result
from opoi.protocols import Expert
from opoi.rollout import rollout
from opoi.run import Run
from opoi.stages.common import count_lines, lines_of, result_of
from opoi.store import Index, read
from opoi.types import Outcome, Review, Scenario, Trace

__all__ = ["expert_of", "review", "rollouts", "scenarios"]


def scenarios(run: Run) -> None:
    """Make the scenarios: `scenarios.jsonl`."""
    settings = run.settings
    run.write(
        "scenarios",
        run.file("scenarios.jsonl"),
        inputs=[],
        depends=[run.cast.suite_identity, settings.n, settings.seed],
        chunks=lambda: lines_of(run.suite.scenarios(settings.n, settings.seed)),
    )


def rollouts(run: Run) -> None:
    """Let the unsteered agent act in every scenario, `runs` times: `rollouts.jsonl`."""
    settings, source = run.settings, run.file("scenarios.jsonl")
    if source.exists() and not count_lines(source):
        raise ArtefactError(f"{source} holds no scenario", fix="write it anew with --force")

    def items() -> Iterator[tuple[Scenario, int]]:
        for scenario in read(source, Scenario):
            for repetition in range(settings.runs):
                yield scenario, repetition

    def act(item: tuple[Scenario, int]) -> Result:
        scenario, repetition = item
        trace = rollout(
            scenario,
            run.suite,
            run.cast.agent,
            arm="base",
            run=repetition,
            seed=settings.seed,
            turns=settings.turns,
        )
        return result_of([trace])

    run.work(
        "rollouts",
        run.file("rollouts.jsonl"),
        inputs=[source],
        depends=[run.cast.suite_identity, run.cast.agent_identity, settings.seed, settings.turns],
        extent=settings.runs,
        items=items,
        total=lambda: count_lines(source) * settings.runs,
        do=act,
        models=lambda: [run.cast.agent],
    )


def review(run: Run) -> None:
    """Let the expert review the first rollout of every scenario: `reviews.jsonl`."""
    settings = run.settings
    sources = [run.file("scenarios.jsonl"), run.file("rollouts.jsonl")]
    expert = expert_of(run)

    def reviews() -> Iterator[Review]:
        traces = Index(sources[1], Trace, key="scenario_id")
        for scenario in read(sources[0], Scenario):
            first = [trace for trace in traces.get(scenario.id) if trace.run == 0]
            if not first:
                yield Review(scenario_id=scenario.id, skipped="there is no rollout of this scenario")
            elif first[0].stop.outcome is Outcome.INFRASTRUCTURE_FAILURE:
                yield Review(scenario_id=scenario.id, trace_id=first[0].id, skipped=first[0].failure)
            else:
                verdict = expert(scenario, first[0])
                yield Review(scenario_id=scenario.id, trace_id=first[0].id, verdict=verdict)

    run.write(
        "reviews",
        run.file("reviews.jsonl"),
        inputs=sources,
        depends=[run.cast.suite_identity, settings.expert],
        chunks=lambda: lines_of(reviews()),
    )


def expert_of(run: Run) -> Expert:
    """Return the expert that the settings name, the suite's first where they name none.

    Raises:
        UnknownNameError: The suite has no such expert.
    """
    experts = run.suite.experts
    name = run.settings.expert or next(iter(experts))
    if name not in experts:
        raise UnknownNameError(f"expert of suite {run.suite.name!r}:", name, experts)
    return experts[name]
