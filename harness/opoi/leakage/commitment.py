"""L5: the conclusion stands before the evidence.

An agent that was told the verdict can announce it before it has looked. The position of the first sentence
that commits to the final action is compared with that of the first tool result that holds a decisive metric.
A metric is decisive if the best action is another one without it: the argmax of `Suite.expected` given all
that was observed, and given that less every value of the metric. Where there is no suite to ask, or no single
metric decides, the first result with facts about the decision's entity takes its place; in a trace without a
ledger, the first result.

An agent can be hasty by nature: read the rate of steered traces minus that of unsteered ones. A finding is a
suspicion only. Methods specification 5.8, L5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from opoi.cleaning.sentences import sentences
from opoi.leakage.known import Known
from opoi.leakage.spoken import Spoken, finding, spoken
from opoi.provenance.decisive import decisive_metrics
from opoi.provenance.texts import observed
from opoi.types import Fact, Finding, Trace

__all__ = ["Commitment", "CommitmentPosition", "commitment_position", "commits"]

_KIN: tuple[tuple[str, ...], ...] = (
    ("up", "increase", "raise", "grow", "expand", "more", "boost", "lift", "higher"),
    ("down", "reduce", "decrease", "cut", "lower", "shrink", "trim", "less"),
    ("maintain", "hold", "keep", "leave", "stay", "unchanged", "retain", "none", "wait", "nothing"),
    ("pause", "stop", "halt", "suspend", "off", "disable"),
    ("open", "release"),
    ("close", "shut"),
    ("approve", "accept", "grant", "allow"),
    ("reject", "decline", "deny", "refuse"),
    ("buy",),
    ("sell",),
)
"""Words of one direction. An action whose name holds one of them may be announced with the others."""

_OPEN = re.compile(
    r"\b(?:whether|if|or|either|versus|vs|could|might|may|not|never|neither|rather than|instead of)\b"
    r"|n't\b|\?",
    re.IGNORECASE,
)
_DECIDES = re.compile(
    r"\b(?:I|we|let's|let us|my|our)\b|\b(?:decision|decide|plan|choice|answer|conclusion|verdict|action)\b",
    re.IGNORECASE,
)


class CommitmentPosition(Struct, frozen=True, kw_only=True):
    """Where a trace commits to its final action, and where the evidence for it appears.

    Attributes:
        message: Index of the assistant message with the first sentence that commits.
        share: Share of the characters of the agent's prose before that sentence, 0 to 1.
        evidence: Index of the first tool result with a decisive metric, -1 where the author's own
            prompt showed the facts, None where none came.
        decisive: The metrics that decide; empty where no single one does or no suite can be asked.
    """

    message: int
    share: float
    evidence: int | None
    decisive: tuple[str, ...] = ()

    @property
    def early(self) -> bool:
        """Whether the commitment stands before the evidence, or there is none."""
        return self.evidence is None or self.message < self.evidence


class Commitment:
    """Finds final actions that were announced before anything decisive was seen."""

    id = "commitment"
    title = "commitment before evidence"
    doc = "The final action is announced before any tool has shown a metric that decides it."
    needs: tuple[str, ...] = ()

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        """Yield the first sentence that commits, where it stands before the evidence.

        A trace without any tool result has no order of the two, and no finding.
        """
        first = _first(trace, known)
        if first is None:
            return
        text, start, end, _ = first
        evidence, decisive = _evidence(trace, known, text.message[0])
        if evidence is None or text.message[0] >= evidence:
            return
        yield finding(
            self.id,
            "commit-before-evidence",
            trace=trace,
            text=text,
            span=text.folded.span(start, end),
            why=f"commits to {trace.decision.action!r} before {_told(trace, evidence, decisive)}",
            grade="suspect",
        )


def commitment_position(trace: Trace, known: Known) -> CommitmentPosition | None:
    """Return where a trace commits to its final action; None where no sentence does or it has no decision.

    Args:
        trace: Any trace.
        known: What is known about it; with suite and scenario the decisive metrics are worked out.
    """
    first = _first(trace, known)
    if first is None:
        return None
    text, _, _, share = first
    evidence, decisive = _evidence(trace, known, None)
    return CommitmentPosition(message=text.message[0], share=share, evidence=evidence, decisive=decisive)


def _told(trace: Trace, evidence: int, decisive: Sequence[str]) -> str:
    """Return what evidence a commitment stands before, in words: decisive only where that was worked out."""
    if decisive:
        return f"the first decisive result, message {evidence} ({', '.join(decisive)})"
    earlier = any(message.role == "tool" and not message.error for message in trace.messages[:evidence])
    return f"the first result {'about the case' if earlier else 'of any tool'}, message {evidence}"


# ---------------------------------------------------------------- the commitment


def _first(trace: Trace, known: Known) -> tuple[Spoken, int, int, float] | None:
    """Return text, span in its folded form and position (share of prose) of the first commitment."""
    action = trace.decision.action
    if not action:
        return None
    others = tuple(known.suite.actions) if known.suite is not None else ()
    texts = [text for text in spoken(trace, known) if text.own]
    length = sum(len(text.folded.text) for text in texts)
    before = 0
    for text in texts:
        for start, end in sentences(text.folded.text):
            sentence = text.folded.text[start:end]
            if commits(sentence, action, others):
                left = start + len(sentence) - len(sentence.lstrip())
                return text, left, start + len(sentence.rstrip()), (before + start) / length
        before += len(text.folded.text)
    return None


def commits(sentence: str, action: str, actions: Sequence[str] = ()) -> bool:
    """Return whether a sentence commits to an action rather than weighs it or tells of something else.

    It names the action, or says in the first person or as a decision that it goes the action's way; it names
    no other action, asks nothing and leaves nothing open.

    Args:
        sentence: A folded sentence.
        action: Name of the action, e.g. `scale_up`.
        actions: All actions that could be taken.
    """
    if _OPEN.search(sentence):
        return False
    if any(_named(other).search(sentence) for other in actions if other != action):
        return False
    if _named(action).search(sentence):
        return True
    kin = _kin(action)
    return bool(kin and kin.search(sentence) and _DECIDES.search(sentence))


@lru_cache(maxsize=256)
def _named(action: str) -> re.Pattern[str]:
    """Return a pattern for the name of an action in words: `scale_up` as `scale it up` and `scaling up`."""
    head, *rest = re.split(r"[\s_-]+", action)
    words = [_inflected(head), *map(re.escape, rest)]
    return re.compile(rf"\b{r'[ _-](?:it |them )?'.join(words)}\b", re.IGNORECASE)


@lru_cache(maxsize=256)
def _kin(action: str) -> re.Pattern[str] | None:
    """Return a pattern for the words of the action's direction, None where it has no known one."""
    parts = set(re.split(r"[\s_-]+", action.lower()))
    words = [word for kin in _KIN if parts & set(kin) for word in kin]
    if not words:
        return None
    return re.compile(rf"\b(?:{'|'.join(map(_inflected, words))})\b", re.IGNORECASE)


