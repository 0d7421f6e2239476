"""The tools and the environment: nothing from today on, every number a fact, errors that change nothing."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.errors import UsageError
from opoi.protocols import Env
from opoi.types import Scenario
from opoi.wire import answer_action, call_action
from opoi_envs.ads import suite, tools
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.rows import COMPARED, UNITS
from opoi_envs.ads.world.archetypes import ARCHETYPES
from opoi_envs.ads.world.world import World

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
NAMES = [tool.name for tool in suite.env(next(iter(suite.scenarios(1, 0)))).tools]
CASES = list(suite.scenarios(16, 5))
quick = settings(max_examples=60, deadline=None)
PRESET_DAYS = {
    "yesterday": 1,
    "last_3d": 3,
    "last_7d": 7,
    "last_14d": 14,
    "last_28d": 28,
    "last_90d": 90,
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=12)
    | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
odd_arguments = st.dictionaries(
    st.sampled_from(["campaign_id", "date_preset", "time_increment", "days", "status", "question", "until"]),
    json_values | st.sampled_from(["today", "maximum", "2030-01-01", "last_7d", "day", "cmp_1"]),
    max_size=4,
)


def _call(env: Env, name: str, arguments: object) -> tuple[str, dict]:
    text, reward, terminated, truncated, info = env.step(call_action(name, json.dumps(arguments)))
    assert (reward, terminated, truncated) == (0.0, False, False)
    return text, info


def _objects(view):
    """Printed ids of all campaigns, and of all ad sets and ads."""
    prefixes = {"campaign": "cmp_", "adset": "set_", "ad": "ad_"}
    names = [prefixes[node.kind] + node.id for node in view.account.nodes.values()]
    return [name for name in names if name.startswith("cmp_")], names


@st.composite
def good_calls(draw, view):
    campaigns, names = _objects(view)
    name = draw(st.sampled_from(NAMES))
    about = {"campaign_id": draw(st.sampled_from(campaigns))}
    step = draw(st.sampled_from(["day", "all_days"]))
    presets = sorted(PRESET_DAYS) if step == "all_days" else sorted(set(PRESET_DAYS) - {"last_90d"})
    return name, {
        "get_account": {},
        "get_campaigns": draw(st.sampled_from([{}, {"status": "ACTIVE"}, {"status": "PAUSED"}])),
        "get_adsets": about,
        "get_insights": {
            "campaign_id": draw(st.sampled_from(names)),
            "date_preset": draw(st.sampled_from(presets)),
            "time_increment": step,
        },
        "compare_performance": {**about, "days": draw(st.integers(1, 14))},
        "get_funnel": {**about, "days": draw(st.integers(1, 14))},
        "get_activity_log": about,
        "analyse_campaign": {**about, "question": draw(st.text(min_size=1, max_size=60))},
    }[name]


def _view(scenario, clock=0):
    account = Account(World(scenario.seed))
    account.advance(clock)
    return View(account)


def _assert_in_the_past(today: str, text: str, facts) -> None:
    assert all(day < today for day in DAY.findall(text))
    for fact in facts:
        assert fact.last_day < today
        if fact.window:
            days = [date.fromisoformat(day) for day in fact.window.split("..")]
            assert days == sorted(days)
        if fact.unit == "day":
            assert fact.value < today


# ---------------------------------------------------------------- nothing from today on


@given(data=st.data(), scenario=st.sampled_from(CASES), clock=st.sampled_from([0, 0, 1, 5, 20, 60]))
@quick
def test_nothing_dated_today_or_later_comes_out_at_any_clock(data, scenario, clock):
    view = _view(scenario, clock)
    name, arguments = data.draw(good_calls(view))
    result = tools.call(view, name, json.dumps(arguments))
    assert not result.error, result.text
    if name == "analyse_campaign":
        assert result.facts == ()
        return
    _assert_in_the_past(view.day(0), result.text, result.facts)
    assert result.text.isascii()
    json.loads(result.text)


@given(data=st.data(), scenario=st.sampled_from(CASES))
@quick
def test_the_future_bears_on_no_answer(data, scenario):
    """Two accounts that differ in what happens later answer alike on the day; and answers are pure."""
    view = _view(scenario)
    name, arguments = data.draw(good_calls(view))
    text = json.dumps(arguments)
    first = tools.call(view, name, text)
    assert tools.call(view, name, text) == first
    assert tools.call(_view(scenario), name, text) == first


# ---------------------------------------------------------------- every number is a fact


def _numbers(value: object) -> list[object]:
    """Every leaf of a JSON value that is a number."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _numbers(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _numbers(item)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


