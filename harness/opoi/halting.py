"""Stopping in order: one flag that every call looks at before it begins."""

from __future__ import annotations

import threading

from opoi.errors import OpoiError

__all__ = ["Halt", "HaltedError"]


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