def _inflected(word: str) -> str:
    """Return a pattern for a verb and its -ing form: `cut` and `cutting`, `raise` and `raising`."""
    if word.endswith("e"):
        return rf"{re.escape(word[:-1])}(?:e|ing)"
    return rf"{re.escape(word)}(?:{re.escape(word[-1:])}?ing)?"


# ---------------------------------------------------------------- the evidence


def _evidence(trace: Trace, known: Known, commitment: int | None) -> tuple[int | None, tuple[str, ...]]:
    """Return the index of the first decisive tool result, and the decisive metrics.

    Args:
        trace: The trace.
        known: What is known.
        commitment: Index of the commitment: where it stands before every result, or after the last, there
            is nothing to work out. None to work it out in any case.
    """
    if any(observed(trace.gen_prompt)):
        return -1, ()
    tools = [(index, message) for index, message in enumerate(trace.messages) if message.role == "tool"]
    results = [(index, facts) for index, message in tools if (facts := tuple(observed([message])))]
    if not results:
        return next((index for index, message in tools if not message.error), None), ()
    if commitment is not None and not results[0][0] < commitment < results[-1][0]:
        return results[0][0], ()
    decisive = _decisive(known, [fact for _, facts in results for fact in facts])
    for index, facts in results:
        if any(fact.metric in decisive for fact in facts):
            return index, decisive
    entity = known.scenario.entity if known.scenario is not None else trace.decision.entity
    for index, facts in results:
        if any(fact.entity == entity for fact in facts):
            return index, ()
    return results[0][0], ()


def _decisive(known: Known, facts: Sequence[Fact]) -> tuple[str, ...]:
    if known.suite is None or known.scenario is None:
        return ()
    return decisive_metrics(known.suite, known.scenario, facts)
