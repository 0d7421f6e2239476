"""What must not move a figure: the order, number of copies and names of scenarios, and the names of actions.

Every figure of every run is put to it, on traces that were rolled out, steered and cleaned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from opoi.cleaning.levels import cleaner
from opoi.measures.figures.standard import STANDARD
from opoi.measures.figures.vocabulary import VocabularyMetric
from opoi.protocols import Cast
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.strategies.opoi import OPOI
from opoi.types import (
    Arm,
    Case,
    Cleaned,
    Fact,
    Group,
    Hidden,
    Message,
    Scenario,
    Scored,
    ScoredText,
    StopReason,
    TokenLogprob,
    ToolCall,
    Trace,
    Verdict,
)
from opoi_envs.echo import EchoModel, Persona

ECHO = load_suite("echo")
SEED = 3
SCENARIOS = 10
RUNS = 3
DIALS = Persona(
    seed=SEED,
    obedience=0.7,
    residue=0.4,
    flip=0.3,
    bias=0.3,
    vague=0.2,
    hidden_leak=0.8,
    invalid=0.15,
    empty=0.2,
    fabricate=0.3,
)
FIGURES = {figure.name: figure for figure in STANDARD if not isinstance(figure, VocabularyMetric)}
"""The figures that are worked out scenario by scenario; those of vocabularies draw halves of them."""

Both = dict[str, list[Group]]
"""The groups of the unsteered arm and of a steered one."""

Values = dict[str, list[float | None]]
"""By figure: its value in both arms."""


# ---------------------------------------------------------------- arms that hold what can happen


def made() -> Both:
    """Roll out, steer and clean; then let a few runs end in ways in which the stand-in's never do."""
    model = EchoModel(DIALS)
    tidy = cleaner("C0", suite=ECHO, agent=lambda: model, tools=(), seed=SEED)
    cast = Cast(suite=ECHO, agent=model, corrector=model, arm="steered", seed=SEED)
    strategy = OPOI(attempts=1, form="verdict+reason")
    arms: Both = {"base": [], "steered": []}
    for number, scenario in enumerate(ECHO.scenarios(SCENARIOS, SEED)):
        traces = [rollout(scenario, ECHO, model, arm="base", run=run, seed=SEED) for run in range(RUNS)]
        verdict = ECHO.experts["reviewer"](scenario, traces[0])
        cases = [Case(scenario=scenario, base=traces[0], verdict=verdict, run=run) for run in range(RUNS)]
        steered = [trace for case in cases for trace in strategy(case, cast)]
        world = replace(scenario, truth=replace(scenario.truth, hidden=(*scenario.truth.hidden, VISITS)))
        verdict = replace(verdict, feedback=f"{verdict.feedback} {ONCE}")
        for name, listed in (("base", traces), ("steered", steered)):
            cleaned = tuple(tidy(trace) for trace in listed)
            cleaned = (rare(cleaned[0], number), *cleaned[1:])
            arms[name].append(Group(scenario=world, verdict=verdict, cleaned=tuple(map(scored, cleaned))))
    return {name: [with_scores(group) for group in listed] for name, listed in arms.items()}


def rare(cleaned: Cleaned, number: int) -> Cleaned:
    """Return a trace as it is, or, of some scenarios, changed into what the stand-in never makes."""
    trace = cleaned.trace
    changes: dict[int, dict[str, Any]] = {
        1: {"stop": StopReason.ENDPOINT},
        2: {"stop": StopReason.TURN_BUDGET},
        3: {"decision": replace(trace.decision, entity="another")},
        4: {"messages": tuple(with_nested_run(message) for message in trace.messages)},
        5: {"attempts": 0, "drop": "unreachable"},
        6: {"messages": tuple(with_more_to_say(message) for message in trace.messages)},
    }
    return replace(cleaned, trace=replace(trace, **changes.get(number, {})), edited_chars=number % 3)


