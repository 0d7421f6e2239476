"""A sample trace for the eye: what was said before cleaning, with what cleaning struck and put in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

from msgspec import Struct

from opoi.cleaning.pieces import rewritten
from opoi.report.tables import visible
from opoi.types import Cleaned, Message, Scenario, Trace, Verdict

__all__ = ["MessageView", "Sample", "SampleView", "Span", "spans", "view"]

_SHOWN = 20_000
"""Most characters of a message that are shown."""

Kind = Literal["same", "del", "ins"]

_KINDS: dict[str, Kind] = {"kept": "same", "cut": "del", "put": "ins"}


class Sample(Struct, frozen=True):
    """One trace to show.

    Attributes:
        arm: Name of its arm.
        scenario: What it is about.
        verdict: What the expert said, None where there was no review.
        before: The trace as it was generated.
        after: The trace after cleaning.
    """

    arm: str
    scenario: Scenario
    verdict: Verdict | None
    before: Trace
    after: Cleaned


class Span(Struct, frozen=True):
    """A piece of text: unchanged, struck by cleaning, or put in by it."""

    kind: Kind
    text: str


class MessageView(Struct, frozen=True):
    """One message to show.

    Attributes:
        author: Who wrote it.
        role: As in chat completions.
        change: `same`, or whether cleaning removed or added the whole message.
        spans: The text.
        calls: Tool calls as text.
        sub: Messages of a nested run.
        weight: Loss weight after cleaning.
        error: Whether a tool call failed.
    """

    author: str
    role: str
    change: Kind
    spans: tuple[Span, ...]
    calls: tuple[str, ...]
    sub: tuple[MessageView, ...]
    weight: float
    error: bool


class SampleView(Struct, frozen=True):
    """Everything the template shows of a sample; all texts are free of control characters."""

    title: str
    status: str
    prompt: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...]
    messages: tuple[MessageView, ...]
    edits: tuple[tuple[str, str, str], ...]
    decision: str
    verdict: tuple[tuple[str, str], ...]
    truth: tuple[tuple[str, str], ...]


def view(sample: Sample) -> SampleView:
    """Prepare a sample for the template."""
    after = sample.after.trace
    status = "kept" if sample.after.kept else f"dropped: {after.drop}"
    return SampleView(
        title=visible(f"{sample.arm} \u00b7 {after.id}"),
        status=visible(f"{status}; {after.stop.value}"),
        prompt=tuple((visible(message.role), visible(message.content)) for message in after.prompt),
        notes=tuple(
            (visible(f"{note.position}, turn {note.turn}, {note.form}, {note.strength}"), visible(note.text))
            for note in sample.before.injections
        ),
        messages=tuple(_messages(sample.before.messages, after.messages)),
        edits=tuple(
            (visible(edit.rule), visible(edit.removed), visible(edit.text)) for edit in sample.after.edits
        ),
        decision=visible(_decision(after)),
        verdict=tuple(_verdict(sample.verdict)),
        truth=tuple(_truth(sample.scenario)),
    )


def spans(before: str, after: str) -> tuple[Span, ...]:
    """Return the words that two texts share and those that only one has.

    The texts of `same` and `del` spans make up the first text, those of `same` and `ins` the second.
    """
    return tuple(Span(_KINDS[piece.kind], piece.text) for piece in rewritten(before, after, ""))


def _key(message: Message) -> tuple[str, str, str, tuple[str, ...]]:
    names = tuple(call.name for call in message.tool_calls)
    return message.role, message.author, message.tool_call_id, names


def _messages(before: Sequence[Message], after: Sequence[Message]) -> Iterator[MessageView]:
    """Pair the messages of a trace before and after cleaning."""
    matcher = SequenceMatcher(None, [_key(m) for m in before], [_key(m) for m in after], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            for old, new in zip(before[i:j], after[k:m], strict=True):
                yield _message(old, new, "same")
            continue
        yield from (_message(old, old, "del") for old in before[i:j])
        yield from (_message(new, new, "ins") for new in after[k:m])


def _message(before: Message, after: Message, change: Kind) -> MessageView:
    return MessageView(
        author=visible(after.author),
        role=after.role,
        change=change,
        spans=spans(_cut(before.content), _cut(after.content)),
        calls=tuple(_cut(f"{call.name}({call.arguments})") for call in after.tool_calls),
        sub=tuple(_messages(before.sub, after.sub)),
        weight=after.loss_weight,
        error=after.error,
    )


def _cut(text: str) -> str:
    """Return what is shown of a text that a model or tool wrote."""
    more = len(text) - _SHOWN
    return visible(text if more <= 0 else f"{text[:_SHOWN]} [{more} more characters]")


def _decision(trace: Trace) -> str:
    decision = trace.decision
    if decision.problems:
        return "invalid: " + "; ".join(decision.problems)
    return (
        f"{decision.action or 'none'} ({decision.entity})" if decision.entity else decision.action or "none"
    )


def _verdict(verdict: Verdict | None) -> Iterator[tuple[str, str]]:
    if verdict is None:
        yield "review", "none"
        return
    yield visible(verdict.expert), visible(f"{verdict.kind}: {verdict.phrase}")
    for claim in verdict.claims:
        yield f"claim ({claim.origin})", visible(claim.text)
    if verdict.outcome:
        yield "claimed outcome", visible(verdict.outcome)


def _truth(scenario: Scenario) -> Iterator[tuple[str, str]]:
    truth = scenario.truth
    yield "case", visible(f"{scenario.kind}, decision day {scenario.as_of}")
    yield "best on what can be seen", visible(", ".join(truth.observable_actions))
    yield "best in hindsight", visible(", ".join(truth.hindsight_actions))
    for hidden in truth.hidden:
        fact = [
            hidden.fact.entity,
            hidden.fact.metric,
            hidden.fact.window,
            hidden.fact.value,
            hidden.fact.unit,
        ]
        yield f"unknowable ({hidden.channel})", visible(json.dumps(fact, ensure_ascii=False))
