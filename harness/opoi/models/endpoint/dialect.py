"""How requests to one server are written, and how its answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from opoi.models.endpoint import textcalls
from opoi.models.endpoint.toolcalls import take_raw_calls
from opoi.types import UNREADABLE, Message, Reply, ToolSpec
from opoi.types.base import Value
from opoi.wire import encode_messages, encode_tool

__all__ = ["Dialect", "read_reply", "write_request"]


class Dialect(Value, frozen=True, kw_only=True):
    """The form of requests that one endpoint takes.

    Attributes:
        tools: `native` sends `tools`; `text` describes them in the system message and reads calls from
            the text (`opoi.models.endpoint.textcalls`).
        seed: Send the sampling seed.
        limit: The field that takes the most tokens of an answer.
        stream: Ask for answers as streams.
        stream_usage: Ask for the usage at the end of a stream.
        logprobs: Ask for the log-probabilities of the tokens of an answer.
    """

    tools: Literal["native", "text"] = "native"
    seed: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream: bool = False
    stream_usage: bool = True
    logprobs: bool = False


def write_request(
    messages: Sequence[Message], tools: Sequence[ToolSpec], seed: int, dialect: Dialect
) -> dict[str, Any]:
    """Return the fields of a request that say what is asked, in a dialect.

    Args:
        messages: The conversation.
        tools: Tools on offer.
        seed: Sampling seed.
        dialect: The endpoint's.
    """
    body: dict[str, Any] = {}
    if dialect.tools == "text":
        body["messages"] = textcalls.encode(messages, tools)
    else:
        body["messages"] = encode_messages(messages)
        if tools:
            body["tools"] = [encode_tool(tool) for tool in tools]
    if dialect.seed:
        body["seed"] = seed
    if dialect.stream:
        body["stream"] = True
        if dialect.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if dialect.logprobs:
        body["logprobs"] = True
    return body


def read_reply(reply: Reply, tools: Sequence[ToolSpec], dialect: Dialect) -> Reply:
    """Return a reply with the tool calls that it holds as text, where tools were on offer.

    Natively offered tools: well-formed `<tool_call>` blocks that a server left as text become calls.
    Tools offered as text: the text follows the grammar, or the reply is `unreadable` and stays as it is;
    calls that the server took out of the text by itself (one does) stay calls.
    """
    if not tools or reply.tool_calls:
        return reply
    if dialect.tools == "native":
        return take_raw_calls(reply)
    read = textcalls.read(reply.content)
    if read.problem:
        if reply.finish_reason == "length":  # that is why it cannot be read
            return reply
        return msgspec.structs.replace(reply, finish_reason=UNREADABLE, problem=read.problem)
    finish = "tool_calls" if read.calls else reply.finish_reason
    return msgspec.structs.replace(reply, content=read.content, tool_calls=read.calls, finish_reason=finish)
