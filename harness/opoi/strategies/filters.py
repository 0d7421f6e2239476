"""Why a generated trace cannot be used: the drop reasons that every method counts alike.

The reasons are those of section 3.14 of the method specification, plus one for a decision about something
else and one for each way in which a rollout can end without an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from opoi.types import Message, Scenario, Trace

__all__ = ["NO_SUPPORT", "as_of_violations", "unusable"]

NO_SUPPORT = "NO_SUPPORT"
"""What an agent says that may object to a verdict, and does."""

_REPEATS = 3


def unusable(trace: Trace, scenario: Scenario, *, wanted: str | None, acts: bool) -> str:
    """Return the first reason against a trace, `""` where there is none.

    Args:
        trace: A finished rollout or correction.
        scenario: What it was made from.
        wanted: The action that it has to take. None where any will do: then there is nothing to object to,
            either.
        acts: Whether the method's traces are meant to use tools.
    """
    if trace.stop.drop:
        return trace.stop.drop
    if not trace.decision.valid:
        return "schema"
    if wanted is not None and NO_SUPPORT in trace.messages[-1].content:
        return "no_support"
    if trace.decision.entity != scenario.entity:
        return "wrong_entity"
    if wanted is not None and trace.decision.action != wanted:
        return "noncompliant"
    if any(as_of_violations(trace.messages, trace.as_of)):
        return "as_of_violation"
    if acts and not any(message.tool_calls for message in trace.messages):
        return "no_tool_call"
    if acts and _repeats(trace.messages):
        return "repetition"
    return ""


def as_of_violations(messages: Sequence[Message], as_of: str) -> Iterator[str]:
    """Yield the date of every revealed fact that lies after the decision day (there must be none)."""
    for message in messages:
        yield from (fact.last_day for fact in message.facts if fact.last_day > as_of)
        yield from as_of_violations(message.sub, as_of)


def _repeats(messages: Sequence[Message]) -> bool:
    """Whether the same call with the same arguments was made three times."""
    calls = Counter((call.name, call.arguments) for message in messages for call in message.tool_calls)
    return any(count >= _REPEATS for count in calls.values())
