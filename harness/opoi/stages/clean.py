"""From the traces to cleaned ones."""

from __future__ import annotations

from pathlib import Path

from opoi.cleaning.levels import cleaner
from opoi.executor import Result
from opoi.lab.known import Background
from opoi.leakage.finders import finders
from opoi.run import Run
from opoi.stages.common import count_lines, trace_files
from opoi.store import encode, read
from opoi.types import Scenario, Trace

__all__ = ["clean"]


def clean(run: Run) -> None:
    """Take the oracle out of every trace, those of the unsteered arm too: `cleaned/ARM.jsonl`."""
    for name, source in trace_files(run):
        _clean(run, name, source)


def _clean(run: Run, name: str, source: Path) -> None:
    settings = run.settings
    world = next(read(run.file("scenarios.jsonl"), Scenario), None)
    tidy = cleaner(
        settings.clean,
        suite=run.suite,
        finders=finders(Background(run.path, suite=settings.suite).known),
        agent=lambda: run.cast.agent,
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
        depends=[
            run.cast.suite_identity,
            tidy.identity,
            [run.cast.agent_identity, settings.seed] if tidy.asks else None,
        ],
        extent=None,
        items=lambda: read(source, Trace),
        total=lambda: count_lines(source),
        do=apply,
        models=lambda: [run.cast.agent] if tidy.asks else [],
    )
