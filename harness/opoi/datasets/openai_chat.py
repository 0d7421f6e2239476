"""OpenAI fine-tuning JSONL: `messages` with a `weight` of 0 or 1 on assistant messages, and `tools`.

Tool arguments are the raw text of the model, as in chat completions. A trace may say more than the format
can: weights between 0 and 1 are refused, not rounded.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from opoi.datasets.checks import conversation, loss_mark
from opoi.types import Example, Message
from opoi.wire import encode_message, encode_tool

__all__ = ["openai_line"]


class _Function(Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _Message(Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: list[_Call] = []
    tool_call_id: str = ""
    weight: Literal[0, 1] | None = None


class _ToolFunction(Struct, forbid_unknown_fields=True):
    name: str
    description: str
    parameters: dict[str, Any]


class _Tool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _ToolFunction


class Line(Struct, forbid_unknown_fields=True):
    """The schema of one line; every line is read back through it before it is written."""

    messages: list[_Message]
    tools: list[_Tool] = []


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Line).decode


def openai_line(example: Example) -> bytes:
    """Return one line of the file, without line break.

    Raises:
        ValueError: The example cannot be told in this format.
    """
    messages = conversation(example)
    line = _encode(
        {"messages": [_weighted(m) for m in messages], "tools": [encode_tool(tool) for tool in example.tools]}
    )
    _decode(line)
    return line


def _weighted(message: Message) -> dict[str, Any]:
    wire = encode_message(message)
    if message.role == "assistant":
        wire["weight"] = loss_mark(message)
    return wire
