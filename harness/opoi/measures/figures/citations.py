"""Is the evidence that a decision names really there?

A citation is right when a tool of the same trace, or the data that its author was shown, revealed a fact
of the same entity, metric and window whose value it states: the same sign, and within rounding. An empty
entity or window of a citation matches any. What only the author was shown (the data in the prompt of an
informed corrector) is not in the student's context: `citations_in_context` counts tool messages alone.
Whether the evidence that decides is named is asked of a sample (`opoi.measures.figures.recall`).
Definition: methods specification 5.7, V7.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from opoi.measures.figures.recall import cites_metric, recalled
from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.provenance.claims import Claimed, Unit, number_of, plain_number
from opoi.provenance.sources import Values
from opoi.provenance.texts import observed
from opoi.types import Citation, Fact, Trace

__all__ = [
    "citation_precision",
    "citation_rate",
    "citation_recall",
    "citations_in_context",
    "metric_citations",
    "supports",
]


@figure("citation precision")
def citation_precision(seen: Seen) -> Pair:
    """Share of cited (entity, metric, window, value) tuples that a tool, or the data shown, revealed.

    Formula: supported citations / citations, over kept traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V7
    Needs: T0
    Not for: texts that cite next to nothing (see metric_citations): silence is precise
    """
    return sum(found.right for found in seen.once(_cited)), sum(found.all for found in seen.once(_cited))


@figure("traces citing evidence")
def citation_rate(seen: Seen) -> Pair:
    """Share of kept traces with at least one citation that is supported.

    Formula: kept traces with a supported citation / kept traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V7
    Needs: T0
    Not for: how much of what decides is cited (see citation_recall)
    """
    return sum(found.right > 0 for found in seen.once(_cited)), len(seen.kept)


@figure("traces naming a metric")
def metric_citations(seen: Seen) -> Pair:
    """Share of kept traces that name at least one metric with a value, in a citation or a sentence.

    Formula: kept traces with a citation, or a sentence that holds the name of a metric and a number / kept
        traces; names are those of the facts that kept traces of the arm or its base saw in the scenario
    Unit: share
    Range: citation_rate to 1
    Source: methods specification 5.7, V7
    Needs: T0
    Not for: whether the value is right (see citation_precision)
    """
    return sum(seen.once(cites_metric)), len(seen.kept)


@figure("citation recall")
def citation_recall(seen: Seen) -> Pair:
    """Share of the metrics that decide which are named with a value, on a sample of the traces.

    A metric decides if without all its values another action is the best. One that follows from others (a
    ratio, say) decides nothing while these are there, however often it is cited: compare arms, not with 1.

    Formula: decisive metrics named as in metric_citations / decisive metrics; in a tenth of the scenarios
        (drawn by id, the same in every arm), of the first kept trace that saw facts
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V7; 5.8 (decisive)
    Needs: T0
    Not for: authors that saw no facts; runs of few scenarios, as only a tenth of them is looked at: it takes
        a call of `Suite.expected` for each metric
    """
    return recalled(seen)


@figure("citations in context")
def citations_in_context(seen: Seen) -> Pair:
    """Share of cited tuples that a tool message of the trace revealed: what the student can have copied.

    Formula: citations that a tool message of the trace supports / citations
    Unit: share
    Range: 0 to citation_precision
    Source: own
    Needs: T0
    Not for: corrections that stand alone: their student sees no tool message
    """
    return sum(found.inside for found in seen.once(_cited)), sum(found.all for found in seen.once(_cited))


def supports(fact: Fact, citation: Citation) -> bool:
    """Return whether a fact is what a citation states."""
    return (
        _agree(citation.metric, fact.metric)
        and (not citation.entity or _agree(citation.entity, fact.entity))
        and (not citation.window or _agree(citation.window, fact.window))
        and _same_value(citation.value, fact)
    )


def _agree(left: str, right: str) -> bool:
    return left == right or _plain(left) == _plain(right)


def _plain(text: str) -> str:
    return text.strip().casefold()


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


class _Cited(NamedTuple):
    """How many citations a trace has, how many are supported, and how many of these by its tool messages."""

    all: int
    right: int
    inside: int


def _cited(seen: Seen) -> list[_Cited]:
    return [_count(cleaned.trace) for cleaned in seen.kept]


def _count(trace: Trace) -> _Cited:
    citations = trace.decision.citations
    tools = _Shown(observed(message for message in trace.messages if message.role == "tool"))
    author = _Shown(observed(trace.gen_prompt))
    inside = [tools.supports(citation) for citation in citations]
    right = [held or author.supports(citation) for held, citation in zip(inside, citations, strict=True)]
    return _Cited(len(citations), sum(right), sum(inside))


class _Shown:
    """Facts by the name of their metric."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._named: dict[str, list[Fact]] = {}
        for fact in facts:
            self._named.setdefault(_plain(fact.metric), []).append(fact)

    def supports(self, citation: Citation) -> bool:
        """Return whether any fact is what a citation states."""
        return any(supports(fact, citation) for fact in self._named.get(_plain(citation.metric), ()))
