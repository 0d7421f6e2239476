"""The client's side: whatever comes, a call ends in a reply or in a fault that says why, after few tries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.halting import Halt
from opoi.models.endpoint.dialect import Dialect
from opoi.models.endpoint.faults import EndpointFaultError, Kind
from opoi.models.endpoint.model import EndpointModel, connect
from opoi.types import Message, Reply

BASE = "http://127.0.0.1:9/v1"
CHAT = f"{BASE}/chat/completions"
TASK = Message(role="user", content="Open the valve?", author="suite")


class NoWait(Halt):
    def pause(self, seconds: float) -> None:
        assert 0 <= seconds <= 660
        self.check()


class Breaking(httpx.SyncByteStream):
    """Some bytes, and then an error."""

    def __init__(self, head: bytes, error: Exception) -> None:
        self._head = head
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        raise self._error


class Fault(NamedTuple):
    """What comes instead of an answer, made anew for each try, and whether another try is worth while."""

    name: str
    make: Callable[[], httpx.Response | Exception]
    again: bool


def completion(text: str, **choice: object) -> dict[str, object]:
    said = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **choice}
    return {"choices": [said], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def events(*pieces: object, done: bool = True) -> bytes:
    said = [json.dumps(piece).encode() if not isinstance(piece, bytes) else piece for piece in pieces]
    return b"".join(b"data: " + piece + b"\n\n" for piece in [*said, *([b"[DONE]"] if done else [])])


def piece(text: str, finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def good(streamed: bool) -> httpx.Response:
    if streamed:
        return httpx.Response(200, content=events(piece("ho"), piece("ld", "stop")))
    return httpx.Response(200, json=completion("hold"))


def _raise(error: type[httpx.TransportError]) -> Fault:
    return Fault(error.__name__, lambda: error("broken"), again=True)


def _status(code: int, again: bool = True, **headers: str) -> Fault:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    name = f"{code} {' '.join(fields.values())}"
    return Fault(name, lambda: httpx.Response(code, headers=fields, json={"error": {"message": "no"}}), again)


def _body(name: str, body: bytes, again: bool = True) -> Fault:
    return Fault(name, lambda: httpx.Response(200, content=body), again)


def _breaks(name: str, code: int, head: bytes, error: type[httpx.TransportError]) -> Fault:
    return Fault(name, lambda: httpx.Response(code, stream=Breaking(head, error("broken"))), again=True)


BOTH = [
    *map(_raise, (httpx.ReadTimeout, httpx.WriteTimeout, httpx.ConnectTimeout, httpx.PoolTimeout)),
    *map(_raise, (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.CloseError)),
    *map(_raise, (httpx.RemoteProtocolError, httpx.LocalProtocolError)),
    *map(_status, (408, 409, 425, 429, 500, 502, 503, 504, 599)),
    _status(429, retry_after="3"),
    _status(429, retry_after_ms="20"),
    _status(429, retry_after="Wed, 01 Jan 2020 00:00:00 GMT"),
    _status(429, retry_after="soon"),
    _status(429, retry_after="nan"),
    _status(429, retry_after="-1"),
    _status(503, retry_after="600"),
    _status(429, again=False, retry_after="601"),
    _status(429, again=False, retry_after="inf"),
    _status(429, again=False, retry_after="Wed, 01 Jan 2500 00:00:00 GMT"),
    *(_status(code, again=False) for code in (400, 401, 403, 404, 413, 422)),
    _body("empty", b""),
    _body("page", b"<html>Welcome</html>"),
    _body("deep", b"[" * 5000),
    _body("nul", b"\x00\xff\xfe"),
    _breaks("breaks", 200, b'{"choices": [', httpx.RemoteProtocolError),
    _breaks("reset", 200, b"data: {", httpx.ReadError),
    _breaks("stalls", 200, b"", httpx.ReadTimeout),
    _breaks("breaks with a bad status", 500, b'{"error":', httpx.RemoteProtocolError),
    _breaks("stalls with a bad status", 429, b'{"error":', httpx.ReadTimeout),
]
WHOLE = [
    _body("no choices", b'{"choices": []}'),
    _body("null choices", b'{"choices": null}'),
    _body("no message", b'{"choices": [{}]}'),
    _body("error", b'{"error": {"message": "upstream"}}'),
    _body("text not UTF-8", json.dumps(completion("?!")).encode().replace(b"?!", b"\xff\xfe")),
    _body("note not UTF-8", json.dumps({**completion("x"), "note": "?!"}).encode().replace(b"?!", b"\xff")),
]
STREAMED = [
    _body("no end", events(piece("ho"), done=False)),
    _body("no finish", events(piece("ho"))),
    _body("nothing", events()),
    _body("half an event", events(piece("ho"), b'{"choi')),
    _body("an error", events(piece("ho"), {"error": {"message": "stopped", "code": 500}})),
    _body("not UTF-8", events(b'{"choices": [], "note": "\xff"}', piece("ho", "stop"))),
    _body("not an object", events(b"7", piece("ho", "stop"))),
    _body("choices of another kind", events({"choices": 7}, piece("ho", "stop"))),
]
FAULTS = {False: BOTH + WHOLE, True: BOTH + STREAMED}


def ask(model: EndpointModel) -> Reply | EndpointFaultError:
    """Return what a call ends in; any other error is one of the test."""
    try:
        return model.complete([TASK], (), seed=0)
    except EndpointFaultError as fault:
        return fault


def connected(client: httpx.Client, *, streamed: bool, retries: int) -> EndpointModel:
    return connect(
        BASE,
        "tiny",
        api_key="k",
        dialect=Dialect(stream=streamed),
        retries=retries,
        halt=NoWait(),
        http_client=client,
    )


def asked_through(
    row: list[Fault], *, streamed: bool, retries: int
) -> tuple[Reply | EndpointFaultError, int]:
    """Return what a call through a row of faults, with a good answer behind it, ends in, and its tries."""
    with respx.mock(assert_all_called=False) as server, httpx.Client(verify=False) as client:
        route = server.post(CHAT)
        route.mock(side_effect=[*(fault.make() for fault in row), good(streamed)])
        ended = ask(connected(client, streamed=streamed, retries=retries))
        return ended, route.call_count


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_each_fault_alone_costs_one_more_try_or_ends_the_call(streamed: bool) -> None:
    for fault in FAULTS[streamed]:
        ended, tried = asked_through([fault], streamed=streamed, retries=1)
        assert (isinstance(ended, Reply), tried) == (fault.again, 1 + fault.again), fault.name


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@settings(deadline=None, max_examples=40)  # the first example imports openai
@given(data=st.data(), retries=st.integers(0, 5))
def test_any_row_of_faults_before_an_answer_ends_in_a_reply_or_a_fault_after_few_tries(
    streamed: bool, data: st.DataObject, retries: int
) -> None:
    row = data.draw(st.lists(st.sampled_from(FAULTS[streamed]), max_size=7))
    ended, tried = asked_through(row, streamed=streamed, retries=retries)
    last = next((index for index, fault in enumerate(row) if not fault.again), len(row))
    asked = 10 if retries else 0  # tries that a server asks for by naming a time do not count as retries
    assert min(last, retries) + 1 <= tried <= min(last, retries + asked) + 1
    if last == len(row) == tried - 1:
        assert isinstance(ended, Reply)
        assert (ended.content, ended.finish_reason) == ("hold", "stop")
    else:
        assert isinstance(ended, EndpointFaultError)
        assert ended.kind in get_args(Kind)
        assert ended.line
        assert ended.fix


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@settings(deadline=None)
@given(code=st.sampled_from([200, 200, 200, 400, 429, 500]), body=st.binary(max_size=200), cut=st.integers(0))
def test_any_bytes_at_all_end_in_a_reply_or_a_fault(streamed: bool, code: int, body: bytes, cut: int) -> None:
    """Bytes by themselves, and put into an answer in place of one of its bytes."""
    whole = good(streamed).content
    at = cut % len(whole)
    for sent in (body, whole[:at], whole[:at] + body + whole[at + 1 :]):
        respond = httpx.MockTransport(lambda _, sent=sent: httpx.Response(code, content=sent))
        with httpx.Client(transport=respond, verify=False) as client:
            ended = ask(connected(client, streamed=streamed, retries=0))
        assert isinstance(ended, Reply | EndpointFaultError)
        if code != 200:
            assert isinstance(ended, EndpointFaultError)
