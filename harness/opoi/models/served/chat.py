"""Chat completions: a request in, the body of a completion out. No HTTP here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec

from opoi.models.served.asked import ChatRequest, ForcedCall, read_chat, read_request
from opoi.models.served.language import LanguageModel
from opoi.models.served.requests import RefusedError, require_scorable
from opoi.models.served.scores import chat_logprobs, prompt_logprobs, token_ids
from opoi.models.served.spelling import tokens
from opoi.models.served.template import calls_text, rendered
from opoi.protocols import Model
from opoi.types import Message, Reply, ToolCall, Usage
from opoi.wire import encode_reply, valid_text

__all__ = ["ChatRequest", "RefusedError", "complete", "cut", "first_stop", "read_chat", "read_request"]


def complete(
    model: Model, asked: ChatRequest, name: str, language: LanguageModel | None = None
) -> dict[str, Any]:
    """Let the model answer; return the body of the completion.

    What the model said is held to the request: to the tool call and the schema that it demands, its stops
    and its limit. Usage is the model's own; tokens are counted where it reports none or did not write them.

    Args:
        model: Answers.
        asked: The request.
        name: The model's name in the answer.
        language: Gives log-probabilities; None takes one that has learned nothing.

    Raises:
        RefusedError: More is to be scored than can be.
    """
    prompt = _Prompt(asked)
    if asked.top is not None or asked.prompt_top is not None:
        require_scorable(len(prompt.tokens), "messages")
    replies = [_held(reply, asked) for reply in _replies(model, asked)]
    bodies = [encode_reply(reply, model=name) for reply in replies]
    result = bodies[0]
    result["choices"] = [{**body["choices"][0], "index": index} for index, body in enumerate(bodies)]
    result["usage"] = _usage(replies, prompt)
    _add_scores(result, [reply.content for reply in replies], asked, prompt, language)
    return result


class _Prompt:
    """The conversation as text, made when it is needed."""

    def __init__(self, asked: ChatRequest) -> None:
        self._asked = asked

    @cached_property
    def text(self) -> str:
        return rendered(self._asked.messages, self._asked.tools, prompt=self._asked.answers)

    @cached_property
    def tokens(self) -> list[bytes]:
        return tokens(self.text)


def _replies(model: Model, asked: ChatRequest) -> list[Reply]:
    if not asked.answers:
        return [Reply(finish_reason="stop") for _ in asked.seeds]
    return [model.complete(asked.messages, asked.tools, seed=seed) for seed in asked.seeds]


def _add_scores(
    result: dict[str, Any],
    texts: Sequence[str],
    asked: ChatRequest,
    prompt: _Prompt,
    language: LanguageModel | None,
) -> None:
    """Add log-probabilities and token numbers, where they were asked for."""
    language = language or LanguageModel()
    for choice, text in zip(result["choices"], texts, strict=True):
        if asked.top is not None and text:
            require_scorable(len(tokens(text)), "max_tokens")
            choice["logprobs"] = chat_logprobs(
                language.score(text, given=prompt.text, top=asked.top), asked.top
            )
        if asked.ids:
            choice["token_ids"] = token_ids(tokens(text))
    if asked.ids:
        result["prompt_token_ids"] = token_ids(prompt.tokens)
    if asked.prompt_top is not None:
        scores = language.score(prompt.text, top=max(1, asked.prompt_top))
        result["prompt_logprobs"] = prompt_logprobs(scores, asked.prompt_top)


def _usage(replies: Sequence[Reply], prompt: _Prompt) -> dict[str, int]:
    reported = replies[0].usage.prompt_tokens or any(reply.usage.completion_tokens for reply in replies)
    given = replies[0].usage.prompt_tokens if reported else len(prompt.tokens)
    spent = sum(reply.usage.completion_tokens if reported else _written(reply) for reply in replies)
    return {"prompt_tokens": given, "completion_tokens": spent, "total_tokens": given + spent}


def _written(reply: Reply) -> int:
    """Count the tokens of a reply."""
    shell = Message(role="assistant", author="student", tool_calls=reply.tool_calls)
    return len(tokens(reply.content + calls_text(shell)))


# ---------------------------------------------------------------- holding a reply to its request


def _held(reply: Reply, asked: ChatRequest) -> Reply:
    """Hold a reply to the limits of the request."""
    reply = _shaped(_valid(reply), asked) if asked.answers else reply
    calls = reply.tool_calls[:1] if asked.one_call else reply.tool_calls
    content, finish = reply.content, reply.finish_reason
    at = first_stop(content, asked.stops)
    if at is not None:
        content, calls, finish = content[:at], (), "stop"
    held = msgspec.structs.replace(reply, content=content, tool_calls=calls, finish_reason=finish)
    return held if asked.limit is None or _bytes_in(held) <= asked.limit else _cut(held, asked.limit)


def _bytes_in(reply: Reply) -> int:
    """Return what a reply's text holds: never fewer bytes than tokens, and quicker to tell."""
    return sum(len(text.encode()) for text in (reply.content, *(call.arguments for call in reply.tool_calls)))


