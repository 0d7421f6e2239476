"""Controls: what a data set is worth without the note, and without verdicts that no agent could reach.

Methods specification 3.3, controls (i) and (ii), and 5.9. A gain of OPOI over the base model can come from
three other things than the note: training on the agent's own text, whatever it says (`self`), choosing those
of its own traces that agree with the expert (`agreeing`), and verdicts by hindsight, which teach it to guess
(compare with `opoi-reachable`). The wrong verdict is in `opoi.strategies.inferior`, the informed corrector in
`opoi.strategies.opcd`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from opoi.protocols import Cast
from opoi.strategies.opoi import OPOI
from opoi.strategies.tries import first_usable
from opoi.types import Case, Decision, Trace

__all__ = ["Agreeing", "Reachable", "SelfSFT"]


class SelfSFT(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Self-distillation: unsteered traces with whatever they decide; the verdict is not looked at.

    Every run is a fresh rollout with draws of its own, not the one that the expert reviewed. Dropped is only
    what belongs in no data set: no valid decision, one about another entity, no tool call, the same call
    again and again.
    """

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield one unsteered trace."""
        yield first_usable(case, cast)


class Agreeing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rejection sampling: unsteered traces that take the expert's action by themselves.

    Attributes:
        attempts: Most rollouts for one trace, 1 to 20; the first that agrees is taken.
    """

    attempts: Annotated[int, Meta(ge=1, le=20)] = 1

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield one unsteered trace: the first that agrees, else the last, dropped as `noncompliant`."""
        yield first_usable(case, cast, attempts=self.attempts, wanted=case.verdict.action)


class Reachable(OPOI, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OPOI with OPOI's settings, on those verdicts alone that the observable data support.

    A verdict is reachable where its expected utility given all that tools can reveal is within the suite's
    tolerance of the best (`Truth.observable_actions`). This reads the simulator's truth: it is a control that
    no system in production can have.
    """

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield what OPOI yields; for an unreachable verdict a trace without any rollout, dropped."""
        if case.verdict.action in case.scenario.truth.observable_actions:
            yield from super().__call__(case, cast)
        else:
            yield _never_run(case, cast, "unreachable")


def _never_run(case: Case, cast: Cast, drop: str) -> Trace:
    """Return a trace that stands for a case on which no model was asked."""
    return Trace(
        id=f"{case.scenario.id}/{cast.arm}/{case.run}",
        scenario_id=case.scenario.id,
        arm=cast.arm,
        run=case.run,
        as_of=case.scenario.as_of,
        model=cast.agent.name,
        prompt=case.base.prompt,
        decision=Decision(problems=("not asked for",)),
        drop=drop,
        attempts=0,
    )
