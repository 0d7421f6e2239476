"""Failures on purpose: which request fails, and how, follows from a seed and the number of the request."""

from __future__ import annotations

import re

from msgspec import Struct, field

from opoi.seeds import Stream
from opoi_envs.ads.graph.errors import CASES

__all__ = ["ALIASES", "EXTRA", "Faults", "read_faults"]

EXTRA: tuple[str, ...] = ("slow", "unanswered", "report_failed")
"""Beside the names of `CASES`: held back by `delay` seconds; null in a batch (a transient error outside);
a report that is started but fails."""

ALIASES: dict[str, str] = {"limit": "insights_limit", "error": "transient"}


class Faults(Struct, frozen=True):
    """A plan of failures.

    Attributes:
        seed: Of the plan.
        rates: Probability of each kind of failure for a request.
        at: Kinds of failure by number of request, from 1; they go before the rates.
        delay: Seconds that a slow answer takes longer.
    """

    seed: int = 0
    rates: dict[str, float] = field(default_factory=dict)
    at: dict[int, str] = field(default_factory=dict)
    delay: float = 0.2

    @property
    def on(self) -> bool:
        """Whether anything may fail."""
        return bool(self.rates or self.at)

    def fault(self, number: int) -> str:
        """Return how a request fails, `""` if it does not."""
        if number in self.at:
            return self.at[number]
        if not self.rates:
            return ""
        point = Stream(self.seed, "faults").uniform(number)
        for name, rate in self.rates.items():
            point -= rate
            if point < 0:
                return name
        return ""


def read_faults(text: str, seed: int) -> Faults:
    """Read a plan such as `transient=0.05,slow=0.1,delay=0.5,7=token_expired`.

    Args:
        text: Pairs with commas: a kind and its probability, a request number and its kind, or `delay` and
            seconds.
        seed: Of the plan.

    Raises:
        ValueError: A pair cannot be read; says which.
    """
    rates: dict[str, float] = {}
    at: dict[int, str] = {}
    delay = Faults().delay
    for pair in filter(None, (part.strip() for part in text.split(","))):
        left, found, right = (part.strip() for part in pair.partition("="))
        if left.isascii() and left.isdigit() and found:
            at[int(left)] = _kind(right)
        elif left == "delay":
            delay = _number(right, pair, 60.0)
        else:
            rates[_kind(left)] = _number(right, pair, 1.0)
    if sum(rates.values()) > 1.0:
        raise ValueError("the probabilities add up to more than 1")
    return Faults(seed, rates, at, delay)


def _kind(name: str) -> str:
    kind = ALIASES.get(name, name)
    if kind not in CASES and kind not in EXTRA:
        raise ValueError(f"{name!r} is no failure; there are {', '.join([*EXTRA, *ALIASES, *CASES])}")
    return kind


def _number(text: str, pair: str, most: float) -> float:
    if not re.fullmatch(r"[0-9]{0,6}(\.[0-9]{1,9})?", text) or not text or float(text) > most:
        raise ValueError(f"{pair!r}: a number from 0 to {most:g} is needed")
    return float(text)
