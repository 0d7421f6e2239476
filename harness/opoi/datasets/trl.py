"""TRL conversational JSONL: `messages`, `tools` and a mask per message.

Every key stands on every line and on every message, and schemas travel as JSON text, because columns of
varying shape break the cast to Arrow. Tool arguments are objects: the chat templates that trainers apply
expect them so. `message_loss_mask` has one 0 or 1 per message, since masks per token need a tokenizer; it is
not called `assistant_masks`, because trainers take a column of that name for one value per token.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from opoi.datasets.checks import conversation, loss_mark
from opoi.types import Example, Message, ToolCall
from opoi.wire import encode_tool

__all__ = ["trl_line"]


class _Function(Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any]


class _Call(Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _Message(Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: list[_Call] | None
    tool_call_id: str | None


class Line(Struct, forbid_unknown_fields=True):
    """The schema of one line; every line is read back through it before it is written."""

    messages: list[_Message]
    tools: str
    message_loss_mask: list[Literal[0, 1]]


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Line).decode


def trl_line(example: Example) -> bytes:
    """Return one line of the file, without line break.

    Raises:
        ValueError: The example cannot be told in this format.
    """
    messages = conversation(example)
    line = _encode(
        {
            "messages": [_message(message) for message in messages],
            "tools": _encode([encode_tool(tool) for tool in example.tools]).decode(),
            "message_loss_mask": [loss_mark(message) for message in messages],
        }
    )
    _decode(line)
    return line


def _message(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": message.content,
        "tool_calls": [_call(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id or None,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError(f"the arguments of tool call {call.id!r} are not a JSON object") from error
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
