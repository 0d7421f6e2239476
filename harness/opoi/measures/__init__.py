"""Figures of what the arms of a run produced, each with its uncertainty.

`measure_all` measures every arm; each figure is also a metric that can be called on one arm alone. A
figure of your own is a function `Seen -> (numerator, denominator)` under the decorator `figure`.
"""

from opoi.intervals import wilson
from opoi.measures.figures.standard import standard_metrics
from opoi.measures.figures.vocabulary import VocabularyMetric
from opoi.measures.policies import null_arm, random_arm
from opoi.measures.ratio import RatioMetric, figure
from opoi.measures.results import ArmResult, Definition, Results
from opoi.measures.run import measure_all, measured
from opoi.measures.seen import Seen
from opoi.measures.units import UnitRow

__all__ = [
    "ArmResult",
    "Definition",
    "RatioMetric",
    "Results",
    "Seen",
    "UnitRow",
    "VocabularyMetric",
    "figure",
    "measure_all",
    "measured",
    "null_arm",
    "random_arm",
    "standard_metrics",
    "wilson",
]
