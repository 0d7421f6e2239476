"""The texts of a message: all of them, those that cleaning may edit, and how to put edited ones back.

An assistant message is prose, or a decision object with prose around it. Only prose may change: the text
outside the object, and the string values of the keys that the suite calls prose. Everything else (tool
calls, tool results, action, citations, the JSON itself) stays as it is, byte for byte. Rules and detectors
read the rest too, leaf by leaf, as it reads after JSON's escapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from opoi.types import Message, ToolCall, Trace
from opoi.wire import find_object, find_objects, valid_text

__all__ = [
    "Kind",
    "Passage",
    "editable",
    "passages",
    "prose_spans",
    "rebuild",
    "regions_of",
    "surroundings",
    "target_chars",
]

Kind = Literal["prose", "json", "argument", "name"]
"""What a text is: the author's free text, a key or value of a JSON object, one of a tool's arguments, or
the name of a tool."""

_SPACE = " \t\n\r"


class Passage(NamedTuple):
    """One text of a message, and where it stands.

    Attributes:
        message: Path of the message: index into the messages, then into `Message.sub`, and so on.
        field: Name of the text within the message. Prose: `text`, `before`, `between:1`, `after` or a prose
            key, as in `regions_of`. Else a path: `json:0/citations/1/value` (of the first object),
            `call:0/days` (an argument of the first tool call), `call:0` (its name, or all of its arguments
            where they are no JSON object). A key has the path of its value and `#key`.
        kind: What it is.
        text: As it reads, decoded; numbers as they are written.
    """

    message: tuple[int, ...]
    field: str
    kind: Kind
    text: str


def passages(
    messages: Sequence[Message],
    prose: Sequence[str],
    *,
    roles: Sequence[str] = ("assistant",),
    kinds: Sequence[Kind] = ("prose", "json", "argument", "name"),
    path: tuple[int, ...] = (),
) -> Iterator[Passage]:
    """Yield every text of the messages in order, those of nested runs after the message that holds them.

    Args:
        messages: Of a trace, of a prompt or of a nested run.
        prose: Keys of a decision object that hold prose.
        roles: Whose messages; those of nested runs are read in any case.
        kinds: Which texts.
        path: Where the messages hang: what every `Passage.message` begins with.
    """
    for index, message in enumerate(messages):
        here = (*path, index)
        if message.role in roles:
            yield from _of_content(here, message.content, prose, kinds)
            if message.tool_calls and ("argument" in kinds or "name" in kinds):
                yield from _of_calls(here, message, kinds)
        if message.sub:
            yield from passages(message.sub, prose, roles=roles, kinds=kinds, path=here)


def surroundings(
    messages: Sequence[Message],
    prose: Sequence[str],
    *,
    roles: Sequence[str] = ("assistant",),
    kinds: Sequence[Kind] = ("prose", "json", "argument", "name"),
) -> Iterator[str]:
    """Yield texts in which the texts of all passages stand: what is in none of them is in no passage.

    Each stands there as it is, at the ends of such a text or between two signs that belong to no word. So a
    pattern finds there all that it finds in the passages, unless it asks for the ends of a text. This is much
    faster than `passages`: JSON of ASCII without escapes holds its strings as they read and is left as it is.

    Args:
        messages: As for `passages`.
        prose: The same.
        roles: The same.
        kinds: The same.
    """
    for message in messages:
        if message.role in roles:
            if _holds_its_texts(message.content):
                yield message.content
            else:
                yield from (passage.text for passage in _of_content((), message.content, prose, kinds))
            for call in message.tool_calls:
                yield from _around_call(call, kinds)
        if message.sub:
            yield from surroundings(message.sub, prose, roles=roles, kinds=kinds)


def _around_call(call: ToolCall, kinds: Sequence[Kind]) -> Iterator[str]:
    if "name" in kinds:
        yield call.name
    if "argument" not in kinds:
        return
    if _holds_its_texts(call.arguments):
        yield call.arguments
    else:
        yield from (passage.text for passage in _of_arguments((), "", call.arguments))


def _holds_its_texts(text: str) -> bool:
    return "{" not in text or ("\\" not in text and "\x1b" not in text and text.isascii())


def _of_content(
    here: tuple[int, ...], content: str, prose: Sequence[str], kinds: Sequence[Kind]
) -> Iterator[Passage]:
    if "prose" in kinds:
        for field, text in regions_of(content, prose).items():
            yield Passage(here, field, "prose", text)
    if "json" in kinds and "{" in content:
        yield from _leaves_of_content(here, content, prose)


def _leaves_of_content(here: tuple[int, ...], content: str, prose: Sequence[str]) -> Iterator[Passage]:
    spans = find_objects(content)
    for number, (start, end) in enumerate(spans):
        root = f"json:{number}"
        skip = {f"{root}/{key}" for key in prose} if number == len(spans) - 1 else set()
        for field, text in _leaves(content[start:end], root):
            if field not in skip:
                yield Passage(here, field, "json", text)


def _of_calls(here: tuple[int, ...], message: Message, kinds: Sequence[Kind]) -> Iterator[Passage]:
    for number, call in enumerate(message.tool_calls):
        root = f"call:{number}"
        if "name" in kinds and call.name:
            yield Passage(here, root, "name", call.name)
        if "argument" in kinds and call.arguments:
            yield from _of_arguments(here, root, call.arguments)


def _of_arguments(here: tuple[int, ...], root: str, arguments: str) -> Iterator[Passage]:
    if find_object(arguments) == (0, len(arguments)):
        for field, text in _leaves(arguments, root):
            yield Passage(here, field, "argument", text)
    else:
        yield Passage(here, root, "argument", arguments)


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, twins of a key included."""


