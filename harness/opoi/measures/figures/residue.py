"""Oracle wording that cleaning left behind, and how much there was before.

Which patterns count is the business of `opoi.cleaning`; the ids of those that still match stand in
`Cleaned.residue`.
"""

from __future__ import annotations

from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.types import Cleaned

__all__ = ["residue", "residue_before"]

_RULES = frozenset({"residue", "rewrite", "resample"})
"""Families of cleaning rules that act on residue only; a rule's id is `family` or `family/pattern`."""


@figure("residue")
def residue(seen: Seen) -> Pair:
    """Share of kept traces in which a residue pattern still matches after cleaning.

    Formula: kept traces in which a residue pattern matches / kept traces
    Unit: share
    Range: 0 to 1; none in n traces means below 1 - .05^(1/n): 3.0 % at 100, 1.0 % at 300
    Source: methods specification 5.8, L1
    Needs: T0
    Not for: proof that nothing leaks: what no pattern matches is not seen (see `opoi leaks`)
    """
    return sum(bool(cleaned.residue) for cleaned in seen.kept), len(seen.kept)


@figure("residue before cleaning")
def residue_before(seen: Seen) -> Pair:
    """Share of attempted traces in which a residue rule edited, or a residue pattern still matches.

    Formula: attempted traces in which a pattern matched before cleaning / attempted traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.8, L1 (positive control)
    Needs: T0
    Not for: what goes into a data set (see residue)
    """
    return sum(map(_touched, seen.cleaned)), len(seen.cleaned)


def _touched(cleaned: Cleaned) -> bool:
    return bool(cleaned.residue) or any(edit.rule.partition("/")[0] in _RULES for edit in cleaned.edits)
