"""Every figure that anything prints, with its definition."""

from __future__ import annotations

from opoi.measures.agreement import cohen_kappa, fleiss_kappa
from opoi.measures.define import define
from opoi.measures.definition import Definition
from opoi.measures.figures.common import accuracy_observable_common, js_excess_common
from opoi.measures.figures.standard import STANDARD
from opoi.measures.logprobs.scorers import FIGURES
from opoi.measures.paired.differences import closed_share

__all__ = ["catalogue"]


def catalogue() -> dict[str, Definition]:
    """Return the figures of a run, of its confidence table, of `opoi compare` and `opoi agree`, by name."""
    metrics = (*STANDARD, accuracy_observable_common, js_excess_common)
    return {
        **{metric.name: metric.definition for metric in metrics},
        **{f"confidence.{name}": told for name, told in FIGURES.items()},
        "performance_gap_closed": define(closed_share, "performance gap closed"),
        "cohen_kappa": define(cohen_kappa, "Cohen's kappa"),
        "fleiss_kappa": define(fleiss_kappa, "Fleiss' kappa"),
    }
