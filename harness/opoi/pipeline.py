"""The whole experiment, top to bottom. Each stage reads the artefact before it and writes the one after.

    scenarios.jsonl -> rollouts.jsonl -> reviews.jsonl -> traces/ARM.jsonl -> cleaned/ARM.jsonl
                    -> datasets/ARM.FORMAT.jsonl, and measures.json -> report.html, report.txt

`base` is the unsteered arm: its traces are `rollouts.jsonl`, cleaned like those of every other arm, so
that what cleaning does to innocent text is measured too.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opoi.cleaning.levels import cleaner
from opoi.datasets import FORMATS
from opoi.errors import ArtefactError, PluginError, UnknownNameError
from opoi.executor import Result
from opoi.protocols import Cast, Expert, Strategy
from opoi.registry import load_strategy
from opoi.rollout import rollout
from opoi.run import Run, content_of
from opoi.settings import ArmSettings
from opoi.store import Index, encode, read, write_atomic
from opoi.types import (
    Arm,
    Case,
    Cleaned,
    Example,
    Group,
    Outcome,
    Review,
    Scenario,
    StopReason,
    Trace,
)

if TYPE_CHECKING:  # slow to import: loaded by the stages that need them
    from rich.console import Console

    from opoi.measures import Results
    from opoi.report.html import Sample

__all__ = [
    "STAGES",
    "begin",
    "clean",
    "export",
    "generate",
    "measure",
    "report",
    "review",
    "rollouts",
    "run_all",
    "scenarios",
]


def begin(run: Run, *, ask: bool = False) -> None:
    """Check everything that the settings name, then write the manifest.

    Args:
        run: A new run, or one that was opened with changes.
        ask: Also make sure that the endpoints answer.

    Raises:
        OpoiError: Something cannot be had; nothing was written.
    """
    _expert(run)
    for arm in run.settings.arms():
        load_strategy(arm.use, arm.settings)
    if ask or not run.settings.remote:
        run.check([run.agent, run.corrector])
    run.save_manifest()


def run_all(run: Run) -> None:
    """Carry out every stage that is not up to date."""
    begin(run)
    for stage in STAGES.values():
        stage(run)


# ---------------------------------------------------------------- scenario -> rollout -> review


def scenarios(run: Run) -> None:
    """Make the scenarios: `scenarios.jsonl`."""
    settings = run.settings
    run.write(
        "scenarios",
        run.file("scenarios.jsonl"),
        inputs=[],
        depends=[settings.suite, settings.n, settings.seed],
        chunks=lambda: _lines(run.suite.scenarios(settings.n, settings.seed)),
    )


def rollouts(run: Run) -> None:
    """Let the unsteered agent act in every scenario, `runs` times: `rollouts.jsonl`."""
    settings, source = run.settings, run.file("scenarios.jsonl")

    def items() -> Iterator[tuple[Scenario, int]]:
        for scenario in read(source, Scenario):
            for repetition in range(settings.runs):
                yield scenario, repetition

    def act(item: tuple[Scenario, int]) -> Result:
        scenario, repetition = item
        trace = rollout(
            scenario,
            run.suite,
            run.agent,
            arm="base",
            run=repetition,
            seed=settings.seed,
            turns=settings.turns,
        )
        return _result([trace])

    run.work(
        "rollouts",
        run.file("rollouts.jsonl"),
        inputs=[source],
        depends=[run.model_identity(), settings.seed, settings.turns],
        items=items,
        total=lambda: _count(source) * settings.runs,
        do=act,
        models=lambda: [run.agent],
    )


def review(run: Run) -> None:
    """Let the expert review the first rollout of every scenario: `reviews.jsonl`."""
    settings = run.settings
    sources = [run.file("scenarios.jsonl"), run.file("rollouts.jsonl")]
    expert = _expert(run)

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
        depends=settings.expert,
        chunks=lambda: _lines(reviews()),
    )


def _expert(run: Run) -> Expert:
    experts = run.suite.experts
    name = run.settings.expert or next(iter(experts))
    if name not in experts:
        raise UnknownNameError(f"expert of suite {run.suite.name!r}:", name, experts)
    return experts[name]


# ---------------------------------------------------------------- strategy -> trace -> cleaning


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
        agent=run.agent,
        corrector=run.corrector,
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
            return _result(_traces(strategy(item, cast), item, arm.name))
        return _result([_unreviewed(*item, arm.name)])

    run.work(
        f"traces {arm.name}",
        run.file("traces", f"{arm.name}.jsonl"),
        inputs=sources,
        depends=[
            arm,
            run.model_identity(),
            run.corrector_identity(),
            content_of(arm.use),
            strategy if isinstance(strategy, msgspec.Struct) else None,
            settings.seed,
            settings.turns,
        ],
        items=items,
        total=lambda: _count(sources[2]) * settings.runs,
        do=apply,
        models=lambda: [run.agent, run.corrector],
    )


def _traces(made: Iterable[Trace], case: Case, arm: str) -> list[Trace]:
    """Hold a strategy to its contract."""
    traces = list(made)
    if not traces or any(trace.scenario_id != case.scenario.id or trace.arm != arm for trace in traces):
        raise PluginError(
            f"the strategy of arm {arm!r} broke its contract on {case.scenario.id}",
            why="it has to return at least one trace, each with the case's scenario_id and the cast's arm",
            fix="where a trace should not be used, return it with the reason in `drop`",
        )
    return traces


def _unreviewed(seen: Review, repetition: int, arm: str) -> Trace:
    """Stand in for what could not be made, because there was nothing to review."""
    return Trace(
        id=f"{seen.scenario_id}/{arm}/{repetition}",
        scenario_id=seen.scenario_id,
        arm=arm,
        run=repetition,
        as_of="",
        stop=StopReason.ENDPOINT,
        failure=f"no review: {seen.skipped}",
        drop=StopReason.ENDPOINT.drop,
        attempts=0,
    )


def clean(run: Run) -> None:
    """Take the oracle out of every trace, those of the unsteered arm too: `cleaned/ARM.jsonl`."""
    for name, source in _sources(run):
        _clean(run, name, source)


def _clean(run: Run, name: str, source: Path) -> None:
    settings = run.settings
    asks = settings.clean in ("C4", "C5")
    world = next(read(run.file("scenarios.jsonl"), Scenario), None)
    tidy = cleaner(
        settings.clean,
        suite=run.suite,
        agent=lambda: run.agent,
        tools=run.suite.env(world).tools if world else (),
        seed=settings.seed,
    )

    def apply(trace: Trace) -> Result:
        cleaned = tidy(trace)
        drop = cleaned.trace.drop
        failed = drop == "infrastructure" and not trace.drop
        return Result(
            (encode(cleaned),),
            failure="a model call of cleaning failed" if failed else "",
            notes=(drop or "kept",),
        )

    run.work(
        f"cleaned {name}",
        run.file("cleaned", f"{name}.jsonl"),
        inputs=[source],
        depends=[settings.clean, [run.model_identity(), settings.seed] if asks else None],
        items=lambda: read(source, Trace),
        total=lambda: _count(source),
        do=apply,
        models=lambda: [run.agent] if asks else [],
    )


def _sources(run: Run) -> list[tuple[str, Path]]:
    """Return every arm with the file of its traces, the unsteered one first."""
    named = [(arm.name, run.file("traces", f"{arm.name}.jsonl")) for arm in run.settings.arms()]
    return [("base", run.file("rollouts.jsonl")), *named]


# ---------------------------------------------------------------- data set


def export(run: Run) -> None:
    """Write the kept traces as training files: `datasets/ARM.FORMAT.jsonl`, and what was left out."""
    for name, _ in _sources(run):
        if name != "base":
            for form in FORMATS:
                _export(run, name, form)


def _export(run: Run, name: str, form: str) -> None:
    source, every = run.file("cleaned", f"{name}.jsonl"), run.settings.export == "all"
    output = run.file("datasets", f"{name}.{form}.jsonl")
    left_out: list[bytes] = []

    def lines() -> Iterator[bytes]:
        worlds = Index(run.file("scenarios.jsonl"), Scenario, key="id")
        done = ""
        for cleaned in read(source, Cleaned):
            trace = cleaned.trace
            if not cleaned.kept or (trace.scenario_id == done and not every):
                continue
            tools = tuple(run.suite.env(worlds.one(trace.scenario_id)).tools)
            try:
                line = FORMATS[form](Example(trace=trace, tools=tools))
            except ValueError as error:
                left_out.append(encode({"trace_id": trace.id, "why": str(error)}) + b"\n")
                continue
            done = trace.scenario_id
            yield line + b"\n"
        if left_out:
            write_atomic(output.with_suffix(".left_out.jsonl"), left_out)
            run.progress.say(
                f"data set {name}.{form}: {len(left_out)} left out, see {output.stem}.left_out.jsonl"
            )

    run.write(
        f"data set {name}.{form}",
        output,
        inputs=[source],
        depends=[form, run.settings.export],
        chunks=lines,
    )


# ---------------------------------------------------------------- measures -> report


def measure(run: Run) -> None:
    """Measure every arm: `measures.json`."""
    from opoi.measures import measure_all

    settings = run.settings
    cleaned = [run.file("cleaned", f"{name}.jsonl") for name, _ in _sources(run)]

    def chunks() -> Iterator[bytes]:
        results = measure_all(
            _arms(run),
            suite=run.suite,
            seed=settings.seed,
            resamples=settings.resamples,
            progress=run.progress.say,
        )
        yield msgspec.json.format(encode(results), indent=1) + b"\n"

    run.write(
        "measures",
        run.file("measures.json"),
        inputs=[run.file("scenarios.jsonl"), run.file("reviews.jsonl"), *cleaned],
        depends=[settings.seed, settings.resamples],
        chunks=chunks,
    )


def _arms(run: Run) -> list[Arm]:
    verdicts = Index(run.file("reviews.jsonl"), Review, key="scenario_id")
    base: Arm | None = None
    arms = []
    for name, _ in _sources(run):
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


def report(run: Run) -> None:
    """Write the tables and the page: `report.txt` and `report.html`."""
    from opoi.report.html import render as render_html

    source = run.file("measures.json")
    simulated = _simulated(run)

    def text() -> Iterator[bytes]:
        from rich.console import Console

        page = io.StringIO()
        show(run, Console(file=page, width=132, no_color=True), every_figure=True)
        yield page.getvalue().encode()

    def html() -> Iterator[bytes]:
        shown = {
            key: value for key, value in msgspec.to_builtins(run.settings).items() if key != "concurrency"
        }
        yield render_html(
            _results(run), settings=shown, samples=list(_samples(run)), simulated=simulated
        ).encode()

    inputs = [source, *(run.file("cleaned", f"{name}.jsonl") for name, _ in _sources(run))]
    run.write("report.txt", run.file("report.txt"), inputs=[source], depends=simulated, chunks=text)
    run.write("report.html", run.file("report.html"), inputs=inputs, depends=simulated, chunks=html)


def show(run: Run, console: Console, *, every_figure: bool = False) -> None:
    """Print the tables of a measured run: the main ones, or every figure."""
    from opoi.report.terminal import print_report

    print_report(_results(run), console, simulated=_simulated(run), every_figure=every_figure)


def _results(run: Run) -> Results:
    from opoi.measures import Results

    source = run.file("measures.json")
    try:
        return msgspec.json.decode(source.read_bytes(), type=Results)
    except FileNotFoundError as error:
        raise ArtefactError(f"{source} is missing", fix=f"opoi measure {run.path}") from error
    except msgspec.MsgspecError as error:
        raise ArtefactError(f"{source} cannot be read", why=str(error), fix="opoi measure --force") from error


def _simulated(run: Run) -> bool:
    """Whether the agent is an embedded model, so that the figures say nothing of a real one."""
    return run.settings.model.startswith("stand-in")


def _samples(run: Run) -> Iterator[Sample]:
    """Choose a few telling traces of each arm: edited ones, a dropped one, a plain one."""
    from opoi.report.html import Sample

    worlds = Index(run.file("scenarios.jsonl"), Scenario, key="id")
    verdicts = Index(run.file("reviews.jsonl"), Review, key="scenario_id")
    wanted = {"edited": 2, "dropped": 1, "plain": 1}
    for name, source in _sources(run):
        made = Index(source, Trace, key="id")
        shown: Counter[str] = Counter()
        for cleaned in read(run.file("cleaned", f"{name}.jsonl"), Cleaned):
            kind = "dropped" if not cleaned.kept else "edited" if cleaned.edits else "plain"
            if shown[kind] >= wanted[kind] or not cleaned.trace.messages:
                continue
            shown[kind] += 1
            seen = verdicts.one(cleaned.trace.scenario_id)
            yield Sample(
                arm=name,
                scenario=worlds.one(cleaned.trace.scenario_id),
                verdict=seen.verdict,
                before=made.one(cleaned.trace.id),
                after=cleaned,
            )
            if shown == Counter(wanted):
                break


# ---------------------------------------------------------------- small things


def _result(traces: Iterable[Trace]) -> Result:
    """Turn the traces of one item into its result."""
    traces = list(traces)
    failed = [trace.failure for trace in traces if trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE]
    return Result(
        tuple(encode(trace) for trace in traces),
        failure=failed[0] if failed else "",
        notes=tuple(trace.drop or trace.stop.outcome.value for trace in traces),
    )


def _lines(values: Iterable[object]) -> Iterator[bytes]:
    for value in values:
        yield encode(value) + b"\n"


def _count(path: Path) -> int:
    """Return the number of lines of a file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


STAGES = {
    "scenarios": scenarios,
    "rollout": rollouts,
    "review": review,
    "generate": generate,
    "clean": clean,
    "export": export,
    "measure": measure,
    "report": report,
}
"""Command name -> stage, in order."""
