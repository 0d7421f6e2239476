"""Any OpenAI-compatible chat-completions server as a model.

The official client brings authentication, retries with backoff and time-outs. Requests go through its
`post` and the answer is read by `opoi.wire.decode_reply`: `create()` costs more than twice the CPU.
`openai` is imported when the first endpoint is made, not before.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import httpx
import msgspec
from msgspec import Struct

from opoi.errors import UsageError
from opoi.models.faults import EndpointFaultError, Where
from opoi.models.toolcalls import take_raw_calls
from opoi.models.urls import checked_url, is_loopback
from opoi.types import UNREADABLE, Message, Reply, ToolSpec
from opoi.wire import decode_reply, encode_messages, encode_tool

if TYPE_CHECKING:
    import openai

__all__ = ["EndpointModel", "list_models"]

_OWN_FIELDS = ("messages", "model", "n", "seed", "stream", "tools")
"""What `extra_body` may not set: our side of the contract depends on these."""

_CONNECTIONS = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)


class EndpointModel:
    """A model behind an OpenAI-compatible chat-completions endpoint. Satisfies `opoi.protocols.Model`.

    Safe to call from several threads. Tool calls that the server leaves as `<tool_call>` text are read
    from the text where tools were offered (see `opoi.models.toolcalls`).

    Args:
        base_url: The URL before `/chat/completions`; usually ends in `/v1`.
        model: Name of the model, as the server knows it; also `name`.
        api_key: The key; any text for a server that wants none. It appears in no message and no repr.
        temperature: Sampling temperature; None sends none.
        max_tokens: Most tokens of one answer; None sends none.
        timeout: Seconds without a byte from the server before a try is given up.
        retries: Tries after the first, for broken connections, time-outs, 408, 409, 429 and 5xx.
        http_client: Client to send with, `httpx.Client` or what the installed `openai` takes; it stays
            the caller's to close. By default an `httpx.Client` that is closed with the model, ignores
            proxy settings for loopback addresses, and follows no redirects.
        extra_body: More fields for every request; None as a value leaves a field out, so that e.g.
            `{"max_tokens": None, "max_completion_tokens": 512}` replaces one.

    Raises:
        UsageError: An argument cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str,
        temperature: float | None = 0.7,
        max_tokens: int | None = 1024,
        timeout: float = 120.0,
        retries: int = 2,
        http_client: httpx.Client | Any | None = None,  # noqa: ANN401 - httpx2.Client where installed
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if not model:
            raise UsageError("a model endpoint needs the name of a model")
        own = [field for field in extra_body or {} if field in _OWN_FIELDS]
        if own:
            raise UsageError(f"extra_body must not set {own[0]!r}", why="opoi sets this field itself")
        self.name = model
        self._line = _Line(
            base_url, model, api_key=api_key, timeout=timeout, retries=retries, http_client=http_client
        )
        settings = {"temperature": temperature, "max_tokens": max_tokens, **(extra_body or {})}
        self._settings = {key: value for key, value in settings.items() if value is not None}

    def __repr__(self) -> str:
        return f"EndpointModel({self._line.where.url!r}, {self.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless the caller brought the client."""
        self._line.close()

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Answer the last message; see `opoi.protocols.Model.complete`.

        A server that works but cannot parse what its model wrote gives an empty reply whose finish
        reason is `unreadable`: that is the model's failure, not the endpoint's.

        Raises:
            EndpointFaultError: No usable answer could be had; `kind` says which failure it was.
        """
        body = {"model": self.name, "messages": encode_messages(messages), "seed": seed, **self._settings}
        if tools:
            body["tools"] = [encode_tool(tool) for tool in tools]
        try:
            reply = self._ask(body)
        except EndpointFaultError as fault:
            if fault.kind == "unreadable":
                return Reply(finish_reason=UNREADABLE)
            raise
        return take_raw_calls(reply) if tools else reply

    def check(self) -> None:
        """Make one cheap completion, to find out before a run whether there can be one.

        One token is asked for. A server that refuses so short an answer is asked again as a run would.

        Raises:
            EndpointFaultError: There can be no run; `fix` says what to try.
        """
        question = Message(role="user", content="Say OK.", author="suite")
        body = {"model": self.name, "messages": encode_messages([question]), "seed": 0, **self._settings}
        length = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        try:
            self._ask({**body, length: 1})
        except EndpointFaultError as fault:
            if fault.kind != "request":
                raise
            self._ask(body)

    def _ask(self, body: dict[str, Any]) -> Reply:
        answer = self._line.post("/chat/completions", body)
        try:
            return decode_reply(answer)
        except ValueError as error:
            problem = str(error)
        raise self._line.where.garbage(problem, answer)


class _Listed(Struct):
    id: str


class _Listing(Struct):
    data: list[_Listed]


def list_models(
    base_url: str,
    *,
    api_key: str,
    timeout: float = 30.0,
    retries: int = 2,
    http_client: httpx.Client | Any | None = None,  # noqa: ANN401 - httpx2.Client where installed
) -> tuple[str, ...]:
    """Return the names of the models that an endpoint offers, in its order; see `EndpointModel`.

    Raises:
        EndpointFaultError: It does not say.
        UsageError: An argument cannot be used.
    """
    line = _Line(base_url, "", api_key=api_key, timeout=timeout, retries=retries, http_client=http_client)
    try:
        answer = line.get("/models")
    finally:
        line.close()
    try:
        listing = msgspec.json.decode(answer, type=_Listing)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = f"not a list of models: {error}"
    else:
        return tuple(entry.id for entry in listing.data)
    raise line.where.garbage(problem, answer)


class _Line:
    """One connection to one endpoint: bytes in, bytes out, every failure an `EndpointFaultError`."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str,
        timeout: float,
        retries: int,
        http_client: Any | None,  # noqa: ANN401 - httpx.Client or httpx2.Client
    ) -> None:
        url = checked_url(base_url)
        key = _checked_key(api_key)
        if not timeout > 0 or retries < 0:
            raise UsageError("`timeout` must be over 0 seconds and `retries` at least 0")
        import openai

        own = http_client is None
        if own:
            http_client = httpx.Client(limits=_CONNECTIONS, trust_env=not is_loopback(url))
        self.where = Where(url, model, secret=key)
        self._timeout = timeout
        self._openai = openai
        self._client: Any = openai.OpenAI(
            base_url=url, api_key=key, timeout=timeout, max_retries=retries, http_client=http_client
        )
        # Not every user of a model closes it: a forgotten one closes its sockets when it is collected.
        self._release = weakref.finalize(self, self._client.close if own else _nothing)

    def close(self) -> None:
        """Close the connections that are ours."""
        self._release()

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """Send a JSON object and return the body of the answer."""
        return self._bytes_of(self._client.post, path, body=body)

    def get(self, path: str) -> bytes:
        """Return what lies at a path."""
        return self._bytes_of(self._client.get, path)

    def _bytes_of(self, send: Callable[..., httpx.Response], path: str, **options: object) -> bytes:
        """Send; the fault is raised outside the handler, so that no request with a key hangs on it."""
        try:
            return send(path, cast_to=httpx.Response, **options).content
        except self._openai.APITimeoutError as error:
            fault = self._timed_out(error)
        except self._openai.APIConnectionError as error:
            fault = self._disconnected(error)
        except self._openai.APIStatusError as error:
            response = error.response
            fault = self.where.status(
                response.status_code, response.content, response.headers.get("location", "")
            )
        except UnicodeEncodeError as error:
            fault = self.where.unsendable(error.reason)
        raise fault

    def _timed_out(self, error: openai.APITimeoutError) -> EndpointFaultError:
        if type(error.__cause__).__name__ == "ConnectTimeout":
            return self.where.unreachable(f"no connection within {self._timeout:g} s")
        return self.where.timeout(self._timeout)

    def _disconnected(self, error: openai.APIConnectionError) -> EndpointFaultError:
        """Tell apart by name: the cause is of httpx or of httpx2, whichever the client is made of."""
        cause = error.__cause__
        kind = type(cause).__name__
        reason = str(cause) or kind
        if kind == "ConnectError":
            return self.where.unreachable(reason)
        if kind == "DecodingError":
            return self.where.garbage(f"its compression is broken: {reason}", b"")
        return self.where.broken(reason)


def _nothing() -> None:
    """Close nothing: the client is the caller's."""


def _checked_key(key: str) -> str:
    """Return the key without surrounding blanks; the client would quote one that it cannot send."""
    key = key.strip()
    if not key or not all("!" <= char <= "~" for char in key):
        raise UsageError(
            "the API key is empty or holds characters that cannot be sent in a header",
            fix="check the variable named by `api_key_env`; for a server without keys any text will do",
        )
    return key
