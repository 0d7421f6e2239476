"""The question how many scenarios a comparison of two arms needs, and what cannot be asked."""

from __future__ import annotations

import math
from typing import Literal, get_args

from msgspec import Struct

from opoi.errors import UsageError

__all__ = ["MOST_SCENARIOS", "Link", "Metric", "Question", "check"]

Metric = Literal["consensus", "accuracy", "mean"]
Link = Literal["correlation", "phi", "sd", "unpaired"]

BASELINES: dict[str, float] = {"consensus": 0.854, "accuracy": 0.697, "mean": 0.0}
CORRELATIONS = (0.0, 0.5, 0.9)
ALTERNATIVES = (3, 5, 10, 20)
MOST_RUNS = 200
MOST_SCENARIOS = 10**9


class Question(Struct, frozen=True, kw_only=True):
    """What is to be found out, and how the data are imagined.

    Attributes:
        metric: `consensus`, `accuracy`, or `mean` for any figure that is a mean over scenarios.
        baseline: Value of the first arm; None takes .854 for consensus and .697 for accuracy. Not for `mean`.
        effect: Second arm minus first, in the unit of the metric (shares: 0.04 is four points); None asks for
            the smallest one that `scenarios` can find.
        runs: Runs of a scenario, each a row of the answer.
        paired: Whether both arms run on the same scenarios.
        correlations: Correlations of a scenario's difficulty between the arms, each a column.
        phi: Instead of them: correlations between the arms of the figure of a scenario itself.
        sds: For `mean`: standard deviations of the differences of pairs, or of each arm where unpaired.
        power: Probability of finding the effect.
        alpha: Level of the two-sided test.
        concentration: Of the Beta distribution of a scenario's chances: small where each scenario is certain.
        calls_per_run: Model calls of one run of a scenario.
        scenarios: Asks for the power of so many instead.
    """

    metric: Metric = "consensus"
    baseline: float | None = None
    effect: float | None = None
    runs: tuple[int, ...] = ALTERNATIVES
    paired: bool = True
    correlations: tuple[float, ...] = CORRELATIONS
    phi: tuple[float, ...] = ()
    sds: tuple[float, ...] = ()
    power: float = 0.8
    alpha: float = 0.05
    concentration: float = 3.0
    calls_per_run: int = 1
    scenarios: int | None = None

    @property
    def start(self) -> float:
        """Value of the first arm."""
        return BASELINES[self.metric] if self.baseline is None else self.baseline

    @property
    def links(self) -> tuple[tuple[Link, float | None], ...]:
        """What ties the arms, one for each column of the answer."""
        if self.metric == "mean":
            return tuple(("sd", sd) for sd in self.sds)
        if not self.paired:
            return (("unpaired", None),)
        return tuple(("phi", at) for at in self.phi) or tuple(("correlation", at) for at in self.correlations)


def check(question: Question) -> None:
    """Refuse a question that has no answer.

    Raises:
        UsageError: Something is out of range, contradicts something else, or is missing.
    """
    if question.metric not in get_args(Metric):
        raise UsageError(
            f"unknown metric {question.metric!r}", fix=f"--metric is one of {', '.join(get_args(Metric))}"
        )
    _check_numbers(question)
    _check_ties(question)
    if question.effect is None and question.scenarios is None:
        raise UsageError(
            "there is nothing to find",
            why="neither an effect nor a number of scenarios is given",
            fix="--effect 0.04 asks for scenarios, --scenarios 300 for the smallest effect, both for power",
        )
    if question.effect == 0:
        raise UsageError("no number of scenarios finds an effect of 0", fix="an --effect above or below 0")
    if question.metric != "mean":
        _check_values(question)


def _check_numbers(question: Question) -> None:
    for name, value, low, high in (
        ("--power", question.power, 0.5, 1.0),
        ("--alpha", question.alpha, 0.0, 0.5),
    ):
        if not (low < value < high or value == low == 0.5):
            raise UsageError(
                f"{name} {value:g} is out of range", fix=f"{name} above {low:g} and below {high:g}"
            )
    if not 0.01 <= question.concentration <= 1000:
        raise UsageError(
            f"--concentration {question.concentration:g} is out of range",
            fix="--concentration from 0.01 to 1000",
        )
    least = 2 if question.metric == "consensus" else 1
    if not question.runs or not all(least <= runs <= MOST_RUNS for runs in question.runs):
        raise UsageError(
            f"{question.metric} cannot be planned for {', '.join(map(str, question.runs)) or 'no'} runs",
            why="a scenario needs two runs that can agree" if least == 2 else "",
            fix=f"--runs from {least} to {MOST_RUNS}",
        )
    if question.calls_per_run < 1:
        raise UsageError("a run makes at least one call", fix="--calls-per-run 1 or more")
    if question.scenarios is not None and not 2 <= question.scenarios <= MOST_SCENARIOS:
        raise UsageError(
            f"--scenarios {question.scenarios} is out of range", fix=f"--scenarios from 2 to {MOST_SCENARIOS}"
        )
    if question.effect is not None and not math.isfinite(question.effect):
        raise UsageError("the effect is no number", fix="--effect 0.04")


def _check_ties(question: Question) -> None:
    if question.metric == "mean":
        if not question.sds or not all(0 < sd < math.inf for sd in question.sds):
            raise UsageError(
                "the standard deviation is not known",
                why="a mean can vary by any amount between scenarios",
                fix="--sd 0.2, that of the differences of pairs (with --unpaired that of one arm), "
                "worked out from the units.jsonl of a small run",
            )
        if question.phi or question.baseline is not None:
            raise UsageError(
                "a mean takes neither --phi nor --from",
                why="--sd says how much the differences vary, whatever they come from",
                fix="leave them out",
            )
        return
    if question.sds:
        raise UsageError(
            f"{question.metric} takes no --sd",
            why="how much a share varies follows from its value, the runs and the concentration",
            fix="leave it out, or --metric mean",
        )
    if question.phi and not question.paired:
        raise UsageError("arms that are not paired have no phi", fix="leave out --phi, or --unpaired")
    for name, values in (("--correlation", question.correlations), ("--phi", question.phi)):
        if not all(-0.99 <= value <= 0.99 for value in values):
            raise UsageError(f"{name} is out of range", fix=f"{name} from -0.99 to 0.99")
    if not question.links:
        raise UsageError("nothing says how the arms are tied", fix="--correlation 0.5")


def _check_values(question: Question) -> None:
    """Refuse shares that cannot be, at the start or after the effect."""
    for what, value in (
        ("--from", question.start),
        ("--from plus --effect", question.start + (question.effect or 0)),
    ):
        low = 0.75 if question.metric == "consensus" else 0.0
        if not low < value < 1:
            raise UsageError(
                f"{what} is {value:g}: {question.metric} lies between {low:g} and 1",
                why="it is the mean share of 3 runs that take the more frequent of two actions"
                if low
                else "",
                fix=f"a share above {low:g} and below 1, as {BASELINES[question.metric]}; 4 points are 0.04",
            )
        within = 1 - value
        if low and 4 * within * (question.concentration + 1) > question.concentration:
            least = 4 * within / (1 - 4 * within)
            raise UsageError(
                f"{what} is {value:g}: so low a consensus does not go with a concentration of "
                f"{question.concentration:g}",
                why="the fewer scenarios are undecided, the more often runs agree",
                fix=f"--concentration {math.ceil(least * 100) / 100:g} or more",
            )
