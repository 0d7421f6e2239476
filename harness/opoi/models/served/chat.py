"""The server's side of chat completions: a request body in, a completion or its stream out. No HTTP here.

What a request asks for is done or refused, never passed over: `tools`, `tool_choice` (`auto`, `none`),
`parallel_tool_calls`, `seed`, `n`, `stop`, `max_tokens`, `stream` and `stream_options` are done; how to
sample (`temperature`, `top_p`) is checked and left to the model that is served; all else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from opoi.protocols import Model
from opoi.seeds import Stream
from opoi.types import Message, Reply, ToolCall, ToolSpec, Usage
from opoi.wire import encode_reply, parse_messages, parse_tools

__all__ = ["ChatRequest", "RefusedError", "chunks", "complete", "read_request"]

CHARS_PER_TOKEN = 4
"""No tokenizer is at hand: `max_tokens` cuts after so many characters per token, arguments included."""

_DEEPEST = 64
"""Most levels of nesting in a request. Deeper ones could not be handed on without recursion errors."""

_PIECE = 24
"""Characters of one piece of a stream."""


class RefusedError(Exception):
    """A request that gets an error body instead of a completion.

    Args:
        message: What is wrong.
        status: HTTP status.
        param: The field that is wrong.
        code: Short name of the error.
        type: Class of the error, as OpenAI names them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}


class _StreamOptions(Struct):
    include_usage: bool = False


class _Body(Struct, forbid_unknown_fields=True):
    """A request as sent. Fields typed `Any` after `metadata` must be neutral: see `_NEUTRAL`."""

    model: str
    messages: Any
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    seed: int | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    logprobs: Any = None
    top_logprobs: Any = None
    logit_bias: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    response_format: Any = None
    modalities: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None


_NEUTRAL: dict[str, tuple[object, ...]] = {
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "reasoning_effort": (),
    "verbosity": (),
    "functions": (),
    "function_call": (),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
}
"""Fields that are understood but not done, with the values besides null that ask for nothing."""


