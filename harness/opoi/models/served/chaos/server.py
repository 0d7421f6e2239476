"""The server that misbehaves: chat completions over plain sockets, so that connections can break anywhere.

    POST /v1/chat/completions     struck by the plan
    POST /v1/completions          calm
    GET  /v1/models               calm

It keeps account of what it was asked and what it answered, so that a test can tell what was paid for twice.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any, Literal

from msgspec import Struct

from opoi.models.served.asked import read_chat
from opoi.models.served.chaos.plan import CALM, Lasting, Passing, Plan
from opoi.models.served.chaos.spoil import Sent, plain_answer, sent_for
from opoi.models.served.chat import complete
from opoi.models.served.completions import complete_text, read_completion
from opoi.models.served.language import LanguageModel
from opoi.models.served.requests import RefusedError, decode_body
from opoi.protocols import Model

__all__ = ["Asked", "Chaos", "Moment", "chaotic"]

Moment = Literal["asked", "amid", "answered"]
"""When a watcher is called: before a byte was sent, when half of them are, and when all are."""

_CHAT = "/v1/chat/completions"

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 seconds: closing sends RST."""

_LONGEST = 60.0
"""Seconds that a client that gives no sign of life is waited for."""


class Asked(Struct, frozen=True):
    """One try of a request that the plan may strike.

    Attributes:
        request: Digest of the request.
        number: How often it came before.
        seed: Its sampling seed, None where it has none.
        passing: What became of the try, None for nothing.
        lasting: What was wrong with the model's answer, None for nothing.
        paid: A usable answer went out.
    """

    request: str
    number: int
    seed: int | None
    passing: Passing | None
    lasting: Lasting | None
    paid: bool


