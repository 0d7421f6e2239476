"""Everything that the agent states in a trace, with its place: prose, JSON, tool arguments, sub-agents.

Read are all texts of the assistant's messages, keys and names included, what it asks of its sub-agents, and
what those write. Texts are read as they look (see `opoi.folding`); spans are those of the text as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from opoi.folding import Folded, fold
from opoi.passages import Passage, passages
from opoi.provenance.claims import Claimed, find_claims, find_ids, without_ids
from opoi.types import Message, Trace

__all__ = ["Part", "Statement", "claims_in", "statements"]

Part = Literal["prose", "own", "listed", "argument", "name", "broken"]
"""What a statement is: free text (prose, or a string of a JSON object); a number of a JSON object itself,
such as a new budget; a leaf of a list in one, such as a citation; a tool's argument; a key or the name of a
tool; the remains of an answer whose JSON is broken."""

_SETTING_DIGITS = 2
"""A bare whole number in an argument is a claim only beyond so many significant digits."""

_LISTED = re.compile(r"/\d+(?:/|$)")
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")


class Statement(Struct, frozen=True):
    """One text that may hold claims.

    Attributes:
        message: Path of the message, as in `opoi.passages.Passage`. What stands before it had been seen when
            it was written.
        field: Name of the text within the message.
        part: What it is.
        raw: The text as it stands.
        folded: The text as it looks, with the way back.
        start: Where in `raw` the folded text begins.
    """

    message: tuple[int, ...]
    field: str
    part: Part
    raw: str
    folded: Folded
    start: int = 0

    @property
    def text(self) -> str:
        """What is searched; in keys and names words are parted by `_`."""
        return self.folded.text.replace("_", " ") if self.part == "name" else self.folded.text

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span in `raw` of a span in `text`."""
        first, last = self.folded.span(start, end)
        return self.start + first, self.start + last


def statements(trace: Trace, prose: Sequence[str]) -> list[Statement]:
    """Return what a trace states, in the order in which it was written; within a message prose comes first.

    Args:
        trace: The trace.
        prose: Keys of the decision object that hold prose.
    """
    found: list[Statement] = []
    broken = _broken_answer(trace)
    for passage in passages(trace.messages, prose, roles=("assistant", "user")):
        message = _at(trace.messages, passage.message)
        if message.role == "assistant" or (
            len(passage.message) > 1 and message.author not in ("suite", "oracle")
        ):
            found += _of(passage, broken=passage.message == broken)
    return sorted(found, key=lambda each: (each.message, each.part in ("own", "listed", "argument", "name")))


def claims_in(statement: Statement, *, as_of: str, shapes: tuple[str, ...]) -> Iterator[Claimed]:
    """Yield the claims of a statement: numbers, dates and ids, with spans in its text as searched.

    A short whole number in an argument (`"days": 14`) says what is asked for and claims nothing.

    Args:
        statement: What is searched.
        as_of: ISO day of the decision, `""` where it is not known.
        shapes: What ids look like.
    """
    for claim in _claims(statement.folded.text, statement.part == "name", as_of, shapes):
        bare = claim.kind == "number" and not claim.unit and claim.step == 1.0
        if not (statement.part == "argument" and bare and claim.digits <= _SETTING_DIGITS):
            yield claim


@lru_cache(maxsize=4096)
def _claims(text: str, name: bool, as_of: str, shapes: tuple[str, ...]) -> tuple[Claimed, ...]:
    """Return the claims of a text; a trace repeats its keys, ids and windows many times."""
    ids = tuple(find_ids(text, shapes))
    plain = text.replace("_", " ") if name else text
    return (*find_claims(without_ids(plain, shapes) if ids else plain, as_of=as_of), *ids)


def _of(passage: Passage, *, broken: bool) -> Iterable[Statement]:
    """Return a passage as statements: two where an answer breaks off within its JSON."""
    part = _part(passage)
    if broken and part != "name":
        cut = passage.text.find("{") if passage.field in ("text", "before") else 0
        if cut >= 0:
            head, tail = passage.text[:cut], passage.text[cut:]
            yield Statement(passage.message, passage.field, "prose", passage.text, fold(head))
            yield Statement(passage.message, passage.field, "broken", passage.text, fold(tail), cut)
            return
    yield Statement(passage.message, passage.field, part, passage.text, fold(passage.text))


def _part(passage: Passage) -> Part:
    if passage.kind == "name" or passage.field.endswith("#key"):
        return "name"
    if passage.kind == "argument":
        return "argument"
    if passage.kind == "json":
        if _LISTED.search(passage.field):
            return "listed"
        return "own" if _NUMBER.fullmatch(passage.text) else "prose"
    return "prose"


def _broken_answer(trace: Trace) -> tuple[int, ...] | None:
    """Return the place of a last message that was to be the decision and holds no valid one."""
    spoken = [index for index, message in enumerate(trace.messages) if message.role == "assistant"]
    if not spoken or trace.decision.valid or trace.messages[spoken[-1]].tool_calls:
        return None
    return (spoken[-1],)


def _at(messages: Sequence[Message], path: tuple[int, ...]) -> Message:
    message = messages[path[0]]
    for index in path[1:]:
        message = message.sub[index]
    return message
