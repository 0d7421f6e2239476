"""The simulated world: identities, attribution lag, levels, determinism."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi_envs.ads.account import COMPARED, PRESETS, View, change_pct
from opoi_envs.ads.archetypes import ARCHETYPES, OVERLAYS
from opoi_envs.ads.world import HISTORY, World, lag_shares, reported

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=40, deadline=None)


def _half_up(value: Fraction) -> float:
    """Round to two decimals, independently of the code under test."""
    return float((value * 100 + Fraction(1, 2)).__floor__()) / 100


@given(seed=seeds)
@quick
def test_same_seed_gives_the_same_world(seed):
    one, two = World(seed), World(seed)
    assert one.campaigns == two.campaigns
    assert (one.cause, one.overlay, one.response, one.as_of) == (
        two.cause,
        two.overlay,
        two.response,
        two.as_of,
    )
    for campaign in one.campaigns:
        for name in ("impressions", "clicks", "spend_cents", "purchases", "revenue_cents"):
            left = getattr(one.days(campaign), name).tolist()
            assert left == getattr(two.days(campaign), name).tolist()
            assert len(left) == HISTORY
            assert all(isinstance(value, int) and value >= 0 for value in left)


@given(seed=seeds)
@quick
def test_campaign_facts_do_not_depend_on_the_order_in_which_they_are_asked_for(seed):
    one, two = World(seed), World(seed)
    forward = [one.days(campaign).purchases.tolist() for campaign in one.campaigns]
    backward = [two.days(campaign).purchases.tolist() for campaign in reversed(two.campaigns)]
    assert forward == backward[::-1]


def test_a_known_world_keeps_its_numbers():
    world = World(7)
    days = world.days(world.focus)
    assert (world.focus.archetype.name, world.cause.name, world.overlay.name) == KNOWN[0]
    assert (
        days.spend_cents[:2].tolist(),
        days.purchases[-3:].tolist(),
        days.revenue_cents[-1:].tolist(),
    ) == KNOWN[1]


KNOWN = (
    ("recovering", "restored", "promotion"),
    ([128569, 125834], [52, 43, 48], [354112]),
)


@given(seed=seeds)
@quick
def test_the_shape_of_an_account(seed):
    world = World(seed)
    assert 4 <= len(world.campaigns) <= 6
    assert sum(campaign is world.focus for campaign in world.campaigns) == 1
    assert len({campaign.id for campaign in world.campaigns}) == len(world.campaigns)
    assert date(2025, 1, 1) < date.fromordinal(world.as_of) < date(2025, 11, 1)
    assert world.focus.status == "ACTIVE"


def test_levels_of_the_focus_stay_within_the_trade_ranges():
    for seed in range(300):
        focus = World(seed).focus
        assert 0.5 <= focus.cpc / 100 <= 1.51
        assert 0.012 <= focus.ctr <= 0.025
        assert 8 - 1e-9 <= focus.cpc * focus.ctr * 10 <= 18.2
        assert 0.0145 <= focus.cpc / focus.cpa <= 0.0401


def test_a_week_of_the_focus_stays_within_seven_daily_budgets():
    over = 0
    for seed in range(300):
        world = World(seed)
        spent = sum(world.days(world.focus).spend_cents[-7:].tolist())
        over += spent > 7 * world.focus.budget_cents
    assert over == 0


@given(final=st.integers(0, 10_000), yesterday=st.integers(700, 750), age=st.integers(-3, 60))
def test_reported_purchases_never_fall_and_end_at_the_final_number(final, yesterday, age):
    shares = lag_shares(yesterday)
    assert reported(final, age, shares) <= reported(final, age + 1, shares) <= final
    assert reported(final, 28, shares) == final
    assert reported(final, -1, shares) == 0


def test_yesterday_shows_the_share_that_trade_sources_give():
    for yesterday in (700, 725, 750):
        assert lag_shares(yesterday)[:4] == (550, yesterday, 800, 870)
        assert 970 <= lag_shares(yesterday)[7] <= 1000


@given(seed=seeds, age=st.integers(0, 30))
@quick
def test_the_view_agrees_with_reported_day_by_day(seed, age):
    world = World(seed)
    seen, revenue = View(world, age).reported(world.focus)
    days = world.days(world.focus)
    for index in range(HISTORY):
        final, total = int(days.purchases[index]), int(days.revenue_cents[index])
        visible = reported(final, HISTORY - index + age, world.shares)
        assert seen[index] == visible
        assert revenue[index] == (total * visible // final if final else 0)


@given(seed=seeds, first=st.integers(1, HISTORY), length=st.integers(1, HISTORY))
@quick
def test_windows_add_up_and_ratios_come_last(seed, first, length):
    world = World(seed)
    view, focus = View(world), world.focus
    last = max(1, first - length + 1)
    row = view.row(focus, first, last)
    days = [view.row(focus, age, age) for age in range(last, first + 1)]
    for metric in ("spend", "revenue"):
        assert round(row[metric] * 100) == sum(round(day[metric] * 100) for day in days)
    for metric in ("impressions", "clicks", "purchases"):
        assert row[metric] == sum(day[metric] for day in days)
    spend, revenue = Fraction(round(row["spend"] * 100), 100), Fraction(round(row["revenue"] * 100), 100)
    assert row["ctr"] == _half_up(Fraction(row["clicks"] * 100, row["impressions"]))
    assert row["cpm"] == _half_up(spend * 1000 / row["impressions"])
    assert row["cpc"] == _half_up(spend / row["clicks"])
    assert row["cpa"] == _half_up(spend / row["purchases"])
    assert row["roas"] == _half_up(revenue / spend)
    reach = Fraction(focus.audience * row["impressions"], focus.audience + row["impressions"])
    assert row["frequency"] == pytest.approx(float(row["impressions"] / reach), abs=0.006)


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 0), (1, 2), (HISTORY + 1, 1)])
def test_a_window_outside_the_history_is_refused(first, last):
    world = World(1)
    with pytest.raises(ValueError, match="no window"):
        View(world).row(world.focus, first, last)


def test_undefined_ratios_are_left_out():
    world = World(1)
    view = View(world)
    view._sums[world.focus.id] = [[0] * (HISTORY + 1) for _ in range(5)]
    row = view.row(world.focus, 7, 1)
    assert set(row) == {"spend", "impressions", "clicks", "purchases", "revenue", "frequency"}


@given(seed=seeds)
@quick
def test_printable_holds_every_metric_of_every_window_that_a_tool_serves(seed):
    world = World(seed)
    view = View(world)
    printable = view.printable(world.focus)
    windows = [(n, 1) for n in (*PRESETS.values(), *range(1, 15))]
    windows += [(2 * n, n + 1) for n in range(1, 15)] + [(age, age) for age in range(1, 29)]
    for window in windows:
        for value in view.row(world.focus, *window).values():
            assert round(value * 100) in printable


@given(seed=seeds)
@quick
def test_printable_holds_every_change_between_two_windows_and_every_budget(seed):
    world = World(seed)
    view = View(world)
    printable = view.printable(world.focus)
    for days in range(1, 15):
        now, before = view.row(world.focus, days, 1), view.row(world.focus, 2 * days, days + 1)
        for metric in COMPARED:
            if metric in now and before.get(metric):
                new, old = (Fraction(round(row[metric] * 100)) for row in (now, before))
                tenths = (1000 * (new - old) / old + Fraction(1, 2)).__floor__()
                assert change_pct(now[metric], before[metric]) == tenths / 10
                assert abs(tenths) * 10 in printable
    assert {world.focus.budget_on(age) for age in range(1, HISTORY + 1)} <= printable


def test_probabilities_add_up_to_one():
    assert sum(shape.weight for shape in ARCHETYPES) == pytest.approx(1)
    assert sum(overlay.probability for overlay in OVERLAYS) == pytest.approx(1)
    for shape in ARCHETYPES:
        assert sum(cause.probability for cause in shape.causes) == pytest.approx(1)


def _level(world, first, last, metric="cpa"):
    return View(world, 28).row(world.focus, first, last)[metric]


SIGNS = {
    "collapse": lambda w: _level(w, 3, 1) > 1.6 * _level(w, 10, 4),
    "lag_dip": lambda w: View(w).row(w.focus, 1, 1)["cpa"] > 1.25 * _level(w, 7, 2),
    "recovering": lambda w: _level(w, 3, 1) < 0.7 * _level(w, 10, 4),
    "fatigue": lambda w: (
        View(w).row(w.focus, 7, 1)["frequency"] > 3 and _level(w, 3, 1, "ctr") < 0.9 * _level(w, 10, 8, "ctr")
    ),
    "loser": lambda w: _level(w, 7, 1) > w.account.break_even_cpa / 100,
    "headroom": lambda w: _level(w, 7, 1) < 0.87 * w.account.target_cpa_cents / 100,
    "saturated": lambda w: _level(w, 7, 1) > 1.2 * w.account.target_cpa_cents / 100,
    "steady": lambda w: 0.85 < _level(w, 7, 1) / (w.account.target_cpa_cents / 100) < 1.25,
    "learning": lambda w: w.focus.budget_on(4) < 0.8 * w.focus.budget_on(3),
}


@pytest.mark.parametrize("kind", sorted(SIGNS))
def test_each_archetype_shows_its_sign(kind):
    worlds = [world for world in map(World, range(400)) if world.focus.archetype.name == kind]
    assert len(worlds) >= 8
    assert sum(SIGNS[kind](world) for world in worlds) >= 0.9 * len(worlds)
