"""The live log of a stage: append-only while it grows, sealed in order when it is done.

A stage that is under way appends to `NAME.jsonl.part`, one write per finished item, in the order in which
items finish. When all are there, they are copied in the order of the items to `NAME.jsonl`. So a kill at any
moment loses at most the item under way, and the sealed bytes do not depend on the order of completion.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from opoi.errors import ArtefactError
from opoi.store.files import digest, write_atomic
from opoi.store.receipts import Receipt, load_receipt, publish, receipt_path

__all__ = ["Log"]

_SYNC_EVERY = 256


class _Place(NamedTuple):
    """Where the records of one item lie: in the part (or in the sealed artefact), from, how many bytes."""

    in_part: bool
    offset: int
    length: int


class Log:
    """The live log of one stage, and its sealing.

    Items go by a key that depends on everything their result depends on. A result is looked up by it in
    the part of a stage that was cut short and in the artefact that was sealed before: what was worked out
    once for an item is not worked out again, whatever else has changed.

    Lines of the part file are `key TAB state TAB record [TAB record ...]`; state is `.` for a result and
    `!` for an infrastructure failure, which counts as done only until the log is opened again.

    Args:
        path: The artefact to be; the part lies beside it.
        reuse: Whether earlier results may be used; else they are thrown away.

    Attributes:
        failed_before: Keys of items that ended in an infrastructure failure when last tried.
    """

    def __init__(self, path: Path, *, reuse: bool = True) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.failed_before: set[bytes] = set()
        self._results: dict[bytes, _Place] = {}
        self._failures: dict[bytes, _Place] = {}
        self._unsynced = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        if reuse:
            self._take_up_sealed()
        else:
            self.part.unlink(missing_ok=True)
        self._end = self._take_up_part()
        self._descriptor = os.open(self.part, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, key: bytes) -> bool:
        return key in self._results

    def __len__(self) -> int:
        return len(self._results)

    def _take_up_sealed(self) -> None:
        """Take up the results of the sealed artefact, if it is still as it was sealed."""
        receipt = load_receipt(self.path)
        if receipt is None or digest(self.path) != receipt.sha256:
            return
        keys = self._keys_of(receipt.sha256)
        if not keys.exists():
            return
        offset = 0
        with keys.open("rb") as names, self.path.open("rb") as file:
            for line in names:
                match line.split():
                    case [key, state, count] if count.isdigit():
                        length = sum(len(file.readline()) for _ in range(int(count)))
                    case _:  # damaged: what follows is worked out again
                        return
                if state == b".":
                    self._results[key] = _Place(False, offset, length)
                else:
                    self.failed_before.add(key)
                offset += length

    def _take_up_part(self) -> int:
        """Take up the part of a stage that was cut short, up to a torn or damaged line; return its length."""
        if not self.part.exists():
            return 0
        good = 0
        with self.part.open("rb+") as file:
            for line in file:
                fields = line.split(b"\t", 2)
                if not line.endswith(b"\n") or len(fields) != 3 or fields[1] not in (b".", b"!"):
                    break
                if fields[1] == b".":
                    self._results[fields[0]] = self._place(fields[0], good, line)
                else:
                    self.failed_before.add(fields[0])
                good += len(line)
            file.truncate(good)
        return good

    @staticmethod
    def _place(key: bytes, offset: int, line: bytes) -> _Place:
        head = len(key) + 3
        return _Place(True, offset + head, len(line) - head)

    def append(self, key: bytes, records: Iterable[bytes], *, failed: bool = False) -> None:
        """Write the records of one finished item, in one write.

        Args:
            key: The item's key.
            records: JSON texts (JSON escapes line breaks and tabs); at least one.
            failed: The item ended in an infrastructure failure and may be tried again.
        """
        line = b"%b\t%b\t%b\n" % (key, b"!" if failed else b".", b"\t".join(records))
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]
        (self._failures if failed else self._results)[key] = self._place(key, self._end, line)
        self._end += len(line)
        self._unsynced += 1
        if self._unsynced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._unsynced = 0

    def seal(self, order: Sequence[bytes], made_from: str, inputs: Mapping[str, str]) -> Receipt:
        """Write the artefact and its receipt, the items in the given order; the part is deleted.

        Args:
            order: Keys of all items.
            made_from: Fingerprint of the stage's inputs and settings.
            inputs: SHA-256 of each input by name.

        Raises:
            ArtefactError: An item is missing.
        """
        os.fdatasync(self._descriptor)
        keys: list[bytes] = []
        failures = records = 0

        def bodies() -> Iterator[bytes]:
            nonlocal failures, records
            with self.part.open("rb") as part, _open_or_none(self.path) as sealed:
                for key in order:
                    place = self._results.get(key) or self._failures.get(key)
                    if place is None:
                        raise ArtefactError(f"{self.part} lacks an item", why="the stage has not finished")
                    source = part if place.in_part or sealed is None else sealed
                    body = os.pread(source.fileno(), place.length, place.offset).replace(b"\t", b"\n")
                    count = body.count(b"\n")
                    failed = key not in self._results
                    keys.append(b"%b %b %d\n" % (key, b"!" if failed else b".", count))
                    failures += failed
                    records += count
                    yield body

        def receipt(sha256: str) -> Receipt:
            write_atomic(self._keys_of(sha256), keys)
            return Receipt(made_from, dict(inputs), sha256, len(order), records, failures)

        made = publish(self.path, bodies(), receipt)
        self.close()
        self.part.unlink()
        for old in receipt_path(self.path).parent.glob(f"{self.path.name}.*.keys*"):
            if old != self._keys_of(made.sha256):
                old.unlink()
        return made

    def _keys_of(self, sha256: str) -> Path:
        """Return the file that names the items of the artefact with this digest."""
        return receipt_path(self.path, f".{sha256[:16]}.keys")

    def close(self) -> None:
        """Close the part; what was appended stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def _open_or_none(path: Path) -> Iterator[BinaryIO | None]:
    if not path.exists():
        yield None
        return
    with path.open("rb") as file:
        yield file
