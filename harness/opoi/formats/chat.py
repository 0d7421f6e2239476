"""OpenAI fine-tuning JSONL and TRL conversational JSONL: chat completions with marks for the loss.

They differ little, and files in the wild mix them. Arguments of tool calls are text (OpenAI) or objects
(TRL). The loss is marked by a `weight` of 0 or 1 on an assistant message (OpenAI's guide to fine-tuning), or
by the `message_loss_mask` beside the messages that `opoi.datasets.trl` writes; where nothing is marked, every
assistant message has loss. Both readers take all of that. TRL's prompt and completion are one conversation,
with loss on the completion alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from opoi.formats.conversion import (
    Content,
    Converted,
    Piece,
    argument_text,
    count_keys,
    count_member,
    dotted,
    given,
    listed,
    part_calls,
    spoken,
    texts,
)
from opoi.formats.labels import Head, no_preference, trace_of
from opoi.formats.twins import as_often, no_twins
from opoi.types import ToolCall

__all__ = ["read_openai", "read_trl"]


class _Function(Struct, gc=False):
    name: str
    arguments: Raw | UnsetType = UNSET


class _Call(Struct, gc=False):
    function: _Function
    id: str | int | None = None


class _Message(Struct, gc=False):
    role: str
    content: Content = UNSET
    tool_calls: list[_Call] | UnsetType | None = UNSET
    tool_call_id: str | int | None = None
    weight: float | None = None
    function_call: _Function | None = None
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET
    thinking: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    audio: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Line(Head):
    messages: list[_Message] | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    completion: Raw | UnsetType = UNSET
    message_loss_mask: list[float] | None = None
    as_of: Raw | UnsetType = UNSET
    epoch: Raw | UnsetType = UNSET
    conversations: Raw | UnsetType = UNSET
    chosen: Raw | UnsetType = UNSET
    rejected: Raw | UnsetType = UNSET


class _RawLine(Struct):
    messages: Raw


_decode = msgspec.json.Decoder(_Line).decode
_decode_raw = msgspec.json.Decoder(_RawLine).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def read_openai(raw: bytes, line: int) -> Converted:
    """Read a line of OpenAI fine-tuning JSONL.

    Raises:
        ValueError: It is not one; the message says what is wrong.
    """
    record = _record(raw)
    if record.messages is UNSET:
        raise ValueError("`messages` is missing")
    return _one_list(raw, line, record, record.messages)


def read_trl(raw: bytes, line: int) -> Converted:
    """Read a line of TRL conversational JSONL: messages, or prompt and completion.

    Raises:
        ValueError: It is not one; the message says what is wrong.
    """
    record = _record(raw)
    if record.messages is not UNSET:
        return _one_list(raw, line, record, record.messages)
    if record.prompt is UNSET or record.completion is UNSET:
        raise ValueError("neither `messages` nor `prompt` and `completion` are there")
    no_twins(raw, {b'"prompt"': 1, b'"completion"': 1})
    prompt, completion = _messages("prompt", record.prompt), _messages("completion", record.completion)
    pieces = [
        *_pieces("prompt", prompt, [0.0] * len(prompt)),
        *_pieces("completion", completion, [1.0] * len(completion)),
    ]
    return Converted(trace_of(record, line, pieces), pieces)


def _record(raw: bytes) -> _Line:
    record = _decode(raw)
    for name in ("as_of", "epoch", "conversations"):
        if getattr(record, name) is not UNSET:
            raise ValueError(f"`{name}` does not belong there")
    no_preference(record.chosen, record.rejected)
    return record


def _one_list(raw: bytes, line: int, record: _Line, messages: Sequence[_Message]) -> Converted:
    _no_twins_in_lists(raw, messages)
    mask = record.message_loss_mask
    if mask is not None and len(mask) != len(messages):
        raise ValueError(f"message_loss_mask has {len(mask)} entries for {len(messages)} messages")
    pieces = _pieces("messages", messages, [1.0] * len(messages) if mask is None else mask)
    beside = () if mask is None else ("message_loss_mask",)
    return Converted(trace_of(record, line, pieces), pieces, beside)


def _no_twins_in_lists(raw: bytes, messages: Sequence[_Message]) -> None:
    """See that no list of messages, and nothing in it, is said twice; the rest of the record may be."""
    once, inside = {b'"messages"': 1}, _count(messages)
    if not as_often(raw, {**once, **inside}):
        no_twins(raw, once)
        no_twins(bytes(_decode_raw(raw).messages), inside)


def _messages(key: str, raw: Raw) -> list[_Message]:
    """Decode a list of messages, and see that nothing in it is said twice."""
    messages = listed(key, raw, _decode_messages)
    no_twins(bytes(raw), _count(messages))
    return messages


def _count(messages: Sequence[_Message]) -> dict[bytes, int]:
    """Return how often the keys that carry a conversation were read."""
    contents = calls = 0
    for message in messages:
        contents += message.content is not UNSET
        calls += message.tool_calls is not UNSET
    counts = {b'"role"': len(messages), b'"content"': contents, b'"tool_calls"': calls}
    for message in messages:
        if isinstance(message.content, list):
            count_keys(message.content, counts)
        for name, raw in _before(message):
            count_member(name, raw, counts)
        for name, raw in _after(message):
            count_member(name, raw, counts)
    return counts


def _pieces(key: str, messages: Sequence[_Message], usual: Sequence[float]) -> list[Piece]:
    """Return the messages of a list; `usual` has the loss weight of each where it names none itself."""
    pieces: list[Piece] = []
    for index, message in enumerate(messages):
        answers, weight, error = message.tool_call_id, message.weight, message.error
        pieces += spoken(
            (key, index),
            message.role,
            texts((key, index), message.content, _before(message), _after(message)),
            calls=_calls(key, index, message),
            answers="" if answers is None else str(answers),
            weight=usual[index] if weight is None else weight,
            error=error is not UNSET and given(error),
        )
    return pieces


def _before(message: _Message) -> Sequence[tuple[str, Raw | UnsetType]]:
    """Return the members beside the content in which servers and chat templates put reasoning."""
    answer, short, long = message.reasoning_content, message.reasoning, message.reasoning_details
    if answer is UNSET and short is UNSET and long is UNSET and message.thinking is UNSET:
        return ()
    return [
        ("reasoning_content", answer),
        ("reasoning", short),
        ("reasoning_details", long),
        ("thinking", message.thinking),
    ]


def _after(message: _Message) -> Sequence[tuple[str, Raw | UnsetType]]:
    """Return the members beside the content in which an answer stands that is refused or spoken aloud."""
    if message.refusal is UNSET and message.audio is UNSET:
        return ()
    return [("refusal", message.refusal), ("audio", message.audio)]


def _calls(key: str, index: int, message: _Message) -> tuple[ToolCall, ...]:
    if not message.tool_calls and message.function_call is None and not isinstance(message.content, list):
        return ()
    calls = [_call(call) for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append(_call(_Call(message.function_call)))
    calls += part_calls((key, index), message.content)
    if calls and message.role != "assistant":
        raise ValueError(f"{dotted((key, index))}: the role {message.role!r} cannot call tools")
    return tuple(calls)


def _call(call: _Call) -> ToolCall:
    return ToolCall(
        id="" if call.id is None else str(call.id),
        name=call.function.name,
        arguments=argument_text(call.function.arguments),
    )
