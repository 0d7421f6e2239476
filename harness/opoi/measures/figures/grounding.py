"""Hindsight and fabrication: the sources of the claims of kept traces, counted.

What a claim is, and where it can come from, is the business of `opoi.provenance`. Legal sources win ties, so
that the rates of leaks are lower bounds.
"""

from __future__ import annotations

from collections import Counter

from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.provenance.privileged import Provenance
from opoi.provenance.tracing import LEGAL, distinct, trace_claims

__all__ = [
    "ambiguous_claims",
    "claims",
    "derived_claims",
    "hindsight_claims",
    "oracle_claims",
    "ungrounded_claims",
]

_SOURCES = (*LEGAL, "hindsight", "external", "ambiguous", "oracle", "none")


def _sources(seen: Seen) -> list[Counter[str]]:
    """Return how often each source stands behind the distinct claims of each kept trace."""
    provenance = Provenance(seen.scenario, seen.verdict)
    return [
        Counter(each.source for each in distinct(trace_claims(cleaned.trace, provenance)))
        for cleaned in seen.kept
    ]


def _traces_with(seen: Seen, *sources: str) -> Pair:
    found = seen.once(_sources)
    return sum(any(counts[source] for source in sources) for counts in found), len(found)


def _number(seen: Seen, *sources: str) -> int:
    return sum(counts[source] for counts in seen.once(_sources) for source in sources)


@figure("hindsight claims")
def hindsight_claims(seen: Seen) -> Pair:
    """Share of kept traces with a claim whose only source is hidden, the outcome or external.

    Formula: kept traces with a claim known from hidden, outcome or external facts alone / kept traces
    Unit: share
    Range: 0 to 1; a lower bound
    Source: methods specification 5.8, L2 (hindsight_rate, here per trace)
    Needs: T0
    Not for: wording that betrays a verdict without stating a fact (see residue)
    """
    return _traces_with(seen, "hindsight", "external")


@figure("ambiguous claims")
def ambiguous_claims(seen: Seen) -> Pair:
    """Share of kept traces with a claim that matches a hidden value which tools print elsewhere.

    Formula: kept traces with a claim that fits a hidden and a printable value / kept traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.8, L2
    Needs: T0
    Not for: proof of a leak: there may be none
    """
    return _traces_with(seen, "ambiguous")


@figure("oracle claims")
def oracle_claims(seen: Seen) -> Pair:
    """Share of kept traces with a claim whose only source is the verdict or the injected text.

    Formula: kept traces with a claim known from the verdict or the note alone / kept traces
    Unit: share
    Range: 0 to 1; a lower bound
    Source: methods specification 5.8, L2 (oracle_rate, here per trace)
    Needs: T0
    Not for: the decision itself, which is the verdict's on purpose
    """
    return _traces_with(seen, "oracle")


@figure("ungrounded claims")
def ungrounded_claims(seen: Seen) -> Pair:
    """Share of the distinct claims (numbers, dates, ids) of kept traces that have no source at all.

    Formula: distinct claims without source / distinct claims in prose, tool arguments and citations
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.8, L2 (fabrication_rate)
    Needs: T0
    Not for: texts with few checkable claims: look at claims / trace
    """
    return _number(seen, "none"), _number(seen, *_SOURCES)


@figure("derived claims")
def derived_claims(seen: Seen) -> Pair:
    """Share of the distinct claims of kept traces that follow from observed values by arithmetic.

    Formula: distinct claims that are a difference, ratio, sum, mean or change of observed values / distinct
        claims
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.8, L2
    Needs: T0
    Not for: skill at arithmetic: some coincide by chance
    """
    return _number(seen, "derived"), _number(seen, *_SOURCES)


@figure("claims / trace")
def claims(seen: Seen) -> Pair:
    """Distinct checkable claims per kept trace.

    Formula: distinct claims in prose, tool arguments and citations / kept traces
    Unit: count
    Range: 0 up
    Source: methods specification 5.8, L2
    Needs: T0
    Not for: quality: a figure that is cited for nothing counts too
    """
    return _number(seen, *_SOURCES), len(seen.kept)
