"""What `measure_all` returns: every figure of every arm, with what the figures mean. One JSON object."""

from __future__ import annotations

from typing import Literal

from opoi.measures.logprobs.scorers import Confidence
from opoi.types import Measure, Tier, Value

__all__ = ["SCHEMA", "ArmResult", "Definition", "Results"]

SCHEMA = "opoi.measures/2"
"""Version of the shape of `Results`."""


class Definition(Value, frozen=True, kw_only=True):
    """What a figure says; `opoi.measures.define` reads it from the docstring of the figure's function.

    Attributes:
        title: Column head.
        unit: `share`, `count`, `bits`, `nats`, `x`, or `utility` for the suite's unit.
        doc: A sentence or two.
        formula: How it is worked out.
        range: What values it can take.
        source: Where the definition comes from.
        needs: What it asks of the model's endpoint.
        avoid: When not to use it.
        parts: It is a ratio of two sums over scenarios: numerator and denominator of each stand in
            `units.jsonl`.
    """

    title: str
    unit: str
    doc: str
    formula: str = ""
    range: str = ""
    source: str = ""
    needs: Tier = Tier.T0
    avoid: str = ""
    parts: bool = False


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

    schema: Literal["opoi.measures/2"]
    suite: str
    scenarios: int
    common: int
    resamples: int
    seed: int
    arms: tuple[ArmResult, ...]
    definitions: dict[str, Definition]
    confidence: Confidence | None = None
