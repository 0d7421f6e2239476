"""The client's side: what is sent, what is read, and what every failure tells the user."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.errors import EndpointError, UsageError
from opoi.halting import Halt, HaltedError
from opoi.models.endpoint.dialect import Dialect
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.limiter import Limiter
from opoi.models.endpoint.line import HttpLine
from opoi.models.endpoint.model import EndpointModel, connect, list_models
from opoi.models.endpoint.patience import Budget
from opoi.models.urls import is_loopback
from opoi.protocols import Model
from opoi.types import Fact, Message, Reply, ToolCall, ToolSpec, Usage

BASE = "http://127.0.0.1:9/v1"
CHAT = f"{BASE}/chat/completions"
CANARY = "sk-canary-5f1e8d77c0ffee"
TASK = Message(role="user", content="Open the valve?", author="suite")
GAUGE = ToolSpec(name="read_gauge", description="Reads.", parameters={"type": "object"})


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def make() -> Iterator[Callable[..., EndpointModel]]:
    with httpx.Client() as client:  # respx intercepts this one, not the one that a line makes

        def build(**settings: object) -> EndpointModel:
            usual = {"api_key": CANARY, "retries": 0, "timeout": 5.0, "http_client": client}
            return connect(BASE, "tiny", **{**usual, **settings})

        yield build


def completion(content: object = "OK", **message: object) -> dict[str, object]:
    return {
        "choices": [
            {"message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def sent(server: respx.MockRouter, index: int = -1) -> dict[str, object]:
    return json.loads(server.calls[index].request.content)


# ---------------------------------------------------------------- what is sent and read


def test_an_endpoint_is_a_model(make: Callable[..., EndpointModel]) -> None:
    assert isinstance(make(), Model)
    assert make().name == "tiny"


def test_reply_holds_text_reason_and_usage(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(json=completion("hold"))
    assert make().complete([TASK], (), seed=1) == Reply(
        content="hold",
        finish_reason="stop",
        usage=Usage(calls=1, prompt_tokens=7, completion_tokens=3),
    )


def test_request_holds_settings_seed_and_tools_and_no_marks(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(json=completion())
    marked = Message(
        role="tool",
        tool_call_id="call_0",
        content="{}",
        author="env",
        error=True,
        facts=(Fact("g", "pressure", "2025-01-01", 7, "bar"),),
    )
    make(temperature=0.2, max_tokens=9).complete([TASK, marked], [GAUGE], seed=5)
    assert sent(server) == {
        "model": "tiny",
        "seed": 5,
        "temperature": 0.2,
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "Open the valve?"},
            {"role": "tool", "content": "{}", "tool_call_id": "call_0"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "read_gauge",
                    "description": "Reads.",
                    "parameters": {"type": "object"},
                },
            }
        ],
    }
    assert server.calls[0].request.headers["authorization"] == f"Bearer {CANARY}"


def test_none_leaves_a_field_out_and_content_is_never_null(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(json=completion())
    call = ToolCall(id="call_0", name="read_gauge", arguments="{}")
    silent = Message(role="assistant", tool_calls=(call,), author="student")
    extra = {"max_tokens": None, "max_completion_tokens": 5, "top_k": 3}
    make(temperature=None, extra_body=extra).complete([TASK, silent], (), seed=0)
    body = sent(server)
    assert set(body) == {"model", "messages", "seed", "max_completion_tokens", "top_k"}
    assert body["messages"][1]["content"] == ""


@pytest.mark.parametrize("field", ["messages", "model", "n", "seed", "stream", "tools"])
def test_extra_body_cannot_touch_what_opoi_sets(field: str, make: Callable[..., EndpointModel]) -> None:
    with pytest.raises(UsageError, match=field):
        make(extra_body={field: 1})


@settings(deadline=None)  # the first example imports openai
@given(
    texts=st.lists(st.text(), min_size=1, max_size=4),
    seed=st.integers(0, 2**31 - 1),
    answer=st.text(max_size=40),
)
def test_any_text_travels_unchanged(texts: list[str], seed: int, answer: str) -> None:
    seen: list[dict[str, object]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(200, json=completion(answer))

    with httpx.Client(transport=httpx.MockTransport(handle)) as client:
        model = connect(BASE, "tiny", api_key="k", http_client=client)
        messages = [Message(role="user", content=text, author="suite") for text in texts]
        assert model.complete(messages, (), seed=seed).content == answer
    assert [message["content"] for message in seen[0]["messages"]] == texts
    assert seen[0]["seed"] == seed


def test_calls_left_as_text_are_read_only_where_tools_were_offered(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    raw = 'I look.\n<tool_call>\n{"name": "read_gauge", "arguments": {"gauge": "g1"}}\n</tool_call>'
    server.post(CHAT).respond(json=completion(raw))
    reply = make().complete([TASK], [GAUGE], seed=0)
    assert reply.content == "I look."
    assert reply.tool_calls == (ToolCall(id="call_0", name="read_gauge", arguments='{"gauge": "g1"}'),)
    assert reply.finish_reason == "tool_calls"
    assert make().complete([TASK], (), seed=0).content == raw


def test_newer_http_client_works_as_well() -> None:
    httpx2 = pytest.importorskip("httpx2")
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=completion("two")))
    with httpx2.Client(transport=transport) as client:
        model = connect(BASE, "tiny", api_key="k", http_client=client)
        assert model.complete([TASK], (), seed=0).content == "two"

    def refuse(request: object) -> None:
        raise httpx2.ConnectError("refused")

    with httpx2.Client(transport=httpx2.MockTransport(refuse)) as client:
        model = connect(BASE, "tiny", api_key="k", http_client=client, retries=0)
        with pytest.raises(EndpointFaultError, match="cannot connect") as caught:
            model.complete([TASK], (), seed=0)
    assert caught.value.kind == "unreachable"


# ---------------------------------------------------------------- failures

HTML = "<html><title>Welcome to a web server</title></html>"

FAULTS = [
    # answer, kind, fatal, words of the message
    (
        httpx.Response(401, json={"error": {"message": f"bad key {CANARY}"}}),
        "key",
        True,
        "does not accept the key",
    ),
    (httpx.Response(403, json={"error": {"message": "no"}}), "key", True, "HTTP 403"),
    (httpx.Response(404, json={"detail": "Not Found"}), "missing", True, "'tiny'"),
    (httpx.Response(405, text="Method Not Allowed"), "missing", True, "no such path"),
    (httpx.Response(308, headers={"location": "https://x.example/v1"}), "missing", True, "x.example"),
    (
        httpx.Response(400, json={"error": {"message": "request exceeds the available context size"}}),
        "request",
        False,
        "longer than the model's context",
    ),
    (
        httpx.Response(400, json={"error": {"message": '"auto" tool choice requires a parser'}}),
        "request",
        False,
        "--enable-auto-tool-choice",
    ),
    (
        httpx.Response(400, json={"error": {"message": "Unsupported parameter: 'max_tokens'"}}),
        "request",
        False,
        "max_tokens",
    ),
    (httpx.Response(422, json={"detail": "Unexpected fields: seed"}), "request", False, "Unexpected fields"),
    (httpx.Response(429, json={"error": {"message": "slow down"}}), "rate", False, "slow down"),
    (httpx.Response(429, json={"error": {"message": "exceeded your quota"}}), "rate", True, "billing"),
    (httpx.Response(500, json={"error": {"message": "tools need --jinja"}}), "server", False, "--jinja"),
    (httpx.Response(503, text="loading"), "server", False, "Service Unavailable"),
    (httpx.Response(599, text=""), "server", False, "HTTP 599"),
    (httpx.Response(200, text=HTML), "garbage", False, "Welcome"),
    (httpx.Response(200, text=""), "garbage", False, "empty"),
    (httpx.Response(200, json={"ok": True}), "garbage", False, "choices"),
    (httpx.Response(200, json={"choices": []}), "garbage", False, "empty"),
    (httpx.Response(200, json={"error": {"message": "upstream down"}}), "garbage", False, "upstream down"),
    (
        httpx.Response(200, content=b'{"choices": [{"message": {"content": "\xff"}}]}'),
        "garbage",
        False,
        "utf-8",
    ),
    (httpx.Response(200, content=b"[" * 200_000), "garbage", False, "else than was asked for"),
    (httpx.ConnectError(f"refused {CANARY}"), "unreachable", True, "curl"),
    (httpx.ConnectTimeout("slow"), "unreachable", True, "no connection within 5 s"),
    (httpx.ReadTimeout("slow"), "timeout", False, "within 5 s"),
    (httpx.RemoteProtocolError("Server disconnected"), "connection", False, "Server disconnected"),
    (httpx.DecodingError("not gzip"), "garbage", False, "compression"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "fatal", "words"), FAULTS, ids=[f"{i}-{row[1]}" for i, row in enumerate(FAULTS)]
)
def test_every_failure_is_an_endpoint_error_that_says_what_to_do(
    answer: httpx.Response | Exception,
    kind: str,
    fatal: bool,
    words: str,
    server: respx.MockRouter,
    make: Callable[..., EndpointModel],
    caplog: pytest.LogCaptureFixture,
) -> None:
    route = server.post(CHAT)
    route.mock(**({"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer}))
    model = make()
    with caplog.at_level(logging.DEBUG), pytest.raises(EndpointError) as caught:
        model.complete([TASK], (), seed=0)
    fault = caught.value
    assert isinstance(fault, EndpointFaultError)
    assert (fault.kind, fault.fatal) == (kind, fatal)
    assert words in str(fault)
    assert fault.fix
    assert len(fault.why) <= 300
    assert fault.__cause__ is None
    assert fault.__context__ is None
    below = caught.tb.tb_next  # without this test's own locals
    shown = "".join(traceback.TracebackException(type(fault), fault, below, capture_locals=True).format())
    for text in (str(fault), repr(fault), shown, caplog.text, repr(model), repr(vars(fault))):
        assert CANARY not in text


@pytest.mark.parametrize(
    "said",
    [
        "Failed to parse tool call arguments as JSON",
        "The model produced output that does not match the expected peg-native format",
    ],
)
def test_what_a_server_cannot_parse_is_the_models_failure_and_not_the_endpoints(
    said: str, server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(500, json={"error": {"message": said}})
    assert make().complete([TASK], (), seed=0).finish_reason == "unreadable"
    with pytest.raises(EndpointFaultError, match="HTTP 500"):
        make().check()


def test_faults_can_cross_processes() -> None:
    fault = Where(BASE, "tiny", CANARY).status(401, b"no")
    copy = pickle.loads(pickle.dumps(fault))
    assert (str(copy), copy.kind, copy.fatal) == (str(fault), "key", True)


def test_text_that_is_not_unicode_is_said_to_be_so(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(json=completion())
    broken = Message(role="user", content="\ud800", author="suite")
    with pytest.raises(EndpointFaultError, match="cannot be sent"):
        make().complete([broken], (), seed=0)


@given(body=st.binary(max_size=300), code=st.integers(300, 599))
def test_any_error_body_gives_one_short_printable_line(body: bytes, code: int) -> None:
    fault = Where(BASE, "tiny", CANARY).status(code, body + CANARY.encode())
    assert CANARY not in str(fault)
    assert len(fault.why) <= 300
    assert fault.why.isprintable()


class NoWait(Halt):
    """Waits for nothing and remembers for how long it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.check()


