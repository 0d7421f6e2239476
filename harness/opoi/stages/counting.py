"""The figures of single scenarios, counted by several processes at once: the slow part of measuring.

Each process is started anew and reads its part of the scenarios from the run folder, so that nothing has to
be carried over but its path. What comes back is bytes; sums are exact, so that the number of processes shows
nowhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from opoi.errors import PluginError
from opoi.run import Run
from opoi.stages.arms import arms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opoi.measures.ratio import Packed

__all__ = ["counting", "main", "processes"]

LEAST_SCENARIOS = 150
"""Scenarios for which another process pays: it takes about a second to start."""

_CODE = "from opoi.stages.counting import main; main()"


def processes(scenarios: int) -> int:
    """Return how many processes to count with: one for each core that this one may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, scenarios // LEAST_SCENARIOS))


@contextmanager
def counting(run: Run, parts: int) -> Iterator[Callable[[], Mapping[str, Sequence[Packed]]]]:
    """Start processes that count, and give a function that waits for what they counted, by arm.

    Args:
        run: With its cleaned traces.
        parts: How many processes.
    """
    words = [sys.executable, "-c", _CODE, str(run.path), str(parts)]
    started = [
        subprocess.Popen([*words, str(part)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - our own interpreter and code
        for part in range(parts)
    ]
    try:
        yield lambda: _gathered(started)
    finally:
        for each in started:
            each.kill()
            each.communicate()


def _gathered(started: Sequence[subprocess.Popen[bytes]]) -> dict[str, list[Packed]]:
    from opoi.measures.ratio import Packed

    found: dict[str, list[Packed]] = {}
    for each in started:
        told, said = each.communicate()
        if each.returncode:
            raise PluginError(
                "a process that counts figures failed",
                why=said.decode("utf-8", "replace").strip().rpartition("\n")[2],
                fix="count in one process to see where: OPOI_PROCESSES=1 opoi measure DIR --debug",
            )
        for arm, part in msgspec.msgpack.decode(told, type=dict[str, Packed]).items():
            found.setdefault(arm, []).append(part)
    return found


def main(out: IO[bytes] | None = None) -> None:
    """Count one part of a run, named by the arguments of the process: folder, number of parts, part."""
    from opoi.measures.run import count_part

    folder, parts, part = sys.argv[1:]
    run = Run.open(Path(folder))
    arms = arms_of(run, part=int(part), parts=int(parts))
    found = count_part(arms, suite=run.suite, seed=run.settings.seed)
    (out or sys.stdout.buffer).write(msgspec.msgpack.encode(found))
