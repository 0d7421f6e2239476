"""Two sets of rules on the same traces: what differs, trace by trace, and the scores of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opoi.cleaning.library import Library
from opoi.cleaning.pieces import changes
from opoi.formats import Bad, open_traces
from opoi.lab.clean import Bench, Outcome, Tally, contents
from opoi.lab.files import files_of
from opoi.lab.known import Background
from opoi.lab.session import SHOWN, CleanOptions
from opoi.lab.tables import scores_table
from opoi.leakage.detectors import find_all
from opoi.progress import watcher
from opoi.report.terminal import print_table
from opoi.report.word_diff import explained

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Side", "compare"]


class Side:
    """One of the two sets of rules: its bench, its tally, and how many of its kept traces still leak."""

    def __init__(self, library: Library, background: Background) -> None:
        self.name = library.name
        self.bench = Bench(library, background)
        self.tally = Tally(library)
        self.leaking = 0
        self._background = background

    def take(self, outcome: Outcome) -> None:
        """Count one record."""
        self.tally.add(outcome)
        trace = outcome.cleaned.trace
        if not (trace.stop.drop or trace.drop):
            found = find_all(trace, self._background.known(trace))
            self.leaking += any(finding.grade == "leak" for finding in found)


def compare(
    options: CleanOptions, first: Library, second: Library, background: Background, console: Console
) -> None:
    """Clean every trace with both; print what differs, and what each scores.

    Raises:
        OpoiError: A file is no file of traces.
    """
    sides = Side(first, background), Side(second, background)
    most = SHOWN if options.limit is None else options.limit
    differing = bad = 0
    for file in files_of(options.source):
        watch = watcher(quiet=options.quiet).start(f"compare {file.name}", 0)
        try:
            for item in open_traces(file, format=options.format):
                if isinstance(item, Bad):
                    bad += 1
                    continue
                outcomes = [side.bench.clean(item) for side in sides]
                for side, outcome in zip(sides, outcomes, strict=True):
                    side.take(outcome)
                watch.advance()
                if not _same(*outcomes):
                    differing += 1
                    if not most or differing <= most:
                        _show(f"{file.name}:{item.line}", sides, outcomes, console)
        finally:
            watch.close()
    for side in sides:
        side.tally.bad = bad
    if most and differing > most:
        console.print(f"... {differing - most} more traces differ: --limit 0 shows all of them")
    console.print(f"{differing} of {sides[0].tally.records} traces differ")
    print_table(scores_table([(side.name, side.tally, side.leaking) for side in sides]), console)


def _same(one: Outcome, other: Outcome) -> bool:
    """Return whether both rule sets make the same of a trace."""
    if one.cleaned.trace.drop or other.cleaned.trace.drop:
        return one.cleaned.trace.drop == other.cleaned.trace.drop
    return contents(one) == contents(other)


def _show(label: str, sides: tuple[Side, Side], outcomes: list[Outcome], console: Console) -> None:
    for sign, side, outcome in zip("AB", sides, outcomes, strict=True):
        done = changes(outcome.record.trace, outcome.cleaned.edits, side.bench.prose)
        heading = f"{sign} {side.name}  {label}"
        lines = explained(heading, outcome.cleaned, done, colour=console.is_terminal)
        if not outcome.changed:
            lines[0].append("  unchanged")
        for line in lines:
            console.print(line, soft_wrap=True)
