"""Section 9 of the contract: every case that can occur is provoked over HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from facebook_business.exceptions import FacebookRequestError

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph.errors import CASES, trace_id
from opoi_envs.ads.graph.faults import Faults
from opoi_envs.ads.graph.limits import Limits
from opoi_envs.ads.graph.server import serve
from opoi_envs.ads.world.world import World

OAUTH, METHOD = "OAuthException", "GraphMethodException"
Expected = tuple[int, int | None, str, int]


def checked(answer: httpx.Response, expected: Expected) -> dict[str, Any]:
    error = answer.json()["error"]
    found = (error["code"], error.get("error_subcode"), error["type"], answer.status_code)
    assert found == expected, error
    assert set(answer.json()) == {"error"}
    assert error["message"]
    assert error["fbtrace_id"].startswith("A")
    assert "x-business-use-case-usage" in answer.headers
    assert answer.headers["content-type"] == "application/json"
    read = FacebookRequestError("failed", {}, answer.status_code, dict(answer.headers), answer.text)
    assert read.api_error_code() == expected[0]  # the SDK reads the body without trouble
    return error


OCCURRING: list[tuple[str, Callable[[httpx.Client, dict[str, str]], httpx.Response], Expected]] = [
    (
        "token missing",
        lambda c, n: c.get(f"/{n['act']}", headers={"Authorization": ""}),
        (2500, None, OAUTH, 400),
    ),
    (
        "token invalid",
        lambda c, n: c.get(f"/{n['act']}?access_token=x"),
        (190, None, OAUTH, 400),
    ),
    ("no such field", lambda c, n: c.get(f"/{n['act']}?fields=height"), (100, None, OAUTH, 400)),
    ("no such insight", lambda c, n: c.get(f"/{n['act']}/insights?fields=height"), (100, None, OAUTH, 400)),
    ("no such field below", lambda c, n: c.get(f"/{n['act']}/ads?fields=height"), (100, None, OAUTH, 400)),
    ("bad enum", lambda c, n: c.get(f"/{n['act']}/insights?date_preset=last_60d"), (100, None, OAUTH, 400)),
    (
        "bad status in a list",
        lambda c, n: c.get(f"/{n['act']}/campaigns", params={"effective_status": '["ON"]'}),
        (100, None, OAUTH, 400),
    ),
    ("unknown id", lambda c, n: c.get("/123456789"), (100, 33, METHOD, 400)),
    ("another account", lambda c, n: c.get("/act_1/campaigns"), (100, 33, METHOD, 400)),
    ("unknown edge", lambda c, n: c.get(f"/{n['act']}/adimages"), (100, 33, METHOD, 400)),
    ("edge of another level", lambda c, n: c.get(f"/{n['ad']}/adsets"), (100, 33, METHOD, 400)),
    ("unknown method", lambda c, n: c.put(f"/{n['ad']}"), (100, 33, METHOD, 400)),
    ("too deep", lambda c, n: c.get(f"/{n['ad']}/insights/more"), (100, 33, METHOD, 400)),
    ("nothing asked", lambda c, n: c.get("/v26.0/"), (100, 33, METHOD, 400)),
    ("account deleted", lambda c, n: c.delete(f"/{n['act']}"), (100, 33, METHOD, 400)),
    ("unknown among ids", lambda c, n: c.get(f"/?ids={n['ad']},99"), (803, None, OAUTH, 404)),
    (
        "budget too low",
        lambda c, n: c.post(f"/{n['shared']}", data={"daily_budget": 99}),
        (100, 1885272, OAUTH, 400),
    ),
    (
        "budget too high",
        lambda c, n: c.post(f"/{n['shared']}", data={"daily_budget": 100_000_001}),
        (100, 1885261, OAUTH, 400),
    ),
    (
        "budget on an ad set of a campaign with one",
        lambda c, n: c.post(f"/{n['below']}", data={"daily_budget": 5000}),
        (100, None, OAUTH, 400),
    ),
    (
        "budget on a campaign of ad sets with their own",
        lambda c, n: c.post(f"/{n['apart']}", data={"daily_budget": 5000}),
        (100, None, OAUTH, 400),
    ),
    (
        "write to a deleted ad set",
        lambda c, n: c.post(f"/{n['gone']}", data={"name": "x"}),
        (100, 1487056, OAUTH, 400),
    ),
    (
        "too much data",
        lambda c, n: c.get(
            f"/{n['act']}/insights?level=ad&breakdowns=hourly_stats_aggregated_by_advertiser_time_zone"
            "&time_increment=1&date_preset=maximum"
        ),
        (100, 1487534, OAUTH, 400),
    ),
    (
        "too far back",
        lambda c, n: c.get(
            f"/{n['act']}/insights", params={"time_range": '{"since":"2020-01-01","until":"2020-01-02"}'}
        ),
        (3018, None, OAUTH, 400),
    ),
    (
        "malformed JSON",
        lambda c, n: c.post(f"/{n['ad']}", content=b"{", headers={"content-type": "application/json"}),
        (100, None, OAUTH, 400),
    ),
    ("malformed batch", lambda c, n: c.post("/", data={"batch": "{"}), (100, None, OAUTH, 400)),
    (
        "batch too large",
        lambda c, n: c.post("/", data={"batch": json.dumps([{"method": "GET", "relative_url": "me"}] * 51)}),
        (100, None, OAUTH, 400),
    ),
]


@pytest.fixture(scope="module")
def mixed() -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """A server whose account has budgets on both levels and a deleted ad set, and the ids to ask for."""
    for seed in range(50):
        account = Account(World(seed, campaigns=7))
        campaigns = account.of_kind("campaign")
        apart = [node for node in campaigns if node.budget_cents is None]
        shared = [node for node in campaigns if node.budget_cents is not None]
        if apart and len(shared) > 1:
            break
    gone = account.nodes[shared[1].children[0]]
    account.change(gone, status="DELETED")
    names = {
        "act": account.world.advertiser.id,
        "apart": apart[0].id,
        "shared": shared[0].id,
        "below": shared[0].children[0],
        "ad": account.nodes[apart[0].children[0]].children[0],
        "gone": gone.id,
    }
    with (
        serve(account, "t") as url,
        httpx.Client(
            base_url=f"{url}/v26.0", trust_env=False, headers={"Authorization": "Bearer t"}
        ) as client,
    ):
        yield client, names


@pytest.mark.parametrize(("name", "ask", "expected"), OCCURRING, ids=[each[0] for each in OCCURRING])
def test_each_case_has_its_codes(
    mixed: tuple[httpx.Client, dict[str, str]], name: str, ask: Any, expected: Expected
) -> None:
    client, names = mixed
    error = checked(ask(client, names), expected)
    if name == "bad enum":
        assert error["message"].startswith("(#100) date_preset must be one of the following values: today, ")
    if name == "no such field":
        assert (
            error["message"] == "(#100) Tried accessing nonexisting field (height) on node type (AdAccount)"
        )
    if name == "budget too low":
        assert error["error_user_title"] == "Budget is too low"
        assert error["error_data"] == {"blame_field_specs": [["daily_budget"]]}


TABLE: dict[str, Expected] = {
    "token_required": (104, None, OAUTH, 400),
    "token_expired": (190, 463, OAUTH, 400),
    "password_changed": (190, 460, OAUTH, 400),
    "app_removed": (190, 458, OAUTH, 400),
    "checkpoint": (190, 459, OAUTH, 400),
    "too_slow": (100, 1504018, OAUTH, 400),
    "timed_out": (2, 1504038, OAUTH, 500),
    "app_permission": (10, None, OAUTH, 403),
    "object_permission": (200, None, OAUTH, 403),
    "ads_management": (294, None, OAUTH, 403),
    "policy_block": (368, None, OAUTH, 400),
    "app_limit": (4, 1504022, OAUTH, 400),
    "app_limit_global": (4, 1504039, OAUTH, 400),
    "user_limit": (17, 2446079, OAUTH, 400),
    "page_limit": (32, None, OAUTH, 400),
    "account_limit": (613, 1487742, OAUTH, 400),
    "unknown": (1, None, OAUTH, 500),
    "transient": (2, 1504043, OAUTH, 500),
    "unanswered": (2, 1504043, OAUTH, 500),
}


def test_what_only_a_real_server_would_do_can_be_switched_on(account: Account, token: str) -> None:
    plan = Faults(at=dict(enumerate(TABLE, start=1)))
    act = account.world.advertiser.id
    with (
        serve(account, token, faults=plan) as url,
        httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as client,
    ):
        for name, expected in TABLE.items():
            error = checked(client.get(f"/v26.0/{act}"), expected)
            assert error.get("is_transient", False) == (
                expected[3] == 500 or ("limit" in name and "account" not in name)
            )
        assert client.get(f"/v26.0/{act}").json() == {"id": act}


def test_every_case_of_the_table_is_provoked_somewhere() -> None:
    direct = {
        *("token_missing", "token_invalid", "invalid", "unknown_object", "unknown_in_ids", "budget_too_low"),
        *("budget_too_high", "budget_elsewhere", "deleted", "too_much_data", "too_far_back"),
    }
    in_other_files = {"budget_limit", "write_limit", "insights_limit", "management_limit", "report_not_ready"}
    assert set(CASES) == direct | in_other_files | (set(TABLE) - {"unanswered"})


def limited(account: Account, **options: Any) -> Limits:
    return Limits(on=True, tier="development_access", **options)


def test_quotas_are_kept_apart_and_come_back_with_the_clock(account: Account, token: str) -> None:
    act = account.world.advertiser.id
    quota = 300 + 40 * sum(account.runs(ad) for ad in account.of_kind("ad"))
    with (
        serve(account, token, limits=limited(account)) as url,
        httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as client,
    ):
        for _ in range(quota):
            last = client.get(f"/{act}/insights?date_preset=yesterday")
        usage = json.loads(last.headers["x-business-use-case-usage"])[act.removeprefix("act_")]
        assert {each["type"]: each["call_count"] for each in usage} == {
            "ads_insights": 100,
            "ads_management": 0,
        }
        assert usage[0]["estimated_time_to_regain_access"] > 0
        assert json.loads(last.headers["x-ad-account-usage"])["acc_id_util_pct"] == 100
        checked(client.get(f"/{act}/insights"), (80000, 2446079, OAUTH, 400))
        assert client.get(f"/{act}").status_code == 200
        for _ in range(quota - 1):
            client.get(f"/{act}")
        checked(client.get(f"/{act}"), (80004, 2446079, OAUTH, 400))
        client.post("/control/advance", params={"seconds": 3599})
        checked(client.get(f"/{act}"), (80004, 2446079, OAUTH, 400))
        client.post("/control/advance", params={"seconds": 1})
        assert client.get(f"/{act}").status_code == 200


def test_a_budget_changes_four_times_an_hour_and_refused_writes_do_not_count(
    make: Callable[..., Any],
) -> None:
    client = make(limits=Limits(on=True))
    node = next(each for each in client.account.of_kind("campaign") if each.budget_cents is not None)
    for number in range(4):
        client.post(node.id, daily_budget="1")
        client.post(node.id, daily_budget=str(5000 + number), execution_options='["validate_only"]')
        assert client.post(node.id, daily_budget=str(5000 + number)) == {"success": True}
        client.control("POST", "advance", seconds=600)
    before = client.state()
    error = client.post(node.id, daily_budget="7000")["error"]
    assert (error["code"], error["error_subcode"]) == (613, 1487632)
    assert client.state() == before
    assert client.post(node.id, name="still allowed") == {"success": True}
    client.control("POST", "advance", seconds=2999)
    assert "error" in client.post(node.id, daily_budget="7000")
    client.control("POST", "advance", seconds=1)
    assert client.post(node.id, daily_budget="7000") == {"success": True}


def test_a_hundred_writes_fit_into_a_second(make: Callable[..., Any]) -> None:
    client = make(limits=Limits(on=True))
    ad = client.account.of_kind("ad")[0]
    for number in range(100):
        assert client.post(ad.id, name=f"n{number}") == {"success": True}
    error = client.post(ad.id, name="more")["error"]
    assert (error["code"], error["error_subcode"]) == (613, 5044001)
    client.control("POST", "advance", seconds=1)
    assert client.post(ad.id, name="more") == {"success": True}


def test_without_the_switch_nothing_is_limited(client: Any) -> None:
    ad = client.account.of_kind("ad")[0]
    for number in range(300):
        assert client.post(ad.id, name=f"n{number}") == {"success": True}
    headers = dict(client.reply("GET", ad.id, {}).headers)
    assert json.loads(headers["X-App-Usage"]) == {"call_count": 0, "total_cputime": 0, "total_time": 0}
    assert {"X-Ad-Account-Usage", "x-fb-ads-insights-throttle"} <= set(headers)


def test_faults_follow_from_the_seed_and_the_number_of_the_request(make: Callable[..., Any]) -> None:
    plan = Faults(seed=4, rates={"transient": 0.2, "insights_limit": 0.1}, delay=0.0)

    def codes(client: Any) -> list[int]:
        return [client.get(client.act).get("error", {}).get("code", 0) for _ in range(200)]

    client = make(faults=plan)
    one = codes(client)
    client.control("POST", "reset")
    assert codes(client) == one == codes(make(faults=plan))
    assert 25 <= one.count(2) <= 55
    assert 8 <= one.count(80000) <= 35


def test_a_failed_write_wrote_nothing_and_a_slow_answer_is_the_same(make: Callable[..., Any]) -> None:
    client = make(faults=Faults(at={1: "transient", 3: "slow"}, delay=0.01))
    ad = client.account.of_kind("ad")[0]
    before = client.state()
    assert client.post(ad.id, name="x")["error"]["is_transient"]
    assert client.state() == before
    plain, slow = (client.reply("GET", ad.id, {"fields": "name"}) for _ in range(2))
    assert (plain.body, plain.delay, slow.delay) == (slow.body, 0.0, 0.01)


def test_the_trace_follows_from_the_request(client: Any) -> None:
    def trace(path: str, **params: Any) -> str:
        return str(client.get(path, **params)["error"]["fbtrace_id"])

    assert trace("1") == trace("1") == trace("1", access_token="any")
    assert len({trace("1"), trace("2"), trace("1", fields="name"), trace_id("a", "b"), trace_id("ab")}) == 5


def test_writing_a_budget_as_it_stands_counts_as_no_change(make: Callable[..., Any]) -> None:
    client = make(limits=Limits(on=True))
    node = next(each for each in client.account.of_kind("campaign") if each.budget_cents is not None)
    for _ in range(6):
        assert client.post(node.id, daily_budget=str(node.budget_cents)) == {"success": True}
    assert client.api.limits.budgets == {}
    for number in range(4):
        assert client.post(node.id, daily_budget=str(5000 + number)) == {"success": True}
    assert client.post(node.id, daily_budget="5003", name="same budget") == {"success": True}
    error = client.post(node.id, daily_budget="7000")["error"]
    assert (error["code"], error["error_subcode"]) == (613, 1487632)


def test_another_kind_of_budget_counts_as_a_change(make: Callable[..., Any]) -> None:
    client = make(limits=Limits(on=True))
    node = next(each for each in client.account.of_kind("campaign") if each.budget_cents is not None)
    later = "2035-01-01T00:00:00+0000"
    answer = client.post(node.id, lifetime_budget=str(node.budget_cents), stop_time=later)
    assert answer == {"success": True}
    assert len(client.api.limits.budgets[node.id]) == 1


def test_a_batch_is_held_back_as_long_as_its_slowest_item(make: Callable[..., Any]) -> None:
    client = make(faults=Faults(at={2: "slow", 3: "slow"}, delay=0.5))
    items = [{"method": "GET", "relative_url": url} for url in ("me", "77", "me", "me")]
    assert client.reply("POST", "", {"batch": items}).delay == 0.5
    assert client.reply("POST", "", {"batch": items}).delay == 0.0


def test_a_client_that_hangs_up_in_the_middle_of_a_request_is_nothing_to_log(
    account: Account, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(account, "t") as url:  # after the capture began: its log goes where errors go now
        where = httpx.URL(url)
        with socket.create_connection((where.host, where.port or 0)) as half:
            half.sendall(b"POST /act_1/campaigns HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nname=")
            time.sleep(0.05)  # else the connection is gone before the request is looked at
        assert httpx.get(f"{url}/openapi.json?access_token=t", trust_env=False).status_code == 200
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")
