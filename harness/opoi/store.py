"""The artefacts of a run on disk: append-only while they grow, sealed in order when they are done.

A stage that is under way appends to `NAME.jsonl.part`, one write per finished item, in the order in which
items finish. When all are there, they are copied in the order of the items to `NAME.jsonl` by temporary
file and rename, and a receipt says from what it was made. So a kill at any moment loses at most the item
under way, and the sealed bytes do not depend on the order of completion.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, NamedTuple, Self, TypeVar

import msgspec
from msgspec import Struct

from opoi.errors import ArtefactError

__all__ = [
    "Index",
    "Log",
    "Receipt",
    "digest",
    "encode",
    "fingerprint",
    "item_key",
    "load_receipt",
    "read",
    "save_receipt",
    "write_atomic",
]

T = TypeVar("T")

_SYNC_EVERY = 256

encode = msgspec.json.Encoder(order="deterministic").encode
"""Canonical JSON bytes: mappings sorted, struct fields in order."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def item_key(*values: object) -> bytes:
    """Return the key of a stage's item: a digest of everything that its result depends on."""
    return hashlib.blake2b(encode(values), digest_size=16).hexdigest().encode()


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON as hex."""
    return hashlib.sha256(encode(value)).hexdigest()


def write_atomic(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file so that a reader sees the old one or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Receipt(Struct, frozen=True, forbid_unknown_fields=True):
    """What a sealed artefact was made from.

    Attributes:
        made_from: Fingerprint of the stage's inputs and settings.
        sha256: Digest of the sealed file.
        items: Number of items worked on.
        records: Number of lines.
        failures: Items that ended in an infrastructure failure and can be tried again.
    """

    made_from: str
    sha256: str
    items: int
    records: int
    failures: int = 0


# ---------------------------------------------------------------- reading


def read(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield the values of a JSONL file.

    Raises:
        ArtefactError: The file is missing or a line is not what it should be; the message names it.
    """
    decode = msgspec.json.Decoder(kind).decode
    for number, line in enumerate(_lines(path), start=1):
        yield _decode(decode, line, path, number)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError as error:
        raise ArtefactError(
            f"{path} is missing", why="the stage that writes it has not run", fix="opoi run --resume"
        ) from error
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read", why=str(error)) from error


def _decode(decode: Callable[[bytes], T], line: bytes, path: Path, number: int) -> T:
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{path}, line {number} cannot be read", why=str(error), fix="mend the line or rerun the stage"
        ) from error


def _key_type(key: str) -> type:
    """Return a type that reads nothing of a record but its key."""
    kind: type = str
    for name in reversed(key.split(".")):
        kind = msgspec.defstruct("Key", [("key", kind, msgspec.field(name=name))])
    return kind


class Index(Generic[T]):
    """Random access to the records of a JSONL file by a key; holds offsets, not records.

    Args:
        path: The file.
        kind: Type of a record.
        key: Field that holds the key, with dots for a field of a field. Several records may share one.
    """

    def __init__(self, path: Path, kind: type[T], *, key: str) -> None:
        self._path = path
        self._decode = msgspec.json.Decoder(kind).decode
        self._places: dict[str, list[tuple[int, int, int]]] = {}
        only_key: Callable[[bytes], Any] = msgspec.json.Decoder(_key_type(key)).decode
        offset = 0
        for number, line in enumerate(_lines(path), start=1):
            found = _decode(only_key, line, path, number)
            for _ in key.split("."):
                found = found.key
            self._places.setdefault(found, []).append((offset, len(line), number))
            offset += len(line)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> list[T]:
        """Return the records with this key, in file order; empty where there are none."""
        places = self._places.get(key)
        if not places:
            return []
        with self._path.open("rb") as file:
            return [self._at(file.fileno(), *place) for place in places]

    def one(self, key: str) -> T:
        """Return the record with this key.

        Raises:
            ArtefactError: There is none, or there are several.
        """
        records = self.get(key)
        if len(records) != 1:
            raise ArtefactError(
                f"{self._path} has {len(records)} records of {key!r}, not one",
                fix="undo the edit or rerun the stage that writes it",
            )
        return records[0]

    def _at(self, descriptor: int, offset: int, length: int, number: int) -> T:
        return _decode(self._decode, os.pread(descriptor, length, offset), self._path, number)


# ---------------------------------------------------------------- writing


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
        reuse: Whether results of the sealed artefact may be used.

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
        keys = _keys_path(self.path)
        if receipt is None or not keys.exists() or digest(self.path) != receipt.sha256:
            return
        offset = 0
        with keys.open("rb") as names, self.path.open("rb") as file:
            for line in names:
                key, state, count = line.split()
                length = sum(len(file.readline()) for _ in range(int(count)))
                if state == b".":
                    self._results[key] = _Place(False, offset, length)
                else:
                    self.failed_before.add(key)
                offset += length

    def _take_up_part(self) -> int:
        """Take up the part of a stage that was cut short; cut its torn tail; return its length."""
        if not self.part.exists():
            return 0
        good = 0
        with self.part.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                key, state, _ = line.split(b"\t", 2)
                if state == b".":
                    self._results[key] = self._place(key, good, line)
                else:
                    self.failed_before.add(key)
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

    def seal(self, order: Sequence[bytes], made_from: str) -> Receipt:
        """Write the artefact and its receipt, the items in the given order; the part is deleted.

        Args:
            order: Keys of all items.
            made_from: Fingerprint of the stage's inputs and settings.

        Raises:
            ArtefactError: An item is missing.
        """
        os.fdatasync(self._descriptor)
        hasher = hashlib.sha256()
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
                    hasher.update(body)
                    yield body

        write_atomic(self.path, bodies())
        write_atomic(_keys_path(self.path), keys)
        receipt = Receipt(made_from, hasher.hexdigest(), len(order), records, failures)
        save_receipt(self.path, receipt)
        self.close()
        self.part.unlink()
        return receipt

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


# ---------------------------------------------------------------- receipts


def load_receipt(path: Path) -> Receipt | None:
    """Return the receipt of an artefact, None where there is none."""
    place = _receipt_path(path)
    if not place.exists() or not path.exists():
        return None
    try:
        return msgspec.json.decode(place.read_bytes(), type=Receipt)
    except msgspec.MsgspecError as error:
        raise ArtefactError(
            f"{place} cannot be read", why=str(error), fix="delete it: the stage runs again"
        ) from error


def save_receipt(path: Path, receipt: Receipt) -> None:
    """Write the receipt of an artefact."""
    write_atomic(_receipt_path(path), [msgspec.json.format(encode(receipt), indent=2) + b"\n"])


def _receipt_path(path: Path) -> Path:
    return path.parent / ".receipts" / (path.name + ".json")


def _keys_path(path: Path) -> Path:
    return path.parent / ".receipts" / (path.name + ".keys")
