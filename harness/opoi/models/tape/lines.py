"""Lines on a tape: one records, one replays.

Each hides the key of its endpoint in everything that it writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opoi.halting import Halt
from opoi.models.endpoint.faults import EndpointFaultError, Where
from opoi.models.endpoint.lines import Line
from opoi.models.tape.entries import Fault, Method, Outcome, Request
from opoi.models.tape.file import Tape

__all__ = ["RecordingLine", "ReplayLine"]


class RecordingLine(Line):
    """A line whose answers and faults are recorded, in their order. Every request is sent.

    What it returns or raises is what was recorded, so that a replay does the same. The tape stays its
    opener's to close.

    Args:
        line: Asks; closed with this one.
        tape: Open for writing.

    Attributes:
        tape: The tape.
    """

    def __init__(self, line: Line, tape: Tape) -> None:
        self._line = line
        self.tape = tape

    @property
    def where(self) -> Where:
        """The endpoint."""
        return self._line.where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        """Send a JSON object; see `opoi.models.endpoint.lines.Line`."""
        request = _request(self.tape, self.where, "POST", path, body=body, label=label)
        return self._recorded(request, lambda: self._line.post(path, body, label=label))

    def get(self, path: str) -> bytes:
        """Return what lies at a path."""
        request = _request(self.tape, self.where, "GET", path)
        return self._recorded(request, lambda: self._line.get(path))

    def close(self) -> None:
        """Close the line that asks."""
        self._line.close()

    def _recorded(self, request: Request, ask: Callable[[], bytes]) -> bytes:
        try:
            outcome: Outcome = ask()
        except EndpointFaultError as error:
            outcome = Fault.of(error)
        return _given(self.tape.add(request, outcome))


class ReplayLine(Line):
    """A line without an endpoint: everything comes from the tape, failures too.

    Equal requests get the recorded outcomes one after the other, and the last one from then on. Where
    equal requests are under way at once, which of them gets which is open; labels tell them apart.

    Args:
        tape: The tape.
        where: The endpoint that was recorded.
        halt: Stops calls before they begin; None for nothing that does.

    Attributes:
        tape: The tape.
    """

    def __init__(self, tape: Tape, where: Where, *, halt: Halt | None = None) -> None:
        self.tape = tape
        self._where = where
        self._explaining = threading.Lock()
        self._halt = Halt() if halt is None else halt

    @property
    def where(self) -> Where:
        """The endpoint that was recorded."""
        return self._where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        """Return the recorded answer.

        Raises:
            ReplayMissError: The request is not on the tape.
            EndpointFaultError: A failure was recorded.
            HaltedError: The run is being stopped.
        """
        return self._replayed(_request(self.tape, self.where, "POST", path, body=body, label=label))

    def get(self, path: str) -> bytes:
        """Return what was recorded of a path; raises as `post` does."""
        return self._replayed(_request(self.tape, self.where, "GET", path))

    def close(self) -> None:
        """There is nothing to let go of."""

    def _replayed(self, request: Request) -> bytes:
        self._halt.check()
        outcome = self.tape.play(request.key)
        if outcome is not None:
            return _given(outcome)
        with self._explaining:  # takes a while for each of many threads; the first miss stops a run
            self._halt.check()
            raise self.tape.miss(request)


def _request(
    tape: Tape,
    where: Where,
    method: Method,
    path: str,
    *,
    body: dict[str, Any] | None = None,
    label: str = "",
) -> Request:
    """Return a request as the tape knows it.

    Raises:
        EndpointFaultError: It cannot be sent, as a line to an endpoint would say.
    """
    tape.hide(where.scrub)
    try:
        return tape.request(method, where.url, path, body, label=label)
    except UnicodeEncodeError as error:
        reason = error.reason
    raise where.unsendable(reason)


def _given(outcome: Outcome) -> bytes:
    """Return an answer; raise a failure."""
    if isinstance(outcome, Fault):
        raise outcome.error()
    return outcome
