"""The account: what may be written, what a write changes, and that the past stays what it was."""

from __future__ import annotations

import math
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi_envs.ads import rows
from opoi_envs.ads.account.account import MAXIMUM_BUDGET, Account
from opoi_envs.ads.account.books import LEARNING_DAYS, LEARNING_LOSS
from opoi_envs.ads.account.nodes import MINIMUM_BUDGET, Refused, usual
from opoi_envs.ads.account.view import COLUMNS, View
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.world.delivery import Days
from opoi_envs.ads.world.world import World

WORLDS = [World(seed) for seed in range(300)]
MULTIPLE = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.8, "pause": 0.0}
quick = settings(max_examples=20, deadline=None)
places = st.integers(0, 59)


def _first(condition):
    return next(world for world in WORLDS if condition(world.focus))


SHARED = _first(lambda focus: focus.shared_budget and len(focus.ad_sets) > 1)
SPREAD = _first(lambda focus: not focus.shared_budget and len(focus.ad_sets) > 1)


def _focus(account):
    return account.node(account.world.focus.id)


def _dump(account):
    """Everything that an account holds, as bytes; its version apart, which only ever rises."""
    facts = [
        getattr(account.books.days(campaign), name).tolist()
        for campaign in account.of_kind("campaign")
        for name in Days.__struct_fields__
    ]
    ads = [account.books.ads(campaign) for campaign in account.of_kind("campaign")]
    state = [account.today, list(account.nodes.values()), account.events, ads]
    return msgspec.json.encode([state, facts])


def _past(account, days):
    """The facts of the first days of every ad."""
    result = {}
    for campaign in account.of_kind("campaign"):
        facts = account.books.days(campaign)
        for row, ad in enumerate(account.books.ads(campaign)):
            columns = [getattr(facts, name)[row, :days] for name in Days.__struct_fields__]
            result[ad] = msgspec.json.encode([column.tolist() for column in columns])
    return result


# ---------------------------------------------------------------- operations, drawn at random

budgets = st.integers(MINIMUM_BUDGET, 5_000_000)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("budget"), places, budgets),
        st.tuples(st.just("status"), places, st.sampled_from(["ACTIVE", "PAUSED", "ARCHIVED", "DELETED"])),
        st.tuples(st.just("extra"), places, st.sampled_from(["targeting", "creative", "bid_amount"])),
        st.tuples(st.just("rename"), places, st.just("a name")),
        st.tuples(st.just("create"), places, st.sampled_from(["campaign", "adset", "ad"])),
        st.tuples(st.just("advance"), st.integers(0, 16), st.just(0)),
        st.tuples(st.just("share out"), places, budgets),
    ),
    max_size=8,
)


def _do(account, operation):
    """Do one operation; return whether it was refused."""
    name, place, value = operation
    nodes = list(account.nodes.values())
    node = nodes[place % len(nodes)]
    try:
        if name == "budget":
            account.change(node, budget_cents=value)
        elif name == "status":
            account.change(node, status=value)
        elif name == "extra":
            account.change(node, **{value: account.version})
        elif name == "rename":
            account.change(node, name=value)
        elif name == "create":
            wanted = {"campaign": "", "adset": "campaign", "ad": "adset"}[value]
            parents = account.of_kind(wanted) if wanted else [None]
            parent = parents[place % len(parents)]
            account.create(value, name="new", parent=parent.id if parent else "")
        elif name == "share out":
            campaign = account.campaign_of(node)
            account.share_out(campaign, dict.fromkeys(campaign.children, value))
        else:
            account.advance(place)
    except Refused:
        return True
    return False


@given(place=st.integers(0, 20), todo=operations)
@quick
def test_days_before_today_never_change_whatever_is_written_and_a_refused_write_changes_nothing(place, todo):
    account = Account(WORLDS[place])
    for operation in todo:
        length = account.today - account.first_day
        past, dump = _past(account, length), _dump(account)
        version = account.version
        refused = _do(account, operation)
        assert account.version == version if refused else account.version >= version
        after = _past(account, length)
        assert {ad: after[ad] for ad in past} == past
        if refused:
            assert _dump(account) == dump


