"""What comes out of a file of traces: records, and what could not be read as one."""

from __future__ import annotations

from typing import Final

from opoi.formats.conversion import Converted
from opoi.types import Trace, Value

__all__ = ["Bad", "Limits", "Record"]

_MIB: Final = 1 << 20


class Limits(Value, frozen=True, kw_only=True):
    """How much of a file is ever held, so that no file can fill the memory.

    Attributes:
        line_bytes: Longest record in a file of lines or in a JSON array, in bytes.
        member_bytes: Longest sample of an Inspect log, unpacked, in bytes. Samples hold every event of an
            evaluation beside the messages and are large.
        depth: Deepest nesting of arrays and objects in a record.
        bad_bytes: How much of a bad record is kept to be put aside, in bytes.
    """

    line_bytes: int = 32 * _MIB
    member_bytes: int = 256 * _MIB
    depth: int = 100
    bad_bytes: int = 64 * 1024


class Record(Value, frozen=True, kw_only=True):
    """One conversation of a file.

    Attributes:
        line: Line in the file from 1; ordinal of the record where records are no lines.
        trace: The conversation. Of a foreign record `messages` holds all of it, `prompt` is empty.
        raw: The record as it stands in the file, without line break.
        format: Name of the record's format, see `opoi.formats.FORMATS`.
        converted: What the reader of the format made of `raw`; None where that is not at hand.
    """

    line: int
    trace: Trace
    raw: bytes
    format: str
    converted: Converted | None = None


class Bad(Value, frozen=True, kw_only=True):
    """A place of a file that holds no readable record.

    Attributes:
        line: As in `Record`.
        why: What is wrong, on one line.
        raw: What stands there, cut to `Limits.bad_bytes`.
    """

    line: int
    why: str
    raw: bytes
