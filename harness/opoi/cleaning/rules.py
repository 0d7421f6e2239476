"""The rules that the levels are made of, one class each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from opoi.cleaning.engine import MESSAGE, Reader, core
from opoi.cleaning.residue import find, nonces_of, residue_in, residue_of
from opoi.cleaning.sentences import sentences
from opoi.errors import EndpointError
from opoi.passages import editable, regions_of
from opoi.protocols import Model
from opoi.seeds import Stream
from opoi.types import Edit, Message, Reject, ToolSpec, Trace
from opoi.wire import valid_text

__all__ = [
    "Hurt",
    "RejectResidue",
    "RemoveNote",
    "ResampleTurn",
    "Resampler",
    "RewriteSentence",
    "hurt_sentences",
]


class RemoveNote(Struct, frozen=True):
    """Remove the messages that the oracle wrote; a note in the prompt never was in the student's prompt."""

    id: str = "note"

    def __call__(self, trace: Trace) -> Iterator[Edit]:
        """Ask for the removal of each."""
        for index, message in enumerate(trace.messages):
            if message.author == "oracle":
                yield Edit(rule=self.id, message=(index,), region=MESSAGE, removed=message.content)


class Hurt(NamedTuple):
    """A sentence with residue: where it stands, and the first pattern that matches in it."""

    message: int
    region: str
    start: int
    end: int
    pattern: str
    sentence: str

    def edit(self, rule: str, replacement: str) -> Edit:
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


def hurt_sentences(trace: Trace, prose: Sequence[str]) -> Iterator[Hurt]:
    """Yield the sentences with residue in the prose that may be edited."""
    nonces = nonces_of(trace)
    for index, message in editable(trace):
        for region, text in regions_of(message.content, prose).items():
            hits = sorted(find(text, nonces), key=lambda hit: hit.start)
            for start, end in sentences(text) if hits else ():
                inside = [hit.pattern for hit in hits if hit.start < end and hit.end > start]
                if inside:
                    yield Hurt(index, region, start, end, inside[0], text[start:end])


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
        for one in hurt_sentences(trace, self.prose):
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


class Resampler(Struct, frozen=True):
    """Lets the agent write a turn again, with the same history and no note in view.

    The new turn has to make the same tool calls (what follows answers them) or take the same decision, but
    for its prose and its citations.
    """

    suite: Reader
    tools: tuple[ToolSpec, ...]
    model: Model
    seed: int
    tries: int = 4

    def again(self, trace: Trace, index: int, fits: Callable[[str], bool]) -> str:
        """Return a text for the turn that fits, `""` where no try gives one.

        Args:
            trace: What the turn stands in.
            index: Of the assistant's message.
            fits: What the new text must pass.

        Raises:
            EndpointError: The model gave no answer.
        """
        before = (message for message in trace.messages[:index] if message.author != "oracle")
        history = (*trace.prompt, *before)
        calls = [(call.name, call.arguments) for call in trace.messages[index].tool_calls]
        stream = Stream(self.seed, "resample", trace.id, index)
        for attempt in range(self.tries):
            reply = self.model.complete(history, self.tools, seed=stream.seed31(attempt))
            content = valid_text(reply.content)
            same = [(call.name, call.arguments) for call in reply.tool_calls] == calls
            if not calls and same:
                kept = core(trace.decision, self.suite.prose)
                same = core(self.suite.decide(content), self.suite.prose) == kept
            if same and content and fits(content):
                return content
        return ""


class ResampleTurn(Struct, frozen=True):
    """Resample every turn with residue."""

    resampler: Resampler
    id: str = "resample"

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        """Ask for the first turn with residue to be replaced; none that fits drops the trace."""
        nonces = nonces_of(trace)

        def fits(content: str) -> bool:
            return not residue_in([_said(content)], nonces)

        for index, message in editable(trace):
            if fits(message.content):
                continue
            try:
                text = self.resampler.again(trace, index, fits)
            except EndpointError:
                yield Reject(rule=self.id, reason="infrastructure")
                return
            if text:
                yield Edit(rule=self.id, message=(index,), region=MESSAGE, text=text, removed=message.content)
            else:
                yield Reject(rule=self.id, reason="residue")
            return


def _said(content: str) -> Message:
    return Message(role="assistant", content=content, author="student")
