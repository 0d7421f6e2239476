"""Reading and writing files of JSON lines: strictly, by line, by key, and never half."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from opoi.errors import ArtefactError

__all__ = ["Index", "digest", "encode", "fingerprint", "item_key", "read", "write_aside", "write_atomic"]

T = TypeVar("T")

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


def write_aside(path: Path, chunks: Iterable[bytes]) -> tuple[Path, str]:
    """Write a file beside `path`, durably; return where it lies and the SHA-256 of its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    hasher = hashlib.sha256()
    with temporary.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            hasher.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return temporary, hasher.hexdigest()


def write_atomic(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file so that a reader sees the old one or the whole new one, never a part."""
    write_aside(path, chunks)[0].replace(path)


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
