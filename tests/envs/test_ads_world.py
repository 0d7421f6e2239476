"""The world: determinism, levels, calendar, noise, attribution, and purchases that are Poisson."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from scipy import stats

from opoi.seeds import Stream
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.rows import row
from opoi_envs.ads.world.archetypes import ARCHETYPES, archetype_of
from opoi_envs.ads.world.calendar import PLAIN_WEEKS, WEEKEND_WEEK, black_friday, season
from opoi_envs.ads.world.campaign import HISTORY, Campaign
from opoi_envs.ads.world.delivery import DELAYS, VISIBLE, Days, deliver, reported
from opoi_envs.ads.world.noise import decay, mixed, normals, poisson, uniforms, words
from opoi_envs.ads.world.shapes import DIFFICULTIES, LEVELS, RESPONSES, STANDARD_OVERLAYS, response
from opoi_envs.ads.world.world import World, budget_chance

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=25, deadline=None)
COLUMNS = Days.__struct_fields__
HOLIDAYS = {
    2019: (11, 29),
    2020: (11, 27),
    2021: (11, 26),
    2022: (11, 25),
    2023: (11, 24),
    2024: (11, 29),
    2025: (11, 28),
    2026: (11, 27),
    2027: (11, 26),
    2028: (11, 24),
}
"""Black Fridays as calendars print them."""


def _levels(campaign: Campaign) -> dict[str, object]:
    """Everything about a campaign, its stream as seed and path."""
    return {**structs.asdict(campaign), "stream": (campaign.stream.seed, campaign.stream.path)}


def _same(one: Days, two: Days) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in COLUMNS)


# ---------------------------------------------------------------- the same world, however it is asked


@given(seed=seeds)
@quick
def test_same_seed_gives_the_same_world_and_another_seed_another(seed):
    one, two, other = World(seed), World(seed), World(seed ^ 1)
    assert (one.as_of, one.advertiser) == (two.as_of, two.advertiser)
    assert list(map(_levels, one.campaigns)) == list(map(_levels, two.campaigns))
    assert all(
        _same(one.days(left), two.days(right))
        for left, right in zip(one.campaigns, two.campaigns, strict=True)
    )
    assert _levels(one.focus) != _levels(other.focus)


@given(seed=seeds, data=st.data())
@quick
def test_facts_do_not_depend_on_the_order_in_which_they_are_asked_for(seed, data):
    one, two, played = World(seed), World(seed), World(seed)
    order = data.draw(st.permutations(range(one.count)))
    asked = data.draw(st.integers(0, one.count - 1))
    played.days(played.campaigns[asked])
    played.play()
    backward = {place: two.days(two.campaigns[place]) for place in order}
    for place, campaign in enumerate(one.campaigns):
        assert _same(one.days(campaign), backward[place])
        assert _same(one.days(campaign), played.days(played.campaigns[place]))


@given(seed=seeds)
@quick
def test_a_focus_is_the_same_whether_or_not_the_other_campaigns_were_looked_at(seed):
    alone, among = World(seed), World(seed)
    among.play()
    assert _levels(alone.focus) == _levels(among.focus)
    assert sum(campaign is among.focus for campaign in among.campaigns) == 1
    assert _same(alone.days(alone.focus), among.days(among.focus))


@given(seed=seeds)
@quick
def test_facts_are_whole_numbers_of_which_none_is_negative_and_none_exceeds_its_cause(seed):
    world = World(seed)
    for campaign in world.campaigns:
        days = world.days(campaign)
        for name in COLUMNS:
            column = getattr(days, name)
            assert column.dtype == np.int64
            assert column.min() >= 0
            assert column.shape[:2] == (len(campaign.ads), HISTORY)
        assert (days.link_clicks <= days.clicks).all()
        assert (days.clicks <= days.impressions).all()
        assert (days.views <= days.link_clicks).all()
        assert (days.checkouts <= days.carts).all()
        assert (days.carts <= days.views).all()
        assert ((days.revenue_cents > 0) == (days.purchases > 0)).all()


def test_a_known_world_keeps_its_numbers():
    world = World(7)
    days = world.days(world.focus)
    assert (world.focus.archetype.name, world.focus.cause.name, world.focus.overlay.name) == KNOWN[0]
    assert (
        days.spend_cents[:, :2].sum(axis=0).tolist(),
        days.purchases[:, -3:].sum(axis=(0, 2)).tolist(),
        int(days.revenue_cents[:, -1].sum()),
    ) == KNOWN[1]


KNOWN = (("slow_decline", "goes_on", "none"), ([49493, 56021], [24, 18, 14], 146946))


# ---------------------------------------------------------------- shape and levels


@given(seed=seeds)
@quick
def test_the_shape_of_an_account(seed):
    world = World(seed)
    assert 4 <= len(world.campaigns) <= 6
    ids = [campaign.id for campaign in world.campaigns]
    ids += [ad_set.id for campaign in world.campaigns for ad_set in campaign.ad_sets]
    ids += [ad.id for campaign in world.campaigns for ad in campaign.ads]
    assert len(set(ids)) == len(ids)
    assert date(2025, 1, 6) <= date.fromordinal(world.as_of) <= date(2025, 12, 31)
    assert world.focus.status == "ACTIVE"
    for campaign in world.campaigns:
        assert sum(ad_set.share for ad_set in campaign.ad_sets) == 100
        assert all(sum(ad.share for ad in ad_set.ads) == 100 for ad_set in campaign.ad_sets)
        assert campaign.budget_cents % 1000 == 0
        assert math.fsum(campaign.spend_shares) == pytest.approx(1)
        assert math.fsum(campaign.rates) == pytest.approx(campaign.budget_cents * 0.95 / campaign.cpa)
        assert (campaign.budget_on(0), campaign.cause in campaign.archetype.causes) == (
            campaign.budget_cents,
            True,
        )
        assert campaign.r in campaign.archetype.levels(campaign.difficulty)
        assert budget_chance(campaign.budget_cents, campaign.difficulty) > 0


@pytest.mark.parametrize("difficulty", DIFFICULTIES, ids=lambda each: each.name)
def test_the_chances_of_all_budgets_add_up_to_one_and_are_met(difficulty):
    budgets = range(1000, 200_000, 1000)
    chances = {budget: budget_chance(budget, difficulty) for budget in budgets}
    assert math.fsum(chances.values()) == pytest.approx(1)
    drawn = [w.focus.budget_cents for w in map(World, range(4000)) if w.focus.difficulty == difficulty]
    below = np.cumsum(list(chances.values()))
    met = np.searchsorted(np.sort(drawn), list(chances), side="right") / len(drawn)
    assert float(np.abs(met - below).max()) < 1.95 / math.sqrt(len(drawn))


LEVEL_WORLDS = [World(seed) for seed in range(400)]


@pytest.fixture(scope="module")
def month():
    """Rows of 28 days of all running campaigns of 400 worlds, as printed."""
    rows = []
    for world in LEVEL_WORLDS:
        view = View(Account(world))
        rows += [row(view, view.account.node(each.id), 28, 1) for each in world.campaigns if not each.stopped]
    return rows


RANGES = {
    # metric: (value of a row, low, high, least share inside); ranges of the specification
    "cpm": (lambda r: r["cpm"], 8, 18, 0.85),
    "ctr": (lambda r: r["ctr"], 1.2, 2.5, 0.75),
    "cpc": (lambda r: r["cpc"], 0.5, 1.8, 0.95),
    "cvr": (lambda r: 100 * r["purchases"] / r["clicks"], 1.5, 4.0, 0.75),
    "aov": (lambda r: r["revenue"] / r["purchases"], 60, 150, 0.99),
    "roas": (lambda r: r["roas"], 1.2, 5.5, 0.85),
}


@pytest.mark.parametrize("metric", RANGES)
def test_printed_levels_lie_within_the_trade_ranges(metric, month):
    value, low, high, least = RANGES[metric]
    values = np.array([value(each) for each in month])
    inside = float(np.mean((values >= low) & (values <= high)))
    assert inside >= least, (metric, inside, np.percentile(values, [5, 50, 95]))
    assert low < np.median(values) < high


def test_the_usual_levels_behind_the_facts_stay_within_their_bounds():
    for world in LEVEL_WORLDS:
        for campaign in world.campaigns:
            assert 50 <= campaign.cpc <= 180
            assert 0.011 <= campaign.ctr <= 0.025
            assert 8 <= campaign.cpc * campaign.ctr * 10 <= 18
            assert 0.0089 <= campaign.cpc / campaign.cpa <= 0.051
            assert 60_00 <= campaign.aov_cents <= 150_00


def test_average_cost_per_purchase_and_return_are_those_of_the_trade(month):
    spend, sold = sum(r["spend"] for r in month), sum(r["purchases"] for r in month)
    revenue = sum(r["revenue"] for r in month)
    assert 28 <= spend / sold <= 51
    assert 2 <= revenue / spend <= 3.5


# ---------------------------------------------------------------- pacing


def test_no_week_counted_from_the_decision_day_overspends_and_no_day_exceeds_its_limit():
    for world in LEVEL_WORLDS[:200]:
        for campaign in world.campaigns:
            spent = world.days(campaign).spend_cents.sum(axis=0)
            running = np.arange(HISTORY, 0, -1) > campaign.stopped
            budget = np.array([campaign.archetype.multiple(age) for age in range(HISTORY, 0, -1)])
            budget = budget * running * campaign.budget_cents
            assert (spent <= 1.75 * budget).all()
            assert (spent[-1:] > 0.5 * budget[-1:]).all() or campaign.stopped
            weeks = spent.reshape(-1, 7).sum(axis=1)
            assert (weeks <= 7 * budget.reshape(-1, 7).max(axis=1)).all()


def test_hardly_any_seven_days_in_a_row_overspend():
    over = total = 0
    for world in LEVEL_WORLDS[:200]:
        spent = world.days(world.focus).spend_cents.sum(axis=0)
        sums = np.convolve(spent, np.ones(7, dtype=np.int64), mode="valid")
        over += int((sums > 7 * world.focus.budget_cents).sum())
        total += sums.size
        assert sums.max() <= 7.35 * world.focus.budget_cents
    assert over / total < 0.001


def test_days_reach_between_a_quarter_over_and_a_third_under_the_budget():
    focuses = [world for world in LEVEL_WORLDS[:100] if not world.focus.archetype.raised]
    focuses = [world for world in focuses if not world.focus.archetype.launched]
    shares_of = np.concatenate(
        [world.days(world.focus).spend_cents.sum(axis=0) / world.focus.budget_cents for world in focuses]
    )
    assert 0.6 < shares_of.min() < 0.8
    assert 1.1 < shares_of.max() < 1.3
    assert np.mean(shares_of) == pytest.approx(0.95, abs=0.001)


# ---------------------------------------------------------------- calendar


@pytest.mark.parametrize("year", HOLIDAYS)
def test_black_friday_falls_on_the_day_that_calendars_print(year):
    assert date.fromordinal(black_friday(year)) == date(year, *HOLIDAYS[year])


def _plain_season(day: date) -> tuple[float, float]:
    """Price of an impression and conversion rate against the usual, written from the specification."""
    friday = date(day.year, *HOLIDAYS[day.year])
    if friday - timedelta(6) <= day <= friday + timedelta(3):
        return 1.35, 1.60
    if date(day.year, 11, 1) <= day <= date(day.year, 12, 24):
        return 1.18, 1.0
    if day >= date(day.year, 12, 25) or day <= date(day.year, 1, 15):
        return 0.85, 0.9
    return 1.0, 1.0


def test_the_season_is_that_of_the_specification_on_every_day_of_three_years():
    day = date(2024, 1, 1)
    while day < date(2027, 1, 1):
        assert season(day.toordinal()) == _plain_season(day)
        day += timedelta(1)
    price, buying = season(black_friday(2025))
    assert 0.83 <= price / buying <= 0.86  # a purchase costs 15 % less


def test_weekly_profiles_differ_keep_the_mean_and_stay_within_twenty_percent():
    assert len(set(PLAIN_WEEKS)) == 7
    for week in PLAIN_WEEKS:
        assert sum(week) / 7 == pytest.approx(1)
        assert 0.1 <= max(week) - 1 <= 0.2
        assert 0.1 <= 1 - min(week) <= 0.2
    assert sum(WEEKEND_WEEK) / 7 == pytest.approx(1)
    monday = date(2025, 3, 3).toordinal()
    assert [date.fromordinal(monday + offset).weekday() >= 5 for offset in range(-7, 0)] == [
        WEEKEND_WEEK[offset % 7] < 1 for offset in range(-7, 0)
    ]


def test_the_weekend_case_is_always_decided_on_a_monday_and_the_others_on_any_day():
    weekdays = {True: [], False: []}
    for world in map(World, range(1500)):
        weekdays[world.focus.archetype.weekend].append(date.fromordinal(world.as_of).weekday())
    assert set(weekdays[True]) == {0}
    counts = np.bincount(weekdays[False], minlength=7)
    assert stats.chisquare(counts).pvalue > 0.001


# ---------------------------------------------------------------- archetypes


def test_every_monday_gets_the_weekend_cases_of_a_whole_week():
    """The belief counts a weekend case seven times as likely on any Monday as on the average day."""
    days = [World(seed).as_of for seed in range(6000)]
    assert (max(days) + 1 - min(days)) % 7 == 0


def test_probabilities_add_up_to_one():
    assert math.fsum(each.probability for each in DIFFICULTIES) == pytest.approx(1)
    assert math.fsum(each.probability for each in STANDARD_OVERLAYS) == pytest.approx(1)
    for shape in ARCHETYPES:
        assert math.fsum(cause.probability for cause in shape.causes) == pytest.approx(1), shape.name
        assert math.fsum(each.probability for each in shape.overlays) == pytest.approx(1), shape.name


def test_the_tables_of_archetypes_are_consistent():
    names = [shape.name for shape in ARCHETYPES]
    assert len(set(names)) == len(names) >= 16
    for shape in ARCHETYPES:
        assert archetype_of(shape.name) is shape
        assert 0 < shape.low < shape.high
        assert shape.weight > 0
        for pairs in (shape.bends, shape.raised):
            ages = [age for age, _ in pairs]
            assert ages == sorted(ages, reverse=True)
            assert all(0 < age < HISTORY for age in ages)
        assert len(shape.page) > 40
        assert len(shape.lesson) > 20
        assert len({cause.name for cause in shape.causes}) == len(shape.causes)
        assert all(cause.quality > 0 for cause in shape.causes)
        assert not any(cause.funnel == "dark" and not cause.hides_sales for cause in shape.causes)
        assert all(shape.bends for cause in shape.causes if cause.funnel != "whole" or cause.hides_sales)
        assert all(shape.fading(age) > 0.5 for age in range(1, HISTORY))
    with pytest.raises(KeyError):
        archetype_of("nobody")


@pytest.mark.parametrize("shape", ARCHETYPES, ids=lambda each: each.name)
def test_difficulty_draws_every_level_towards_the_edge_and_never_across_it(shape):
    easy, *others = (shape.levels(difficulty) for difficulty in DIFFICULTIES)
    assert len(easy) == LEVELS
    assert min(easy) >= shape.low - 1e-3
    assert max(easy) <= shape.high + 1e-3
    before = easy
    for levels in others:
        for near, far in zip(levels, before, strict=True):
            assert abs(near - shape.edge) <= abs(far - shape.edge) + 1e-3
            assert (near - shape.edge) * (far - shape.edge) >= -1e-3
        before = levels
    assert all(r * 1024 == int(r * 1024) for r in (*easy, *before))


def test_archetypes_causes_and_difficulties_come_as_often_as_the_tables_say():
    worlds = [World(seed) for seed in range(6000)]

    def check(observed, chances):
        expected = np.array([chances[name] for name in chances])
        counts = np.array([observed.count(name) for name in chances])
        assert counts.sum() == len(observed)
        assert (counts > 0).all()
        assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 0.001

    check([w.focus.archetype.name for w in worlds], {shape.name: shape.weight for shape in ARCHETYPES})
    check([w.focus.difficulty.name for w in worlds], {each.name: each.probability for each in DIFFICULTIES})
    check([w.focus.r * 0 + w.focus.k for w in worlds], dict.fromkeys(RESPONSES, 1.0))
    collapses = [w.focus for w in worlds if w.focus.archetype.name == "collapse"]
    check(
        [focus.cause.name for focus in collapses],
        {cause.name: cause.probability for cause in archetype_of("collapse").causes},
    )
    plain = [w.focus for w in worlds if w.focus.archetype.overlays is STANDARD_OVERLAYS]
    check(
        [(focus.overlay.name, focus.overlay.start) for focus in plain],
        {(each.name, each.start): each.probability for each in STANDARD_OVERLAYS},
    )
    places = [w.focus.archetype.levels(w.focus.difficulty).index(w.focus.r) for w in worlds]
    check(places, dict.fromkeys(range(LEVELS), 1.0))


def test_doubling_a_budget_raises_the_cost_per_purchase_by_as_much_as_the_trade_says():
    for k in RESPONSES:
        assert 1.15 <= 2 / response(2, k) <= 1.351
        assert response(1, k) == pytest.approx(1)
        assert response(0, k) == 0
        slope = (response(1.001, k) - response(0.999, k)) / 0.002
        assert slope == pytest.approx(1 / (1 + k), abs=1e-5)
        assert 0.57 <= slope <= 0.80


SIGNS = {
    # what a buyer would see on the page; `level` is of matured numbers, `now` as printed on the day
    "collapse": lambda level, now, w: level(3, 1) > 1.5 * level(10, 4),
    "lag_dip": lambda level, now, w: now(1, 1) > 1.25 * level(7, 2),
    "recovering": lambda level, now, w: level(3, 1) < 0.7 * level(10, 4),
    "fatigue": lambda level, now, w: (
        now(7, 1, "frequency") > 2.6 and now(3, 1, "ctr") < 0.9 * now(10, 8, "ctr")
    ),
    "loser": lambda level, now, w: level(28, 1) > w.advertiser.break_even_cpa / 100,
    "headroom": lambda level, now, w: level(28, 1) < 0.95 * w.advertiser.target_cpa_cents / 100,
    "saturated": lambda level, now, w: (
        w.focus.budget_on(27) < 0.72 * w.focus.budget_cents
        and level(16, 1) > 1.1 * w.advertiser.target_cpa_cents / 100
    ),
    "learning": lambda level, now, w: w.focus.budget_on(4) < 0.8 * w.focus.budget_on(3),
    "price_surge": lambda level, now, w: now(5, 1, "cpm") > 1.2 * now(12, 6, "cpm"),
    "false_economy": lambda level, now, w: w.advertiser.target_cpa_cents > w.advertiser.break_even_cpa,
    "hot_streak": lambda level, now, w: level(3, 1) < 0.95 * level(14, 4),
    "slow_decline": lambda level, now, w: level(6, 1) > 1.15 * level(28, 22),
    "young": lambda level, now, w: now(126, 7, "spend") == 0 < now(1, 1, "spend"),
    "lucky_day": lambda level, now, w: level(1, 1) < 0.8 * level(14, 2),
    "sale_hangover": lambda level, now, w: level(4, 1) > 1.15 * level(14, 5),
    "new_creative": lambda level, now, w: level(4, 1) < 0.85 * level(12, 5),
}


def test_each_archetype_shows_its_sign_on_the_page():
    pages = {name: [] for name in SIGNS}
    for world in map(World, range(3000)):
        kind = world.focus.archetype.name
        outside_season = season(world.as_of) == season(world.as_of - 30) == (1.0, 1.0)
        clear = outside_season and world.focus.difficulty.name != "hard"
        if clear and kind in pages and len(pages[kind]) < 12:
            pages[kind].append(world)
    for kind, worlds in pages.items():
        assert len(worlds) >= 10, kind
        told = 0
        for world in worlds:
            account = Account(world)
            node = account.node(world.focus.id)
            now, mature = View(account), View(account, later=28)
            told += bool(
                SIGNS[kind](
                    lambda first, last, metric="cpa", v=mature, n=node: row(v, n, first, last)[metric],
                    lambda first, last, metric="cpa", v=now, n=node: row(v, n, first, last)[metric],
                    world,
                )
            )
        assert told >= 0.8 * len(worlds), (kind, told, len(worlds))


# ---------------------------------------------------------------- attribution


@given(seed=seeds, age=st.integers(-3, 60))
@quick
def test_reported_never_falls_with_age_and_ends_at_the_final_number(seed, age):
    world = World(seed)
    days = world.days(world.focus)
    for column in (days.purchases, days.revenue_cents):
        before = column.copy()
        early, late = reported(column, age), reported(column, age + 1)
        assert (early <= late).all()
        assert np.array_equal(reported(column, 28), column.sum(axis=-1))
        assert np.array_equal(reported(column, age), early)
        assert not reported(column, -1).any()
        assert np.array_equal(column, before)
    assert ((reported(days.revenue_cents, age) > 0) == (reported(days.purchases, age) > 0)).all()


def test_the_visible_shares_lie_within_their_binomial_intervals():
    total, seen = 0, dict.fromkeys(range(30), 0)
    for world in LEVEL_WORLDS:
        column = world.days(world.focus).purchases
        total += int(column.sum())
        for age in seen:
            seen[age] += int(reported(column, age).sum())
    wanted = {0: 0.55, 1: 0.72, 2: 0.80, 3: 0.87, 4: 0.90, 5: 0.925, 6: 0.95, 7: 0.975, 14: 0.99}
    assert total > 300_000
    share = 0.0
    for age, count in seen.items():
        share = wanted.get(age, 1.0 if age >= 28 else share)
        width = stats.norm.isf(0.0005) * math.sqrt(share * (1 - share) / total)
        assert abs(count / total - share) <= width, (age, count / total, share)
    assert dict(zip(DELAYS, VISIBLE, strict=True)) == {**wanted, 28: 1.0}


def test_order_values_spread_around_the_average_and_tell_nothing_of_the_delay():
    """Values are uniform within 40 % of the average order; early and late ones alike."""
    ratios, early, late = [], [0, 0.0], [0, 0.0]
    for world in LEVEL_WORLDS[:200]:
        days = world.days(world.focus)
        single = days.purchases == 1
        ratios.append(days.revenue_cents[single] / world.focus.aov_cents)
        for side, part in ((early, slice(0, 1)), (late, slice(1, None))):
            side[0] += int(days.purchases[..., part].sum())
            side[1] += float(days.revenue_cents[..., part].sum()) / world.focus.aov_cents
    values = np.concatenate(ratios)
    assert stats.kstest(values[:20_000], stats.uniform(0.6, 0.8).cdf).pvalue > 0.001
    for count, sum_of in (early, late):
        assert abs(sum_of / count - 1) < 3.3 * math.sqrt(0.64 / 12 / count)


# ---------------------------------------------------------------- purchases are Poisson


def _plain_mean(campaign, age: int) -> float:
    """Expected final purchases of a campaign on a day of its past, from its levels and the calendar."""
    shape = campaign.archetype
    if age <= campaign.stopped or (shape.launched and age > shape.launched):
        return 0.0
    multiple = min([before for since, before in shape.raised if age > since], default=1.0)
    quality = dict(shape.bends).get(min((a for a, _ in shape.bends if age <= a), default=0), 1.0)
    quality *= 1 - shape.fade * max(0, 15 - age)
    price, buying = _plain_season(date.fromordinal(campaign.as_of - age))
    usual = campaign.budget_cents * 0.95 / (campaign.break_even_cpa / campaign.r)
    sold = multiple * (1 + campaign.k) / (1 + campaign.k * multiple)
    return usual * sold * quality * campaign.weekly[-age % 7] * buying / price


@pytest.fixture(scope="module")
def cells():
    """Purchases and their means, shape (campaigns, days), latest day first, of 120 worlds."""
    sold, means, kinds = [], [], []
    for world in LEVEL_WORLDS[:120]:
        for campaign in world.campaigns:
            sold.append(world.days(campaign).purchases.sum(axis=0)[::-1])
            means.append([_plain_mean(campaign, age) for age in range(1, HISTORY + 1)])
            kinds.append(campaign.archetype.name)
    return np.array(sold), np.array(means), kinds


def test_purchases_are_as_many_as_their_means_for_every_archetype_and_recent_day(cells):
    sold, means, kinds = cells
    final = sold.sum(axis=2)
    for kind in sorted(set(kinds)):
        rows = np.array([each == kind for each in kinds])
        for ages in (slice(0, 1), slice(1, 3), slice(3, 7), slice(7, 28), slice(28, None)):
            mean = means[rows][:, ages].sum()
            gap = final[rows][:, ages].sum() - mean
            assert abs(gap) <= 4 * math.sqrt(mean) + 1e-6, (kind, ages, gap, mean)
    assert not final[means == 0].any()


def test_purchases_scatter_around_their_means_as_poisson_numbers_do(cells):
    sold, means, _ = cells
    final, mean = sold.sum(axis=2)[means > 0], means[means > 0]
    counts = np.bincount(final, minlength=200)[:200]
    chances = np.array([stats.poisson.pmf(number, mean).sum() for number in range(60)])
    chances = np.append(chances, mean.size - chances.sum())
    observed = np.append(counts[:60], counts[60:].sum())
    keep = chances > 20
    chi = float(((observed - chances)[keep] ** 2 / chances[keep]).sum())
    assert stats.chi2.sf(chi, int(keep.sum())) > 0.001
    dispersion = float(((final - mean) ** 2 / mean).sum())
    spread = math.sqrt(float((2 + 1 / mean).sum()))
    assert abs(dispersion - mean.size) < 3.3 * spread, dispersion / mean.size
    print(f"dispersion {dispersion / mean.size:.4f} over {mean.size} campaign days, chi2 p of counts ok")


def test_quantiles_of_purchases_are_uniform(cells):
    sold, means, _ = cells
    final, mean = sold.sum(axis=2)[means > 0], means[means > 0]
    low, step = stats.poisson.cdf(final - 1, mean), stats.poisson.pmf(final, mean)
    spread = uniforms(words(Stream(1, "test", "within a step"), final.size))
    assert stats.kstest(low + step * spread, "uniform").pvalue > 0.001


def test_what_is_visible_early_is_poisson_too_and_independent_of_what_comes_later(cells):
    sold, means, _ = cells
    mean = means[means > 0]
    for age in (1, 3):
        part = sold[..., : sum(delay <= age for delay in DELAYS)].sum(axis=2)[means > 0]
        expected = mean * {1: 0.72, 3: 0.87}[age]
        rest = sold.sum(axis=2)[means > 0] - part
        assert abs(part.sum() - expected.sum()) < 3.5 * math.sqrt(expected.sum())
        dispersion = float(((part - expected) ** 2 / expected).sum())
        assert abs(dispersion - mean.size) < 3.3 * math.sqrt(float((2 + 1 / expected).sum()))
        one = (part - expected) / np.sqrt(expected)
        two = (rest - (mean - expected)) / np.sqrt(mean - expected)
        assert abs(float(np.mean(one * two))) < 3.5 / math.sqrt(mean.size)


def test_days_and_campaigns_do_not_depend_on_each_other(cells):
    sold, means, _ = cells
    safe = np.maximum(means, 1e-9)
    scaled = np.where(means > 0, (sold.sum(axis=2) - means) / np.sqrt(safe), 0.0)
    for one, two in (
        (scaled[:, :-1], scaled[:, 1:]),
        (scaled[:, :-7], scaled[:, 7:]),
        (scaled[:-1], scaled[1:]),
    ):
        count = int(((one != 0) & (two != 0)).sum())
        assert abs(float((one * two).sum()) / count) < 3.5 / math.sqrt(count)


@given(seed=seeds, split=st.integers(1, 13))
@quick
def test_days_ahead_do_not_depend_on_how_they_are_cut_within_a_block(seed, split):
    focus = World(seed).focus
    budgets = np.repeat(focus.references[:, None], 14, axis=1)
    whole = deliver([focus], [focus.ahead(budgets, 0)], 0, 14)
    head = deliver([focus], [focus.ahead(budgets[:, :split], 0)], 0, split)
    tail = deliver([focus], [focus.ahead(budgets[:, split:], split)], split, 14 - split)
    for name in COLUMNS:
        joined = np.concatenate([getattr(head, name), getattr(tail, name)], axis=1)
        assert np.array_equal(getattr(whole, name), joined)


@given(seed=seeds, low=st.floats(0, 3), high=st.floats(0, 3))
@quick
def test_the_same_draws_under_every_budget_so_more_budget_never_sells_less(seed, low, high):
    low, high = sorted((low, high))
    focus = World(seed).focus
    plans = [
        focus.ahead(np.repeat(focus.references[:, None] * multiple, 14, axis=1), 0)
        for multiple in (low, high)
    ]
    days = deliver([focus, focus], plans, 0, 14)
    ads = len(focus.ads)
    for name in COLUMNS:
        column = getattr(days, name)
        assert (column[:ads] <= column[ads:]).all(), name


# ---------------------------------------------------------------- noise


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 1, exclude_max=True)), min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_poisson_is_the_quantile_function_that_scipy_has(pairs):
    rates, quantiles = (np.array(column) for column in zip(*pairs, strict=True))
    quantiles = np.floor(quantiles * 2.0**53) * 2.0**-53
    counts = poisson(rates, quantiles)
    wanted = stats.poisson.ppf(quantiles, rates)
    for count, other, rate, quantile in zip(counts, wanted, rates, quantiles, strict=True):
        if count != max(
            0, other
        ):  # only where the quantile lies on a step, or beyond what doubles tell apart
            step = stats.poisson.cdf(min(count, other), rate)
            assert abs(step - quantile) < 1e-12


def test_poisson_agrees_with_scipy_over_many_random_draws():
    bits = words(Stream(5, "test", "poisson"), 40_000)
    rates, quantiles = 120 * uniforms(bits[:20_000]) ** 2, uniforms(bits[20_000:])
    assert np.array_equal(poisson(rates, quantiles), stats.poisson.ppf(quantiles, rates).astype(np.int64))


@given(st.floats(0, 600), st.floats(0, 600), st.floats(0, 1, exclude_max=True))
def test_a_poisson_count_never_falls_as_the_rate_rises(one, two, quantile):
    counts = poisson(np.array(sorted((one, two))), np.array([quantile, quantile]))
    assert counts[0] <= counts[1]


@given(st.floats(0, 600))
@settings(max_examples=300)
def test_decay_is_the_exponential_to_twelve_digits(rate):
    found = float(decay(np.array([rate]))[0])
    assert abs(found - math.exp(-rate)) <= 1e-12 * math.exp(-rate)


def test_bulk_draws_have_the_moments_that_they_claim():
    bits = words(Stream(3, "test", "bulk"), 200_000)
    normal = normals(bits)
    assert abs(float(normal.mean())) < 0.01
    assert float(normal.std()) == pytest.approx(1, abs=0.01)
    assert float(np.abs(normal).max()) < 3.5
    children = uniforms(mixed(bits[:50_000], np.zeros(50_000, dtype=np.int64)))
    assert stats.kstest(children, "uniform").pvalue > 0.001
    assert abs(float(np.corrcoef(children, uniforms(bits[:50_000]))[0, 1])) < 0.02
    later = uniforms(mixed(bits[:50_000], np.ones(50_000, dtype=np.int64)))
    assert abs(float(np.corrcoef(children, later)[0, 1])) < 0.02
