"""Our own files: traces as in a run's `traces/`, cleaned traces as in `cleaned/`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from opoi.formats.conversion import Converted, Piece
from opoi.formats.twins import no_twins
from opoi.types import Cleaned, Message, Trace

__all__ = ["read_opoi"]

_CLEANED: Final = re.compile(rb'\s*\{\s*"trace"')
_decode_trace = msgspec.json.Decoder(Trace).decode
_decode_cleaned = msgspec.json.Decoder(Cleaned).decode


def read_opoi(raw: bytes, line: int) -> Converted:  # noqa: ARG001 - one signature for all readers
    """Read a trace, or a cleaned trace, as this package writes it.

    Raises:
        ValueError: It is not one; the message says what is wrong.
    """
    cleaned = _CLEANED.match(raw) is not None
    trace = _decode_cleaned(raw).trace if cleaned else _decode_trace(raw)
    if not trace.messages and not trace.prompt:
        raise ValueError("no messages")
    every = [*trace.prompt, *trace.gen_prompt, *trace.messages]
    no_twins(raw, {b'"role"': _count(every)})
    root = ("trace", "messages") if cleaned else ("messages",)
    pieces = [Piece(message, (*root, index), ("content",)) for index, message in enumerate(trace.messages)]
    return Converted(trace, pieces)


def _count(messages: Iterable[Message]) -> int:
    return sum(1 + _count(message.sub) for message in messages)