def _valid(reply: Reply) -> Reply:
    """Replace what cannot be sent."""
    if reply.content.isascii() and all(call.arguments.isascii() for call in reply.tool_calls):
        return reply
    content = valid_text(reply.content)
    calls = tuple(
        msgspec.structs.replace(call, arguments=valid_text(call.arguments)) for call in reply.tool_calls
    )
    return msgspec.structs.replace(reply, content=content, tool_calls=calls)


def _shaped(reply: Reply, asked: ChatRequest) -> Reply:
    """Give a reply the tool call or the form that was demanded."""
    if asked.forced is not None:
        calls = _demanded(reply.tool_calls, asked.forced)
        if calls == reply.tool_calls:
            return reply
        shaped = msgspec.structs.replace(reply, content="", tool_calls=calls, finish_reason="tool_calls")
    elif asked.schema is not None and not reply.tool_calls:
        content = asked.schema.fitted(reply.content)
        if content == reply.content:
            return reply
        shaped = msgspec.structs.replace(reply, content=content, finish_reason="stop")
    else:
        return reply
    usage = shaped.usage
    if usage.prompt_tokens or usage.completion_tokens:  # the model told of another text
        usage = msgspec.structs.replace(usage, completion_tokens=_written(shaped))
    return msgspec.structs.replace(shaped, usage=usage)


def _demanded(calls: tuple[ToolCall, ...], forced: ForcedCall) -> tuple[ToolCall, ...]:
    kept = tuple(call for call in calls if forced.tool in ("", call.name))
    return kept or (ToolCall(id="call_0", name=forced.fallback, arguments=forced.arguments),)


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Return where the first of the stops begins, None where there is none."""
    return min((at for at in map(text.find, stops) if at >= 0), default=None)


def cut(text: str, limit: int) -> tuple[str, int]:
    """Cut a text to so many tokens, and further to whole characters.

    Args:
        text: What was written.
        limit: Most tokens, at least 0.

    Returns:
        The text, and how many of its tokens counted.
    """
    pieces = tokens(text)
    if len(pieces) <= limit:
        return text, len(pieces)
    return b"".join(pieces[:limit]).decode(errors="ignore"), limit


def _cut(reply: Reply, limit: int) -> Reply:
    """Cut where a token limit would: in the text, else in the arguments of a tool call."""
    content, spent = cut(reply.content, limit)
    whole = content == reply.content
    kept: list[ToolCall] = []
    for call in reply.tool_calls if whole else ():
        if spent >= limit:
            whole = False
            break
        arguments, more = cut(call.arguments, limit - spent)
        whole = whole and arguments == call.arguments
        spent += more
        kept.append(msgspec.structs.replace(call, arguments=arguments))
    if whole:
        return reply
    told = reply.usage
    usage = Usage(
        calls=told.calls,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=min(told.completion_tokens, limit),
    )
    return Reply(content=content, tool_calls=tuple(kept), finish_reason="length", usage=usage)
