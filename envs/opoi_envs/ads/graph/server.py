"""Serving the API on loopback: until a signal, or in the background of a test."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph.api import Api
from opoi_envs.ads.graph.app import application
from opoi_envs.ads.graph.faults import Faults
from opoi_envs.ads.graph.limits import Limits

__all__ = ["HOST", "bound", "serve", "serve_forever"]

HOST = "127.0.0.1"
_PATIENCE = 30.0
_KEEP_ALIVE = 600


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self._ready()


def bound(port: int) -> socket.socket:
    """Return a socket bound to a port of this machine; 0 picks a free one.

    It names its protocol, since asyncio sends small answers without delay on such sockets only.

    Raises:
        OSError: The port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def serve_forever(api: Api, listener: socket.socket, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        api: What to serve.
        listener: Of `bound`.
        ready: Called with the base URL once the server listens.
    """
    server = _server(api, lambda: ready(_url(listener)))

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what a signal handler gets
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def serve(
    account: Account, token: str, *, limits: Limits | None = None, faults: Faults | None = None
) -> Iterator[str]:
    """Serve an account in the background and yield the base URL.

    Args:
        account: The account.
        token: The access token.
        limits: Rate limits; off by default.
        faults: Failures on purpose; none by default.

    Raises:
        RuntimeError: The server did not start.
    """
    listening = threading.Event()
    listener = bound(0)
    server = _server(Api(account, token, limits=limits, faults=faults), listening.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        if not listening.wait(_PATIENCE):
            raise RuntimeError("the server did not start")
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        listener.close()


def _server(api: Api, ready: Callable[[], None]) -> _Server:
    config = uvicorn.Config(
        application(api),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, ready)


def _url(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"