class ChatRequest(Struct, frozen=True):
    """A request that can be done.

    Attributes:
        messages: The conversation.
        tools: Tools on offer; none where `tool_choice` is `none`.
        seeds: One sampling seed for each choice asked for.
        stops: Texts before which an answer ends.
        limit: Most characters of an answer, None for no limit.
        one_call: Keep only the first tool call.
        stream: Answer in pieces.
        usage_in_stream: End the stream with the usage.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    seeds: tuple[int, ...]
    stops: tuple[str, ...] = ()
    limit: int | None = None
    one_call: bool = False
    stream: bool = False
    usage_in_stream: bool = False


# ---------------------------------------------------------------- reading

_decode = msgspec.json.Decoder(_Body).decode


def read_request(body: bytes, model: str) -> ChatRequest:
    """Read the body of a request.

    Args:
        body: As received.
        model: The one name that may be asked for.

    Raises:
        RefusedError: It is malformed, or asks for something that is not done.
    """
    try:
        raw = _decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(str(error), param=_field_in(str(error)), code="invalid_value") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"the body is not JSON: {error}", code="invalid_json") from error
    except RecursionError as error:
        raise _too_deep() from error
    if raw.model != model:
        raise RefusedError(
            f"the model {raw.model!r} does not exist; there is {model!r}",
            status=404,
            param="model",
            code="model_not_found",
        )
    if _depth_over([raw.messages, raw.tools], _DEEPEST):
        raise _too_deep()
    _refuse_undone(raw)
    tools = _read_tools(raw)
    limits = [limit for limit in (raw.max_tokens, raw.max_completion_tokens) if limit is not None]
    return ChatRequest(
        messages=_read_messages(raw.messages),
        tools=tools,
        seeds=_seeds(raw, body),
        stops=_read_stops(raw.stop),
        limit=min(limits) * CHARS_PER_TOKEN if limits else None,
        one_call=raw.parallel_tool_calls is False,
        stream=bool(raw.stream),
        usage_in_stream=_usage_wanted(raw),
    )


def _field_in(message: str) -> str | None:
    found = re.search(r"\$\.(\w+)", message) or re.search(r"field `(\w+)`", message)
    return found[1] if found else None


def _too_deep() -> RefusedError:
    return RefusedError(f"the body is nested deeper than {_DEEPEST} levels", code="nested_too_deep")


def _depth_over(value: object, limit: int) -> bool:
    """Walk level by level: recursion is what this protects from."""
    level = [value]
    for _ in range(limit + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True


def _refuse_undone(raw: _Body) -> None:
    for field, neutral in _NEUTRAL.items():
        value = getattr(raw, field)
        if value is not None and value not in neutral:
            raise RefusedError(f"`{field}` is not supported", param=field, code="unsupported_value")


def _read_messages(raw: object) -> tuple[Message, ...]:
    if isinstance(raw, list):
        for index, item in enumerate(raw):
            _refuse_media(item, index)
    try:
        return parse_messages(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedError(str(error), param="messages", code="invalid_value") from error


def _refuse_media(message: object, index: int) -> None:
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") not in ("text", "refusal"):
            raise RefusedError(
                f"messages[{index}].content: only text is supported, not {part.get('type')!r}",
                param="messages",
                code="unsupported_value",
            )


def _read_tools(raw: _Body) -> tuple[ToolSpec, ...]:
    if raw.tool_choice not in (None, "auto", "none"):
        raise RefusedError(
            "`tool_choice` must be 'auto' or 'none': a served model cannot be made to call a tool",
            param="tool_choice",
            code="unsupported_value",
        )
    try:
        tools = parse_tools(raw.tools)
    except (ValueError, RecursionError) as error:
        raise RefusedError(str(error), param="tools", code="invalid_value") from error
    return () if raw.tool_choice == "none" else tools


def _read_stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > 4 or "" in stops:
        raise RefusedError("`stop` takes up to 4 texts, none empty", param="stop", code="invalid_value")
    return stops


def _usage_wanted(raw: _Body) -> bool:
    if raw.stream_options is None:
        return False
    if not raw.stream:
        raise RefusedError(
            "`stream_options` needs `stream: true`", param="stream_options", code="invalid_value"
        )
    return raw.stream_options.include_usage


def _seeds(raw: _Body, body: bytes) -> tuple[int, ...]:
    """Return a seed in [0, 2**31) per choice; the first is that of the request where it fits."""
    seed = raw.seed
    if seed is None:
        seed = int.from_bytes(blake2b(body, digest_size=16).digest(), "little")
    stream = Stream(seed, "request")
    first = seed if 0 <= seed < 2**31 else stream.seed31()
    return (first, *(stream.seed31("choice", index) for index in range(1, raw.n or 1)))


# ---------------------------------------------------------------- answering


def complete(model: Model, asked: ChatRequest, name: str) -> dict[str, Any]:
    """Let the model answer; return the body of the completion."""
    replies = [_held(model.complete(asked.messages, asked.tools, seed=seed), asked) for seed in asked.seeds]
    bodies = [encode_reply(reply, model=name) for reply in replies]
    result = bodies[0]
    result["choices"] = [{**body["choices"][0], "index": index} for index, body in enumerate(bodies)]
    spent = sum(reply.usage.completion_tokens for reply in replies)
    result["usage"]["completion_tokens"] = spent
    result["usage"]["total_tokens"] = result["usage"]["prompt_tokens"] + spent
    return result


def _held(reply: Reply, asked: ChatRequest) -> Reply:
    """Hold a reply to the limits of the request."""
    calls = reply.tool_calls[:1] if asked.one_call else reply.tool_calls
    content, finish = reply.content, reply.finish_reason
    cuts = [at for at in (content.find(stop) for stop in asked.stops) if at >= 0]
    if cuts:
        content, calls, finish = content[: min(cuts)], (), "stop"
    if asked.limit is not None and len(content) + sum(len(call.arguments) for call in calls) > asked.limit:
        return _cut(reply, content, calls, asked.limit)
    return msgspec.structs.replace(reply, content=content, tool_calls=calls, finish_reason=finish)


def _cut(reply: Reply, content: str, calls: tuple[ToolCall, ...], limit: int) -> Reply:
    """Cut where a token limit would: in the text, else in the arguments of a tool call."""
    kept: list[ToolCall] = []
    left = limit - len(content)
    for call in calls:
        if left <= 0:
            break
        kept.append(msgspec.structs.replace(call, arguments=call.arguments[:left]))
        left -= len(call.arguments)
    usage = Usage(
        calls=reply.usage.calls,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=min(reply.usage.completion_tokens, limit // CHARS_PER_TOKEN),
    )
    return Reply(content=content[:limit], tool_calls=tuple(kept), finish_reason="length", usage=usage)


# ---------------------------------------------------------------- streaming


def chunks(asked: ChatRequest, completion: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a completion as the objects of a stream."""
    head: dict[str, Any] = {key: completion[key] for key in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    tail = {"usage": None} if asked.usage_in_stream else {}
    for choice in completion["choices"]:
        for delta in _deltas(choice["message"]):
            yield {**head, "choices": [_piece(choice["index"], delta, None)], **tail}
        yield {**head, "choices": [_piece(choice["index"], {}, choice["finish_reason"])], **tail}
    if asked.usage_in_stream:
        yield {**head, "choices": [], "usage": completion["usage"]}


def _piece(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for text in _pieces(message["content"] or ""):
        yield {"content": text}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        start = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [start]}
        for text in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