class _Literal(str):
    """A number as it is written."""

    __slots__ = ()


_decode_leaves = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal
).decode


def _leaves(text: str, root: str) -> Iterator[tuple[str, str]]:
    """Yield `(path, text)` of each key, string and number of a JSON value."""
    value = _decode_leaves(text)
    stack: list[tuple[str, object]] = [(root, value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, str):
            yield path, valid_text(item)
        elif isinstance(item, _Pairs):
            for key, inner in reversed(item):
                stack += [(f"{path}/{key}", inner), (f"{path}/{key}#key", key)]
        elif isinstance(item, list):
            stack += [(f"{path}/{place}", inner) for place, inner in reversed([*enumerate(item)])]


def editable(trace: Trace) -> Iterator[tuple[int, Message]]:
    """Yield index and message of every message whose prose may be edited: those with loss."""
    for index, message in enumerate(trace.messages):
        if message.role == "assistant" and message.loss_weight > 0:
            yield index, message


def regions_of(content: str, prose: Sequence[str]) -> dict[str, str]:
    """Return the editable texts of an assistant message by region name.

    Regions are `text` (a message without an object), `before` and `after` (around its objects), `between:N`
    (behind the Nth of several) and the prose keys of the last object, decoded. Empty ones are left out.
    """
    return {name: text for name, _, text in _spans(content, prose) if text}


def prose_spans(content: str, prose: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return where the same texts stand in the message: first character and one past the last, in order.

    The quotes around the value of a key are no part of it.
    """
    found = []
    for name, (start, end), text in _spans(content, prose):
        quoted = name not in ("text", "before", "after") and not name.startswith("between:")
        if text:
            found.append((start + quoted, end - quoted))
    return tuple(found)


def target_chars(trace: Trace, prose: Sequence[str]) -> int:
    """Return how many characters of a trace may be edited."""
    texts = [message.content for _, message in editable(trace)]
    whole = sum(len(text) for text in texts if "{" not in text)
    return whole + sum(sum(map(len, regions_of(text, prose).values())) for text in texts if "{" in text)


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
        quoted = name not in ("text", "before", "after") and not name.startswith("between:")
        result += [
            content[position:start],
            json.dumps(new, ensure_ascii=content.isascii()) if quoted else new,
        ]
        position = end
    return "".join([*result, content[position:]])


_Region = tuple[str, tuple[int, int], str]


def _spans(content: str, prose: Sequence[str]) -> tuple[_Region, ...]:
    """Return (region, span in the content, decoded text), in the order of the content."""
    if "{" not in content:
        return (("text", (0, len(content)), content),)
    return _spans_around_object(content, tuple(prose))


@lru_cache(maxsize=256)
def _spans_around_object(content: str, prose: tuple[str, ...]) -> tuple[_Region, ...]:
    objects = find_objects(content)
    if not objects:
        return (("text", (0, len(content)), content),)
    values = _string_values(content, objects[-1][0])
    inside = sorted((values[key][0], key) for key in prose if key in values)
    return (
        *_outside(content, objects),
        *((key, *values[key]) for _, key in inside),
        ("after", (objects[-1][1], len(content)), content[objects[-1][1] :]),
    )


def _outside(content: str, objects: Sequence[tuple[int, int]]) -> Iterator[_Region]:
    """Yield the texts before each object: what stands in an object is not prose of the message."""
    position = 0
    for number, (start, end) in enumerate(objects):
        yield f"between:{number}" if number else "before", (position, start), content[position:start]
        position = end


_scan = json.JSONDecoder().raw_decode


def _string_values(text: str, start: int) -> dict[str, tuple[tuple[int, int], str]]:
    """Return span and value of each top-level string value of the JSON object at `start`.

    Where a key stands twice the last one counts, as in every JSON reader.
    """
    values: dict[str, tuple[tuple[int, int], str]] = {}
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, position = _scan(text, position)
        begin = _skip(text, _skip(text, position) + 1)
        value, position = _scan(text, begin)
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
