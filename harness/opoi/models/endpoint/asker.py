"""One question at a time to one model: what comes back, a refusal or failure included, is an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.lines import Line
from opoi.types import Message, Reply
from opoi.wire import decode_reply, encode_messages

__all__ = ["SHORT", "Answer", "Asker", "Outcome"]

CHAT = "/chat/completions"

SHORT = 16
"""Tokens of a plain answer."""


class Answer(Struct, frozen=True):
    """A usable answer: as read, as a JSON object, and as it came."""

    reply: Reply
    raw: dict[str, Any]
    body: bytes


Outcome = Answer | EndpointFaultError


class Asker:
    """Asks one model. Satisfies `opoi.models.endpoint.lines.Line`, so that scores can be asked through it.

    A connection that breaks gets a second try: servers close it behind their back after a failure, and the
    next request meets that.

    Attributes:
        model: Name of the model.
        limit: Field that bounds an answer.
        sampling: Fields of every request in chat that make answers repeat, where the endpoint takes them.
        calls: Requests so far; second tries are not counted: whether there are any depends on the moment.
    """

    def __init__(self, line: Line, model: str) -> None:
        self._line = line
        self.model = model
        self.limit = "max_tokens"
        self.sampling: dict[str, Any] = {}
        self.calls = 0

    @property
    def where(self) -> Where:
        """The endpoint, and the words of its failures."""
        return self._line.where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        """Send a JSON object; see `opoi.models.endpoint.lines.Line`."""
        return self._twice(lambda: self._line.post(path, body, label=f"probe: {label}"))

    def get(self, path: str) -> bytes:
        """Return what lies at a path."""
        return self._twice(lambda: self._line.get(path))

    def close(self) -> None:
        """Leave the line open: it is the caller's."""

    def _twice(self, send: Callable[[], bytes]) -> bytes:
        self.calls += 1
        try:
            return send()
        except EndpointFaultError as fault:
            if fault.kind != "connection":
                raise
        return send()

    def chat(self, text: str, *, most: int = SHORT, label: str, **fields: object) -> Outcome:
        """Ask a question in chat; a refusal or failure is returned.

        Args:
            text: The user's message.
            most: Most tokens of the answer.
            label: Tells this request from others; nothing is read into it.
            **fields: More of the request; None leaves a field out.

        Raises:
            EndpointFaultError: The endpoint has gone away or turns us away.
        """
        message = Message(role="user", content=text, author="suite")
        body = {
            "model": self.model,
            "messages": encode_messages([message]),
            self.limit: most,
            **self.sampling,
            **fields,
        }
        try:
            return self.read(
                self.post(CHAT, {key: value for key, value in body.items() if value is not None}, label=label)
            )
        except EndpointFaultError as fault:
            if fault.kind in ("unreachable", "rate"):
                raise
            return fault

    def read(self, body: bytes) -> Answer:
        """Read a chat completion.

        Raises:
            EndpointFaultError: It is none.
        """
        try:
            return Answer(decode_reply(body), msgspec.json.decode(body, type=dict[str, Any]), body)
        except (ValueError, RecursionError) as error:
            problem = str(error)
        raise self.where.garbage(problem, body)
