"""Any model behind an OpenAI-compatible HTTP server: for tools that only speak HTTP, and for tests.

    POST /v1/chat/completions     streaming (server-sent events) and not
    GET  /v1/models, GET /v1/models/{id}

Equal requests get equal answers: the seed is that of the request, or derived from its bytes.
"""

from __future__ import annotations

import hmac
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from opoi.errors import EndpointError, OpoiError, UsageError
from opoi.models.chat import ChatRequest, RefusedError, chunks, complete, read_request
from opoi.protocols import Model

__all__ = ["app", "running", "serve"]

_encode = msgspec.json.Encoder().encode

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def app(model: Model, *, name: str, token: str | None = None) -> Starlette:
    """Return the ASGI application.

    Args:
        model: Answers; called in a pool of threads.
        name: Name under which the model is offered.
        token: The bearer token that requests have to carry; None lets all in.
    """

    def respond(body: bytes) -> tuple[ChatRequest, dict[str, Any]]:
        asked = read_request(body, name)
        return asked, complete(model, asked, name)

    async def completions(request: Request) -> Response:
        asked, result = await run_in_threadpool(respond, await request.body())
        if asked.stream:
            return StreamingResponse(_events(asked, result), media_type="text/event-stream")
        return _json(result)

    async def models(_: Request) -> Response:
        return _json({"object": "list", "data": [_card(name)]})

    async def one_model(request: Request) -> Response:
        wanted = request.path_params["id"]
        if wanted != name:
            raise RefusedError(
                f"the model {wanted!r} does not exist; there is {name!r}",
                status=404,
                param="model",
                code="model_not_found",
            )
        return _json(_card(name))

    return Starlette(
        routes=[
            Route("/v1/chat/completions", completions, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/models/{id:path}", one_model, methods=["GET"]),
        ],
        middleware=[] if token is None else [Middleware(_Guard, token=token)],
        exception_handlers={
            RefusedError: _refused,
            HTTPException: _no_route,
            OpoiError: _model_failed,
            Exception: _crashed,
        },
    )


def serve(
    model: Model,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str,
    ready: Callable[[str], None],
    token: str | None = None,
) -> None:
    """Serve a model until Ctrl-C or SIGTERM.

    Args:
        model: Answers.
        host: A loopback address: what is served here is a test double without limits or encryption.
        port: 0 takes a free one.
        name: Name under which the model is offered.
        ready: Gets the base URL once the server listens.
        token: As for `app`.

    Raises:
        UsageError: The address is taken, or is not a loopback address.
    """
    with _bound(host, port) as sock:
        server = _Server(app(model, name=name, token=token), ready=lambda: ready(_url(sock)))
        try:
            server.run(sockets=[sock])
        except KeyboardInterrupt:
            return  # uvicorn has shut down in order by now and raises the signal once more


@contextmanager
def running(model: Model, *, name: str, token: str | None = None, port: int = 0) -> Iterator[str]:
    """Serve a model on loopback in a thread for the length of a `with` block; yields the base URL.

    Raises:
        UsageError: The port is taken.
    """
    with _bound("127.0.0.1", port) as sock:
        started: SimpleQueue[None] = SimpleQueue()
        server = _Server(app(model, name=name, token=token), ready=lambda: started.put(None))
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


# ---------------------------------------------------------------- requests and responses


class _Guard:
    """Lets only requests with the bearer token through."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                refusal = RefusedError("the bearer token is wrong", status=401, code="invalid_api_key")
                await _json(refusal.body, refusal.status)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _card(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "opoi"}


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(value), status, headers=headers, media_type="application/json")


async def _events(asked: ChatRequest, result: dict[str, Any]) -> AsyncIterator[bytes]:
    for chunk in chunks(asked, result):
        yield b"data: " + _encode(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _json(error.body, error.status)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "method_not_allowed" if error.status_code == 405 else "unknown_url"
    refusal = RefusedError(f"{error.detail}: {request.method} {request.url.path}", code=code)
    return _json(refusal.body, error.status_code, error.headers)


async def _model_failed(_: Request, error: Exception) -> Response:
    status = 502 if isinstance(error, EndpointError) else 500
    refusal = RefusedError(str(error), type="server_error", code="model_failed")
    return _json(refusal.body, status)


async def _crashed(_: Request, error: Exception) -> Response:
    """Answer for a model that raised; the traceback goes to the log of the server."""
    refusal = RefusedError(
        f"the model raised {type(error).__name__}", type="server_error", code="model_crashed"
    )
    return _json(refusal.body, 500)
