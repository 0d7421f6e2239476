"""The JSON of chat completions, of environment actions and of decisions.

Nothing here talks to anyone: it maps our values to the wire and back, for the client, the server, the
exporters and the environments alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from opoi.types import Message, Reply, ToolCall, ToolSpec, Usage

__all__ = [
    "Action",
    "answer_action",
    "call_action",
    "characters",
    "decode_reply",
    "encode_message",
    "encode_messages",
    "encode_reply",
    "encode_tool",
    "find_object",
    "find_objects",
    "parse_action",
    "parse_messages",
    "parse_tools",
    "schema_of",
    "valid_text",
]

T = TypeVar("T")

# ---------------------------------------------------------------- environment actions


class Action(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One action of an agent in an environment: a call of `tool`, or an `answer`."""

    tool: str = ""
    arguments: str = ""
    answer: str | None = None


_encode = msgspec.json.Encoder().encode
_decode_action = msgspec.json.Decoder(Action).decode


def call_action(tool: str, arguments: str) -> str:
    """Return the action text of a tool call; `arguments` is the raw text of the model."""
    return _encode(Action(tool=tool, arguments=arguments)).decode()


def answer_action(text: str) -> str:
    """Return the action text of a final answer."""
    return _encode(Action(answer=text)).decode()


def parse_action(text: str) -> Action:
    """Read an action text.

    Raises:
        ValueError: The text is not an action; the message says what is wrong.
    """
    try:
        action = _decode_action(text)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an action: {error}") from error
    if bool(action.tool) == (action.answer is not None):
        raise ValueError("an action has either 'tool' or 'answer'")
    return action


# ---------------------------------------------------------------- decision objects


_OPENING = re.compile(r"\{(?=\s*[\"}])")
"""A brace that can open a JSON object; looking first spares a failed parse for each other one."""


def valid_text(text: str) -> str:
    """Return the text with halves of surrogate pairs replaced, so that it can be written and matched."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_MOST_FAILED = 1_000
"""After so many braces that open no object a text is taken for prose: the search stays linear."""

_scan = json.JSONDecoder().raw_decode


@lru_cache(maxsize=256)
def find_objects(text: str) -> tuple[tuple[int, int], ...]:
    """Return the spans of the top-level JSON objects in a text, in order."""
    found: list[tuple[int, int]] = []
    position = failed = 0
    while (match := _OPENING.search(text, position)) is not None:
        position = match.start() + 1
        try:
            _, end = _scan(text, match.start())
        except ValueError:  # it counts lines up to there: each failure costs the length of the text
            failed += 1
            if failed == _MOST_FAILED:
                break
            continue
        except RecursionError:
            break
        found.append((match.start(), end))
        position = end
    return tuple(found)


def find_object(text: str) -> tuple[int, int] | None:
    """Return the span of the last top-level JSON object in a text, None where there is none.

    Models wrap their answer in prose or code fences; the last object is the decision.
    """
    found = find_objects(text)
    return found[-1] if found else None


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Return the JSON Schema of a struct, self-contained and without `$ref` at the top."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    top = dict(components.pop(kind.__name__)) if kind.__name__ in components else dict(schema)
    top.pop("title", None)
    top.setdefault("additionalProperties", False)
    if components:
        top["$defs"] = components
    return top


# ---------------------------------------------------------------- chat completions, our side


def encode_message(message: Message) -> dict[str, Any]:
    """Return a message as a chat-completions object. `content` is never null (some servers refuse)."""
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        wire["tool_call_id"] = message.tool_call_id
    return wire


def encode_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return messages as chat-completions objects."""
    return [encode_message(message) for message in messages]


