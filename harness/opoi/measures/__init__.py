"""Figures of what the arms of a run produced, each with its uncertainty.

`measure_all` measures every arm; each figure is also a metric that can be called on one arm alone. A
figure of your own is a function `Group -> (numerator, denominator)` under the decorator `ratio`.
"""

from opoi.intervals import wilson
from opoi.measures.policies import null_arm, random_arm
from opoi.measures.ratio import RatioMetric, ratio
from opoi.measures.results import ArmResult, Definition, Results
from opoi.measures.run import measure_all, standard_metrics
from opoi.measures.vocabulary import VocabularyMetric

__all__ = [
    "ArmResult",
    "Definition",
    "RatioMetric",
    "Results",
    "VocabularyMetric",
    "measure_all",
    "null_arm",
    "random_arm",
    "ratio",
    "standard_metrics",
    "wilson",
]
