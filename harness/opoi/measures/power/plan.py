"""The answers to how many scenarios a comparison of two arms needs.

Consensus is asked for as it is usually printed, as the mean share of 3 runs that take the most frequent
action, and compared as it should be, by the share of pairs of runs that agree: with two live actions the
effect on the latter is twice that on the former, for any number of runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from opoi.errors import UsageError
from opoi.intervals import rounded
from opoi.measures.power.discordant import MOST, Discordant, exact_power, exact_scenarios
from opoi.measures.power.normal import expected_z, half_width, power_of, scenarios_for
from opoi.measures.power.question import MOST_SCENARIOS, Link, Question, check
from opoi.measures.power.spread import (
    Chances,
    all_alike,
    chance,
    covariance,
    majority,
    pairs_alike,
)

__all__ = ["Choice", "Plan", "arms", "plan"]

_FINE = 1e-6
"""How finely the smallest effect is found."""


class Choice(Struct, frozen=True, kw_only=True):
    """One way to do it, and what it comes to.

    Attributes:
        runs: Runs of a scenario.
        link: What ties the arms.
        at: Its value; None where nothing ties them.
        effect: The effect asked for, or the smallest one found; None where there is none to be found.
        variance: Variance of a scenario's difference, on the scale that is compared (pairs of runs that agree
            for consensus); the sum of both arms' where unpaired.
        scenarios: Scenarios needed, or those asked about; of each arm.
        calls: Model calls of each arm.
        power: Power at so many scenarios.
        z: Effect in standard errors at so many scenarios.
        exact: The same scenarios needed by McNemar's exact test on the yes-or-no reading: all runs of a
            scenario agree, or most are right. None where there is no such reading or they are too many.
        exact_power: Power of that test at so many scenarios.
        exact_wald: Power of the difference over its standard error on that reading.
        simulated: Power at so many scenarios in simulated comparisons, None where none were made.
        half_width: For accuracy of one run: half of Wilson's 95 % interval of the first arm's share.
    """

    runs: int
    link: Link
    at: float | None = None
    effect: float | None = None
    variance: float | None = None
    scenarios: int
    calls: int
    power: float | None = None
    z: float | None = None
    exact: int | None = None
    exact_power: float | None = None
    exact_wald: float | None = None
    simulated: float | None = None
    half_width: float | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """The answers.

    Attributes:
        question: The question, its baseline filled in.
        choices: One for each number of runs and each tie between the arms, in that order.
    """

    question: Question
    choices: tuple[Choice, ...]


def plan(question: Question) -> Plan:
    """Answer a question.

    Args:
        question: What to find out.

    Raises:
        UsageError: Something is out of range, contradicts something else, or is missing.
    """
    check(question)
    if question.metric != "mean":
        question = replace(question, baseline=question.start)
    return Plan(question=question, choices=tuple(_choices(question)))


def _choices(question: Question) -> Iterator[Choice]:
    for runs in question.runs:
        for link, at in question.links:
            effect = question.effect
            if effect is None:
                effect = _smallest(question, runs, link, at)
            yield _choice(question, runs, link, at, effect)


def _least(paired: bool, alpha: float) -> int:
    """Return the fewest scenarios with which a permutation test can reach alpha at all."""
    fewest = 2
    while (2 ** (1 - fewest) if paired else 2 / math.comb(2 * fewest, fewest)) > alpha:
        fewest += 1
    return fewest


def _choice(question: Question, runs: int, link: Link, at: float | None, effect: float | None) -> Choice:
    if effect is None:
        scenarios = question.scenarios or 0
        calls = _calls(question, scenarios, runs)
        return Choice(runs=runs, link=link, at=at, scenarios=scenarios, calls=calls)
    change, variance = _difference(question, runs, link, at, effect)
    score, alpha = _score(question, runs), question.alpha
    needed = scenarios_for(change, variance, power=question.power, alpha=alpha, score=score)
    if question.scenarios is None and needed > MOST_SCENARIOS:
        raise UsageError(
            f"the effect {effect:g} needs more than {MOST_SCENARIOS:,} scenarios",
            why="it is too small next to how much scenarios differ",
            fix="ask for a larger --effect",
        )
    scenarios = question.scenarios or max(_least(question.paired, alpha), math.ceil(needed))
    rates = _rates(question, runs, link, at, effect)
    exact = None
    if rates is not None and question.scenarios is None:
        exact = exact_scenarios(rates, power=question.power, alpha=alpha)
    countable = rates is not None and scenarios <= MOST
    return Choice(
        runs=runs,
        link=link,
        at=at,
        effect=rounded(effect, 9),
        variance=rounded(variance, 9),
        scenarios=scenarios,
        calls=_calls(question, scenarios, runs),
        power=power_of(change, variance, scenarios, alpha=alpha, score=score),
        z=expected_z(change, variance, scenarios),
        exact=exact,
        exact_power=exact_power(scenarios, rates, alpha=alpha) if rates and countable else None,
        exact_wald=exact_power(scenarios, rates, alpha=alpha, test="wald") if rates and countable else None,
        half_width=half_width(question.start, scenarios)
        if question.metric == "accuracy" and runs == 1
        else None,
    )


def _calls(question: Question, scenarios: int, runs: int) -> int:
    return scenarios * runs * question.calls_per_run


def _score(question: Question, runs: int) -> bool:
    """Whether the test is McNemar's: one run of each scenario, right or wrong, in both arms."""
    return question.metric == "accuracy" and runs == 1 and question.paired


