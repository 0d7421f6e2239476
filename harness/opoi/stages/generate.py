"""From the reviews to the traces of every strategy."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from opoi.casting import content_of
from opoi.errors import EndpointError, PluginError
from opoi.executor import Result
from opoi.protocols import Cast, Strategy
from opoi.registry import load_strategy
from opoi.run import Run
from opoi.settings import ArmSettings
from opoi.stages.common import count_lines, result_of
from opoi.store import Index, read
from opoi.types import Case, Review, Scenario, StopReason, Trace

__all__ = ["generate"]


def generate(run: Run) -> None:
    """Let every strategy make its traces from the same reviews: `traces/ARM.jsonl`."""
    settings = run.settings
    arms = [(arm, load_strategy(arm.use, arm.settings)) for arm in settings.arms()]
    for arm, strategy in arms:
        _generate(run, arm, strategy)


def _generate(run: Run, arm: ArmSettings, strategy: Strategy) -> None:
    settings = run.settings
    sources = [run.file(name) for name in ("scenarios.jsonl", "rollouts.jsonl", "reviews.jsonl")]
    cast = Cast(
        suite=run.suite,
        agent=run.cast.agent,
        corrector=run.cast.corrector,
        arm=arm.name,
        seed=settings.seed,
        turns=settings.turns,
    )

    def items() -> Iterator[Case | tuple[Review, int]]:
        worlds = Index(sources[0], Scenario, key="id")
        traces = Index(sources[1], Trace, key="id")
        for seen in read(sources[2], Review):
            for repetition in range(settings.runs):
                if seen.verdict is None:
                    yield seen, repetition
                    continue
                yield Case(
                    scenario=worlds.one(seen.scenario_id),
                    base=traces.one(seen.trace_id),
                    verdict=seen.verdict,
                    run=repetition,
                )

    def apply(item: Case | tuple[Review, int]) -> Result:
        if isinstance(item, Case):
            return result_of(_traces(strategy, item, cast))
        seen, repetition = item
        missing = _failed(seen.scenario_id, arm.name, repetition, f"no review: {seen.skipped}")
        return msgspec.structs.replace(result_of([missing]), asked=False)

    run.work(
        f"traces {arm.name}",
        run.file("traces", f"{arm.name}.jsonl"),
        inputs=sources,
        depends=[
            run.cast.suite_identity,
            arm,
            run.cast.agent_identity,
            run.cast.corrector_identity,
            content_of(arm.use),
            strategy if isinstance(strategy, msgspec.Struct) else None,
            settings.seed,
            settings.turns,
        ],
        extent=settings.runs,
        items=items,
        total=lambda: count_lines(sources[2]) * settings.runs,
        do=apply,
        models=lambda: [run.cast.agent, run.cast.corrector],
    )


def _traces(strategy: Strategy, case: Case, cast: Cast) -> list[Trace]:
    """Call a strategy, and hold it to its contract."""
    try:
        traces = list(strategy(case, cast))
    except EndpointError as error:
        return [_failed(case.scenario.id, cast.arm, case.run, error.line)]
    if not traces or any(t.scenario_id != case.scenario.id or t.arm != cast.arm for t in traces):
        raise PluginError(
            f"the strategy of arm {cast.arm!r} broke its contract on {case.scenario.id}",
            why="it has to return at least one trace, each with the case's scenario_id and the cast's arm",
            fix="where a trace should not be used, return it with the reason in `drop`",
        )
    first = f"{case.scenario.id}/{cast.arm}/{case.run}"
    return [
        msgspec.structs.replace(trace, id=f"{first}-{number}" if number else first)
        for number, trace in enumerate(traces)
    ]


def _failed(scenario: str, arm: str, repetition: int, failure: str) -> Trace:
    """Stand in for a trace that could not be made."""
    return Trace(
        id=f"{scenario}/{arm}/{repetition}",
        scenario_id=scenario,
        arm=arm,
        run=repetition,
        as_of="",
        stop=StopReason.ENDPOINT,
        failure=failure,
        drop=StopReason.ENDPOINT.drop,
        attempts=0,
    )
