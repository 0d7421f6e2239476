"""Does the answer have the form that the agent's own answers have?

Definitions: methods specification 5.7, V6.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from opoi.measures.figures.schemas import enums_hold
from opoi.measures.ratio import Pair, figure
from opoi.measures.seen import Seen
from opoi.measures.text import drop_reason, readable
from opoi.types import Cleaned, Outcome
from opoi.wire import find_objects

__all__ = ["enum_valid", "json_valid", "keys_in_order", "schema_valid"]


@figure("valid decision", policies=True)
def schema_valid(seen: Seen) -> Pair:
    """Share of attempted traces that end in one decision that fits the schema, whatever it is about.

    Formula: traces with a valid decision / attempts that the endpoint did not fail
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.1 and 5.7, V6
    Needs: T0
    Not for: servers that enforce the schema: it is 1 by force
    """
    return sum(map(readable, seen.judged)), len(seen.judged)


@figure("valid JSON")
def json_valid(seen: Seen) -> Pair:
    """Share of attempted traces whose final answer holds one JSON object, prose around it or not.

    Formula: traces with one JSON object in the answer / attempts that the endpoint did not fail; an object
        within one that is broken or never closed is none
    Unit: share
    Range: schema_valid to 1, where suites refuse an answer with two objects
    Source: methods specification 5.7, V6
    Needs: T0
    Not for: servers that enforce JSON: it is 1 by force
    """
    return sum(answer.objects == 1 for answer in seen.once(_answers)), len(seen.judged)


@figure("valid choices")
def enum_valid(seen: Seen) -> Pair:
    """Share of attempted traces with a decision whose values are choices wherever the schema lists choices.

    Formula: traces with a decision object whose enum and const values are allowed / attempts that the
        endpoint did not fail
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V6
    Needs: T0
    Not for: missing keys and wrong types (see schema_valid)
    """
    schema = seen.suite.decision_schema
    found = [answer.last for answer in seen.once(_answers) if answer.last is not None]
    return sum(enums_hold(last, schema) for last in found), len(seen.judged)


@figure("keys in the agent's order")
def keys_in_order(seen: Seen) -> Pair:
    """Share of kept traces whose decision has the keys that a base trace of the scenario has, in its order.

    Formula: kept traces whose sequence of top-level keys is that of a kept base trace of the scenario / kept
        traces of scenarios with one; a trace is not compared with itself
    Unit: share
    Range: 0 to 1
    Source: methods specification 5.7, V6
    Needs: T0
    Not for: the base arm of a run with one repetition: nothing is left to compare with
    """
    if seen.base is None:
        return 0, 0
    known = _kept_keys(seen.base)
    hits = total = 0
    for name, keys in _kept_keys(seen):
        others = {theirs for other, theirs in known if other != name and theirs}
        hits += keys in others
        total += bool(others)
    return hits, total


class _Answer(NamedTuple):
    """The final answer of a trace.

    Attributes:
        cleaned: The trace.
        objects: Number of JSON objects in the answer that stand in no other, whether that one is JSON or not.
        last: The last of them, None where there is none.
    """

    cleaned: Cleaned
    objects: int
    last: dict[str, Any] | None


def _answers(seen: Seen) -> list[_Answer]:
    """Return the answers of the attempts that the endpoint did not fail."""
    failed = Outcome.INFRASTRUCTURE_FAILURE
    return [_answer(cleaned) for cleaned in seen.cleaned if cleaned.trace.stop.outcome is not failed]


def _answer(cleaned: Cleaned) -> _Answer:
    trace = cleaned.trace
    spoken = [message for message in trace.messages if message.role == "assistant"]
    if trace.stop.outcome is not Outcome.COMPLETED or not spoken or spoken[-1].tool_calls:
        return _Answer(cleaned, 0, None)
    text = spoken[-1].content
    said = find_objects(text)
    spans = _whole(text, said)
    if spans[-1:] != list(said[-1:]):  # the decision is the last one
        return _Answer(cleaned, 0, None)
    try:
        found = [msgspec.json.decode(text[start:end].encode(), type=dict[str, Any]) for start, end in spans]
    except (msgspec.DecodeError, UnicodeEncodeError):  # NaN and lone surrogates are no JSON
        return _Answer(cleaned, 0, None)
    return _Answer(cleaned, len(found), found[-1] if found else None)


_OPENING = re.compile(r"\{(?=\s*[\"}])")
"""A brace that is meant to open a JSON object; see `opoi.wire`."""

_MARK = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[{}]', re.DOTALL)
"""A string, the last of which may not end, or a brace outside of strings."""

_MOST_BROKEN = 100
"""After so many braces that open no object a text is taken for prose: each costs the length of the text."""

_Span = tuple[int, int]


def _whole(text: str, spans: Sequence[_Span]) -> list[_Span]:
    """Return the objects that are not part of one that is broken or never closed."""
    lost: set[_Span] = set()
    for opening in islice(_broken(text, spans), _MOST_BROKEN):
        lost |= _inside(text, opening, [span for span in spans if span[0] > opening])
        if spans[-1] in lost:  # no decision is left
            break
    return [span for span in spans if span not in lost]


def _broken(text: str, spans: Sequence[_Span]) -> Iterator[int]:
    """Yield the places of braces before the last object that are meant to open one, and do not."""
    starts = [start for start, _ in spans]
    for match in _OPENING.finditer(text, 0, starts[-1] if starts else 0):
        passed = bisect_right(starts, match.start())
        if not passed or match.start() >= spans[passed - 1][1]:
            yield match.start()


def _inside(text: str, opening: int, spans: Sequence[_Span]) -> set[_Span]:
    """Return the objects that a brace encloses, those in its strings included.

    What begins in a string and ends after it is not: a quote before was not closed.
    """
    found: set[_Span] = set()
    starts = {span[0]: span for span in spans}
    depth = 0
    for mark in _MARK.finditer(text, opening, spans[-1][1]):
        if mark[0] == "}":
            depth -= 1
            if not depth:
                break
        elif mark[0] == "{":
            depth += 1
            if mark.start() in starts:
                found.add(starts[mark.start()])
        elif "{" in mark[0]:
            found.update(span for span in spans if mark.start() < span[0] and span[1] <= mark.end())
    return found


def _kept_keys(seen: Seen) -> list[tuple[str, tuple[str, ...]]]:
    """Return id and keys of the decision, in the order of the text, of the kept traces."""
    return [
        (answer.cleaned.trace.id, tuple(answer.last or ()))
        for answer in seen.once(_answers)
        if not drop_reason(answer.cleaned)
    ]
