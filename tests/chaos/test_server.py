"""Each fault is what its name says, as the client sees it over a real socket."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from opoi.halting import Halt
from opoi.models.endpoint.dialect import Dialect
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.model import EndpointModel, connect
from opoi.models.served.chaos.plan import CALM, IN_STREAMS, Lasting, Passing, Plan
from opoi.models.served.chaos.server import Asked, Chaos, Moment, chaotic
from opoi.protocols import Suite
from opoi.rollout import stop_of
from opoi.types import Message, Reply, ToolSpec

ASK = Message(role="user", content="Decide about gauge g00001 now.", author="suite")
READ = Message(role="tool", content='{"gauge": "g00001", "day": "2025-03-14", "pressure": 9}', author="env")
GAUGE = ToolSpec(name="read_gauge", description="Reads.", parameters={"type": "object"})

KINDS = {
    Passing.RESET: "connection",
    Passing.RESET_AMID: "connection",
    Passing.TRUNCATED: "connection",
    Passing.HTTP_408: "request",
    Passing.HTTP_409: "request",
    Passing.HTTP_425: "request",
    Passing.HTTP_429: "rate",
    Passing.HTTP_500: "server",
    Passing.HTTP_502: "server",
    Passing.HTTP_503: "server",
    Passing.ERROR_EVENT: "server",
}
"""All others are `garbage`: an answer that is none."""

STOPS = {
    Lasting.NULL_CONTENT: "empty_reply",
    Lasting.LENGTH: "truncated",
    Lasting.CONTENT_FILTER: "refused",
    Lasting.REFUSAL: "refused",
}
"""How an answer ends a conversation; the others are answers."""


class NoWait(Halt):
    def pause(self, seconds: float) -> None:
        self.check()


@pytest.fixture(scope="module")
def chaos(echo: Suite) -> Iterator[Chaos]:
    with chaotic(echo.stand_in(), name="tiny", plan=CALM) as server:
        yield server


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def model(request: pytest.FixtureRequest, chaos: Chaos) -> Iterator[EndpointModel]:
    chaos.forget()
    with asking(chaos.url, streamed=request.param) as made:
        yield made


def asking(url: str, *, streamed: bool, timeout: float = 60.0) -> EndpointModel:
    dialect = Dialect(stream=streamed)
    return connect(url, "tiny", api_key="k", dialect=dialect, timeout=timeout, retries=2, halt=NoWait())


def answers(model: EndpointModel, seed: int = 0) -> list[Reply]:
    """Ask what is answered by a tool call, and what is answered by a text."""
    talk = [ASK, Message(role="assistant", content="", author="student"), READ]
    return [model.complete([ASK], [GAUGE], seed=seed), model.complete(talk, [GAUGE], seed=seed)]


def test_in_calm_weather_it_answers_as_the_model_does(
    chaos: Chaos, model: EndpointModel, echo: Suite
) -> None:
    chaos.plan = CALM
    talk = [ASK, Message(role="assistant", content="", author="student"), READ]
    inner = [echo.stand_in().complete(asked, [GAUGE], seed=0) for asked in ([ASK], talk)]
    for met, meant in zip(answers(model), inner, strict=True):
        assert (met.content, met.usage) == (meant.content, meant.usage)
        assert [(call.name, call.arguments) for call in met.tool_calls] == [
            (call.name, call.arguments) for call in meant.tool_calls
        ]


@pytest.mark.parametrize("fault", [fault for fault in Passing if fault is not Passing.TIMEOUT])
def test_what_passes_ends_in_the_fault_that_it_is_or_in_the_answer(
    fault: Passing, chaos: Chaos, model: EndpointModel
) -> None:
    chaos.plan = CALM
    good = answers(model)
    chaos.forget()
    chaos.plan = Plan(1, {fault: 1.0})
    harmless = fault is Passing.NO_DONE or (fault in IN_STREAMS and not model.dialect.stream)
    for seed in range(6):
        if harmless:
            assert [reply.content for reply in answers(model)] == [reply.content for reply in good]
            continue
        with pytest.raises(EndpointFaultError) as caught:
            answers(model, seed)
        assert caught.value.kind == KINDS.get(fault, "garbage")
        assert caught.value.again
        assert not caught.value.fatal
    assert {entry.paid for entry in chaos.tries} == {harmless}
    if not harmless:
        assert {0, 1, 2} <= {entry.number for entry in chaos.tries}  # more where it names a time to come back


def test_no_byte_in_time_is_a_time_out(chaos: Chaos, model: EndpointModel) -> None:
    chaos.plan = Plan(1, {Passing.TIMEOUT: 1.0})
    with (
        asking(chaos.url, streamed=model.dialect.stream, timeout=0.1) as hasty,
        pytest.raises(EndpointFaultError) as caught,
    ):
        hasty.complete([ASK], [GAUGE], seed=0)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("fault", Lasting)
def test_what_lasts_is_an_answer_however_bad(fault: Lasting, chaos: Chaos, model: EndpointModel) -> None:
    chaos.plan = CALM
    good_call, good_text = answers(model)
    chaos.plan = Plan(1, {fault: 1.0})
    call, text = answers(model)
    assert stop_of(text)[0] == STOPS.get(fault, "answered" if text.content else "empty_reply")
    match fault:
        case Lasting.BROKEN_ARGUMENTS:
            for reply in (call, text):
                with pytest.raises(ValueError, match="Expecting"):
                    json.loads(reply.tool_calls[0].arguments)
        case Lasting.UNKNOWN_TOOL:
            assert call.tool_calls[0].name == text.tool_calls[0].name == "no_such_tool"
        case Lasting.REPEATED_IDS:
            first, second = call.tool_calls
            assert first.arguments == second.arguments == good_call.tool_calls[0].arguments
            assert first.id != second.id
        case Lasting.MISSING_IDS:
            assert call.tool_calls[0].arguments == good_call.tool_calls[0].arguments
            assert call.tool_calls[0].id
        case Lasting.HUGE:
            assert len(text.content) - len(good_text.content) > 2**20
        case Lasting.HALF_PAIR:
            assert text.content == good_text.content + "\ufffd"
        case Lasting.LENGTH:
            assert good_text.content.startswith(text.content)
        case _:
            assert (call.content, call.tool_calls) == ("", ())
    assert all(entry.paid for entry in chaos.tries)


def test_what_the_plan_is_not_to_strike_stays_calm(echo: Suite) -> None:
    with (
        chaotic(
            echo.stand_in(), name="tiny", plan=Plan(0, {Passing.HTTP_500: 1.0}), strikes=lambda _: False
        ) as server,
        connect(server.url, "tiny", api_key="k", retries=0) as model,
    ):
        assert answers(model)[0].tool_calls
        model.check()
        assert not server.tries


def test_a_watcher_sees_every_moment_of_a_try(echo: Suite) -> None:
    seen: list[tuple[Moment, bool]] = []

    def watch(entry: Asked, moment: Moment) -> None:
        seen.append((moment, entry.paid))

    with (
        chaotic(echo.stand_in(), name="tiny", plan=CALM, watch=watch) as server,
        connect(server.url, "tiny", api_key="k", retries=0) as model,
    ):
        model.complete([ASK], [GAUGE], seed=0)
    assert seen == [("asked", True), ("amid", True), ("answered", True)]


def test_unusual_requests_are_refused_and_kill_nothing(chaos: Chaos) -> None:
    """Two requests in one piece, a path that there is not, JSON that is none, and a client that resets."""
    chaos.plan = CALM
    host, port = chaos.url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port))) as client:
        bad = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1\r\n\r\n{"
        client.sendall(b"GET /v1/nothing HTTP/1.1\r\n\r\n" + bad)
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"}}"):
            received += client.recv(1 << 16)
        assert received.startswith(b"HTTP/1.1 404 ")
        assert b"HTTP/1.1 400 " in received
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with connect(chaos.url, "tiny", api_key="k", retries=0) as model:
        assert answers(model)[1].content


def test_its_threads_end_with_it(echo: Suite) -> None:
    before = set(threading.enumerate())
    with chaotic(echo.stand_in(), name="tiny", plan=CALM) as server:
        model = connect(server.url, "tiny", api_key="k", retries=0)
        answers(model)  # leaves a connection open
        assert len(set(threading.enumerate()) - before) >= 2
    assert not set(threading.enumerate()) - before
    model.close()
