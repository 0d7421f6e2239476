"""Stopping in order: one flag that every call looks at before it begins, and Ctrl-C as a wish to set it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

from opoi.errors import OpoiError

__all__ = ["Halt", "HaltedError", "interrupts"]


class HaltedError(OpoiError):
    """Work was left off because the run is being stopped: what is finished is kept, nothing is recorded."""


class Halt:
    """A flag that stops a run in order: calls under way are finished, no new one begins.

    Safe to use from several threads. Once set it stays set, and the first reason counts.

    Attributes:
        reason: Why, as the error that the run ends with; None for a wish of the person.
    """

    def __init__(self) -> None:
        self.reason: OpoiError | None = None
        self._event = threading.Event()
        self._lock = threading.Lock()

    def set(self, reason: OpoiError | None = None) -> None:
        """Let no new call begin."""
        with self._lock:
            if not self._event.is_set():
                self.reason = reason
                self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether the run is being stopped."""
        return self._event.is_set()

    def check(self) -> None:
        """Go on, or raise.

        Raises:
            HaltedError: The flag is set.
        """
        if self._event.is_set():
            raise HaltedError("the run is being stopped", why=self.reason.line if self.reason else "")

    def pause(self, seconds: float) -> None:
        """Wait, unless the flag is set meanwhile.

        Raises:
            HaltedError: The flag is set.
        """
        self._event.wait(seconds)
        self.check()


@contextmanager
def interrupts(act: Callable[[], None]) -> Iterator[None]:
    """Hand Ctrl-C and SIGTERM to `act` instead of raising them; the third raises as ever.

    `KeyboardInterrupt` can come between any two instructions of the main thread, also between taking a lock
    and the block that gives it back: threads that need the lock (each future has one) then wait for ever.
    Where the main thread waits for others, a signal must not raise.

    Signals within a tenth of a second are one: a terminal and a wrapper may both send theirs. Nothing changes
    outside the main thread, and for a signal that somebody else handles (as in `asyncio.Runner`).

    Args:
        act: Called for the first and for the second signal, in a thread of its own.

    Raises:
        KeyboardInterrupt: At the end of the block, if a signal came and nothing else was raised.
    """
    mine = [sign for sign in _SIGNS if signal.getsignal(sign) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread() or not mine:
        yield
        return
    told: SimpleQueue[bool] = SimpleQueue()  # the one thing that a handler may safely use
    heard: list[float] = []

    def hear(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if heard and now - heard[-1] < _TOGETHER:
            return
        heard.append(now)
        if len(heard) > 2:
            signal.default_int_handler(number, frame)
        told.put(True)

    def listen() -> None:
        while told.get():
            act()

    listener = threading.Thread(target=listen, name="opoi-interrupts", daemon=True)
    listener.start()
    try:
        for sign in mine:
            signal.signal(sign, hear)
        yield
    finally:
        told.put(False)
        for sign in mine:
            signal.signal(sign, signal.default_int_handler)
        listener.join()
    if heard:
        raise KeyboardInterrupt


_SIGNS = (signal.SIGINT, signal.SIGTERM)
_TOGETHER = 0.1
