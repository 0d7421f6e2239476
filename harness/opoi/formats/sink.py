"""Writing cleaned records into a file of the same make, whole or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from opoi.errors import ArtefactError
from opoi.formats.containers import SPACE, ZIP_ERRORS, Meter, is_sample, opened_zip, pieces
from opoi.formats.records import Record
from opoi.formats.source import Source

__all__ = ["Sink", "open_sink"]

_BIG: Final = 1 << 31
_CHUNK: Final = 1 << 20


@contextmanager
def open_sink(path: Path, source: Source) -> Iterator[Sink]:
    """Open a file for cleaned records, which are written in the order of the source.

    It is made like the source: lines, one record on several lines, a JSON array, an Inspect log with
    everything beside the samples copied. Records of the source that are not written are left out. Lines end
    in a line feed, without a byte order mark. The records go to a file beside it, which takes its place when
    all went well; on any exception, an interrupt included, what was there before stays. So the file may be
    the source itself.

    Args:
        path: The file; its folder is made where it does not exist.
        source: Where the records come from.

    Raises:
        ArtefactError: The file cannot be written, or the source cannot be copied.
    """
    aside = path.with_name(path.name + ".tmp")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = aside.open("wb", buffering=_CHUNK)
    try:
        with file:
            with ExitStack() as stack:
                body = _body(file, source, stack)
                yield Sink(path, body)
                with _told(path):
                    body.finish()
            with _told(path):
                file.flush()
                os.fsync(file.fileno())
        with _told(path):
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


class Sink:
    """A file under construction, see `open_sink`."""

    def __init__(self, path: Path, body: _Body) -> None:
        self._path = path
        self._body = body
        self._last = 0

    def write(self, record: Record, data: bytes) -> None:
        """Add a record.

        Args:
            record: As it was read from the source.
            data: What stands there now, e.g. of `write_back`; `record.raw` to leave it as it is.

        Raises:
            ArtefactError: It cannot be written.
            ValueError: A record that comes later in the source has been written already.
        """
        if record.line <= self._last:
            raise ValueError(f"record {record.line} comes after record {self._last}")
        with _told(self._path):
            self._body.put(record.line, data)
        self._last = record.line


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn troubles with the disk into errors for people."""
    try:
        yield
    except OSError as error:
        raise ArtefactError(f"{path} cannot be written", why=error.strerror or str(error)) from error


class _Body(Protocol):
    """How records are put into one make of file."""

    def put(self, line: int, data: bytes) -> None:
        """Write a record and what stands before it."""
        ...

    def finish(self) -> None:
        """Write what stands after the last record."""
        ...


def _body(file: BinaryIO, source: Source, stack: ExitStack) -> _Body:
    if source.container in ("lines", "one"):
        return _Lines(file)
    if source.container == "archive":
        archive = stack.enter_context(opened_zip(source.path))
        return _Archive(
            stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)), archive, source.path
        )
    return _Document(file, source)


class _Lines:
    """One record per line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def put(self, line: int, data: bytes) -> None:  # noqa: ARG002 - lines need no number
        self._file.write(data + b"\n")

    def finish(self) -> None:
        """Do nothing: lines need no end."""


class _Document:
    """An array in a JSON document: walks through the source and replaces its elements."""

    def __init__(self, file: BinaryIO, source: Source) -> None:
        self._file = file
        self._pieces = pieces(source.path, source.container, source.limits, Meter())
        self._log = source.container == "log"
        self._ordinal = 0
        self._empty = True

    def put(self, line: int, data: bytes) -> None:
        for kind, old in self._pieces:
            if kind == "frame":
                self._file.write(old)
            elif kind in ("element", "long", "cut"):
                self._ordinal += 1
                if self._ordinal == line:
                    lead = old[: len(old) - len(old.lstrip(SPACE))]
                    trail = old[len(old.rstrip(SPACE)) :]
                    self._file.write(b"".join([b"" if self._empty else b",", lead, data, trail]))
                    self._empty = False
                    return
        raise ValueError(f"the source has no record {line}")

    def finish(self) -> None:
        closed = False
        for kind, old in self._pieces:
            if kind == "close":
                closed = True
                self._file.write(b"]")
            elif kind == "frame" and (self._log or not closed or not old.strip(SPACE)):
                self._file.write(old)
            elif kind == "cut":  # the source is truncated; what is written is not
                self._file.write(b"]}" if self._log else b"]")


class _Archive:
    """A zip archive: walks through the members of the source and replaces its samples."""

    def __init__(self, new: zipfile.ZipFile, old: zipfile.ZipFile, path: Path) -> None:
        self._new = new
        self._old = old
        self._path = path
        self._members = iter(old.infolist())
        self._ordinal = 0

    def put(self, line: int, data: bytes) -> None:
        for member in self._members:
            if not is_sample(member):
                self._copy(member)
                continue
            self._ordinal += 1
            if self._ordinal == line:
                self._new.writestr(_like(member), data)
                return
        raise ValueError(f"the source has no record {line}")

    def finish(self) -> None:
        for member in self._members:
            if not is_sample(member):
                self._copy(member)
        self._new.comment = self._old.comment
        self._new.close()

    def _copy(self, member: zipfile.ZipInfo) -> None:
        try:
            with (
                self._old.open(member) as source,
                self._new.open(_like(member), "w", force_zip64=member.file_size >= _BIG) as target,
            ):
                shutil.copyfileobj(source, target)
        except ZIP_ERRORS as error:
            raise ArtefactError(
                f"{self._path}: {member.filename} cannot be copied", why=str(error) or type(error).__name__
            ) from error


def _like(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return what a new archive says about a member of an old one."""
    new = zipfile.ZipInfo(member.filename, member.date_time)
    new.compress_type = member.compress_type
    new.external_attr = member.external_attr
    new.create_system = member.create_system
    new.comment = member.comment
    return new
