"""What rules can ask for beyond patterns: claims by source, words of the oracle, what detectors find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from opoi.cleaning.book import Finder, Named, Place
from opoi.cleaning.rulefile import Match
from opoi.errors import UnknownNameError
from opoi.leakage.detectors import DETECTORS, find_all
from opoi.leakage.grounding import claims_of
from opoi.leakage.known import Known
from opoi.leakage.overlap import Overlap
from opoi.types import Trace

__all__ = ["check_detectors", "finders"]


def check_detectors(rules: Iterable[Named]) -> None:
    """Check that the detectors that rules ask for exist.

    Raises:
        UnknownNameError: One does not.
    """
    known = [detector.id for detector in DETECTORS]
    for rule in rules:
        if rule.spec.match.detector and rule.spec.match.detector not in known:
            raise UnknownNameError(f"detector of the rule {rule.id!r}:", rule.spec.match.detector, known)


def finders(known_of: Callable[[Trace], Known]) -> dict[str, Finder]:
    """Return the finders of a book of rules.

    Args:
        known_of: Says what is known about a trace.
    """

    def by_source(trace: Trace, match: Match) -> Iterator[Place]:
        for each in claims_of(trace, known_of(trace)):
            if each.source in match.source:
                yield Place(each.message, each.field, each.start, each.end)

    def by_overlap(trace: Trace, match: Match) -> Iterator[Place]:
        for finding in Overlap(match.overlap)(trace, known_of(trace)):
            if finding.grade == "leak":
                yield Place(finding.message, finding.field, finding.start, finding.end)

    def by_detector(trace: Trace, match: Match) -> Iterator[Place]:
        wanted = [detector for detector in DETECTORS if detector.id == match.detector]
        for finding in find_all(trace, known_of(trace), wanted):
            if finding.grade == "leak":
                yield Place(finding.message, finding.field, finding.start, finding.end)

    return {"source": by_source, "overlap": by_overlap, "detector": by_detector}
