"""The same power by brute force: whole comparisons are drawn and tested, run by run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
from msgspec.structs import replace

from opoi.errors import UsageError
from opoi.intervals import Floats, rounded
from opoi.measures.power.plan import Choice, Plan, arms
from opoi.measures.power.question import Question
from opoi.measures.power.spread import Chances, chance, pairs_alike
from opoi.seeds import Stream

__all__ = ["MOST_DRAWN", "check_simulation", "rejections", "simulate"]

MOST_DRAWN = 2_000_000_000
"""Most random numbers of one simulation."""

_CHUNK = 1_000_000


def simulate(answer: Plan, studies: int, seed: int, *, progress: Callable[[], None] | None = None) -> Plan:
    """Return the plan with the power of each choice in simulated comparisons.

    Chances, runs and figures are drawn as the plan imagines them. The test is the mean difference over its
    estimated standard error, with normal quantiles: exact where the plan's power is an approximation.

    Args:
        answer: A plan whose arms are tied by a correlation, or are not paired.
        studies: Comparisons for each choice, 100 or more.
        seed: Seed of the draws; the same one gives the same answer.
        progress: Called after each choice.

    Raises:
        UsageError: See `check_simulation`.
    """
    check_simulation(answer, studies)
    question = answer.question
    found = []
    for choice in answer.choices:
        power = None
        if choice.effect is not None:
            power = rounded(rejections(question, choice, studies, seed) / studies, 9)
        found.append(replace(choice, simulated=power))
        if progress is not None:
            progress()
    return replace(answer, choices=tuple(found))


def check_simulation(answer: Plan, studies: int) -> None:
    """Refuse a simulation that has nothing to draw from, says too little, or takes too long.

    Raises:
        UsageError: It cannot be made.
    """
    question = answer.question
    if question.metric == "mean" or (question.phi and question.paired):
        raise UsageError(
            "there is nothing to simulate",
            why="--phi and --sd do not say how runs come about",
            fix="--correlation, or no --simulate",
        )
    if studies < 100:
        raise UsageError(f"{studies} simulated comparisons say too little", fix="--simulate 100 or more")
    drawn = sum(studies * choice.scenarios * _words(choice.runs) for choice in answer.choices)
    if drawn > MOST_DRAWN:
        raise UsageError(
            f"the simulation would draw {drawn:,} random numbers",
            why=f"more than {MOST_DRAWN:,} take too long",
            fix="a smaller --simulate, or a question that needs fewer scenarios",
        )


def rejections(question: Question, choice: Choice, studies: int, seed: int) -> int:
    """Return in how many of the comparisons the two-sided test finds a difference.

    Args:
        question: Says what is compared, and at which level.
        choice: The scenarios, the runs, the effect and what ties the arms.
        studies: Number of comparisons.
        seed: Seed of the draws.
    """
    scenarios, runs = choice.scenarios, choice.runs
    values = pairs_alike(runs) if question.metric == "consensus" else chance(runs)
    pair = arms(question, choice.effect or 0.0)
    bar = NormalDist().inv_cdf(1 - question.alpha / 2) ** 2
    stream = Stream(seed, "power", question.metric, runs, f"{choice.link} {choice.at}")
    total = 0
    for numbers in _chunks(stream, studies, scenarios, runs):
        one, other = (values[counts] for counts in _counts(numbers, pair, choice.at or 0.0, runs))
        mean = one.mean(axis=1) - other.mean(axis=1)
        if choice.link == "unpaired":
            variance = one.var(axis=1) + other.var(axis=1)
        else:
            variance = (one - other).var(axis=1)
        total += int((scenarios * mean**2 > bar * variance).sum())
    return total


def _words(runs: int) -> int:
    """Return how many random numbers a scenario takes: two for both chances, one for each run."""
    return 2 + 2 * runs


def _chunks(stream: Stream, studies: int, scenarios: int, runs: int) -> Iterator[Floats]:
    """Yield uniform numbers in (0, 1) of shape `(comparisons, scenarios, words)`."""
    each = scenarios * _words(runs)
    step = max(1, _CHUNK // each)
    for start in range(0, studies, step):
        rows = min(step, studies - start)
        words = np.frombuffer(stream.raw((rows * each + 1) // 2, "chunk", start), dtype="<u4")
        yield ((words[: rows * each] + 0.5) * 2.0**-32).reshape(rows, scenarios, -1)


def _counts(
    numbers: Floats, pair: tuple[Chances, Chances], correlation: float, runs: int
) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Yield for each arm how many runs of each scenario had the outcome."""
    radius, angle = np.sqrt(-2 * np.log(numbers[..., 0])), 2 * np.pi * numbers[..., 1]
    first, second = radius * np.cos(angle), radius * np.sin(angle)  # Box and Muller 1958
    scores = first, correlation * first + np.sqrt(1 - correlation**2) * second
    for index, chances in enumerate(pair):
        p, _, grid = chances.nodes()
        drawn = np.interp(scores[index], grid, p)
        begin = 2 + index * runs
        yield (numbers[..., begin : begin + runs] < drawn[..., None]).sum(axis=-1)
