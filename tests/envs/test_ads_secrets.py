"""Hidden values can be recognised: no tool prints them about any campaign, or the ledger says so."""

from __future__ import annotations

import json
from datetime import date

import pytest

from opoi_envs.ads import tools
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import COLUMNS, View
from opoi_envs.ads.rows import PRESETS, label, printable
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.truth.truth import truth_of
from opoi_envs.ads.world.archetypes import ARCHETYPES
from opoi_envs.ads.world.world import World

pytestmark = pytest.mark.xdist_group("secrets")  # one worker builds what they share

WORLDS = [World(seed) for seed in range(400, 700)]
PROBED = 30


@pytest.fixture(scope="module")
def truths():
    return [truth_of(world) for world in WORLDS]


def _numbers(body):
    """Every number in a decoded tool result, in hundredths and without its sign."""
    if isinstance(body, dict | list):
        inner = body.values() if isinstance(body, dict) else body
        return {number for item in inner for number in _numbers(item)}
    return set() if isinstance(body, str) else {round(abs(body) * 100)}


def _calls(entity):
    about = {"campaign_id": entity}
    yield "get_activity_log", about
    for days in range(1, 15):
        yield "compare_performance", {**about, "days": days}
        yield "get_funnel", {**about, "days": days}
    for preset in PRESETS:
        yield "get_insights", {**about, "date_preset": preset}
        if preset != "last_90d":
            yield "get_insights", {**about, "date_preset": preset, "time_increment": "day"}


@pytest.fixture(scope="module")
def printed():
    """All numbers and all text of every answer about campaigns and ad sets, world by world."""
    found = []
    for world in WORLDS[:PROBED]:
        view = View(Account(world))
        calls = [("get_account", {}), *(("get_campaigns", {"status": s}) for s in (None, "ACTIVE", "PAUSED"))]
        for node in view.account.of_kind("campaign"):
            calls += [*_calls(label(node)), ("get_adsets", {"campaign_id": label(node)})]
        for node in view.account.of_kind("adset"):
            calls += [call for call in _calls(label(node)) if call[0] == "get_insights"]
        texts = [tools.call(view, name, json.dumps(arguments)) for name, arguments in calls]
        assert not any(result.error for result in texts)
        bodies = [json.loads(result.text) for result in texts]
        found.append((set().union(*map(_numbers, bodies)), "".join(result.text for result in texts)))
    return found


def test_no_hidden_value_that_is_not_called_ambiguous_is_printed_about_any_campaign(printed, truths):
    clear = 0
    for (numbers, text), truth in zip(printed, truths, strict=False):
        for item in truth.hidden:
            value = item.fact.value
            if isinstance(value, str):
                assert value not in text
            elif not item.ambiguous:
                assert round(abs(value) * 100) not in numbers, item
                clear += 1
    assert clear > 3 * PROBED


def test_what_is_called_ambiguous_mostly_is_printed_indeed(printed):
    """Ambiguous means printable; a few numbers of ratios that are undefined stand for nothing printed."""
    met = total = 0
    for (numbers, _), world in zip(printed, WORLDS, strict=False):
        for item in truth_of(world).hidden:
            if item.ambiguous:
                total += 1
                met += round(abs(item.fact.value) * 100) in numbers
    assert total > 0
    assert met / total > 0.9


def test_everything_that_tools_print_about_campaigns_counts_as_printable(printed):
    for (numbers, _), world in zip(printed, WORLDS, strict=False):
        view = View(Account(world))
        settings = {round(value * 100) for value in _settings(world)}
        known = printable(view, view.account.of_kind("campaign")) | printable(
            view, view.account.of_kind("adset")
        )
        assert numbers - known <= settings


def _settings(world):
    who = world.advertiser
    break_even = (2 * 10000 + who.margin_pct) // (2 * who.margin_pct) / 100
    return who.target_cpa_cents / 100, who.aov_cents / 100, who.margin_pct, break_even


def test_some_values_are_ambiguous_and_few(truths):
    numeric = [item for truth in truths for item in truth.hidden if not isinstance(item.fact.value, str)]
    share = sum(item.ambiguous for item in numeric) / len(numeric)
    print(f"ambiguous: {share:.3f} of {len(numeric)} hidden values")
    assert 0 < share < 0.15


