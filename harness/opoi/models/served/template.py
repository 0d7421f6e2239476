"""Conversations as the text that the language model scores.

Each message is `<|role|>`, a line break, its content, its tool calls, `<|end|>` and a line break; tools come
first, one JSON object a line under `<|tools|>`; a prompt ends with `<|assistant|>` and a line break:

    <|user|>
    Open?<|end|>
    <|assistant|>
    Yes.<|end|>

So the text of a prompt and then an answer begins the text of the conversation with that answer, and their
tokens agree. The marks are plain text: a message may forge them. The model that is served never sees this.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from opoi.types import Message, ToolSpec
from opoi.wire import encode_tool

__all__ = ["calls_text", "rendered"]

_encode = msgspec.json.Encoder().encode


def rendered(messages: Iterable[Message], tools: Iterable[ToolSpec] = (), *, prompt: bool = True) -> str:
    """Return the text of a conversation.

    Args:
        messages: The conversation.
        tools: Tools on offer.
        prompt: End where the next answer begins.
    """
    listed = "".join(f"{_encode(encode_tool(tool)).decode()}\n" for tool in tools)
    parts = [f"<|tools|>\n{listed}<|end|>\n"] if listed else []
    parts += [f"<|{message.role}|>\n{message.content}{calls_text(message)}<|end|>\n" for message in messages]
    if prompt:
        parts.append("<|assistant|>\n")
    return "".join(parts)


def calls_text(message: Message) -> str:
    """Return the tool calls of a message as text; the arguments stand as the model wrote them."""
    bodies = (
        f'{{"name": {_encode(call.name).decode()}, "arguments": {call.arguments}}}'
        for call in message.tool_calls
    )
    return "".join(f"\n<tool_call>\n{body}\n</tool_call>" for body in bodies)
