"""What the author of a trace wrote as reasons, and which facts were shown to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opoi.types import Fact, Message, Trace
from opoi.wire import find_object

__all__ = ["observed", "prose", "rationale", "shown"]


def prose(message: Message, *, final: bool, valid: bool = True) -> str:
    """Return the free text of a message; a final answer without its decision object.

    Args:
        message: An assistant message.
        final: Whether it is the answer.
        valid: Whether the answer holds a valid decision; in one that does not, everything from the first
            brace on is a broken decision and no prose.
    """
    if not final or message.tool_calls:
        return message.content
    span = find_object(message.content)
    if not valid or span is None:
        return message.content.partition("{")[0]
    return message.content[: span[0]] + message.content[span[1] :]


def rationale(trace: Trace) -> Iterator[tuple[int, str]]:
    """Yield `(position, text)` of everything that gives reasons in a trace.

    These are the prose of the assistant's messages and the reasoning of the decision. The position is
    an index into `trace.messages`: what stands before it had been seen when the text was written.
    """
    spoken = [index for index, message in enumerate(trace.messages) if message.role == "assistant"]
    last = spoken[-1] if spoken else len(trace.messages)
    for index in spoken:
        text = prose(trace.messages[index], final=index == last, valid=trace.decision.valid)
        if text.strip():
            yield index, text
    if trace.decision.reasoning.strip():
        yield last, trace.decision.reasoning


def shown(trace: Trace) -> Iterator[Fact]:
    """Yield the facts that the author of a trace saw: what its prompt showed, then what tools revealed."""
    yield from observed(trace.gen_prompt)
    yield from observed(trace.messages)


def observed(messages: Iterable[Message]) -> Iterator[Fact]:
    """Yield the facts that messages revealed, those of nested runs included."""
    for message in messages:
        yield from message.facts
        if message.sub:
            yield from observed(message.sub)
