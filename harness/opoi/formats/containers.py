"""The files that records lie in: lines, a JSON array, a JSON document around an array, a zip archive.

Each yields its records as bytes, one at a time, and never holds more than the limits allow.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple

from opoi.errors import ArtefactError
from opoi.formats.records import Limits
from opoi.formats.split import Piece, split

__all__ = [
    "BOM",
    "SPACE",
    "ZIP_ERRORS",
    "Container",
    "Item",
    "Meter",
    "is_sample",
    "items",
    "opened",
    "opened_zip",
    "pieces",
    "read_member",
]

Container = Literal["lines", "one", "array", "log", "archive"]
"""`lines`: one record per line. `one`: one record on several lines. `array`: a JSON array of records. `log`:
an Inspect log as one JSON document, with the records in its `samples`. `archive`: an Inspect log as a zip
archive, one record per member."""

BOM: Final = b"\xef\xbb\xbf"
SPACE: Final = b" \t\r\n"
"""What JSON calls white space."""

_CHUNK: Final = 1 << 20
_ZIP_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED: Final = 1
ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What the zip reader raises for damaged archives."""


class Meter:
    """Counts the bytes of a file that have been read."""

    def __init__(self) -> None:
        self.bytes = 0


class Item(NamedTuple):
    """A record as bytes.

    Attributes:
        line: Line from 1, or ordinal where records are no lines.
        raw: Its bytes; of what is no record, the head.
        why: Why it is no record, `""` if it is one.
    """

    line: int
    raw: bytes
    why: str = ""


def items(path: Path, container: Container, limits: Limits, meter: Meter) -> Iterator[Item]:
    """Yield the records of a file, blank lines left out.

    Raises:
        ArtefactError: The file cannot be read.
    """
    meter.bytes = 0
    if container == "lines":
        return _lines(path, limits, meter)
    if container == "one":
        return _whole(path, limits, meter)
    if container == "archive":
        return _members(path, limits, meter)
    return _elements(path, container, limits, meter)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; troubles with it become errors for people."""
    try:
        with path.open("rb", buffering=_CHUNK) as file:
            yield file
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read", why=error.strerror or str(error)) from error


# ---------------------------------------------------------------- lines


def _lines(path: Path, limits: Limits, meter: Meter) -> Iterator[Item]:
    limit = limits.line_bytes
    with opened(path) as file:
        for number in count(1):
            raw = file.readline(limit + 2)
            if not raw:
                return
            meter.bytes += len(raw)
            record = raw.rstrip(b"\r\n")
            if number == 1:
                record = record.removeprefix(BOM)
            if len(record) > limit:
                yield Item(number, raw[: limits.bad_bytes], _too_long(limit))
                if not raw.endswith(b"\n"):
                    _skip_line(file, meter)
            elif record and not record.isspace():
                yield Item(number, record)


def _skip_line(file: BinaryIO, meter: Meter) -> None:
    while part := file.readline(_CHUNK):
        meter.bytes += len(part)
        if part.endswith(b"\n"):
            return


def _too_long(limit: int) -> str:
    return f"longer than {limit:,} bytes"


def _whole(path: Path, limits: Limits, meter: Meter) -> Iterator[Item]:
    with opened(path) as file:
        raw = file.read(limits.line_bytes + 1)
    meter.bytes = len(raw)
    if len(raw) > limits.line_bytes:
        yield Item(1, raw[: limits.bad_bytes], _too_long(limits.line_bytes))
    else:
        yield Item(1, raw.removeprefix(BOM).strip(SPACE))


# ---------------------------------------------------------------- one JSON document


def pieces(path: Path, container: Container, limits: Limits, meter: Meter) -> Iterator[Piece]:
    """Yield the records of a JSON document and what stands around them.

    Raises:
        ArtefactError: The file cannot be read.
    """
    with opened(path) as file:

        def chunks() -> Iterator[bytes]:
            while chunk := file.read(_CHUNK):
                meter.bytes += len(chunk)
                yield chunk

        if container == "log":
            yield from split(chunks(), key="samples", limit=limits.member_bytes)
        else:
            yield from split(chunks(), limit=limits.line_bytes)


def _elements(path: Path, container: Container, limits: Limits, meter: Meter) -> Iterator[Item]:
    limit = limits.member_bytes if container == "log" else limits.line_bytes
    ordinal, blank, closed = 0, False, False
    for kind, data in pieces(path, container, limits, meter):
        raw = data.strip(SPACE)
        if kind == "element":
            ordinal += 1
            blank = not raw
            if raw:
                yield Item(ordinal, raw)
        elif kind == "long":
            ordinal += 1
            yield Item(ordinal, raw[: limits.bad_bytes], _too_long(limit))
        elif kind == "cut":
            yield Item(ordinal + 1, raw[: limits.bad_bytes], "truncated: the file ends before its array does")
        elif blank and (kind == "comma" or (kind == "close" and ordinal > 1)):
            yield Item(ordinal, b"", "no record between two commas")
        elif kind == "frame" and closed and container == "array" and raw:
            yield Item(ordinal + 1, raw[: limits.bad_bytes], "text after the end of the array")
            return
        if kind == "close":
            closed = True
            if data != b"]":
                yield Item(ordinal + 1, data, "the array is closed by a brace")


# ---------------------------------------------------------------- zip archives


def is_sample(member: zipfile.ZipInfo) -> bool:
    """Whether a member of an Inspect log is a sample."""
    return member.filename.startswith("samples/") and member.filename.endswith(".json")


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading; troubles with it become errors for people."""
    with opened(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except ZIP_ERRORS as error:
            raise ArtefactError(
                f"{path} begins like a zip archive and cannot be read as one",
                why=str(error) or type(error).__name__,
                fix="it may be truncated: copy it again",
            ) from error
        with archive:
            yield archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """Return the bytes of a member.

    Raises:
        ValueError: It is damaged, over the limit or packed in a way that cannot be read.
    """
    if member.file_size > limit:
        raise ValueError(f"{member.filename}: {_too_long(limit)} unpacked")
    if member.compress_type not in _ZIP_METHODS:
        raise ValueError(f"{member.filename}: packed by zip method {member.compress_type}, not known here")
    if member.flag_bits & _ENCRYPTED:
        raise ValueError(f"{member.filename}: encrypted")
    try:
        with archive.open(member) as file:
            data = file.read(limit + 1)
    except ZIP_ERRORS as error:
        raise ValueError(f"{member.filename}: damaged ({str(error) or type(error).__name__})") from error
    if len(data) > limit:
        raise ValueError(f"{member.filename}: {_too_long(limit)} unpacked")
    return data


def _members(path: Path, limits: Limits, meter: Meter) -> Iterator[Item]:
    with opened_zip(path) as archive:
        for ordinal, member in enumerate(filter(is_sample, archive.infolist()), start=1):
            try:
                yield Item(ordinal, read_member(archive, member, limits.member_bytes))
            except ValueError as error:
                yield Item(ordinal, b"", str(error))
            meter.bytes += member.compress_size
