"""The artefacts of a run on disk: append-only while they grow, sealed in order when they are done.

A stage that is under way appends to `NAME.jsonl.part`, one write per finished item, in the order in which
items finish. When all are there, the part is copied in the order of the items to `NAME.jsonl` by temporary
file and rename, and a receipt says from what it was made. So a kill at any moment loses at most the item
under way, and the sealed bytes do not depend on the order of completion.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec
from msgspec import Struct

from opoi.errors import ArtefactError

__all__ = ["Index", "Log", "Receipt", "digest", "fingerprint", "read", "write_atomic"]

T = TypeVar("T")

_SYNC_EVERY = 256
_CHUNK = 1 << 20

encode = msgspec.json.Encoder(order="deterministic").encode
"""Canonical JSON bytes: mappings sorted, struct fields in order."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


class Index(Generic[T]):
    """Random access to the records of a JSONL file by a key; holds offsets, not records.

    Args:
        path: The file.
        kind: Type of a record.
        key: Field that holds the key. Several records may share one.
    """

    def __init__(self, path: Path, kind: type[T], *, key: str) -> None:
        self._path = path
        self._decode = msgspec.json.Decoder(kind).decode
        self._places: dict[str, list[tuple[int, int, int]]] = {}
        only_key = msgspec.json.Decoder(
            msgspec.defstruct("Key", [("key", str, msgspec.field(name=key))])
        ).decode
        offset = 0
        for number, line in enumerate(_lines(path), start=1):
            found: Any = _decode(only_key, line, path, number)
            self._places.setdefault(found.key, []).append((offset, len(line), number))
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


class Log:
    """The live log of one stage, and its sealing.

    Lines of the part file are `item TAB state TAB record [TAB record ...]`; state is `.` for a result
    and `!` for a failure that can be tried again. The first line names what the part is made from.

    Args:
        path: The artefact to be; the part lies beside it.
        made_from: Fingerprint of inputs and settings. A part with another one is thrown away.
    """

    def __init__(self, path: Path, made_from: str) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.made_from = made_from
        self.done: set[int] = set()
        self.failed: set[int] = set()
        self._unsynced = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._recover()
        self._descriptor = os.open(self.part, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if not self.part.stat().st_size:
            self._write(self._header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _header(self) -> bytes:
        return f"made_from\t{self.made_from}\n".encode()

    def _recover(self) -> None:
        """Take up an earlier part: cut a torn tail, note what is done."""
        if not self.part.exists():
            return
        with self.part.open("rb+") as file:
            if file.readline() != self._header:
                file.truncate(0)
                return
            good = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    break
                good += len(line)
                item, state, _ = line.split(b"\t", 2)
                (self.failed if state == b"!" else self.done).add(int(item))
            file.truncate(good)
        self.failed -= self.done

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def append(self, item: int, records: Iterable[bytes], *, failed: bool = False) -> None:
        """Write the records of one finished item.

        Args:
            item: Position of the item in the stage's input.
            records: JSON texts without line breaks or tabs (JSON escapes both); at least one.
            failed: The item ended in an infrastructure failure and may be tried again.
        """
        self._write(b"%d\t%b\t%b\n" % (item, b"!" if failed else b".", b"\t".join(records)))
        (self.failed if failed else self.done).add(item)
        if not failed:
            self.failed.discard(item)
        self._unsynced += 1
        if self._unsynced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._unsynced = 0

    def close(self) -> None:
        """Close the part; what was appended stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def seal(self, items: int) -> Receipt:
        """Write the artefact in the order of the items and return its receipt.

        The part is kept while there are failures in it, so that they alone can be tried again.

        Raises:
            ArtefactError: An item is missing.
        """
        places = self._places()
        missing = [item for item in range(items) if item not in places]
        if missing:
            raise ArtefactError(f"{self.part} lacks item {missing[0]}", why="the stage has not finished")
        os.fdatasync(self._descriptor)
        hasher, records = hashlib.sha256(), 0

        def lines() -> Iterator[bytes]:
            nonlocal records
            with self.part.open("rb") as file:
                for item in range(items):
                    offset, length = places[item]
                    line = os.pread(file.fileno(), length, offset)
                    body = line.split(b"\t", 2)[2].replace(b"\t", b"\n")
                    records += body.count(b"\n")
                    hasher.update(body)
                    yield body

        write_atomic(self.path, lines())
        self.close()
        if not self.failed:
            self.part.unlink()
        return Receipt(self.made_from, hasher.hexdigest(), items, records, len(self.failed))

    def _places(self) -> dict[int, tuple[int, int]]:
        """Return offset and length of the line that counts for each item: a result, else the last."""
        places: dict[int, tuple[int, int]] = {}
        with self.part.open("rb") as file:
            offset = len(file.readline())
            for line in file:
                item, state, _ = line.split(b"\t", 2)
                if state == b"." or int(item) not in self.done:
                    places[int(item)] = (offset, len(line))
                offset += len(line)
        return places


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


def settings_view(value: object) -> Mapping[str, object]:
    """Return a struct's plain form for a fingerprint or a manifest."""
    plain: Mapping[str, object] = msgspec.to_builtins(value)
    return plain
