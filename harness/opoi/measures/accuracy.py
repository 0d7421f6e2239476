"""Did the agent decide right? Against the expert, against what could be seen, against what happened.

All attempted traces count except infrastructure failures; a failed rollout, an unreadable decision or one
about another entity than the scenario's is wrong. Definitions: methods specification 5.1 and 5.9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from opoi.errors import PluginError
from opoi.measures.ratio import Pair, RatioMetric, Tally
from opoi.measures.text import action_of, choice_of, judged, kept, readable
from opoi.types import Group, Scenario

__all__ = ["accuracy_metrics"]


def accuracy_metrics(null_action: str) -> tuple[RatioMetric, ...]:
    """Return the figures of this module.

    Args:
        null_action: The suite's action that changes nothing: what an unreadable decision, or one about
            another entity, amounts to.
    """
    decided = _decisions
    lost = _regret(null_action)
    return (
        RatioMetric(
            "accuracy_expert",
            "accuracy vs expert",
            "share",
            "Share of the attempted traces that the endpoint did not fail whose action is the expert's; "
            "failures of the agent, invalid JSON and decisions about another entity are wrong.",
            decided,
            text=False,
        ),
        RatioMetric(
            "accuracy_observable",
            "accuracy vs observable",
            "share",
            "Share of the attempted traces that the endpoint did not fail whose action is among the best "
            "given what tools can reveal.",
            decided,
            text=False,
        ),
        RatioMetric(
            "accuracy_hindsight",
            "accuracy vs hindsight",
            "share",
            "Share of the attempted traces that the endpoint did not fail whose action is among the best "
            "as things turned out.",
            decided,
            text=False,
        ),
        RatioMetric(
            "accuracy_majority",
            "majority vs expert",
            "share",
            "Share of scenarios whose most frequent action over the runs that the endpoint did not fail is "
            "the expert's (ties share).",
            decided,
            text=False,
        ),
        RatioMetric(
            "schema_valid",
            "valid decision",
            "share",
            "Share of the attempted traces that the endpoint did not fail which end in a decision that fits "
            "the schema.",
            decided,
            text=False,
        ),
        RatioMetric(
            "regret_observable",
            "expected utility lost",
            "utility",
            "Mean expected utility lost against the best action given what tools can reveal, over the "
            "attempted traces that the endpoint did not fail; no readable decision about the scenario's "
            "entity changes nothing.",
            lost,
            text=False,
        ),
        RatioMetric(
            "regret_hindsight",
            "realised utility lost",
            "utility",
            "Mean realised utility lost against the best action as things turned out, over the same traces.",
            lost,
            text=False,
        ),
        RatioMetric(
            "unreachable_targets",
            "unreachable targets",
            "share",
            "Share of kept traces that teach an action which the observable data do not support.",
            _targets,
        ),
    )


def _decisions(group: Group) -> Mapping[str, Pair]:
    traces = list(judged(group))
    actions = [action_of(trace, group.scenario) for trace in traces]
    count = len(actions)
    truth = group.scenario.truth
    reviewed = group.verdict is not None
    wanted = group.verdict.action if group.verdict is not None else ""
    choices = Counter(choice_of(trace, group.scenario) for trace in traces)
    most = max(choices.values(), default=0)
    modes = sorted(choice for choice, times in choices.items() if times == most)
    majority = modes.count((wanted, group.scenario.entity)) / len(modes) if wanted and modes else 0.0
    right = sum(action == wanted for action in actions) if wanted else 0
    return {
        "accuracy_expert": (right, count if reviewed else 0),
        "accuracy_observable": (sum(action in truth.observable_actions for action in actions), count),
        "accuracy_hindsight": (sum(action in truth.hindsight_actions for action in actions), count),
        "accuracy_majority": (majority, 1 if reviewed and count else 0),
        "schema_valid": (sum(map(readable, traces)), count),
    }


def _targets(group: Group) -> Mapping[str, Pair]:
    actions = [action_of(cleaned.trace, group.scenario) for cleaned in kept(group)]
    best = group.scenario.truth.observable_actions
    return {"unreachable_targets": (sum(action not in best for action in actions), len(actions))}


def _regret(null_action: str) -> Tally:
    def tally(group: Group) -> Mapping[str, Pair]:
        actions = [action_of(trace, group.scenario) or null_action for trace in judged(group)]
        truth = group.scenario.truth
        return {
            "regret_observable": _lost(group.scenario, truth.expected, actions),
            "regret_hindsight": _lost(group.scenario, truth.realised, actions),
        }

    return tally


def _lost(scenario: Scenario, utility: Mapping[str, float], actions: list[str]) -> Pair:
    """Return the utility lost by the actions against the best one, and their number."""
    missing = [action for action in actions if action not in utility]
    if missing:
        raise PluginError(
            f"scenario {scenario.id!r} of suite {scenario.suite!r} has no utility for {missing[0]!r}",
            why="`Truth.expected` and `Truth.realised` must hold every action of the suite",
            fix="fill both in the suite, or let `Suite.decide` refuse actions that it does not know",
        )
    best = max(utility.values(), default=0.0)
    return sum(best - utility[action] for action in actions), len(actions)
