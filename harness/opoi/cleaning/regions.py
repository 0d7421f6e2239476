"""The texts of a message that cleaning may edit, and how to put edited ones back.

An assistant message is prose, or a decision object with prose around it. Only prose may change: the text
outside the object, and the string values of the keys that the suite calls prose. Everything else (tool
calls, tool results, action, citations, the JSON itself) stays as it is, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from opoi.types import Message, Trace
from opoi.wire import find_object, strings_in, valid_text

__all__ = ["editable", "rebuild", "regions_of", "written"]

_SPACE = " \t\n\r"


def editable(trace: Trace) -> Iterator[tuple[int, Message]]:
    """Yield index and message of every message whose prose may be edited: those with loss."""
    for index, message in enumerate(trace.messages):
        if message.role == "assistant" and message.loss_weight > 0:
            yield index, message


def written(messages: Sequence[Message], *, own: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield every text that a model wrote, with whether it is the agent's own prose.

    Contents are; tool names, tool arguments and everything in sub-agents are not. What stands in JSON comes
    as it is written and, string by string, as it reads.
    """
    for message in messages:
        if message.role == "assistant":
            for text in (message.content, *strings_in(message.content)):
                yield text, own
            for call in message.tool_calls:
                for text in (call.name, call.arguments, *strings_in(call.arguments)):
                    yield text, False
        yield from written(message.sub, own=False)


def regions_of(content: str, prose: Sequence[str]) -> dict[str, str]:
    """Return the editable texts of an assistant message by region name.

    Regions are `text` (a message without an object), `before` and `after` (around the object) and the
    prose keys of the object, decoded. Empty ones are left out.
    """
    return {name: text for name, _, text in _spans(content, prose) if text}


def rebuild(content: str, prose: Sequence[str], changed: Mapping[str, str]) -> str:
    """Return the content with the named regions replaced and everything else untouched.

    Args:
        content: The message's content.
        prose: Keys of the object that hold prose.
        changed: New text by region name.
    """
    result, position = [], 0
    for name, (start, end), text in _spans(content, prose):
        new = changed.get(name, text)
        if new == text:
            continue
        quoted = name not in ("text", "before", "after")
        result += [
            content[position:start],
            json.dumps(new, ensure_ascii=content.isascii()) if quoted else new,
        ]
        position = end
    return "".join([*result, content[position:]])


def _spans(content: str, prose: Sequence[str]) -> list[tuple[str, tuple[int, int], str]]:
    """Return (region, span in the content, decoded text), in the order of the content."""
    found = find_object(content)
    if found is None:
        return [("text", (0, len(content)), content)]
    start, end = found
    values = _string_values(content, start)
    inside = sorted((values[key][0], key) for key in prose if key in values)
    return [
        ("before", (0, start), content[:start]),
        *((key, *values[key]) for _, key in inside),
        ("after", (end, len(content)), content[end:]),
    ]


def _string_values(text: str, start: int) -> dict[str, tuple[tuple[int, int], str]]:
    """Return span and value of each top-level string value of the JSON object at `start`.

    Where a key stands twice the last one counts, as in every JSON reader.
    """
    scan = json.JSONDecoder().raw_decode
    values: dict[str, tuple[tuple[int, int], str]] = {}
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, position = scan(text, position)
        begin = _skip(text, _skip(text, position) + 1)
        value, position = scan(text, begin)
        values.pop(key, None)
        if isinstance(value, str):
            values[key] = ((begin, position), valid_text(value))
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return values


def _skip(text: str, position: int) -> int:
    while text[position] in _SPACE:
        position += 1
    return position
