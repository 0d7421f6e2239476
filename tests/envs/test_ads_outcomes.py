"""Utilities and truth, each against a second computation."""

from __future__ import annotations

import itertools
import math

import pytest

from opoi_envs.ads import suite
from opoi_envs.ads.account import View
from opoi_envs.ads.archetypes import OVERLAYS, RESPONSES
from opoi_envs.ads.outcomes import ACTIONS, base_spend, best, expected, new_budget, realised, truth_of
from opoi_envs.ads.world import World

WORLDS = [World(seed) for seed in range(1200)]
TRUTHS = [truth_of(world) for world in WORLDS]
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
            for future in realised(world).values():
                assert future.purchases <= usual * world.overlay.days + 3


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
        if "contribution_14d" in metrics:
            assert metrics["contribution_14d"].fact.value == truth.realised["maintain"]
        assert any(item.channel == "outcome" for item in truth.hidden)
        for item in truth.hidden:
            later = item.fact.metric in ("contribution_14d", "cpa_14d")
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


def _printed(world, campaigns):
    """Every number that any tool can print about the account and the given campaigns."""
    view, account = View(world), world.account
    values = {account.target_cpa_cents / 100, account.aov_cents / 100, account.margin_pct}
    values |= {campaign.budget_cents / 100 for campaign in world.campaigns}
    for campaign in campaigns:
        values |= {campaign.budget_on(age) / 100 for age in range(1, 30)}
        values |= {value / 100 for value in view.printable(campaign)}
    return values


def _coincidences(campaigns_of):
    hits = total = 0
    for world, truth in zip(WORLDS[:400], TRUTHS[:400], strict=True):
        values = _printed(world, campaigns_of(world))
        numbers = [item.fact.value for item in truth.hidden if not isinstance(item.fact.value, str)]
        total += len(numbers)
        hits += sum(abs(number) in values for number in numbers)
    return hits / total


def test_no_hidden_number_equals_one_that_a_tool_prints_about_the_focus_or_the_account():
    assert _coincidences(lambda world: (world.focus,)) < 0.001


def test_few_hidden_numbers_equal_one_among_the_thousands_that_all_campaigns_could_print():
    assert _coincidences(lambda world: world.campaigns) < 0.06


def test_budgets_move_by_whole_cents():
    assert [new_budget(30000, action) for action in ACTIONS] == [36000, 30000, 21000, 0]


def test_scenarios_carry_the_truth_of_their_world():
    for scenario in suite.scenarios(5, 3):
        assert scenario.truth == truth_of(World(scenario.seed))