def encode_tool(tool: ToolSpec) -> dict[str, Any]:
    """Return a tool as a chat-completions object."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    }


def characters(messages: Iterable[Message], tools: Iterable[ToolSpec]) -> int:
    """Return how many characters a model is shown: contents, tool calls, and the tools on offer.

    For models that have no tokenizer and count their prompt in characters.
    """
    shown = 0
    for message in messages:
        shown += len(message.content)
        for call in message.tool_calls:
            shown += len(call.name) + len(call.arguments)
    for tool in tools:
        shown += len(tool.name) + len(tool.description) + len(_encode(tool.parameters))
    return shown


# ---------------------------------------------------------------- chat completions, their side


class _Function(Struct):
    name: str
    arguments: str | dict[str, Any] | None = ""


class _Call(Struct):
    function: _Function
    id: str | None = ""


class _Part(Struct):
    text: str = ""


class _Message(Struct):
    role: str | None = "assistant"
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = ""


class _Usage(Struct):
    prompt_tokens: float | None = 0
    completion_tokens: float | None = 0


class _Completion(Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_decode_completion = msgspec.json.Decoder(_Completion).decode


def _calls(calls: Sequence[_Call] | None) -> tuple[ToolCall, ...]:
    """Read tool calls; missing or repeated ids are replaced by the position in the reply."""
    result: list[ToolCall] = []
    seen: set[str] = set()
    for index, call in enumerate(calls or ()):
        raw = call.function.arguments
        arguments = json.dumps(raw) if isinstance(raw, dict) else raw or ""
        name = call.id if call.id and call.id not in seen else f"call_{index}"
        seen.add(name)
        result.append(ToolCall(id=name, name=call.function.name, arguments=arguments))
    return tuple(result)


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content)
    return content or ""


def decode_reply(body: bytes) -> Reply:
    """Read the body of a chat completion.

    Raises:
        ValueError: The body is not a chat completion; the message says what is wrong.
    """
    try:
        try:
            completion = _decode_completion(body)
        except msgspec.DecodeError:
            completion = _decode_completion(_mended(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(f"not a chat completion: {error}") from error
    if not completion.choices:
        raise ValueError("not a chat completion: `choices` is empty")
    choice = completion.choices[0]
    usage = completion.usage or _Usage()
    return Reply(
        content=_text(choice.message.content),
        tool_calls=_calls(choice.message.tool_calls),
        finish_reason="refusal" if choice.message.refusal else choice.finish_reason or "",
        usage=Usage(
            calls=1,
            prompt_tokens=int(usage.prompt_tokens or 0),
            completion_tokens=int(usage.completion_tokens or 0),
        ),
    )


def _mended(body: bytes) -> bytes:
    """Return a JSON body with halves of surrogate pairs replaced: a model wrote them, not the server."""
    return valid_text(json.dumps(json.loads(body), ensure_ascii=False)).encode()


def encode_reply(reply: Reply, *, model: str, created: int = 0) -> dict[str, Any]:
    """Return a reply as the body of a chat completion (what a server sends)."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content or None}
    if reply.tool_calls:
        shell = Message(role="assistant", author="student", tool_calls=reply.tool_calls)
        message["tool_calls"] = encode_message(shell)["tool_calls"]
    usage = reply.usage
    return {
        "id": "chatcmpl-opoi",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop"),
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }


# ---------------------------------------------------------------- requests, read by a server

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def parse_messages(raw: object) -> tuple[Message, ...]:
    """Read the `messages` of a request.

    Raises:
        ValueError: They are not chat messages; the message says what is wrong.
    """
    messages = _convert(raw, list[_Message], "messages")
    result = []
    for index, item in enumerate(messages):
        role = _ROLES.get(item.role or "")
        if role is None:
            raise ValueError(f"messages[{index}].role: {item.role!r} is not a chat role")
        result.append(
            Message(
                role=role,  # type: ignore[arg-type]  # one of the four literals by construction
                content=_text(item.content),
                tool_calls=_calls(item.tool_calls),
                tool_call_id=item.tool_call_id or "",
                author="suite",
            )
        )
    if not result:
        raise ValueError("messages: must not be empty")
    return tuple(result)


class _ToolFunction(Struct):
    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class _Tool(Struct):
    function: _ToolFunction


def parse_tools(raw: object) -> tuple[ToolSpec, ...]:
    """Read the `tools` of a request; None gives none.

    Raises:
        ValueError: They are not function tools; the message says what is wrong.
    """
    tools = _convert(raw if raw is not None else [], list[_Tool], "tools")
    return tuple(
        ToolSpec(
            name=tool.function.name,
            description=tool.function.description,
            parameters=tool.function.parameters,
        )
        for tool in tools
    )


def _convert(raw: object, kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}") from error
