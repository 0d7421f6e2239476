"""Training files in OpenAI's chat format, checked line by line before anything is learned from them.

What is checked is what the API's guide to supervised fine-tuning asks for. Where the guide is silent the
check is strict, so that a file which passes here has no form left to fail on: no unknown fields, every tool
call answered before the conversation goes on, the assistant's word last, something to learn in every line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from opoi.models.served.template import rendered
from opoi.types import Message, ToolCall, ToolSpec
from opoi.types.base import Value

__all__ = ["ANSWER", "LEAST_EXAMPLES", "Dialogue", "InvalidFileError", "read_dialogues", "warnings"]

LEAST_EXAMPLES = 10
"""A file with fewer lines is refused, as the API does."""

ANSWER = rendered(())
"""What stands before every answer."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InvalidFileError(Exception):
    """A file that nothing can be learned from.

    Args:
        code: Short name of the error.
        message: What is wrong, with the line.
        param: The field of the request that is to blame.
    """

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


# ---------------------------------------------------------------- the form of a line


class _Function(Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _Part(Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class _Message(Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    weight: Literal[0, 1] | None = None


class _ToolFunction(Struct, forbid_unknown_fields=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _ToolFunction


class _Line(Struct, forbid_unknown_fields=True):
    messages: list[_Message]
    tools: list[_Tool] | None = None
    parallel_tool_calls: bool | None = None


_decode = msgspec.json.Decoder(_Line).decode
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_OTHER_FORMS = {
    "preferred_output": "preference data, which only the method `dpo` takes",
    "prompt": "a prompt and its completion, which chat models are not tuned on",
}
"""Fields that tell the forms of other methods from a slip in this one."""


# ---------------------------------------------------------------- reading


class Dialogue(Value, frozen=True, kw_only=True):
    """One line of a training file as text.

    Attributes:
        line: Its number in the file, from 1.
        pieces: The conversation in order: text, and whether it is learned (what the assistant said with
            weight 1).
        strays: Names of tools that are called but not offered.
    """

    line: int
    pieces: tuple[tuple[str, bool], ...]
    strays: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole conversation."""
        return "".join(text for text, _ in self.pieces)


def read_dialogues(content: bytes, param: str) -> list[Dialogue]:
    """Read a training or validation file.

    Args:
        content: JSONL in UTF-8; a line break at the end is optional.
        param: The field of the request that named it.

    Raises:
        InvalidFileError: A line is not as it must be, or there are fewer than `LEAST_EXAMPLES`.
    """
    lines = content.removesuffix(b"\n").split(b"\n")
    dialogues: list[Dialogue] = []
    first = ""
    for number, line in enumerate(lines, start=1):
        try:
            dialogues.append(_dialogue(number, _line(line)))
        except ValueError as error:
            first = first or f"line {number}: {error}"
    if first:
        others = len(lines) - len(dialogues) - 1
        more = f" (and {others} more lines are wrong)" if others else ""
        raise InvalidFileError(f"invalid_{param}", f"{first}{more}", param)
    if len(dialogues) < LEAST_EXAMPLES:
        raise InvalidFileError(
            "invalid_n_examples",
            f"the file has {len(dialogues)} examples, but at least {LEAST_EXAMPLES} are needed",
            param,
        )
    return dialogues


def warnings(train: Sequence[Dialogue], valid: Sequence[Dialogue]) -> list[str]:
    """Return what is allowed but seldom meant."""
    found = []
    strays = [dialogue for dialogue in train if dialogue.strays]
    if strays:
        found.append(
            f"{len(strays)} training examples call tools that they do not offer,"
            f" e.g. line {strays[0].line}: {strays[0].strays[0]}"
        )
    trained = {dialogue.pieces for dialogue in train}
    shared = [dialogue for dialogue in valid if dialogue.pieces in trained]
    if shared:
        found.append(
            f"{len(shared)} validation examples are also training examples, e.g. line {shared[0].line}"
        )
    return found


def _line(raw: bytes) -> _Line:
    """Decode a line.

    Raises:
        ValueError: It is not JSON, or not an example.
    """
    if not raw.strip():
        raise ValueError("it is empty")
    try:
        return _decode(raw)
    except msgspec.ValidationError as error:
        raise ValueError(_other_form(raw) or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _other_form(raw: bytes) -> str:
    try:
        keys = _keys(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "it is not a JSON object"
    found = [form for key, form in _OTHER_FORMS.items() if key in keys]
    return f"it is {found[0]}" if found else ""


# ---------------------------------------------------------------- what must hold for a conversation


def _dialogue(number: int, line: _Line) -> Dialogue:
    _check_tools(line.tools)
    if not line.messages:
        raise ValueError("`messages` is empty")
    open_calls: set[str] = set()
    for index, message in enumerate(line.messages):
        try:
            open_calls = _check_message(message, open_calls)
        except ValueError as error:
            raise ValueError(f"messages[{index}]: {error}") from error
    if line.messages[-1].role != "assistant":
        raise ValueError("the last message must be the assistant's")
    if not any(_learned(message) for message in line.messages):
        raise ValueError("every assistant message has weight 0: there is nothing to learn")
    offered = {tool.function.name for tool in line.tools or ()}
    called = {call.function.name for message in line.messages for call in message.tool_calls or ()}
    return Dialogue(
        line=number,
        pieces=tuple(_pieces(line)),
        strays=tuple(sorted(called - offered)),
    )


def _check_tools(tools: list[_Tool] | None) -> None:
    names = [tool.function.name for tool in tools or ()]
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"tools[{index}]: the name {name!r} may have letters, digits, _ and -, and at most 64 of them"
            )
        if name in names[:index]:
            raise ValueError(f"tools[{index}]: the name {name!r} is used twice")


def _check_message(message: _Message, open_calls: set[str]) -> set[str]:
    """Check a message where it stands; return the ids of the tool calls that are open after it."""
    if message.role == "tool":
        if message.tool_call_id not in open_calls:
            raise ValueError(f"it answers no open tool call: `tool_call_id` is {message.tool_call_id!r}")
    elif open_calls:
        raise ValueError(f"the tool call {min(open_calls)!r} has not been answered yet")
    elif message.tool_call_id is not None:
        raise ValueError("`tool_call_id` is for messages of the role `tool`")
    if message.role == "assistant":
        return _check_assistant(message)
    if message.content is None:
        raise ValueError("`content` is missing")
    if message.weight is not None or message.tool_calls is not None:
        raise ValueError("`weight` and `tool_calls` are for messages of the role `assistant`")
    return open_calls - {message.tool_call_id or ""}


def _check_assistant(message: _Message) -> set[str]:
    if message.tool_calls is None:
        if not message.content:
            raise ValueError("it has neither `content` nor `tool_calls`")
        return set()
    ids = {call.id for call in message.tool_calls}
    if not ids:
        raise ValueError("`tool_calls` is empty")
    if len(ids) < len(message.tool_calls):
        raise ValueError("two of its tool calls have the same id")
    return ids


def _learned(message: _Message) -> bool:
    return message.role == "assistant" and message.weight != 0


# ---------------------------------------------------------------- as text


def _pieces(line: _Line) -> Iterator[tuple[str, bool]]:
    """Yield a conversation as the text that is scored; the assistant's words stand apart from their mark."""
    specs = [
        ToolSpec(
            name=tool.function.name,
            description=tool.function.description or "",
            parameters=tool.function.parameters or {},
        )
        for tool in line.tools or ()
    ]
    if specs:
        yield rendered((), specs, prompt=False), False
    for message in line.messages:
        text = rendered((_message(message),), prompt=False)
        if _learned(message):
            yield ANSWER, False
            yield text.removeprefix(ANSWER), True
        else:
            yield text, False


def _message(raw: _Message) -> Message:
    content = "".join(part.text for part in raw.content) if isinstance(raw.content, list) else raw.content
    calls = tuple(
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in raw.tool_calls or ()
    )
    role = "system" if raw.role == "developer" else raw.role
    return Message(role=role, content=content or "", tool_calls=calls, author="suite")
