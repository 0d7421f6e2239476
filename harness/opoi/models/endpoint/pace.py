"""How many calls to one endpoint may be under way at once: the rule, without clocks or locks.

It is told of every call that ended and holds the limit. In the words of TCP (RFC 5681) and of Little's law
(calls under way = calls per second times seconds per call):

- Slow start: each success raises the limit by one, so that it doubles in the time of one call, for as long
  as answers take no longer than they did at the start.
- Where they do, the doubled limit is measured: calls per second must have risen by the factor of the limit to
  the power of `ELASTICITY` (11 % for twice the limit), or the limit goes back and is held.
- A limit that is held is questioned again after a while: upwards by half; and downwards by a third where
  calls seem to wait for each other, since a queue at the endpoint helps nobody. What a trial upwards found is
  measured again before it is believed.
- Congestion (429, 503, a time-out) halves the limit, once for each time of one call. From then on the limit
  grows by one for each round of calls, and is measured when it has doubled.
- Only calls that ended while all places were taken raise the limit: otherwise the caller is what is slow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["ELASTICITY", "Pace"]

ELASTICITY = 0.15
"""A limit that is `f` times as high is kept if it brings `f ** ELASTICITY` times as many calls per second."""

_QUEUEING = 1.5
"""From so many times the shortest mean time on, calls are taken to wait for each other."""

_STEP = 1.5
"""Factor by which a limit that was held is tried higher or lower."""

_CALLS = 32
"""Fewest calls of one measurement."""

_CONFIRM = 2
"""For how many measurements a limit that was found to pay is held before that is believed."""

_PATIENCE = (4, 32)
"""For how many measurements a limit is held before it is questioned: at first, and at most."""

_FULL = 0.8
"""Share of the calls of a measurement that must have ended while all places were taken."""


class _Level(NamedTuple):
    """A limit and the calls per second seen with it; 0 where they are not known yet."""

    limit: int
    rate: float


class _Tally:
    """Counts calls from a moment on: their rate and their mean time.

    Args:
        since: Where the moment is; calls begun earlier are passed over until one begun later has ended.
        open: Count from that moment itself, without passing over any.
    """

    __slots__ = ("_calls", "_full", "_open", "_seconds", "_since")

    def __init__(self, since: float, *, open: bool = False) -> None:
        self._since = since
        self._open = open
        self._calls = self._full = 0
        self._seconds = 0.0

    @property
    def calls(self) -> int:
        return self._calls

    @property
    def used(self) -> bool:
        """Whether the limit was in use for most of the calls."""
        return self._full >= _FULL * self._calls

    @property
    def latency(self) -> float:
        """Mean seconds of a call."""
        return self._seconds / self._calls

    @property
    def at_most(self) -> float:
        """Mean seconds of a call, and one standard error more, as for exponentially distributed times."""
        return self.latency * (1 + 1 / math.sqrt(self._calls))

    def rate(self, now: float) -> float:
        """Calls per second."""
        return self._calls / max(now - self._since, 1e-9)

    def add(self, begun: float, ended: float, *, full: bool) -> None:
        if not self._open:
            if begun >= self._since:
                self._open, self._since = True, ended
            return
        self._calls += 1
        self._full += full
        self._seconds += ended - begun


class Pace:
    """The limit of calls under way, as a pure function of the calls that ended.

    Not safe to use from several threads; `Limiter` is.

        >>> pace = Pace(64)
        >>> for call in range(4):
        ...     pace.finished(0.0, 1.0, congested=False)
        >>> for call in range(4):
        ...     pace.finished(1.0, 2.0, congested=False)
        >>> pace.limit
        8

    Args:
        most: The highest limit, at least 1.
        start: The first limit; cut down to `most`.

    Raises:
        ValueError: An argument is below 1.
    """

    def __init__(self, most: int, start: int = 4) -> None:
        if most < 1 or start < 1:
            raise ValueError(f"most and start must be at least 1, not {most} and {start}")
        self._most = most
        self._limit = min(start, most)
        self._base = _Level(self._limit, 0.0)  # the limit that is known to pay
        self._below: _Level | None = None  # a lower limit, while the base is to be confirmed against it
        self._aim = self._limit  # the limit under trial; that of the base while it is held
        self._climbing = True  # slow start
        self._additive = False
        self._downwards = False  # the direction of the next trial
        self._first, self._longest = 1, _PATIENCE[0]  # measurements to hold: now, and next time
        self._shortest = float("inf")  # the shortest mean time of a call, seconds
        self._calm = float("inf")  # the same with room for chance: few calls tell little
        self._lowest = self._limit  # the lowest limit that was measured
        self._cut = float("-inf")  # when the limit was last halved
        self._now = float("-inf")
        self._tally: _Tally | None = None

    @property
    def limit(self) -> int:
        """How many calls may be under way now: at least 1, at most `most`."""
        return self._limit

    def finished(self, begun: float, ended: float, *, congested: bool, full: bool = True) -> None:
        """Learn from a call that ended.

        Args:
            begun: When it began, in seconds of any clock that does not go back.
            ended: When it ended.
            congested: The endpoint said that it has too much to do, or did not answer in time.
            full: As many calls were under way as the limit allows, this one included.
        """
        self._now = max(self._now, ended)
        if congested:
            self._halve(begun)
            return
        if self._tally is None:
            if not full:  # a lone call before the work, such as a check
                return
            self._tally = _Tally(begun, open=True)
        self._tally.add(begun, self._now, full=full)
        if self._limit < self._aim:
            self._rise(full=full)
        elif self._tally.calls >= self._needed():
            self._judge(self._tally)

    # ------------------------------------------------------------ congestion

    def _halve(self, begun: float) -> None:
        if begun < self._cut:
            return  # it was sent before the limit was last halved, and says nothing new
        self._cut = self._now
        self._additive, self._climbing = True, False
        self._longest = _PATIENCE[0]
        self._limit = max(1, self._limit // 2)
        self._try_higher(_Level(self._limit, 0.0))

    # ------------------------------------------------------------ rising

    def _rise(self, *, full: bool) -> None:
        """Raise the limit towards the one under trial: by one a call, or by one a round of calls."""
        assert self._tally is not None
        if not full or (self._additive and self._tally.calls < self._limit):
            return
        self._limit += 1
        if self._limit < self._aim:
            if self._additive:
                self._restart(open=True)
            return
        tally = self._tally
        if self._climbing and tally.calls and tally.latency <= self._calm:
            self._learn(tally)
            self._try_higher(_Level(self._aim, tally.rate(self._now)))
        else:
            self._restart()

    # ------------------------------------------------------------ measuring

    def _learn(self, tally: _Tally) -> None:
        self._calm = min(self._calm, tally.at_most)
        self._shortest = min(self._shortest, tally.latency)

    def _needed(self) -> int:
        """Return the calls of this measurement: whole rounds, since calls may come and go in step."""
        if self._holding and self._climbing:
            return self._limit
        rounds = -(-_CALLS // self._limit)
        return self._limit * rounds * (self._first if self._holding else 1)

    @property
    def _holding(self) -> bool:
        return self._aim == self._base.limit

    def _judge(self, tally: _Tally) -> None:
        """Draw the conclusion from a measurement at the limit under trial."""
        if not tally.used:
            self._restart()
            return
        here = _Level(self._limit, tally.rate(self._now))
        self._learn(tally)
        self._lowest = min(self._lowest, here.limit)
        if self._holding:
            self._question(here, queueing=tally.latency > _QUEUEING * self._shortest)
        elif here.limit > self._base.limit:
            if not _pays(here, self._base):
                self._downwards = True
                self._go_back()
            elif self._climbing or self._additive:
                self._try_higher(here)
            else:
                below = self._base
                self._hold(here, rounds=_CONFIRM)
                self._below = below
        elif _pays(self._base, here):
            self._go_back()
        else:
            self._longest = _PATIENCE[0]
            self._downwards = True
            self._hold(here, rounds=self._longest)

    def _question(self, here: _Level, *, queueing: bool) -> None:
        """Leave a limit that was held long enough, upwards or downwards, where there is reason to."""
        if self._below is not None and not _pays(here, self._below):
            self._base = self._below
            self._go_back()
            return
        if self._below is not None:
            self._climbing = True
            self._longest = _PATIENCE[0]
        lower = here.limit > 1 and not self._climbing and (queueing or here.limit <= self._lowest)
        higher = here.limit < self._most
        if lower and (self._downwards or not higher):
            self._downwards = False
            self._try_lower(here)
        elif higher:
            self._try_higher(here)
        else:
            self._climbing = False
            self._hold(here, rounds=self._longest)

    def _try_higher(self, base: _Level) -> None:
        if base.limit >= self._most:
            self._climbing = False
            self._hold(base, rounds=self._longest)
            return
        self._base = base
        self._below = None
        factor = 2.0 if self._climbing or self._additive else _STEP
        self._aim = min(self._most, max(base.limit + 1, round(base.limit * factor)))
        self._restart(open=not self._additive)

    def _try_lower(self, base: _Level) -> None:
        self._base = base
        self._below = None
        self._aim = self._limit = max(1, min(base.limit - 1, round(base.limit / _STEP)))
        self._restart()

    def _go_back(self) -> None:
        """Return to the limit that pays, and hold it for longer than before."""
        self._climbing = False
        self._limit = self._base.limit
        self._hold(self._base, rounds=self._longest)
        self._longest = min(2 * self._longest, _PATIENCE[1])

    def _hold(self, base: _Level, *, rounds: int) -> None:
        self._base = base
        self._aim = base.limit
        self._first = rounds
        self._below = None
        self._restart()

    def _restart(self, *, open: bool = False) -> None:
        self._tally = _Tally(self._now, open=open)


def _pays(high: _Level, low: _Level) -> bool:
    """Return whether the higher limit brings enough calls per second more than the lower one."""
    return high.rate >= low.rate * math.pow(high.limit / low.limit, ELASTICITY)
