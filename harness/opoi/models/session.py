"""What the endpoints of one run have in common: the way to stop, the meter, the journal and the tape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from opoi.errors import UsageError
from opoi.halting import Halt
from opoi.models.endpoint.faults import Where
from opoi.models.endpoint.hiding import Key
from opoi.models.endpoint.lines import Line
from opoi.models.journal import Journal, JournalLine, Shelf
from opoi.models.meter import Meter, tokens_of
from opoi.models.tape import RecordingLine, ReplayLine, Tape

__all__ = ["Session"]


class Session:
    """Opens lines to endpoints, and keeps what they share.

    A line looks up each request in the journal of the stage under way (calls that were paid for before a
    stop), asks the endpoint otherwise, and records on request. In replay nothing is asked.

    Args:
        most: Calls to one endpoint that may be under way at once.
        meter: Counts calls and holds limits; brings the flag that stops the run.
        record: Tape on which every request and its answer is kept; one that exists is continued.
        replay: Tape from which every request is answered.
        stops: An endpoint that is beyond use stops everything, as in a run; else only the call fails.

    Attributes:
        stops: As given.
        halt: Set to stop the run in order.
        meter: What was spent.
        replaying: Whether a tape stands for the endpoints.
        journalled: How many answers the journal of the last stage holds; the meter knows them all.

    Raises:
        UsageError: Both tapes are named.
        ArtefactError: A tape cannot be read.
    """

    def __init__(
        self,
        *,
        most: int = 64,
        meter: Meter | None = None,
        record: Path | None = None,
        replay: Path | None = None,
        stops: bool = True,
    ) -> None:
        if record and replay:
            raise UsageError("a run is either recorded or replayed", fix="give --record or --replay")
        self.meter = meter or Meter(Halt())
        self.halt: Halt = self.meter.halt
        self.stops = stops
        self.replaying = replay is not None
        self.journalled = 0
        self._most = most
        self._open = ExitStack()
        self._replay = self._tape(replay, write=False) if replay else None
        self._record = self._tape(record, write=True) if record else None
        self._shelf = Shelf()
        self._shared: dict[str, _Shared] = {}

    def _tape(self, path: Path, *, write: bool) -> Tape:
        return self._open.enter_context(Tape.open(path, write=write))

    def line(self, url: str, model: str = "", *, key: str | Key, timeout: float, retries: int) -> Line:
        """Return a line to an endpoint.

        Args:
            url: Base URL, checked.
            model: Name of the model, for messages and for the meter.
            key: The API key; not looked at in replay.
            timeout: Seconds without a byte before a try is given up.
            retries: Tries after the first.
        """
        if self._replay is not None:
            return ReplayLine(self._replay, Where(url, model, secret=""), halt=self.halt)
        from opoi.models.endpoint.line import HttpLine

        shared = self._shared.setdefault(url, _Shared(self._most))
        line: Line = HttpLine(
            url,
            model,
            api_key=key,
            timeout=timeout,
            retries=retries,
            halt=self.halt,
            limiter=shared.limiter,
            budget=shared.budget,
            meter=self.meter,
        )
        self._open.callback(line.close)
        line = JournalLine(line, self._shelf)
        return line if self._record is None else RecordingLine(line, self._record)

    @contextmanager
    def stage(self, name: str, journal: Path, *, counted: int = 0) -> Iterator[None]:
        """Book calls to a stage, and keep their answers in its journal while it is under way.

        Args:
            name: The stage.
            journal: Its journal; one that exists holds the calls of earlier sittings.
            counted: How many entries of it the meter knows already.
        """
        self.meter.stage, self.journalled = name, counted
        with Journal(journal) as opened:
            for paid in islice(opened, counted, None):
                self.meter.add(paid.model, tokens_of(paid.answer.encode()))
            self._shelf.journal = opened
            try:
                yield
            finally:
                self._shelf.journal, self.journalled = None, opened.entries

    def close(self) -> None:
        """Close lines and tapes."""
        self._open.close()


class _Shared:
    """What all lines to one URL share: how many calls at once, and how many retries in all."""

    def __init__(self, most: int) -> None:
        from opoi.models.endpoint.limiter import Limiter
        from opoi.models.endpoint.patience import Budget

        self.limiter = Limiter(most)
        self.budget = Budget()
