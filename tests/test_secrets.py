"""An API key goes to its endpoint and nowhere else, though the endpoint may echo it wherever it can."""

from __future__ import annotations

import copy
import gzip
import html
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from opoi.errors import OpoiError, UsageError
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.hiding import Hider, Key
from opoi.models.endpoint.model import EndpointModel, connect
from opoi.models.resolve import ModelSettings, resolve_model
from opoi.models.session import Session
from opoi.protocols import Model
from opoi.types import Message

pytest_plugins = ["pytester"]

Command = Callable[..., tuple[int, str]]

PLAIN = "sk-canary-5f1e8d77c0ffee"
ODD = 'sk/c+n"a\\ry%5f&1e<8d>77~c0'
"""A key of signs that JSON, URLs, HTML and Python escape."""
KEYS = pytest.mark.parametrize("key", [PLAIN, ODD], ids=["plain", "odd"])

VAR = "OPOI_TEST_KEY"
SMALL = ("--suite", "echo", "--n", 2, "--runs", 1, "--resamples", 100, "--turns", 3, "-q")
ASKED = ("--api-key-env", VAR, "--retries", 0, "--timeout", 20)
TASK = Message(role="user", content="Say something.", author="suite")


# ---------------------------------------------------------------- looking for a key


def inner(text: str) -> str:
    """Return a text as it stands within JSON."""
    return json.dumps(text)[1:-1]


def spellings(key: str) -> dict[str, str]:
    """Return how a key may be spelled, worked out without the code under test."""
    units = "".join(f"\\u{ord(char):04x}" for char in key)
    return {
        "plain": key,
        "its head": key[:12],
        "its tail": key[-12:],
        "JSON": inner(key),
        "JSON in JSON": inner(inner(key)),
        "JSON, slashes escaped": inner(key).replace("/", "\\/"),
        "JSON by numbers": units,
        "JSON by numbers in JSON": inner(units),
        "bytes of Python": repr(key.encode())[2:-1],
        "URL": quote(key, safe=""),
        "form": quote_plus(key),
        "URL in URL": quote(quote(key, safe=""), safe=""),
        "HTML": html.escape(key),
        "HTML by numbers": "".join(f"&#{ord(char)};" for char in key),
        "numbers": ", ".join(map(str, key.encode())),
        "close numbers": ",".join(map(str, key.encode())),
    }


def in_base64(key: str) -> Iterator[str]:
    """Yield what every base64 text holds that the key is encoded in, behind 0, 1 or 2 other bytes."""
    for encode in (b64encode, urlsafe_b64encode):
        for before in (b"", b"x", b"xx"):
            texts = [encode(before + key.encode() + after).decode() for after in (b"\0\0\0", b"\xff\xff\xff")]
            other = encode(b"\xff" * len(before) + key.encode() + b"\0\0\0").decode()
            same = [a == b == c for a, b, c in zip(*texts, other, strict=True)]
            first = same.index(True)
            yield texts[0][first : same.index(False, first)]


