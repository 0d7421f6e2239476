"""Putting words into a trace so that everything else stays as it was and still fits together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from opoi.cleaning.sentences import sentences
from opoi.passages import rebuild, regions_of
from opoi.protocols import Suite
from opoi.seeds import Stream
from opoi.types import Message, Trace

__all__ = ["Spot", "add_member", "into_prose", "replaced", "spliced", "with_phrase"]

_FINAL = 0.6
"""Probability that a phrase goes into the final answer and not into an earlier message."""


class Spot(NamedTuple):
    """A place in a trace: path of the message, field, span, and what stands there."""

    message: tuple[int, ...]
    field: str
    start: int
    end: int
    text: str


def into_prose(trace: Trace, suite: Suite, phrase: str, stream: Stream) -> tuple[Trace, Spot] | None:
    """Return the trace with a phrase somewhere in the agent's prose; None where it wrote none.

    Args:
        trace: A trace with a valid decision.
        suite: Says what prose is, and reads the decision again.
        phrase: See `with_phrase`.
        stream: Decides where.
    """
    found = [
        (index, region)
        for index, message in enumerate(trace.messages)
        if message.role == "assistant"
        for region, text in regions_of(message.content, suite.prose).items()
        if text.strip()
    ]
    if not found:
        return None
    last = [place for place in found if place[0] == len(trace.messages) - 1]
    earlier = [place for place in found if place not in last]
    chosen = last if last and (not earlier or stream.chance(_FINAL, "final")) else earlier
    index, region = stream.choice(chosen, "message")
    content = trace.messages[index].content
    text, start, end = with_phrase(regions_of(content, suite.prose)[region], phrase, stream)
    changed = replaced(trace, suite, index, rebuild(content, suite.prose, {region: text}))
    return changed, Spot((index,), region, start, end, text[start:end])


def with_phrase(text: str, phrase: str, stream: Stream) -> tuple[str, int, int]:
    """Return the text with the phrase in it, and where the phrase stands.

    Args:
        text: Prose that is not blank.
        phrase: A phrase that ends with a comma leads a sentence, one that begins with a comma trails one,
            any other is a sentence of its own.
        stream: Decides where.
    """
    spans = sentences(text)
    if phrase.startswith(","):
        start, end = stream.choice(spans, "sentence")
        body = text[start:end].rstrip()
        at = start + len(body.rstrip(".!?"))
        return text[:at] + phrase + text[at:], at, at + len(phrase)
    if phrase.endswith(","):
        at, end = stream.choice(spans, "sentence")
        at += len(text[at:end]) - len(text[at:end].lstrip())
        rest = _uncapitalised(text[at:])
        return f"{text[:at]}{phrase} {rest}", at, at + len(phrase)
    place = stream.below(len(spans) + 1, "gap")
    head = text[: spans[place][0]] if place < len(spans) else text
    tail = text[len(head) :]
    head = f"{head.rstrip()} " if head.strip() else head
    tail = f" {tail.lstrip()}" if tail.strip() else tail
    return head + phrase + tail, len(head), len(head) + len(phrase)


def _uncapitalised(text: str) -> str:
    """Return the text with a small first letter, where its first word is a common one."""
    word = text.partition(" ")[0]
    return text[0].lower() + text[1:] if word[1:].islower() and word.isalpha() else text


def replaced(trace: Trace, suite: Suite, index: int, content: str) -> Trace:
    """Return the trace with another text in one message; a final answer is read again."""
    message = msgspec.structs.replace(trace.messages[index], content=content)
    messages = (*trace.messages[:index], message, *trace.messages[index + 1 :])
    if index != len(trace.messages) - 1:
        return msgspec.structs.replace(trace, messages=messages)
    return msgspec.structs.replace(trace, messages=messages, decision=suite.decide(content))


def spliced(trace: Trace, index: int, count: int, messages: Sequence[Message]) -> Trace:
    """Return the trace with `count` messages from `index` on replaced by others."""
    kept = trace.messages
    return msgspec.structs.replace(trace, messages=(*kept[:index], *messages, *kept[index + count :]))


def add_member(text: str, span: tuple[int, int], key: str, value: str) -> str:
    """Return the text with one more member at the end of a JSON object in it.

    Args:
        text: Any text.
        span: Of the object.
        key: Name of the member.
        value: A string.
    """
    start, end = span
    inside = text[start + 1 : end - 1]
    comma = ", " if inside.strip() else ""
    member = f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=text.isascii())}"
    return f"{text[: end - 1].rstrip()}{comma}{member}}}{text[end:]}"
