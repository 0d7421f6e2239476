"""The traces of files, with their decisions read, for what looks at all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opoi.formats import Bad, open_traces
from opoi.lab.decisions import with_decision
from opoi.lab.files import files_of
from opoi.lab.known import Background
from opoi.progress import Progress
from opoi.types import Trace

__all__ = ["base_file", "traces_of"]


def base_file(background: Background) -> Path | None:
    """Return the file of a run's unsteered rollouts, None where there is none."""
    path = background.run / "rollouts.jsonl" if background.run else None
    return path if path is not None and path.is_file() else None


def traces_of(
    source: Path, background: Background, progress: Progress, *, form: str = "", dropped: bool = False
) -> Iterator[Trace]:
    """Yield the traces of a file or folder; what cannot be read is left out.

    Args:
        source: File or folder.
        background: Reads the decisions of foreign traces.
        progress: Where to show how far it is.
        form: Name of the format, `""` to tell by content.
        dropped: Those that a strategy dropped are wanted, too.
    """
    for file in files_of(source):
        watch = progress.start(f"read {file.name}", 0)
        try:
            for item in open_traces(file, format=form):
                watch.advance()
                if isinstance(item, Bad):
                    continue
                if dropped or not (item.trace.stop.drop or item.trace.drop):
                    yield with_decision(item.trace, background.reader)
        finally:
            watch.close()
