"""Figures on the scenarios that every data arm kept: methods that drop hard cases cannot win by it.

They need all arms at once, so only `opoi.measures.measure_all` makes them.
"""

from __future__ import annotations

from opoi.measures.figures.vocabulary import Comparison, compared
from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.types import Measure

__all__ = ["accuracy_observable_common", "js_excess_common"]


@figure("accuracy vs observable, common", policies=True)
def accuracy_observable_common(seen: Seen) -> Pair:
    """Share of kept traces with a best observable action, on the scenarios that every data arm kept.

    Formula: kept traces with a best observable action / kept traces, scenarios with a kept trace in every
        data arm
    Unit: share
    Range: 0 to 1
    Source: methods specification 3.14 (compare arms on the intersection of kept scenarios)
    Needs: T0
    Not for: what a method does as a whole: what it drops, it does not teach
    """
    best = seen.truth.observable_actions
    return sum(action in best for action in seen.kept_actions), len(seen.kept_actions)


@compared("JS excess, common")
def js_excess_common(pair: Comparison) -> Measure:
    """JS excess on the scenarios that every data arm kept.

    Formula: as js_excess, on the scenarios with a kept trace in every data arm
    Unit: bits
    Range: about 0 to 1
    Source: methods specification 3.14 and 5.7, V1
    Needs: T0
    Not for: see js_excess
    """
    return pair.divergence.excess
