"""Any model as an ASGI application that speaks OpenAI's HTTP interface.

    POST /v1/chat/completions     streaming (server-sent events) and not
    POST /v1/completions          the same, with echo
    GET  /v1/models, GET /v1/models/{id}
    files, fine-tuning jobs       see `opoi.models.served.tuning`

Equal requests get equal answers: the seed is that of the request, or derived from its bytes.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from opoi.errors import EndpointError, OpoiError
from opoi.models.served.asked import read_chat
from opoi.models.served.chat import complete
from opoi.models.served.completions import complete_text, read_completion
from opoi.models.served.language import LanguageModel
from opoi.models.served.quirks import NEUTRAL, Quirks
from opoi.models.served.requests import RefusedError, decode_body, require_model
from opoi.models.served.streams import chat_chunks, completion_chunks
from opoi.models.served.tuning import Tuning
from opoi.protocols import Model

__all__ = ["app"]

_CHAT = "/v1/chat/completions"
_COMPLETIONS = "/v1/completions"
_MODELS = "/v1/models"

_encode = msgspec.json.Encoder().encode

Endpoint = Callable[[Request], Awaitable[Response]]


class _Asked(Protocol):
    """What requests for an answer have in common."""

    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def usage_in_stream(self) -> bool: ...


A = TypeVar("A", bound=_Asked)


def app(
    model: Model,
    *,
    name: str,
    token: str | None = None,
    quirks: Quirks = NEUTRAL,
    tuning: Tuning | None = None,
) -> Starlette:
    """Return the ASGI application.

    Args:
        model: Answers, for itself and for the models that were tuned; called in a pool of threads.
        name: Name under which the model is offered.
        token: The bearer token that requests have to carry; None lets all in.
        quirks: What is done differently.
        tuning: Files and fine-tuning jobs, and the language models that give log-probabilities; None makes
            one that starts from a language model that has learned nothing.
    """
    served = _Served(model, name, quirks, tuning or Tuning(name, LanguageModel()))
    return Starlette(
        routes=served.routes(),
        middleware=[] if token is None else [Middleware(_Guard, token=token, quirks=quirks)],
        exception_handlers={
            RefusedError: served.refused,
            HTTPException: served.no_route,
            OpoiError: served.model_failed,
            ClientDisconnect: _gone,
            Exception: served.crashed,
        },
    )


class _Served:
    """One model and its routes."""

    def __init__(self, model: Model, name: str, quirks: Quirks, tuning: Tuning) -> None:
        self._model = model
        self._name = name
        self._quirks = quirks
        self._tuning = tuning

    def routes(self) -> list[Route]:
        """Return all routes."""
        chat = self._answering(_CHAT, read_chat, complete, chat_chunks)
        completions = self._answering(_COMPLETIONS, read_completion, complete_text, completion_chunks)
        return [
            Route(_CHAT, chat, methods=["POST"]),
            Route(_COMPLETIONS, completions, methods=["POST"]),
            Route(_MODELS, self._models, methods=["GET"]),
            Route(_MODELS + "/{id:path}", self._one_model, methods=["GET"]),
            *self._tuning.routes(),
        ]

    # ------------------------------------------------------------ answers

    def _answering(
        self,
        path: str,
        read: Callable[[dict[str, Any], list[str], bytes], A],
        answer: Callable[[Model, A, str, LanguageModel], dict[str, Any]],
        chunks: Callable[..., Iterator[dict[str, Any]]],
    ) -> Endpoint:
        """Return an endpoint that reads a request, has it answered, and sends the answer."""

        def respond(body: bytes) -> tuple[dict[str, Any], A, dict[str, Any]]:
            raw = decode_body(body)
            asked = read(self._understood(path, raw), self._names(), body)
            result = answer(self._model, asked, asked.model, self._language(asked.model))
            return raw, asked, self._quirks.answer(path, raw, result)

        async def endpoint(request: Request) -> Response:
            raw, asked, result = await run_in_threadpool(respond, await request.body())
            if not asked.stream:
                return _json(result)
            pieces = self._quirks.stream(raw, chunks(result, usage=asked.usage_in_stream))
            return StreamingResponse(_events(pieces), media_type="text/event-stream")

        return endpoint

    def _understood(self, path: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Return a request as the quirks would have it."""
        raw = self._quirks.request(path, raw)
        if self._quirks.unknown_model == "accepted" and raw.get("model") not in self._names():
            return {**raw, "model": self._name}
        return raw

    def _names(self) -> list[str]:
        return [self._name, *self._tuning.models()]

    def _language(self, name: str) -> LanguageModel:
        language = self._tuning.language_of(name)
        if language is None:  # deleted since the request was read
            require_model(name, [self._name])
        return language or LanguageModel()

    # ------------------------------------------------------------ models

    async def _models(self, _: Request) -> Response:
        self._quirks.request(_MODELS, {})
        listing = {"object": "list", "data": [_card(name) for name in self._names()]}
        return _json(self._quirks.answer(_MODELS, {}, listing))

    async def _one_model(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        path = f"{_MODELS}/{wanted}"
        self._quirks.request(path, {})
        require_model(wanted, self._names())
        return _json(self._quirks.answer(path, {}, _card(wanted)))

    # ------------------------------------------------------------ failures

    async def refused(self, _: Request, error: Exception) -> Response:
        """Answer a request that cannot be done."""
        assert isinstance(error, RefusedError)
        return _failure(self._quirks, error.status, error.body)

    async def no_route(self, request: Request, error: Exception) -> Response:
        """Answer a request for a path or method that there is not."""
        assert isinstance(error, HTTPException)
        code = "method_not_allowed" if error.status_code == 405 else "unknown_url"
        refusal = RefusedError(f"{error.detail}: {request.method} {request.url.path}", code=code)
        return _failure(self._quirks, error.status_code, refusal.body, error.headers)

    async def model_failed(self, _: Request, error: Exception) -> Response:
        """Answer for a model that says that it failed."""
        status = 502 if isinstance(error, EndpointError) else 500
        refusal = RefusedError(str(error), type="server_error", code="model_failed")
        return _failure(self._quirks, status, refusal.body)

    async def crashed(self, _: Request, error: Exception) -> Response:
        """Answer for a model that raised; the traceback goes to the log of the server."""
        refusal = RefusedError(
            f"the model raised {type(error).__name__}", type="server_error", code="model_crashed"
        )
        return _failure(self._quirks, 500, refusal.body)


class _Guard:
    """Lets only requests with the bearer token through."""

    def __init__(self, app: ASGIApp, token: str, quirks: Quirks) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._quirks = quirks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                refusal = RefusedError("the bearer token is wrong", status=401, code="invalid_api_key")
                await _failure(self._quirks, refusal.status, refusal.body)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _gone(_: Request, __: Exception) -> Response:
    """Answer one who hung up before the request was whole, which is nothing to log: nobody hears it."""
    return Response(status_code=400)


def _card(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "opoi"}


def _json(value: object) -> Response:
    return Response(_encode(value), media_type="application/json")


def _failure(
    quirks: Quirks, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    status, shown, closes = quirks.error(status, body)
    headers = {**(headers or {}), **({"connection": "close"} if closes else {})}
    if isinstance(shown, str):
        return Response(shown, status, headers, media_type="text/plain")
    return Response(_encode(shown), status, headers, media_type="application/json")


async def _events(pieces: Iterable[dict[str, Any]]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield b"data: " + _encode(piece) + b"\n\n"
    yield b"data: [DONE]\n\n"
