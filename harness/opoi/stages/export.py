"""From the cleaned traces to training files."""

from __future__ import annotations

from collections.abc import Iterator

from opoi.datasets import FORMATS
from opoi.run import Run
from opoi.stages.common import trace_files
from opoi.store import Index, encode, read, write_atomic
from opoi.types import Cleaned, Example, Scenario

__all__ = ["export"]


def export(run: Run) -> None:
    """Write the kept traces as training files: `datasets/ARM.FORMAT.jsonl`, and what was left out."""
    for name, _ in trace_files(run):
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
                line = FORMATS[form](Example(trace=trace, tools=tools, with_note=cleaned.level == "C0"))
            except (ValueError, RecursionError) as error:
                left_out.append(encode({"trace_id": trace.id, "why": str(error)}) + b"\n")
                continue
            done = trace.scenario_id
            yield line + b"\n"
        beside = output.with_suffix(".left_out.jsonl")
        beside.unlink(missing_ok=True)
        if left_out:
            write_atomic(beside, left_out)
            run.progress.say(
                f"data set {name}.{form}: {len(left_out)} left out, see {output.stem}.left_out.jsonl"
            )

    run.write(
        f"data set {name}.{form}",
        output,
        inputs=[source],
        depends=[run.cast.suite_identity, form, run.settings.export],
        chunks=lines,
    )
