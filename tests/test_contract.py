"""The contract of environments and suites, held by every suite that is registered."""

from __future__ import annotations

import json
import re
from itertools import islice

import gymnasium
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.protocols import Env, Expert, Model, Suite
from opoi.registry import load_suite, names
from opoi.rollout import rollout
from opoi.types import Decision, Outcome, Scenario
from opoi.wire import answer_action, call_action

SUITES = sorted(names("suite"))


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> Suite:
    return load_suite(request.param)


@pytest.fixture(scope="module")
def scenarios(suite: Suite) -> list[Scenario]:
    return list(suite.scenarios(12, 5))


def test_a_suite_and_its_parts_fit_the_protocols(suite: Suite, scenarios: list[Scenario]) -> None:
    assert isinstance(suite, Suite)
    assert isinstance(suite.env(scenarios[0]), Env)
    assert isinstance(suite.stand_in(), Model)
    assert suite.experts
    assert all(isinstance(expert, Expert) for expert in suite.experts.values())
    assert suite.null_action in suite.actions


def test_scenario_i_depends_on_seed_and_i_alone(suite: Suite, scenarios: list[Scenario]) -> None:
    assert list(suite.scenarios(5, 5)) == scenarios[:5]
    assert list(islice(suite.scenarios(10_000, 5), 12)) == scenarios
    assert list(suite.scenarios(12, 6)) != scenarios


def test_scenarios_have_unique_sorted_ids_and_survive_json(suite: Suite, scenarios: list[Scenario]) -> None:
    ids = [scenario.id for scenario in scenarios]
    assert ids == sorted(set(ids))
    for scenario in scenarios:
        assert scenario.suite == suite.name
        assert 0 <= scenario.seed < 2**31
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", scenario.as_of)
        assert msgspec.json.decode(msgspec.json.encode(scenario), type=Scenario) == scenario


def test_truth_names_the_best_actions_by_its_own_figures(suite: Suite, scenarios: list[Scenario]) -> None:
    for scenario in scenarios:
        truth = scenario.truth
        assert set(truth.expected) == set(truth.realised) == set(suite.actions)
        assert max(truth.expected, key=truth.expected.__getitem__) in truth.observable_actions
        assert max(truth.realised, key=truth.realised.__getitem__) in truth.hindsight_actions


def test_the_task_does_not_tell_hidden_values(suite: Suite, scenarios: list[Scenario]) -> None:
    for scenario in scenarios:
        shown = scenario.task + suite.env(scenario).system_prompt
        for hidden in scenario.truth.hidden:
            assert str(hidden.fact.value) not in re.findall(r"[\w.-]+", shown)


def test_tools_carry_a_json_schema_of_their_arguments(suite: Suite, scenarios: list[Scenario]) -> None:
    offered = {tool.name for tool in suite.env(scenarios[0]).tools}
    for tool in suite.env(scenarios[0]).tools:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool.name)
        assert tool.description
        assert tool.parameters["type"] == "object"
        assert tool.parameters["additionalProperties"] is False
        if tool.subagent:
            assert set(tool.subagent.tools) <= offered
            assert tool.subagent.system_prompt


def test_reset_gives_the_task_and_an_answer_ends_the_episode(suite: Suite, scenarios: list[Scenario]) -> None:
    env = suite.env(scenarios[0])
    task, info = env.reset(seed=scenarios[0].seed)
    assert task == scenarios[0].task
    assert isinstance(info, dict)
    _, _, terminated, truncated, _ = env.step(answer_action("no decision at all"))
    assert terminated
    assert not truncated


def test_a_gymnasium_env_with_two_attributes_is_an_environment() -> None:
    class Fits(gymnasium.Env[str, str]):
        tools = ()
        system_prompt = ""

    assert isinstance(Fits(), Env)


def test_stand_in_and_expert_play_a_whole_case(suite: Suite, scenarios: list[Scenario]) -> None:
    revealed = 0
    for scenario in scenarios:
        trace = rollout(scenario, suite, suite.stand_in(), arm="base", run=0, seed=3)
        assert trace.stop.outcome is Outcome.COMPLETED
        revealed += any(message.facts for message in trace.messages)
        assert all(fact.last_day <= scenario.as_of for message in trace.messages for fact in message.facts)
        for expert in suite.experts.values():
            verdict = expert(scenario, trace)
            assert verdict.action in suite.actions
            assert (verdict.kind == "approve") == (verdict.action == trace.decision.action)
            assert verdict.claims
            assert verdict.feedback
            told = {hidden.fact for hidden in scenario.truth.hidden}
            for claim in verdict.claims:
                if claim.origin == "observable":
                    assert not set(claim.facts) & told
    assert revealed >= len(scenarios) - 1  # the default persona answers at once now and then


def test_knowing_more_is_worth_more_and_all_that_tools_reveal_is_worth_the_truths_expectation(
    suite: Suite, scenarios: list[Scenario]
) -> None:
    """Values of the best action: nothing fetched <= a trace's facts <= all observable <= hindsight."""
    values = {"nothing": 0.0, "fetched": 0.0, "observable": 0.0, "hindsight": 0.0}
    for scenario in suite.scenarios(120, 9):
        trace = rollout(scenario, suite, suite.stand_in(), arm="base", run=0, seed=3)
        facts = [fact for message in trace.messages for fact in message.facts]
        hopes, blind = suite.expected(scenario, facts), suite.expected(scenario, ())
        assert set(hopes) == set(blind) == set(suite.actions)
        truth = scenario.truth.expected
        values["nothing"] += truth[max(blind, key=blind.__getitem__)]
        values["fetched"] += truth[max(hopes, key=hopes.__getitem__)]
        values["observable"] += max(truth.values())
        values["hindsight"] += max(scenario.truth.realised.values())
    assert values["nothing"] < values["fetched"] <= values["observable"] < values["hindsight"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_tool_call_whatever_its_arguments_breaks_an_environment(data: st.DataObject) -> None:
    suite = load_suite(data.draw(st.sampled_from(SUITES)))
    scenario = next(suite.scenarios(1, data.draw(st.integers(0, 50))))
    env = suite.env(scenario)
    env.reset(seed=scenario.seed)
    names_ = [tool.name for tool in env.tools] + ["nonsense"]
    value = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.just(scenario.entity),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )
    keys = {key for tool in env.tools for key in tool.parameters.get("properties", {})}
    arguments = st.dictionaries(st.sampled_from(sorted(keys)) | st.text(max_size=6), value, max_size=4)
    raw = data.draw(st.text(max_size=30) | arguments.map(json.dumps))
    text, reward, terminated, truncated, info = env.step(call_action(data.draw(st.sampled_from(names_)), raw))
    assert isinstance(text, str)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert text.isascii()
    if info["error"]:
        assert json.loads(text)["error"]["message"]
        assert not info["facts"]
    assert all(fact.last_day <= scenario.as_of for fact in info["facts"])


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_reading_a_decision_never_raises_and_says_what_is_wrong(text: str) -> None:
    for name in SUITES:
        decision = load_suite(name).decide(text)
        assert isinstance(decision, Decision)
        assert decision.valid == bool(decision.action)
