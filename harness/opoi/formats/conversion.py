"""What the readers of all formats share: the texts of a message, and the messages made of them.

A message of a record with several texts (parts, or reasoning or a refusal beside the answer) becomes several
messages of the trace, one per text, so that each change has one place to go back to. The tool calls hang on
the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from opoi.types import Author, Message, ToolCall, Trace

__all__ = [
    "Content",
    "Converted",
    "Part",
    "Path",
    "Piece",
    "Reader",
    "Text",
    "argument_text",
    "count_keys",
    "count_member",
    "dotted",
    "given",
    "listed",
    "part_calls",
    "spoken",
    "text_of",
    "texts",
]

T = TypeVar("T")

Role = Literal["system", "user", "assistant", "tool"]

Path = tuple[str | int, ...]
"""Keys and indices that lead to a value of a JSON document."""


class Piece(Struct, frozen=True):
    """A message of the trace, and where its text stands in the record.

    Attributes:
        message: The message.
        item: Path of the record's message that it was made from. A message with several texts gives several.
        inner: Path of the text from there; None where there is no text that could be changed.
    """

    message: Message
    item: Path
    inner: Path | None


class Converted(NamedTuple):
    """A record, read.

    Attributes:
        trace: The conversation.
        pieces: One per message of the trace.
        beside: Keys of top-level lists with one entry per message: a message is removed from all of them.
    """

    trace: Trace
    pieces: Sequence[Piece]
    beside: tuple[str, ...] = ()


Reader = Callable[[bytes, int], Converted]
"""Reads one record; takes its bytes and its line. Raises `ValueError` where it is not of the format."""


# ---------------------------------------------------------------- texts of a message


class Part(Struct, gc=False):
    """A part of a message's content: text in one of many shapes, a tool call, or what is no text."""

    type: str | UnsetType = UNSET
    text: str | UnsetType | None = UNSET
    reasoning: Raw | UnsetType = UNSET
    thinking: Raw | UnsetType = UNSET
    summary: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    transcript: Raw | UnsetType = UNSET
    redacted: bool | None = None
    id: Raw | UnsetType = UNSET
    name: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    arguments: Raw | UnsetType = UNSET


Content = str | list[str | Part] | None | UnsetType

Text = tuple[str, Path | None]
"""A text and its path within the message."""

_CONTENT: Final[Path] = ("content",)
_TEXTS: Final = ("reasoning", "thinking", "summary", "content", "text", "refusal", "transcript")
"""Members that hold text, or lists and objects with text in them."""
_REASONING: Final = ("reasoning", "thinking")
"""Of these, those that hold a cipher where a part of that type is redacted."""

_OBJECT: Final = b"{"
"""Counted as read never, though there are some: a count that makes `no_twins` look at every object."""

_COUNTED: Final = (*_TEXTS, "input", "arguments")
_QUOTED: Final = {
    name: f'"{name}"'.encode() for name in (*_COUNTED, "reasoning_content", "reasoning_details", "audio")
}

_TEXT_TYPES: Final = frozenset({"text", "input_text", "output_text", "refusal", "reasoning", "thinking"})
_CALL_TYPES: Final = frozenset({"tool_use", "server_tool_use"})
_NO_TEXT_TYPES: Final = frozenset(
    {
        *("image", "image_url", "image_file", "input_image", "output_image"),
        *("audio", "audio_url", "input_audio", "output_audio", "video", "video_url", "input_video"),
        *("file", "input_file", "document", "data", "redacted_thinking"),
    }
)
"""What OpenAI, Anthropic, Inspect and vision-language templates put between texts."""

_decode_text = msgspec.json.Decoder(str).decode


def texts(
    item: Path,
    content: Content,
    before: Sequence[tuple[str, Raw | UnsetType]] = (),
    after: Sequence[tuple[str, Raw | UnsetType]] = (),
) -> list[Text]:
    """Return the texts of a message, at least one.

    Args:
        item: Path of the message.
        content: What the message holds.
        before: Names and values of the members in which servers put reasoning; text may stand deep in them.
        after: The same of those that hold more of an answer.

    Raises:
        ValueError: A part is of a kind that is not known to hold no text.
    """
    if isinstance(content, str) and not before and not after:
        return [(content, _CONTENT)]
    found = _of_members(before)
    beyond = _of_members(after)
    if isinstance(content, list):
        for place, part in enumerate(content):
            found += _of_part(item, part, place)
    elif content or not (found or beyond):
        found.append((content or "", _CONTENT))
    found += beyond
    return found or [("", None if content else _CONTENT)]


def part_calls(item: Path, content: Content) -> list[ToolCall]:
    """Return the tool calls that are parts of a message.

    Raises:
        ValueError: One of them names no tool.
    """
    if not isinstance(content, list):
        return []
    calls = []
    for place, part in enumerate(content):
        if isinstance(part, Part) and part.type in _CALL_TYPES:
            name = text_of(part.name)
            if not name:
                raise ValueError(f"{dotted((*item, 'content', place))}: the tool call names no tool")
            raw = part.input if given(part.input) else part.arguments
            calls.append(ToolCall(id=text_of(part.id), name=name, arguments=argument_text(raw)))
    return calls


def count_keys(content: list[str | Part], counts: MutableMapping[bytes, int]) -> None:
    """Add how often each word that names a text stands in a content, for `opoi.formats.twins.no_twins`."""
    for part in content:
        if isinstance(part, Part):
            for name in _COUNTED:
                value = getattr(part, name)
                if value is not UNSET:
                    count_member(name, value, counts)
            if part.redacted:
                counts[_OBJECT] = 0
            if part.type in _TEXTS:
                _add(str(part.type), counts)


