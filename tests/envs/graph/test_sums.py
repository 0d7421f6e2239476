"""Rows add up to the facts, whatever they are broken down by and whatever was written before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.splits import FAMILIES, largest_remainder, purchases
from opoi_envs.ads.world.delivery import DELAYS

FIELDS = "impressions,clicks,inline_link_clicks,spend,actions,action_values"
ONCE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
BREAKDOWNS = (
    "",
    "age",
    "gender",
    "age,gender",
    "publisher_platform",
    "publisher_platform,platform_position",
    "device_platform",
    "country",
)
ONSITE = ("region", "dma", "hourly_stats_aggregated_by_advertiser_time_zone")


def added(rows: list[dict[str, Any]]) -> Counter[str]:
    """Add rows up as a client would."""
    total: Counter[str] = Counter()
    for row in rows:
        total["impressions"] += int(row["impressions"])
        total["clicks"] += int(row["clicks"])
        total["links"] += int(row["inline_link_clicks"])
        total["cents"] += int(row["spend"].replace(".", ""))
        for action in row.get("actions", []):
            total[action["action_type"]] += int(action["value"])
        for action in row.get("action_values", []):
            total[f"value {action['action_type']}"] += int(action["value"].replace(".", ""))
    return total


def facts(account: Account, first: int, last: int, campaign: str = "") -> Counter[str]:
    """The same sums, cell by cell from the facts, in plain Python."""
    total: Counter[str] = Counter()
    for node in account.of_kind("campaign"):
        if campaign not in ("", node.id):
            continue
        days = account.books.days(node)
        for day in range(max(first, account.first_day), min(last, account.today - 1) + 1):
            at, age = day - account.first_day, account.today - day
            for row in range(days.impressions.shape[0]):
                seen = [place for place, delay in enumerate(DELAYS) if delay <= age]
                bought = sum(int(days.purchases[row, at, place]) for place in seen)
                worth = sum(int(days.revenue_cents[row, at, place]) for place in seen)
                total["impressions"] += int(days.impressions[row, at])
                total["clicks"] += int(days.clicks[row, at])
                total["links"] += int(days.link_clicks[row, at])
                total["cents"] += int(days.spend_cents[row, at])
                total["link_click"] += int(days.link_clicks[row, at])
                total["landing_page_view"] += int(days.views[row, at])
                total["add_to_cart"] += int(days.carts[row, at])
                total["initiate_checkout"] += int(days.checkouts[row, at])
                for name in ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase"):
                    total[name] += bought
                    total[f"value {name}"] += worth
    return +total


def shaken(client: Any, moves: list[tuple[str, int]]) -> None:
    """Write, create, delete and let days pass."""
    account = client.account
    for move, number in moves:
        nodes = list(account.nodes.values())
        node = nodes[number % len(nodes)]
        if move == "advance":
            account.advance(number % 9)
        elif move == "delete":
            client.delete(node.id)
        elif move == "pause":
            client.post(node.id, status=("PAUSED", "ACTIVE")[number % 2])
        elif move == "budget":
            client.post(node.id, daily_budget=str(500 + 977 * number))
        elif move == "ad" and node.kind == "adset":
            client.post(f"{client.act}/ads", name="new", adset_id=node.id, creative={"creative_id": "1"})
        elif move == "campaign":
            made = client.post(
                f"{client.act}/campaigns",
                name="new",
                objective="OUTCOME_SALES",
                special_ad_categories="[]",
                daily_budget="20000",
            )
            ad_set = client.post(
                f"{client.act}/adsets",
                name="new",
                campaign_id=made["id"],
                optimization_goal="OFFSITE_CONVERSIONS",
                billing_event="IMPRESSIONS",
                targeting={"geo_locations": {"countries": ["US"]}},
            )
            client.post(f"{client.act}/ads", name="n", adset_id=ad_set["id"], creative={"creative_id": "1"})


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["advance", "delete", "pause", "budget", "ad", "campaign"]), st.integers(0, 400)
    ),
    max_size=7,
)


@ONCE
@given(
    moves=MOVES,
    breakdowns=st.sampled_from(BREAKDOWNS),
    level=st.sampled_from(["account", "campaign", "adset", "ad"]),
    increment=st.sampled_from(["1", "7", "monthly", "all_days"]),
    back=st.integers(0, 30),
    length=st.integers(0, 12),
)
def test_rows_add_up_to_the_facts(
    make: Callable[..., Any],
    moves: list[tuple[str, int]],
    breakdowns: str,
    level: str,
    increment: str,
    back: int,
    length: int,
) -> None:
    client = make()
    shaken(client, moves)
    last = client.account.today - 1 - back
    first = last - length
    span = {"since": date.fromordinal(first).isoformat(), "until": date.fromordinal(last).isoformat()}
    rows = client.rows(
        f"{client.act}/insights",
        fields=FIELDS,
        level=level,
        time_range=span,
        time_increment=increment,
        **({"breakdowns": breakdowns} if breakdowns else {}),
    )
    assert +added(rows) == facts(client.account, first, last)
    keys = [tuple(row[key] for key in filter(None, breakdowns.split(","))) for row in rows]
    assert all(len(key) == len(list(filter(None, breakdowns.split(",")))) for key in keys)


@pytest.mark.parametrize("breakdown", ONSITE)
def test_places_and_hours_show_no_purchases_but_add_up_otherwise(client: Any, breakdown: str) -> None:
    today = client.account.today
    rows = client.rows(f"{client.act}/insights", fields=FIELDS, breakdowns=breakdown, date_preset="last_14d")
    total, known = added(rows), facts(client.account, today - 14, today - 1)
    onsite = ("impressions", "clicks", "links", "cents", "link_click")
    assert {name: total[name] for name in onsite} == {name: known[name] for name in onsite}
    assert {name for name, count in total.items() if count} == set(onsite)


def test_every_level_agrees_with_its_children(client: Any) -> None:
    for campaign in client.account.of_kind("campaign"):
        own = client.rows(f"{campaign.id}/insights", fields=FIELDS, date_preset="last_30d")
        for level in ("adset", "ad"):
            parts = client.rows(f"{campaign.id}/insights", fields=FIELDS, date_preset="last_30d", level=level)
            assert added(parts) == added(own)


def test_a_cell_never_has_clicks_without_impressions(client: Any) -> None:
    for breakdowns in ("age,gender", "publisher_platform,platform_position", "country"):
        rows = client.rows(
            f"{client.act}/insights",
            fields=FIELDS,
            level="ad",
            breakdowns=breakdowns,
            date_preset="last_14d",
            time_increment="1",
        )
        for row in rows:
            found = {each["action_type"]: int(each["value"]) for each in row.get("actions", [])}
            links = int(row["inline_link_clicks"])
            assert int(row["impressions"]) >= links >= found.get("landing_page_view", 0)
            assert int(row["clicks"]) >= links


def test_age_rows_are_the_sums_of_age_and_gender_rows(client: Any) -> None:
    query = {"fields": FIELDS, "date_preset": "last_30d"}
    both = client.rows(f"{client.act}/insights", breakdowns="age,gender", **query)
    for key in ("age", "gender"):
        for row in client.rows(f"{client.act}/insights", breakdowns=key, **query):
            assert added([row]) == added([each for each in both if each[key] == row[key]])


@ONCE
@given(
    counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=5),
    weights=st.lists(st.integers(1, 10**6), min_size=2, max_size=9),
    word=st.integers(0, 2**64 - 1),
)
def test_parts_add_up_and_lie_within_one_of_their_share(
    counts: list[int], weights: list[int], word: int
) -> None:
    amounts, shape = np.array(counts), (len(counts), len(weights))
    noise = np.full(shape, word, dtype=np.uint64)
    parts = largest_remainder(amounts, np.tile(np.array(weights), (len(counts), 1)), noise)
    assert parts.sum(axis=1).tolist() == counts
    for amount, row in zip(counts, parts.tolist(), strict=True):
        for weight, part in zip(weights, row, strict=True):
            exact = amount * weight / sum(weights)
            assert exact - 1 < part < exact + 1
    if len(set(noise.ravel().tolist())) == 1:  # without noise it is the plain method of largest remainders
        rests = [counts[0] * weight % sum(weights) for weight in weights]
        ups = [
            part - counts[0] * weight // sum(weights) for part, weight in zip(parts[0], weights, strict=True)
        ]
        assert sorted(rests, reverse=True)[: sum(ups)] == sorted(
            (rest for rest, up in zip(rests, ups, strict=True) if up), reverse=True
        )


def test_windows_are_nested_and_the_value_is_seven_day_click_and_one_day_view(client: Any) -> None:
    asked = ["1d_click", "7d_click", "28d_click", "1d_view", "1d_ev", "7d_view"]
    plain = client.rows(f"{client.act}/insights", fields=FIELDS, level="ad", date_preset="last_30d")
    rows = client.rows(
        f"{client.act}/insights",
        fields=FIELDS,
        level="ad",
        date_preset="last_30d",
        action_attribution_windows=asked,
    )
    assert added(rows) == added(plain)
    found = 0
    for row in rows:
        for name in ("actions", "action_values"):
            for each in row.get(name, []):
                whole = [
                    int(each.get(key, "0").replace(".", ""))
                    for key in ("1d_click", "7d_click", "28d_click", "1d_view")
                ]
                assert whole[0] <= whole[1] <= whole[2]
                assert whole[1] + whole[3] == int(each["value"].replace(".", ""))
                assert "0" not in each.values()
                assert not {"1d_ev", "7d_view"} & set(each)
                found += 1
    assert found > 10


def test_purchases_of_a_campaign_are_the_facts(account: Account) -> None:
    for campaign in account.of_kind("campaign"):
        sold = purchases(account, campaign, account.first_day, account.today - 1)
        known = facts(account, account.first_day, account.today - 1, campaign.id)
        assert int(sold.counted.sum()) == known["purchase"]
        assert int((sold.counted * sold.cents).sum()) == known["value purchase"]


def test_ratios_follow_from_the_sums_of_a_row(client: Any) -> None:
    fields = "impressions,clicks,inline_link_clicks,spend,reach,cpm,cpc,ctr,cpp,frequency,"
    fields += "inline_link_click_ctr,cost_per_inline_link_click,cost_per_action_type,purchase_roas,"
    fields += "website_purchase_roas,actions,action_values"
    rows = client.rows(
        f"{client.act}/insights", fields=fields, level="adset", date_preset="last_7d", time_increment="1"
    )
    for row in rows:
        shown, clicks, links = (int(row[key]) for key in ("impressions", "clicks", "inline_link_clicks"))
        spend, reach = float(row["spend"]), int(row["reach"])
        for name, value in {
            "cpm": spend / shown * 1000,
            "cpc": spend / clicks,
            "ctr": clicks / shown * 100,
            "cpp": spend / reach * 1000,
            "frequency": shown / reach,
            "inline_link_click_ctr": links / shown * 100,
            "cost_per_inline_link_click": spend / links,
        }.items():
            assert float(row[name]) == pytest.approx(value, abs=5.1e-7)
            assert not row[name].endswith("0") or "." not in row[name]
        counts = {each["action_type"]: int(each["value"]) for each in row["actions"]}
        for each in row["cost_per_action_type"]:
            assert float(each["value"]) == pytest.approx(spend / counts[each["action_type"]], abs=5.1e-7)
        if "purchase_roas" in row:
            worth = float(row["action_values"][0]["value"])
            assert [each["action_type"] for each in row["purchase_roas"]] == ["omni_purchase"]
            assert float(row["purchase_roas"][0]["value"]) == pytest.approx(worth / spend, abs=5.1e-7)


def test_families_have_a_weight_for_every_cell() -> None:
    for family in FAMILIES:
        assert len(family.cells) == len(family.weights) == len(set(family.cells))
        assert all(weight > 0 for weight in family.weights)
        assert 9000 <= sum(family.weights) <= 10100