PASSING = [
    httpx.Response(503),
    httpx.Response(500, text="oops"),
    httpx.Response(408),
    httpx.Response(409),
    httpx.Response(425),
    httpx.Response(429, headers={"retry-after": "7"}),
    httpx.Response(200, text="<html>"),
    httpx.Response(200, json={"choices": []}),
    httpx.ReadTimeout("slow"),
    httpx.ConnectError("refused"),
    httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
]


@pytest.mark.parametrize("flaw", PASSING, ids=[str(i) for i in range(len(PASSING))])
def test_what_passes_is_tried_again_with_the_same_bytes_and_can_be_switched_off(
    flaw: httpx.Response | Exception, server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    halt = NoWait()
    good = httpx.Response(200, json=completion("third"))
    server.post(CHAT).mock(side_effect=[flaw, flaw, good])
    assert make(retries=2, halt=halt).complete([TASK], (), seed=0).content == "third"
    assert {call.request.content for call in server.calls} == {server.calls[0].request.content}
    if isinstance(flaw, httpx.Response) and "retry-after" in flaw.headers:
        assert 7 <= halt.waits[0] <= 7.7
        assert max(halt.waits) <= 7.7
    else:
        assert len(halt.waits) == 2
        assert 0.375 <= halt.waits[0] <= 0.5 < halt.waits[1] <= 1.0
    server.post(CHAT).mock(side_effect=[flaw, good])
    with pytest.raises(EndpointFaultError):
        make(retries=0).complete([TASK], (), seed=0)


@pytest.mark.parametrize(
    ("code", "lower"), [(429, True), (503, True), (500, False), (502, False), (408, False)]
)
def test_only_too_much_to_do_makes_fewer_calls_at_once(
    code: int, lower: bool, server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    limiter = Limiter(64, start=32)
    server.post(CHAT).respond(code)
    with pytest.raises(EndpointFaultError):
        make(limiter=limiter).complete([TASK], (), seed=0)
    assert (limiter.limit < 32) is lower


def test_a_quota_that_comes_back_in_a_moment_is_waited_for(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    words = {"error": {"message": "You exceeded your current quota, please check your plan and billing."}}
    server.post(CHAT).mock(
        side_effect=[
            httpx.Response(429, json=words, headers={"retry-after": "0.2"}),
            httpx.Response(200, json=completion("later")),
        ]
    )
    assert make(retries=1, halt=NoWait()).complete([TASK], (), seed=0).content == "later"


def events(*objects: object) -> httpx.Response:
    text = "".join(f"data: {json.dumps(each)}\n\n" for each in objects)
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_an_error_in_a_stream_counts_as_the_status_that_it_names(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    route = server.post(CHAT)
    route.mock(return_value=events({"error": {"code": 400, "message": "maximum context length is 9"}}))
    with pytest.raises(EndpointFaultError, match="longer than the model's context") as caught:
        make(retries=2, halt=NoWait(), dialect=Dialect(stream=True)).complete([TASK], (), seed=0)
    assert caught.value.kind == "request"
    assert route.call_count == 1


@pytest.mark.usefixtures("nothing_to_collect")
@pytest.mark.parametrize("levels", [600, 900, 3000])
def test_a_stream_that_is_nested_too_deeply_is_a_fault(
    levels: int, server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    deep = "[" * levels + "]" * levels
    text = 'data: {"choices": [{"index": 0, "delta": {"x": %s}, "finish_reason": "stop"}]}\n\n' % deep  # noqa: UP031 - braces
    good = events({"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]})
    bad = httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})
    server.post(CHAT).mock(side_effect=[bad, good])
    model = make(retries=1, halt=NoWait(), dialect=Dialect(stream=True))
    assert model.complete([TASK], (), seed=0).content in ("ok", "")


class _Dripping(BaseHTTPRequestHandler):
    """Sends an error whose body does not end, a byte at a time."""

    def do_POST(self) -> None:
        self.send_response(500)
        self.send_header("content-length", "100000000")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.02)

    def log_message(self, *_: object) -> None: ...


def test_an_error_that_does_not_end_is_given_up() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Dripping) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        with connect(url, "tiny", api_key="k", timeout=0.1, retries=0) as model:
            begun = time.monotonic()
            with pytest.raises(EndpointFaultError, match="without an end"):
                model.complete([TASK], (), seed=0)
        assert time.monotonic() - begun < 10
        server.shutdown()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_what_does_not_pass_is_not_tried_again(
    code: int, server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(code, json={"error": {"message": "no"}})
    with pytest.raises(EndpointFaultError):
        make(retries=5, halt=NoWait()).complete([TASK], (), seed=0)
    assert server.calls.call_count == 1


def test_a_limit_on_requests_that_says_when_to_come_back_costs_no_call() -> None:
    """Ten calls a second are let in; sixty are made by twenty threads, with retries for few."""
    times: list[float] = []
    lock = threading.Lock()

    def answer(_: httpx.Request) -> httpx.Response:
        with lock:
            now = time.monotonic()
            if sum(now - at < 0.2 for at in times) >= 10:
                return httpx.Response(429, headers={"retry-after-ms": "200"})
            times.append(now)
        return httpx.Response(200, json=completion("in"))

    limiter, budget = Limiter(20, start=20), Budget()
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        model = connect(
            BASE, "tiny", api_key="k", retries=1, http_client=client, limiter=limiter, budget=budget
        )
        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda seed: model.complete([TASK], (), seed=seed), range(60)))
    assert [reply.content for reply in replies] == ["in"] * 60
    assert budget.left == 10


def test_a_server_that_asks_for_an_hour_is_not_waited_for(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(429, headers={"retry-after": "3600"})
    with pytest.raises(EndpointFaultError, match="3600 s"):
        make(retries=5, halt=NoWait()).complete([TASK], (), seed=0)
    assert server.calls.call_count == 1


def test_all_calls_together_have_a_budget_of_retries(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(503)
    model = make(retries=2, halt=NoWait(), budget=Budget())
    for _ in range(100):
        with pytest.raises(EndpointFaultError):
            model.complete([TASK], (), seed=0)
    assert server.calls.call_count == 100 + 10
    with pytest.raises(EndpointFaultError, match="too many calls"):
        model.complete([TASK], (), seed=0)


def test_a_wait_ends_when_the_run_is_stopped(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    halt = Halt()
    server.post(CHAT).respond(429, headers={"retry-after": "500"})
    threading.Timer(0.2, halt.set).start()
    begun = time.monotonic()
    with pytest.raises(HaltedError):
        make(retries=1, halt=halt).complete([TASK], (), seed=0)
    assert time.monotonic() - begun < 10
    with pytest.raises(HaltedError):
        make(halt=halt).complete([TASK], (), seed=0)
    assert server.calls.call_count == 1


@pytest.mark.parametrize("spell", ["plain", "unicode", "slash", "url"])
def test_a_key_in_an_answer_is_hidden_however_it_is_spelled(
    spell: str, server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    key = "sk/canary-5f1e"
    spelled = {
        "plain": key,
        "unicode": "".join(f"\\u{ord(char):04X}" for char in key),
        "slash": key.replace("/", "\\/"),
        "url": key.replace("/", "%2F"),
    }[spell]
    body = json.dumps(completion("X")).replace("X", f"your key is {spelled}!")
    server.post(CHAT).respond(content=body.encode())
    assert make(api_key=key).complete([TASK], (), seed=0).content == "your key is [key]!"


def test_a_short_key_is_a_placeholder_and_garbles_nothing() -> None:
    assert "no model" in str(Where(BASE, "tiny", "no").status(500, b"no model"))


# ---------------------------------------------------------------- preflight and listing


def test_check_asks_for_one_token(server: respx.MockRouter, make: Callable[..., EndpointModel]) -> None:
    server.post(CHAT).respond(json=completion(""))
    make().check()
    make(extra_body={"max_tokens": None, "max_completion_tokens": 64}).check()
    assert sent(server, 0)["max_tokens"] == 1
    assert (sent(server, 1).get("max_tokens"), sent(server, 1)["max_completion_tokens"]) == (None, 1)


def test_check_forgives_a_server_that_finds_one_token_too_short(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    short = httpx.Response(400, json={"error": {"message": "output must be at least 16"}})
    server.post(CHAT).mock(side_effect=[short, httpx.Response(200, json=completion())])
    make(max_tokens=64).check()
    assert [sent(server, i)["max_tokens"] for i in (0, 1)] == [1, 64]


def test_check_tells_what_would_stop_a_run(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(EndpointFaultError, match="is the server running"):
        make().check()
    server.post(CHAT).respond(400, json={"error": {"message": "no chat template"}})
    with pytest.raises(EndpointFaultError, match="no chat template"):
        make().check()


def test_models_are_listed_in_the_order_of_the_server(server: respx.MockRouter) -> None:
    line = HttpLine(BASE, api_key="k", retries=0, http_client=httpx.Client())
    server.get(f"{BASE}/models").respond(json={"object": "list", "data": [{"id": "b"}, {"id": "a"}]})
    assert list_models(line) == ("b", "a")
    server.get(f"{BASE}/models").respond(text=HTML)
    with pytest.raises(EndpointFaultError, match="not a list of models"):
        list_models(line)
    server.get(f"{BASE}/models").respond(401)
    with pytest.raises(EndpointFaultError, match="key"):
        list_models(line)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://x/v1",
        "http://",
        "http://u:p@x/v1",
        "http://x/v1?key=1",
        "http://x:y/v1",
        f"{CHAT}",
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(url, "tiny", api_key="k")
    assert caught.value.fix


@pytest.mark.parametrize("key", ["", "  ", f"{CANARY}\n{CANARY}", f"“{CANARY}”", f"{CANARY} x"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(BASE, "tiny", api_key=key)
    assert CANARY not in str(caught.value)


def test_a_line_break_after_the_key_is_forgiven(
    server: respx.MockRouter, make: Callable[..., EndpointModel]
) -> None:
    server.post(CHAT).respond(json=completion())
    make(api_key=f"{CANARY}\n").complete([TASK], (), seed=0)
    assert server.calls[0].request.headers["authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize("settings", [{"timeout": 0.0}, {"timeout": -1.0}, {"retries": -1}])
def test_settings_out_of_range_are_refused(
    settings: dict[str, float], make: Callable[..., EndpointModel]
) -> None:
    with pytest.raises(UsageError):
        make(**settings)
    with pytest.raises(UsageError, match="name of a model"):
        connect(BASE, "", api_key="k")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1/v1", True),
        ("http://a.localhost/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.1/v1", False),
        ("https://localhost.example/v1", False),
    ],
)
def test_loopback_is_told_by_host(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_a_proxy_is_not_asked_for_loopback(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., EndpointModel]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with pytest.raises(EndpointFaultError, match=re.escape(BASE)):
        make().complete([TASK], (), seed=0)


def test_a_client_of_the_caller_stays_open() -> None:
    with httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=completion()))
    ) as client:
        with connect(BASE, "tiny", api_key="k", http_client=client) as model:
            model.complete([TASK], (), seed=0)
        assert not client.is_closed


def test_a_forgotten_model_closes_its_connections() -> None:
    model = connect(BASE, "tiny", api_key="k")
    client = model.line._client
    del model
    gc.collect()
    assert client.is_closed()


def test_the_package_is_cheap_to_import() -> None:
    names = "endpoint.model", "endpoint.dialect", "endpoint.capabilities", "resolve", "session", "scripted"
    code = (
        "import sys;"
        + "".join(f"import opoi.models.{name};" for name in names)
        + "print('openai' in sys.modules)"
    )
    path = [entry for entry in sys.path if entry]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "False"