@given(data=st.data(), scenario=st.sampled_from(CASES), clock=st.sampled_from([0, 0, 9]))
@quick
def test_every_number_in_an_answer_is_a_fact_and_every_fact_is_in_the_answer_once(data, scenario, clock):
    view = _view(scenario, clock)
    name, arguments = data.draw(good_calls(view))
    result = tools.call(view, name, json.dumps(arguments))
    if name == "analyse_campaign":
        assert arguments["campaign_id"] in result.text
        return
    ids = [fact.id for fact in result.facts]
    assert len(set(ids)) == len(ids)
    printed = sorted(map(str, _numbers(json.loads(result.text))))
    told = sorted(str(fact.value) for fact in result.facts if not isinstance(fact.value, str))
    if arguments.get("date_preset") == "yesterday" and arguments.get("time_increment") == "day":
        assert sorted(told * 2) == printed  # the only day is the total as well
    else:
        assert told == printed
    for fact in result.facts:
        if isinstance(fact.value, str):
            assert fact.value in result.text
        else:
            assert math.isfinite(fact.value)


def test_the_same_fact_has_the_same_value_whichever_tool_prints_it():
    for scenario in CASES:
        view, about = _view(scenario), {"campaign_id": scenario.entity}
        calls = [("compare_performance", {**about, "days": days}) for days in (1, 3, 7, 14)]
        calls += [("get_funnel", {**about, "days": days}) for days in (1, 3, 7, 14)]
        calls += [("get_insights", {**about, "date_preset": preset}) for preset in PRESET_DAYS]
        calls += [("get_insights", {**about, "date_preset": "last_28d", "time_increment": "day"})]
        calls += [
            ("get_account", {}),
            ("get_campaigns", {}),
            ("get_adsets", about),
            ("get_activity_log", about),
        ]
        seen = {}
        for name, arguments in calls:
            for fact in tools.call(view, name, json.dumps(arguments)).facts:
                assert seen.setdefault(fact.id, fact) == fact


# ---------------------------------------------------------------- sums and ratios


def _insights(view, entity, preset="last_7d", step="day"):
    arguments = {"campaign_id": entity, "date_preset": preset, "time_increment": step}
    return json.loads(tools.call(view, "get_insights", json.dumps(arguments)).text)


def _cents(row, metric):
    return round(row[metric] * 100)


@pytest.mark.parametrize("clock", [0, 6])
@pytest.mark.parametrize("preset", [name for name in PRESET_DAYS if name != "last_90d"])
def test_days_add_up_to_totals_and_ad_sets_and_ads_to_campaigns(preset, clock):
    for scenario in CASES[:6]:
        view = _view(scenario, clock)
        for campaign in view.account.of_kind("campaign"):
            body = _insights(view, f"cmp_{campaign.id}", preset)
            assert len(body["days"]) == PRESET_DAYS[preset]
            parts = {
                "days": body["days"],
                "ad sets": [
                    _insights(view, f"set_{each.id}", preset, "all_days")["total"]
                    for each in view.account.below(campaign, "adset")
                ],
                "ads": [
                    _insights(view, f"ad_{each.id}", preset, "all_days")["total"]
                    for each in view.account.below(campaign, "ad")
                ],
            }
            for rows in parts.values():
                for metric in ("spend", "revenue"):
                    assert sum(_cents(row, metric) for row in rows) == _cents(body["total"], metric)
                for metric in ("impressions", "clicks", "purchases"):
                    assert sum(row[metric] for row in rows) == body["total"][metric]


def test_campaigns_add_up_to_the_account():
    for scenario in CASES:
        view = _view(scenario)
        first, last = view.today - 7, view.today - 1
        rows = [view.totals(campaign, first, last) for campaign in view.account.of_kind("campaign")]
        assert view.totals(None, first, last) == [sum(column) for column in zip(*rows, strict=True)]
        spent = [_insights(view, f"cmp_{each.id}")["total"] for each in view.account.of_kind("campaign")]
        assert sum(_cents(row, "spend") for row in spent) == view.totals(None, first, last)[3]


