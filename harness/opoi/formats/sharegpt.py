"""ShareGPT, as LLaMA-Factory and Axolotl read it: `conversations` of turns with `from` and `value`.

A `function_call` holds the call, or a list of calls, as JSON text; the observations after it answer in order.
The system prompt is a turn or stands beside the turns. Axolotl marks turns without loss by a `weight` of 0.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from opoi.formats.conversion import Converted, Path, Piece, argument_text, dotted, spoken
from opoi.formats.labels import Head, no_preference, trace_of
from opoi.formats.twins import no_twins
from opoi.types import ToolCall

__all__ = ["read_sharegpt"]

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
_CALLERS = ("function_call", "tool_call")


class _Turn(Struct, gc=False):
    speaker: str = field(name="from")
    value: str | None
    weight: float | None = None


class _Line(Head):
    conversations: list[_Turn] = field(default_factory=list)
    system: str | None = None
    chosen: Raw | UnsetType = UNSET
    rejected: Raw | UnsetType = UNSET


class _Call(Struct, gc=False):
    name: str
    arguments: Raw | UnsetType = UNSET
    id: str | None = None


_decode = msgspec.json.Decoder(_Line).decode
_decode_calls = msgspec.json.Decoder(_Call | list[_Call]).decode


def read_sharegpt(raw: bytes, line: int) -> Converted:
    """Read a ShareGPT record.

    Raises:
        ValueError: It is not one; the message says what is wrong.
    """
    record = _decode(raw)
    turns = record.conversations
    if not turns and b'"conversations"' not in raw:
        raise ValueError("`conversations` is missing")
    no_preference(record.chosen, record.rejected)
    no_twins(raw, {b'"from"': len(turns), b'"value"': len(turns)})
    pieces: list[Piece] = []
    if record.system:
        pieces += spoken(("system",), "system", [(record.system, ())])
    waiting: list[str] = []
    for index, turn in enumerate(turns):
        pieces += _turn(("conversations", index), turn, waiting)
    return Converted(trace_of(record, line, pieces), pieces)


def _turn(item: Path, turn: _Turn, waiting: list[str]) -> list[Piece]:
    """Read a turn; `waiting` holds the ids of calls without an answer."""
    role = _ROLES.get(turn.speaker)
    if role is None:
        raise ValueError(f"{dotted(item)}: the speaker {turn.speaker[:40]!r} is none of {', '.join(_ROLES)}")
    value = turn.value or ""
    weight = 1.0 if turn.weight is None else turn.weight
    calls = _calls_of(value, int(item[1])) if turn.speaker in _CALLERS else ()
    if calls:
        waiting[:] = [call.id for call in calls]
        return spoken(item, role, [("", None)], calls=calls, weight=weight)
    answers = waiting.pop(0) if role == "tool" and waiting else ""
    return spoken(item, role, [(value, ("value",))], answers=answers, weight=weight)


def _calls_of(value: str, turn: int) -> tuple[ToolCall, ...]:
    """Return the tool calls that a value holds; none where it is no JSON of calls, and so is prose."""
    try:
        found = _decode_calls(value)
    except (ValueError, RecursionError):
        return ()
    calls = found if isinstance(found, list) else [found]
    return tuple(
        ToolCall(
            id=call.id or f"call_{turn}_{place}", name=call.name, arguments=argument_text(call.arguments)
        )
        for place, call in enumerate(calls)
    )
