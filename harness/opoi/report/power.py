"""The answers of `opoi power` as tables: what each number of runs costs or finds, by how arms are tied."""

from __future__ import annotations

from collections.abc import Callable

from opoi.intervals import wilson
from opoi.measures.power import Choice, Plan, Question
from opoi.measures.power.discordant import MOST
from opoi.report.tables import MISSING, Cell, Table

__all__ = ["power_summary", "power_tables"]

_FEW = 50
_SIMULATED = (
    "the test is the mean difference over its estimated standard error; in brackets Wilson's 95 % interval "
    "of the simulation"
)
_SHARES = ("consensus", "accuracy")
_READING = {"consensus": "all runs of a scenario agree", "accuracy": "more than half of its runs are right"}


def power_tables(plan: Plan, *, studies: int = 0) -> tuple[Table, ...]:
    """Return the main table, that of the exact test where there is one, and that of simulations if made.

    Args:
        plan: The answers.
        studies: How many comparisons were simulated for each choice.
    """
    question = plan.question
    tables = [Table(_title(question), _heads(plan), _rows(plan, _main_cell(question)), _notes(plan))]
    if question.effect is not None and any(c.exact or c.exact_power for c in plan.choices):
        asked = "Scenarios of each arm" if question.scenarios is None else "Power"
        title = f"{asked} where {_READING[question.metric]}, by McNemar's exact test"
        rows = _rows(plan, _exact_cell(question))
        tables.append(Table(title, _heads(plan), rows, _exact_notes(question)))
    if studies:
        title = f"Power in {studies:,} simulated comparisons of so many scenarios"
        rows = _rows(plan, _simulated_cell(studies))
        tables.append(Table(title, _heads(plan), rows, (_SIMULATED,)))
    return tuple(tables)


def power_summary(plan: Plan, runs: int) -> str:
    """Return the answer for one number of runs as a sentence."""
    choices = [choice for choice in plan.choices if choice.runs == runs]
    each = f"At {_counted(runs, 'run')} of each scenario"
    question = plan.question
    if question.scenarios is None:
        scenarios = _span([choice.scenarios for choice in choices])
        calls = _span([choice.calls for choice in choices])
        return f"{each}: {scenarios} scenarios in each arm, {calls} calls for each arm."
    if question.effect is None:
        found = [choice.effect for choice in choices if choice.effect is not None]
        if not found:
            return f"{each}, {question.scenarios:,} scenarios find no effect reliably."
        low, high = (_effect(question, end) for end in (min(found), max(found)))
        effects = low if low == high else f"{low.removesuffix(' points')} to {high}"
        return f"{each}, {question.scenarios:,} scenarios in each arm find an effect of {effects}."
    power = _span([round(100 * (choice.power or 0)) for choice in choices])
    return f"{each}, {question.scenarios:,} scenarios in each arm find the effect with {power} % probability."


def _title(question: Question) -> str:
    what = question.metric if question.metric != "mean" else "a mean"
    tied = "the same scenarios in both arms" if question.paired else "other scenarios in each arm"
    level = f"two-sided level {question.alpha:g}"
    chance = f"{100 * question.power:g} % power"
    if question.effect is None:
        at = f" from {question.start:g}" if question.metric in _SHARES else ""
        return f"Smallest effect that is found: {what}{at}, {tied}, {chance}, {level}"
    change = f"{what} {question.effect:+g}"
    if question.metric in _SHARES:
        change = f"{what} {question.start:g} to {round(question.start + question.effect, 6):g}"
    if question.scenarios is None:
        return f"Scenarios of each arm: {change}, {tied}, {chance}, {level}"
    return f"Power at {question.scenarios:,} scenarios: {change}, {tied}, {level}"


def _heads(plan: Plan) -> tuple[str, ...]:
    question = plan.question
    links = ("not paired" if at is None else f"{link} {at:g}" for link, at in question.links)
    return ("runs", *links)


def _rows(plan: Plan, cell: Callable[[Choice], Cell]) -> tuple[tuple[Cell, ...], ...]:
    width = len(plan.question.links)
    starts = range(0, len(plan.choices), width)
    return tuple(
        (Cell(str(plan.choices[start].runs)), *map(cell, plan.choices[start : start + width]))
        for start in starts
    )