def test_ad_sets_are_listed_with_what_their_own_insights_print():
    for scenario in CASES:
        view = _view(scenario)
        body = json.loads(tools.call(view, "get_adsets", json.dumps({"campaign_id": scenario.entity})).text)
        for entry in body["adsets"]:
            total = _insights(view, entry["id"], "last_7d", "all_days")["total"]
            assert total["window"] == body["window"]
            for metric in ("spend", "purchases", "cpa"):
                assert entry.get(metric) == total.get(metric)


def _half_up(value: Fraction, step: int = 100) -> float:
    return math.floor(value * step + Fraction(1, 2)) / step


@given(data=st.data(), scenario=st.sampled_from(CASES))
@quick
def test_ratios_follow_from_the_printed_sums(data, scenario):
    view = _view(scenario)
    _, names = _objects(view)
    preset = data.draw(st.sampled_from(sorted(set(PRESET_DAYS) - {"last_90d"})))
    body = _insights(view, data.draw(st.sampled_from(names)), preset)
    for row in (*body["days"], body["total"]):
        spend, revenue = Fraction(_cents(row, "spend"), 100), Fraction(_cents(row, "revenue"), 100)
        imp, clk, sold = row["impressions"], row["clicks"], row["purchases"]
        wanted = {
            "ctr": (clk * 100, imp),
            "cpm": (spend * 1000, imp),
            "cpc": (spend, clk),
            "cpa": (spend, sold),
            "roas": (revenue, spend),
        }
        for metric, (above, below) in wanted.items():
            assert row.get(metric) == (_half_up(Fraction(above) / below) if below else None), metric
        assert row["frequency"] >= 1
        assert set(row) - {"date", "window"} <= set(UNITS)


@given(scenario=st.sampled_from(CASES), days=st.integers(1, 14))
@quick
def test_a_comparison_agrees_with_insights_and_its_changes_with_its_windows(scenario, days):
    view = _view(scenario)
    arguments = json.dumps({"campaign_id": scenario.entity, "days": days})
    body = json.loads(tools.call(view, "compare_performance", arguments).text)
    if days in PRESET_DAYS.values():
        preset = next(name for name, length in PRESET_DAYS.items() if length == days)
        assert body["current"] == _insights(view, scenario.entity, preset, "all_days")["total"]
    for metric in COMPARED:
        now, before = (body[which].get(metric) for which in ("current", "previous"))
        if now is None or not before:
            assert metric not in body["change_pct"]
            continue
        new, old = Fraction(round(now * 100)), Fraction(round(before * 100))
        assert body["change_pct"][metric] == _half_up(100 * (new - old) / old, 10)


@given(scenario=st.sampled_from(CASES), days=st.integers(1, 14))
@quick
def test_a_funnel_narrows_and_its_shares_follow_from_its_counts(scenario, days):
    view = _view(scenario)
    about = json.dumps({"campaign_id": scenario.entity, "days": days})
    body = json.loads(tools.call(view, "get_funnel", about).text)
    compared = json.loads(tools.call(view, "compare_performance", about).text)
    for key in ("current", "previous"):
        row = body[key]
        assert row["clicks"] >= row["landing_page_views"] >= row["adds_to_cart"] >= row["checkouts"]
        for metric in ("clicks", "purchases"):
            assert row[metric] == compared[key][metric]
        for stage in ("landing_page_views", "adds_to_cart", "checkouts", "purchases"):
            share = Fraction(100 * row[stage], row["clicks"]) if row["clicks"] else None
            assert row.get(f"{stage}_per_click") == (None if share is None else _half_up(share, 10))


def test_the_economics_of_the_account_hang_together():
    for scenario in CASES:
        body = json.loads(tools.call(_view(scenario), "get_account", "").text)
        assert body["break_even_roas"] == _half_up(Fraction(100, body["gross_margin"]))
        goal = next(shape.goal for shape in ARCHETYPES if shape.name == scenario.kind)
        even = body["average_order_value"] * body["gross_margin"] / 100
        assert body["target_cpa"] == pytest.approx(even * goal, abs=0.51)
        assert body["data_through"] < scenario.as_of


def test_lists_hold_what_was_asked_for():
    for scenario in CASES:
        view = _view(scenario)
        rows = {
            status: json.loads(tools.call(view, "get_campaigns", json.dumps({"status": status})).text)[
                "campaigns"
            ]
            for status in (None, "ACTIVE", "PAUSED")
        }
        assert rows[None] == sorted(rows["ACTIVE"] + rows["PAUSED"], key=rows[None].index)
        assert all(row["status"] == status for status in ("ACTIVE", "PAUSED") for row in rows[status])
        focus = next(row for row in rows[None] if row["id"] == scenario.entity)
        assert f"${focus['daily_budget']:.2f}" in scenario.task


