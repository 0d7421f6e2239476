"""What must hold for a conversation in any training format."""

from __future__ import annotations

import re
from collections.abc import Sequence

from opoi.types import Example, Message

__all__ = ["conversation", "loss_mark"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def conversation(example: Example) -> tuple[Message, ...]:
    """Return the student's prompt and the trace's messages, checked.

    Raises:
        ValueError: Roles, tool calls or loss marks are not as they must be; the message names it.
    """
    messages = (*example.trace.prompt, *example.trace.messages)
    _check(messages, example)
    return messages


def loss_mark(message: Message) -> int:
    """Return the loss weight as the 0 or 1 that formats know.

    Raises:
        ValueError: It is neither; it is not rounded.
    """
    if message.loss_weight not in (0.0, 1.0):
        raise ValueError(f"a loss weight of {message.loss_weight} is neither 0 nor 1")
    return int(message.loss_weight)


def _check(messages: Sequence[Message], example: Example) -> None:
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise ValueError(f"message {index} answers no open tool call")
            open_calls.remove(message.tool_call_id)
            continue
        if open_calls:
            raise ValueError(f"message {index} comes before the result of tool call {open_calls[0]!r}")
        if message.author == "oracle" and not example.with_note:
            raise ValueError(f"message {index} was written by the oracle")
        if message.loss_weight and message.role != "assistant":
            raise ValueError(f"message {index} has loss but is not the assistant's")
        if message.role == "assistant" and not (message.content or message.tool_calls):
            raise ValueError(f"message {index} is empty")
        open_calls = [call.id for call in message.tool_calls]
    if not messages or messages[-1].role != "assistant" or messages[-1].tool_calls:
        raise ValueError("the conversation does not end with an answer of the assistant")
    if not any(message.loss_weight > 0 for message in messages):
        raise ValueError("no message has loss")
    for name in [tool.name for tool in example.tools]:
        if not _NAME.fullmatch(name):
            raise ValueError(f"the tool name {name!r} is not allowed (letters, digits, _ and -, at most 64)")
