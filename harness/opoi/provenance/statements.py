"""Everything that the agent states in a trace: prose, arguments of tool calls, citations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from opoi.provenance.claims import Claimed, find_claims, find_ids, plain_number, without_ids
from opoi.provenance.texts import rationale
from opoi.types import Citation, ToolCall, Trace

__all__ = ["Statement", "claims_in", "statements"]

_SETTING_DIGITS = 2
"""A bare whole number in an argument is a claim only beyond so many significant digits."""


class Statement(Struct, frozen=True):
    """One text that may hold claims.

    Attributes:
        position: Index into `Trace.messages`: what stands before it had been seen when it was written.
        text: The text.
        kind: Where it stands.
    """

    position: int
    text: str
    kind: Literal["prose", "argument", "citation"]


def statements(trace: Trace) -> list[Statement]:
    """Return what a trace states, in the order in which it was written (a citation after the prose)."""
    found = [Statement(position, text, "prose") for position, text in rationale(trace)]
    spoken = [index for index, message in enumerate(trace.messages) if message.role == "assistant"]
    for index in spoken:
        for call in trace.messages[index].tool_calls:
            found += [Statement(index, text, "argument") for text in _arguments(call)]
    last = spoken[-1] if spoken else len(trace.messages)
    for citation in trace.decision.citations:
        found += [Statement(last, text, "citation") for text in _cited(citation)]
    return sorted(found, key=lambda statement: statement.position)


def claims_in(statement: Statement, *, year: str, shapes: tuple[str, ...]) -> Iterator[Claimed]:
    """Yield the claims of a statement: numbers, dates and ids.

    A short whole number in an argument (`"days": 14`) says what is asked for and claims nothing.

    Args:
        statement: What is searched.
        year: Year of the decision, four digits.
        shapes: What ids look like.
    """
    for claim in find_claims(without_ids(statement.text, shapes), year=year):
        bare = claim.kind == "number" and not claim.unit and claim.step == 1.0
        if not (statement.kind == "argument" and bare and claim.digits <= _SETTING_DIGITS):
            yield claim
    yield from find_ids(statement.text, shapes)


def _cited(citation: Citation) -> Iterator[str]:
    yield citation.entity
    yield citation.window
    yield from _leaves(citation.value)


def _arguments(call: ToolCall) -> list[str]:
    """Return the texts and numbers among the arguments; broken JSON is one text."""
    try:
        return list(_leaves(json.loads(call.arguments or "{}")))
    except (ValueError, RecursionError):
        return [call.arguments]


def _leaves(value: object) -> Iterator[str]:
    """Yield the texts and numbers of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield plain_number(value)
    elif isinstance(value, dict | list):
        inner: Iterable[object] = value.values() if isinstance(value, dict) else value
        for item in inner:
            yield from _leaves(item)
