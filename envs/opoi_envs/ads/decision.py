"""The final answer: its schema, and how a text is read for one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from opoi.types import Citation, Decision
from opoi.wire import find_object, schema_of

__all__ = ["DECISION_SCHEMA", "Answer", "Cited", "decide"]


class Cited(Struct, forbid_unknown_fields=True):
    """A value as a tool printed it."""

    metric: Annotated[str, Meta(min_length=1, description="Name of the metric, e.g. cpa.")]
    entity: Annotated[str, Meta(min_length=1, description="Id of the campaign or account.")]
    window: Annotated[str, Meta(description='ISO day, first..last, or "" for a setting.')]
    value: Annotated[int | float | str, Meta(description="The value as printed.")]


class Answer(Struct, forbid_unknown_fields=True):
    """A decision about one campaign's daily budget."""

    action: Annotated[
        Literal["scale_up", "maintain", "scale_down", "pause"],
        Meta(description="What to do with the budget."),
    ]
    entity: Annotated[str, Meta(min_length=1, description="Id of the campaign.")]
    new_daily_budget: Annotated[float, Meta(ge=0, description="USD per day after the decision.")]
    reasoning: Annotated[str, Meta(min_length=1, description="Two to four sentences with the numbers.")]
    citations: Annotated[list[Cited], Meta(description="The values that the decision rests on.")]


DECISION_SCHEMA: dict[str, Any] = schema_of(Answer)
"""JSON Schema of the final answer."""

_read = msgspec.json.Decoder(Answer).decode
_read_any = msgspec.json.Decoder(dict[str, Any]).decode


def decide(text: str) -> Decision:
    """Read a final answer strictly; problems are recorded, never raised.

    The last top-level JSON object of the text counts. Whether the budget fits the action is not judged
    here: that depends on the world.
    """
    span = find_object(text)
    if span is None:
        return Decision(problems=("no JSON object in the answer",))
    body = text[slice(*span)]
    try:
        answer, payload = _read(body), _read_any(body)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        return Decision(problems=(str(error),))
    return Decision(
        action=answer.action,
        entity=answer.entity,
        reasoning=answer.reasoning,
        citations=tuple(
            Citation(metric=item.metric, entity=item.entity, window=item.window, value=item.value)
            for item in answer.citations
        ),
        payload=payload,
    )