def test_most_of_what_is_ambiguous_came_later(truths):
    """What can be chosen is salted against campaigns, and meets numbers of ad sets only."""
    ambiguous = [item.channel for truth in truths for item in truth.hidden if item.ambiguous]
    assert ambiguous.count("outcome") > 0.75 * len(ambiguous)


def test_hidden_facts_follow_from_what_is_behind_the_screen(truths):
    for world, truth in zip(WORLDS, truths, strict=True):
        metrics = {item.fact.metric: item for item in truth.hidden}
        assert len(metrics) == len(truth.hidden)
        focus = world.focus
        assert ("untracked_purchases" in metrics) == focus.cause.hides_sales
        assert (
            ("stock_left" in metrics) == ("sold_out_from" in metrics) == (focus.overlay.name == "stock_out")
        )
        assert ("promotion_discount" in metrics) == (focus.overlay.name == "promotion")
        assert ("cash_limit" in metrics) == (focus.overlay.name == "cash_freeze")
        for metric, item in metrics.items():
            assert item.fact.entity == f"cmp_{focus.id}"
            later = metric.startswith(("contribution_14d", "cpa_14d", "matured"))
            assert (item.channel == "outcome") == later
            assert (item.channel == "external") == (metric == "cash_limit")
            if metric.startswith(("contribution_14d", "cpa_14d")):
                assert item.fact.window[:10] == world.day(0)
                assert item.fact.window[-10:] == world.day(13)
        kept = realised(world)["maintain"]
        contribution = next(item for name, item in metrics.items() if name.startswith("contribution"))
        assert contribution.fact.value == truth.realised["maintain"] == kept.utility_cents / 100
        assert contribution.fact.metric.endswith("overdraft") == (focus.overlay.name == "cash_freeze")


def test_matured_numbers_are_what_the_account_shows_four_weeks_later(truths):
    sold, spent = COLUMNS.index("purchases"), COLUMNS.index("spend_cents")
    for world, truth in zip(WORLDS[:80], truths, strict=False):
        account = Account(world)
        account.advance(28)
        node = account.node(world.focus.id)
        metrics = {item.fact.metric: item.fact for item in truth.hidden}
        for metric, days in (("matured_cpa_yesterday", 1), ("matured_cpa_last_7d", 7)):
            totals = View(account).totals(node, world.as_of - days, world.as_of - 1)
            if totals[sold]:
                assert metrics[metric].value == pytest.approx(totals[spent] / totals[sold] / 100, abs=0.0051)
                assert metrics[metric].window[-10:] == world.day(-1)


def test_the_day_of_an_overlay_is_told_as_the_day_on_which_it_sets_in(truths):
    for world, truth in zip(WORLDS, truths, strict=True):
        for item in truth.hidden:
            if item.fact.unit == "day":
                days = (date.fromisoformat(item.fact.value) - date.fromordinal(world.as_of)).days
                assert days == world.focus.overlay.start


def test_stock_that_is_told_lasts_about_until_the_day_on_which_it_is_told_to_end():
    """Told before: units left, and the day from which it is sold out. Played: the days until then."""
    worlds = [w for w in map(World, range(4000)) if w.focus.overlay.name == "stock_out"]
    ratios = []
    for world in worlds[:60]:
        told = {item.fact.metric: item.fact.value for item in truth_of(world).hidden}
        sold = realised(world)["maintain"].purchases
        ratios.append(sold / told["stock_left"])
        assert told["stock_left"] >= 1
    ratios.sort()
    print("sold before the stock-out / told stock: 5 %, median, 95 %:", ratios[3], ratios[30], ratios[57])
    assert 0.6 < ratios[len(ratios) // 2] < 1.4


def test_no_tool_mentions_a_cause_or_an_overlay_by_name(printed):
    words = {cause.name for shape in ARCHETYPES for cause in shape.causes}
    words |= {each.name for shape in ARCHETYPES for each in shape.overlays} | {s.name for s in ARCHETYPES}
    words = {word for word in words if "_" in word}
    for _, text in printed:
        assert not [word for word in words if word in text]
