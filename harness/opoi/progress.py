"""Showing how far a run is: a bar on a terminal, plain lines elsewhere, nothing on request."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol, TextIO

from opoi.errors import visible

if TYPE_CHECKING:  # slow to import: loaded where there is a terminal
    from rich.console import Console

__all__ = ["Lines", "Progress", "Quiet", "Watch", "watcher"]


class Watch(Protocol):
    """Something that shows one stage under way."""

    def advance(self, notes: tuple[str, ...] = ()) -> None:
        """One more item is finished; `notes` are counted and shown, e.g. drop reasons."""
        ...

    def close(self) -> None:
        """The stage has ended, finished or not."""
        ...


class Progress(Protocol):
    """Something that shows a run. What is shown cannot steer a terminal, whoever wrote it."""

    def start(self, stage: str, total: int) -> Watch:
        """A stage with `total` items begins; 0 where nobody knows how many."""
        ...

    def say(self, line: str) -> None:
        """Show a line that stays."""
        ...


def _summary(notes: Counter[str]) -> str:
    return ", ".join(f"{count} {_on_one_line(note)}" for note, count in sorted(notes.items()))


def _on_one_line(text: str) -> str:
    return visible(" ".join(text.split()))


class Quiet:
    """Shows nothing."""

    def start(self, stage: str, total: int) -> Watch:  # noqa: ARG002 - the contract
        """Show nothing."""
        return self

    def say(self, line: str) -> None:
        """Show nothing."""

    def advance(self, notes: tuple[str, ...] = ()) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class Lines:
    """Plain lines: one when a stage starts, one every few seconds, one when it ends.

    Args:
        out: Where to write.
        every: Seconds between lines of one stage.
    """

    def __init__(self, out: TextIO, every: float = 10.0) -> None:
        self._out = out
        self._every = every

    def say(self, line: str) -> None:
        """Write the line."""
        print(visible(line), file=self._out, flush=True)

    def start(self, stage: str, total: int) -> Watch:
        """Write the first line of a stage."""
        return _LineWatch(self, stage, total, self._every)


class _LineWatch:
    def __init__(self, lines: Lines, stage: str, total: int, every: float) -> None:
        self._lines, self._stage, self._total, self._every = lines, _on_one_line(stage), total, every
        self._done = 0
        self._notes: Counter[str] = Counter()
        self._begun = self._last = time.monotonic()

    def advance(self, notes: tuple[str, ...] = ()) -> None:
        self._done += 1
        self._notes.update(notes)
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._lines.say(f"{self._stage}: {self._counted()}{self._noted()}")

    def close(self) -> None:
        seconds = time.monotonic() - self._begun
        self._lines.say(f"{self._stage}: {self._counted()} in {seconds:.1f} s{self._noted()}")

    def _counted(self) -> str:
        return f"{self._done}/{self._total}" if self._total else str(self._done)

    def _noted(self) -> str:
        return f" ({_summary(self._notes)})" if self._notes else ""


class Bars:
    """Progress bars of rich, one per stage."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    def say(self, line: str) -> None:
        """Write the line above the bar."""
        self._console.print(visible(line), markup=False, highlight=False)

    def start(self, stage: str, total: int) -> Watch:
        """Open a bar."""
        return _BarWatch(self._console, stage, total)


class _BarWatch:
    def __init__(self, console: Console, stage: str, total: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[notes]}", markup=False),
            console=console,
        )
        self._notes: Counter[str] = Counter()
        self._task = self._bar.add_task(_on_one_line(stage), total=total or None, notes="")
        self._bar.start()

    def advance(self, notes: tuple[str, ...] = ()) -> None:
        self._notes.update(notes)
        self._bar.update(self._task, advance=1, notes=_summary(self._notes))

    def close(self) -> None:
        self._bar.stop()


def watcher(*, quiet: bool = False) -> Progress:
    """Return bars where standard error is a terminal, plain lines elsewhere, nothing if `quiet`."""
    if quiet or sys.stderr is None:
        return Quiet()
    return Bars() if sys.stderr.isatty() else Lines(sys.stderr)
