"""Reading the decision of a trace whose suite nobody knows."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from opoi.cleaning.engine import Reader
from opoi.types import Decision, Trace
from opoi.wire import find_object

__all__ = ["LooseReader", "with_decision"]


class LooseReader:
    """Takes the last JSON object of an answer for the decision, whatever is in it.

    Args:
        prose: Its keys that hold prose, the only ones cleaning may edit; the first that is there is taken
            for the reasoning.
    """

    def __init__(self, prose: Sequence[str]) -> None:
        self.prose = tuple(prose)

    def decide(self, text: str) -> Decision:
        """Read an answer; one without an object is no valid decision, and never an error."""
        span = find_object(text)
        if span is None:
            return Decision(problems=("there is no JSON object",))
        payload = json.loads(text[span[0] : span[1]])
        named = {key: value for key, value in payload.items() if isinstance(value, str)}
        return Decision(
            action=named.get("action", ""),
            entity=named.get("entity", ""),
            reasoning=next((named[key] for key in self.prose if key in named), ""),
            payload=payload,
        )


def with_decision(trace: Trace, reader: Reader) -> Trace:
    """Return the trace with its decision read, where nobody has read it yet."""
    if trace.decision.payload or trace.decision.problems:
        return trace
    last = next((message for message in reversed(trace.messages) if message.role == "assistant"), None)
    text = last.content if last is not None else ""
    return msgspec.structs.replace(trace, decision=reader.decide(text))