def found(key: str, data: bytes | str) -> list[str]:
    """Return in which spellings a key stands in something."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    low = text.lower()
    names = [name for name, spelled in spellings(key).items() if spelled.lower() in low]
    return names + ["base64" for core in in_base64(key) if core in text or core.replace("/", "\\/") in text]


def found_below(key: str, folder: Path) -> list[str]:
    """Return in which files a key stands, their names included."""
    hits = []
    for path in sorted(folder.rglob("*")):
        said = found(key, str(path.relative_to(folder)))
        said += found(key, path.read_bytes()) if path.is_file() else []
        hits += [f"{path.relative_to(folder)}: {name}" for name in said]
    return hits


def command_line(pid: int) -> str:
    """Return what every user of the machine can see of a process."""
    place = Path(f"/proc/{pid}/cmdline")
    if place.exists():
        return place.read_text()
    return subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout


@KEYS
def test_the_search_of_these_tests_finds_every_spelling(key: str, tmp_path: Path) -> None:
    for name, spelled in spellings(key).items():
        assert name in found(key, f"so {spelled} is said")
    for around in ("", "a", "ab", "abc", "Bearer "):
        assert "base64" in found(key, b64encode(f"{around}{key}.".encode()))
    assert not found(key, "the key is [key]")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/y").write_text(json.dumps({"a": json.dumps([key])}))
    assert found_below(key, tmp_path)


# ---------------------------------------------------------------- a server that echoes


class Exchange(BaseHTTPRequestHandler):
    """One request, with the key that came with it."""

    disable_nagle_algorithm = True  # else each answer waits for 40 ms
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.body: dict[str, Any] = json.loads(
            self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}"
        )
        self.key = self.headers.get("authorization", "").removeprefix("Bearer ")
        self.server.answer(self)

    do_GET = do_POST  # noqa: N815 - the contract of http.server

    def send(
        self, body: object, status: int = 200, *, spell: Callable[[str], str] = inner, reason: bool = True
    ) -> None:
        """Send JSON, or bytes as they are; headers and reason phrase echo the key."""
        raw = body if isinstance(body, bytes) else respelled(body, self.key, spell)
        self.send_response(status, f"because of {self.key}" if reason else None)
        self.head(content_length=len(raw))
        self.wfile.write(raw)

    def head(self, **more: object) -> None:
        for name in ("X-Echo", "Location", "Retry-After", "Set-Cookie", "X-Request-Id", "WWW-Authenticate"):
            self.send_header(name, f"https://{self.key}.example/{self.key}")
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def stream(self, events: Sequence[object], spell: Callable[[str], str] = inner) -> None:
        """Send events, torn anywhere."""
        raw = b"".join(b"data: " + respelled(event, self.key, spell) + b"\n\n" for event in events)
        raw += b"data: [DONE]\n\n"
        self.send_response(200)
        self.close_connection = True
        self.head(connection="close", content_type="text/event-stream")
        for start in range(0, len(raw), 173):
            self.wfile.write(raw[start : start + 173])
            self.wfile.flush()


def respelled(body: object, key: str, spell: Callable[[str], str]) -> bytes:
    return json.dumps(body).replace(inner(key), spell(key)).encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # else connections wait for a second

    def __init__(self, answer: Callable[[Exchange], None]) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answer = answer

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


@contextmanager
def serving(answer: Callable[[Exchange], None]) -> Iterator[str]:
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def completion(ask: Exchange) -> dict[str, Any]:
    """Return a completion of an agent of the echo suite that has the key everywhere."""
    key, messages = ask.key, ask.body.get("messages", [])
    seen = [m["content"] for m in messages if m["role"] == "tool"]
    gauge = (re.findall(r"\bg\d{5}\b", json.dumps(messages)) or ["g00000"])[0]
    if ask.body.get("tools") and not seen:
        arguments = json.dumps({"gauge": gauge}), json.dumps({"gauge": key, "url": quote(key, safe="")})
        functions = [
            {"name": "read_gauge", "arguments": arguments[0]},
            {"name": "read_gauge", "arguments": arguments[1]},
            {"name": key, "arguments": key},
        ]
        calls = [
            {"id": f"{key}{n}", "type": "function", "function": each} for n, each in enumerate(functions)
        ]
        message: dict[str, Any] = {"role": "assistant", "content": f"With {key}.", "tool_calls": calls}
    else:
        told = [
            key,
            inner(key),
            quote(key, safe=""),
            html.escape(key),
            b64encode(f"a:{key}".encode()).decode(),
        ]
        reasoning = f"As the reviewer noted, {' and '.join(told)} say so."
        said = {"action": "open", "entity": gauge, "reasoning": reasoning, "citations": []}
        message = {"role": "assistant", "content": json.dumps(said), "reasoning_content": key}
    token = {"token": key, "logprob": -0.5, "bytes": list(key.encode())}
    return {
        "id": key,
        "object": "chat.completion",
        "model": key,
        "system_fingerprint": key,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if "tool_calls" in message else key,
                "logprobs": {"content": [{**token, "top_logprobs": [token]}]},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, key: key},
    }


def pieces(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a completion as chunks that tear texts after every fifth sign."""
    (choice,) = whole["choices"]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    text = message["content"]
    deltas += [{"content": text[i : i + 5]} for i in range(0, len(text), 5)]
    for number, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": number, "function": {**function, "arguments": ""}}]})
        arguments = function["arguments"]
        for i in range(0, len(arguments), 5):
            part = {"index": number, "function": {"arguments": arguments[i : i + 5]}}
            deltas.append({"tool_calls": [part]})
    shell = {key: value for key, value in whole.items() if key not in ("choices", "usage")}
    for delta in deltas:
        yield {**shell, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    yield {**shell, "choices": [last], "usage": whole["usage"]}


def by_numbers(text: str) -> str:
    return "".join(f"\\u{ord(char):04X}" for char in text)


def slashed(text: str) -> str:
    return inner(text).replace("/", "\\/")


def echoing(spell: Callable[[str], str] = inner) -> Callable[[Exchange], None]:
    """Return a server's answers: a model `m` whose every text holds the key."""

    def answer(ask: Exchange) -> None:
        if ask.path.endswith("/models"):
            ask.send({"data": [{"id": ask.key, "owned_by": ask.key}, {"id": f"x {ask.key}"}]}, spell=spell)
        elif not ask.path.endswith("/chat/completions"):
            ask.send(
                {"error": {"message": f"no {ask.path} for {ask.key}", "code": ask.key}}, 404, spell=spell
            )
        elif ask.body.get("stream"):
            ask.stream(list(pieces(completion(ask))), spell)
        else:
            ask.send(completion(ask), spell=spell)

    return answer


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    """Log everything, as a user who hunts a bug does."""
    caplog.set_level(logging.DEBUG)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return the log as it is shown, and all that its records hold."""
    return caplog.text + "".join(f"{record.__dict__}\n{record.getMessage()}" for record in caplog.records)


def agent(url: str, **settings: object) -> Model:
    """Return a model at an endpoint; no frame that a traceback of this shows holds the key itself."""
    given = {"name": "m", "api_key_env": VAR, "retries": 0, "timeout": 20.0, **settings}
    return resolve_model(url, suite=None, settings=ModelSettings(**given), session=Session())


def failure(url: str, **settings: object) -> OpoiError:
    """Return the error of one call."""
    try:
        agent(url, **settings).complete([TASK], (), seed=1)
    except OpoiError as error:
        return error
    raise AssertionError("there was an answer")


def told(error: BaseException) -> str:
    """Return everything that can be shown of an error, the locals of its frames included."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return f"{error}\n{error!r}\n{vars(error)}\n{getattr(error, 'line', '')}\n{''.join(shown.format())}"


# ---------------------------------------------------------------- runs


@KEYS
@pytest.mark.parametrize(
    ("spell", "stream"),
    [(inner, "--no-stream"), (by_numbers, "--no-stream"), (slashed, "--stream")],
    ids=["as it is", "by numbers", "streamed"],
)
def test_a_run_its_tape_and_its_replay_hold_no_key(
    key: str,
    spell: Callable[[str], str],
    stream: str,
    tmp_path: Path,
    opoi: Command,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(VAR, key)
    tape, run = tmp_path / "tape", tmp_path / "run"
    with serving(echoing(spell)) as url:
        words = ("run", *SMALL, *ASKED, "--model", url, "--model-name", "m", stream)
        code, said = opoi(*words, "--out", run, "--record", tape)
    assert code == 0, said
    monkeypatch.delenv(VAR)
    code, again = opoi(*words, "--out", tmp_path / "again", "--replay", tape)
    assert code == 0, again
    assert not found(key, said + again)
    assert not found(key, logged(caplog))
    assert not found_below(key, tmp_path)
    for name in ("tape", "run/rollouts.jsonl", "run/report.html", "again/traces/opoi.jsonl"):
        assert b"[key]" in (tmp_path / name).read_bytes(), name  # the echo got that far, and was hidden
    assert (run / "rollouts.jsonl").read_bytes() == (tmp_path / "again/rollouts.jsonl").read_bytes()


@KEYS
def test_every_stage_judge_and_table_hold_no_key(
    key: str, tmp_path: Path, opoi: Command, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VAR, key)
    run = tmp_path / "run"
    asked = 0

    def answer(ask: Exchange) -> None:
        nonlocal asked
        asked += 1
        echoing()(ask)

    with serving(answer) as url:
        model = ("--model", url, "--model-name", "m", *ASKED)
        judge = ("--judge", url, "--model-name", "m", *ASKED)
        rewritten = ("clean", run, "--clean", "C4", *model)
        files = [word for kind in ("json", "junit", "sarif") for word in (f"--{kind}", tmp_path / kind)]
        steps: list[tuple[Any, ...]] = [
            ("scenarios", run, "--suite", "echo", "--n", 2),
            ("rollout", run, "--runs", 1, "--turns", 3, "--record", tmp_path / "tape", *model),
            ("review", run),
            ("generate", run, "--strategies", "opoi,opcd", "--corrector-model", "other", *model),
            rewritten,
            ("export", run),
            ("measure", run, "--resamples", 100),
            ("report", run),
            ("costs", run),
            ("costs", run, "--json"),
            ("leaks", run, *judge, *files),
            (
                "clean",
                run / "rollouts.jsonl",
                "--explain",
                "--html",
                tmp_path / "page",
                "--out",
                tmp_path / "o",
            ),
        ]
        for step in steps:
            before = asked
            code, said = opoi(*step)
            assert code == 0 or step[0] == "leaks", said
            assert not found(key, said), step
            assert asked > before or step not in (steps[1], steps[3], rewritten, steps[10]), step
    assert not found(key, logged(caplog))
    assert not found_below(key, tmp_path)


@KEYS
def test_a_probe_holds_no_key(
    key: str, tmp_path: Path, opoi: Command, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VAR, key)
    with serving(echoing()) as url:
        for words in ((), ("--json",), ("--record", tmp_path / "tape"), ("--replay", tmp_path / "tape")):
            code, said = opoi("probe", url, "--model-name", "m", *ASKED, *words)
            assert code == 0, said
            assert not found(key, said)
            assert "[key]" in said
        code, said = opoi("probe", url, *ASKED)  # which of its models?
        assert code == 2
        assert "[key]" in said
        assert not found(key, said)
    assert not found(key, logged(caplog))
    assert not found_below(key, tmp_path)


def test_the_only_model_may_be_named_like_the_key(
    tmp_path: Path, opoi: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VAR, PLAIN)

    def answer(ask: Exchange) -> None:
        if ask.path.endswith("/models"):
            ask.send({"data": [{"id": f"tuned-by-{ask.key}"}]})
        else:
            echoing()(ask)

    with serving(answer) as url:
        code, said = opoi("run", *SMALL[:-1], *ASKED, "--model", url, "--out", tmp_path / "run")
        assert code == 0, said
        code, costs = opoi("costs", tmp_path / "run")
    assert "tuned-by-[key]" in said
    assert "tuned-by-[key]" in costs
    assert not found(PLAIN, said + costs)
    assert not found_below(PLAIN, tmp_path)


@KEYS
def test_a_killed_run_and_a_crash_with_debug_hold_no_key(
    key: str, tmp_path: Path, opoi: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VAR, key)
    run, stuck, count = tmp_path / "run", threading.Event(), 0

    def answer(ask: Exchange) -> None:
        nonlocal count
        count += "Decide about" in json.dumps(ask.body)
        if count == 4 and not stuck.is_set():
            stuck.set()
            time.sleep(30)
        echoing()(ask)

    with serving(answer) as url:
        words = ["run", *SMALL, *ASKED, "--model", url, "--model-name", "m", "--out", run, "--concurrency", 1]
        command = [sys.executable, "-c", "from opoi.cli import main; main()", *map(str, words), "--debug"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert stuck.wait(30)
            line = command_line(process.pid)
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
        assert "opoi" in line
        assert not found(key, line)
        assert not found(key, out + err)
        journal = run / ".journal/rollouts.jsonl"
        assert b"[key]" in journal.read_bytes()
        assert not found_below(key, tmp_path)

        (tmp_path / "mine.py").write_text("def crash(case, cast):\n    raise RuntimeError('boom')\n")
        broken = ("--strategies", f"{tmp_path}/mine.py:crash", "--debug")
        code, said = opoi("run", "--resume", "--out", run, "-q", *broken)
        assert code == 1
        assert "boom" in said
        assert "Traceback" in said
        assert not found(key, said)
        assert not found_below(key, tmp_path)
        code, said = opoi("run", "--resume", "--out", run, "-q", "--strategies", "opoi")
    assert code == 0, said
    assert not found(key, said)
    assert not found_below(key, tmp_path)


def test_an_endpoint_that_fails_all_the_way_puts_no_key_into_the_run(
    tmp_path: Path, opoi: Command, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VAR, ODD)

    def answer(ask: Exchange) -> None:
        if "Decide about" in json.dumps(ask.body):
            ask.send({"error": {"message": f"no {ask.key}"}}, 500)
        else:
            echoing()(ask)

    with serving(answer) as url:
        words = ("run", *SMALL[:-1], *ASKED, "--model", url, "--model-name", "m", "--out", tmp_path / "run")
        code, said = opoi(*words, "--debug", "--record", tmp_path / "tape")
    assert code == 1
    assert "Traceback" in said
    assert "[key]" in (tmp_path / "run/rollouts.jsonl").read_text()
    assert not found(ODD, said + logged(caplog))
    assert not found_below(ODD, tmp_path)


# ---------------------------------------------------------------- failures, one by one

STATUSES = (300, 301, 307, 400, 401, 403, 404, 405, 408, 409, 418, 422, 425, 429, 500, 502, 503, 529)
FORMS: dict[str, Callable[[str], object]] = {
    "message": lambda key: {"error": {"message": f"bad {key}", "code": key}},
    "detail": lambda key: {"detail": [{"msg": key, "input": {"headers": [f"Bearer {key}"]}}]},
    "page": lambda key: f"<h1>Bearer {html.escape(key)}</h1><a href='?k={quote(key)}'>".encode(),
    "repr": lambda key: f"headers={{b'Authorization': {f'Bearer {key}'.encode()!r}}}".encode(),
    "cut at 120": lambda key: b"x" * 104 + key.encode(),
    "cut at 300": lambda key: {"message": "x" * 275 + key},
    "request in it": lambda key: {"message": json.dumps({"request": json.dumps({"key": key})})},
    "base64": lambda key: {"error": f"Basic {b64encode(b'user:' + key.encode()).decode()}"},
}


@KEYS
def test_no_status_and_no_body_of_an_error_tells_the_key(
    key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VAR, key)
    at: tuple[int, str] = (0, "")
    with serving(lambda ask: ask.send(FORMS[at[1]](ask.key), at[0])) as url:
        tries = [(status, "message") for status in STATUSES] + [(400, form) for form in FORMS]
        for at in [*tries, *((200, form) for form in FORMS)]:
            shown = told(failure(url))
            assert not found(key, shown), at
            assert "cut" in at[1] or "[key]" in shown, at
    text = logged(caplog)
    assert "receive_response_headers" in text  # the lower layers did log what the server sent
    assert "because of [key]" in text
    assert not found(key, text)


@KEYS
@pytest.mark.parametrize("length", range(80, 300, 20))
def test_a_body_is_cut_only_after_the_key_is_hidden(key: str, length: int) -> None:
    where = Where("http://h/v1", "m", secret=key)
    body = b"x" * length + key.encode() + b"y" * 400
    for fault in (where.garbage("odd", body), where.status(400, body), where.torn(body.decode())):
        assert not found(key, told(fault))


def close(ask: Exchange) -> None:
    ask.close_connection = True


def raw(text: str) -> Callable[[Exchange], None]:
    def answer(ask: Exchange) -> None:
        ask.wfile.write(text.replace("KEY", ask.key).encode())
        ask.close_connection = True

    return answer


def slow(ask: Exchange) -> None:
    ask.send_response(200, ask.key)
    ask.head(content_length=1000)
    ask.wfile.write(ask.key.encode())
    ask.wfile.flush()
    time.sleep(0.6)
    ask.close_connection = True


def zipped(ask: Exchange) -> None:
    body = gzip.compress(respelled(completion(ask), ask.key, inner))
    ask.send_response(200)
    ask.head(content_length=len(body) - 30, content_encoding="gzip")
    ask.wfile.write(body[:5] + b"KEY" + body[38:])


def torn(ask: Exchange) -> None:
    whole = [*pieces(completion(ask))]
    ask.send_response(200)
    ask.close_connection = True
    ask.head(connection="close", content_type="text/event-stream")
    ask.wfile.write(b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in whole[:-4]))


def complaining(ask: Exchange) -> None:
    ask.stream([{"error": {"message": f"{'x' * 90} {ask.key} is bad", "code": 401, "param": ask.key}}])


BROKEN: dict[str, tuple[Callable[[Exchange], None], dict[str, object]]] = {
    "closes": (close, {}),
    "no status line": (raw("KEY is not HTTP KEY\r\n\r\n"), {}),
    "no header": (raw("HTTP/1.1 200 KEY\r\nKEY KEY\r\n\r\n"), {}),
    "no number": (raw("HTTP/1.1 200 OK\r\nContent-Length: KEY\r\n\r\n"), {}),
    "no chunk": (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\nKEY"), {}),
    "times out": (slow, {"timeout": 0.3}),
    "breaks off": (slow, {}),
    "no gzip": (zipped, {}),
    "torn stream": (torn, {"stream": True}),
    "error in a stream": (complaining, {"stream": True}),
    "no event": (lambda ask: ask.stream([ask.key]), {"stream": True}),
    "no UTF-8": (lambda ask: ask.send(b"\xff" + ask.key.encode()), {}),
    "no object": (lambda ask: ask.send([ask.key]), {}),
    "no choices": (lambda ask: ask.send({"choices": ask.key, ask.key: 1}), {}),
}


@KEYS
def test_a_connection_that_breaks_tells_no_key(
    key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VAR, key)
    for name, (answer, how) in BROKEN.items():
        with serving(answer) as url:
            assert not found(key, told(failure(url, **how))), name
    shown = told(failure("http://127.0.0.1:9/v1"))
    assert "cannot connect" in shown
    assert not found(key, shown + logged(caplog))


# ---------------------------------------------------------------- parts that add up


def chat(message: dict[str, Any], logprobs: object = None) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {"choices": [{**choice, "logprobs": logprobs}]}


@pytest.mark.parametrize(
    "make",
    [
        lambda key: chat({"content": [{"type": "text", "text": key[:9]}, {"type": "text", "text": key[9:]}]}),
        lambda key: chat(
            {"content": f'{key[:9]}<tool_call>{{"name": "a", "arguments": {{}}}}</tool_call>{key[9:]}'}
        ),
        lambda key: chat(
            {"content": ""}, {"content": [{"token": char, "logprob": -1.0, "bytes": None} for char in key]}
        ),
    ],
    ids=["parts", "around a call", "tokens"],
)
def test_an_answer_whose_parts_add_up_to_the_key_is_a_failure(
    make: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VAR, PLAIN)
    with serving(lambda ask: ask.send(make(ask.key))) as url:
        error = failure(url)
    assert isinstance(error, EndpointFaultError)
    assert error.kind == "garbage"
    assert "in parts that add up to it" in str(error)
    assert not found(PLAIN, told(error))


def test_scores_of_other_tokens_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VAR, PLAIN)
    tokens = {"content": [{"token": token, "logprob": -1.0} for token in ("sk-", "canary", "!")]}
    with serving(lambda ask: ask.send(chat({"content": "sk-canary!"}, tokens))) as url:
        assert agent(url).complete([TASK], (), seed=1).content == "sk-canary!"


# ---------------------------------------------------------------- objects


@KEYS
def test_no_object_shows_its_key(key: str) -> None:
    with connect("http://127.0.0.1:9/v1", "m", api_key=key) as model:
        line = model.line
        where = line.where
        for each in (model, line, where, where.hider, Key(key), vars(where), vars(line), vars(model)):
            assert not found(key, f"{each!r} {each}")
        for each in (model, line, where, where.hider, Key(key)):
            for copied in (pickle.dumps, copy.deepcopy):
                with pytest.raises(TypeError):
                    copied(each)


def test_a_key_that_cannot_be_sent_is_quoted_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("sk-canary 5f1e8d77c0ffee", "sk-canary-5f1e8d77c0ff\u00e9", "sk-canary-5f1e\n8d77c0ffee"):
        monkeypatch.setenv(VAR, key)
        error = failure("http://127.0.0.1:9/v1")
        assert isinstance(error, UsageError)
        assert "sk-canary" not in told(error)


@pytest.mark.parametrize(
    "url", ["http://user:KEY@127.0.0.1/v1", "http://h:KEY/v1", "http://[KEY]/v1", "http://h/v1?k=KEY"]
)
def test_a_key_in_a_base_url_is_refused_and_not_repeated(url: str, tmp_path: Path, opoi: Command) -> None:
    for words in (("probe",), ("run", "-q", "--out", tmp_path / "r", "--model")):
        code, said = opoi(*words, url.replace("KEY", PLAIN))
        assert code == 2
        assert not found(PLAIN, said)
    assert not list(tmp_path.iterdir())


def test_the_filter_of_the_logs_goes_with_its_line() -> None:
    names = ("httpx", "httpcore.http11", "openai._base_client")
    before = [list(logging.getLogger(name).filters) for name in names]
    with connect("http://127.0.0.1:9/v1", "m", api_key=PLAIN):
        assert all(logging.getLogger(name).filters != old for name, old in zip(names, before, strict=True))
    forgotten: EndpointModel | None = connect("http://127.0.0.1:9/v1", "m", api_key=PLAIN)
    assert forgotten is not None
    del forgotten
    assert [logging.getLogger(name).filters for name in names] == before


def test_what_is_logged_without_a_key_is_logged_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with connect("http://127.0.0.1:9/v1", "m", api_key=PLAIN):
        try:
            raise ValueError(f"with {PLAIN}")
        except ValueError:
            logging.getLogger("httpx").exception("it failed %s", 1)
        logging.getLogger("httpx").info("%s of %d", "one", 2)
        logging.getLogger("httpx").info("%(key)s", {"key": PLAIN})
    first, second, third = caplog.records
    assert first.exc_info is None
    assert "ValueError: with [key]" in caplog.text
    assert (second.msg, second.args) == ("%s of %d", ("one", 2))
    assert third.getMessage() == "[key]"
    assert not found(PLAIN, logged(caplog))


# ---------------------------------------------------------------- other programs


def test_serve_demands_a_key_and_tells_neither_it_nor_a_wrong_one(tmp_path: Path) -> None:
    wrong = PLAIN.replace("canary", "parrot")
    command = [sys.executable, "-c", "from opoi.cli import main; main()", "serve", "--suite", "echo"]
    command += ["--port", "0", "--api-key-env", VAR, "--debug"]
    env = {**os.environ, VAR: PLAIN}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        first = process.stderr.readline().decode()
        said = first
        url = first.split()[-1]
        for key in (PLAIN, wrong):
            with connect(url, "stand-in/default", api_key=key, retries=0) as model:
                try:
                    said += model.complete([TASK], (), seed=1).content
                except EndpointFaultError as error:
                    assert key == wrong
                    said += str(error)
        said += command_line(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    said += out.decode() + err.decode()
    assert "does not accept the key" in said
    assert not found(PLAIN, said)
    assert not found(wrong, said)


@KEYS
def test_a_tape_of_the_pytest_plugin_and_its_failures_hold_no_key(
    key: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VAR, key)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    with serving(echoing()) as url:
        pytester.makepyfile(
            textwrap.dedent(f"""
                from opoi.types import Message

                TASK = Message(role="user", content="Say something.", author="suite")

                def test_good(opoi_tape):
                    model = opoi_tape.model("{url}", "m", api_key_env="{VAR}", retries=0)
                    assert "[key]" in model.complete([TASK], (), seed=1).content

                def test_bad(opoi_tape):
                    model = opoi_tape.model("{url}", "m", api_key_env="{VAR}", retries=0)
                    assert model.complete([TASK], (), seed=1).content == ""

                def test_unnamed(opoi_tape):
                    opoi_tape.model("{url}", api_key_env="{VAR}", retries=0)
                """)
        )
        options = ("-p", "opoi.pytest_plugin", "-p", "no:cacheprovider", "--import-mode=importlib")
        done = pytester.runpytest_inprocess(
            *options, "--opoi-record=once", "--showlocals", "--log-level=DEBUG"
        )
    done.assert_outcomes(passed=1, failed=2)
    said = "\n".join([*done.outlines, *done.errlines])
    assert "[key]" in said
    assert not found(key, said)
    assert list(pytester.path.rglob("test_good.jsonl"))
    assert not found_below(key, pytester.path)


# ---------------------------------------------------------------- any key, any spelling

SIGNS = "".join(map(chr, range(0x21, 0x7F)))
KEY_TEXTS = st.one_of(
    st.text("abcXYZ019-_", min_size=12, max_size=40), st.text(SIGNS, min_size=12, max_size=30)
).filter(lambda key: any(char.isdigit() for char in key))
LAYERS: dict[str, Callable[[str], str]] = {
    "json": inner,
    "numbers": lambda text: inner(text).replace("e", "\\u0065"),
    "slashes": lambda text: inner(text).replace("/", "\\/"),
    "url": lambda text: quote(text, safe=""),
    "html": html.escape,
}


@pytest.mark.parametrize("word", ["none", "lm-studio", "anything", "not-needed", "EMPTY"])
def test_a_placeholder_is_no_secret_and_its_word_stays(word: str) -> None:
    assert Hider(word).text(f"I say {word}.") == f"I say {word}."


@settings(max_examples=150, deadline=None)
@given(KEY_TEXTS, st.lists(st.sampled_from([*LAYERS]), max_size=3), st.text(max_size=8), st.text(max_size=8))
@example('\\\\"%&<>x-12345', ["json", "json", "json"], "\\", "\\")
@example("%25%25%25%25ab", ["url", "url"], "%", "25")
@example("&amp;&amp;ab1", ["html", "html"], "&", "amp;")
@example("nn\\u005cn-abcd", ["json"], "\n", "n")
def test_a_key_is_hidden_under_any_layers_of_escapes(
    key: str, layers: list[str], before: str, after: str
) -> None:
    kinds = [next((i for i, kind in enumerate(("url", "html")) if kind == each), 2) for each in layers]
    assume(len({kind for kind in kinds if kind < 2}) < 2)  # escapes of URLs within HTML, say, are two codes
    assume(all(kind == 2 for kind in kinds) or 2 not in kinds)
    text = key
    for layer in layers:
        text = LAYERS[layer](text)
    text = f"{before} {text} {after}"
    hidden = Hider(key).text(text)
    assert "[key]" in hidden
    assert text != hidden
    assert key not in hidden
    assert Hider(key).text(hidden) == hidden


@settings(max_examples=100, deadline=None)
@given(KEY_TEXTS, st.text(max_size=20), st.text(max_size=20), st.integers(0, 3))
@example('":"\\",{}[]0', "\\", '"', 1)
@example("0,0,0,0,0,0,", "", "", 0)
def test_json_stays_json_with_the_key_hidden(key: str, before: str, after: str, depth: int) -> None:
    value: object = {"a": [before + key + after, 1.5, None], "bytes": list(key.encode()), key: True}
    for _ in range(depth):
        value = {"in": json.dumps(value)}
    body = json.dumps(value).encode()
    hidden = Hider(key).body(body)
    json.loads(hidden)
    assert key.encode() not in hidden
    assert inner(key).encode() not in hidden


@settings(max_examples=100)
@given(KEY_TEXTS, st.text())
def test_what_does_not_hold_the_key_is_left_alone(key: str, text: str) -> None:
    assume(not found(key, text))
    assert Hider(key).text(text) == text
    assert Hider(key).body(json.dumps([text]).encode()) == json.dumps([text]).encode()


@pytest.mark.parametrize("sign", ["\\", "%", "&", "&amp;", "%25", "s", "sk-canary-5f1e8d77c0ffe", "115,"])
def test_hiding_takes_a_time_in_proportion_to_the_text(sign: str) -> None:
    for key in (PLAIN, ODD, "\\" * 20):
        begun = time.process_time()
        Hider(key).body((sign * (1 + 500_000 // len(sign))).encode())
        assert time.process_time() - begun < 2.0


def test_a_placeholder_is_not_hidden() -> None:
    assert Hider("none").text("none") == "none"
    assert Where("http://h/v1", "m", secret="").quote("a key") == "a key"