def with_nested_run(message: Message) -> Message:
    """Let a tool be an agent that made a call itself, and saw what is not yet there."""
    call = ToolCall(id="inner", name="read_gauge", arguments="{}")
    asked = Message(role="assistant", author="student", tool_calls=(call,))
    told = Message(role="tool", author="env", facts=(Fact("pump", "litres", "2025-03-15", 777, "l"),))
    return replace(message, sub=(asked, told)) if message.role == "tool" else message


PUMPED = (Fact("pump", "litres", "2025-03-12", 40.0, "l"), Fact("pump", "litres", "2025-03-13", 52.1, "l"))
VISITS = Hidden(fact=Fact("pump", "visits", "2025-03-15", 8423, "count"), channel="outcome", ambiguous=True)
ONCE = "It once was 931.5 bar."


def with_more_to_say(message: Message) -> Message:
    """Let the reason hold what follows from facts, what the expert alone says, and what proves nothing."""
    if message.role == "tool":
        return replace(message, facts=(*message.facts, *PUMPED))
    more = f"Litres are up 30.3%. {ONCE} There were 8423 visits. "
    opening = '"reasoning": "'
    return replace(message, content=message.content.replace(opening, opening + more, 1))


def scored(cleaned: Cleaned) -> Cleaned:
    """Give the texts of a trace made-up log-probabilities, which depend on nothing but the place."""
    messages = [
        replace(message, logprobs=tokens(message.content)) if message.role == "assistant" else message
        for message in cleaned.trace.messages
    ]
    return replace(cleaned, trace=replace(cleaned.trace, messages=tuple(messages)))


def tokens(text: str) -> tuple[TokenLogprob, ...]:
    starts = range(0, len(text), 9)
    return tuple(TokenLogprob(token=text[at : at + 9], logprob=-(at % 7) / 4) for at in starts)


def with_scores(group: Group) -> Group:
    """Add what a model gives to the texts with loss of the traces."""
    found = []
    for cleaned in group.cleaned:
        trace = cleaned.trace
        texts = tuple(
            ScoredText(message=at, tokens=tokens(message.content))
            for at, message in enumerate(trace.messages)
            if message.loss_weight and message.content
        )
        found.append(Scored(trace_id=trace.id, scenario_id=trace.scenario_id, scorer="agent", texts=texts))
    return replace(group, scores=tuple(found))


# ---------------------------------------------------------------- what is done to them


def renamed(group: Group, name: str) -> Group:
    """Return the same group as that of a scenario with another id."""
    old = group.scenario.id
    text = msgspec.json.encode(group.scores).decode()
    cleaned = [
        replace(each, trace=replace(each.trace, id=each.trace.id.replace(old, name, 1), scenario_id=name))
        for each in group.cleaned
    ]
    return replace(
        group,
        scenario=replace(group.scenario, id=name),
        cleaned=tuple(cleaned),
        scores=msgspec.json.decode(text.replace(f'"{old}', f'"{name}').encode(), type=tuple[Scored, ...]),
    )


def in_another_order(arms: Both) -> Both:
    """Turn the arms round, each by its own."""
    return {"base": arms["base"][::-1], "steered": arms["steered"][4:] + arms["steered"][:4]}


def doubled(arms: Both) -> Both:
    """Let every scenario stand twice, the second time under an id of its own."""
    return {
        name: [*groups, *(renamed(group, f"copy of {group.scenario.id}") for group in groups)]
        for name, groups in arms.items()
    }


def with_other_names(arms: Both) -> Both:
    """Give the scenarios ids that sort the other way round."""
    return {
        name: [renamed(group, f"case-{SCENARIOS - at:02d}") for at, group in enumerate(groups)]
        for name, groups in arms.items()
    }


SWAP = {"open": "hold", "hold": "open"}


def with_swapped_actions(arms: Both) -> Both:
    """Call opening holding and holding opening, wherever an action is named as such."""
    return {name: [swapped(group) for group in groups] for name, groups in arms.items()}


