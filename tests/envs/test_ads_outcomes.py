"""Utilities as they turned out, and the truth about a scenario, each against a second computation."""

from __future__ import annotations

import itertools
import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi_envs.ads import EASY, HARD, HELD_OUT, suite
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.truth.belief import Prior, expected
from opoi_envs.ads.truth.evidence import Evidence
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.truth.truth import observable, truth_of
from opoi_envs.ads.truth.utility import ACTIONS, base_spend, best, dollars, new_budget, tolerance
from opoi_envs.ads.world.world import World

WORLDS = [World(seed) for seed in range(800)]
MULTIPLE = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.8, "pause": 0.0}
BLACK_FRIDAY = {2024: date(2024, 11, 29), 2025: date(2025, 11, 28), 2026: date(2026, 11, 27)}


def _cheapness(day):
    """Purchases per dollar on a day against the usual day."""
    if -6 <= (day - BLACK_FRIDAY[day.year]).days <= 3:
        return 1.6 / 1.35
    if day.month == 11 or (day.month == 12 and day.day <= 24):
        return 1 / 1.18
    return 0.9 / 0.85 if day.month == 12 or (day.month == 1 and day.day <= 15) else 1.0


def _plain(world, action):
    """Utility in USD without any noise, day by day, written without the code under test."""
    focus, m = world.focus, MULTIPLE[action]
    daily = 0.95 * focus.budget_cents / 100
    worth = world.advertiser.aov_cents / 100 * world.advertiser.margin_pct / 100
    cpa = worth / focus.r
    profit = 0.0 if action == "maintain" else -0.02 * 14 * daily
    for day in range(14):
        sold = daily / cpa * focus.cause.quality * m * (1 + focus.k) / (1 + focus.k * m)
        sold *= focus.weekly[day % 7] * _cheapness(date.fromordinal(world.as_of + day))
        if day >= focus.overlay.start:
            sold *= focus.overlay.lift
        profit += sold * worth - daily * m * focus.overlay.cost
    return profit


@pytest.fixture(scope="module")
def futures():
    return [realised(world) for world in WORLDS]


@pytest.fixture(scope="module")
def truths():
    return [truth_of(world) for world in WORLDS[:150]]


@pytest.mark.parametrize("action", ACTIONS)
def test_realised_utility_scatters_around_the_noise_free_one_without_bias(action, futures):
    gaps = np.array(
        [
            (future[action].utility_cents / 100 - _plain(world, action)) / (base_spend(world.focus) / 100)
            for world, future in zip(WORLDS, futures, strict=True)
        ]
    )
    assert gaps.std() < 0.15
    assert abs(gaps.mean()) < max(3.5 * gaps.std() / math.sqrt(gaps.size), 1e-4)


def test_the_noise_of_realised_utility_is_that_of_poisson_purchases_of_uneven_value(futures):
    """Variance of revenue: purchases times the second moment of an order, 1 + .8**2 / 12."""
    scaled = []
    for world, future in zip(WORLDS, futures, strict=True):
        plain = (
            _plain(world, "maintain") * 100 + 14 * 0.95 * world.focus.budget_cents * world.focus.overlay.cost
        )
        order = world.advertiser.aov_cents * world.advertiser.margin_pct / 100
        if plain > order:
            cost = future["maintain"].spend_cents * world.focus.overlay.cost
            spread = order * math.sqrt(plain / order * (1 + 0.64 / 12))
            scaled.append((future["maintain"].utility_cents + cost - plain) / spread)
    assert np.std(scaled) == pytest.approx(1, abs=0.09)
    assert abs(np.mean(scaled)) < 3.5 / math.sqrt(len(scaled))


def test_realised_utility_is_margin_times_revenue_minus_cost(futures):
    for world, each in zip(WORLDS, futures, strict=True):
        for action, future in each.items():
            cost = future.spend_cents * (1.5 if world.focus.overlay.name == "cash_freeze" else 1.0)
            switching = 0 if action == "maintain" else 0.02 * base_spend(world.focus)
            plain = future.revenue_cents * world.advertiser.margin_pct / 100 - cost - switching
            assert future.utility_cents == pytest.approx(plain, abs=3)


def test_pausing_buys_nothing_and_costs_only_the_switch(futures):
    for world, future in zip(WORLDS, futures, strict=True):
        paused = future["pause"]
        assert (paused.spend_cents, paused.purchases, paused.revenue_cents) == (0, 0, 0)
        assert paused.utility_cents == -int(0.02 * base_spend(world.focus))


