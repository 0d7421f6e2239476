"""Writes change the future and nothing else; refused writes change nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FIELDS = "campaign_id,impressions,clicks,spend,reach,frequency,actions,action_values"
OFTEN = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
MOVES = st.lists(
    st.tuples(st.sampled_from(["delete", "pause", "budget", "targeting", "ad"]), st.integers(0, 400)),
    min_size=1,
    max_size=6,
)
PAST = (
    {"level": "ad", "time_increment": "1"},
    {"level": "campaign", "breakdowns": "age,gender"},
    {"level": "account", "breakdowns": "country", "action_attribution_windows": '["1d_click","28d_click"]'},
)


def past(client: Any, until: int) -> list[bytes]:
    span = {"since": date.fromordinal(until - 30).isoformat(), "until": date.fromordinal(until).isoformat()}
    asked = [{"fields": FIELDS, "limit": "5000", "time_range": span, **query} for query in PAST]
    return [msgspec.json.encode(client.get(f"{client.act}/insights", **query)) for query in asked]


def written(client: Any, moves: list[tuple[str, int]]) -> int:
    """Write something; return how much was accepted."""
    accepted = 0
    for move, number in moves:
        nodes = [node for node in client.account.nodes.values() if node.status != "DELETED"]
        node = nodes[number % len(nodes)]
        answer = {
            "delete": lambda node=node: client.delete(node.id),
            "pause": lambda node=node: client.post(node.id, status="PAUSED"),
            "budget": lambda node=node, n=number: client.post(node.id, daily_budget=str(700 + 311 * n)),
            "targeting": lambda node=node: client.post(node.id, targeting={"age_min": 21}),
            "ad": lambda node=node: client.post(
                f"{client.act}/ads", name="new", adset_id=node.id, creative={"creative_id": "1"}
            ),
        }[move]()
        accepted += "error" not in answer
    return accepted


@OFTEN
@given(moves=MOVES, days=st.integers(0, 20))
def test_writes_leave_every_past_day_as_it_was(
    make: Callable[..., Any], moves: list[tuple[str, int]], days: int
) -> None:
    client, other = make(), make()
    yesterday = client.account.today - 1
    before = past(client, yesterday)
    written(client, moves)
    assert past(client, yesterday) == before
    client.control("POST", "advance", days=days)
    other.control("POST", "advance", days=days)
    assert past(client, yesterday) == past(other, yesterday)


def test_writes_change_the_days_to_come(make: Callable[..., Any]) -> None:
    client, other = make(), make()
    campaign = next(node for node in client.account.of_kind("campaign") if client.account.runs(node))
    for node in client.account.below(campaign, "ad"):
        client.post(node.id, status="PAUSED")
    for each in (client, other):
        each.control("POST", "advance", days=3)
    asked = {"date_preset": "last_3d", "fields": "spend"}
    assert client.get(f"{campaign.id}/insights", **asked)["data"] == []
    assert other.get(f"{campaign.id}/insights", **asked)["data"] != []


def test_purchases_of_a_past_day_only_ever_grow(client: Any) -> None:
    day = date.fromordinal(client.account.today - 1).isoformat()
    asked = {
        "fields": "impressions,spend,actions,action_values",
        "breakdowns": "age,gender",
        "level": "ad",
        "time_range": {"since": day, "until": day},
        "limit": "5000",
    }
    known: dict[Any, tuple[int, int]] = {}
    for _ in range(8):
        rows = client.get(f"{client.act}/insights", **{**asked, "fields": asked["fields"] + ",ad_id"})["data"]
        for row in rows:
            key = (row["ad_id"], row["age"], row["gender"])
            bought = next(
                (int(e["value"]) for e in row.get("actions", []) if e["action_type"] == "purchase"), 0
            )
            cents = next((int(e["value"].replace(".", "")) for e in row.get("action_values", [])), 0)
            assert bought >= known.get(key, (0, 0))[0]
            assert cents >= known.get(key, (0, 0))[1]
            known[key] = (bought, cents)
        client.control("POST", "advance", days=4)


def nodes_of(client: Any) -> dict[str, Any]:
    """One object of each kind that matters for refusals."""
    account = client.account
    shared = next(node for node in account.of_kind("campaign") if node.budget_cents is not None)
    apart = next((node for node in account.of_kind("campaign") if node.budget_cents is None), None)
    return {"shared": shared, "apart": apart, "adset": account.nodes[shared.children[0]]}


REFUSED = [
    ("campaign", {"daily_budget": "50"}, 1885272),
    ("campaign", {"daily_budget": "-100"}, 1885272),
    ("campaign", {"daily_budget": "100000001"}, 1885261),
    ("campaign", {"daily_budget": "9" * 30}, 1885261),
    ("campaign", {"lifetime_budget": "1"}, 1885272),
    ("campaign", {"daily_budget": "NaN"}, None),
    ("campaign", {"daily_budget": "10.5"}, None),
    ("campaign", {"daily_budget": "1e9"}, None),
    ("campaign", {"daily_budget": ""}, None),
    ("campaign", {"daily_budget": "true"}, None),
    ("campaign", {"daily_budget": "9" * 5000}, None),
    ("campaign", {"daily_budget": "5000", "lifetime_budget": "5000"}, None),
    ("campaign", {"daily_budget": "5000", "nonsense": "1"}, None),
    ("campaign", {"name": " "}, None),
    ("campaign", {"name": "x" * 401}, None),
    ("campaign", {"status": "RUNNING"}, None),
    ("campaign", {"status": "active"}, None),
    ("campaign", {"effective_status": "ACTIVE"}, None),
    ("campaign", {"objective": "OUTCOME_LEADS"}, None),
    ("campaign", {"bid_strategy": "CHEAP"}, None),
    ("campaign", {"stop_time": "soon"}, None),
    ("campaign", {"start_time": "2025-09-02T00:00:00+0000", "stop_time": "2025-09-01T00:00:00+0000"}, None),
    ("campaign", {"targeting": "{}"}, None),
    ("campaign", {"adset_budgets": "["}, None),
    ("campaign", {"adset_budgets": "[]"}, None),
    ("campaign", {"adset_budgets": '[{"adset_id":"1","daily_budget":5000}]'}, None),
    ("campaign", {"adset_budgets": "[]", "daily_budget": "5000"}, None),
    ("campaign", {"execution_options": '["guess"]'}, None),
    ("campaign", {}, None),
    ("adset", {"daily_budget": "5000"}, None),
    ("adset", {"bid_amount": "0"}, None),
    ("adset", {"bid_amount": "-1"}, None),
    ("adset", {"targeting": "{"}, None),
    ("adset", {"targeting": "[]"}, None),
    ("adset", {"targeting": '{"age_min":"old"}'}, None),
    ("adset", {"targeting": '{"age_min":40,"age_max":30}'}, None),
    ("ad", {"creative": "7"}, None),
    ("ad", {"creative": '{"creative_id":"a"}'}, None),
    ("ad", {"daily_budget": "5000"}, None),
    ("account", {"name": "mine"}, 33),
    ("unknown", {"name": "mine"}, 33),
]


@pytest.mark.parametrize(("kind", "params", "subcode"), REFUSED)
def test_refused_writes_change_nothing(
    make: Callable[..., Any], kind: str, params: dict[str, str], subcode: int | None
) -> None:
    client = make()
    found = nodes_of(client)
    ad = client.account.nodes[found["adset"].children[0]]
    name = {
        "campaign": found["shared"].id,
        "adset": found["adset"].id,
        "ad": ad.id,
        "account": client.act,
        "unknown": "1",
    }[kind]
    before = client.state()
    reply = client.reply("POST", name, params)
    error = reply.body["error"]
    assert reply.status == 400
    assert error["code"] == 100
    assert error.get("error_subcode") == subcode
    assert client.state() == before


def test_budgets_live_on_one_level(make: Callable[..., Any]) -> None:
    for seed in (3, 5):
        client = make(seed)
        apart = next((n for n in client.account.of_kind("campaign") if n.budget_cents is None), None)
        if apart is not None:
            before = client.state()
            answer = client.post(apart.id, daily_budget="5000")
            assert answer["error"]["code"] == 100
            assert client.state() == before
            return
    pytest.fail("no world has a campaign with budgets on its ad sets")


def test_what_was_written_is_read_at_once(client: Any) -> None:
    found = nodes_of(client)
    campaign, ad_set = found["shared"], found["adset"]
    ad = client.account.nodes[ad_set.children[0]]
    assert client.post(campaign.id, name="Spring", daily_budget="12345", status="PAUSED") == {"success": True}
    shown = client.get(campaign.id, fields="name,daily_budget,status,configured_status,effective_status")
    assert shown == {
        "name": "Spring",
        "daily_budget": "12345",
        "status": "PAUSED",
        "configured_status": "PAUSED",
        "effective_status": "PAUSED",
        "id": campaign.id,
    }
    assert client.get(ad_set.id, fields="effective_status")["effective_status"] == "CAMPAIGN_PAUSED"
    client.post(campaign.id, lifetime_budget="900000", stop_time="1767225600")
    shown = client.get(campaign.id, fields="daily_budget,lifetime_budget,stop_time")
    assert shown == {
        "lifetime_budget": "900000",
        "stop_time": "2025-12-31T17:00:00-0700",
        "id": campaign.id,
    }
    client.post(ad_set.id, targeting={"age_min": 25}, bid_amount="700")
    shown = client.get(ad_set.id, fields="targeting,bid_amount,learning_stage_info")
    assert (shown["targeting"], shown["bid_amount"]) == ({"age_min": 25}, 700)
    assert shown["learning_stage_info"]["status"] == "LEARNING"
    assert shown["learning_stage_info"]["conversions"] == 0
    client.post(ad.id, creative={"creative_id": "77"}, status="PAUSED")
    assert client.get(ad.id, fields="creative")["creative"] == {"id": "77"}


def test_only_large_budget_changes_reset_learning(client: Any) -> None:
    campaign = nodes_of(client)["shared"]
    ad_set = campaign.children[0]
    before = client.get(ad_set, fields="learning_stage_info")
    client.post(campaign.id, daily_budget=str(campaign.budget_cents * 119 // 100))
    assert client.get(ad_set, fields="learning_stage_info") == before
    client.post(campaign.id, daily_budget=str(campaign.budget_cents * 13 // 10))
    assert client.get(ad_set, fields="learning_stage_info")["learning_stage_info"]["status"] == "LEARNING"


def test_validate_only_checks_and_writes_nothing(client: Any) -> None:
    campaign = nodes_of(client)["shared"]
    before = client.state()
    option = {"execution_options": '["validate_only"]'}
    assert client.post(campaign.id, daily_budget="5000", **option) == {"success": True}
    assert client.post(campaign.id, daily_budget="5", **option)["error"]["error_subcode"] == 1885272
    shares = [{"adset_id": each, "daily_budget": 500} for each in campaign.children]
    assert client.post(campaign.id, adset_budgets=shares, **option) == {"success": True}
    made = client.post(
        f"{client.act}/campaigns",
        name="n",
        objective="OUTCOME_SALES",
        special_ad_categories="[]",
        daily_budget="5000",
        **option,
    )
    assert made == {"success": True}
    assert client.state() == before


def test_a_campaign_budget_moves_to_its_ad_sets_in_one_write(client: Any) -> None:
    campaign = nodes_of(client)["shared"]
    shares = [
        {"adset_id": each, "daily_budget": 1000 + place} for place, each in enumerate(campaign.children)
    ]
    assert client.post(campaign.id, adset_budgets=shares) == {"success": True}
    assert "daily_budget" not in client.get(campaign.id, fields="daily_budget")
    for place, each in enumerate(campaign.children):
        assert client.get(each, fields="daily_budget")["daily_budget"] == str(1000 + place)


def test_a_deleted_object_stays_deleted_and_its_facts_stay_in_the_totals(client: Any) -> None:
    campaign = nodes_of(client)["shared"]
    asked = {"date_preset": "last_30d", "fields": FIELDS}
    before = client.get(f"{client.act}/insights", **asked)
    rows = client.get(f"{client.act}/insights", level="campaign", **asked)
    assert client.delete(campaign.id) == {"success": True}
    assert client.get(f"{client.act}/insights", **asked) == before
    assert client.get(f"{client.act}/insights", level="campaign", **asked) == rows
    assert client.get(campaign.id, fields="effective_status")["effective_status"] == "DELETED"
    listed = {row["id"] for row in client.rows(f"{client.act}/campaigns")}
    assert campaign.id not in listed
    deleted = client.rows(f"{client.act}/campaigns", effective_status='["DELETED"]')
    assert [row["id"] for row in deleted] == [campaign.id]
    state = client.state()
    ad_set = campaign.children[0]
    assert client.post(ad_set, name="x")["error"]["error_subcode"] == 1487056
    assert client.delete(campaign.id)["error"]["error_subcode"] == 1487056
    ad = client.account.nodes[ad_set].children[0]
    client.account.nodes[ad].status = "PAUSED"
    assert client.post(ad, name="x")["error"]["error_subcode"] == 1487056
    client.account.nodes[ad].status = "ACTIVE"
    assert client.post(campaign.id, status="ACTIVE")["error"]["error_subcode"] == 1487056
    assert client.state() == state


CAMPAIGN = {"name": "n", "objective": "OUTCOME_SALES", "special_ad_categories": "[]", "daily_budget": "5000"}


@pytest.mark.parametrize(
    ("edge", "params"),
    [
        ("campaigns", {**CAMPAIGN, "objective": "LINK_CLICKS"}),
        ("campaigns", {k: v for k, v in CAMPAIGN.items() if k != "name"}),
        ("campaigns", {k: v for k, v in CAMPAIGN.items() if k != "special_ad_categories"}),
        ("campaigns", {k: v for k, v in CAMPAIGN.items() if k != "daily_budget"}),
        ("campaigns", {**CAMPAIGN, "special_ad_categories": '["FUN"]'}),
        ("campaigns", {**CAMPAIGN, "daily_budget": "1"}),
        ("campaigns", {**CAMPAIGN, "buying_type": "RESERVED"}),
        ("adsets", {"name": "n"}),
        ("ads", {"name": "n", "adset_id": "1", "creative": '{"creative_id":"1"}'}),
        ("ads", {"name": "n"}),
        ("adcreatives", {"name": "n"}),
    ],
)
def test_refused_creations_change_nothing(client: Any, edge: str, params: dict[str, str]) -> None:
    before = client.state()
    reply = client.reply("POST", f"{client.act}/{edge}", params)
    assert (reply.status, reply.body["error"]["code"]) == (400, 100)
    assert client.state() == before


def test_a_campaign_without_budget_says_whether_ad_sets_share_since_v24(client: Any) -> None:
    bare = {k: v for k, v in CAMPAIGN.items() if k != "daily_budget"}
    assert "error" in client.post(f"v24.0/{client.act}/campaigns", **bare)
    assert "id" in client.post(f"v23.0/{client.act}/campaigns", **bare)
    assert "id" in client.post(
        f"v26.0/{client.act}/campaigns", **bare, is_adset_budget_sharing_enabled="false"
    )


def test_a_new_branch_delivers_from_the_next_day(client: Any) -> None:
    made = client.post(f"{client.act}/campaigns", **CAMPAIGN)
    ad_set = {
        "name": "s",
        "campaign_id": made["id"],
        "optimization_goal": "OFFSITE_CONVERSIONS",
        "billing_event": "IMPRESSIONS",
        "targeting": '{"geo_locations":{"countries":["US"]}}',
    }
    assert "error" in client.post(f"{client.act}/adsets", **ad_set, daily_budget="5000")
    assert "error" in client.post(f"{client.act}/adsets", **ad_set, attribution_spec='[{"event_type":"x"}]')
    one = client.post(f"{client.act}/adsets", **ad_set)
    two = client.post(f"{client.act}/adsets", **ad_set)
    assert one["id"] != two["id"]
    ad = client.post(f"{client.act}/ads", name="a", adset_id=one["id"], creative='{"creative_id":"5"}')
    assert client.get(f"{made['id']}/insights", date_preset="maximum")["data"] == []
    client.control("POST", "advance", days=2)
    rows = client.rows(f"{made['id']}/insights", level="ad", fields="ad_id,spend", date_preset="maximum")
    assert [row["ad_id"] for row in rows] == [ad["id"]]
    assert float(rows[0]["spend"]) > 0


@OFTEN
@given(moves=MOVES, days=st.integers(0, 9))
def test_a_reset_restores_the_bytes(
    make: Callable[..., Any], moves: list[tuple[str, int]], days: int
) -> None:
    client = make()
    reads = [client.act, f"{client.act}/ads", f"{client.act}/insights"]

    def bytes_now() -> list[bytes]:
        answers = [
            client.get(path, fields="account_id,id" if "ins" not in path else FIELDS) for path in reads
        ]
        return [msgspec.json.encode(each) for each in (*answers, client.state())]

    reads, before = reads[:2], None
    before = bytes_now()
    rows = past(client, client.account.today - 1)
    written(client, moves)
    client.post(f"{client.act}/insights", level="ad")
    client.control("POST", "advance", days=days)
    client.control("POST", "advance", seconds=100)
    written(client, moves)
    client.control("POST", "reset")
    assert bytes_now() == before
    assert past(client, client.account.today - 1) == rows


AD_SET = {
    "name": "s",
    "optimization_goal": "OFFSITE_CONVERSIONS",
    "billing_event": "IMPRESSIONS",
    "targeting": '{"geo_locations":{"countries":["US"]}}',
}


def refused(client: Any, path: str, blame: str, **params: Any) -> None:
    before = client.state()
    error = client.post(path, **params)["error"]
    assert (error["code"], error["error_data"]) == (100, {"blame_field_specs": [[blame]]})
    assert client.state() == before


@pytest.mark.parametrize("strategy", ["COST_CAP", "LOWEST_COST_WITH_BID_CAP"])
def test_a_cap_needs_an_amount_in_updates_as_in_creations(client: Any, strategy: str) -> None:
    campaign, ad_set = (nodes_of(client)[name] for name in ("shared", "adset"))
    made = {**AD_SET, "campaign_id": campaign.id, "bid_strategy": strategy}
    refused(client, f"{client.act}/adsets", "bid_amount", **made)
    refused(client, ad_set.id, "bid_amount", bid_strategy=strategy)
    refused(client, ad_set.id, "bid_amount", bid_strategy=strategy, execution_options='["validate_only"]')
    refused(client, campaign.id, "bid_amount", bid_strategy=strategy)
    for child in campaign.children:
        assert client.post(child, bid_amount="900") == {"success": True}
    assert client.post(ad_set.id, bid_strategy=strategy) == {"success": True}
    assert client.post(campaign.id, bid_strategy=strategy) == {"success": True}
    refused(client, f"{client.act}/adsets", "bid_amount", **AD_SET, campaign_id=campaign.id)
    assert "id" in client.post(f"{client.act}/adsets", **AD_SET, campaign_id=campaign.id, bid_amount="900")


def test_an_end_lies_after_the_start_that_is_set_already(client: Any) -> None:
    campaign, ad_set = (nodes_of(client)[name] for name in ("shared", "adset"))
    for node, end in ((campaign, "stop_time"), (ad_set, "end_time")):
        refused(client, node.id, end, **{end: "2001-01-01T00:00:00+0000"})
        assert client.post(node.id, **{end: "2035-01-01T00:00:00+0000"}) == {"success": True}
        refused(client, node.id, end, start_time="2035-01-01T00:00:00+0000")
        both = {"start_time": "2036-01-01T00:00:00+0000", end: "2037-01-01T00:00:00+0000"}
        assert client.post(node.id, **both) == {"success": True}
        refused(client, node.id, end, **{end: "2035-06-01T00:00:00+0000"})
    past = {"stop_time": "2001-01-01T00:00:00+0000"}
    refused(client, f"{client.act}/campaigns", "stop_time", **CAMPAIGN, **past)


def test_writing_a_setting_as_it_is_shown_changes_nothing_in_learning(client: Any) -> None:
    ad_set = nodes_of(client)["adset"]
    ad = ad_set.children[0]
    asked = "targeting,bid_strategy,learning_stage_info"
    before = client.get(ad_set.id, fields=asked)
    client.post(ad_set.id, targeting=before["targeting"], bid_strategy=before["bid_strategy"])
    client.post(ad, creative=client.get(ad, fields="creative")["creative"])
    assert client.get(ad_set.id, fields=asked) == before


def test_what_remains_of_a_lifetime_budget_is_what_was_not_spent_since_it_was_set(
    make: Callable[..., Any],
) -> None:
    client = make()
    campaign = next(
        n for n in client.account.of_kind("campaign") if n.budget_cents and client.account.runs(n)
    )
    cents = 30 * int(campaign.budget_cents or 0)
    assert client.post(campaign.id, lifetime_budget=str(cents)) == {"success": True}
    assert client.get(campaign.id, fields="budget_remaining")["budget_remaining"] == str(cents)
    since = client.account.today
    client.control("POST", "advance", days=50)
    window = {"since": date.fromordinal(since).isoformat(), "until": client.control("GET", "state")["today"]}
    (row,) = client.rows(f"{campaign.id}/insights", fields="spend", time_range=window)
    spent = round(100 * float(row["spend"]))
    assert 0 < spent <= cents
    assert client.get(campaign.id, fields="budget_remaining")["budget_remaining"] == str(cents - spent)