@given(place=st.integers(0, 20), todo=operations)
@quick
def test_a_reset_restores_everything(place, todo):
    account = Account(WORLDS[place])
    before = _dump(account)
    for operation in todo:
        _do(account, operation)
    version = account.version
    account.reset()
    assert account.version > version
    assert _dump(account) == before == _dump(Account(World(WORLDS[place].seed)))


@given(place=st.integers(0, 20), todo=operations, one=st.integers(0, 20), two=st.integers(0, 20))
@quick
def test_days_pass_alike_in_one_go_or_two(place, todo, one, two):
    whole, parts = Account(WORLDS[place]), Account(WORLDS[place])
    for operation in todo:
        _do(whole, operation)
        _do(parts, operation)
    whole.advance(one + two)
    parts.advance(one)
    parts.advance(two)
    assert _past(whole, 10**6) == _past(parts, 10**6)
    assert whole.today == parts.today


@given(place=st.integers(0, 20), todo=operations)
@quick
def test_what_is_visible_of_a_day_never_falls_as_time_passes(place, todo):
    account = Account(WORLDS[place])
    view, fresh = View(account), View(account)
    for operation in todo:
        known = [each.id for each in account.of_kind("campaign")]
        before = {name: view.daily(account.node(name)) for name in known}
        _do(account, operation)
        for name, table in before.items():
            now = view.daily(account.node(name))[:, : table.shape[1]]
            assert (now[-2:] >= table[-2:]).all()
            assert np.array_equal(now[:-2], table[:-2])
            assert np.array_equal(view.daily(account.node(name)), View(account).daily(account.node(name)))
    assert fresh.daily(None).sum() == view.daily(None).sum()


@given(place=st.integers(0, 20), days=st.integers(1, 40))
@quick
def test_the_history_does_not_depend_on_the_clock(place, days):
    account = Account(WORLDS[place])
    length = account.today - account.first_day
    before = _past(account, length)
    account.advance(days)
    assert _past(account, length) == before
    assert all(
        account.books.days(each).impressions.shape[1] == length + days for each in account.of_kind("campaign")
    )


def test_the_clock_does_not_run_backwards():
    account = Account(WORLDS[0])
    dump = _dump(account)
    with pytest.raises(ValueError, match="backwards"):
        account.advance(-1)
    assert _dump(account) == dump


# ---------------------------------------------------------------- counterfactuals and the account agree


def _take(account, action):
    """Set the budget that an action means, where it is owned, or pause."""
    node = _focus(account)
    if action == "pause":
        account.change(node, status="PAUSED")
        return
    owners = [node] if node.budget_cents is not None else [account.node(child) for child in node.children]
    for owner in owners:
        account.change(owner, budget_cents=round(owner.budget_cents * MULTIPLE[action]))


@pytest.mark.parametrize("action", MULTIPLE)
def test_what_is_realised_is_what_the_account_delivers_after_the_action(action):
    for world in WORLDS[:60]:
        account, future = Account(world), realised(world)[action]
        _take(account, action)
        account.advance(14)
        account.advance(28)
        node = _focus(account)
        assert not any(event.significant and event.day >= world.as_of for event in account.events)
        span = slice(world.as_of - account.first_day, world.as_of - account.first_day + 14)
        facts, view = account.books.days(node), View(account)
        spend = int(facts.spend_cents[:, span].sum())
        assert abs(spend - future.spend_cents) <= 14 * len(world.focus.ads)
        assert int(facts.purchases[:, span].sum()) == future.purchases
        assert int(facts.revenue_cents[:, span].sum()) == future.revenue_cents
        shown = view.totals(node, world.as_of, world.as_of + 13)
        assert shown[COLUMNS.index("purchases")] == future.purchases  # all attributed by now
        cost = spend * world.focus.overlay.cost
        cost += 0.0 if action == "maintain" else 0.02 * 14 * 0.95 * world.focus.budget_cents
        worth = future.revenue_cents * world.advertiser.margin_pct / 100 - cost
        assert future.utility_cents == pytest.approx(worth, abs=3 + 1.5 * 14 * len(world.focus.ads))


