"""What a file is, told by its content."""

from __future__ import annotations

import stat
import zipfile
from itertools import islice
from pathlib import Path
from typing import Final

from opoi.errors import ArtefactError, OpoiError, UnknownNameError, UsageError
from opoi.formats.containers import BOM, SPACE, Container, Meter, is_sample, items, opened, opened_zip
from opoi.formats.readers import FORMATS, format_of, members_of
from opoi.formats.records import Limits
from opoi.formats.split import top_keys

__all__ = ["detect"]

_HEAD: Final = 64 * 1024
_RECORDS: Final = 50
_BYTES: Final = 4 << 20

_MAGIC: Final = {
    b"\x1f\x8b": ("gzip", "gunzip it first"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unpack it first: zstd -d"),
    b"BZh": ("bzip2", "bunzip2 it first"),
    b"\xfd7zXZ\x00": ("xz", "unxz it first"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "unpack it first"),
    b"PAR1": (
        "Parquet",
        "write it as JSON lines first, e.g. with `Dataset.to_json` of the `datasets` library",
    ),
    b"ARROW1": (
        "Arrow",
        "write it as JSON lines first, e.g. with `Dataset.to_json` of the `datasets` library",
    ),
    b"SQLite format 3\x00": ("SQLite", "export its rows as JSON lines first"),
    b"%PDF": ("PDF", ""),
    b"\x89HDF": ("HDF5", ""),
    b"\x80\x04": ("a Python pickle", "a pickle can run code: export it as JSON lines where it comes from"),
    b"\xff\xfe": ("UTF-16 text", "write it as UTF-8 first: iconv -f UTF-16 -t UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "write it as UTF-8 first: iconv -f UTF-16 -t UTF-8"),
}
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_LOG_KEYS: Final = {"version", "status", "plan", "results", "stats", "samples"}

_KNOWN: Final = (
    "known are traces of this package (opoi), OpenAI fine-tuning JSONL (openai), TRL conversational JSONL "
    "(trl), ShareGPT (sharegpt) and Inspect logs (inspect)"
)
_MEND: Final = "name a file in one of these formats"


def detect(path: Path, format: str, limits: Limits) -> tuple[Container, str]:
    """Return how records lie in a file, and the name of their format.

    Args:
        path: The file.
        format: Name of the format where it is known already, else `""`.
        limits: As for reading.

    Raises:
        UsageError: There is no such file or format.
        ArtefactError: It is not a file of traces; the message says what it seems to be.
    """
    if format and format not in FORMATS:
        raise UnknownNameError("format of traces", format, FORMATS)
    _check_file(path)
    head = _head(path)
    if not head.removeprefix(BOM).strip(SPACE):
        raise ArtefactError(f"{path} is empty", fix="give a file with at least one trace")
    if head.startswith(_ZIP):
        container: Container = "archive"
        _check_archive(path)
    else:
        _check_text(path, head)
        container = _container(path, head, limits)
    if container in ("archive", "log"):
        if format not in ("", "inspect"):
            raise UsageError(f"{path} is an Inspect log, not {format!r}", fix="leave the format out")
        return container, "inspect"
    return container, format or _format(path, container, head, limits)


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise UsageError(f"{path} cannot be read", why=str(error)) from error
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a directory", fix="name the files in it")
    if not stat.S_ISREG(mode):
        raise UsageError(
            f"{path} is no regular file",
            why="it is read more than once",
            fix="save its content to a file first",
        )


def _head(path: Path) -> bytes:
    with opened(path) as file:
        return file.read(_HEAD)


def _check_text(path: Path, head: bytes) -> None:
    for magic, (name, fix) in _MAGIC.items():
        if head.startswith(magic):
            raise _strange(path, name, fix)


def _check_archive(path: Path) -> None:
    with opened_zip(path) as archive:
        members = archive.infolist()
        if not any(map(is_sample, members)) and not _names_a_log(members):
            names = ", ".join(member.filename for member in members[:5]) or "nothing"
            raise ArtefactError(
                f"{path} is a zip archive, but not an Inspect log",
                why=f"it holds no samples/*.json; it holds {names[:300]}",
                fix="unpack it and name the file of traces in it",
            )


def _names_a_log(members: list[zipfile.ZipInfo]) -> bool:
    """Whether an archive is the log of an evaluation without samples."""
    return any(member.filename in ("header.json", "_journal/start.json") for member in members)


def _container(path: Path, head: bytes, limits: Limits) -> Container:
    text = head.removeprefix(BOM).lstrip(SPACE)
    if text[:1] == b"[":
        return "array"
    keys = set(top_keys(text)) if text[:1] == b"{" else set()
    if "eval" in keys and keys & _LOG_KEYS:
        return "log"
    return "one" if _is_one_record(path, text, limits) else "lines"


def _is_one_record(path: Path, text: bytes, limits: Limits) -> bool:
    """Whether a file is one JSON object on several lines; one over the limit is not looked at."""
    first, _, more = text.partition(b"\n")
    if text[:1] != b"{" or not more or members_of(first) is not None:
        return False
    with opened(path) as file:
        whole = file.read(limits.line_bytes + 1)
    return len(whole) <= limits.line_bytes and members_of(whole.removeprefix(BOM)) is not None


def _format(path: Path, container: Container, head: bytes, limits: Limits) -> str:
    """Return the format of the first records that have one; later ones decide between `openai` and `trl`."""
    found, seen, objects = "", [], 0
    meter = Meter()
    for item in islice(items(path, container, limits, meter), _RECORDS):
        members = None if item.why else members_of(item.raw)
        if members is None:
            continue
        objects += 1
        seen += [key for key in members if key not in seen]
        name = format_of(members)
        if not found or (found == "openai" and name == "trl" and "messages" in members):
            found = name
        if found and (found != "openai" or meter.bytes > _BYTES):
            break
    if found:
        return found
    raise _unknown(path, head, seen, objects)


def _unknown(path: Path, head: bytes, seen: list[str], objects: int) -> OpoiError:
    if objects:
        shown = ", ".join(key[:40] for key in seen[:12]) or "none"
        return ArtefactError(
            f"{path} holds JSON, but no conversations of a known format",
            why=f"its keys are {shown}; {_KNOWN}",
            fix="rename its keys to those of one of these formats",
        )
    text = head.removeprefix(BOM).lstrip(SPACE)
    if b"\0" in text:
        return _strange(path, "binary data", "")
    keys = top_keys(text) if text[:1] == b"{" else []
    if keys:
        return ArtefactError(
            f"{path} is no file of JSON lines",
            why=f"none of its first lines is a JSON object; the object that begins there has the keys "
            f"{', '.join(keys[:12])}",
            fix="write one record per line, e.g. with `jq -c .`",
        )
    if text[:1] == b"[":
        return ArtefactError(
            f"{path} is no file of traces",
            why="it begins like a JSON array, and none of its first elements is a JSON object",
            fix=f"write an array of records; {_KNOWN}",
        )
    return _strange(path, "plain text", "")


def _strange(path: Path, name: str, fix: str) -> ArtefactError:
    return ArtefactError(f"{path} is no file of traces: it is {name}", why=_KNOWN, fix=fix or _MEND)
