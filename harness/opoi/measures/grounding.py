"""Hindsight and fabrication: the sources of the claims of kept traces, counted.

What a claim is, and where it can come from, is the business of `opoi.provenance`. Definition: methods
specification 5.8, L2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import kept
from opoi.provenance.privileged import Provenance
from opoi.provenance.tracing import LEGAL, distinct, trace_claims
from opoi.types import Group

__all__ = ["grounding_metrics"]


def grounding_metrics() -> tuple[RatioMetric, ...]:
    """Return the figures of this module."""
    return (
        RatioMetric(
            "hindsight_claims",
            "hindsight claims",
            "share",
            "Share of kept traces with a claim whose only source is hidden, the outcome or external.",
            _count,
        ),
        RatioMetric(
            "ambiguous_claims",
            "ambiguous claims",
            "share",
            "Share of kept traces with a claim that matches a hidden value which tools can also print about "
            "something else: no proof of a leak.",
            _count,
        ),
        RatioMetric(
            "oracle_claims",
            "oracle claims",
            "share",
            "Share of kept traces with a claim whose only source is the verdict or the injected text.",
            _count,
        ),
        RatioMetric(
            "ungrounded_claims",
            "ungrounded claims",
            "share",
            "Share of the distinct claims (numbers, dates and ids in prose, tool arguments and citations) of "
            "kept traces that have no source at all.",
            _count,
        ),
        RatioMetric(
            "derived_claims",
            "derived claims",
            "share",
            "Share of the distinct claims of kept traces that follow from observed values by arithmetic.",
            _count,
        ),
        RatioMetric(
            "claims",
            "claims / trace",
            "count",
            "Distinct checkable claims (prose, tool arguments, citations) per kept trace.",
            _count,
        ),
    )


def _count(group: Group) -> Mapping[str, Pair]:
    provenance = Provenance(group.scenario, group.verdict)
    totals: Counter[str] = Counter()
    traces = 0
    for cleaned in kept(group):
        traces += 1
        sources = Counter(each.source for each in distinct(trace_claims(cleaned.trace, provenance)))
        totals.update(sources)
        totals["hindsight traces"] += sources["hindsight"] + sources["external"] > 0
        totals["ambiguous traces"] += sources["ambiguous"] > 0
        totals["oracle traces"] += sources["oracle"] > 0
    claims = sum(
        totals[source] for source in (*LEGAL, "hindsight", "external", "ambiguous", "oracle", "none")
    )
    return {
        "hindsight_claims": (totals["hindsight traces"], traces),
        "ambiguous_claims": (totals["ambiguous traces"], traces),
        "oracle_claims": (totals["oracle traces"], traces),
        "ungrounded_claims": (totals["none"], claims),
        "derived_claims": (totals["derived"], claims),
        "claims": (claims, traces),
    }
