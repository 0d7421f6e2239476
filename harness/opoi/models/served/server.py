"""Any model behind an OpenAI-compatible HTTP server on loopback: for tools that speak it, and for tests.

What is served: see `opoi.models.served.application`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import uvicorn
from starlette.applications import Starlette

from opoi.errors import UsageError
from opoi.models.served.application import app
from opoi.models.served.quirks import NEUTRAL, Quirks
from opoi.protocols import Model

__all__ = ["app", "running", "serve"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    model: Model,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str,
    ready: Callable[[str], None],
    token: str | None = None,
    quirks: Quirks = NEUTRAL,
) -> None:
    """Serve a model until Ctrl-C or SIGTERM.

    Args:
        model: Answers.
        host: A loopback address: what is served here is a test double without limits or encryption.
        port: 0 takes a free one.
        name: Name under which the model is offered.
        ready: Gets the base URL once the server listens.
        token: As for `app`.
        quirks: As for `app`.

    Raises:
        UsageError: The address is taken, or is not a loopback address.
    """
    application = app(model, name=name, token=token, quirks=quirks)
    with _bound(host, port) as sock:
        server = _Server(application, ready=lambda: ready(_url(sock)))
        try:
            server.run(sockets=[sock])
        except KeyboardInterrupt:
            return  # uvicorn has shut down in order by now and raises the signal once more


@contextmanager
def running(
    model: Model, *, name: str, token: str | None = None, port: int = 0, quirks: Quirks = NEUTRAL
) -> Iterator[str]:
    """Serve a model on loopback in a thread for the length of a `with` block; yields the base URL.

    Args:
        model: Answers.
        name: Name under which the model is offered.
        token: As for `app`.
        port: 0 takes a free one.
        quirks: As for `app`.

    Raises:
        UsageError: The port is taken.
    """
    application = app(model, name=name, token=token, quirks=quirks)
    with _bound("127.0.0.1", port) as sock:
        started: SimpleQueue[None] = SimpleQueue()
        server = _Server(application, ready=lambda: started.put(None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            started.get(timeout=30)
            yield _url(sock)
        finally:
            server.should_exit = True
            thread.join()


# ---------------------------------------------------------------- sockets


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens."""

    def __init__(self, application: Starlette, *, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_level="warning",
                access_log=False,
                lifespan="off",
                loop="asyncio",
                timeout_keep_alive=75,  # longer than clients keep idle connections
                timeout_graceful_shutdown=3,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a socket and close it at the end."""
    if host not in _LOOPBACK:
        raise UsageError(
            f"models are served on loopback only, not on {host!r}",
            why="the server is a test double without limits or encryption",
            fix="use 127.0.0.1; put a proxy in front of it where others have to reach it",
        )
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named: without it each answer waits
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {host}:{port}",
                why=str(error),
                fix="choose another port; 0 takes a free one",
            ) from error
        yield sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
