"""What calls cost: counted by stage and model, held to the limits that a person set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from opoi.errors import OpoiError
from opoi.halting import Halt
from opoi.types.base import Value

__all__ = ["LimitReachedError", "Meter", "Price", "Spending", "Spent", "tokens_of"]


class LimitReachedError(OpoiError):
    """A limit on calls or tokens was reached; what is finished is kept."""

    exit_code = 3


class Spent(Value, frozen=True, kw_only=True):
    """What calls cost.

    Attributes:
        calls: Requests that were sent, further tries included.
        failed: Of these, those that gave no usable answer.
        prompt_tokens: Tokens read by the model, where the endpoint tells.
        completion_tokens: Tokens written by it, likewise.
    """

    calls: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            calls=self.calls + other.calls,
            failed=self.failed + other.failed,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens cost, in any one currency.

    Attributes:
        input: Read by the model.
        output: Written by it.
    """

    input: Annotated[float, Meta(ge=0)]
    output: Annotated[float, Meta(ge=0)]


Spending = Mapping[str, Mapping[str, Spent]]
"""What was spent, by stage and name of the model."""


class _Counts(Struct):
    prompt_tokens: float | None = 0
    completion_tokens: float | None = 0


class _Body(Struct):
    usage: _Counts | None = None


_decode = msgspec.json.Decoder(_Body).decode


class Meter:
    """Counts calls and tokens, and stops a run at its limits. Safe to use from several threads.

    Args:
        halt: Set when a limit is reached, so that calls under way are finished and no new one begins.
        most_calls: Calls that may be sent in all; 0 for any number.
        most_tokens: Tokens after which no call is begun; those under way may go beyond. 0 for any number.
        before: What was spent before; it counts towards the limits.
        note: Told of stage and model before each request is sent.

    Attributes:
        stage: The stage that calls are booked to.
        halt: The flag.
    """

    def __init__(
        self,
        halt: Halt,
        *,
        most_calls: int = 0,
        most_tokens: int = 0,
        before: Spending | None = None,
        note: Callable[[str, str], None] | None = None,
    ) -> None:
        self.stage = ""
        self.halt = halt
        self._most_calls = most_calls
        self._most_tokens = most_tokens
        self._note = note
        self._lock = threading.Lock()
        self._spent = {stage: dict(models) for stage, models in (before or {}).items()}
        every = [spent for models in self._spent.values() for spent in models.values()]
        self._total = sum(every, Spent())

    @property
    def spending(self) -> dict[str, dict[str, Spent]]:
        """What was spent so far, what was spent before included."""
        with self._lock:
            return {stage: dict(models) for stage, models in self._spent.items()}

    def begin(self, model: str) -> None:
        """Count a request that is about to be sent.

        Raises:
            HaltedError: A limit is reached, or the run is being stopped.
        """
        with self._lock:
            self._hold(self._most_calls, self._total.calls, "calls", "--max-calls")
            self._hold(self._most_tokens, self._total.tokens, "tokens", "--max-tokens-total")
            self.halt.check()
            if self._note is not None:
                self._note(self.stage, model)
            self._add(model, Spent(calls=1))

    def _hold(self, most: int, spent: int, what: str, option: str) -> None:
        if most and spent >= most:
            self.halt.set(
                LimitReachedError(
                    f"stopped at the limit of {most:,} {what}",
                    why=f"{spent:,} {what} are spent, those of earlier sittings included",
                    fix=f"what is finished is kept: opoi run --resume --out DIR with a higher {option}",
                )
            )

    def book(self, model: str, answer: bytes) -> None:
        """Count the tokens of an answer, as far as it tells."""
        self.add(model, tokens_of(answer))

    def failed(self, model: str) -> None:
        """Count a request that was sent and gave no usable answer."""
        self.add(model, Spent(failed=1))

    def add(self, model: str, spent: Spent) -> None:
        """Book what was spent on a model to the present stage."""
        with self._lock:
            self._add(model, spent)

    def _add(self, model: str, spent: Spent) -> None:
        models = self._spent.setdefault(self.stage, {})
        models[model] = models.get(model, Spent()) + spent
        self._total += spent


def tokens_of(answer: bytes) -> Spent:
    """Return the tokens that the body of an answer reports; none where it reports none."""
    try:
        usage = _decode(answer).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # not ours to judge: a list of models
        return Spent()
    if usage is None:
        return Spent()
    return Spent(prompt_tokens=_whole(usage.prompt_tokens), completion_tokens=_whole(usage.completion_tokens))


def _whole(count: float | None) -> int:
    return int(count) if count and count > 0 else 0
