"""Nothing that a client sends brings out an unexpected failure, or anything but JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph.api import Api
from opoi_envs.ads.graph.app import application
from opoi_envs.ads.graph.openapi import schema as document
from opoi_envs.ads.graph.query import BREAKDOWNS, INSIGHT_FIELDS
from opoi_envs.ads.graph.writes import CREATABLE
from opoi_envs.ads.world.world import World

TOKEN = "a-token"
WORLD = World(9, campaigns=3)
APP = application(Api(Account(WORLD), TOKEN))
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries below schemathesis
@SCHEMA.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_of_the_schema_fails_the_server(case: schemathesis.Case) -> None:
    answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
    case.validate_response(answer, checks=[not_a_server_error])
    assert answer.headers["content-type"][0] == "application/json"


ODD = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *("[]", "{}", "[[[", "{'a':", "NaN", "Infinity", "-1", "0", "1e999", "9" * 40, "null", "true"),
            *(
                "[null]",
                '[{"field":null}]',
                '{"since":null,"until":null}',
                "\x00",
                "\ud7ff",
                "é",
                "a.b(c)",
                "a{b}",
            ),
            *('{"since":"0001-01-01","until":"9999-12-31"}', '{"since":"2025-06-01","until":"9999-12-31"}'),
            *(
                '{"creative_id":{}}',
                '{"age_min":1e99}',
                "0001-01-01",
                "9999-12-31T23:59:59+0000",
                "99999999999999",
            ),
            *('[{"adset_id":{},"daily_budget":[]}]', '["\\ud800"]', "insights{spend}", "ads.limit(0){id}"),
            *(
                '[{"field":"spend","operator":"IN","value":[]}]',
                '[{"field":"id","operator":"IN","value":[{}]}]',
            ),
            *(
                '[{"field":"reach","operator":"NOT_IN_RANGE","value":["1",2.5]}]',
                "reach_descending",
                "1",
                "monthly",
            ),
            *('["ACTIVE","DELETED"]', '["ad_name_ascending","cpc_descending"]', "maximum", "ad", "this_year"),
        ]
    ),
    st.sampled_from(sorted(INSIGHT_FIELDS)),
    st.sampled_from(sorted(BREAKDOWNS)),
)
NAMES = st.sampled_from(
    sorted(
        {name for readers in CREATABLE.values() for name in readers}
        | {"fields", "limit", "after", "before", "summary", "filtering", "sort", "level", "breakdowns", "ids"}
        | {
            "time_range",
            "time_ranges",
            "time_increment",
            "date_preset",
            "effective_status",
            "batch",
            "method",
        }
        | {"action_attribution_windows", "adset_budgets", "execution_options", "days", "seconds", "nonsense"}
    )
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    node=st.sampled_from(["act", "campaign", "adset", "ad", "me", "x", ""]),
    edge=st.sampled_from(["", "campaigns", "adsets", "ads", "insights", "adaccounts", "x"]),
    params=st.dictionaries(NAMES, ODD, max_size=4),
)
def test_odd_values_get_answers(
    make: Callable[..., Any], method: str, node: str, edge: str, params: dict[str, str]
) -> None:
    client = make()
    account = client.account
    known = {"act": client.act, **{kind: account.of_kind(kind)[0].id for kind in ("campaign", "adset", "ad")}}
    path = "/".join(filter(None, ["v26.0", known.get(node, node), edge]))
    before = client.state()
    reply = client.reply(method, path, params)
    msgspec.json.encode(reply.body)
    assert reply.status in (200, 400, 404)
    if reply.status != 200:
        assert set(reply.body) == {"error"}
        assert client.state() == before


PATHS = (
    *("/%00", "/%ff%fe", "/v26.0/%2F%2F", "/" + "a" * 3000, "/act_1%0d%0a", "/v99999.0/x", "/?%ff=%fe&&=&a"),
    *("/v1.0/🙂", "/control", "/control/", "/control/state/more", "/graph", "/v26.0"),
)
TYPES = ("application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain", "", "é")
BODIES = (
    *(b"", b"{", b"[1]", b"\xff\xfe", b'{"name":null}', b'{"name":{"a":NaN}}', b"--x\r\n\r\n--x--"),
    *(b"[" * 5000, b"name=", b"a=%zz&%"),
)


def test_odd_paths_get_json(http: httpx.Client) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "PURGE"):
            answer = http.request(method, path)
            assert answer.status_code == 400, (method, path)
            assert answer.json()["error"]["fbtrace_id"]
        assert http.head(path).status_code == 400


def test_odd_bodies_get_json(http: httpx.Client, account: Account) -> None:
    node = account.of_kind("ad")[0]
    before = node.name
    for kind in TYPES:
        for body in BODIES:
            answer = http.post(f"/{node.id}", content=body, headers={"content-type": kind.encode()})
            assert answer.status_code == 400, (kind, body)
            assert answer.json()["error"]["code"] == 100
            assert node.name == before


def test_a_failure_of_the_program_is_json_too(account: Account, token: str, monkeypatch: Any) -> None:
    api = Api(account, token)
    monkeypatch.setattr(api, "handle", lambda call: 1 / 0)
    transport = httpx.ASGITransport(application(api), raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            return await client.get("/v26.0/1")

    import asyncio

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == 1
    assert dict(answer.headers).keys() >= {name.lower() for name, _ in api.headers()}


def test_the_document_names_the_paths_of_the_account() -> None:
    paths = document("act_5")["paths"]
    assert "/v26.0/{id}/insights" in paths
    assert "post" in paths["/v26.0/act_5/campaigns"]


def raw(url: str, request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Send bytes as they are; return status line, headers and body."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request + b" HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = dict(line.decode().lower().split(": ", 1) for line in lines)
    return status, headers, body


@pytest.mark.parametrize(
    "target", [b"*", b"http://elsewhere/x", b"http://elsewhere", b"local:80", b"x", b"//"]
)
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"DELETE", b"BREW"])
def test_odd_targets_get_json(url: str, method: bytes, target: bytes) -> None:
    status, headers, body = raw(url, method + b" " + target)
    assert status.split()[1] == b"400"
    assert headers["content-type"] == "application/json"
    assert "x-app-usage" in headers
    assert msgspec.json.decode(body)["error"]["fbtrace_id"]


def test_a_whole_url_is_answered_like_its_path(url: str, token: str, account: Account) -> None:
    target = f"/v26.0/{account.of_kind('ad')[0].id}?fields=name&access_token={token}".encode()
    whole = raw(url, b"GET http://elsewhere" + target)
    assert whole[0].split()[1] == b"200"
    assert whole[2] == raw(url, b"GET " + target)[2]