def test_other_campaigns_do_not_notice():
    account, other = Account(SHARED), Account(SHARED)
    account.change(_focus(account), budget_cents=7_000_00)
    account.advance(10)
    other.advance(10)
    for campaign in other.of_kind("campaign"):
        if campaign.id != SHARED.focus.id:
            assert (
                _past(account, 999)[account.books.ads(campaign)[0]]
                == _past(other, 999)[other.books.ads(campaign)[0]]
            )


# ---------------------------------------------------------------- who owns the budget


def test_the_owner_of_a_budget_is_the_campaign_or_its_ad_sets_and_nobody_else_takes_one():
    for world in (SHARED, SPREAD):
        account = Account(world)
        node = _focus(account)
        ad_sets = [account.node(child) for child in node.children]
        shared = node.budget_cents is not None
        assert shared == world.focus.shared_budget
        assert [each.budget_cents is None for each in ad_sets] == [shared] * len(ad_sets)
        assert account.daily_budget(node) == world.focus.budget_cents
        dump = _dump(account)
        for wrong in (*(ad_sets if shared else [node]), *account.below(node, "ad")):
            with pytest.raises(Refused) as refused:
                account.change(wrong, budget_cents=5000)
            assert refused.value.reason == "budget_elsewhere"
        assert _dump(account) == dump
        account.change(node if shared else ad_sets[0], budget_cents=5000)


def test_a_shared_budget_goes_to_the_running_ads_and_a_spread_one_stays_with_its_ad_set():
    for world in (SHARED, SPREAD):
        account, plain = Account(world), Account(world)
        node = _focus(account)
        first, *others = (account.node(child) for child in node.children)
        account.change(first, status="PAUSED")
        account.advance(7)
        plain.advance(7)
        spent, usual = (each.books.days(node).spend_cents[:, -7:].sum(axis=1) for each in (account, plain))
        view = View(account)
        off = view.rows(first)
        on = [row for other in others for row in view.rows(other)]
        assert not spent[off].any()
        if world is SHARED:
            assert spent[on].sum() == pytest.approx(usual.sum(), rel=1e-3)
        else:
            assert spent[on].tolist() == usual[on].tolist()


@pytest.mark.parametrize("level", ["campaign", "adset", "ad"])
@pytest.mark.parametrize("status", ["PAUSED", "ARCHIVED", "DELETED"])
def test_what_does_not_run_delivers_nothing_and_runs_again_when_it_may(level, status):
    account = Account(SPREAD)
    node = account.below(_focus(account), level)[0]
    account.change(node, status=status)
    assert account.effective_status(account.below(node, "ad")[0]) != "ACTIVE"
    account.advance(3)
    view = View(account)
    row = view.rows(node)
    table = view.table(_focus(account))[:, row]
    assert not table[:, :, -3:].any()
    if status == "DELETED":
        dump = _dump(account)
        with pytest.raises(Refused, match="deleted"):
            account.change(node, status="ACTIVE")
        assert _dump(account) == dump
        return
    account.change(node, status="ACTIVE")
    account.advance(2)
    assert (view.table(_focus(account))[COLUMNS.index("spend_cents"), view.rows(node), -2:] > 0).all()


def test_sharing_a_budget_out_moves_it_to_the_ad_sets():
    account = Account(SHARED)
    node = _focus(account)
    wanted = {child: 1000 * (place + 1) for place, child in enumerate(node.children)}
    for wrong in (
        {},
        {**wanted, "7": 1000},
        {**wanted, node.children[0]: 1},
        {**wanted, node.children[0]: 1.5},
    ):
        dump = _dump(account)
        with pytest.raises(Refused):
            account.share_out(node, wrong)
        assert _dump(account) == dump
    account.share_out(node, wanted)
    assert node.budget_cents is None
    assert {child: account.node(child).budget_cents for child in node.children} == wanted
    account.advance(7)
    view = View(account)
    for child, cents in wanted.items():
        spent = view.totals(account.node(child), account.today - 7, account.today - 1)
        assert spent[COLUMNS.index("spend_cents")] == pytest.approx(0.95 * 7 * cents, rel=0.02)