def _smallest(question: Question, runs: int, link: Link, at: float | None) -> float | None:
    """Return the smallest rise that so many scenarios find, None where even the largest is not found."""
    scenarios, score = question.scenarios or 0, _score(question, runs)

    def needed(effect: float) -> float:
        change, variance = _difference(question, runs, link, at, effect)
        return scenarios_for(change, variance, power=question.power, alpha=question.alpha, score=score)

    if question.metric == "mean":
        return math.sqrt(needed(1.0) / scenarios)

    def enough(effect: float) -> bool:
        try:
            return needed(effect) <= scenarios
        except UsageError:  # arms that differ so much cannot be tied so strongly
            return True

    low, high = 0.0, (1 - question.start) * (1 - 1e-6)
    if not enough(high):
        return None
    while high - low > _FINE:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    try:
        return high if needed(high) <= scenarios else None
    except UsageError:
        return None


def _difference(
    question: Question, runs: int, link: Link, at: float | None, effect: float
) -> tuple[float, float]:
    """Return the mean difference between the arms on the scale that is compared, and its variance."""
    if question.metric == "mean":
        return effect, (at or 0.0) ** 2 * (1 if question.paired else 2)
    one, other = arms(question, effect)
    if question.metric == "consensus":
        scale, values, same = 2.0, pairs_alike(runs), pairs_alike(2)
    else:
        scale, values, same = 1.0, chance(runs), chance(1)
    (_, v), (_, w) = one.moments(values), other.moments(values)
    if link == "unpaired" or at is None:
        return scale * effect, v + w
    if link == "correlation":
        shared = covariance(one, other, same, at)  # what is expected of a scenario is the same for any runs
    else:
        shared = _by_phi(question, runs, at, one=one, other=other, scale=math.sqrt(v * w))
    return scale * effect, max(0.0, v + w - 2 * shared)


def arms(question: Question, effect: float) -> tuple[Chances, Chances]:
    """Return how chances are distributed in both arms, for an effect."""
    one, other = (_chances(question, value) for value in (question.start, question.start + effect))
    return one, other


def _chances(question: Question, value: float) -> Chances:
    """Return the chances of an arm: of the right action for accuracy, of the rarer action for consensus."""
    concentration = question.concentration
    if question.metric == "accuracy":
        return Chances(value, concentration)
    within = 1 - value
    product = within * (concentration + 1) / concentration  # mean * (1 - mean)
    return Chances(2 * product / (1 + math.sqrt(max(0.0, 1 - 4 * product))), concentration)


def _by_phi(
    question: Question, runs: int, phi: float, *, one: Chances, other: Chances, scale: float
) -> float:
    """Return the covariance of the arms for a correlation of the scenarios' figures, if it can be.

    One run of each arm: bounded by the two shares. More runs, which are independent given the scenario: by
    how far scenarios differ at all.
    """
    if runs == 1:
        product = one.mean * other.mean
        low = max(0.0, one.mean + other.mean - 1) - product
        high = min(one.mean, other.mean) - product
        why = "two shares that differ cannot agree more"
        fix = "--phi nearer to 0"
    else:
        high = 4 * math.sqrt(one.uneven * other.uneven)
        if question.metric == "accuracy":
            high = math.sqrt(one.between * other.between)
        low = -high
        why = (
            f"at concentration {question.concentration:g} the runs of one scenario differ so much that two "
            f"arms of {runs} runs cannot agree more"
        )
        fix = "--phi nearer to 0, a smaller --concentration, or --correlation, which always fits"
    shared = phi * scale
    if not low <= shared <= high:
        raise UsageError(
            f"a phi of {phi:g} cannot be: it lies between {low / scale:.3f} and {high / scale:.3f}",
            why=why,
            fix=fix,
        )
    return shared


def _rates(question: Question, runs: int, link: Link, at: float | None, effect: float) -> Discordant | None:
    """Return how often the yes-or-no reading of a scenario differs, None where that is not known."""
    if question.metric == "mean" or at is None:
        return None
    one, other = arms(question, effect)
    values = all_alike(runs) if question.metric == "consensus" else majority(runs)
    (m, v), (n, w) = one.moments(values), other.moments(values)
    if link == "correlation":
        shared = covariance(one, other, values, at)
    elif runs == (3 if question.metric == "consensus" else 1):  # where the figure is yes or no, but for scale
        shared = at * math.sqrt(v * w)
    else:
        return None
    both = m * n + shared
    rates = Discordant(max(0.0, n - both), max(0.0, m - both))
    return rates if rates.effect else None
