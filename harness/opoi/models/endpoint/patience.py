"""Whether and when to try again after a failure: waits between tries, and a budget of tries.

Pure but for the lock of the budget: the random draw and the date are given by the caller.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["LONGEST_ASKED", "LONGEST_OWN", "Budget", "TooLongError", "asked_wait", "wait_of"]

LONGEST_ASKED = 600.0
"""Seconds. A server that asks for a longer wait is not waited for: the call fails and says so."""

LONGEST_OWN = 8.0
"""Seconds. Most that is waited where the server asks for nothing."""

_FIRST = 0.5
"""Seconds before the first further try where the server asks for nothing."""

_JITTER = 0.25
"""Largest share by which a wait of our own is shortened, so that calls that failed together part."""

_SPREAD = 0.1
"""Largest share by which a wait that a server asked for is lengthened, to the same end."""


class TooLongError(Exception):
    """A server asks for a longer wait than is reasonable.

    Args:
        seconds: The wait that it asks for; may be infinite.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the server asks to wait {seconds:.0f} s, and at most {LONGEST_ASKED:.0f} s are waited"
        )
        self.seconds = seconds


def wait_of(attempt: int, headers: Mapping[str, str], draw: float, now: datetime) -> float:
    """Return how many seconds to wait before another try.

    What the server asks for comes first (`asked_wait`): that, lengthened by up to 10 %, since a server that
    refused many calls at once names the same moment to all. Else `0.5 * 2**attempt`, at most 8, shortened by
    up to 25 %: the waits of the official client. So the result lies in `[asked, 1.1 * asked]`, or in
    `[0.75, 1] * min(8, 0.5 * 2**attempt)`.

    Args:
        attempt: Number of tries that have failed before the one that failed now; 0 after the first try.
        headers: Those of the answer, looked up without regard to case; empty where there was none.
        draw: A random number in [0, 1).
        now: The date, with a time zone; for headers that name a date.

    Raises:
        TooLongError: The server asks for more than `LONGEST_ASKED`.
        ValueError: `attempt` is negative.
    """
    if attempt < 0:
        raise ValueError(f"attempt must not be negative, but is {attempt}")
    asked = asked_wait(headers, now)
    if asked is None:
        return min(LONGEST_OWN, _FIRST * 2.0 ** min(attempt, 64)) * (1 - _JITTER * draw)
    if asked > LONGEST_ASKED:
        raise TooLongError(asked)
    return asked * (1 + _SPREAD * draw)


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how many seconds a server asks to wait, None where it does not say.

    `retry-after-ms` (milliseconds) comes before `retry-after` (seconds, fractions allowed, or an HTTP date:
    RFC 9110, 10.2.3). What cannot be read, is negative or is not a number counts as not said, as in the
    official client; a date that has passed, and 0, say nothing of how long, either.

    Args:
        headers: Of an answer, looked up without regard to case.
        now: The date, with a time zone.
    """
    found = {key.lower(): value.strip() for key, value in headers.items() if key.lower() in _READERS}
    for name, unit in _READERS.items():
        seconds = _seconds(found[name], unit, now) if name in found else None
        if seconds is not None and seconds > 0:
            return seconds
    return None


_READERS = {"retry-after-ms": 1e-3, "retry-after": 1.0}
"""Headers in the order in which they are believed, with their unit in seconds."""


def _seconds(text: str, unit: float, now: datetime) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return _until(text, now) if unit == 1.0 else None
    return None if math.isnan(value) else value * unit


def _until(text: str, now: datetime) -> float | None:
    """Return the seconds until an HTTP date, None where it is none; a date without zone is in UTC."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return (date - now).total_seconds()


class Budget:
    """How many further tries all calls together may make: a token bucket that calls fill. Thread-safe.

    Tries that are limited for each call alone multiply the load of an endpoint that is down. With a budget
    they add at most `share` to the load in the long run, besides `burst` at once: the retry budgets of
    Finagle (20 % by default: https://finagle.github.io/blog/2016/02/08/retry-budgets) and the retry
    throttling of gRPC (https://github.com/grpc/proposal/blob/master/A6-client-retries.md). Unlike in
    Finagle nothing grows or expires with time, so that a budget needs no clock.

    Args:
        share: Further tries that one call earns, 0 to 1.
        burst: Most that can be saved, and what there is at first; at least 10.

    Raises:
        ValueError: An argument is out of range.
    """

    _UNIT = 1 << 20  # shares are counted in whole numbers, so that sums are exact

    def __init__(self, share: float = 0.2, burst: int = 10) -> None:
        if not 0 <= share <= 1 or burst < 10:
            raise ValueError(f"share must be in [0, 1] and burst at least 10, not {share} and {burst}")
        self._earned = round(share * self._UNIT)
        self._most = burst * self._UNIT
        self._saved = self._most
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """How many further tries could be made now."""
        return self._saved // self._UNIT

    def earn(self) -> None:
        """Count one call; not its further tries."""
        with self._lock:
            self._saved = min(self._most, self._saved + self._earned)

    def take(self) -> bool:
        """Pay for one further try; False, and nothing paid, where there is too little left."""
        with self._lock:
            if self._saved < self._UNIT:
                return False
            self._saved -= self._UNIT
            return True
