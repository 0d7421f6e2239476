"""Samples of an Inspect AI evaluation log, from its `.eval` archive or its `.json` document.

Only `messages` are read and changed: the same words also stand in the events and in the model outputs of the
log, which record what happened and stay as they were. Long values may stand in `attachments` and be named by
`attachment://` and their hash (`tc://` in old logs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from opoi.formats.conversion import (
    Content,
    Converted,
    Path,
    Piece,
    argument_text,
    count_keys,
    count_member,
    given,
    listed,
    part_calls,
    spoken,
    texts,
)
from opoi.formats.labels import Head, trace_of
from opoi.formats.twins import no_twins
from opoi.types import ToolCall

__all__ = ["read_inspect"]

_PROTOCOLS: Final = ("attachment://", "tc://")
_STEPS: Final = 100
_GROWTH: Final = 32 << 20


class _Call(Struct, gc=False):
    function: str
    id: str | None = None
    arguments: Raw | UnsetType = UNSET


class _Message(Struct, gc=False):
    role: str
    content: Content = UNSET
    tool_calls: list[_Call] | None = None
    tool_call_id: str | list[str] | None = None
    error: Raw | UnsetType = UNSET
    tool_error: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET


class _Output(Struct, gc=False):
    model: str = ""


class _Sample(Head):
    epoch: int = 1
    messages: Raw | UnsetType = UNSET
    attachments: Raw | UnsetType = UNSET
    output: _Output | None = None


_decode = msgspec.json.Decoder(_Sample).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_attachments = msgspec.json.Decoder(dict[str, str]).decode


def read_inspect(raw: bytes, line: int) -> Converted:
    """Read a sample of an Inspect log.

    Raises:
        ValueError: It is not one, or its attachments name each other in a circle; the message says what is
            wrong.
    """
    sample = _decode(raw)
    if sample.messages is UNSET or sample.id is UNSET:
        raise ValueError(f"`{'messages' if sample.messages is UNSET else 'id'}` is missing")
    messages = listed("messages", sample.messages, _decode_messages)
    no_twins(bytes(sample.messages), _count(messages))
    kept = _Attachments(sample.attachments) if b"://" in bytes(sample.messages) else None
    pieces: list[Piece] = []
    for index, message in enumerate(messages):
        pieces += _pieces(("messages", index), message, kept)
    model = sample.output.model if sample.output else ""
    trace = trace_of(sample, line, pieces, run=max(sample.epoch - 1, 0), model=model)
    return Converted(msgspec.structs.replace(trace, id=f"{trace.id}/{sample.epoch}"), pieces)


def _count(messages: Sequence[_Message]) -> dict[bytes, int]:
    """Return how often the keys that carry a conversation were read."""
    counts = {b'"role"': len(messages), b'"content"': 0}
    for message in messages:
        counts[b'"content"'] += message.content is not UNSET
        count_member("reasoning", message.reasoning, counts)
        if isinstance(message.content, list):
            count_keys(message.content, counts)
    return counts


def _pieces(item: Path, message: _Message, kept: _Attachments | None) -> list[Piece]:
    said = texts(item, message.content, _before(message))
    if kept is not None:
        said = [(kept.text(text), inner) for text, inner in said]
    return spoken(
        item,
        message.role,
        said,
        calls=tuple(_calls(item, message, kept)),
        answers=message.tool_call_id if isinstance(message.tool_call_id, str) else "",
        weight=1.0,
        error=given(message.error) or given(message.tool_error),
    )


def _before(message: _Message) -> Sequence[tuple[str, Raw | UnsetType]]:
    """Return the member in which old logs put reasoning."""
    return () if message.reasoning is UNSET else [("reasoning", message.reasoning)]


def _calls(item: Path, message: _Message, kept: _Attachments | None) -> Iterator[ToolCall]:
    calls = [
        ToolCall(id=call.id or "", name=call.function, arguments=argument_text(call.arguments))
        for call in message.tool_calls or ()
    ]
    for call in [*calls, *part_calls(item, message.content)]:
        if kept is not None and "://" in call.arguments:
            yield msgspec.structs.replace(call, arguments=kept.arguments(call.arguments))
        else:
            yield call


class _Attachments:
    """The values that a sample keeps apart.

    Args:
        raw: They, by hash.
    """

    def __init__(self, raw: Raw | UnsetType) -> None:
        self._values: dict[str, str] = {}
        if raw is not UNSET and bytes(raw) != b"null":
            self._values = _decode_attachments(raw)
        self._added = 0

    def text(self, text: str) -> str:
        """Return what a text stands for; one that names nothing that is there stands for itself.

        Raises:
            ValueError: The attachment names itself, at once or by others.
        """
        seen: list[str] = []
        while text.startswith(_PROTOCOLS):
            name = text.partition("://")[2]
            if name not in self._values:
                break
            if name in seen or len(seen) == _STEPS:
                raise ValueError(f"the attachment {name[:40]!r} names itself, by {len(seen)} steps")
            seen.append(name)
            text = self._values[name]
        return text

    def arguments(self, text: str) -> str:
        """Return tool arguments with the attachments put in.

        Raises:
            ValueError: As in `text`, or they grow beyond all bounds.
        """
        if not text.lstrip().startswith(("{", "[")):
            return self.text(text)
        value = self._inside(msgspec.json.decode(text))
        return msgspec.json.encode(value).decode()

    def _inside(self, value: object) -> object:
        if isinstance(value, str):
            full = self.text(value)
            self._added += len(full) - len(value)
            if self._added > _GROWTH:
                raise ValueError(
                    f"attachments blow up the tool arguments by more than {_GROWTH:,} characters"
                )
            return full
        if isinstance(value, list):
            return [self._inside(item) for item in value]
        if isinstance(value, dict):
            return {key: self._inside(item) for key, item in value.items()}
        return value
