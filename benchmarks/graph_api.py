"""How many requests a second does the API answer, against the ceiling of a bare application?

    python benchmarks/graph_api.py [--seconds 0.7] [--rounds 5]

For three reads of an account of 20 campaigns - one object, a list of 25 (that is, all 20), and the last
seven days of one campaign by day - a bare starlette application with one route returns the same bytes, and
the API answers the request: over the same uvicorn set-up, on loopback, in one process and run, one
keep-alive connection of a client that does nothing but send the same bytes and count. Server and client
share the interpreter, so the figures are low on both sides; the ratio is what counts. Each round
measures both sides in turn: the rates are the best of the rounds, the ratios the median of theirs.

- *ratio*: the API as it is served: a repeated read of an unchanged account comes from memory;
- *fresh*: every answer worked out anew: the account counts as changed before each request.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph.server import bound, serve
from opoi_envs.ads.world.world import World

TOKEN = "benchmark"
AIM = 0.5


class Wire:
    """One keep-alive connection."""

    def __init__(self, base: str) -> None:
        place = urlsplit(base)
        self.host = f"{place.hostname}:{place.port}"
        self.socket = socket.create_connection((place.hostname or "", place.port or 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, path: str) -> bytes:
        """The bytes of a read."""
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer."""
        self.socket.sendall(request)
        data = self.socket.recv(1 << 16)
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            body += self.socket.recv(1 << 16)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(body.decode())
        return body


@contextlib.contextmanager
def bare(content: bytes) -> Iterator[str]:
    """Serve constant bytes the way the API is served."""

    async def constant(request: Request) -> Response:  # noqa: ARG001 - what starlette calls
        return Response(content, media_type="application/json")

    app = Starlette(routes=[Route("/{path:path}", constant)])
    listening = threading.Event()
    listener = bound(0)
    config = uvicorn.Config(
        app, http="h11", loop="asyncio", ws="none", lifespan="off", log_level="error", access_log=False
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.set()

    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    listening.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def rate(wire: Wire, path: str, seconds: float, before: Callable[[], None] | None = None) -> float:
    """Requests a second."""
    request = wire.request(path)
    for _ in range(20):
        wire.ask(request)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        if before is not None:
            before()
        wire.ask(request)
        count += 1
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.7, help="each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    account = Account(World(1, campaigns=20))
    act, campaign = account.world.advertiser.id, account.of_kind("campaign")[0].id
    fields = "id,name,objective,status,effective_status,daily_budget,bid_strategy,created_time"
    reads = {
        "one campaign": f"/v26.0/{campaign}/?access_token={TOKEN}&fields={fields}",
        "campaigns": f"/v26.0/{act}/campaigns?access_token={TOKEN}&limit=25&summary=true&fields={fields}",
        "7 days of one campaign": f"/v26.0/{campaign}/insights?access_token={TOKEN}&date_preset=last_7d"
        "&time_increment=1&fields=impressions,clicks,spend,actions,action_values,purchase_roas",
    }

    def changed() -> None:
        account.version += 1

    print(f"{'read':24}{'bytes':>8}{'bare':>9}{'api':>9}{'ratio':>8}{'fresh':>9}{'ratio':>8}")
    worst = 1e9
    with serve(account, TOKEN) as base:
        for name, path in reads.items():
            api = Wire(base)
            content = api.ask(api.request(path))
            with bare(content) as floor:
                wire = Wire(floor)
                rounds = [
                    (
                        rate(wire, path, options.seconds),
                        rate(api, path, options.seconds),
                        rate(api, path, options.seconds, changed),
                    )
                    for _ in range(options.rounds)
                ]
                wire.socket.close()
            api.socket.close()
            best = [max(column) for column in zip(*rounds, strict=True)]
            shares = [median(each[side] / each[0] for each in rounds) for side in (1, 2)]
            worst = min(worst, shares[0])
            print(
                f"{name:24}{len(content):8}{best[0]:9.0f}{best[1]:9.0f}{shares[0]:8.2f}"
                f"{best[2]:9.0f}{shares[1]:8.2f}"
            )
    print(f"worst ratio {worst:.2f}, aim {AIM}: {'reached' if worst >= AIM else 'missed'}")


if __name__ == "__main__":
    main()
