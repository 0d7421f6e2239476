"""One connection to one endpoint through the official client, with patience for what passes.

Each answer is bounded in time and size, once its headers are there. What may pass (a broken connection, a
time-out, 408, 409, 425, 429, 5xx, a torn stream, an answer that is none) is tried again after a wait; the
wait ends at once when the run is stopped. The client's own retries are switched off: it does not see torn
streams or unusable answers, disregards waits of over a minute, sleeps through Ctrl-C, and keeps no budget
over calls.

`openai` is imported when the first line is made, not before.
"""

from __future__ import annotations

import random
import ssl
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from msgspec import Struct

from opoi.errors import UsageError
from opoi.halting import Halt
from opoi.models.endpoint.bounds import EndlessError, bounded, bounding
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.hiding import Key, LogFilter
from opoi.models.endpoint.limiter import Limiter
from opoi.models.endpoint.patience import Budget, TooLongError, asked_wait, wait_of
from opoi.models.endpoint.streams import StreamError, events_of, gather
from opoi.models.endpoint.toolcalls import take_raw_calls
from opoi.models.meter import Meter
from opoi.models.urls import checked_url, is_loopback
from opoi.wire import decode_reply

if TYPE_CHECKING:
    import openai

__all__ = ["HttpLine"]

_CONNECTIONS = 1100
"""Most at once; all of them are kept."""

_ASKED = 10
"""Tries of one call, besides its retries, that an endpoint may ask for by naming a time to come back."""

_CONGESTED = (429, 503)
"""Statuses that say that there is too much to do; a time-out says the same."""

_encode = msgspec.json.Encoder().encode


