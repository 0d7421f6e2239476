"""What a model gives to the texts of a trace: log-probabilities of tokens that it did not write just now."""

from __future__ import annotations

from opoi.types.base import Value
from opoi.types.messages import TokenLogprob

__all__ = ["Scored", "ScoredText"]


class ScoredText(Value, frozen=True, kw_only=True):
    """The text of one assistant message, token by token.

    Attributes:
        message: Index into `Trace.messages` after cleaning.
        tokens: Together they are the message's content.
    """

    message: int
    tokens: tuple[TokenLogprob, ...]


class Scored(Value, frozen=True, kw_only=True):
    """One cleaned trace under one model, given the student's prompt and all that stands before each text.

    Attributes:
        trace_id: The trace.
        scenario_id: Its scenario.
        scorer: Name of the model.
        texts: Its texts that carry loss, in order; those without content have none.
        failure: Why there are none, where scoring failed.
    """

    trace_id: str
    scenario_id: str
    scorer: str
    texts: tuple[ScoredText, ...] = ()
    failure: str = ""
