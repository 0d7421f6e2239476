"""Opening a file of traces: what it is, told by its content, and its records one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from opoi.formats.containers import Container, Item, Meter, items
from opoi.formats.detection import detect
from opoi.formats.nesting import too_deep
from opoi.formats.readers import FORMATS, READERS, format_of, members_of
from opoi.formats.records import Bad, Limits, Record

__all__ = ["FORMATS", "Source", "open_traces"]

_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def open_traces(path: Path, *, format: str = "", limits: Limits | None = None) -> Source:
    """Open a file of traces.

    Args:
        path: The file.
        format: Name of the format of its records; `""` to tell it by the content.
        limits: How much of it may be held at a time.

    Raises:
        UsageError: It is no file, or the format does not exist or is not that of the file.
        ArtefactError: It cannot be read, is empty, binary, plain text or JSON of another kind.
    """
    limits = limits or Limits()
    container, name = detect(path, format, limits)
    return Source(path, container, name, limits)


class Source:
    """The records of a file; may be walked through more than once.

    Attributes:
        path: The file.
        container: How records lie in it, see `opoi.formats.containers.Container`.
        format: Name of the format of its records.
        limits: How much of it is held at a time.
        size: Its size in bytes.
    """

    def __init__(self, path: Path, container: Container, format: str, limits: Limits) -> None:
        self.path = path
        self.container = container
        self.format = format
        self.limits = limits
        self.size = path.stat().st_size
        self._meter = Meter()

    @property
    def bytes_read(self) -> int:
        """Bytes read in the walk begun last, from 0 to about `size`."""
        return self._meter.bytes

    def __iter__(self) -> Iterator[Record | Bad]:
        """Yield every record, and what could not be read as one, in the order of the file.

        Raises:
            ArtefactError: The file cannot be read any more.
        """
        read = READERS[self.format]
        for item in items(self.path, self.container, self.limits, self._meter):
            if item.why:
                yield Bad(line=item.line, why=item.why, raw=item.raw)
                continue
            try:
                self._check(item.raw)
                converted = read(item.raw, item.line)
            except (ValueError, RecursionError) as error:
                yield self._bad(item, error)
                continue
            yield Record(
                line=item.line,
                trace=converted.trace,
                raw=item.raw,
                format=self.format,
                converted=converted,
            )

    def _check(self, raw: bytes) -> None:
        """Refuse what decoders let through or name badly: bad UTF-8 in what they skip, deep nesting."""
        if not raw.isascii():
            raw.decode()
        if too_deep(raw, self.limits.depth):
            raise ValueError(f"nested deeper than {self.limits.depth} levels")

    def _bad(self, item: Item, error: Exception) -> Bad:
        return Bad(line=item.line, why=self._why(item.raw, error), raw=item.raw[: self.limits.bad_bytes])

    def _why(self, raw: bytes, error: Exception) -> str:
        if isinstance(error, UnicodeDecodeError):
            return f"not UTF-8: byte {error.start} is {raw[error.start]:#04x}"
        if isinstance(error, RecursionError):
            return "nested too deeply"
        if raw.find(b"\0") >= 0:
            return "binary: it holds a zero byte"
        text = " ".join(str(error).split())
        whole = raw.rstrip().endswith(b"}")
        if ("escape" in text or ("truncated" in text and whole)) and _HALF_PAIR.search(raw):
            return "a \\u escape holds half of a surrogate pair: no Unicode character"
        if "truncated" in text:
            return "truncated: it ends in the middle of the record"
        members = members_of(raw)
        other = format_of(members) if members else ""
        if other and other != self.format:
            return f"a record of the format {other!r} in a file of {self.format!r}"
        return text
