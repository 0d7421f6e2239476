"""Did the agent decide right? Against the expert, against what could be seen, against what happened.

All attempted traces count except infrastructure failures; a failed rollout, an unreadable decision or one
about another entity than the scenario's is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from opoi.errors import PluginError
from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.types import Scenario

__all__ = [
    "accuracy_expert",
    "accuracy_hindsight",
    "accuracy_magnitude",
    "accuracy_majority",
    "accuracy_majority_hindsight",
    "accuracy_majority_observable",
    "accuracy_observable",
    "accuracy_unreachable",
    "regret_hindsight",
    "regret_observable",
    "unreachable_targets",
]

_NEAR = 0.1
"""How far a number of a decision may be from the expert's, as a share of the larger one."""


@figure("accuracy vs expert", policies=True)
def accuracy_expert(seen: Seen) -> Pair:
    """Share of decisions whose action is the expert's; no answer and broken JSON are wrong.

    Formula: traces with the expert's action / attempts that the endpoint did not fail
    Unit: share
    Range: 0 to 1; picking at random gives 1 / number of actions
    Source: methods specification 5.1; "action accuracy" of the seeds
    Needs: T0
    Not for: blaming an agent for a verdict by hindsight (see accuracy_observable), or arms that were told the
        verdict: they are made to agree
    """
    if not seen.wanted:
        return 0, 0
    return sum(action == seen.wanted for action in seen.actions), len(seen.actions)


@figure("accuracy vs observable", policies=True)
def accuracy_observable(seen: Seen) -> Pair:
    """Share of decisions that are among the best given what tools can reveal (Bayes actions).

    Formula: traces with a best observable action / attempts that the endpoint did not fail
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.1 and 5.9
    Needs: T0
    Not for: costs of errors (see regret_observable): being far off counts as much as being nearly right
    """
    best = seen.truth.observable_actions
    return sum(action in best for action in seen.actions), len(seen.actions)


@figure("accuracy vs hindsight", policies=True)
def accuracy_hindsight(seen: Seen) -> Pair:
    """Share of decisions that are among the best as things turned out.

    Formula: traces with a best action in hindsight / attempts that the endpoint did not fail
    Unit: share
    Range: 0 to 1; an agent without leaks stays below what tools reveal allows
    Source: methods specification 5.1 and 5.9
    Needs: T0
    Not for: judging an agent: nobody can know this at the time
    """
    best = seen.truth.hindsight_actions
    return sum(action in best for action in seen.actions), len(seen.actions)


@figure("majority vs expert", policies=True)
def accuracy_majority(seen: Seen) -> Pair:
    """Share of scenarios whose most frequent decision over the runs is the expert's; ties share the credit.

    Formula: mean over scenarios of [majority decision = verdict]
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.1
    Needs: T0
    Not for: single runs, which is how an agent is used: a majority hides errors that runs do not share
    """
    return _majority(seen, [seen.wanted]) if seen.wanted else (0, 0)


@figure("majority vs observable", policies=True)
def accuracy_majority_observable(seen: Seen) -> Pair:
    """Share of scenarios whose most frequent decision is among the best given what tools reveal.

    Formula: mean over scenarios of [majority decision is best given observables]
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.1
    Needs: T0
    Not for: single runs, see accuracy_majority
    """
    return _majority(seen, seen.truth.observable_actions)


@figure("majority vs hindsight", policies=True)
def accuracy_majority_hindsight(seen: Seen) -> Pair:
    """Share of scenarios whose most frequent decision is among the best as things turned out.

    Formula: mean over scenarios of [majority decision is best in hindsight]
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.1
    Needs: T0
    Not for: single runs, see accuracy_majority; judging an agent, see accuracy_hindsight
    """
    return _majority(seen, seen.truth.hindsight_actions)


def _majority(seen: Seen, right: Collection[str]) -> Pair:
    choices = Counter(seen.choices)
    most = max(choices.values(), default=0)
    modes = [choice for choice, times in choices.items() if times == most]
    hits = sum(action in right and entity == seen.scenario.entity for action, entity in modes)
    return hits / len(modes) if modes else 0.0, 1 if modes else 0


