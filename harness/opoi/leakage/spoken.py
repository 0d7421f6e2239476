"""Everything that models wrote in a trace, folded, with the way back to where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from opoi.folding import Folded, fold
from opoi.leakage.known import Known
from opoi.passages import Kind, passages
from opoi.types import Finding, Grade, Message, Trace

__all__ = ["Covered", "Spoken", "finding", "message_at", "oracle_texts", "spoken", "words_of"]

_ROLES = ("assistant", "user")

_WORDS = re.compile(r"\d+(?:[-.,:/]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*")


class Spoken(NamedTuple):
    """One text of a trace that a model wrote.

    Attributes:
        message: Path of its message, as in `opoi.passages.Passage`.
        field: Name of the text within the message, likewise.
        kind: What it is.
        text: As it stands there.
        folded: As it reads.
        own: It is the agent's own prose: no JSON, no tool call, nothing in a nested run.
    """

    message: tuple[int, ...]
    field: str
    kind: Kind
    text: str
    folded: Folded
    own: bool

    @property
    def is_key(self) -> bool:
        """Whether it is a key of a JSON object."""
        return self.field.endswith("#key")


class Covered:
    """Spans of one text that are taken; what a question costs does not depend on how many there are."""

    def __init__(self) -> None:
        self._taken = bytearray()

    def add(self, start: int, end: int) -> None:
        """Take a span."""
        if len(self._taken) < end:
            self._taken.extend(bytes(max(end, 2 * len(self._taken)) - len(self._taken)))
        self._taken[start:end] = b"\x01" * (end - start)

    def touches(self, start: int, end: int) -> bool:
        """Return whether a span shares a character with one that is taken."""
        return self._taken.find(1, start, end) >= 0


def spoken(trace: Trace, known: Known) -> Iterator[Spoken]:
    """Yield every text that a model wrote: prose, JSON, tool names and arguments, nested runs.

    What an agent asks of a nested one (a user message there) is its own doing and comes too. What a suite, an
    environment or the oracle wrote does not.
    """
    for passage in passages(trace.messages, known.prose, roles=_ROLES):
        message = message_at(trace, passage.message)
        nested = len(passage.message) > 1
        if message.role == "user" and (not nested or message.author in ("suite", "env", "oracle")):
            continue
        own = passage.kind == "prose" and not nested
        yield Spoken(*passage, folded=fold(passage.text), own=own)


def message_at(trace: Trace, path: tuple[int, ...]) -> Message:
    """Return the message at a path."""
    message = trace.messages[path[0]]
    for index in path[1:]:
        message = message.sub[index]
    return message


def oracle_texts(trace: Trace, known: Known) -> list[str]:
    """Return every privileged text on record: what was injected, and what the expert said or kept back."""
    texts = [injection.text for injection in trace.injections]
    if known.verdict is not None:
        verdict = known.verdict
        texts += [verdict.phrase, verdict.feedback, verdict.reason, verdict.outcome]
        texts += [claim.text for claim in verdict.claims]
    return [text for text in texts if text]


def words_of(text: str) -> list[tuple[str, int, int]]:
    """Return the words of a folded text in lower case with their spans; a number or ISO day is one word."""
    return [(match[0].lower(), match.start(), match.end()) for match in _WORDS.finditer(text)]


def finding(
    detector: str, kind: str, *, trace: Trace, text: Spoken, span: tuple[int, int], why: str, grade: Grade
) -> Finding:
    """Return a finding in a text.

    Args:
        detector: Id of the detector.
        kind: What was found.
        trace: Where.
        text: In which of its texts.
        span: Where in it, in characters of `text.text`.
        why: One line for people.
        grade: How far it proves a leak.
    """
    start, end = span
    return Finding(
        detector=detector,
        kind=kind,
        trace=trace.id,
        message=text.message,
        field=text.field,
        start=start,
        end=end,
        text=text.text[start:end],
        why=why,
        grade=grade,
    )
