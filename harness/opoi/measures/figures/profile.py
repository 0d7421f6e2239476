"""What the traces look like: how many are kept, how they use tools, how much cleaning changed."""

from __future__ import annotations

from collections.abc import Iterable

from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.strategies import filters
from opoi.types import Message, Outcome

__all__ = [
    "agent_failures",
    "as_of_violations",
    "edited_share",
    "infrastructure_failures",
    "nested_tool_calls",
    "no_tool_calls",
    "tool_calls",
    "yield_",
]


@figure("yield")
def yield_(seen: Seen) -> Pair:
    """Share of attempted traces that are kept.

    Formula: kept traces / attempted traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 3.14 (yield)
    Needs: T0
    Not for: quality: a method with a low yield trains on an easier subset; runs with failures of the
        endpoint, which count as not kept (resume them first)
    """
    return len(seen.kept), len(seen.cleaned)


@figure("agent failures")
def agent_failures(seen: Seen) -> Pair:
    """Share of attempted traces that ended without an answer by the agent's own fault.

    Formula: traces that ended by budget, length, refusal, emptiness or an unreadable reply / attempted traces
    Unit: share
    Range: 0 to 1
    Source: own
    Needs: T0
    Not for: answers that are not valid decisions (see schema_valid)
    """
    return _ended(seen, Outcome.AGENT_FAILURE)


@figure("infrastructure failures")
def infrastructure_failures(seen: Seen) -> Pair:
    """Share of attempted traces that an endpoint failed; they count in no accuracy.

    Formula: traces that the endpoint failed / attempted traces
    Unit: share
    Range: 0 to 1
    Source: own
    Needs: T0
    Not for: the agent: above a few percent, resume the run before reading anything else
    """
    return _ended(seen, Outcome.INFRASTRUCTURE_FAILURE)


def _ended(seen: Seen, outcome: Outcome) -> Pair:
    return sum(cleaned.trace.stop.outcome is outcome for cleaned in seen.cleaned), len(seen.cleaned)


def _calls(seen: Seen) -> list[int]:
    return [sum(len(message.tool_calls) for message in cleaned.trace.messages) for cleaned in seen.kept]


@figure("tool calls / trace")
def tool_calls(seen: Seen) -> Pair:
    """Tool calls per kept trace, without nested ones.

    Formula: tool calls / kept traces
    Unit: count
    Range: 0 up
    Source: methods specification 5.7, V8
    Needs: T0
    Not for: what is looked up (see tool_js_excess)
    """
    return sum(seen.once(_calls)), len(seen.kept)


@figure("nested tool calls / trace")
def nested_tool_calls(seen: Seen) -> Pair:
    """Tool calls that sub-agents made, per kept trace.

    Formula: tool calls of nested runs / kept traces
    Unit: count
    Range: 0 up
    Source: own
    Needs: T0
    Not for: suites without sub-agents
    """
    return sum(_nested(cleaned.trace.messages) for cleaned in seen.kept), len(seen.kept)


def _nested(messages: Iterable[Message]) -> int:
    inner = [message for outer in messages for message in outer.sub]
    return sum(len(message.tool_calls) for message in inner) + (_nested(inner) if inner else 0)


@figure("no tool call")
def no_tool_calls(seen: Seen) -> Pair:
    """Share of kept traces without any tool call.

    Formula: kept traces with 0 tool calls / kept traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V8
    Needs: T0
    Not for: methods that train the answer alone: it is 1 by design, and teaches to skip tools
    """
    return seen.once(_calls).count(0), len(seen.kept)


@figure("edited text")
def edited_share(seen: Seen) -> Pair:
    """Share of the characters with loss weight that cleaning changed, over kept traces.

    Formula: characters removed or replaced / characters with loss before cleaning
    Unit: share
    Range: 0 to 1
    Source: methods specification 3.3 (edit fraction, in characters)
    Needs: T0
    Not for: levels that drop instead of editing
    """
    return sum(c.edited_chars for c in seen.kept), sum(c.target_chars for c in seen.kept)


@figure("as-of violations / trace")
def as_of_violations(seen: Seen) -> Pair:
    """Facts that tools revealed dated after the decision day, per attempted trace; must be 0.

    Formula: facts dated after the decision day / attempted traces
    Unit: count
    Range: 0 up
    Source: methods specification 5.8, L10
    Needs: T0
    Not for: suites whose facts carry no dates
    """
    traces = [cleaned.trace for cleaned in seen.cleaned]
    late = sum(1 for trace in traces for _ in filters.as_of_violations(trace.messages, trace.as_of))
    return late, len(traces)
