"""Oracle wording that cleaning left behind, and how much there was before.

Definition: methods specification 5.8, L1. Which patterns count is the business of `opoi.cleaning`;
the ids of those that still match stand in `Cleaned.residue`.
"""

from __future__ import annotations

from collections.abc import Mapping

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import kept
from opoi.types import Cleaned, Group

__all__ = ["residue_metrics"]

_RULES = frozenset({"residue", "rewrite", "resample"})
"""Families of cleaning rules that act on residue only; a rule's id is `family` or `family/pattern`."""


def residue_metrics() -> tuple[RatioMetric, ...]:
    """Return the figures of this module."""
    return (
        RatioMetric(
            "residue",
            "residue",
            "share",
            "Share of kept traces in which a residue pattern still matches after cleaning.",
            _residue,
        ),
        RatioMetric(
            "residue_before",
            "residue before cleaning",
            "share",
            "Share of attempted traces in which a residue rule edited or still matches.",
            _residue,
        ),
    )


def _residue(group: Group) -> Mapping[str, Pair]:
    entries = list(kept(group))
    return {
        "residue": (sum(bool(cleaned.residue) for cleaned in entries), len(entries)),
        "residue_before": (sum(map(_touched, group.cleaned)), len(group.cleaned)),
    }


def _touched(cleaned: Cleaned) -> bool:
    return bool(cleaned.residue) or any(edit.rule.partition("/")[0] in _RULES for edit in cleaned.edits)