@figure("action and amount vs expert")
def accuracy_magnitude(seen: Seen) -> Pair:
    """Share of decisions with the expert's action whose every number is within 10 % of the expert's, too.

    Formula: traces with the expert's action and |x - x*| <= 0.1 max(|x|, |x*|) for each number x* of the
        verdict / attempts that the endpoint did not fail
    Unit: share
    Range: 0 to accuracy_expert
    Source: methods specification 5.1 (magnitude within tolerance)
    Needs: T0
    Not for: verdicts that name no amount: there it equals accuracy_expert
    """
    verdict = seen.verdict
    if verdict is None:
        return 0, 0
    pairs = zip(seen.actions, seen.judged, strict=True)
    hits = sum(
        action == seen.wanted and _near(trace.decision.payload, verdict.payload) for action, trace in pairs
    )
    return hits, len(seen.judged)


def _near(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_close(found.get(key), value) for key, value in wanted.items() if _is_number(value))


def _close(found: object, wanted: float) -> bool:
    if not isinstance(found, int | float) or isinstance(found, bool):
        return False
    return abs(found - wanted) <= _NEAR * max(abs(found), abs(wanted))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@figure("accuracy where unreachable", policies=True)
def accuracy_unreachable(seen: Seen) -> Pair:
    """Agreement with the expert in those scenarios in which what tools reveal speaks against the verdict.

    Formula: accuracy_expert over scenarios whose verdict is not among the best observable actions
    Unit: share
    Range: 0 to 1; out of sample, training can raise it only by a leak or an error of the evaluation
    Source: methods specification 5.9 (reachable verdicts)
    Needs: T0
    Not for: an aim: an agent that sees only what tools reveal has no way to be right here
    """
    if seen.wanted in seen.truth.observable_actions:
        return 0, 0
    return accuracy_expert.count(seen)


@figure("expected utility lost", policies=True)
def regret_observable(seen: Seen) -> Pair:
    """Mean expected utility lost against the best action given what tools can reveal.

    No readable decision about the scenario's entity changes nothing, and loses what that loses.

    Formula: mean over traces of max_a E[U(a) | observables] - E[U(action) | observables]
    Unit: utility
    Range: 0 up
    Source: methods specification 5.9
    Needs: T0
    Not for: suites whose utilities are not on one scale over scenarios: the largest scenarios decide
    """
    return _lost(seen, seen.truth.expected)


@figure("realised utility lost", policies=True)
def regret_hindsight(seen: Seen) -> Pair:
    """Mean realised utility lost against the best action as things turned out.

    Formula: mean over traces of max_a U(a) - U(action)
    Unit: utility
    Range: 0 up
    Source: methods specification 5.9
    Needs: T0
    Not for: judging an agent: most of it is luck (see the gaps)
    """
    return _lost(seen, seen.truth.realised)


def _lost(seen: Seen, utility: Mapping[str, float]) -> Pair:
    actions = [action or seen.suite.null_action for action in seen.actions]
    missing = [action for action in actions if action not in utility]
    if missing:
        raise _without_utility(seen.scenario, missing[0])
    best = max(utility.values(), default=0.0)
    return sum(best - utility[action] for action in actions), len(actions)


def _without_utility(scenario: Scenario, action: str) -> PluginError:
    return PluginError(
        f"scenario {scenario.id!r} of suite {scenario.suite!r} has no utility for {action!r}",
        why="`Truth.expected` and `Truth.realised` must hold every action of the suite",
        fix="fill both in the suite, or let `Suite.decide` refuse actions that it does not know",
    )


@figure("unreachable targets")
def unreachable_targets(seen: Seen) -> Pair:
    """Share of kept traces that teach an action which the observable data do not support.

    Formula: kept traces whose action is not among the best observable actions / kept traces
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.9 (share of unreachable targets in a data set)
    Needs: T0
    Not for: arms whose agent errs by itself: an error counts as much as a verdict by hindsight
    """
    best = seen.truth.observable_actions
    return sum(action not in best for action in seen.kept_actions), len(seen.kept_actions)