def count_member(name: str, value: Raw | str | UnsetType | None, counts: MutableMapping[bytes, int]) -> None:
    """Add a member that may hold text; one with keys in it makes `no_twins` look at every object."""
    if value is UNSET:
        return
    _add(name, counts)
    if isinstance(value, Raw) and bytes(value)[:1] in (b"{", b"["):
        counts[_OBJECT] = 0


def _add(word: str, counts: MutableMapping[bytes, int]) -> None:
    key = _QUOTED[word]
    counts[key] = counts.get(key, 0) + 1


def _of_members(members: Sequence[tuple[str, Raw | UnsetType]]) -> list[Text]:
    return [text for name, raw in members if raw is not UNSET for text in _of_raw(raw, (name,))]


def _of_part(item: Path, part: str | Part, place: int) -> Iterator[Text]:
    here: Path = ("content", place)
    if isinstance(part, str):
        yield part, here
        return
    known = part.type in _TEXT_TYPES or part.type in _NO_TEXT_TYPES or part.type in _CALL_TYPES
    if not known and (part.type is not UNSET or part.text is UNSET):
        kind = "without a type" if part.type is UNSET else f"of type {part.type[:40]!r}"
        raise ValueError(f"{dotted((*item, *here))}: a part {kind} that is not read")
    said = list(_of_known_members(part, here))
    if said and part.type in _CALL_TYPES:
        raise ValueError(f"{dotted((*item, *here))}: a tool call that holds text, which is not read")
    yield from said


def _of_known_members(part: Part, here: Path) -> Iterator[Text]:
    cipher = _REASONING if part.redacted and part.type in _REASONING else ()
    for name in _TEXTS:
        value = getattr(part, name)
        if value is UNSET or value is None or name in cipher:
            continue
        if isinstance(value, str):
            yield value, (*here, name)
        else:
            yield from _of_raw(value, (*here, name))


def _of_raw(raw: Raw, path: Path) -> Iterator[Text]:
    """Yield the texts in a value: it is one, or they stand in it under names that are known to hold text."""
    first = bytes(raw)[:1]
    if first == b'"':
        text = _decode_text(raw)
        if text:
            yield text, path
    elif first in (b"{", b"["):
        yield from _inside(msgspec.json.decode(raw), path)


def _inside(value: object, path: Path) -> Iterator[Text]:
    if isinstance(value, str):
        if value:
            yield value, path
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _inside(inner, (*path, place))
    elif isinstance(value, dict):
        for name in _TEXTS:
            if name in value:
                yield from _inside(value[name], (*path, name))


def text_of(raw: Raw | UnsetType) -> str:
    """Return what a value says if it is a string, else nothing."""
    if raw is UNSET or bytes(raw)[:1] != b'"':
        return ""
    return _decode_text(raw)


def argument_text(raw: Raw | UnsetType) -> str:
    """Return tool arguments as text: a string decoded, anything else as it is written, but on one line."""
    if raw is UNSET:
        return ""
    data = bytes(raw)
    if data[:1] == b'"':
        return _decode_text(data)
    if data == b"null":
        return ""
    # A line feed is never inside a string: JSON escapes it.
    return (msgspec.json.format(data, indent=0) if b"\n" in data else data).decode()


def given(raw: Raw | UnsetType) -> bool:
    """Whether a value says anything: it is there and not null, false, 0 or an empty string."""
    return raw is not UNSET and bytes(raw) not in (b"null", b"false", b'""', b"0")


def listed(key: str, raw: Raw, decode: Callable[[Raw], list[T]]) -> list[T]:
    """Decode a list of messages that stands in a record.

    Args:
        key: Where it stands, for the error message.
        raw: The list.
        decode: Its decoder.

    Raises:
        ValueError: It is no such list.
    """
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("`$", f"`$.{key}")) from error


# ---------------------------------------------------------------- messages

_AUTHORS: Final[dict[str, tuple[Role, Author]]] = {
    "system": ("system", "suite"),
    "developer": ("system", "suite"),
    "user": ("user", "suite"),
    "assistant": ("assistant", "student"),
    "tool": ("tool", "env"),
    "function": ("tool", "env"),
}


def spoken(
    item: Path,
    role: str,
    said: Sequence[Text],
    *,
    calls: tuple[ToolCall, ...] = (),
    answers: str = "",
    weight: float = 0.0,
    error: bool = False,
) -> list[Piece]:
    """Return a message of a record as messages of the trace: one per text, the tool calls on the last.

    Args:
        item: Path of the message.
        role: As in chat completions, older names included.
        said: Its texts.
        calls: Tool calls that it makes.
        answers: The tool call that it answers.
        weight: Loss weight if the assistant wrote it, 0 to 1.
        error: Whether it reports a failed tool call.

    Raises:
        ValueError: Role or weight cannot be.
    """
    known = _AUTHORS.get(role)
    if known is None:
        raise ValueError(f"{dotted(item)}: the role {role[:40]!r} is none of {', '.join(_AUTHORS)}")
    if not 0 <= weight <= 1:
        raise ValueError(f"{dotted(item)}: a loss weight of {weight} is not from 0 to 1")
    of_role, author = known
    loss = weight if of_role == "assistant" else 0.0
    pieces = []
    for place, (text, inner) in enumerate(said, start=1):
        message = Message(
            role=of_role,
            content=text,
            tool_calls=calls if place == len(said) else (),
            tool_call_id=answers,
            author=author,
            loss_weight=loss,
            error=error,
        )
        pieces.append(Piece(message, item, inner))
    return pieces


def dotted(path: Path) -> str:
    """Return a path as people write it: `messages[2].content`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
