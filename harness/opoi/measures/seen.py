"""What figures read of one scenario of one arm, each thing worked out once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from opoi.measures.text import action_of, choice_of, drop_reason
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.types import Cleaned, Group, Outcome, Scenario, Scored, Trace, Truth, Verdict

__all__ = ["Seen"]

T = TypeVar("T")


class Seen:
    """A group, and what several figures read of it.

    Args:
        group: All that one arm produced for one scenario.
        suite: Its suite; None to look it up by name where a figure asks for it.
        base: The same scenario in the unsteered arm, None where there is none.

    Attributes:
        group: The group.
        scenario: Its scenario.
        verdict: The expert's verdict, None where there was no review.
        cleaned: One entry per generated trace, dropped ones included.
        scores: Of kept traces, under one model or several.
        base: The same scenario in the unsteered arm.
    """

    def __init__(self, group: Group, suite: Suite | None = None, base: Seen | None = None) -> None:
        self.group = group
        self.scenario: Scenario = group.scenario
        self.verdict: Verdict | None = group.verdict
        self.cleaned: tuple[Cleaned, ...] = group.cleaned
        self.scores: tuple[Scored, ...] = group.scores
        self.base = base
        self._suite = suite
        self._made: dict[Callable[[Seen], Any], Any] = {}

    def once(self, function: Callable[[Seen], T]) -> T:
        """Return what a function makes of this, from memory after the first time."""
        if function not in self._made:
            self._made[function] = function(self)
        made: T = self._made[function]
        return made

    @property
    def suite(self) -> Suite:
        """The suite of the scenario."""
        if self._suite is None:
            self._suite = load_suite(self.scenario.suite)
        return self._suite

    @property
    def truth(self) -> Truth:
        """What really holds."""
        return self.scenario.truth

    @property
    def wanted(self) -> str:
        """The expert's action, `""` without a review."""
        return self.verdict.action if self.verdict is not None else ""

    @cached_property
    def kept(self) -> list[Cleaned]:
        """The entries that are in the data set."""
        return [cleaned for cleaned in self.cleaned if not drop_reason(cleaned)]

    @cached_property
    def judged(self) -> list[Trace]:
        """The traces that say something about the agent: not what the endpoint failed, or nobody ran."""
        failed = Outcome.INFRASTRUCTURE_FAILURE
        traces = (cleaned.trace for cleaned in self.cleaned)
        return [trace for trace in traces if trace.attempts and trace.stop.outcome is not failed]

    @cached_property
    def actions(self) -> list[str]:
        """What each judged trace decides to do with the scenario's entity, `""` where it does not say."""
        return [action_of(trace, self.scenario) for trace in self.judged]

    @cached_property
    def choices(self) -> list[tuple[str, str]]:
        """Action and entity of each judged trace, two empty texts where there is no readable decision."""
        return [choice_of(trace, self.scenario) for trace in self.judged]

    @cached_property
    def kept_actions(self) -> list[str]:
        """What each kept trace decides to do with the scenario's entity."""
        return [action_of(cleaned.trace, self.scenario) for cleaned in self.kept]
