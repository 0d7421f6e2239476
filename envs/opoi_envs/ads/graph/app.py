"""The API over HTTP: a starlette application. Handlers run one after another and never wait in between."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from opoi_envs.ads.graph.api import Api
from opoi_envs.ads.graph.batch import Unanswered
from opoi_envs.ads.graph.errors import ApiError, body_of, trace_id
from opoi_envs.ads.graph.forms import Place, form, place_of, query
from opoi_envs.ads.graph.openapi import schema
from opoi_envs.ads.graph.site import Call, Reply

__all__ = ["application"]

_KNOWN, _LARGEST = 1024, 1 << 16
_METHODS = ("GET", "POST", "DELETE")
_CONTROL = "/control/"
_SCHEMA = "/openapi.json"
Key = tuple[str, bytes, str, str]


def application(api: Api) -> Starlette:
    """Return the application that serves an API.

    Any method and target (a path, a whole URL, `*`) is answered with JSON and the usage headers, failures of
    the program included.
    """

    async def unexpected(request: Request, error: Exception) -> Response:
        """Answer where the program itself failed; the server logs the failure."""
        trace = trace_id(request.method, request.url.path, str(error))
        body = msgspec.json.encode(body_of(ApiError("unknown"), trace))
        return Response(body, 500, dict(api.headers()), "application/json")

    async def gone(_: Request, __: Exception) -> Response:
        """Answer one who hung up before the request was whole, which is nothing to log: nobody hears it."""
        return Response(status_code=400)

    return Starlette(
        routes=[_Endpoint(api)], exception_handlers={ClientDisconnect: gone, Exception: unexpected}
    )


class _Endpoint(BaseRoute):
    """Answers every request, from memory where the same read was answered under the same account."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._kept: dict[Key, tuple[int, bytes]] = {}
        self._version = -1
        self._headers: dict[str, str] = {}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take every HTTP request."""
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        host, bearer = headers.get("host", ""), headers.get("authorization", "")
        key = (scope["path"], scope["query_string"], host, bearer)
        readable = scope["method"] == "GET" and self.api.repeatable
        if readable:
            kept = self._known(key)
            if kept is not None:
                response = Response(kept[1], kept[0], self._headers, "application/json")
                await response(scope, receive, send)
                return
        body = b"" if scope["method"] == "GET" else await Request(scope, receive).body()
        reply, lasting = self._reply(scope, headers, body)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        content = msgspec.json.encode(reply.body)
        if readable and lasting and reply.status == 200 and len(content) <= _LARGEST:
            if len(self._kept) >= _KNOWN:
                self._kept.clear()
            self._kept[key] = (reply.status, content)
        response = Response(content, reply.status, dict(reply.headers), "application/json")
        await response(scope, receive, send)

    def _known(self, key: Key) -> tuple[int, bytes] | None:
        """Return the kept answer to a read, if the account has not changed since."""
        version = self.api.site.account.version
        if self._version != version:
            self._version = version
            self._kept = {}
            self._headers = dict(self.api.headers())
        return self._kept.get(key)

    def _reply(self, scope: Scope, headers: Headers, body: bytes) -> tuple[Reply, bool]:
        """Return the answer, and whether it holds until the account changes."""
        path = _path(scope)
        controls = path.startswith(_CONTROL)
        place = (
            Place(tuple(filter(None, path[len(_CONTROL) :].split("/"))), None, "")
            if controls
            else place_of(path)
        )
        call = _call(scope, headers, place, {})
        try:
            call = _call(scope, headers, place, form(body, headers.get("content-type", "")) if body else {})
        except ApiError as error:
            return self.api.failure(call, error), False
        if call.method not in _METHODS:
            return self.api.failure(
                call, ApiError("unknown_object", f"Unsupported {call.method} request")
            ), False
        if controls:
            return self.api.control(call), False
        if path == _SCHEMA:
            return self._schema(call), True
        try:
            reply = self.api.handle(call)
        except Unanswered:
            return self.api.failure(call, ApiError("transient")), False
        polls = bool(call.path) and self.api.reports.find(self.api.site, call.path[0]) is not None
        return reply, not polls

    def _schema(self, call: Call) -> Reply:
        try:
            self.api.check_token(call)
        except ApiError as error:
            return self.api.failure(call, error)
        return Reply(body=schema(self.api.site.account_id), headers=self.api.headers())


def _path(scope: Scope) -> str:
    """Return the path of a request, also of one whose target is a whole URL."""
    path: str = scope["path"]
    _, found, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if found and not path.startswith("/") else path


def _call(scope: Scope, headers: Headers, place: Place, fields: dict[str, str]) -> Call:
    params = {**query(scope["query_string"].decode("latin-1")), **fields}
    bearer = headers.get("authorization", "")
    found = bearer[7:].strip() if bearer[:7].lower() == "bearer " else None
    host = headers.get("host", "127.0.0.1")
    return Call(
        method="GET" if scope["method"] == "HEAD" else scope["method"],
        path=place.path,
        version=place.version,
        params=params,
        root=f"{scope['scheme']}://{host}{place.root}",
        token=params.get("access_token") or found,
        linked="access_token" in params,
    )
