"""The rules that the levels are made of, one class each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import sentencex
from msgspec import Struct

from opoi.cleaning.engine import MESSAGE, apply, core
from opoi.cleaning.residue import find, nonces_of, residue_in, residue_of
from opoi.errors import EndpointError
from opoi.passages import editable, regions_of
from opoi.protocols import Model, Suite
from opoi.seeds import Stream
from opoi.types import Edit, Message, Reject, ToolSpec, Trace
from opoi.wire import valid_text

__all__ = [
    "DeleteSentence",
    "Found",
    "RejectResidue",
    "RemoveNote",
    "ResampleTurn",
    "RewriteSentence",
    "hit_sentences",
]


class RemoveNote(Struct, frozen=True):
    """Remove the messages that the oracle wrote; a note in the prompt never was in the student's prompt."""

    id: str = "note"

    def __call__(self, trace: Trace) -> Iterator[Edit]:
        """Ask for the removal of each."""
        for index, message in enumerate(trace.messages):
            if message.author == "oracle":
                yield Edit(rule=self.id, message=(index,), region=MESSAGE, removed=message.content)


class Found(NamedTuple):
    """A sentence with residue: where it stands, and the first pattern that matches in it."""

    message: int
    region: str
    start: int
    end: int
    pattern: str
    text: str

    @property
    def sentence(self) -> str:
        """The sentence, with the blanks that follow it."""
        return self.text[self.start : self.end]

    def edit(self, rule: str, replacement: str = "") -> Edit:
        """Return the edit that replaces the sentence."""
        return Edit(
            rule=f"{rule}/{self.pattern}",
            message=(self.message,),
            region=self.region,
            start=self.start,
            end=self.end,
            text=replacement,
            removed=self.sentence,
        )


def hit_sentences(trace: Trace, prose: Sequence[str]) -> Iterator[list[Found]]:
    """Yield the sentences with residue, a list for each text that has any."""
    nonces = nonces_of(trace)
    for index, message in editable(trace):
        for region, text in regions_of(message.content, prose).items():
            hits = sorted(find(text, nonces), key=lambda hit: hit.start)
            if not hits:
                continue
            found, position = [], 0
            for sentence in sentencex.segment("en", text):
                start, position = position, position + len(sentence)
                inside = [hit.pattern for hit in hits if hit.start < position and hit.end > start]
                if inside:
                    found.append(Found(index, region, start, position, inside[0], text))
            yield found


class DeleteSentence(Struct, frozen=True):
    """Delete every sentence with residue from the prose of the trace."""

    prose: tuple[str, ...]
    id: str = "residue"

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        """Ask for the deletions; a prose key that would be left empty drops the trace."""
        found = chain.from_iterable(map(_with_blanks_before, hit_sentences(trace, self.prose)))
        edits = [one.edit(self.id) for one in found]
        cleaned = apply(trace, edits, self.prose)
        for index, message in editable(cleaned):
            before = regions_of(trace.messages[index].content, self.prose)
            after = regions_of(message.content, self.prose)
            if any(before.get(key) and not after.get(key, "").strip() for key in self.prose):
                yield Reject(rule=self.id, reason="nothing_left")
                return
        yield from edits


def _with_blanks_before(found: list[Found]) -> list[Found]:
    """Widen the sentences that end a text by the blanks before them: none is to stay behind."""
    end = len(found[-1].text)
    for position in reversed(range(len(found))):
        one = found[position]
        if one.end != end:
            break
        end = one.start
        if position == 0 or found[position - 1].end != end:
            found[position] = one._replace(start=len(one.text[:end].rstrip()))
    return found


class RejectResidue(Struct, frozen=True):
    """Drop the trace if anything a model wrote in it still matches."""

    id: str = "residue"

    def __call__(self, trace: Trace) -> Iterator[Reject]:
        """Ask for the drop."""
        if residue_of(trace):
            yield Reject(rule=self.id, reason="residue")


class RewriteSentence(Struct, frozen=True):
    """Let a model rewrite every sentence with residue. Its words are not the agent's: see edit fraction."""

    prose: tuple[str, ...]
    model: Model
    seed: int
    id: str = "rewrite"

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        """Ask for the replacements; a sentence that the model cannot mend drops the trace."""
        stream = Stream(self.seed, "rewrite", trace.id)
        for one in chain.from_iterable(hit_sentences(trace, self.prose)):
            sentence = one.sentence
            asked = Message(role="user", content=f"{REWRITE}\n\n{sentence.strip()}", author="suite")
            seed = stream.seed31(one.message, one.region, one.start)
            try:
                reply = self.model.complete((asked,), (), seed=seed)
            except EndpointError:
                yield Reject(rule=self.id, reason="infrastructure")
                return
            text = " ".join(valid_text(reply.content).split())
            if not text or "{" in text or any(find(text, nonces_of(trace))):
                yield Reject(rule=self.id, reason="residue")
                return
            yield one.edit(self.id, text + sentence[len(sentence.rstrip()) :])


REWRITE = (
    "Rewrite the sentence below so that it no longer refers to a note, a reviewer, an expert or a settled"
    " verdict. Keep every figure. Answer with the sentence only."
)
"""What a model is asked to do with a sentence that gives the oracle away."""


class ResampleTurn(Struct, frozen=True):
    """Let the agent write each turn with residue again, with the same history and no note in view.

    The new turn has to make the same tool calls (what follows answers them) or take the same decision, but
    for its prose and its citations.
    """

    suite: Suite
    tools: tuple[ToolSpec, ...]
    model: Model
    seed: int
    tries: int = 4
    id: str = "resample"

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        """Ask for the first turn with residue to be replaced; none that fits drops the trace."""
        for index, message in editable(trace):
            if not residue_in([_said(message.content)], nonces_of(trace)):
                continue
            try:
                text = self._again(trace, index, message)
            except EndpointError:
                yield Reject(rule=self.id, reason="infrastructure")
                return
            if text:
                yield Edit(rule=self.id, message=(index,), region=MESSAGE, text=text, removed=message.content)
            else:
                yield Reject(rule=self.id, reason="residue")
            return

    def _again(self, trace: Trace, index: int, message: Message) -> str:
        """Return a clean text for the turn, `""` where no try gives one."""
        before = (m for m in trace.messages[:index] if m.author != "oracle")
        history = (*trace.prompt, *before)
        calls = [(call.name, call.arguments) for call in message.tool_calls]
        stream = Stream(self.seed, "resample", trace.id, index)
        for attempt in range(self.tries):
            reply = self.model.complete(history, self.tools, seed=stream.seed31(attempt))
            content = valid_text(reply.content)
            same = [(call.name, call.arguments) for call in reply.tool_calls] == calls
            if not calls and same:
                kept = core(trace.decision, self.suite.prose)
                same = core(self.suite.decide(content), self.suite.prose) == kept
            if same and content and not residue_in([_said(content)], nonces_of(trace)):
                return content
        return ""


def _said(content: str) -> Message:
    return Message(role="assistant", content=content, author="student")
