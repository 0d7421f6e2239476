"""Stopping in order: one flag that every call looks at before it begins, and Ctrl-C as a wish to set it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

from opoi.errors import OpoiError

__all__ = ["Halt", "HaltedError", "first_interrupt"]


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
def first_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Hand the first Ctrl-C or SIGTERM to `act` instead of raising it; the second raises as ever.

    `KeyboardInterrupt` can come between any two instructions of the main thread, also between taking a lock
    and the block that gives it back: threads that need the lock (each future has one) then wait for ever.
    Where the main thread waits for others, a signal must not raise.

    Nothing changes outside the main thread, and for a signal that somebody else handles (as in
    `asyncio.Runner`).

    Args:
        act: Called once, in a thread of its own.

    Raises:
        KeyboardInterrupt: At the end of the block, if a signal came and nothing else was raised.
    """
    mine = [sign for sign in _SIGNS if signal.getsignal(sign) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread() or not mine:
        yield
        return
    told: SimpleQueue[bool] = SimpleQueue()  # the one thing that a handler may safely use
    asked: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)
        told.put(True)

    def listen() -> None:
        if told.get():
            act()

    listener = threading.Thread(target=listen, name="opoi-interrupt", daemon=True)
    listener.start()
    for sign in mine:
        signal.signal(sign, hear)
    try:
        yield
    finally:
        told.put(False)
        for sign in mine:
            signal.signal(sign, signal.default_int_handler)
        listener.join()
    if asked:
        raise KeyboardInterrupt


_SIGNS = (signal.SIGINT, signal.SIGTERM)
