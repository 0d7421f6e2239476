"""Tool calls that a server left as text: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

Many models write their calls like this, and a server without a parser for them passes the text on. Only
whole, well-formed blocks are taken; everything else stays in the text, so nothing is lost or guessed.

`scan_call` reads one block, here and where tools are offered as text (`opoi.models.endpoint.textcalls`).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, NoReturn

import msgspec

from opoi.types import Reply, ToolCall
from opoi.wire import valid_text

__all__ = ["CLOSING", "OPENING", "NotACallError", "Written", "scan_call", "take_raw_calls"]

OPENING = "<tool_call>"
"""What a block begins with."""

CLOSING = "</tool_call>"
"""What a block ends with."""

_MOST_FAILED = 100
"""After so many blocks that cannot be read the rest is taken for prose: the search stays linear."""


class NotACallError(ValueError):
    """What follows `<tool_call>` is not one call and its end tag.

    Args:
        problem: What is wrong, as part of a sentence. Its words do not depend on the version of Python.
        position: Where, as an index into the text.
    """

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


class Written(NamedTuple):
    """A call as it stands in a text.

    Attributes:
        name: Name of the tool, not empty.
        arguments: Their exact text; of arguments written as a string, its value.
        end: Index of the first character after the end tag.
    """

    name: str
    arguments: str
    end: int


# ---------------------------------------------------------------- one block


def scan_call(text: str, position: int, *, strings: bool = False) -> Written:
    """Read what follows `<tool_call>`: an object with `name` and `arguments`, and `</tool_call>`.

    The object is read as JSON (RFC 8259), so that a tag within a string is text. Blank space is allowed
    wherever JSON allows it, and on both sides of the object.

    Args:
        text: The whole text.
        position: Index of the first character after `<tool_call>`.
        strings: Take arguments that are a string, too.

    Raises:
        NotACallError: It is something else, keys that are missing, repeated or unknown included.
    """
    fields, end = _scan_fields(text, position)
    for key in ("name", "arguments"):
        if key not in fields:
            raise NotACallError(f"`{key}` is missing", position)
    name_at, _, name = fields["name"]
    at, stop, arguments = fields["arguments"]
    if not isinstance(name, str) or not name:
        raise NotACallError("`name` is not a text, or empty", name_at)
    quoted = strings and isinstance(arguments, str)
    if not quoted and not isinstance(arguments, dict):
        raise NotACallError("`arguments` is not an object", at)
    end = _blank(text, end)
    if not text.startswith(CLOSING, end):
        raise NotACallError(f"`{CLOSING}` does not follow the object", end)
    return Written(
        name=valid_text(name),
        arguments=valid_text(str(arguments)) if quoted else text[at:stop],
        end=end + len(CLOSING),
    )


_Field = tuple[int, int, object]
"""Where a value begins and ends, and the value."""

_KEYS = ("name", "arguments")


def _scan_fields(text: str, position: int) -> tuple[dict[str, _Field], int]:
    """Read a JSON object; return its fields and where it ends."""
    fields: dict[str, _Field] = {}
    at = _expect(text, _blank(text, position), "{", "an object")
    if text.startswith("}", at_key := _blank(text, at)):
        return fields, at_key + 1
    while True:
        at_key = _blank(text, at)
        key, at = _value(text, at_key, "a key")
        if not isinstance(key, str):
            raise NotACallError("a key is not a text", at_key)
        if key in fields:
            raise NotACallError(f"`{key}` is repeated", at_key)
        if key not in _KEYS:
            raise NotACallError("a key is neither `name` nor `arguments`", at_key)
        start = _blank(text, _expect(text, _blank(text, at), ":", f"a colon after `{key}`"))
        value, at = _value(text, start, f"`{key}`")
        fields[key] = start, at, value
        at = _blank(text, at)
        if text.startswith("}", at):
            return fields, at + 1
        at = _expect(text, at, ",", f"a comma or the end of the object after `{key}`")


def _number(_: str) -> None:
    """Leave a number unread: it may be too long, and only where it ends matters."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=_refuse).raw_decode

_SPACE = re.compile(r"[ \t\n\r]*")


def _blank(text: str, position: int) -> int:
    """Return the position of the next character that is not blank."""
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _expect(text: str, position: int, char: str, name: str) -> int:
    if not text.startswith(char, position):
        raise NotACallError(f"{name} is expected", position)
    return position + 1


def _value(text: str, position: int, name: str) -> tuple[object, int]:
    try:
        return _decode(text, position)
    except ValueError as error:
        raise NotACallError(f"{name} is not valid JSON", position) from error
    except RecursionError as error:
        raise NotACallError(f"{name} is nested too deeply", position) from error


# ---------------------------------------------------------------- all blocks of a reply


def take_raw_calls(reply: Reply) -> Reply:
    """Return the reply with calls written as text turned into tool calls.

    A reply that has tool calls already, or no such block, is returned as it is. Arguments keep the exact
    text of the model; those written as a string become what the string says, which may be broken JSON.
    `finish_reason` becomes `tool_calls` unless the reply was cut off.
    """
    if reply.tool_calls or OPENING not in reply.content:
        return reply
    calls, rest = _split(reply.content)
    if not calls:
        return reply
    return msgspec.structs.replace(
        reply,
        content=rest.strip(),
        tool_calls=calls,
        finish_reason=reply.finish_reason if reply.finish_reason == "length" else "tool_calls",
    )


def _split(text: str) -> tuple[tuple[ToolCall, ...], str]:
    """Return the calls in a text, and the text without them."""
    calls: list[ToolCall] = []
    rest: list[str] = []
    done = position = failed = 0
    while failed < _MOST_FAILED and (start := text.find(OPENING, position)) >= 0:
        position = start + len(OPENING)
        try:
            written = scan_call(text, position, strings=True)
        except NotACallError:
            failed += 1
            continue
        calls.append(ToolCall(id=f"call_{len(calls)}", name=written.name, arguments=written.arguments))
        rest.append(text[done:start])
        done = position = written.end
    return tuple(calls), "".join([*rest, text[done:]])
