"""Requests for chat completions, read strictly: what one asks for is done or refused, never passed over.

`tools`, `tool_choice`, `parallel_tool_calls`, `response_format`, `logprobs`, `top_logprobs`, `seed`, `n`,
`stop`, `max_tokens`, `stream` and `stream_options` are done; so are `prompt_logprobs`,
`add_generation_prompt` and `return_token_ids`, in which vLLM goes beyond OpenAI. How to sample
(`temperature`, `top_p`) is checked and left to the model that is served. All else is refused unless it asks
for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from opoi.models.served.forced import Schema, read_format
from opoi.models.served.requests import (
    RefusedError,
    StreamOptions,
    choice_seeds,
    decode_body,
    read_into,
    read_stops,
    refuse_undone,
    require_model,
    wants_usage,
)
from opoi.types import Message, ToolSpec
from opoi.wire import parse_messages, parse_tools

__all__ = ["ChatRequest", "ForcedCall", "read_chat", "read_request"]


class _Body(Struct, forbid_unknown_fields=True):
    """A request as sent. Fields typed `Any` after `return_token_ids` must be neutral: see `_NEUTRAL`."""

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
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    response_format: Any = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    prompt_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    add_generation_prompt: bool | None = None
    return_token_ids: bool | None = None
    logit_bias: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    modalities: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None


_NEUTRAL: dict[str, tuple[object, ...]] = {
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
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


class ForcedCall(Struct, frozen=True):
    """A tool call that an answer has to have.

    Attributes:
        tool: Name of the tool to be called; `""` where any will do.
        fallback: The tool that is called where the model called none.
        arguments: The JSON of its smallest arguments.
    """

    tool: str
    fallback: str
    arguments: str


class ChatRequest(Struct, frozen=True):
    """A request that can be done.

    Attributes:
        model: The name that was asked for.
        messages: The conversation.
        tools: Tools on offer; none where `tool_choice` is `none`.
        seeds: One sampling seed for each choice asked for.
        stops: Texts before which an answer ends.
        limit: Most tokens of an answer, None for no limit.
        one_call: Keep only the first tool call.
        forced: The call that there has to be, None for none.
        schema: What the text of an answer without calls has to fit, None for anything.
        top: How many alternatives to list for each token of the answer, None for no log-probabilities.
        prompt_top: How many to list for each token of the prompt, None for no log-probabilities of it.
        answers: Answer the conversation; False where it is to be scored only.
        ids: Tell the numbers of the tokens.
        stream: Answer in pieces.
        usage_in_stream: End the stream with the usage.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    seeds: tuple[int, ...]
    stops: tuple[str, ...] = ()
    limit: int | None = None
    one_call: bool = False
    forced: ForcedCall | None = None
    schema: Schema | None = None
    top: int | None = None
    prompt_top: int | None = None
    answers: bool = True
    ids: bool = False
    stream: bool = False
    usage_in_stream: bool = False


def read_request(body: bytes, model: str) -> ChatRequest:
    """Read the body of a request.

    Args:
        body: As received.
        model: The one name that may be asked for.

    Raises:
        RefusedError: It is malformed, or asks for something that is not done.
    """
    return read_chat(decode_body(body), [model], body)


def read_chat(raw: dict[str, Any], names: Sequence[str], body: bytes) -> ChatRequest:
    """Read a decoded request.

    Args:
        raw: The request.
        names: Models that may be asked for.
        body: The request as received: equal bytes get equal answers.

    Raises:
        RefusedError: It is malformed, or asks for something that is not done.
    """
    fields = read_into(_Body, raw)
    require_model(fields.model, names)
    refuse_undone(fields, _NEUTRAL)
    _check_scoring(fields)
    tools = _read_tools(fields.tools)
    limits = [limit for limit in (fields.max_tokens, fields.max_completion_tokens) if limit is not None]
    return ChatRequest(
        model=fields.model,
        messages=_read_messages(fields.messages),
        tools=() if fields.tool_choice == "none" else tools,
        seeds=choice_seeds(fields.seed, fields.n or 1, body),
        stops=read_stops(fields.stop),
        limit=min(limits, default=None),
        one_call=fields.parallel_tool_calls is False,
        forced=_read_choice(fields.tool_choice, tools),
        schema=read_format(fields.response_format),
        top=(fields.top_logprobs or 0) if fields.logprobs else None,
        prompt_top=fields.prompt_logprobs,
        answers=fields.add_generation_prompt is not False,
        ids=bool(fields.return_token_ids),
        stream=bool(fields.stream),
        usage_in_stream=wants_usage(fields.stream, fields.stream_options),
    )


def _check_scoring(fields: _Body) -> None:
    if fields.top_logprobs and not fields.logprobs:
        raise RefusedError(
            "`top_logprobs` needs `logprobs: true`", param="top_logprobs", code="invalid_value"
        )
    for name in ("prompt_logprobs", "return_token_ids"):
        if fields.stream and getattr(fields, name) not in (None, False):
            raise RefusedError(f"`{name}` is not done in a stream", param=name, code="unsupported_value")


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


def _read_tools(raw: object) -> tuple[ToolSpec, ...]:
    try:
        return parse_tools(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedError(str(error), param="tools", code="invalid_value") from error


class _Chosen(Struct):
    name: str


class _Choice(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _Chosen


def _read_choice(raw: object, tools: Sequence[ToolSpec]) -> ForcedCall | None:
    """Return the call that `tool_choice` asks for."""
    if raw in (None, "auto", "none"):
        return None
    if raw == "required":
        name = ""
    elif isinstance(raw, dict):
        try:
            name = read_into(_Choice, raw).function.name
        except RefusedError as error:
            raise _wrong_choice(str(error)) from error
    else:
        raise _wrong_choice(f"it is {raw!r}")
    chosen = next((tool for tool in tools if name in ("", tool.name)), None)
    if chosen is None:
        raise _wrong_choice(f"there is no tool {name!r}" if name else "there are no tools")
    schema = Schema({"type": "object", **chosen.parameters}, param="tools")
    return ForcedCall(tool=name, fallback=chosen.name, arguments=schema.smallest)


def _wrong_choice(problem: str) -> RefusedError:
    return RefusedError(
        "`tool_choice` is 'auto', 'none', 'required' or"
        f" {{'type': 'function', 'function': {{'name': ...}}}} of a tool on offer: {problem}",
        param="tool_choice",
        code="invalid_value",
    )