def _main_cell(question: Question) -> Callable[[Choice], Cell]:
    def cell(choice: Choice) -> Cell:
        calls = f"{choice.calls:,} calls"
        if question.scenarios is None:
            return Cell(f"{choice.scenarios:,}", calls)
        if choice.effect is None:
            return Cell(MISSING, calls)
        if question.effect is None:
            return Cell(_effect(question, choice.effect), calls)
        return Cell(_percent(choice.power), f"z {choice.z:.2f}")

    return cell


def _exact_cell(question: Question) -> Callable[[Choice], Cell]:
    def cell(choice: Choice) -> Cell:
        if question.scenarios is None:
            if choice.exact is None:
                return Cell(MISSING)
            calls = choice.exact * choice.runs * question.calls_per_run
            return Cell(f"{choice.exact:,}", f"{calls:,} calls")
        if choice.exact_power is None:
            return Cell(MISSING)
        return Cell(_percent(choice.exact_power), f"z test {_percent(choice.exact_wald)}")

    return cell


def _simulated_cell(studies: int) -> Callable[[Choice], Cell]:
    def cell(choice: Choice) -> Cell:
        if choice.simulated is None:
            return Cell(MISSING)
        low, high = wilson(round(choice.simulated * studies), studies)
        return Cell(_percent(choice.simulated), f"[{100 * low:.1f}, {100 * high:.1f}]")

    return cell


def _notes(plan: Plan) -> tuple[str, ...]:
    question = plan.question
    notes = ["calls: of each arm; two arms make twice as many" if _shows_calls(question) else _Z]
    if question.metric == "consensus":
        notes.append(
            "consensus is the mean share of 3 runs that take the more frequent of two actions; what is "
            "compared is the share of pairs of runs that agree, which moves twice as far and is unbiased for "
            "any runs"
        )
    if question.metric in _SHARES and not (question.phi and question.runs == (1,)):
        notes.append(
            "the chances of scenarios are Beta distributed with concentration "
            f"{question.concentration:g}: --concentration, smaller where scenarios are clear-cut"
        )
    if question.metric in _SHARES and question.paired and not question.phi:
        notes.append(
            "correlation: of a scenario's difficulty between the arms (Gaussian copula); 0 is the careful "
            "choice"
        )
    if question.metric == "mean":
        sd = (
            "the difference between the arms in a scenario"
            if question.paired
            else "a scenario's figure in one arm"
        )
        notes.append(f"sd: standard deviation of {sd}, at so many runs")
    notes.extend(_cheapest(plan))
    notes.extend(_widths(plan))
    if any(choice.scenarios < _FEW for choice in plan.choices):
        notes.append(
            f"below {_FEW} scenarios normal quantiles are rough: Student's t asks for about 2 more pairs, "
            "and skewed differences for more than that"
        )
    return tuple(notes)


_Z = "z: the effect in standard errors, as it is expected to come out"


def _shows_calls(question: Question) -> bool:
    return question.scenarios is None or question.effect is None


def _cheapest(plan: Plan) -> list[str]:
    """Say which number of runs makes the fewest calls, where there is a choice."""
    question = plan.question
    if question.scenarios is not None or len(question.runs) < 2:
        return []
    width, said = len(question.links), []
    for index, head in enumerate(_heads(plan)[1:]):
        best = min(plan.choices[index::width], key=lambda choice: (choice.calls, choice.runs))
        said.append(f"{_counted(best.runs, 'run')} ({head})")
    return [f"fewest calls: {', '.join(said)}; more runs save scenarios"]


def _widths(plan: Plan) -> list[str]:
    """Say how wide the interval of one arm's share is, where one run of each scenario is right or wrong."""
    widths = {
        choice.scenarios: choice.half_width
        for choice in plan.choices
        if choice.half_width is not None and plan.question.scenarios is not None
    }
    return [
        f"Wilson's 95 % interval of a share of {plan.question.start:g} reaches about {100 * half:.1f} points "
        f"to either side at {scenarios:,} scenarios of one run"
        for scenarios, half in widths.items()
    ]


def _exact_notes(question: Question) -> tuple[str, ...]:
    if question.scenarios is None:
        return (
            f"exact sums; a dash where more than {MOST:,} scenarios are needed or the tie does not say it",
        )
    return (
        "exact sums; z test: the difference over its estimated standard error, which is what a bootstrap "
        "interval comes to and rejects too often where few scenarios differ",
    )


def _effect(question: Question, effect: float) -> str:
    return f"{100 * effect:.1f} points" if question.metric in _SHARES else f"{effect:.3g}"


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f}\u00a0%"


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
