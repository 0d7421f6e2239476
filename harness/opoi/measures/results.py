"""What `measure_all` returns: every figure of every arm, with what the figures mean. One JSON object."""

from __future__ import annotations

from typing import Final, Literal

from opoi.measures.definition import Definition
from opoi.measures.logprobs.scorers import Confidence
from opoi.types import Measure, Value

__all__ = ["SCHEMA", "ArmResult", "Definition", "Results"]

SCHEMA: Final = "opoi.measures/3"
"""Version of the shape of `Results`."""


class ArmResult(Value, frozen=True, kw_only=True):
    """All figures of one arm.

    Attributes:
        name: Name of the arm.
        kind: `data` or `policy`.
        attempted: Traces generated.
        kept: Traces in the data set.
        drops: Why the others are not, with counts; sorted by reason. `kept` and these sum to `attempted`.
        measures: Figures by name.
    """

    name: str
    kind: Literal["data", "policy"]
    attempted: int
    kept: int
    drops: dict[str, int]
    measures: dict[str, Measure]


class Results(Value, frozen=True, kw_only=True):
    """All figures of a run.

    Attributes:
        schema: Version of this shape.
        suite: Name of the suite.
        scenarios: Scenarios that occur in any arm.
        common: Scenarios with a kept trace in every data arm.
        resamples: Resamples of the bootstrap that were made.
        seed: Seed of all draws.
        arms: In the order given, then the policies.
        definitions: Every figure, in the order of the tables.
        confidence: What models give to the texts, None where none was asked.
    """

    schema: Literal["opoi.measures/3"]
    suite: str
    scenarios: int
    common: int
    resamples: int
    seed: int
    arms: tuple[ArmResult, ...]
    definitions: dict[str, Definition]
    confidence: Confidence | None = None
