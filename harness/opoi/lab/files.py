"""Which files a source means, and where what comes of them goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from opoi.errors import UsageError
from opoi.formats import Bad, Sink, Source, open_sink
from opoi.lab.clean import Outcome, line_of

__all__ = ["Output", "files_of", "output", "target_of"]

ENDINGS = (".jsonl", ".json", ".eval")
ASIDE = (".dropped.jsonl", ".bad.jsonl")


def files_of(source: Path) -> list[Path]:
    """Return the files of traces that a path means: itself, the traces of a run, or those in a folder.

    Raises:
        UsageError: There are none.
    """
    if not source.is_dir():
        return [source]
    traces = source / "traces"
    folder = traces if (source / "manifest.json").is_file() and traces.is_dir() else source
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in ENDINGS and path.is_file() and not path.name.endswith(ASIDE)
    )
    if not found:
        raise UsageError(
            f"there are no traces in {folder}",
            why=f"no file in it ends in {', '.join(ENDINGS)}",
            fix="name a file, or a folder with files of traces",
        )
    return found


def target_of(out: Path, file: Path, *, many: bool) -> Path:
    """Return where the cleaned traces of a file go: `out` itself, or a file of the same name in it."""
    return out / file.name if many or out.is_dir() else out


class Output:
    """Where the records of one file go: cleaned ones, and beside them dropped and unreadable ones.

    `NAME.dropped.jsonl` and `NAME.bad.jsonl` are written only where there is something to put in.
    """

    def __init__(self, target: Path, sink: Sink) -> None:
        self._target, self._sink = target, sink
        self._aside: dict[str, BinaryIO] = {}
        self._stack = ExitStack()

    def take(self, outcome: Outcome) -> None:
        """Write one record where it belongs."""
        cleaned = outcome.cleaned
        drop = cleaned.trace.stop.drop or cleaned.trace.drop
        if not drop:
            self._sink.write(outcome.record, line_of(outcome))
            return
        why = {"reason": drop, "rule": cleaned.dropped_by, "text": cleaned.dropped_for}
        self._put("dropped", outcome.record.line, why, outcome.record.raw)

    def take_bad(self, bad: Bad) -> None:
        """Keep what could not be read, with the reason."""
        self._put("bad", bad.line, {"reason": bad.why}, bad.raw)

    def _put(self, kind: str, line: int, why: dict[str, str], raw: bytes) -> None:
        if kind not in self._aside:
            path = self._target.with_name(f"{self._target.stem}.{kind}.jsonl")
            self._aside[kind] = self._stack.enter_context(path.open("wb"))
        record = {"line": line, **why, "record": raw.decode("utf-8", "replace")}
        self._aside[kind].write(msgspec.json.encode(record) + b"\n")

    @property
    def beside(self) -> list[Path]:
        """The files beside the target that were written."""
        return [Path(file.name) for file in self._aside.values()]

    def close(self) -> None:
        """Close the files beside the target."""
        self._stack.close()


@contextmanager
def output(target: Path, source: Source, *, force: bool) -> Iterator[Output]:
    """Open where the records of a source go; the target appears whole at the end, or not at all.

    Raises:
        UsageError: The target stands already, and is not to be overwritten.
    """
    if target.exists() and not force:
        raise UsageError(f"{target} stands already", fix="name another --out, or add --force")
    for kind in ("dropped", "bad"):
        target.with_name(f"{target.stem}.{kind}.jsonl").unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_sink(target, source) as sink:
        found = Output(target, sink)
        try:
            yield found
        finally:
            found.close()
