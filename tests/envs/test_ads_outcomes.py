"""Utilities and truth, each against a second computation."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from opoi_envs.ads import suite, tools
from opoi_envs.ads.account import PRESETS, View
from opoi_envs.ads.archetypes import OVERLAYS, RESPONSES
from opoi_envs.ads.outcomes import (
    ACTIONS,
    base_spend,
    best,
    expected,
    new_budget,
    realised,
    stock_left,
    truth_of,
)
from opoi_envs.ads.world import World

WORLDS = [World(seed) for seed in range(1200)]
TRUTHS = [truth_of(world) for world in WORLDS]
MANY = [World(seed) for seed in range(5000, 6500) if World(seed).overlay.name == "stock_out"]
MANY_TRUTHS = [truth_of(world) for world in MANY]
MULTIPLE = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.7, "pause": 0.0}


def _plain_utility(world, action, cause, overlay, k):
    """Utility in USD without day noise, day by day, written without the code under test."""
    m = MULTIPLE[action]
    daily_spend = 0.95 * world.focus.budget_cents / 100
    margin_per_sale = world.account.aov_cents / 100 * world.account.margin_pct / 100
    usual_sales = daily_spend / (world.focus.cpa / 100)
    stock = usual_sales * overlay.days if overlay.name == "stock_out" else math.inf
    profit = 0.0 if action == "maintain" else -0.02 * 14 * daily_spend
    for day in range(14):
        sales = usual_sales * cause.quality * (m * (1 + k) / (1 + k * m))
        if overlay.name == "promotion" and day >= overlay.days:
            sales *= overlay.lift
        sales = min(sales, stock)
        stock -= sales
        profit += sales * margin_per_sale - daily_spend * m * overlay.cost
    return profit


def test_expected_utility_is_the_average_over_everything_hidden():
    for world in WORLDS[:60]:
        hopes = expected(world)
        for action in ACTIONS:
            total = 0.0
            for cause, overlay, k in itertools.product(world.focus.archetype.causes, OVERLAYS, RESPONSES):
                weight = cause.probability * overlay.probability / len(RESPONSES)
                total += weight * _plain_utility(world, action, cause, overlay, k)
            assert hopes[action] == pytest.approx(total, abs=0.0051)


@pytest.mark.parametrize("action", ACTIONS)
def test_realised_utility_scatters_around_the_noise_free_one_without_bias(action):
    gaps = []
    for world, truth in zip(WORLDS, TRUTHS, strict=True):
        plain = _plain_utility(world, action, world.cause, world.overlay, world.response)
        gaps.append((truth.realised[action] - plain) / (base_spend(world) / 100))
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert spread < 0.12
    assert abs(mean) < max(4 * spread / math.sqrt(len(gaps)), 1e-4)


def test_realised_utility_is_margin_times_revenue_minus_cost():
    for world in WORLDS[:200]:
        for action, future in realised(world).items():
            cost = future.spend_cents * (1.5 if world.overlay.name == "cash_freeze" else 1.0)
            switching = 0 if action == "maintain" else 0.02 * base_spend(world)
            plain = future.revenue_cents * world.account.margin_pct / 100 - cost - switching
            assert future.utility_cents == pytest.approx(plain, abs=3)


def test_pausing_buys_nothing_and_costs_only_the_switch():
    for world in WORLDS[:100]:
        future = realised(world)["pause"]
        assert (future.spend_cents, future.purchases, future.revenue_cents) == (0, 0, 0)
        assert future.utility_cents <= 0


def test_more_spend_sells_more_at_a_higher_cost_per_purchase():
    for world in WORLDS[:200]:
        futures = realised(world)
        down, keep, up = (futures[name] for name in ("scale_down", "maintain", "scale_up"))
        assert down.spend_cents < keep.spend_cents < up.spend_cents
        assert down.purchases <= keep.purchases <= up.purchases
        if world.overlay.name == "none":
            assert down.spend_cents / down.purchases < up.spend_cents / up.purchases


def test_stock_is_never_oversold():
    for world in WORLDS:
        if world.overlay.name == "stock_out":
            usual = 0.95 * world.focus.budget_cents / world.focus.cpa
            assert 0 <= stock_left(world) - int(usual * world.overlay.days) <= 8
            for future in realised(world).values():
                assert future.purchases <= stock_left(world)
        else:
            assert stock_left(world) == -1


def test_the_stock_that_is_told_is_the_one_that_sales_run_into():
    sold_out = 0
    for world, truth in zip(MANY, MANY_TRUTHS, strict=True):
        for item in truth.hidden:
            if item.fact.metric == "stock_left":
                bought = [future.purchases for future in realised(world).values()]
                assert max(bought) <= item.fact.value
                sold_out += max(bought) == item.fact.value
    assert sold_out > 0.9 * sum(world.overlay.name == "stock_out" for world in MANY)


def test_the_contribution_is_margin_less_spend_and_in_a_cash_freeze_says_that_it_bears_the_overdraft():
    frozen = 0
    for world, truth in zip(WORLDS, TRUTHS, strict=True):
        kept = realised(world)["maintain"]
        margin = kept.revenue_cents * world.account.margin_pct // 100
        overdraft = kept.spend_cents // 2 if world.overlay.name == "cash_freeze" else 0
        came = {h.fact.metric: h.fact.value for h in truth.hidden if h.fact.metric.startswith("contribution")}
        frozen += "contribution_14d_after_overdraft" in came
        name = "contribution_14d_after_overdraft" if overdraft else "contribution_14d"
        assert set(came) <= {name}
        if came:
            assert came[name] == (margin - kept.spend_cents - overdraft) / 100
    assert frozen > 20


def test_best_actions_are_those_within_two_percent_of_the_spend():
    for world, truth in zip(WORLDS, TRUTHS, strict=True):
        slack = 0.02 * base_spend(world) / 100
        for values, chosen in (
            (truth.expected, truth.observable_actions),
            (truth.realised, truth.hindsight_actions),
        ):
            top = max(values.values())
            assert set(chosen) == {action for action in ACTIONS if values[action] >= top - slack}
            assert values[chosen[0]] == top
    assert best({"a": 1.0, "b": 3.0, "c": 2.5}, 0.5) == ("b", "c")


def test_every_action_is_the_observable_best_in_a_fair_share_of_worlds():
    for action in ACTIONS:
        share = sum(truth.observable_actions[0] == action for truth in TRUTHS) / len(TRUTHS)
        assert 0.1 <= share <= 0.45, action


def test_hindsight_disagrees_with_the_observable_best_in_15_to_30_percent():
    differs = sum(truth.observable_actions[0] not in truth.hindsight_actions for truth in TRUTHS)
    assert 0.15 <= differs / len(TRUTHS) <= 0.30


def test_hidden_facts_follow_from_what_is_behind_the_screen():
    for world, truth in zip(WORLDS, TRUTHS, strict=True):
        metrics = {item.fact.metric: item for item in truth.hidden}
        assert ("untracked_purchases" in metrics) == world.cause.hides_sales
        assert ("stock_left" in metrics) == (world.overlay.name == "stock_out")
        assert ("promotion_discount" in metrics) == (world.overlay.name == "promotion")
        assert ("cash_limit" in metrics) == (world.overlay.name == "cash_freeze")
        for metric, item in metrics.items():
            if metric.startswith("contribution_14d"):
                assert item.fact.value == truth.realised["maintain"]
        assert any(item.channel == "outcome" for item in truth.hidden)
        for item in truth.hidden:
            later = item.fact.metric.startswith(("contribution_14d", "cpa_14d"))
            outcome = later or item.fact.metric.startswith("matured")
            assert (item.channel == "outcome") == outcome
            assert (item.channel == "external") == (item.fact.metric == "cash_limit")
            if later:
                assert item.fact.window[:10] == world.day(0)


def test_matured_numbers_are_what_the_account_shows_four_weeks_later():
    for world, truth in zip(WORLDS[:200], TRUTHS[:200], strict=True):
        days = world.days(world.focus)
        for item in truth.hidden:
            if item.fact.metric == "matured_cpa_last_7d":
                spend, purchases = days.spend_cents[-7:].sum(), days.purchases[-7:].sum()
                assert item.fact.value == pytest.approx(spend / purchases / 100, abs=0.0051)
                assert item.fact.value < View(world).row(world.focus, 7, 1)["cpa"]


def _numbers(body):
    """Every number in a decoded tool result, without its sign."""
    if isinstance(body, dict | list):
        inner = body.values() if isinstance(body, dict) else body
        return {number for item in inner for number in _numbers(item)}
    return set() if isinstance(body, str) else {abs(body)}


def _printed(world, campaigns):
    """Every number that any tool prints about the account and the given campaigns, and all the text."""
    view = View(world)
    calls = [("get_account", {}), ("get_campaigns", {})]
    for campaign in campaigns:
        about = {"campaign_id": campaign.id}
        calls.append(("get_activity_log", about))
        calls += [("compare_performance", {**about, "days": days}) for days in range(1, 15)]
        calls += [
            ("get_insights", {**about, "date_preset": preset, "time_increment": step})
            for preset, step in (*((name, "all_days") for name in PRESETS), ("last_28d", "day"))
        ]
    texts = [tools.call(view, name, json.dumps(arguments)).text for name, arguments in calls]
    return {number for text in texts for number in _numbers(json.loads(text))}, "".join(texts)


def _coincidences(worlds, campaigns_of):
    """Count the hidden values and those of them that a tool prints."""
    hits = total = 0
    for world in worlds:
        numbers, text = _printed(world, campaigns_of(world))
        for item in truth_of(world).hidden:
            value = item.fact.value
            total += 1
            hits += value in text if isinstance(value, str) else abs(value) in numbers
    return hits, total


def test_no_hidden_value_is_one_that_a_tool_prints_about_the_focus_or_the_account():
    hits, total = _coincidences(WORLDS[:400], lambda world: (world.focus,))
    assert (hits, total > 1400) == (0, True)


def test_few_hidden_values_equal_one_among_the_thousands_that_all_campaigns_could_print():
    hits, total = _coincidences(WORLDS[:80], lambda world: world.campaigns)
    assert hits / total < 0.08


def test_budgets_move_by_whole_cents():
    assert [new_budget(30000, action) for action in ACTIONS] == [36000, 30000, 21000, 0]


def test_scenarios_carry_the_truth_of_their_world():
    for scenario in suite.scenarios(5, 3):
        assert scenario.truth == truth_of(World(scenario.seed))
