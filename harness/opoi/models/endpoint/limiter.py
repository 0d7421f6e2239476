"""Places for calls to one endpoint, first come, first served, under a limit that is found out in use.

`opoi.models.endpoint.pace` decides on the limit.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from opoi.halting import Halt
from opoi.models.endpoint.pace import Pace

__all__ = ["Limiter", "Slot"]

_POLL = 0.2
"""Seconds after which one who waits looks whether the run is being stopped."""


class Limiter:
    """Places for calls of one endpoint, handed out first come, first served. Thread-safe.

    A place is for one try: who waits before another try gives it back meanwhile.

        >>> limiter = Limiter(8)
        >>> with limiter.slot(Halt()) as slot:
        ...     answer = "429"
        ...     if answer == "429":
        ...         slot.congested()

    Args:
        most: Most calls under way at once.
        start: How many there may be at first.
        clock: Seconds, never going back.

    Raises:
        ValueError: `most` or `start` is below 1.
    """

    def __init__(self, most: int, start: int = 4, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = Pace(most, start)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter] = deque()
        self._in_use = 0
        self._until = float("-inf")

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return self._pace.limit

    @property
    def in_use(self) -> int:
        """How many calls are under way; over the limit for a while after the limit was lowered."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def slot(self, halt: Halt) -> Slot:
        """Return a place for one call, to be used in a `with` statement that waits for it.

        Args:
            halt: Ends the wait when it is set.

        Raises:
            HaltedError: On entering: the run is being stopped. Told within about 0.2 s.
        """
        return Slot(self, halt)

    def rest(self, seconds: float) -> None:
        """Let no call begin for so long: the endpoint named a time after which to come back."""
        with self._lock:
            self._until = max(self._until, self._clock() + seconds)

    @property
    def resting(self) -> float:
        """For how many seconds no call should begin; 0 or less for none."""
        return self._until - self._clock()

    # ------------------------------------------------------------ used by Slot

    def _take(self, halt: Halt) -> float:
        """Wait for a place; return when it was got."""
        halt.check()
        with self._lock:
            if not self._waiting and self._in_use < self._pace.limit:
                self._in_use += 1
                return self._clock()
            waiter = _Waiter()
            self._waiting.append(waiter)
        try:
            waiter.wait(halt)
        except BaseException:  # whatever ends the wait, the place must not be lost; it is raised again
            self._withdraw(waiter)
            raise
        return self._clock()

    def _give(self, begun: float, *, congested: bool, learn: bool) -> None:
        """Take a place back, with or without a lesson for the pace."""
        ended = self._clock()
        with self._lock:
            if learn:
                full = self._in_use >= self._pace.limit
                self._pace.finished(begun, ended, congested=congested, full=full)
            self._in_use -= 1
            self._call_up()

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.called:
                self._in_use -= 1
            else:
                self._waiting.remove(waiter)
            self._call_up()

    def _call_up(self) -> None:
        """Hand free places to those who have waited longest."""
        while self._waiting and self._in_use < self._pace.limit:
            self._in_use += 1
            self._waiting.popleft().call()


class _Waiter:
    """One who waits. A lock is the lightest thing to wait on."""

    __slots__ = ("_gate", "called")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self.called = False

    def call(self) -> None:
        self.called = True
        self._gate.release()

    def wait(self, halt: Halt) -> None:
        while not self._gate.acquire(timeout=_POLL):
            halt.check()
        halt.check()


class Slot:
    """A place for one call; made by `Limiter.slot`, for one `with` statement.

    A call that ends with an exception teaches nothing, unless it was marked as congested.
    """

    __slots__ = ("_begun", "_congested", "_halt", "_limiter", "_void")

    def __init__(self, limiter: Limiter, halt: Halt) -> None:
        self._limiter = limiter
        self._halt = halt
        self._congested = self._void = False

    def unused(self) -> None:
        """Say that no call was made: there is nothing to learn."""
        self._void = True

    def congested(self) -> None:
        """Say that the endpoint has too much to do: 429, 503, or no answer in time."""
        self._congested = True

    def __enter__(self) -> Self:
        self._begun = self._limiter._take(self._halt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        learn = self._congested or (kind is None and not self._void)
        self._limiter._give(self._begun, congested=self._congested, learn=learn)