# ---------------------------------------------------------------- writes that are refused

BAD_BUDGETS = [
    0,
    -1,
    1,
    MINIMUM_BUDGET - 1,
    MAXIMUM_BUDGET + 1,
    10**30,
    1.5,
    True,
    "1000",
    math.nan,
    math.inf,
]


@pytest.mark.parametrize("cents", BAD_BUDGETS, ids=repr)
@pytest.mark.parametrize("check_only", [False, True])
def test_a_budget_out_of_range_or_of_the_wrong_type_is_refused_and_changes_nothing(cents, check_only):
    account = Account(SHARED)
    dump = _dump(account)
    with pytest.raises(Refused) as refused:
        account.change(_focus(account), check_only=check_only, name="x", budget_cents=cents)
    assert refused.value.field == "daily_budget"
    assert refused.value.reason in ("bad_value", "budget_too_low", "budget_too_high")
    with pytest.raises(Refused):
        account.create("campaign", name="x", budget_cents=cents, check_only=check_only)
    assert _dump(account) == dump


@pytest.mark.parametrize(
    "change",
    [{"status": "GONE"}, {"status": "active"}, {"status": 1}, {"name": ""}, {"name": "  "}, {"name": 3}],
)
def test_a_status_or_name_that_cannot_be_is_refused(change):
    account = Account(SHARED)
    dump = _dump(account)
    with pytest.raises(Refused) as refused:
        account.change(_focus(account), **{"targeting": "x", **change})
    assert refused.value.field in change
    assert _dump(account) == dump


@given(
    name=st.text(max_size=8),
    kind=st.sampled_from([None, "campaign", "adset", "ad"]),
)
@quick
def test_an_unknown_id_is_refused(name, kind):
    account = Account(SHARED)
    if name not in account.nodes:
        with pytest.raises(Refused) as refused:
            account.node(name, kind)
        assert refused.value.reason == "unknown_id"
    with pytest.raises(Refused):
        account.node(SHARED.focus.id, "ad")


@pytest.mark.parametrize(
    ("kind", "parent"),
    [("adset", ""), ("adset", "7"), ("ad", "focus"), ("ad", ""), ("adset", "ad"), ("ad", "ad")],
)
def test_a_parent_that_does_not_fit_is_refused(kind, parent):
    account = Account(SHARED)
    ids = {"focus": SHARED.focus.id, "ad": SHARED.focus.ads[0].id}
    dump = _dump(account)
    with pytest.raises(Refused) as refused:
        account.create(kind, name="x", parent=ids.get(parent, parent))
    assert refused.value.reason == "unknown_id"
    assert _dump(account) == dump


def test_nothing_is_created_below_what_was_deleted():
    account = Account(SHARED)
    account.change(_focus(account), status="DELETED")
    with pytest.raises(Refused, match="deleted"):
        account.create("adset", name="x", parent=SHARED.focus.id)


@pytest.mark.parametrize("make", [False, True])
def test_a_change_that_is_only_checked_changes_nothing(make):
    account = Account(SHARED)
    dump = _dump(account)
    if make:
        assert account.create("campaign", name="x", budget_cents=5000, check_only=True) is None
    else:
        account.change(
            _focus(account), check_only=True, budget_cents=5000, status="PAUSED", name="x", targeting=1
        )
    assert _dump(account) == dump


@pytest.mark.parametrize("setting", [{"name": ""}, {"status": "GONE"}, {"name": 3}])
def test_what_cannot_be_changed_to_cannot_be_created_either(setting):
    account = Account(SHARED)
    dump = _dump(account)
    with pytest.raises(Refused):
        account.create("campaign", **{"name": "x", **setting})
    assert _dump(account) == dump


