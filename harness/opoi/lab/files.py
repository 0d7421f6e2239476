"""Which files a source means, and where what comes of them goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from opoi.errors import UsageError
from opoi.formats import Bad, Sink, Source, open_sink
from opoi.lab.clean import Outcome, line_of

__all__ = ["Output", "files_of", "output", "refuse_over", "target_of"]

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


def refuse_over(path: Path | None, sources: Iterable[Path]) -> None:
    """Refuse to write over what is read, and over what is no regular file.

    Raises:
        UsageError: `path` is one of the sources, or a device, a folder or the like.
    """
    if path is None or not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path} is no regular file", fix="name another one")
    for source in sources:
        if source.exists() and path.samefile(source):
            raise UsageError(f"{path} would be written over, and it is read", fix="name another file")


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
            path = _aside(self._target, kind)
            self._aside[kind] = self._stack.enter_context(path.with_name(path.name + ".tmp").open("wb"))
        record = {"line": line, **why, "record": raw.decode("utf-8", "replace")}
        self._aside[kind].write(msgspec.json.encode(record) + b"\n")

    @property
    def beside(self) -> list[Path]:
        """The files beside the target that were written."""
        return [_aside(self._target, kind) for kind in self._aside]

    def close(self, *, whole: bool) -> None:
        """Close the files beside the target; they take their places only if all went well."""
        self._stack.close()
        for kind in ("dropped", "bad"):
            path = _aside(self._target, kind)
            made = path.with_name(path.name + ".tmp")
            if whole and kind in self._aside:
                made.replace(path)
            elif whole:
                path.unlink(missing_ok=True)
            made.unlink(missing_ok=True)


def _aside(target: Path, kind: str) -> Path:
    return target.with_name(f"{target.name.removesuffix('.jsonl')}.{kind}.jsonl")


@contextmanager
def output(target: Path, source: Source, *, force: bool) -> Iterator[Output]:
    """Open where the records of a source go; the target appears whole at the end, or not at all.

    Raises:
        UsageError: The target stands already, and is not to be overwritten.
    """
    beside = [_aside(target, kind) for kind in ("dropped", "bad")]
    for path in (target, *beside):
        if path.exists() and not force:
            raise UsageError(f"{path} stands already", fix="name another --out, or add --force")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no regular file", fix="name another --out")
    if any(path.exists() and path.samefile(source.path) for path in beside):
        raise UsageError(
            f"--out {target} would put dropped traces over {source.path}", fix="name another --out"
        )
    whole = False
    found = None
    try:
        with open_sink(target, source) as sink:
            found = Output(target, sink)
            yield found
        whole = True
    finally:
        if found is not None:
            found.close(whole=whole)
