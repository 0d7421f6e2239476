"""L2, ungrounded facts by provenance: claims that rest on what the agent cannot know, or on nothing.

See `opoi.provenance.tracing` for what a claim is and how its source is found.
"""

from __future__ import annotations

from collections.abc import Iterator

from opoi.leakage.known import Known
from opoi.provenance.privileged import Provenance
from opoi.provenance.tracing import LEGAL, SECRET, Sourced, trace_claims
from opoi.types import Finding, Trace

__all__ = ["Grounding", "claims_of"]


class Grounding:
    """Finds the claims without a legal source. Satisfies `opoi.leakage.known.Detector`.

    Kinds are `hindsight`, `external` and `oracle` (leaks), `ambiguous` and `fabricated` (suspects). Without a
    scenario nothing is known to be hidden: what only the injected text of the trace itself says is `oracle`,
    anything else without a source `fabricated`. A claim that a legal source explains is no finding, and
    neither are free arithmetic on hidden values and other words for a hidden cause: where nothing is found
    there may still be a leak.
    """

    id = "provenance"
    title = "provenance"
    doc = "A number, day, id, name or reason that nothing the agent was shown explains, with what does."
    needs: tuple[str, ...] = ()

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        """Yield every claim without a legal source, in the order of the trace."""
        for each in claims_of(trace, known):
            if each.source not in LEGAL:
                yield _finding(trace, each)


def claims_of(trace: Trace, known: Known) -> list[Sourced]:
    """Return every claim of a trace with its source, given what is known about it."""
    return trace_claims(trace, Provenance(known.scenario, known.verdict, known.prose))


def _finding(trace: Trace, each: Sourced) -> Finding:
    return Finding(
        detector=Grounding.id,
        kind="fabricated" if each.source == "none" else each.source,
        trace=trace.id,
        message=each.message,
        field=each.field,
        start=each.start,
        end=each.end,
        text=each.text,
        why=each.why,
        grade="leak" if each.source in SECRET else "suspect",
    )