def test_a_budget_of_none_is_refused_or_ignored():
    account = Account(SHARED)
    before = _focus(account).budget_cents
    with suppress(Refused):
        account.change(_focus(account), budget_cents=None)
    assert _focus(account).budget_cents == before


# ---------------------------------------------------------------- what is created


def test_an_ad_delivers_from_its_day_on_and_shares_the_budget_of_its_owner():
    for world in (SHARED, SPREAD):
        account = Account(world)
        account.advance(3)
        node = _focus(account)
        ad_set = account.node(node.children[0])
        account.books.days(node)
        ad = account.create("ad", name="new", parent=ad_set.id)
        assert account.books.ads(node)[-1] == ad.id
        account.advance(7)
        facts = account.books.days(node)
        assert not facts.impressions[-1, :-7].any()
        assert not facts.purchases[-1, :-7].any()
        assert (facts.spend_cents[-1, -7:] > 0).all()
        assert (facts.impressions[-1, -7:] > 0).all()
        total = facts.spend_cents[:, -7:].sum()
        assert total <= 7 * world.focus.budget_cents
        assert total == pytest.approx(0.95 * 7 * world.focus.budget_cents, rel=0.05)


def test_a_new_campaign_with_ad_set_and_ad_delivers_and_a_paused_one_does_not():
    account = Account(SHARED)
    for status in ("ACTIVE", "PAUSED"):
        campaign = account.create("campaign", name="new", budget_cents=20_000, status=status)
        ad_set = account.create("adset", name="new", parent=campaign.id)
        account.create("ad", name="new", parent=ad_set.id)
        account.advance(14)
        spent = int(account.books.days(campaign).spend_cents.sum())
        sold = int(account.books.days(campaign).purchases.sum())
        if status == "ACTIVE":
            assert spent == pytest.approx(0.95 * 14 * 20_000, rel=0.03)
            assert sold > 0
        else:
            assert (spent, sold) == (0, 0)


@given(todo=st.lists(st.sampled_from(["campaign", "adset", "ad"]), max_size=6))
@quick
def test_ids_of_what_is_created_are_new_and_the_same_again_after_a_reset(todo):
    account = Account(SPREAD)

    def run():
        made = []
        for kind in todo:
            parent = {"campaign": "", "adset": SPREAD.focus.id, "ad": SPREAD.focus.ad_sets[0].id}[kind]
            known = set(account.nodes)
            made.append(account.create(kind, name="x", parent=parent).id)
            assert made[-1] not in known
        account.advance(2)
        return made, _dump(account)

    first = run()
    account.reset()
    assert run() == first


# ---------------------------------------------------------------- learning


def _purchases(world, todo):
    account = Account(world)
    todo(account)
    account.advance(14)
    return account.books.days(_focus(account)).purchases.sum(axis=2)[:, -14:]


def test_a_significant_edit_costs_a_fifth_of_the_purchases_for_five_days_and_then_nothing():
    plain, edited = np.zeros(14), np.zeros(14)
    for world in WORLDS[:150]:
        usual = _purchases(world, lambda account: None)
        slowed = _purchases(
            world,
            lambda account: [
                account.change(account.node(child), targeting="x") for child in _focus(account).children
            ],
        )
        assert (slowed <= usual).all()
        assert np.array_equal(slowed[:, LEARNING_DAYS:], usual[:, LEARNING_DAYS:])
        plain += usual.sum(axis=0)
        edited += slowed.sum(axis=0)
    share = edited[:LEARNING_DAYS].sum() / plain[:LEARNING_DAYS].sum()
    spread = math.sqrt(LEARNING_LOSS * (1 - LEARNING_LOSS) / plain[:LEARNING_DAYS].sum())
    assert abs(share - 0.8) < 3.3 * spread


def _events(account):
    return [event for event in account.events if event.day >= account.world.as_of]


