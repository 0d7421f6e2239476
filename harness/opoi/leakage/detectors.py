"""All detectors that read one trace by itself."""

from __future__ import annotations

from collections.abc import Sequence

from opoi.leakage.asof import AsOf
from opoi.leakage.canaries import Canary
from opoi.leakage.commitment import Commitment
from opoi.leakage.grounding import Grounding
from opoi.leakage.known import Detector, Known
from opoi.leakage.overlap import Overlap
from opoi.leakage.residue import Residue
from opoi.types import Finding, Trace

__all__ = ["DETECTORS", "find_all"]

DETECTORS: tuple[Detector, ...] = (Residue(), Grounding(), Canary(), Commitment(), Overlap(), AsOf())
"""In the order of section 5.8 of the method specification: L1, L2, L3, L5, L6, L10."""


def find_all(trace: Trace, known: Known, detectors: Sequence[Detector] = DETECTORS) -> list[Finding]:
    """Return what detectors find in a trace, by place: message, text, character, then detector.

    A detector that needs what is not known is left out.

    Args:
        trace: Any trace.
        known: What is known about it.
        detectors: Which detectors to ask.
    """
    found = [
        finding
        for detector in detectors
        if not any(getattr(known, need) in (None, (), {}) for need in detector.needs)
        for finding in detector(trace, known)
    ]
    return sorted(found, key=lambda one: (one.message, one.field, one.start, one.end, one.detector, one.kind))
