"""The figures that every run has, in the order of the tables."""

from __future__ import annotations

from opoi.measures.excess import ExcessMetric
from opoi.measures.figures import (
    accuracy,
    citations,
    consensus,
    form,
    gaps,
    grounding,
    likelihood,
    profile,
    residue,
    steering,
    vocabulary,
)
from opoi.measures.figures.vocabulary import VocabularyMetric
from opoi.measures.ratio import RatioMetric
from opoi.protocols import Suite

__all__ = ["STANDARD", "standard_metrics"]

_MODULES = (
    *(accuracy, form, gaps, consensus, profile, residue),
    *(grounding, steering, citations, vocabulary, likelihood),
)

STANDARD: tuple[RatioMetric | ExcessMetric | VocabularyMetric, ...] = tuple(
    found
    for module in _MODULES
    for name in module.__all__
    if isinstance(found := getattr(module, name), RatioMetric | ExcessMetric | VocabularyMetric)
)
"""All figures but the two `*_common` ones, which need all arms at once."""


def standard_metrics(suite: Suite) -> tuple[RatioMetric | ExcessMetric | VocabularyMetric, ...]:
    """Return the figures that `measure_all` always makes, to be called with an arm of a suite."""
    return tuple(metric if isinstance(metric, VocabularyMetric) else metric.of(suite) for metric in STANDARD)
