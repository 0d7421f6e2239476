"""Figures on the scenarios that every data arm kept: methods that drop hard cases cannot win by it.

They need all arms at once, so only `opoi.measures.measure_all` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping

from opoi.measures.ratio import Pair, RatioMetric
from opoi.measures.text import action_of, kept
from opoi.measures.vocabulary import VocabularyMetric
from opoi.types import Group

__all__ = ["ACCURACY_COMMON", "JS_COMMON"]


def _right(group: Group) -> Mapping[str, Pair]:
    actions = [action_of(cleaned.trace, group.scenario) for cleaned in kept(group)]
    best = group.scenario.truth.observable_actions
    return {"accuracy_observable_common": (sum(action in best for action in actions), len(actions))}


ACCURACY_COMMON = RatioMetric(
    "accuracy_observable_common",
    "accuracy vs observable, common",
    "share",
    "Share of kept traces whose action is among the best given what tools can reveal, on the scenarios "
    "with a kept trace in every data arm.",
    _right,
    text=False,
)

JS_COMMON = VocabularyMetric(
    "js_excess_common",
    "JS excess, common",
    "bits",
    "JS excess on the scenarios with a kept trace in every data arm.",
    lambda pair: pair.divergence.excess,
)
