"""What measures read and give: groups, arms, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from opoi.types.base import Value
from opoi.types.cleaned import Cleaned
from opoi.types.reviews import Verdict
from opoi.types.scores import Scored
from opoi.types.worlds import Scenario

__all__ = ["Arm", "Group", "Measure"]


class Group(Value, frozen=True, kw_only=True):
    """All that one arm produced for one scenario: the unit of every statistic.

    Attributes:
        scenario: The scenario, truth included.
        verdict: The expert's verdict, None where there was no review.
        cleaned: One entry per generated trace, dropped ones included.
        scores: Of its kept traces under one model or several, in any order; `()` where none was asked.
        reference: Name of the first scorer of the run, `""` where nobody says: then whose score comes first.
    """

    scenario: Scenario
    verdict: Verdict | None = None
    cleaned: tuple[Cleaned, ...] = ()
    scores: tuple[Scored, ...] = ()
    reference: str = ""


class Arm:
    """One row of the report: a name and its groups, which can be walked again and again.

    Args:
        name: Name of the arm.
        groups: Called for a fresh iterator over the groups, in scenario order.
        base: The unsteered arm on the same scenarios, None for that arm itself.
        kind: `data` (has traces) or `policy` (reference row that only decides).
    """

    __slots__ = ("_groups", "base", "kind", "name")

    def __init__(
        self,
        name: str,
        groups: Callable[[], Iterator[Group]],
        *,
        base: Arm | None = None,
        kind: Literal["data", "policy"] = "data",
    ) -> None:
        self.name = name
        self.base = base
        self.kind = kind
        self._groups = groups

    def groups(self) -> Iterator[Group]:
        """Yield one group per scenario."""
        return self._groups()


class Measure(Value, frozen=True, kw_only=True):
    """One figure with its uncertainty.

    Attributes:
        value: The estimate, None where it cannot be given (`note` says why).
        low: Lower end of the 95 % interval, None where there is none.
        high: Upper end.
        n: Number of scenarios that contributed.
        note: What a reader has to know, e.g. why there is no value.
        p: Probability of a value at least as far from its null, where there is one and it was tested.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    note: str = ""
    p: float | None = None
