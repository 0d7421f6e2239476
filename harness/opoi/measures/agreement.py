"""How far do experts agree? Each reviews the same undecided cases; no agent takes part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from msgspec import Struct

from opoi.intervals import wilson
from opoi.protocols import Suite
from opoi.types import Measure, Scenario, Trace

__all__ = ["Agreement", "agreement", "cohen_kappa", "fleiss_kappa"]


class Agreement(Struct, frozen=True):
    """What experts of a suite make of the same cases.

    Attributes:
        suite: The suite.
        scenarios: How many cases.
        experts: Names of the experts.
        shares: Share of cases in which two experts want the same action, by pair of names.
        kappas: Cohen's kappa by pair: agreement beyond chance, 1 at most; None where chance is 1.
        observable: Share of cases in which the expert wants an action that is best given what tools reveal.
        hindsight: Share of cases in which it is best as things turned out.
        fleiss: Fleiss' kappa of all experts together, None where chance is 1.
    """

    suite: str
    scenarios: int
    experts: tuple[str, ...]
    shares: dict[tuple[str, str], Measure]
    kappas: dict[tuple[str, str], float | None]
    observable: dict[str, Measure]
    hindsight: dict[str, Measure]
    fleiss: float | None


def agreement(
    suite: Suite, count: int, seed: int, *, progress: Callable[[], None] | None = None
) -> Agreement:
    """Let every expert of a suite review `count` scenarios that nobody has decided.

    Args:
        suite: The suite; it needs at least one expert.
        count: Scenarios, at least 1.
        seed: Seed of the scenarios.
        progress: Called after each scenario.
    """
    wanted: dict[str, list[str]] = {name: [] for name in suite.experts}
    observable, hindsight = Counter[str](), Counter[str]()
    for scenario in suite.scenarios(count, seed):
        for name, expert in suite.experts.items():
            action = expert(scenario, _undecided(scenario)).action
            wanted[name].append(action)
            observable[name] += action in scenario.truth.observable_actions
            hindsight[name] += action in scenario.truth.hindsight_actions
        if progress is not None:
            progress()
    pairs = list(combinations(wanted, 2))
    return Agreement(
        suite=suite.name,
        scenarios=count,
        experts=tuple(wanted),
        shares={
            (one, other): _share(sum(a == b for a, b in zip(wanted[one], wanted[other], strict=True)), count)
            for one, other in pairs
        },
        kappas={(one, other): cohen_kappa(wanted[one], wanted[other]) for one, other in pairs},
        observable={name: _share(observable[name], count) for name in wanted},
        hindsight={name: _share(hindsight[name], count) for name in wanted},
        fleiss=fleiss_kappa(wanted),
    )


def cohen_kappa(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Return the agreement of two raters beyond chance; None where chance is 1.

    Formula: (p_agree - p_chance) / (1 - p_chance), p_chance from the raters' own shares of labels
    Unit: x
    Range: -1 to 1; 0 by chance
    Source: Cohen 1960
    Needs: T0
    Not for: labels of which one is nearly always right: chance is then near 1, and kappa jumps

    Args:
        one: Labels of the first rater.
        other: Labels of the second, case by case.
    """
    count = len(one)
    agreed = sum(a == b for a, b in zip(one, other, strict=True)) / count
    first, second = Counter(one), Counter(other)
    chance = sum(first[label] * second[label] for label in first) / count**2
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def fleiss_kappa(labels: Mapping[str, Sequence[str]]) -> float | None:
    """Return the agreement of several raters beyond chance; None where chance is 1.

    Formula: (mean share of agreeing pairs - p_chance) / (1 - p_chance), p_chance from all labels together
    Unit: x
    Range: below 0 to 1; 0 by chance
    Source: Fleiss 1971
    Needs: T0
    Not for: as Cohen's

    Args:
        labels: Labels by rater, case by case; at least two raters.
    """
    raters = len(labels)
    if raters < 2:
        return None
    cases = [Counter(case) for case in zip(*labels.values(), strict=True)]
    pairs = sum(times * (times - 1) for case in cases for times in case.values())
    agreed = pairs / (len(cases) * raters * (raters - 1))
    total = sum(cases, Counter[str]())
    chance = sum((times / (len(cases) * raters)) ** 2 for times in total.values())
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def _undecided(scenario: Scenario) -> Trace:
    return Trace(id=f"{scenario.id}/none/0", scenario_id=scenario.id, arm="none", run=0, as_of=scenario.as_of)


def _share(hits: int, count: int) -> Measure:
    low, high = wilson(hits, count)
    return Measure(value=hits / count, low=low, high=high, n=count)