@pytest.mark.parametrize(
    ("change", "significant"),
    [
        ({"budget_cents": 1.2}, False),
        ({"budget_cents": 0.8}, False),
        ({"budget_cents": 1.21}, True),
        ({"budget_cents": 0.79}, True),
        ({"budget_cents": 2.0}, True),
        ({"name": "x"}, False),
        ({"status": "PAUSED"}, False),
        ({"targeting": "x"}, True),
        ({"creative": "x"}, True),
        ({"optimization_goal": "x"}, True),
        ({"bid_amount": 5}, True),
        ({"bid_strategy": "x"}, True),
        ({"note": "x"}, False),
    ],
    ids=str,
)
def test_only_large_steps_and_settings_of_delivery_start_learning_anew(change, significant):
    account = Account(SHARED)
    node = _focus(account)
    assert not account.learning(node)
    if "budget_cents" in change:
        change = {"budget_cents": round(node.budget_cents * change["budget_cents"])}
    account.change(node, **change)
    assert any(event.significant for event in _events(account)) == significant
    assert account.learning(node) == significant
    account.advance(8)
    assert not account.learning(node)


def test_setting_what_is_set_already_is_no_event():
    account = Account(SHARED)
    node = _focus(account)
    account.change(node, budget_cents=node.budget_cents, status="ACTIVE", bid_strategy="a")
    events = len(_events(account))
    account.change(node, budget_cents=node.budget_cents, status="ACTIVE", bid_strategy="a")
    assert events == len(_events(account)) == 1


def test_small_steps_slow_nothing_and_a_large_one_does():
    account, other = Account(SHARED), Account(SHARED)
    small, large = np.zeros(2), np.zeros(2)
    for world in [world for world in WORLDS if world.focus.shared_budget][:60]:
        for total, multiple in ((small, 1.2), (large, 1.25)):
            budget = round(world.focus.budget_cents * multiple)
            sold = _purchases(world, lambda a, b=budget: a.change(_focus(a), budget_cents=b))
            usual = _purchases(world, lambda a: None)
            total += [sold[:, :5].sum(), usual[:, :5].sum()]
    assert small[0] > 1.08 * small[1]
    assert large[0] < 0.99 * large[1]
    assert account.version == other.version


def test_the_delivery_state_on_the_decision_day_is_that_of_the_archetype():
    for world in WORLDS:
        account = Account(world)
        for campaign in world.campaigns:
            if not campaign.stopped:
                assert account.learning(account.node(campaign.id)) == campaign.archetype.learning


def test_the_log_tells_the_raises_of_the_history_with_the_budgets_as_they_were():
    for world in WORLDS[:100]:
        account = Account(world)
        for campaign in world.campaigns:
            node = account.node(campaign.id)
            raises = [event for event in account.log(node) if event.kind == "budget_change"]
            assert len(raises) == len(campaign.archetype.raised)
            for event, (age, multiple) in zip(raises, campaign.archetype.raised, strict=True):
                assert event.day == world.as_of - age
                assert event.old == pytest.approx(campaign.budget_cents * multiple, abs=51)
                assert event.old < event.new
            if raises:
                assert raises[-1].new == campaign.budget_cents
            assert all(event.day < world.as_of for event in account.log(node))


# ---------------------------------------------------------------- traps


def test_learning_starts_anew_when_a_budget_is_shared_out_at_twice_its_size():
    account = Account(SHARED)
    node = _focus(account)
    account.share_out(node, dict.fromkeys(node.children, node.budget_cents))
    assert account.learning(node)


def test_starting_again_after_a_short_pause_does_not_start_learning_anew():
    world, campaign = next(
        (w, c) for w in WORLDS for c in w.campaigns if 0 < c.stopped < 7 and not c.archetype.learning
    )
    account = Account(world)
    account.change(account.node(campaign.id), status="ACTIVE")
    assert not account.learning(account.node(campaign.id))


