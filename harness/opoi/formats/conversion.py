"""What the readers of all formats share: the texts of a message, and the messages made of them.

A message of a record with several texts (parts, or reasoning beside the answer) becomes several messages of
the trace, one per text, so that each change has one place to go back to. The tool calls hang on the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    "dotted",
    "given",
    "listed",
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
    """A part of a message's content. Texts and reasoning are read; images and the rest stay as they are."""

    type: str = "text"
    text: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    redacted: bool | None = None


Content = str | list[str | Part] | None | UnsetType

Text = tuple[str, Path | None]
"""A text and its path within the message."""

_CONTENT: Final[Path] = ("content",)
_decode_text = msgspec.json.Decoder(str).decode


def texts(content: Content, aside: Sequence[tuple[str, Raw | UnsetType]] = ()) -> list[Text]:
    """Return the texts of a message, at least one, reasoning before the answer.

    Args:
        content: What the message holds.
        aside: Names and values of the members in which servers put reasoning; what is no string is left out.
    """
    if isinstance(content, str) and not aside:
        return [(content, _CONTENT)]
    found: list[Text] = [(text, (name,)) for name, raw in aside if (text := text_of(raw))]
    if isinstance(content, list):
        found += [text for place, part in enumerate(content) for text in _of_part(part, place)]
        if not found:
            found.append(("", None if content else _CONTENT))
    elif isinstance(content, str):
        if content or not found:
            found.append((content, _CONTENT))
    elif not found:
        found.append(("", _CONTENT))
    return found


def _of_part(part: str | Part, place: int) -> Iterator[Text]:
    if isinstance(part, str):
        yield part, ("content", place)
    elif part.type == "text" and part.text is not None:
        yield part.text, ("content", place, "text")
    elif part.type in ("reasoning", "thinking") and not part.redacted:
        for name, text in (("reasoning", part.reasoning), ("thinking", part.thinking)):
            if text is not None:
                yield text, ("content", place, name)


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
