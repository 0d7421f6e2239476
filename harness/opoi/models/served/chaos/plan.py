"""Which answer is spoiled in which way: drawn from a seed, the request and the number of the try alone.

So a plan depends neither on the order of requests nor on time, and two equal runs meet equal trouble.

Faults are of two families. What passes strikes a try: the next one may get through. What lasts belongs to
the model, and strikes a request: a model that is deterministic gives the same request the same bad answer,
however often it is asked. Each fault strikes with its rate, independently of the others; where several of a
family strike at once, one of them is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

from opoi.seeds import Stream

__all__ = ["CALM", "IN_STREAMS", "Fault", "Lasting", "Passing", "Plan", "Struck"]


class Passing(StrEnum):
    """What may be gone with the next try."""

    TIMEOUT = "timeout"  # no byte comes
    RESET = "reset"  # the connection is reset (RST) before a byte comes
    RESET_AMID = "reset_amid"  # it is reset amid the body
    TRUNCATED = "truncated"  # the body is shorter than announced
    HTTP_408 = "http_408"
    HTTP_409 = "http_409"
    HTTP_425 = "http_425"
    HTTP_429 = "http_429"  # with `retry-after` in seconds or as a date, `retry-after-ms`, or without
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    NO_CHOICES = "no_choices"
    HTML = "html"  # a page, with status 200
    NOT_UTF8 = "not_utf8"  # in the text, or in a field that nobody reads
    CUT = "cut"  # a stream ends in order, amid the answer
    BROKEN_EVENT = "broken_event"  # half an object of JSON
    ERROR_EVENT = "error_event"  # an error object within a stream
    NO_FINISH = "no_finish"  # a stream without `finish_reason`
    NO_DONE = "no_done"  # a stream without `[DONE]`: harmless, the answer is whole


class Lasting(StrEnum):
    """What a model answers to a request each time."""

    NULL_CONTENT = "null_content"
    LENGTH = "length"  # cut off at the token limit
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    BROKEN_ARGUMENTS = "broken_arguments"  # those of a tool call are no JSON
    UNKNOWN_TOOL = "unknown_tool"
    REPEATED_IDS = "repeated_ids"
    MISSING_IDS = "missing_ids"
    HUGE = "huge"  # 1 MB
    HALF_PAIR = "half_pair"  # half of a surrogate pair in the text


Fault = Passing | Lasting

IN_STREAMS = frozenset(
    {Passing.CUT, Passing.BROKEN_EVENT, Passing.ERROR_EVENT, Passing.NO_FINISH, Passing.NO_DONE}
)
"""What strikes only answers in pieces."""

_F = TypeVar("_F", Passing, Lasting)


class Struck(NamedTuple):
    """What strikes one try.

    Attributes:
        passing: What becomes of the try, None for nothing.
        lasting: What the model's answer looks like, None for as it should.
        draws: More draws for this try, e.g. where a body is cut.
    """

    passing: Passing | None
    lasting: Lasting | None
    draws: Stream

    @property
    def answered(self) -> bool:
        """Whether a usable answer goes out: one that has to be paid for."""
        return self.passing in (None, Passing.NO_DONE)


class Plan:
    """Says what strikes.

    Args:
        seed: Seed of all draws.
        rates: Probability of each fault, 0 to 1; those that are not named do not strike.

    Raises:
        ValueError: A rate is out of range.
    """

    def __init__(self, seed: int, rates: Mapping[Fault, float]) -> None:
        wrong = [fault for fault, rate in rates.items() if not 0 <= rate <= 1]
        if wrong:
            raise ValueError(f"the rate of {wrong[0]} must be in [0, 1], but is {rates[wrong[0]]}")
        self.seed = seed
        self.rates = dict(rates)

    def strike(self, request: str, number: int, *, streamed: bool) -> Struck:
        """Return what strikes one try.

        Args:
            request: Digest of the request.
            number: How often the same request came before.
            streamed: The answer is asked for in pieces.
        """
        asked = Stream(self.seed, "chaos", request)
        tried = asked.at("try", number)
        kinds = [kind for kind in Passing if streamed or kind not in IN_STREAMS]
        return Struck(self._drawn(tried, kinds), self._drawn(asked.at("answer"), list(Lasting)), tried)

    def _drawn(self, draws: Stream, kinds: Sequence[_F]) -> _F | None:
        struck = [kind for kind in kinds if kind in self.rates and draws.chance(self.rates[kind], kind)]
        return draws.choice(struck, "which") if struck else None


CALM = Plan(0, {})
"""Nothing strikes."""
