"""What a figure says, as data."""

from __future__ import annotations

from opoi.types import Tier, Value

__all__ = ["Definition"]


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
        parts: It is a ratio of two sums over scenarios (a JS excess: the mean of what it owes to each):
            numerator and denominator of each stand in `units.jsonl`.
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
