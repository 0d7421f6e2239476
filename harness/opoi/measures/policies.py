"""Reference rows that decide without looking: do nothing, and pick at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from opoi.protocols import Suite
from opoi.seeds import Stream
from opoi.types import Arm, Cleaned, Decision, Group, Scenario, Trace

__all__ = ["null_arm", "random_arm"]


def null_arm(base: Arm, suite: Suite) -> Arm:
    """Return the policy that always takes the action which changes nothing.

    Args:
        base: Gives the scenarios, verdicts and number of runs.
        suite: Gives the actions.
    """
    return _policy("null", base, lambda _scenario, _run: suite.null_action)


def random_arm(base: Arm, suite: Suite, seed: int) -> Arm:
    """Return the policy that draws each action with the same probability.

    Args:
        base: Gives the scenarios, verdicts and number of runs.
        suite: Gives the actions.
        seed: Seed of the run; a draw depends on it, the scenario's id and the run alone.
    """
    stream = Stream(seed, "measures", "policy", "random")
    return _policy("random", base, lambda scenario, run: stream.choice(suite.actions, scenario.id, run))


def _policy(name: str, base: Arm, decide: Callable[[Scenario, int], str]) -> Arm:
    def one(scenario: Scenario, run: int) -> Cleaned:
        trace = Trace(
            id=f"{scenario.id}/{name}/{run}",
            scenario_id=scenario.id,
            arm=name,
            run=run,
            as_of=scenario.as_of,
            decision=Decision(action=decide(scenario, run), entity=scenario.entity),
        )
        return Cleaned(trace=trace, level="none")

    def groups() -> Iterator[Group]:
        for group in base.groups():
            runs = range(len(group.cleaned))
            yield Group(
                scenario=group.scenario,
                verdict=group.verdict,
                cleaned=tuple(one(group.scenario, run) for run in runs),
            )

    return Arm(name, groups, base=base, kind="policy")