def test_a_rename_in_between_does_not_shorten_a_long_pause():
    account = Account(SHARED)
    node = _focus(account)
    account.change(node, status="PAUSED")
    account.advance(8)
    account.change(node, name="x")
    account.change(node, status="ACTIVE")
    assert account.learning(node)


def test_creating_an_ad_changes_no_number_about_days_before_it():
    account = Account(SHARED)
    view, node = View(account), _focus(account)
    before = rows.row(view, node, 7, 1), rows.row(view, account.node(node.children[0]), 7, 1)
    account.create("ad", name="x", parent=node.children[0])
    assert (rows.row(view, node, 7, 1), rows.row(view, account.node(node.children[0]), 7, 1)) == before


def test_a_view_shows_what_is_after_a_reset_and_as_many_changes_as_before():
    account = Account(SHARED)
    view = View(account)
    account.advance(1)
    view.daily(None)
    account.reset()
    account.change(_focus(account), name="x")
    assert view.daily(None).shape == View(account).daily(None).shape


# ---------------------------------------------------------------- lifetime budgets, deletions, reading back


def test_a_lifetime_budget_is_paced_over_thirty_days_and_never_overspent():
    for world in (SHARED, SPREAD):
        account = Account(world)
        node = _focus(account)
        owner = node if node.budget_cents is not None else account.node(node.children[0])
        daily = account.daily_budget(owner)
        account.change(owner, budget_cents=30 * daily, budget_kind="lifetime")
        assert account.daily_budget(owner) == daily
        assert not account.learning(node)
        account.advance(7)
        assert account.books.spent(owner) == pytest.approx(0.95 * 7 * daily, rel=0.06)
        account.advance(60)
        assert 0.8 * 30 * daily < account.books.spent(owner) <= 30 * daily
        before = account.books.spent(owner)
        account.change(owner, budget_cents=daily, budget_kind="daily")
        account.advance(7)
        assert account.books.spent(owner) == pytest.approx(0.95 * 7 * daily, rel=0.06)
        assert before > 0


def test_a_deleted_ad_set_owns_needs_and_receives_no_budget():
    account = Account(SHARED)
    campaign = account.create("campaign", name="x", budget_cents=9000)
    one, two = (account.create("adset", name=name, parent=campaign.id) for name in "ab")
    account.change(two, status="DELETED")
    dump = _dump(account)
    with pytest.raises(Refused, match="deleted"):
        account.share_out(campaign, {one.id: 5000, two.id: 4000})
    assert _dump(account) == dump
    account.share_out(campaign, {one.id: 5000})
    assert (account.daily_budget(campaign), two.budget_cents) == (5000, None)
    account.change(one, status="DELETED")
    account.change(campaign, budget_cents=7000)
    assert account.daily_budget(campaign) == 7000


def test_objects_were_last_updated_on_the_day_of_their_last_logged_change():
    for world in WORLDS[:20]:
        account = Account(world)
        for event in account.events:
            assert account.node(event.node).updated >= event.day


def test_writing_back_what_stands_there_resets_nothing():
    account = Account(SHARED)
    node = _focus(account)
    ad_set = account.node(node.children[0])
    ad = account.node(ad_set.children[0])
    events = list(account.events)
    account.change(node, bid_strategy=usual(node, "bid_strategy"))
    account.change(ad_set, targeting=usual(ad_set, "targeting"))
    account.change(ad, creative=usual(ad, "creative"))
    assert account.events == events
    account.change(ad_set, targeting={"age_max": 40})
    assert account.events != events


def test_two_small_steps_on_one_day_are_one_large_one():
    account = Account(SHARED)
    node = _focus(account)
    step = node.budget_cents * 6 // 5
    account.change(node, budget_cents=step)
    assert not account.learning(node)
    account.change(node, budget_cents=step * 6 // 5)
    assert account.learning(node)
    other = Account(SHARED)
    other.change(_focus(other), budget_cents=step)
    other.advance(3)
    other.change(_focus(other), budget_cents=step * 6 // 5)
    assert not other.learning(_focus(other))
