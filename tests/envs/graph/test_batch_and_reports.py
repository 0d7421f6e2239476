"""Batches item by item, and reports poll by poll."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from opoi_envs.ads.graph.faults import Faults
from opoi_envs.ads.graph.reports import STAGES


def batch(client: Any, *items: Any, **params: Any) -> list[Any]:
    answer = client.post("v26.0/", batch=list(items), **params)
    assert isinstance(answer, list), answer
    return answer


def item(method: str, url: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "relative_url": url, **more}


def test_items_are_answered_in_order_each_with_its_own_code(client: Any) -> None:
    node = client.account.of_kind("campaign")[0]
    answers = batch(
        client,
        item("GET", f"{node.id}?fields=name"),
        item("GET", "/v25.0/77"),
        item("POST", node.id, body=f"name={quote('A & B')}"),
        item("GET", f"/{node.id}/?fields=name"),
        item("DELETE", node.id),
        "nonsense",
        item("PATCH", node.id),
        item("GET", "me", headers=[]),
        item("POST", "", body="batch=[]"),
        {"method": "GET"},
    )
    assert [each["code"] for each in answers] == [200, 400, 200, 200, 200, 400, 400, 200, 400, 400]
    bodies = [json.loads(each["body"]) for each in answers]
    assert (
        bodies[0] == {"name": client.api.site.account.world.focus.name, "id": node.id}
        or bodies[0]["id"] == node.id
    )
    assert bodies[1]["error"]["error_subcode"] == 33
    assert bodies[3]["name"] == "A & B"
    assert bodies[4] == {"success": True}
    names = {each["name"] for each in answers[0]["headers"]}
    assert {"Content-Type", "X-Business-Use-Case-Usage"} <= names
    assert "headers" not in batch(client, item("GET", "me"), include_headers="false")[0]


def test_later_items_use_earlier_answers(client: Any) -> None:
    answers = batch(
        client,
        item("GET", f"{client.act}/campaigns?limit=2", name="list"),
        item("GET", "{result=list:$.data[0].id}?fields=name"),
        item("GET", "?ids={result=list:$.data.*.id}"),
        item(
            "POST",
            f"{client.act}/campaigns",
            name="made",
            body="name=x&objective=OUTCOME_SALES&special_ad_categories=[]&daily_budget=5000",
        ),
        item(
            "POST",
            quote("{result=made:$.id}", safe="{}"),
            body="name=%7Bresult%3Dlist%3A%24.data%5B1%5D.id%7D",
        ),
        item("GET", "{result=made:$.nothing}"),
        item("GET", "{result=missing:$.id}"),
        item("GET", "{result=list:$.data[9].id}"),
        item("GET", "{result=list:$..id}"),
    )
    assert [each["code"] for each in answers] == [200, 200, 200, 200, 200, 400, 400, 400, 400]
    listed = [row["id"] for row in json.loads(answers[0]["body"])["data"]]
    assert json.loads(answers[1]["body"])["id"] == listed[0]
    assert list(json.loads(answers[2]["body"])) == listed
    made = json.loads(answers[3]["body"])["id"]
    assert client.account.nodes[made].name == listed[1]


def test_an_answer_can_be_omitted_and_an_item_can_be_left_out(make: Callable[..., Any]) -> None:
    client = make()
    answers = batch(
        client,
        item("GET", "me", name="a", omit_response_on_success=True),
        item("GET", "77", omit_response_on_success=True),
        item("GET", "{result=a:$.id}"),
    )
    assert answers[0] is None
    assert [each["code"] for each in answers[1:]] == [400, 400]
    client = make(faults=Faults(at={2: "unanswered"}))
    ad = client.account.of_kind("ad")[0]
    before = ad.name
    answers = batch(client, item("GET", "me"), item("POST", ad.id, body="name=x"), item("GET", "me"))
    assert [each is None for each in answers] == [False, True, False]
    assert ad.name == before


@pytest.mark.parametrize("value", ["[]", "{}", "7", "[", '"a"', json.dumps([{}] * 51)])
def test_a_batch_that_cannot_be_read_is_refused_whole(client: Any, value: str) -> None:
    assert client.post("", batch=value)["error"]["code"] == 100


def test_a_report_keeps_the_rows_of_its_start(client: Any) -> None:
    asked = {"level": "ad", "date_preset": "last_7d", "fields": '["ad_id","actions"]', "time_increment": "1"}
    direct = client.rows(f"{client.act}/insights", **asked)
    run = client.post(f"{client.act}/insights", **asked)["report_run_id"]
    again = client.post(f"{client.act}/insights", **asked)["report_run_id"]
    assert run.isdigit()
    assert run != again
    client.control("POST", "advance", days=3)
    for status, percent in (*STAGES, STAGES[-1]):
        if status != "Job Completed":
            error = client.get(f"{run}/insights")["error"]
            assert (error["code"], error["error_subcode"]) == (2601, 1815107)
        shown = client.get(run)
        assert list(shown) == [
            *("id", "account_id", "time_ref", "async_status", "async_percent_completion"),
            *("date_start", "date_stop"),
        ]
        assert (shown["async_status"], shown["async_percent_completion"]) == (status, percent)
    assert client.rows(f"{run}/insights", limit="3") == direct
    assert client.get(run, fields="async_status") == {"id": run, "async_status": "Job Completed"}
    assert client.get(run, fields="height")["error"]["code"] == 100
    assert client.post(run, name="x")["error"]["error_subcode"] == 33
    client.control("POST", "advance", days=26)
    assert "error" not in client.get(run)
    client.control("POST", "advance", days=1)
    assert client.get(run)["error"]["error_subcode"] == 33


def test_a_report_works_on_more_rows_than_a_call(client: Any) -> None:
    asked = {
        "level": "ad",
        "date_preset": "maximum",
        "time_increment": "1",
        "breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone",
    }
    assert client.get(f"{client.act}/insights", **asked)["error"]["error_subcode"] == 1487534
    assert "report_run_id" in client.post(f"{client.act}/insights", **asked)


def test_a_failed_report_says_why_since_v25(make: Callable[..., Any]) -> None:
    client = make(faults=Faults(at={1: "report_failed"}))
    run = client.post(f"{client.act}/insights")["report_run_id"]
    for _ in range(4):
        shown = client.get(f"v25.0/{run}")
    assert shown["async_status"] == "Job Failed"
    assert shown["error_code"] == 100
    assert "error_code" not in client.get(f"v24.0/{run}")
    assert "error" in client.get(f"{run}/insights")


def test_items_that_cannot_be_read_have_the_usage_headers_too(client: Any) -> None:
    answers = batch(client, item("GET", "me"), "nonsense", item("PATCH", "me"), item("GET", "{result=a:$.b}"))
    names = [{header["name"] for header in each["headers"]} for each in answers]
    assert len(names[0]) == 5
    assert names == names[:1] * 4
    assert list(answers[1]) == list(answers[0]) == ["code", "headers", "body"]
    traces = {json.loads(each["body"])["error"]["fbtrace_id"] for each in answers[1:]}
    assert len(traces) == 3
