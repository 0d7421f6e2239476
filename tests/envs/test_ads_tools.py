"""The tools and the environment: nothing from the decision day on, errors that change nothing."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.errors import UsageError
from opoi.protocols import Env
from opoi.types import Scenario
from opoi.wire import answer_action, call_action
from opoi_envs.ads import suite

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
NAMES = [tool.name for tool in suite.env(next(iter(suite.scenarios(1, 0)))).tools]
CASES = list(suite.scenarios(12, 5))
quick = settings(max_examples=80, deadline=None)

PRESET_DAYS = {"yesterday": 1, "last_3d": 3, "last_7d": 7, "last_14d": 14, "last_28d": 28}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
odd_arguments = st.dictionaries(
    st.sampled_from(["campaign_id", "date_preset", "time_increment", "days", "status", "question", "until"]),
    json_values | st.sampled_from(["today", "maximum", "2030-01-01", "last_7d", "day", "cmp_1"]),
    max_size=4,
)


@st.composite
def good_calls(draw, scenario):
    campaigns = json.loads(_call(suite.env(scenario), "get_campaigns", {})[0])["campaigns"]
    name = draw(st.sampled_from(NAMES))
    campaign = draw(st.sampled_from([row["id"] for row in campaigns]))
    arguments = {
        "get_account": {},
        "get_campaigns": draw(st.sampled_from([{}, {"status": "ACTIVE"}, {"status": "PAUSED"}])),
        "get_insights": {
            "campaign_id": campaign,
            "date_preset": draw(st.sampled_from(sorted(PRESET_DAYS))),
            "time_increment": draw(st.sampled_from(["day", "all_days"])),
        },
        "compare_performance": {"campaign_id": campaign, "days": draw(st.integers(1, 14))},
        "get_activity_log": {"campaign_id": campaign},
        "analyse_campaign": {"campaign_id": campaign, "question": draw(st.text(min_size=1, max_size=60))},
    }[name]
    return name, arguments


def _call(env: Env, name: str, arguments: object) -> tuple[str, dict]:
    text, reward, terminated, truncated, info = env.step(call_action(name, json.dumps(arguments)))
    assert (reward, terminated, truncated) == (0.0, False, False)
    return text, info


def _assert_in_the_past(scenario: Scenario, text: str, info: dict) -> None:
    for day in DAY.findall(text):
        assert day < scenario.as_of
    for fact in info["facts"]:
        assert fact.last_day < scenario.as_of


@given(data=st.data(), scenario=st.sampled_from(CASES))
@quick
def test_no_valid_call_shows_anything_dated_on_or_after_the_decision_day(data, scenario):
    name, arguments = data.draw(good_calls(scenario))
    text, info = _call(suite.env(scenario), name, arguments)
    assert not info["error"]
    if name != "analyse_campaign":
        _assert_in_the_past(scenario, text, info)
        assert text.isascii()
        json.loads(text)


@given(
    scenario=st.sampled_from(CASES),
    name=st.sampled_from([*NAMES, "delete_campaign", ""]),
    arguments=odd_arguments,
)
@quick
def test_odd_arguments_show_nothing_from_the_future_and_never_raise(scenario, name, arguments):
    text, info = _call(suite.env(scenario), name, arguments)
    if info["error"]:
        body = json.loads(text)
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "hint"}
        assert info["facts"] == ()
        assert text.isascii()
    else:
        _assert_in_the_past(scenario, text, info)


@given(scenario=st.sampled_from(CASES), raw=st.text(max_size=80), name=st.sampled_from(NAMES))
@quick
def test_broken_argument_texts_are_answered_with_an_error(scenario, raw, name):
    text, _, _, _, info = suite.env(scenario).step(call_action(name, raw))
    if raw.strip():
        try:
            valid = isinstance(json.loads(raw), dict)
        except ValueError:
            valid = False
        assert info["error"] or valid
    if info["error"]:
        assert "error" in json.loads(text)


@given(data=st.data(), scenario=st.sampled_from(CASES), junk=st.lists(st.text(max_size=20), max_size=3))
@settings(max_examples=40, deadline=None)
def test_errors_leave_the_next_answers_unchanged(data, scenario, junk):
    name, arguments = data.draw(good_calls(scenario))
    fresh, used = suite.env(scenario), suite.env(scenario)
    for text in junk:
        _, _, terminated, _, info = used.step(call_action("get_insights", f"!{text}"))
        assert info["error"]
        assert not terminated
        used.step(f"!{text}")
    assert _call(used, name, arguments) == _call(fresh, name, arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("get_insights", {"campaign_id": "cmp_1"}, "there is no campaign"),
        ("get_insights", {}, "campaign_id"),
        ("get_insights", {"campaign_id": "cmp_1", "date_preset": "today"}, "today"),
        ("get_insights", {"campaign_id": "cmp_1", "since": "2020-01-01"}, "since"),
        ("compare_performance", {"campaign_id": "cmp_1", "days": 15}, "14"),
        ("compare_performance", {"campaign_id": "cmp_1", "days": True}, "bool"),
        ("compare_performance", {"campaign_id": "cmp_1", "days": "7"}, "str"),
        ("get_campaigns", {"status": "active"}, "active"),
        ("update_campaign", {}, "no tool"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_would_be_right(name, arguments, part):
    text, info = _call(suite.env(CASES[0]), name, arguments)
    assert info["error"]
    error = json.loads(text)["error"]
    assert part in error["message"]
    assert error["hint"]


def test_lone_surrogates_and_deep_nesting_are_refused_not_raised():
    env = suite.env(CASES[0])
    for raw in ("\ud800", "[" * 100_000, '{"campaign_id": "\\ud800"}'):
        action = json.dumps({"tool": "get_insights", "arguments": raw})
        _, _, _, _, info = env.step(action)
        assert info["error"]


def _numbers(value: object) -> list[object]:
    """Every leaf of a JSON value that is a number."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _numbers(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _numbers(item)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


