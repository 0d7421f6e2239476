"""Chat messages with the marks that training and cleaning need, tools, and replies of models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from opoi.types.base import Value
from opoi.types.worlds import Fact

__all__ = [
    "UNREADABLE",
    "Author",
    "Message",
    "Reply",
    "SubAgent",
    "TokenLogprob",
    "ToolCall",
    "ToolSpec",
    "Usage",
]

Author = Literal["suite", "oracle", "student", "teacher", "expert", "corrector", "env", "cleaner"]
"""Who wrote a message. `suite` wrote the prompt, `env` a tool result, `oracle` an injected note."""


class TokenLogprob(Value, frozen=True, kw_only=True):
    """One token of a text.

    Attributes:
        token: Its text, as the server writes it; part of a character may stand as a replacement character.
        logprob: Its natural log-probability given all that stands before it, in nats, 0 or below. None for
            text that could not be scored (`token` is then that text).
    """

    token: str
    logprob: float | None


class ToolCall(Value, frozen=True, kw_only=True):
    """A tool call as the model wrote it; `arguments` is the raw text, which may be broken JSON."""

    id: str
    name: str
    arguments: str


class SubAgent(Value, frozen=True, kw_only=True):
    """Makes a tool a nested agent: its own prompt, its own subset of the tools, its own budget.

    Attributes:
        system_prompt: System message of the nested agent.
        tools: Names of the tools of the same environment that it may call.
        turns: Most model calls it may take.
    """

    system_prompt: str
    tools: tuple[str, ...] = ()
    turns: int = 4


class ToolSpec(Value, frozen=True, kw_only=True):
    """A tool as a model sees it: name, description and JSON Schema of the arguments."""

    name: str
    description: str
    parameters: dict[str, Any]
    subagent: SubAgent | None = None


class Message(Value, frozen=True, kw_only=True):
    """One chat message with the marks that training and cleaning need.

    Attributes:
        role: As in chat completions.
        content: Text; `""` where the model gave none.
        tool_calls: Calls made by an assistant message.
        tool_call_id: The call that a tool message answers.
        author: Who wrote it.
        loss_weight: Weight of its tokens in the training loss, 0 to 1.
        error: The tool message reports a failed call.
        facts: What a tool message revealed, or another one showed to a generator without tools (the
            ledger; never part of the text).
        sub: For the result of a sub-agent: every message of the nested run, prompt included.
        logprobs: Of the tokens of `content` and calls as the model generated them, where its endpoint told
            (tier T1). Cleaning may change the text; these stay those of what was sampled.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    author: Author
    loss_weight: Annotated[float, Meta(ge=0, le=1)] = 0.0
    error: bool = False
    facts: tuple[Fact, ...] = ()
    sub: tuple[Message, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class Usage(Value, frozen=True, kw_only=True):
    """What the model calls of a trace cost. Tokens are 0 where the endpoint does not tell."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


UNREADABLE = "unreadable"
"""Finish reason of a reply that the server could not parse, although the model wrote one."""


class Reply(Value, frozen=True, kw_only=True):
    """One answer of a model. `finish_reason` is the server's own word, `""` where it gave none.

    Where it is `unreadable`, `problem` may say what could not be read. `logprobs` are those of the tokens
    that the model sampled, `()` where its endpoint does not tell.
    """

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    problem: str = ""
    usage: Usage = Usage(calls=1)
    logprobs: tuple[TokenLogprob, ...] = ()
