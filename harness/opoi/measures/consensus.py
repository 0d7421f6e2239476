"""Do the runs of one scenario agree? Three readings of "fraction of runs that agree".

An invalid decision is an action of its own, and so is each action on another entity than the scenario's;
infrastructure failures are left out; scenarios with fewer than two runs contribute
nothing. Definitions: methods specification 5.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import choice_of, judged
from opoi.types import Group

__all__ = ["consensus_metrics"]


def consensus_metrics() -> tuple[RatioMetric, ...]:
    """Return the figures of this module; each is a mean over scenarios."""
    return (
        RatioMetric(
            "consensus",
            "consensus (majority)",
            "share",
            "Share of a scenario's runs that take its most frequent action; a constant policy has 1.",
            _agreement,
            text=False,
        ),
        RatioMetric(
            "consensus_pair",
            "consensus (pairs)",
            "share",
            "Share of pairs of runs that agree; unbiased for any number of runs, use it to compare.",
            _agreement,
            text=False,
        ),
        RatioMetric(
            "consensus_unanimous",
            "consensus (all)",
            "share",
            "Share of scenarios in which all runs take the same action.",
            _agreement,
            text=False,
        ),
    )


def _agreement(group: Group) -> Mapping[str, Pair]:
    counts = Counter(choice_of(trace, group.scenario) for trace in judged(group)).values()
    runs = sum(counts)
    one = 1 if runs > 1 else 0
    pairs = runs * (runs - 1)
    return {
        "consensus": (max(counts) / runs if one else 0.0, one),
        "consensus_pair": (sum(n * (n - 1) for n in counts) / pairs if one else 0.0, one),
        "consensus_unanimous": (float(len(counts) == 1) if one else 0.0, one),
    }
