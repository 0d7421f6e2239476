"""What a record says about itself beside the conversation, and the trace that is made of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from opoi.formats.conversion import Piece, given, text_of
from opoi.types import Trace

__all__ = ["Head", "no_preference", "trace_of"]


class Head(Struct):
    """What a record may say about itself; read only where it is a string or a number."""

    id: Raw | UnsetType = UNSET
    trace_id: Raw | UnsetType = UNSET
    sample_id: Raw | UnsetType = UNSET
    conversation_id: Raw | UnsetType = UNSET
    scenario_id: Raw | UnsetType = UNSET
    arm: Raw | UnsetType = UNSET
    model: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET


class _Metadata(Struct, gc=False):
    scenario_id: Raw | UnsetType = UNSET
    arm: Raw | UnsetType = UNSET
    model: Raw | UnsetType = UNSET


_decode_metadata = msgspec.json.Decoder(_Metadata).decode
_LABEL_CHARS: Final = 200
_NUMBER: Final = b"-0123456789"


def _label(*raws: Raw | UnsetType) -> str:
    """Return the first of the values that is a string with text in it or a number."""
    for raw in raws:
        if raw is UNSET:
            continue
        data = bytes(raw)
        label = data.decode() if data[0] in _NUMBER else text_of(raw)
        if label:
            return label[:_LABEL_CHARS]
    return ""


def no_preference(chosen: Raw | UnsetType, rejected: Raw | UnsetType) -> None:
    """Refuse preference data: two answers to one question are no conversation.

    Raises:
        ValueError: One of the two answers is there.
    """
    if given(chosen) or given(rejected):
        raise ValueError("preference data (`chosen`, `rejected`) is not read: write each answer as a record")


def trace_of(
    head: Head, line: int, pieces: Sequence[Piece], *, id: str = "", run: int = 0, model: str = ""
) -> Trace:
    """Return a trace of the messages, named as the record names itself, else by its line.

    Args:
        head: Labels of the record.
        line: Its line.
        pieces: Its messages.
        id: Name that takes precedence.
        run: Repetition.
        model: Model, where the record names it elsewhere.

    Raises:
        ValueError: There are no messages.
    """
    if not pieces:
        raise ValueError("no messages")
    more = _Metadata()
    if head.metadata is not UNSET and bytes(head.metadata)[:1] == b"{":
        more = _decode_metadata(head.metadata)
    own = _label(head.id, head.trace_id, head.sample_id, head.conversation_id)
    name = id or own or f"line-{line:06d}"
    return Trace(
        id=name,
        scenario_id=_label(head.scenario_id, more.scenario_id) or own or name,
        arm=_label(head.arm, more.arm),
        run=run,
        as_of="",
        model=_label(head.model, more.model) or model,
        messages=tuple([piece.message for piece in pieces]),
    )
