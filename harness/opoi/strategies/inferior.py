"""OPOI with the wrong verdict: the counterfactual arm that shows what the agent does for being told so.

The note names an action that nobody should want: of those that are not the expert's, the one with the lowest
expected utility. An agent that takes it follows the note and not its data; see
`opoi.leakage.counterfactual`. Methods specification 3.3, control (iv), and 5.8, L8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from opoi.errors import UsageError
from opoi.protocols import Cast, Suite
from opoi.strategies.opoi import OPOI
from opoi.types import Case, Scenario, Trace, Verdict

__all__ = ["Inferior", "inferior_action", "inferior_verdict"]

_LIFT = 1e6


class Inferior(OPOI, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OPOI's settings; one attempt is the default, because the first try is what tells.

    A trace that complies has no drop reason although its decision is bad: this arm is for measuring, not for
    training.
    """

    attempts: Annotated[int, Meta(ge=1, le=20)] = 1

    def __call__(self, case: Case, cast: Cast) -> Iterator[Trace]:
        """Yield what OPOI yields for the inferior verdict."""
        yield from super().__call__(replace(case, verdict=inferior_verdict(case, cast.suite)), cast)


def inferior_action(scenario: Scenario, expert: str) -> str:
    """Return the action with the lowest expected utility that is not the expert's, the first of equals.

    Args:
        scenario: With its truth.
        expert: The expert's action.

    Raises:
        UsageError: There is no other action.
    """
    expected = scenario.truth.expected
    others = [action for action in expected if action != expert]
    if not others:
        raise UsageError(
            f"{scenario.id} has no action besides {expert!r}",
            why="a counterfactual verdict needs another one",
            fix="use a suite whose scenarios tell the expected utility of two actions at least",
        )
    return min(others, key=lambda action: expected[action])


def inferior_verdict(case: Case, suite: Suite) -> Verdict:
    """Return a verdict for the inferior action, in an expert's words but without reasons or outcome.

    Words and payload are those of an expert of the suite who is asked about the same case in a world where
    that action would be the best by far: the case's own expert first. Where none can be brought to want it,
    the action's name stands for both.

    Args:
        case: With the expert's verdict.
        suite: Its suite.
    """
    action = inferior_action(case.scenario, case.verdict.action)
    elsewhere = _with_best(case.scenario, action)
    names = sorted(suite.experts, key=lambda name: name != case.verdict.expert)
    asked = (suite.experts[name](elsewhere, case.base) for name in names)
    found = next((verdict for verdict in asked if verdict.action == action), None)
    words = found.phrase if found else action.replace("_", " ")
    payload = found.payload if found else {"action": action, "entity": case.scenario.entity}
    return replace(
        case.verdict,
        kind="correct",
        action=action,
        phrase=words,
        feedback=f"{words}.",
        claims=(),
        outcome="",
        payload=payload,
    )


def _with_best(scenario: Scenario, action: str) -> Scenario:
    """Return the scenario as if an action were the best, by sight and in hindsight."""
    truth = scenario.truth
    lifted = [
        {**utilities, action: max(utilities.values()) + _LIFT * (1 + max(map(abs, utilities.values())))}
        for utilities in (truth.expected, truth.realised)
    ]
    return replace(
        scenario,
        truth=replace(
            truth,
            expected=lifted[0],
            realised=lifted[1],
            observable_actions=(action,),
            hindsight_actions=(action,),
        ),
    )
