"""What the traces look like: how many are kept, how they use tools, how much cleaning changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import drop_reason, kept
from opoi.strategies.filters import as_of_violations
from opoi.types import Group, Message, Outcome

__all__ = ["profile_metrics"]


def profile_metrics() -> tuple[RatioMetric, ...]:
    """Return the figures of this module."""
    return (
        RatioMetric("yield", "yield", "share", "Share of attempted traces that are kept.", _endings),
        RatioMetric(
            "agent_failures",
            "agent failures",
            "share",
            "Share of attempted traces that ended without an answer by the agent's own fault.",
            _endings,
        ),
        RatioMetric(
            "infrastructure_failures",
            "infrastructure failures",
            "share",
            "Share of attempted traces that an endpoint failed; they count in no accuracy.",
            _endings,
        ),
        RatioMetric(
            "tool_calls",
            "tool calls / trace",
            "count",
            "Tool calls per kept trace, without nested ones.",
            _calls,
        ),
        RatioMetric(
            "nested_tool_calls",
            "nested tool calls / trace",
            "count",
            "Tool calls that sub-agents made, per kept trace.",
            _calls,
        ),
        RatioMetric(
            "no_tool_calls", "no tool call", "share", "Share of kept traces without any tool call.", _calls
        ),
        RatioMetric(
            "edited_share",
            "edited text",
            "share",
            "Share of the characters with loss weight that cleaning changed, over kept traces.",
            _edited,
        ),
        RatioMetric(
            "as_of_violations",
            "as-of violations / trace",
            "count",
            "Facts that tools revealed dated after the decision day, per attempted trace; must be 0.",
            _violations,
        ),
    )


def _endings(group: Group) -> Mapping[str, Pair]:
    attempted = len(group.cleaned)
    outcomes = [cleaned.trace.stop.outcome for cleaned in group.cleaned]
    return {
        "yield": (sum(not drop_reason(cleaned) for cleaned in group.cleaned), attempted),
        "agent_failures": (outcomes.count(Outcome.AGENT_FAILURE), attempted),
        "infrastructure_failures": (outcomes.count(Outcome.INFRASTRUCTURE_FAILURE), attempted),
    }


def _calls(group: Group) -> Mapping[str, Pair]:
    traces = [cleaned.trace for cleaned in kept(group)]
    own = [sum(len(message.tool_calls) for message in trace.messages) for trace in traces]
    return {
        "tool_calls": (sum(own), len(own)),
        "nested_tool_calls": (sum(_nested(trace.messages) for trace in traces), len(own)),
        "no_tool_calls": (own.count(0), len(own)),
    }


def _nested(messages: Iterable[Message]) -> int:
    inner = [message for outer in messages for message in outer.sub]
    return sum(len(message.tool_calls) for message in inner) + (_nested(inner) if inner else 0)


def _edited(group: Group) -> Mapping[str, Pair]:
    entries = list(kept(group))
    return {
        "edited_share": (
            sum(cleaned.edited_chars for cleaned in entries),
            sum(cleaned.target_chars for cleaned in entries),
        )
    }


def _violations(group: Group) -> Mapping[str, Pair]:
    traces = [cleaned.trace for cleaned in group.cleaned]
    late = sum(1 for trace in traces for _ in as_of_violations(trace.messages, trace.as_of))
    return {"as_of_violations": (late, len(traces))}