def swapped(group: Group) -> Group:
    cleaned = tuple(scored(replace(each, trace=swapped_trace(each.trace))) for each in group.cleaned)
    verdict = None if group.verdict is None else swapped_verdict(group.verdict)
    found = replace(group, scenario=swapped_scenario(group.scenario), verdict=verdict, cleaned=cleaned)
    return with_scores(found)


def swapped_scenario(scenario: Scenario) -> Scenario:
    truth = replace(
        scenario.truth,
        expected=swapped_keys(scenario.truth.expected),
        realised=swapped_keys(scenario.truth.realised),
        observable_actions=tuple(SWAP[action] for action in scenario.truth.observable_actions),
        hindsight_actions=tuple(SWAP[action] for action in scenario.truth.hindsight_actions),
    )
    return replace(scenario, truth=truth)


def swapped_keys(utility: dict[str, float]) -> dict[str, float]:
    return {SWAP[action]: worth for action, worth in utility.items()}


def swapped_verdict(verdict: Verdict) -> Verdict:
    action = SWAP[verdict.action]
    return replace(verdict, action=action, payload={**verdict.payload, "action": action})


def swapped_trace(trace: Trace) -> Trace:
    decision = trace.decision
    if decision.action:
        action = SWAP[decision.action]
        decision = replace(decision, action=action, payload={**decision.payload, "action": action})
    return replace(
        trace,
        decision=decision,
        injections=tuple(replace(each, action=SWAP.get(each.action, "")) for each in trace.injections),
        messages=tuple(replace(each, content=swapped_text(each.content)) for each in trace.messages),
    )


def swapped_text(text: str) -> str:
    """Swap the actions where a decision object names one."""
    first, second = (f'"action": "{action}"' for action in SWAP)
    return text.replace(first, "\0").replace(second, first).replace("\0", second)


def expected(scenario: Scenario, facts: Iterable[Fact]) -> dict[str, float]:
    return swapped_keys(ECHO.expected(scenario, facts))


SWAPPED: Any = SimpleNamespace(
    name=ECHO.name,
    actions=tuple(SWAP[action] for action in ECHO.actions),
    null_action=SWAP[ECHO.null_action],
    decision_schema=ECHO.decision_schema,
    prose=ECHO.prose,
    expected=expected,
)


# ---------------------------------------------------------------- what is compared


def values(figure: Any, arms: Both, suite: Any = ECHO) -> list[float | None]:
    """Return a figure of the unsteered arm and of the steered one."""
    base = Arm("base", lambda: iter(arms["base"]))
    steered = Arm("steered", lambda: iter(arms["steered"]), base=base)
    return [figure.of(suite)(arm, resamples=2).value for arm in (base, steered)]


def about(found: Sequence[float | None]) -> list[Any]:
    return [None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12) for value in found]


@pytest.fixture(scope="module")
def arms() -> Both:
    return made()


@pytest.fixture(scope="module")
def before(arms: Both) -> Values:
    """Every figure as it is."""
    return {name: values(figure, arms) for name, figure in FIGURES.items()}


def test_every_figure_has_something_that_could_move(before: Values) -> None:
    assert [name for name, found in before.items() if not any(found)] == []


BY_ID = {"citation_recall"}
"""Draws by the id of a scenario whether it is asked about at all: another id is another draw."""


@pytest.mark.parametrize("name", FIGURES)
def test_the_order_of_scenarios_moves_no_figure(name: str, arms: Both, before: Values) -> None:
    assert values(FIGURES[name], in_another_order(arms)) == about(before[name])


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in BY_ID])
@pytest.mark.parametrize("change", [doubled, with_other_names])
def test_copies_and_names_of_scenarios_move_no_figure(
    name: str, change: Callable[[Both], Both], arms: Both, before: Values
) -> None:
    assert values(FIGURES[name], change(arms)) == about(before[name])


@pytest.mark.parametrize("name", FIGURES)
def test_names_of_actions_move_no_figure(name: str, arms: Both, before: Values) -> None:
    assert values(FIGURES[name], with_swapped_actions(arms), SWAPPED) == about(before[name])