class HttpLine:
    """Requests over HTTP: JSON in, bytes out. Satisfies `opoi.models.endpoint.lines.Line`.

    Args:
        base_url: The URL before `/chat/completions`; usually ends in `/v1`.
        model: Name of the model, for messages; `""` where none is asked for.
        api_key: The key; any text for a server that wants none. It appears in no message, no repr, no log
            and no answer: an answer that holds it comes back with `[key]` in its place.
        timeout: Seconds without a byte from the server before a try is given up.
        retries: Tries after the first.
        http_client: Client to send with, `httpx.Client` or what the installed `openai` takes; it stays
            the caller's to close. By default a client of the library that `openai` is made of, closed with
            the line; it ignores proxy settings for loopback addresses, and follows no redirects.
        halt: Stops calls before they begin and waits at once.
        limiter: How many calls may be under way; None for any number.
        budget: Bounds retries over all calls; None for a new one.
        meter: Counts calls and tokens; None for nobody who does.

    Raises:
        UsageError: An argument cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        model: str = "",
        *,
        api_key: str | Key,
        timeout: float = 120.0,
        retries: int = 2,
        http_client: httpx.Client | Any | None = None,  # noqa: ANN401 - httpx2.Client where installed
        halt: Halt | None = None,
        limiter: Limiter | None = None,
        budget: Budget | None = None,
        meter: Meter | None = None,
    ) -> None:
        url = checked_url(base_url)
        api_key = _checked_key(api_key)
        if not timeout > 0 or retries < 0:
            raise UsageError("`timeout` must be over 0 seconds and `retries` at least 0")
        import openai

        own = http_client is None
        client: Any = http_client  # of httpx or of httpx2: the client knows which of them it takes
        if own:
            http = _library_of(openai)
            limits = http.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
            hooks = {"response": [bounding(http, timeout)]}
            here = is_loopback(url)
            # without TLS no authority is trusted: to read them all takes ten times what the rest does
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if here and url.startswith("http:") else True
            try:
                client = http.Client(limits=limits, trust_env=not here, event_hooks=hooks, verify=verify)
            except (ImportError, ValueError, OSError) as error:
                raise UsageError(
                    "a connection cannot be made as the environment says",
                    why=str(error),
                    fix="check the proxy variables (ALL_PROXY, HTTPS_PROXY ...) and SSL_CERT_FILE",
                ) from error
        self.where = Where(url, model, secret=api_key.reveal())
        self._timeout = timeout
        self._retries = retries
        self._halt = Halt() if halt is None else halt
        self._limiter = limiter or Limiter(1024, start=1024)
        self._budget = budget or Budget()
        self._meter = meter or Meter(self._halt)
        self._openai = openai
        self._client: Any = openai.OpenAI(
            base_url=url, api_key=api_key.reveal(), timeout=timeout, max_retries=0, http_client=client
        )
        self._broken = _errors_of_transport()
        # Not every user of a model closes it: a forgotten one closes its sockets when it is collected.
        logs = LogFilter(self.where.hider)
        logs.open()
        self._release = weakref.finalize(self, _let_go, self._client if own else None, logs)

    def __repr__(self) -> str:
        where = vars(self).get("where")  # none yet where the making failed, which a debugger looks at
        return f"HttpLine({where.url if where else ''!r})"

    def close(self) -> None:
        """Close the connections that are ours."""
        self._release()

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:  # noqa: ARG002 - not sent
        """Send a JSON object; see `opoi.models.endpoint.lines.Line`."""
        streamed = body.get("stream") is True
        return self._patiently(lambda: self._once(self._client.post, path, streamed, body=body), self._meter)

    def get(self, path: str) -> bytes:
        """Return what lies at a path; it costs nothing, and is not counted."""
        return self._patiently(lambda: self._once(self._client.get, path, False), Meter(self._halt))

    # ------------------------------------------------------------ trying again

    def _patiently(self, once: Callable[[], bytes | _Failed], meter: Meter) -> bytes:
        """Try until there is an answer, or nothing more can be hoped for."""
        model = self.where.model
        tries = asked = 0
        while True:
            outcome = self._in_turn(once, meter)
            if not isinstance(outcome, _Failed):
                self._budget.earn()
                meter.book(model, outcome)
                return outcome
            meter.failed(model)
            if not outcome.fault.again or not self._retries:
                break
            draw = random.random()  # noqa: S311 - it spreads load, and no result depends on it
            if outcome.asked is not None and asked < _ASKED:
                asked += 1  # it says when: that is no reason to give up, nor for anybody else to ask before
                wait = self._asked_wait(outcome, draw)
            elif tries < self._retries:
                wait = self._own_wait(tries, outcome, draw)
                tries += 1
            else:
                break
            if wait is None:
                break
            self._halt.pause(wait)
        raise outcome.fault

    def _in_turn(self, once: Callable[[], bytes | _Failed], meter: Meter) -> bytes | _Failed:
        """Try once there is a place; before that, wait as long as anybody was told to."""
        rests = 0
        while True:
            resting = self._limiter.resting
            if resting > 0:
                rests += 1
                self._halt.pause(resting)
            with self._limiter.slot(self._halt) as slot:
                if self._limiter.resting > 0 and rests < _ASKED:  # somebody was told while this one queued
                    slot.unused()
                    continue
                meter.begin(self.where.model)
                outcome = once()
                if isinstance(outcome, _Failed) and outcome.congested:
                    slot.congested()
            return outcome

    def _asked_wait(self, failed: _Failed, draw: float) -> float | None:
        """Return how long the endpoint asks to wait, and hold back all calls to it; None for too long."""
        try:
            wait = wait_of(0, failed.headers, draw, datetime.now(UTC))
        except TooLongError as error:
            failed.fault.add(str(error))
            return None
        if failed.congested:
            self._limiter.rest(wait)
        return wait

    def _own_wait(self, tries: int, failed: _Failed, draw: float) -> float | None:
        """Return how long to wait where nobody says, None where all calls together tried too often."""
        if self._budget.take():
            return wait_of(tries, {}, draw, datetime.now(UTC))
        failed.fault.add("not tried again: of late too many calls needed another try")
        return None

    def _once(
        self,
        send: Callable[..., httpx.Response],
        path: str,
        streamed: bool,
        **options: object,
    ) -> bytes | _Failed:
        """Send once. A fault is returned, not raised, so that no request with a key hangs on it."""
        answer = b""
        try:
            response = send(
                path, cast_to=httpx.Response, stream=True, stream_cls=self._openai.Stream, **options
            )
            try:
                pieces = bounded(response.iter_bytes(), self._timeout)
                whole = "json" in response.headers.get("content-type", "")  # not every server streams
                gathered = streamed and not whole
                answer = _encode(gather(events_of(pieces))) if gathered else b"".join(pieces)
            finally:
                response.close()
            answer.decode()  # readers of JSON pass over bytes that are not UTF-8 in fields that they skip
            answer = self.where.scrub(answer)
            if path.endswith("/completions") and self._spread(answer, chat=path.startswith("/chat")):
                return _Failed(self.where.spread())
        except self._openai.APITimeoutError as error:
            return _Failed(self._timed_out(error))
        except self._openai.APIConnectionError as error:
            return _Failed(self._disconnected(error.__cause__))
        except self._openai.APIStatusError as error:
            return self._refused(error)
        except self._broken as error:
            return _Failed(self._disconnected(error))
        except EndlessError as error:
            return _Failed(self.where.endless(str(error)))
        except UnicodeEncodeError as error:
            return _Failed(self.where.unsendable(error.reason))
        except StreamError as error:
            return self._torn(error)
        except ValueError as error:
            return _Failed(self.where.garbage(str(error), answer))
        except RecursionError:
            return _Failed(self.where.garbage("it is nested too deeply", answer))
        return answer

    def _spread(self, completion: bytes, *, chat: bool) -> bool:
        """Return whether parts of an answer add up to the key: of its content, texts around calls, tokens.

        Raises:
            ValueError: It is to be a chat completion, and is none.
        """
        said = take_raw_calls(decode_reply(completion)).content if chat else ""
        if b'"token' in completion:
            said += f" {_tokens_in(completion)}"
        return self.where.hider.text(said) != said

    def _refused(self, error: openai.APIStatusError) -> _Failed:
        told, code = error.response, error.response.status_code
        wait = asked_wait(told.headers, datetime.now(UTC)) is not None
        fault = self.where.status(code, told.content, told.headers.get("location", ""), wait=wait)
        return _Failed(fault, told.headers, congested=code in _CONGESTED)

    def _torn(self, error: StreamError) -> _Failed:
        """A stream that cannot be used, or one that reports an error as a status would."""
        code = error.code or 0
        if not 400 <= code < 600:
            return _Failed(self.where.torn(str(error)))
        return _Failed(self.where.status(code, str(error).encode()), congested=code in _CONGESTED)

    def _timed_out(self, error: openai.APITimeoutError) -> EndpointFaultError:
        if type(error.__cause__).__name__ == "ConnectTimeout":
            return self.where.unreachable(f"no connection within {self._timeout:g} s")
        return self.where.timeout(self._timeout)

    def _disconnected(self, cause: BaseException | None) -> EndpointFaultError:
        """Tell apart by name: the cause is of httpx or of httpx2, whichever the client is made of."""
        kind = type(cause).__name__
        reason = str(cause) or kind
        if kind == "ConnectError":
            return self.where.unreachable(reason)
        if kind == "DecodingError":
            return self.where.garbage(f"its compression is broken: {reason}", b"")
        if kind == "ReadTimeout":
            return self.where.timeout(self._timeout)
        return self.where.broken(reason)


class _Failed:
    """A try that gave no answer: its fault, and the headers that may say when to try again."""

    def __init__(
        self,
        fault: EndpointFaultError,
        headers: Mapping[str, str] | None = None,
        *,
        congested: bool = False,
    ) -> None:
        self.fault = fault
        self.headers = headers or {}
        self.congested = congested or fault.kind == "timeout"
        self.asked = asked_wait(self.headers, datetime.now(UTC))


def _library_of(client: Any) -> Any:  # noqa: ANN401 - one of two modules with the same names
    """Return the HTTP library that `openai` is made of: httpx up to 2, httpx2 from 3 on, which takes both.

    With many connections it makes a difference: the pool of httpx 0.28 counts idle connections anew for each
    idle one, and asks the socket of each, on every request; 256 of them cost 10 ms of CPU a call.
    """
    if issubclass(client.DefaultHttpxClient, httpx.Client):
        return httpx
    import httpx2

    return httpx2


def _errors_of_transport() -> tuple[type[Exception], ...]:
    """Return what reading a response may raise, of httpx and of httpx2 where the client is made of it."""
    try:
        import httpx2
    except ImportError:
        return (httpx.HTTPError,)
    return (httpx.HTTPError, httpx2.HTTPError)


class _Token(Struct):
    token: str = ""


class _Scores(Struct):
    content: list[_Token] | None = None
    tokens: list[str | None] | None = None

    @property
    def text(self) -> str:
        """What the tokens add up to, in chat or in completions."""
        listed = [entry.token for entry in self.content or ()]
        return "".join([*listed, *(token or "" for token in self.tokens or ())])


class _Choice(Struct):
    logprobs: _Scores | None = None


class _Scored(Struct):
    choices: list[_Choice]


_decode_scored = msgspec.json.Decoder(_Scored).decode


def _tokens_in(completion: bytes) -> str:
    """Return the tokens of an answer, those of a choice one after the other; `""` where there are none."""
    try:
        choices = _decode_scored(completion).choices
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""  # whoever reads scores will say what is wrong with them
    return " ".join(choice.logprobs.text for choice in choices if choice.logprobs)


def _let_go(client: openai.OpenAI | None, logs: LogFilter) -> None:
    """Close a client; None for one that is the caller's."""
    if client is not None:
        client.close()
    logs.close()


def _checked_key(given: str | Key) -> Key:
    """Return the key; the client would quote one that it cannot send."""
    key = given if isinstance(given, Key) else Key(given)
    if not key.sendable:
        raise UsageError(
            "the API key is empty or holds characters that cannot be sent in a header",
            fix="check the variable named by `api_key_env`; for a server without keys any text will do",
        )
    return key