def test_typical_answers_are_of_a_size_that_a_prompt_can_bear():
    sizes = {}
    for scenario in CASES:
        view = _view(scenario)
        for name in NAMES:
            about = {} if name in ("get_account", "get_campaigns") else {"campaign_id": scenario.entity}
            if name == "analyse_campaign":
                about["question"] = "Why?"
            sizes.setdefault(name, []).append(len(tools.call(view, name, json.dumps(about)).text))
        sizes.setdefault("week by day", []).append(len(json.dumps(_insights(view, scenario.entity))))
    print({name: (min(each), max(each)) for name, each in sizes.items()})
    assert all(max(each) < 2600 for each in sizes.values())
    assert min(sizes["week by day"]) > 1000


# ---------------------------------------------------------------- what cannot be served


def _dump(view):
    account = view.account
    facts = [account.books.days(each).purchases.tolist() for each in account.of_kind("campaign")]
    return msgspec.json.encode(
        [account.today, account.version, list(account.nodes.values()), account.events, facts]
    )


VIEWS = {scenario.id: _view(scenario) for scenario in CASES[:4]}
DUMPS = {name: _dump(view) for name, view in VIEWS.items()}


def _check_refusal(result):
    body = json.loads(result.text)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "hint"}
    assert body["error"]["message"]
    assert body["error"]["hint"]
    assert result.facts == ()
    assert result.text.isascii()


@given(
    case=st.sampled_from(sorted(VIEWS)),
    name=st.sampled_from([*NAMES, "delete_campaign", "", "GET_ACCOUNT"]),
    arguments=odd_arguments,
)
@settings(max_examples=150, deadline=None)
def test_odd_arguments_never_raise_show_nothing_of_the_future_and_change_nothing(case, name, arguments):
    view = VIEWS[case]
    result = tools.call(view, name, json.dumps(arguments))
    if result.error:
        _check_refusal(result)
    else:
        _assert_in_the_past(view.day(0), result.text, result.facts)


@given(case=st.sampled_from(sorted(VIEWS)), raw=st.text(max_size=80), name=st.sampled_from(NAMES))
@settings(max_examples=150, deadline=None)
def test_any_text_at_all_is_answered(case, raw, name):
    result = tools.call(VIEWS[case], name, raw)
    if raw.strip():
        try:
            valid = isinstance(json.loads(raw), dict)
        except ValueError:
            valid = False
        assert result.error or valid
    if result.error:
        _check_refusal(result)


@given(name=st.text(max_size=30))
def test_any_name_of_a_tool_is_answered(name):
    result = tools.call(VIEWS[CASES[0].id], name, "{}")
    if name not in NAMES:
        _check_refusal(result)


def test_nothing_that_was_asked_so_far_has_changed_an_account():
    assert {name: _dump(view) for name, view in VIEWS.items()} == DUMPS


