"""Shapes of answers, the ways to write a request, and what other clients do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.metrics import LISTS, NUMBERS, Row, metric
from opoi_envs.ads.graph.query import SILENT


def test_a_read_repeats_to_the_byte(http: httpx.Client, account: Account) -> None:
    act = account.world.advertiser.id
    for path, params in (
        (f"/v26.0/{act}/", {"fields": "name,amount_spent"}),
        (f"/v26.0/{act}/ads", {"fields": "name,creative", "limit": "2"}),
        (f"/v26.0/{act}/insights", {"level": "ad", "breakdowns": "age", "limit": "3"}),
        ("/v26.0/nothing", {}),
    ):
        one, two = http.get(path, params=params), http.get(path, params=params)
        assert one.content == two.content
        assert one.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "form", ["/v26.0/{}", "/v26.0/{}/", "/{}", "/{}/", "/v3.1/{}/", "//v26.0//{}", "/graph/v9.0/{}"]
)
def test_any_version_and_slash_will_do(http: httpx.Client, account: Account, form: str) -> None:
    act = account.world.advertiser.id
    assert http.get(str(http.base_url).rstrip("/") + form.format(act)).json() == {"id": act}


def test_the_token_may_come_in_query_form_or_header(url: str, account: Account, token: str) -> None:
    node = account.of_kind("campaign")[0]
    with httpx.Client(base_url=url, trust_env=False) as bare:
        assert bare.get(f"/{node.id}").json()["error"]["code"] == 2500
        assert bare.get(f"/{node.id}", headers={"Authorization": f"Bearer {token}"}).json() == {"id": node.id}
        assert bare.get(f"/{node.id}", headers={"Authorization": "Bearer no"}).json()["error"]["code"] == 190
        for place, name in enumerate(("data", "json", "multipart")):
            fields = {"access_token": token, "name": f"name {place}"}
            body: dict[str, Any] = {name: fields}
            if name == "multipart":
                body = {"files": {key: (None, text) for key, text in fields.items()}}
            assert bare.post(f"/v26.0/{node.id}/", **body).json() == {"success": True}
            assert node.name == f"name {place}"
        for path in ("/control/state", "/openapi.json"):
            assert bare.get(path).json()["error"]["code"] == 2500
        for path in ("/control/reset", "/control/advance?days=1"):
            assert bare.post(path).json()["error"]["code"] == 2500
        assert bare.get("/control/state", params={"access_token": "x"}).json()["error"]["code"] == 190


def test_a_link_to_the_next_page_works_as_it_stands(
    url: str, http: httpx.Client, account: Account, token: str
) -> None:
    act = account.world.advertiser.id
    page = http.get(f"/v26.0/{act}/ads", params={"limit": 2, "fields": "name", "summary": "true"}).json()
    assert page["summary"] == {"total_count": len(account.of_kind("ad"))}
    seen = [row["id"] for row in page["data"]]
    with httpx.Client(trust_env=False) as bare:
        while "next" in page["paging"]:
            page = bare.get(page["paging"]["next"]).json()
            seen += [row["id"] for row in page["data"]]
        assert seen == [node.id for node in account.of_kind("ad")]
        back = bare.get(page["paging"]["previous"]).json()
        assert [row["id"] for row in back["data"]] == seen[-len(page["data"]) - 2 : -len(page["data"])]
        headers = {"Authorization": f"Bearer {token}"}
        page = bare.get(f"{url}/{act}/ads", params={"limit": 2}, headers=headers).json()
        assert token not in page["paging"]["next"]
        assert bare.get(page["paging"]["next"], headers=headers).json()["data"]


def test_an_empty_list_is_only_data(client: Any) -> None:
    assert client.get(f"{client.act}/insights", date_preset="today") == {"data": []}
    assert client.get(f"{client.act}/campaigns", effective_status='["WITH_ISSUES"]') == {"data": []}
    after = client.get(f"{client.act}/ads", limit="5000")["paging"]["cursors"]["after"]
    assert client.get(f"{client.act}/ads", after=after) == {"data": []}


def test_pages_hold_on_when_objects_go(client: Any) -> None:
    page = client.get(f"{client.act}/ads", limit="2")
    rest = [node.id for node in client.account.of_kind("ad")][2:]
    client.delete(page["data"][1]["id"])
    page = client.get(f"{client.act}/ads", limit="5000", after=page["paging"]["cursors"]["after"])
    assert [row["id"] for row in page["data"]] == rest


@pytest.mark.parametrize("after", ["x", "Y3Vyc29yOjk5OTk5", "é", "=", "Y3Vyc29y"])
@pytest.mark.parametrize("edge", ["ads", "insights"])
def test_a_foreign_cursor_is_refused(client: Any, edge: str, after: str) -> None:
    assert client.get(f"{client.act}/{edge}", after=after)["error"]["code"] == 100


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        (
            "fields",
            [
                "impressions,spend",
                '["impressions","spend"]',
                " impressions , spend ",
                "['impressions', 'spend']",
            ],
        ),
        ("breakdowns", ["age,gender", '["age","gender"]', "['age','gender']", "[gender,age]"]),
        ("time_increment", ["1", " 1 ", '"1"']),
        (
            "filtering",
            [
                '[{"field":"spend","operator":"GREATER_THAN","value":3}]',
                '[{"field":"spend","operator":"GREATER_THAN","value":"3"}]',
                "[{field:'spend',operator:'GREATER_THAN',value:3}]",
                "[{field:spend,operator:GREATER_THAN,value:3.0}]",
            ],
        ),
        (
            "action_attribution_windows",
            ["['1d_click','7d_click']", '["1d_click","7d_click"]', "1d_click,7d_click"],
        ),
        (
            "time_range",
            ['{"since":"2025-07-01","until":"2025-07-09"}', "{'since':'2025-07-01','until':'2025-07-09'}"],
        ),
    ],
)
def test_every_way_to_write_a_list_means_the_same(client: Any, name: str, forms: list[str]) -> None:
    base = {"level": "campaign", "fields": "spend,actions"}
    answers = [client.get(f"{client.act}/insights", **{**base, name: form})["data"] for form in forms]
    assert all(answer == answers[0] for answer in answers)


def test_fields_are_expanded(client: Any) -> None:
    campaign = client.account.of_kind("campaign")[0]
    inside = "id,name,ads{campaign{name},creative},insights.date_preset(last_7d){spend}"
    asked = f"name,adsets.limit(1){{{inside}}},account_id"
    shown = client.get(campaign.id, fields=asked)
    inner = shown["adsets"]["data"]
    assert [each["id"] for each in inner] == campaign.children[:1]
    direct = client.get(f"{campaign.children[0]}/insights", date_preset="last_7d", fields="spend")
    assert inner[0]["insights"]["data"] == direct["data"]
    assert inner[0]["ads"]["data"][0]["campaign"] == {"name": campaign.name, "id": campaign.id}
    assert ("next" in shown["adsets"]["paging"]) == (len(campaign.children) > 1)
    assert client.get(f"{client.act}/ads", fields='["adset{name}"]', limit="1")["data"][0]["adset"]["name"]
    for bad in (
        "name{",
        "name}",
        "adsets.limit(1",
        "adsets.limit{id}",
        "{id}",
        "a" * 9 + "{a" * 40,
        "adsets{nope}",
    ):
        assert client.get(campaign.id, fields=bad)["error"]["code"] == 100


def test_several_objects_are_read_at_once(client: Any) -> None:
    ids = [node.id for node in client.account.of_kind("campaign")]
    answer = client.get("v26.0//", ids=",".join(ids), fields="name")
    assert list(answer) == ids
    reply = client.reply("GET", "", {"ids": f"{ids[0]},77"})
    assert (reply.status, reply.body["error"]["code"]) == (404, 803)


def test_totals_agree_with_the_view_of_the_tools(client: Any) -> None:
    view, account = View(client.account), client.account
    nodes = [None, *account.nodes.values()]
    for node in nodes:
        name = node.id if node else client.act
        first, last = account.today - 28, account.today - 1
        totals = view.totals(node, first, last)
        rows = client.get(
            f"{name}/insights", date_preset="last_28d", fields="impressions,clicks,spend,reach"
        )["data"]
        if not totals[0]:
            assert rows == []
            continue
        row = rows[0]
        assert [int(row["impressions"]), int(row["clicks"])] == totals[:2]
        assert int(row["spend"].replace(".", "")) == totals[3]
        assert int(row["reach"]) == view.reach(node, totals[0])


def spans(client: Any, **params: Any) -> list[tuple[str, str]]:
    rows = client.rows(f"{client.act}/insights", **params)
    return [(row["date_start"], row["date_stop"]) for row in rows]


def test_presets_are_the_days_they_name(client: Any) -> None:
    today = date.fromordinal(client.account.today)
    first = client.account.first_day

    def days(name: str) -> tuple[date, date]:
        a, b = dates.preset(name, client.account.today, first)
        return date.fromordinal(a), date.fromordinal(b)

    for count in (3, 7, 14, 28, 30, 90):
        a, b = days(f"last_{count}d")
        assert ((b - a).days + 1, (today - b).days) == (count, 1)
    for name, weekday, last in (("last_week_mon_sun", 0, 6), ("last_week_sun_sat", 6, 5)):
        a, b = days(name)
        assert (a.weekday(), b.weekday(), (b - a).days) == (weekday, last, 6)
        assert b < today
    for name, weekday in (("this_week_mon_today", 0), ("this_week_sun_today", 6)):
        a, b = days(name)
        assert (a.weekday(), b) == (weekday, today)
        assert (b - a).days <= 6
    assert days("yesterday")[0] == days("yesterday")[1]
    a, b = days("last_month")
    assert (a.day, (b.toordinal() + 1 - days("this_month")[0].toordinal())) == (1, 0)
    a, b = days("last_quarter")
    assert (a.day, a.month % 3) == (1, 1)
    assert b.toordinal() + 1 == days("this_quarter")[0].toordinal()
    a, b = days("last_year")
    assert (a.isoformat()[5:], b.isoformat()[5:], a.year) == ("01-01", "12-31", today.year - 1)


def test_periods_cover_the_range_without_gaps(client: Any) -> None:
    today = client.account.today
    for increment in (1, 7, 30, 90, "monthly", "all_days"):
        cut = dates.periods((today - 100, today - 1), increment, today)
        assert (cut[0][0], cut[-1][1]) == (today - 100, today - 1)
        assert all(b + 1 == c for (_, b), (c, _) in itertools.pairwise(cut))
    assert all(
        date.fromordinal(b + 1).day == 1
        for _, b in dates.periods((today - 100, today - 1), "monthly", today)[:-1]
    )


def test_ranges_without_facts_have_no_rows(client: Any) -> None:
    for since, until in (("2023-01-01", "2023-02-01"), ("2030-01-01", "9999-12-31")):
        span = json.dumps({"since": since, "until": until})
        assert client.get(f"{client.act}/insights", time_range=span, time_increment="1") == {"data": []}
    several = json.dumps(
        [{"since": "2025-06-01", "until": "2025-06-02"}, {"since": "2025-07-01", "until": "2025-07-01"}]
    )
    assert spans(client, time_ranges=several) == [("2025-06-01", "2025-06-02"), ("2025-07-01", "2025-07-01")]


@pytest.mark.parametrize(
    ("operator", "value", "keeps"),
    [
        ("GREATER_THAN", 500, lambda s: s > 500),
        ("GREATER_THAN_OR_EQUAL", "500.5", lambda s: s >= 500.5),
        ("LESS_THAN", 500, lambda s: s < 500),
        ("LESS_THAN_OR_EQUAL", 500, lambda s: s <= 500),
        ("IN_RANGE", [100, 900], lambda s: 100 <= s <= 900),
        ("NOT_IN_RANGE", ["100", "900"], lambda s: not 100 <= s <= 900),
        ("NOT_EQUAL", 0, lambda s: s != 0),
    ],
)
@pytest.mark.parametrize("field", ["spend", "ad.spend"])
def test_rows_are_filtered(
    client: Any, field: str, operator: str, value: Any, keeps: Callable[[float], bool]
) -> None:
    query = {"level": "ad", "fields": "ad_id,spend", "date_preset": "last_7d"}
    every = client.rows(f"{client.act}/insights", **query)
    condition = [{"field": field, "operator": operator, "value": value}]
    kept = client.rows(f"{client.act}/insights", filtering=condition, **query)
    assert kept == [row for row in every if keeps(float(row["spend"]))]


def test_rows_are_filtered_by_their_objects(client: Any) -> None:
    campaigns = client.account.of_kind("campaign")
    query = {"level": "campaign", "fields": "campaign_id,campaign_name,spend"}
    every = client.rows(f"{client.act}/insights", **query)

    def ids(*condition: Any) -> list[str]:
        filtering = [dict(zip(("field", "operator", "value"), condition, strict=True))]
        return [
            row["campaign_id"] for row in client.rows(f"{client.act}/insights", filtering=filtering, **query)
        ]

    one = every[0]["campaign_id"]
    rest = [row["campaign_id"] for row in every[1:]]
    assert ids("campaign.id", "IN", [one]) == [one]
    assert ids("campaign.id", "EQUAL", int(one)) == [one]
    assert ids("campaign.id", "NOT_IN", [one]) == rest
    word = campaigns[0].name.split()[0]
    named = [row["campaign_id"] for row in every if word in row["campaign_name"]]
    assert ids("campaign.name", "CONTAIN", word.upper()) == named
    assert sorted(ids("campaign.name", "NOT_CONTAIN", word) + named) == sorted([one, *rest])
    client.post(one, status="PAUSED")
    assert one in ids("ad.effective_status", "IN", ["CAMPAIGN_PAUSED"])
    ads = client.account.below(client.account.nodes[one], "ad")
    filtering = [{"field": "ad.id", "operator": "IN", "value": [ads[0].id]}]
    part = client.rows(f"{client.act}/insights", filtering=filtering, **query)
    assert [row["spend"] for row in part] == [
        row["spend"] for row in client.rows(f"{ads[0].id}/insights", fields="spend")
    ]


BAD = [
    {"date_preset": "last_60d"},
    {"date_preset": "lifetime"},
    {"time_range": "{"},
    {"time_range": '{"since":"2025-07-09"}'},
    {"time_range": '{"since":"2025-07-09","until":"2025-07-01"}'},
    {"time_range": '{"since":"2025-02-30","until":"2025-07-01"}'},
    {"time_range": '{"since":20250101,"until":"2025-07-01"}'},
    {"time_range": '["2025-01-01","2025-01-02"]'},
    {"time_ranges": "[]"},
    {"time_increment": "0"},
    {"time_increment": "91"},
    {"time_increment": "-1"},
    {"time_increment": "weekly"},
    {"time_increment": "1.5"},
    {"level": "adgroup"},
    {"breakdowns": "zodiac"},
    {"breakdowns": "age,country"},
    {"breakdowns": "platform_position"},
    {"breakdowns": "[[]]"},
    {"filtering": "[{}]"},
    {"filtering": "{}"},
    {"filtering": '[{"field":"spend","operator":"ABOVE","value":1}]'},
    {"filtering": '[{"field":"spend","operator":"GREATER_THAN","value":"NaN"}]'},
    {"filtering": '[{"field":"spend","operator":"GREATER_THAN","value":"x"}]'},
    {"filtering": '[{"field":"spend","operator":"GREATER_THAN","value":true}]'},
    {"filtering": '[{"field":"spend","operator":"GREATER_THAN","value":[1,2]}]'},
    {"filtering": '[{"field":"spend","operator":"IN_RANGE","value":1}]'},
    {"filtering": '[{"field":"height","operator":"EQUAL","value":1}]'},
    {"filtering": '[{"field":"campaign.name","operator":"GREATER_THAN","value":1}]'},
    {"filtering": '[{"field":"spend","operator":"EQUAL","value":1e999}]'},
    {"sort": "spend"},
    {"sort": '["height_descending"]'},
    {"action_attribution_windows": '["2d_click"]'},
    {"action_breakdowns": "action_color"},
    {"limit": "0"},
    {"limit": "-3"},
    {"limit": "many"},
    {"limit": "1e3"},
    {"fields": "impressions,height"},
    {"fields": "["},
    {"fields": "[" * 3000},
    {"filtering": "[" * 3000},
]


@pytest.mark.parametrize("params", BAD, ids=lambda each: json.dumps(each)[:60])
def test_a_bad_parameter_is_named(client: Any, params: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        if method == "POST" and {"limit", "summary"} & set(params):
            continue
        reply = client.reply(method, f"{client.act}/insights", params)
        assert (reply.status, reply.body["error"]["code"]) == (400, 100), reply.body
        assert reply.body["error"]["type"] == "OAuthException"


def test_the_clock_is_moved_by_control_calls_only(client: Any) -> None:
    before = client.account.today
    assert client.control("POST", "advance", days=2)["today"] == date.fromordinal(before + 2).isoformat()
    assert client.control("POST", "advance", seconds=86399)["seconds"] == 86399
    moved = client.control("POST", "advance", seconds=1)
    assert (moved["seconds"], client.account.today) == (0, before + 3)
    for bad in ({"days": -1}, {"days": 401}, {"days": "x"}, {}, {"days": 1, "seconds": 1}):
        assert client.control("POST", "advance", **bad)["error"]["code"] == 100
    assert client.control("GET", "elsewhere")["error"]["code"] == 100
    assert client.account.today == before + 3


def test_old_ranges_lose_what_is_not_kept(client: Any) -> None:
    client.control("POST", "advance", days=300)
    old = {"since": "2025-07-01", "until": "2025-07-09"}
    asked = {"fields": "impressions,reach,frequency,cpp", "time_range": old}
    hours = "hourly_stats_aggregated_by_advertiser_time_zone"
    assert "reach" in client.get(f"{client.act}/insights", **asked)["data"][0]
    assert client.get(f"{client.act}/insights", breakdowns=hours, **asked)["data"]
    client.control("POST", "advance", days=150)
    assert set(client.get(f"{client.act}/insights", **asked)["data"][0]) == {
        "impressions",
        "date_start",
        "date_stop",
    }
    assert client.get(f"{client.act}/insights", breakdowns=hours, **asked) == {"data": []}


def test_a_program_may_use_the_account_beside_the_server(http: httpx.Client, account: Account) -> None:
    node = account.of_kind("campaign")[0]
    path = f"/{node.id}?fields=name,status"
    before = http.get(path, params={"fields": "name"}).json()
    account.change(node, name="by hand")
    assert http.get(path, params={"fields": "name"}).json()["name"] == "by hand"
    account.reset()
    assert http.get(path, params={"fields": "name"}).json() == before
    account.change(account.node(node.id), name="again")
    assert http.get(path, params={"fields": "name"}).json()["name"] == "again"


def test_fields_without_a_value_are_left_out_of_the_row(client: Any) -> None:
    asked = {"level": "ad", "date_preset": "last_30d"}
    (plain, *_) = client.get(f"{client.act}/insights", fields="ad_id,actions", **asked)["data"]
    for name in sorted(SILENT):
        (row, *_) = client.get(f"{client.act}/insights", fields=f"ad_id,actions,{name}", **asked)["data"]
        assert row == plain, name


def test_a_metric_that_does_not_exist_is_no_list_of_actions() -> None:
    row = Row(None, (1, 1), (), [1] * 9, 1)
    for name in (*sorted(SILENT), "height"):
        with pytest.raises(KeyError):
            metric(row, name, ())
    for name in sorted(NUMBERS | LISTS):
        assert metric(row, name, ())


@pytest.mark.parametrize("edge", ["ads", "insights"])
@pytest.mark.parametrize("cursor", ["x", "Y3Vyc29yOjk5OTk5", "Y3Vyc29yOg", "\u00e9"])
def test_the_cursor_that_is_wrong_is_blamed(client: Any, edge: str, cursor: str) -> None:
    for name in ("after", "before"):
        error = client.get(f"{client.act}/{edge}", **{name: cursor})["error"]
        assert error["error_data"] == {"blame_field_specs": [[name]]}


def test_a_range_into_the_future_is_repeated_as_asked_and_holds_nothing_after_yesterday(client: Any) -> None:
    today = client.account.today
    since, yesterday, later = (date.fromordinal(today + each).isoformat() for each in (-5, -1, 30))

    def row(until: str) -> Any:
        span = {"since": since, "until": until}
        asked = {"fields": "spend,impressions,actions", "time_range": span}
        (only,) = client.get(f"{client.act}/insights", **asked)["data"]
        return only

    assert row(later) == {**row(yesterday), "date_stop": later}