@given(data=st.data(), scenario=st.sampled_from(CASES))
@quick
def test_every_number_in_a_result_is_a_fact_and_every_fact_is_in_the_result(data, scenario):
    name, arguments = data.draw(good_calls(scenario))
    text, info = _call(suite.env(scenario), name, arguments)
    if name == "analyse_campaign":
        assert info["facts"] == ()
        assert arguments["campaign_id"] in text
        return
    printed = sorted(map(str, _numbers(json.loads(text))))
    told = [fact.value for fact in info["facts"] if not isinstance(fact.value, str)]
    if (
        name == "get_insights"
        and arguments["date_preset"] == "yesterday"
        and arguments["time_increment"] == "day"
    ):
        assert set(map(str, told)) == set(printed)  # the only day is the total as well
    else:
        assert sorted(map(str, told)) == printed
    for fact in info["facts"]:
        if fact.window:
            days = fact.window.split("..")
            assert [date.fromisoformat(day) for day in days] == sorted(map(date.fromisoformat, days))


@pytest.mark.parametrize("scenario", CASES[:4], ids=lambda scenario: scenario.kind)
def test_a_week_by_day_adds_up_to_its_total_and_stays_small(scenario):
    env = suite.env(scenario)
    arguments = {"campaign_id": scenario.entity, "date_preset": "last_7d", "time_increment": "day"}
    text, _ = _call(env, "get_insights", arguments)
    body = json.loads(text)
    assert len(body["days"]) == 7
    for metric in ("impressions", "clicks", "purchases"):
        assert sum(day[metric] for day in body["days"]) == body["total"][metric]
    assert sum(round(day["spend"] * 100) for day in body["days"]) == round(body["total"]["spend"] * 100)
    assert 1000 < len(text) < 2100


def test_a_comparison_agrees_with_the_insights_of_the_same_window():
    for scenario in CASES:
        env = suite.env(scenario)
        compared = json.loads(
            _call(env, "compare_performance", {"campaign_id": scenario.entity, "days": 7})[0]
        )
        week = json.loads(_call(env, "get_insights", {"campaign_id": scenario.entity})[0])
        fortnight = json.loads(
            _call(env, "get_insights", {"campaign_id": scenario.entity, "date_preset": "last_14d"})[0]
        )
        assert compared["current"] == week["total"]
        both = compared["current"]["impressions"] + compared["previous"]["impressions"]
        assert both == fortnight["total"]["impressions"]
        now, before = compared["current"]["cpa"], compared["previous"]["cpa"]
        assert compared["change_pct"]["cpa"] == pytest.approx(100 * (now - before) / before, abs=0.051)


def test_no_tool_mentions_the_cause_or_the_overlay():
    from opoi_envs.ads.archetypes import ARCHETYPES, OVERLAYS

    words = {cause.name for shape in ARCHETYPES for cause in shape.causes} | {o.name for o in OVERLAYS}
    words -= {"none", "steady", "lag", "loser", "fatigue", "headroom", "saturated", "collapse"}
    for scenario in CASES:
        env = suite.env(scenario)
        for name in NAMES[:-1]:
            needs = "campaign_id" in str(next(t for t in env.tools if t.name == name).parameters)
            text, _ = _call(env, name, {"campaign_id": scenario.entity} if needs else {})
            assert not any(word in text for word in words)


def test_the_sub_agent_tool_names_tools_that_exist():
    (tool,) = [tool for tool in suite.env(CASES[0]).tools if tool.subagent]
    assert tool.name == "analyse_campaign"
    assert set(tool.subagent.tools) <= set(NAMES)
    assert tool.subagent.turns >= 2


def test_answers_end_the_episode_with_the_realised_utility():
    scenario = CASES[0]
    for action in suite.actions:
        env = suite.env(scenario)
        env.reset(seed=1)
        answer = {
            "action": action,
            "entity": scenario.entity,
            "new_daily_budget": 1,
            "reasoning": "x",
            "citations": [],
        }
        _, reward, terminated, _, info = env.step(answer_action(json.dumps(answer)))
        assert (reward, terminated, info["error"]) == (scenario.truth.realised[action], True, False)
        with pytest.raises(UsageError, match="over"):
            env.step(answer_action("x"))


@pytest.mark.parametrize("text", ["", "nothing", '{"action": "pause"}'])
def test_an_invalid_answer_earns_what_changing_nothing_earns(text):
    _, reward, terminated, _, info = suite.env(CASES[0]).step(answer_action(text))
    assert (reward, terminated, info["error"]) == (CASES[0].truth.realised["maintain"], True, True)


def test_an_answer_about_another_campaign_changes_nothing():
    answer = {"action": "pause", "entity": "cmp_0", "new_daily_budget": 0, "reasoning": "x", "citations": []}
    _, reward, *_ = suite.env(CASES[0]).step(answer_action(json.dumps(answer)))
    assert reward == CASES[0].truth.realised["maintain"]
