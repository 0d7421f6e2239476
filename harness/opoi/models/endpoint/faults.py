"""What can go wrong between us and a model endpoint, in words that help.

Pure functions from what was observed (a status, a body, a broken connection) to the error that a person
reads. No HTTP library is imported here.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec

from opoi.errors import EndpointError
from opoi.models.endpoint.hiding import Hider

__all__ = ["EndpointFaultError", "Form", "Kind", "Where"]

Kind = Literal[
    "unreachable",
    "timeout",
    "connection",
    "key",
    "missing",
    "request",
    "rate",
    "server",
    "garbage",
    "unreadable",
]
"""`unreachable`: nothing listens there. `timeout`: no answer in time. `connection`: it broke midway.
`key`: 401 or 403. `missing`: wrong path or model. `request`: the request was refused (context overflow,
unsupported option). `rate`: 429. `server`: 5xx. `garbage`: an answer that is not a chat completion.
`unreadable`: the server works, but could not parse what its model wrote (the model's fault)."""

Form = Literal["openai", "detail", "text", ""]
"""How a server writes errors: `{"error": {...}}`, `{"detail": ...}`, otherwise; `""`: it wrote none."""

_SHOWN = 300
"""Most characters of a server's own words in a message."""

_PASSING = (408, 409, 425)
"""Refusals of the moment: the server waited too long, is busy with another request, or it is too early."""


class EndpointFaultError(EndpointError):
    """An endpoint gave no usable answer, with the kind of failure.

    Args:
        what: What happened.
        kind: Which of the known failures it is.
        why: The server's or the system's own words, shortened, without the key.
        fix: What to do next.
        fatal: No other request will fare better, so a run should stop.
        again: The same request may fare better a little later.
        form: Form of the error body: `openai`, `detail`, `text`, or `""` where there was none.
    """

    def __init__(
        self,
        what: str,
        *,
        kind: Kind = "server",
        why: str = "",
        fix: str = "",
        fatal: bool = False,
        again: bool = False,
        form: Form = "",
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.kind: Kind = kind
        self.fatal = fatal
        self.again = again
        self.form: Form = form

    def add(self, reason: str) -> None:
        """Add to the reason, e.g. why there was no further try."""
        self.why = f"{self.why}; {reason}" if self.why else reason


class Where:
    """What the messages of one endpoint have in common.

    Args:
        url: Base URL.
        model: Name of the model asked for, `""` where none is.
        secret: The key, to be hidden wherever a server echoes it.

    Attributes:
        hider: Hides the key.
    """

    def __init__(self, url: str, model: str, secret: str) -> None:
        self.url = url
        self.model = model
        self.hider = Hider(secret)

    def __repr__(self) -> str:
        return f"Where(url={self.url!r}, model={self.model!r})"

    def quote(self, text: str) -> str:
        """Return foreign text on one line, shortened, with the key hidden."""
        text = self.scrub(text.encode("utf-8", "replace")).decode("utf-8", "replace")
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."

    def scrub(self, answer: bytes) -> bytes:
        """Return the body of an answer with the key hidden, however it is spelled there."""
        return self.hider.body(answer)

    def unreachable(self, reason: str) -> EndpointFaultError:
        """Nothing accepts connections at the URL."""
        return EndpointFaultError(
            f"cannot connect to {self.url}",
            kind="unreachable",
            why=self.quote(reason),
            fix=f"is the server running? try: curl {self.url}/models",
            fatal=True,
            again=True,
        )

    def broken(self, reason: str) -> EndpointFaultError:
        """The connection was made and then failed."""
        return EndpointFaultError(
            f"the connection to {self.url} broke before there was an answer",
            kind="connection",
            why=self.quote(reason),
            fix="see the server's log; it may have crashed or run out of memory",
            again=True,
        )

    def timeout(self, seconds: float) -> EndpointFaultError:
        """No answer came in time."""
        return EndpointFaultError(
            f"{self.url} did not answer within {seconds:g} s",
            kind="timeout",
            fix="raise `timeout`, lower `max_tokens`, or send fewer requests at once",
            again=True,
        )

    def endless(self, problem: str) -> EndpointFaultError:
        """An answer came and did not end."""
        return EndpointFaultError(
            f"{self.url} sent an answer without an end",
            kind="timeout",
            why=self.quote(problem),
            fix="lower `max_tokens`, or raise `timeout` if the server is only slow",
        )

    def torn(self, problem: str) -> EndpointFaultError:
        """A stream ended too early, or held what is not part of one."""
        return EndpointFaultError(
            f"the stream from {self.url} cannot be used",
            kind="garbage",
            why=self.quote(problem),
            fix="see the server's log; answers come whole with `stream` switched off",
            again=True,
        )

    def garbage(self, problem: str, body: bytes) -> EndpointFaultError:
        """The server said 200 and sent something that is not what was asked for."""
        said = self.quote(said_in(body))  # before it is cut, lest half a key stay
        return EndpointFaultError(
            f"{self.url} answered with something else than was asked for",
            kind="garbage",
            why=self.quote(f"{problem}; it starts: {said[:120]}" if said else f"{problem}; it is empty"),
            fix="check that the base URL is that of an OpenAI-compatible API; it usually ends in /v1",
            again=True,
        )

    def spread(self) -> EndpointFaultError:
        """The answer spells the key over several of its parts."""
        return EndpointFaultError(
            f"{self.url} sends the API key back, in parts that add up to it",
            kind="garbage",
            why="the answer cannot be kept without the key in it",
            fix="see why the server writes what it was sent into its answers; consider the key as told to it",
        )

    def unsendable(self, reason: str) -> EndpointFaultError:
        """The messages cannot be written as JSON."""
        return EndpointFaultError(
            f"the messages for {self.url} cannot be sent",
            kind="request",
            why=self.quote(reason),
            fix="look for text that is not valid Unicode, e.g. half of a surrogate pair",
        )

    def status(self, code: int, body: bytes, location: str = "", *, wait: bool = False) -> EndpointFaultError:
        """The server answered with an HTTP status that is not success.

        Args:
            code: The status.
            body: Its body.
            location: Where it points, if it does.
            wait: It names a time after which to ask again.
        """
        fault = self._of_status(code, self.quote(said_in(body)), location, wait=wait)
        fault.form = form_of(body)
        return fault

    def _of_status(self, code: int, said: str, location: str, *, wait: bool) -> EndpointFaultError:
        if code in (401, 403):
            return self._key(code, said)
        if code == 429:
            return self._rate(said, wait=wait)
        if code in (404, 405):
            return self._missing(code, said)
        if 300 <= code < 400:
            return EndpointFaultError(
                f"{self.url} redirects elsewhere ({_name(code)})",
                kind="missing",
                why=self.quote(location) or said,
                fix="use the final address as base URL; redirects are not followed, so that no key travels",
                fatal=True,
            )
        if code >= 500:
            return EndpointFaultError(
                f"{self.url} failed ({_name(code)})",
                kind="unreadable" if _of_the_model(said) else "server",
                why=said,
                fix=_hint(said) or "see the server's log",
                again=not _of_the_model(said),
            )
        return EndpointFaultError(
            f"{self.url} refused the request ({_name(code)})",
            kind="request",
            why=said,
            fix=_hint(said) or "see the server's words above and its documentation",
            again=code in _PASSING,
        )

    def _key(self, code: int, said: str) -> EndpointFaultError:
        given = "check the key in the environment variable named by `api_key_env`, and what it may access"
        return EndpointFaultError(
            f"{self.url} does not accept the key ({_name(code)})",
            kind="key",
            why=said,
            fix=given if self.hider.active else f"no key was given, or a placeholder; {given}",
            fatal=True,
        )

    def _rate(self, said: str, *, wait: bool) -> EndpointFaultError:
        spent = not wait and ("quota" in said.lower() or "billing" in said.lower())
        return EndpointFaultError(
            f"{self.url} is limiting requests ({_name(429)})",
            kind="rate",
            why=said,
            fix="check plan and billing" if spent else "send fewer requests at once, or raise `retries`",
            fatal=spent,
            again=not spent,
        )

    def _missing(self, code: int, said: str) -> EndpointFaultError:
        model = f" or does not know the model {self.model!r}" if self.model else ""
        return EndpointFaultError(
            f"{self.url} has no such path{model} ({_name(code)})",
            kind="missing",
            why=said,
            fix=f"the base URL usually ends in /v1; list the models with: curl {self.url}/models",
            fatal=True,
        )


def said_in(body: bytes) -> str:
    """Return the words of an error body: `error.message`, `detail`, `message`, or the text as it is."""
    text = body.decode("utf-8", "replace")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text
    for key in ("error", "detail", "message"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    return found if isinstance(found, str) else text


def form_of(body: bytes) -> Form:
    """Return the form of an error body."""
    if not body.strip():
        return ""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "text"
    if not isinstance(found, dict):
        return "text"
    return "openai" if isinstance(found.get("error"), dict) else "detail" if "detail" in found else "text"


def _name(code: int) -> str:
    try:
        return f"HTTP {code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"HTTP {code}"


_OF_THE_MODEL = ("tool call arguments", "model produced output", "empty grammar stack")
"""Words of a server (llama.cpp) that could not parse what its model wrote, now or earlier."""

_HINTS = (
    (
        ("context length", "context size", "context window", "maximum context", "n_ctx", "too long"),
        "the conversation is longer than the model's context: serve it with a longer one, or lower `turns`",
    ),
    (
        _OF_THE_MODEL,
        "the model wrote a tool call that the server cannot read (back): raise `max_tokens` if it was cut",
    ),
    (
        ("max_completion_tokens", "max_tokens"),
        "set `max_tokens` to a value that the server takes, or to none to send none",
    ),
    (("temperature",), "this model takes no such temperature: set `temperature` to none to send none"),
    (
        ("tool", "jinja", "function call"),
        "serve a model with tool calling switched on (vLLM: --enable-auto-tool-choice and a parser; "
        "llama.cpp: --jinja)",
    ),
)


def _of_the_model(said: str) -> bool:
    return any(word in said.lower() for word in _OF_THE_MODEL)


def _hint(said: str) -> str:
    low = said.lower()
    return next((hint for words, hint in _HINTS if any(word in low for word in words)), "")
