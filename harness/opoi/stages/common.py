"""What several stages share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from opoi.executor import Result
from opoi.run import Run
from opoi.store import encode
from opoi.types import Outcome, Trace

__all__ = ["count_lines", "lines_of", "result_of", "trace_files"]


def trace_files(run: Run) -> list[tuple[str, Path]]:
    """Return every arm with the file of its traces, the unsteered one first."""
    named = [(arm.name, run.file("traces", f"{arm.name}.jsonl")) for arm in run.settings.arms()]
    return [("base", run.file("rollouts.jsonl")), *named]


def result_of(traces: Iterable[Trace]) -> Result:
    """Turn the traces of one item into its result."""
    traces = list(traces)
    failed = [trace.failure for trace in traces if trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE]
    return Result(
        tuple(encode(trace) for trace in traces),
        failure=failed[0] if failed else "",
        notes=tuple(trace.drop or trace.stop.outcome.value for trace in traces),
        asked=any(trace.attempts or trace.failure for trace in traces),
    )


def lines_of(values: Iterable[object]) -> Iterator[bytes]:
    """Yield one JSON line for each value."""
    for value in values:
        yield encode(value) + b"\n"


def count_lines(path: Path) -> int:
    """Return the number of lines of a file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
