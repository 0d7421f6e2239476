"""The figures of single scenarios: what ratios of sums are made of, and the JS excess is the mean of.

One line each in `units.jsonl`. Runs can be compared with it, and these figures be worked out again elsewhere,
without the traces.
"""

from __future__ import annotations

from opoi.types import Value

__all__ = ["UnitRow"]


class UnitRow(Value, frozen=True, kw_only=True):
    """One scenario.

    Attributes:
        scenario_id: Its id.
        world: Digest of the scenario: equal ones are the same world, whatever the run.
        kind: What the case looks like.
        arms: Numerator and denominator, by arm and figure; a figure to which the scenario contributes nothing
            is left out.
    """

    scenario_id: str
    world: str
    kind: str
    arms: dict[str, dict[str, tuple[float, float]]]
