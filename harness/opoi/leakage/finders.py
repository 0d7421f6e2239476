"""What rules can ask for beyond patterns: claims by source, words of the oracle, what detectors find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from opoi.cleaning.book import Finder, Place
from opoi.cleaning.rulefile import Match
from opoi.errors import UnknownNameError
from opoi.leakage.detectors import DETECTORS, find_all
from opoi.leakage.known import Known
from opoi.leakage.overlap import Overlap
from opoi.provenance.privileged import Provenance
from opoi.provenance.tracing import trace_claims
from opoi.types import Trace

__all__ = ["finders"]


def finders(known_of: Callable[[Trace], Known]) -> dict[str, Finder]:
    """Return the finders of a book of rules.

    Args:
        known_of: Says what is known about a trace.
    """

    def by_source(trace: Trace, match: Match) -> Iterator[Place]:
        known = known_of(trace)
        provenance = Provenance(known.scenario, known.verdict, known.prose)
        for each in trace_claims(trace, provenance):
            if each.source in match.source:
                yield Place(each.message, each.field, each.start, each.end)

    def by_overlap(trace: Trace, match: Match) -> Iterator[Place]:
        for finding in Overlap(match.overlap)(trace, known_of(trace)):
            if finding.grade == "leak":
                yield Place(finding.message, finding.field, finding.start, finding.end)

    def by_detector(trace: Trace, match: Match) -> Iterator[Place]:
        by_id = {detector.id: detector for detector in DETECTORS}
        if match.detector not in by_id:
            raise UnknownNameError("detector", match.detector, by_id)
        for finding in find_all(trace, known_of(trace), (by_id[match.detector],)):
            if finding.grade == "leak":
                yield Place(finding.message, finding.field, finding.start, finding.end)

    return {"source": by_source, "overlap": by_overlap, "detector": by_detector}
