"""Tool calls that a server left as text: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

Many models write their calls like this, and a server without a parser for them passes the text on. Only
whole, well-formed blocks are taken; everything else stays in the text, so nothing is lost or guessed.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from opoi.types import Reply, ToolCall

__all__ = ["take_raw_calls"]

_BLOCK = re.compile(r"<tool_call>((?:(?!</?tool_call>).)*)</tool_call>", re.DOTALL)


class _Call(Struct, forbid_unknown_fields=True):
    name: str
    arguments: Raw


_decode = msgspec.json.Decoder(_Call).decode
_decode_arguments = msgspec.json.Decoder(dict[str, Raw] | str).decode


def _read(block: str, index: int) -> ToolCall | None:
    """Read the inside of a block; None where it is not one call with a name and arguments."""
    try:
        call = _decode(block)
        arguments = _decode_arguments(call.arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if not call.name:
        return None
    text = arguments if isinstance(arguments, str) else bytes(call.arguments).decode()
    return ToolCall(id=f"call_{index}", name=call.name, arguments=text)


def take_raw_calls(reply: Reply) -> Reply:
    """Return the reply with calls written as text turned into tool calls.

    A reply that has tool calls already, or no such block, is returned as it is. The arguments keep the
    exact text of the model. `finish_reason` becomes `tool_calls` unless the reply was cut off.
    """
    if reply.tool_calls or "<tool_call>" not in reply.content:
        return reply
    calls: list[ToolCall] = []
    rest: list[str] = []
    done = 0
    for match in _BLOCK.finditer(reply.content):
        call = _read(match[1], len(calls))
        if call is None:
            continue
        calls.append(call)
        rest.append(reply.content[done : match.start()])
        done = match.end()
    if not calls:
        return reply
    rest.append(reply.content[done:])
    return msgspec.structs.replace(
        reply,
        content="".join(rest).strip(),
        tool_calls=tuple(calls),
        finish_reason=reply.finish_reason if reply.finish_reason == "length" else "tool_calls",
    )