def test_more_spend_sells_no_less_and_at_a_higher_cost_on_average(futures):
    spend, sold = np.zeros(3), np.zeros(3)
    for world, future in zip(WORLDS, futures, strict=True):
        rows = [future[name] for name in ("scale_down", "maintain", "scale_up")]
        assert all(less.spend_cents < more.spend_cents for less, more in itertools.pairwise(rows))
        assert all(less.purchases <= more.purchases for less, more in itertools.pairwise(rows))
        assert all(less.revenue_cents <= more.revenue_cents for less, more in itertools.pairwise(rows))
        spend += [row.spend_cents for row in rows]
        sold += [row.purchases for row in rows]
        assert rows[1].spend_cents == pytest.approx(base_spend(world.focus), rel=0.002)
    cost = spend / sold
    assert cost[0] < cost[1] < cost[2]


def test_once_sold_out_nothing_is_sold():
    empty = [w for w in map(World, range(6000)) if w.focus.overlay.name == "stock_out"][:25]
    assert len(empty) == 25
    for world in empty:
        account = Account(world)
        account.advance(14)
        sold = account.books.days(account.node(world.focus.id)).purchases[:, -14:].sum(axis=(0, 2))
        assert not sold[world.focus.overlay.start :].any()
        assert int(sold.sum()) == realised(world)["maintain"].purchases


def test_best_actions_are_those_within_one_percent_of_the_spend(truths):
    for world, truth in zip(WORLDS, truths, strict=False):
        slack = 0.01 * 14 * 0.95 * world.focus.budget_cents / 100
        assert tolerance(world.focus) == pytest.approx(slack)
        for values, chosen in (
            (truth.expected, truth.observable_actions),
            (truth.realised, truth.hindsight_actions),
        ):
            top = max(values.values())
            assert set(chosen) == {action for action in ACTIONS if values[action] >= top - slack}
            assert values[chosen[0]] == top
    assert best({"a": 1.0, "b": 3.0, "c": 2.5}, 0.5) == ("b", "c")


def test_the_truth_is_made_of_what_was_seen_and_what_came(truths):
    for world, truth in zip(WORLDS[:40], truths, strict=False):
        assert truth.expected == expected(world.focus, observable(View(Account(world))))
        came = {action: future.utility_cents / 100 for action, future in realised(world).items()}
        assert truth.realised == came
        assert tuple(truth.expected) == tuple(truth.realised) == ACTIONS


def test_raising_pays_from_where_the_description_says_with_standard_overlays():
    """R of 1.73, 1.25 and 0.96: average over the responses, a dollar costing 1.02 for the cash freezes."""

    def worth(action, r):
        m = MULTIPLE[action]
        sold = sum(m * (1 + k) / (1 + k * m) for k in (0.38, 0.45, 0.54)) / 3
        return r * sold - 1.02 * m - (0 if action == "maintain" else 0.02)

    def top(r):
        return max(ACTIONS, key=lambda action: worth(action, r))

    assert [top(r) for r in (1.72, 1.74)] == ["maintain", "scale_up"]
    assert [top(r) for r in (1.24, 1.26)] == ["scale_down", "maintain"]
    assert [top(r) for r in (0.95, 0.97)] == ["pause", "scale_down"]


@given(st.integers(1, 10**7))
def test_budgets_move_by_the_steps_in_whole_cents(budget):
    for action in ACTIONS:
        assert abs(new_budget(budget, action) - budget * MULTIPLE[action]) <= 0.5
    assert new_budget(budget, "maintain") == budget
    assert new_budget(30_000, "scale_up") == 36_000


@given(st.floats(-1e9, 1e9))
def test_dollars_are_whole_cents_rounded_away_from_zero(cents):
    assert abs(dollars(cents) * 100 - cents) <= 0.5 + 1e-6
    assert dollars(-cents) == -dollars(cents)


@pytest.mark.parametrize("which", [suite, EASY, HARD, HELD_OUT], ids=lambda each: each.name)
def test_scenarios_carry_the_truth_of_their_world_under_the_prior_of_their_suite(which):
    for scenario in which.scenarios(4, 3):
        prior = Prior(difficulties=(which.difficulty,)) if which.difficulty else Prior()
        assert scenario.truth == truth_of(World(scenario.seed), prior)
        assert which.expected(scenario, []) == expected(World(scenario.seed).focus, Evidence(), prior)
