"""Is the evidence that a decision names really there?

A citation is right when a tool of the same trace, or the data that its author was shown, revealed a fact
of the same entity, metric and window whose value it states: the same sign, and within rounding. An empty
entity or window of a citation matches any. What only the author was shown (the data in the prompt of an
informed corrector) is not in the student's context: `citations_in_context` counts tool messages alone.
Definition: methods specification 5.7, V7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import kept
from opoi.provenance.claims import Claimed, Unit, number_of, plain_number
from opoi.provenance.sources import Values
from opoi.provenance.texts import observed, shown
from opoi.types import Citation, Fact, Group

__all__ = ["citation_metrics", "supports"]


def citation_metrics() -> tuple[RatioMetric, ...]:
    """Return the figures of this module."""
    return (
        RatioMetric(
            "citation_precision",
            "citation precision",
            "share",
            "Share of cited (entity, metric, window, value) tuples that a tool of the trace revealed, or the "
            "data that its author was shown.",
            _count,
        ),
        RatioMetric(
            "citation_rate",
            "traces citing evidence",
            "share",
            "Share of kept traces with at least one citation that a tool of the trace revealed, or the data "
            "that its author was shown.",
            _count,
        ),
        RatioMetric(
            "citations_in_context",
            "citations in context",
            "share",
            "Share of cited tuples that a tool message of the trace revealed: what the student, who sees "
            "nothing else, can have copied.",
            _count,
        ),
    )


def supports(fact: Fact, citation: Citation) -> bool:
    """Return whether a fact is what a citation states."""
    return (
        _agree(citation.metric, fact.metric)
        and (not citation.entity or _agree(citation.entity, fact.entity))
        and (not citation.window or _agree(citation.window, fact.window))
        and _same_value(citation.value, fact)
    )


def _agree(left: str, right: str) -> bool:
    return left.strip().casefold() == right.strip().casefold()


def _same_value(value: float | str, fact: Fact) -> bool:
    claim = number_of(value if isinstance(value, str) else plain_number(value))
    if claim is None:
        return isinstance(value, str) and _agree(value, str(fact.value))
    if claim.value != 0 and _negative(value) != _negative(fact.value):
        return False
    known: Values[Fact] = Values()
    known.add_fact(fact, fact)
    return known.restates(_bare(claim, fact)) is not None


def _bare(claim: Claimed, fact: Fact) -> Claimed:
    """Return the claim as the fact's own unit: a citation states a value, its unit is the metric's."""
    if claim.unit:
        return claim
    unit: Unit = "%" if fact.unit == "%" else "x" if fact.unit == "x" else ""
    return msgspec.structs.replace(claim, unit=unit)


def _negative(value: float | str) -> bool:
    """Return whether a number, or a text that is one, has a minus sign."""
    return value.strip().startswith(("-", "\u2212")) if isinstance(value, str) else value < 0


def _count(group: Group) -> Mapping[str, Pair]:
    cited = right = inside = traces = citing = 0
    for cleaned in kept(group):
        trace = cleaned.trace
        hits = _hits(trace.decision.citations, list(shown(trace)))
        results = [message for message in trace.messages if message.role == "tool"]
        inside += _hits(trace.decision.citations, list(observed(results)))
        traces += 1
        cited += len(trace.decision.citations)
        right += hits
        citing += hits > 0
    return {
        "citation_precision": (right, cited),
        "citation_rate": (citing, traces),
        "citations_in_context": (inside, cited),
    }


def _hits(citations: Iterable[Citation], facts: list[Fact]) -> int:
    return sum(any(supports(fact, citation) for fact in facts) for citation in citations)
