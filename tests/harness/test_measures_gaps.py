"""Where utility is lost: architecture, acquisition, decision."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from opoi.measures.figures import gaps
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.types import Arm, Cleaned, Decision, Fact, Group, Message, Scenario, StopReason, Trace, Truth

# The textbook case: two tools that are right 8 and 9 times in 10, an agent that asks the worse one and
# does as it says 9 times in 10. A world for every combination, so that all shares are exact.

FIRST, SECOND, OBEYS = 0.8, 0.9, 9


def _posterior(signals):
    weights = {0: 1.0, 1: 1.0}
    for name, said in signals.items():
        accuracy = {"first": FIRST, "second": SECOND}[name]
        for state in weights:
            weights[state] *= accuracy if said == state else 1 - accuracy
    return {state: weight / sum(weights.values()) for state, weight in weights.items()}


def _utilities(signals):
    odds = _posterior(signals)
    return {"yes": odds[1], "no": odds[0]}


def _expected(_scenario, facts):
    return _utilities({fact.metric: fact.value for fact in facts})


TEXTBOOK = SimpleNamespace(expected=_expected, null_action="no")


def _group(number, state, signals, messages, actions):
    worth = _utilities(signals)
    truth = Truth(
        expected=worth,
        realised={"yes": float(state == 1), "no": float(state == 0)},
        observable_actions=(max(worth, key=worth.__getitem__),),
        hindsight_actions=(),
    )
    scenario = Scenario(
        id=f"t{number:04d}", suite="t", seed=0, kind="k", as_of="2025-01-01", task="", entity="e", truth=truth
    )
    traces = [
        Trace(
            id=f"{number}/{run}",
            scenario_id=scenario.id,
            arm="a",
            run=run,
            as_of=scenario.as_of,
            messages=messages,
            decision=Decision(action=action, entity="e"),
        )
        for run, action in enumerate(actions)
    ]
    cleaned = tuple(Cleaned(trace=trace, level="C0") for trace in traces)
    return Group(scenario=scenario, verdict=None, cleaned=cleaned)


def _worlds():
    """Yield (number, state, signals) for every combination."""
    for number, (state, first, second) in enumerate(itertools.product((0, 1), range(10), range(10))):
        yield (
            number,
            state,
            {
                "first": state if first < 10 * FIRST else 1 - state,
                "second": state if second < 10 * SECOND else 1 - state,
            },
        )


def _seen(**signals):
    facts = tuple(Fact("e", name, "", said) for name, said in signals.items())
    return (Message(role="tool", author="env", facts=facts),)


def _textbook():
    for number, state, signals in _worlds():
        said = signals["first"]
        actions = [("no", "yes")[said if run < OBEYS else 1 - said] for run in range(10)]
        yield _group(number, state, signals, _seen(first=said), actions)


def _informed():
    for number, state, signals in _worlds():
        worth = _utilities(signals)
        yield _group(number, state, signals, _seen(**signals), [max(worth, key=worth.__getitem__)])


def _figures(suite, arm):
    metrics = [getattr(gaps, name).of(suite) for name in gaps.__all__ if name.startswith("gap_")]
    return {metric.name: metric(arm, resamples=50).value for metric in metrics}


def test_the_textbook_case_has_the_gaps_of_the_definition():
    found = _figures(TEXTBOOK, Arm("a", _textbook))
    assert found == {
        "gap_architecture": pytest.approx(0.10),
        "gap_acquisition": pytest.approx(0.10),
        "gap_decision": pytest.approx(0.06),
        "gap_foresight": pytest.approx(0),
    }


def test_a_state_is_off_the_path_where_what_was_fetched_speaks_for_another_action():
    """The tools disagree in .8 * .1 + .2 * .9 of the worlds; there who obeys the worse one is wrong."""
    arm = Arm("a", _textbook)
    found = [
        metric.of(TEXTBOOK)(arm).value for metric in (gaps.off_path, gaps.off_path_error, gaps.on_path_error)
    ]
    assert found == [pytest.approx(0.26), pytest.approx(0.9), pytest.approx(0.1)]
    informed = Arm("a", _informed)
    assert gaps.off_path.of(TEXTBOOK)(informed).value == 0
    assert gaps.off_path_error.of(TEXTBOOK)(informed).value is None


def test_an_agent_that_fetches_everything_and_judges_well_loses_only_what_nobody_could_see():
    found = _figures(TEXTBOOK, Arm("a", _informed))
    assert found == {
        "gap_architecture": pytest.approx(0.10),
        "gap_acquisition": pytest.approx(0),
        "gap_decision": pytest.approx(0),
        "gap_foresight": pytest.approx(0),
    }


@pytest.mark.parametrize("name", ["echo", "ads"])
def test_the_gaps_of_a_suite_add_up_to_what_hindsight_would_have_gained(name):
    suite: Suite = load_suite(name)
    model = suite.stand_in()
    groups = []
    for scenario in suite.scenarios(30, 4):
        traces = [rollout(scenario, suite, model, arm="base", run=run, seed=4) for run in range(2)]
        cleaned = tuple(Cleaned(trace=trace, level="C0") for trace in traces)
        groups.append(Group(scenario=scenario, verdict=None, cleaned=cleaned))
    found = _figures(suite, Arm("base", lambda: iter(groups)))
    lost = [
        max(group.scenario.truth.realised.values())
        - group.scenario.truth.realised[each.trace.decision.action or suite.null_action]
        for group in groups
        for each in group.cleaned
    ]
    assert sum(found.values()) == pytest.approx(sum(lost) / len(lost))
    assert found["gap_acquisition"] + found["gap_decision"] >= 0


def test_who_was_told_the_outcome_shows_foresight():
    def told():
        for number, state, signals in _worlds():
            yield _group(number, state, signals, _seen(**signals), [("no", "yes")[state]])

    found = _figures(TEXTBOOK, Arm("a", told))
    assert found["gap_foresight"] == pytest.approx(-0.10 - found["gap_decision"])
    assert found["gap_decision"] > 0


def test_failures_of_the_endpoint_count_nowhere():
    groups = list(itertools.islice(_textbook(), 1))
    broken = [
        Cleaned(
            trace=Trace(
                id="x", scenario_id="t0000", arm="a", run=0, as_of="2025-01-01", stop=StopReason.ENDPOINT
            ),
            level="C0",
        )
    ]
    group = Group(scenario=groups[0].scenario, verdict=None, cleaned=tuple(broken))
    assert set(_figures(TEXTBOOK, Arm("a", lambda: iter([group]))).values()) == {None}