class Chaos:
    """What one misbehaving server knows. Safe to use from several threads.

    Args:
        model: Answers.
        name: Name under which it is offered.
        plan: What strikes; may be changed while the server runs.
        strikes: Tells which requests the plan strikes at all.
        watch: Called with each struck request at each moment of it, in the thread of its connection.

    Attributes:
        url: Base URL, once it listens.
        tries: What was asked, in the order in which it came to its end.
    """

    def __init__(
        self,
        model: Model,
        *,
        name: str,
        plan: Plan,
        strikes: Callable[[dict[str, Any]], bool],
        watch: Callable[[Asked, Moment], None],
    ) -> None:
        self.url = ""
        self.plan = plan
        self.watch = watch
        self.tries: list[Asked] = []
        self._model = model
        self._name = name
        self._language = LanguageModel()
        self._strikes = strikes
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Begin anew: as if nothing had been asked."""
        with self._lock:
            self._counts.clear()
            self.tries.clear()

    def answer(self, method: str, path: str, body: bytes) -> tuple[Sent, Asked | None]:
        """Return what is sent in answer to a request, and the entry for the account, if there is one."""
        if (method, path) == ("GET", "/v1/models"):
            card = {"id": self._name, "object": "model", "created": 0, "owned_by": "opoi"}
            return plain_answer(200, {"object": "list", "data": [card]}), None
        try:
            if method != "POST" or path not in (_CHAT, "/v1/completions"):
                raise RefusedError(f"there is no {method} {path}", status=404, code="unknown_url")
            raw = decode_body(body)
            if path != _CHAT:
                asked = read_completion(raw, [self._name], body)
                return plain_answer(200, complete_text(self._model, asked, self._name, self._language)), None
            return self._chat(raw, body)
        except RefusedError as error:
            return plain_answer(error.status, error.body), None

    def _chat(self, raw: dict[str, Any], body: bytes) -> tuple[Sent, Asked | None]:
        asked = read_chat(raw, [self._name], body)
        completion = complete(self._model, asked, self._name)
        if not self._strikes(raw):
            calm = CALM.strike("", 0, streamed=asked.stream)
            return sent_for(completion, calm, streamed=asked.stream, usage=asked.usage_in_stream), None
        request = blake2b(body, digest_size=12).hexdigest()
        with self._lock:
            number = self._counts[request]
            self._counts[request] += 1
        struck = self.plan.strike(request, number, streamed=asked.stream)
        sent = sent_for(completion, struck, streamed=asked.stream, usage=asked.usage_in_stream)
        entry = Asked(request, number, raw.get("seed"), struck.passing, struck.lasting, struck.answered)
        return sent, entry

    def book(self, entry: Asked) -> None:
        """Add to the account."""
        with self._lock:
            self.tries.append(entry)


def _always(_: dict[str, Any]) -> bool:
    return True


def _unwatched(_: Asked, __: Moment) -> None:
    """Watch nothing."""


@contextmanager
def chaotic(
    model: Model,
    *,
    name: str,
    plan: Plan,
    strikes: Callable[[dict[str, Any]], bool] = _always,
    watch: Callable[[Asked, Moment], None] = _unwatched,
) -> Iterator[Chaos]:
    """Serve a model on loopback, and misbehave, for the length of a `with` block.

    Args:
        model: Answers.
        name: Name under which it is offered.
        plan: What strikes.
        strikes: Tells, from a decoded request, whether the plan strikes it; by default all chat completions.
        watch: Called with each struck request at each moment of it.
    """
    chaos = Chaos(model, name=name, plan=plan, strikes=strikes, watch=watch)
    with _Server(chaos) as server:
        chaos.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield chaos
        finally:
            server.shutdown()
            thread.join()
            server.hang_up()


# ---------------------------------------------------------------- sockets


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each connection; closing waits for all of them."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Connection)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as in the base class
        """Close at once: the FIN that the base class would send first belies a reset."""
        with self._lock:
            self._open.discard(request)
            request.close()

    def opened(self, request: socket.socket) -> None:
        """Note a connection that is to be closed at the end."""
        with self._lock:
            self._open.add(request)

    def hang_up(self) -> None:
        """End all connections; their threads see it and return."""
        with self._lock:
            for request in self._open:
                with suppress(OSError):  # the client has gone already
                    request.shutdown(socket.SHUT_RDWR)


class _Connection(socketserver.BaseRequestHandler):
    """The requests of one connection, one after the other."""

    server: _Server

    def handle(self) -> None:
        self.server.opened(self.request)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(_LONGEST)
        self._received = b""
        try:
            while (asked := self._read()) is not None:
                if not self._serve(*self.server.chaos.answer(*asked)):
                    return
        except OSError:  # the client has gone, or was killed: that is what this server is for
            return

    def _read(self) -> tuple[str, str, bytes] | None:
        """Return method, path and body of the next request; None where the client has closed."""
        head = self._until(lambda data: data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0)
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        size = int(fields.get("content-length", "0"))
        body = self._until(lambda data: size if len(data) >= size else 0) if size else b""
        return None if body is None else (method, path, body)

    def _until(self, end: Callable[[bytes], int]) -> bytes | None:
        """Receive until an end is found; None where the client closes before."""
        while not (found := end(self._received)):
            more = self.request.recv(1 << 16)
            if not more:
                return None
            self._received += more
        taken, self._received = self._received[:found], self._received[found:]
        return taken

    def _serve(self, sent: Sent, entry: Asked | None) -> bool:
        """Send; return whether the connection goes on."""
        chaos = self.server.chaos
        if entry is None:
            self.request.sendall(sent.data)
            return True
        chaos.watch(entry, "asked")
        half = len(sent.data) // 2
        self.request.sendall(sent.data[:half])
        chaos.watch(entry, "amid")
        chaos.book(entry)  # before the client can act on the answer
        self.request.sendall(sent.data[half:])
        chaos.watch(entry, "answered")
        if sent.ending == "never":
            self.request.recv(1)  # until the client gives up
        elif sent.ending == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return sent.ending == "whole"