@given(data=st.data(), scenario=st.sampled_from(CASES), junk=st.lists(st.text(max_size=20), max_size=3))
@settings(max_examples=25, deadline=None)
def test_errors_leave_the_next_answers_unchanged(data, scenario, junk):
    name, arguments = data.draw(good_calls(_view(scenario)))
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
        ("get_insights", '{"campaign_id": "cmp_1"}', "there is no object 'cmp_1'"),
        ("compare_performance", '{"campaign_id": "set_1"}', "there is no campaign 'set_1'"),
        ("get_adsets", '{"campaign_id": "1"}', "there is no campaign '1'"),
        ("get_insights", "{}", "campaign_id"),
        ("get_insights", '{"campaign_id": ""}', "length"),
        ("get_insights", '{"campaign_id": "cmp_1", "date_preset": "today"}', "today"),
        ("get_insights", '{"campaign_id": "cmp_1", "since": "2020-01-01"}', "since"),
        (
            "get_insights",
            '{"campaign_id": FOCUS, "date_preset": "last_90d", "time_increment": "day"}',
            "too many",
        ),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": 15}', "14"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": 0}', "1"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": -7}', "1"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": 1e400}', "days"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": 1e30}', "days"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": 2.5}', "float"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": NaN}', "JSON"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": true}', "bool"),
        ("compare_performance", '{"campaign_id": "cmp_1", "days": "7"}', "str"),
        ("get_funnel", '{"campaign_id": null}', "null"),
        ("get_funnel", "[]", "array"),
        ("get_funnel", '{"campaign_id": "cmp_1"', "truncated"),
        ("get_campaigns", '{"status": "active"}', "active"),
        ("get_account", '{"account": 1}', "account"),
        ("analyse_campaign", '{"campaign_id": FOCUS}', "question"),
        ("update_campaign", "{}", "no tool"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_would_be_right(name, arguments, part):
    scenario = CASES[0]
    result = tools.call(VIEWS[scenario.id], name, arguments.replace("FOCUS", f'"{scenario.entity}"'))
    assert result.error
    _check_refusal(result)
    error = json.loads(result.text)["error"]
    assert part in error["message"], error
    assert _dump(VIEWS[scenario.id]) == DUMPS[scenario.id]


def test_lone_surrogates_and_deep_nesting_are_refused_not_raised():
    env = suite.env(CASES[0])
    for raw in ("\ud800", "[" * 100_000, '{"campaign_id": "\\ud800"}', '{"days": ' + "9" * 5000 + "}"):
        _, _, _, _, info = env.step(json.dumps({"tool": "get_insights", "arguments": raw}))
        assert info["error"]
        assert tools.call(VIEWS[CASES[0].id], "get_insights", raw).error


def test_a_tool_says_what_it_takes():
    for tool in tools.TOOLS:
        assert tool.parameters["type"] == "object"
        assert tool.parameters["additionalProperties"] is False
        assert tool.description
        for name in tool.parameters.get("required", []):
            assert name in tool.parameters["properties"]


def test_the_sub_agent_tool_names_tools_that_exist():
    (tool,) = [tool for tool in suite.env(CASES[0]).tools if tool.subagent]
    assert tool.name == "analyse_campaign"
    assert set(tool.subagent.tools) <= set(NAMES)
    assert tool.subagent.turns >= 2


# ---------------------------------------------------------------- after writes


def test_a_log_after_writes_tells_each_change_once_and_under_the_object_that_was_changed():
    scenario = next(s for s in CASES if not World(s.seed).focus.shared_budget)
    account = Account(World(scenario.seed))
    node = account.node(scenario.entity.removeprefix("cmp_"))
    for child in node.children:
        account.change(account.node(child), budget_cents=90_000)
    for status in ("PAUSED", "ACTIVE"):
        account.change(node, status=status)
    account.advance(1)
    result = tools.call(View(account), "get_activity_log", json.dumps({"campaign_id": scenario.entity}))
    ids = [fact.id for fact in result.facts]
    assert len(set(ids)) == len(ids)
    told = [fact.entity for fact in result.facts if fact.metric == "budget_after" and fact.value == 900]
    assert told == [f"set_{child}" for child in node.children]


def test_a_log_tells_a_change_made_today_and_nothing_later():
    """What was changed today is known today; delivery and everything else ends yesterday."""
    account = Account(World(CASES[0].seed))
    account.change(account.node(CASES[0].entity.removeprefix("cmp_")), status="PAUSED")
    view = View(account)
    result = tools.call(view, "get_activity_log", json.dumps({"campaign_id": CASES[0].entity}))
    dated = [event["date"] for event in json.loads(result.text)["events"]]
    assert dated == sorted(dated)
    assert (dated[-1], dated.count(view.day(0))) == (view.day(0), 1)
    assert max(DAY.findall(result.text)) == view.day(0)


# ---------------------------------------------------------------- the environment


def test_answers_end_the_episode_with_the_realised_utility():
    scenario: Scenario = CASES[0]
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
        assert env.reset()[0] == scenario.task
        assert not _call(env, "get_account", {})[1]["error"]


@pytest.mark.parametrize("text", ["", "nothing", '{"action": "pause"}'])
def test_an_invalid_answer_earns_what_changing_nothing_earns(text):
    _, reward, terminated, _, info = suite.env(CASES[0]).step(answer_action(text))
    assert (reward, terminated, info["error"]) == (CASES[0].truth.realised["maintain"], True, True)


def test_an_answer_about_another_campaign_changes_nothing():
    answer = {"action": "pause", "entity": "cmp_0", "new_daily_budget": 0, "reasoning": "x", "citations": []}
    _, reward, *_ = suite.env(CASES[0]).step(answer_action(json.dumps(answer)))
    assert reward == CASES[0].truth.realised["maintain"]
