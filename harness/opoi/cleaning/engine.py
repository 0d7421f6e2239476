"""Applying rules to a trace, with an account of every change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import msgspec

from opoi.cleaning.residue import residue_of
from opoi.errors import PluginError
from opoi.passages import rebuild, regions_of, target_chars
from opoi.protocols import Rule
from opoi.types import Cleaned, Decision, Edit, Message, Reject, Trace

__all__ = ["MESSAGE", "Reader", "apply", "clean", "core", "rewrite"]

MESSAGE = "message"
"""Region name of an edit that replaces or (with empty text) removes a whole message."""

_PASSES = 50
_MOST_WISHES = 10_000


class Reader(Protocol):
    """What the engine has to know of a suite."""

    @property
    def prose(self) -> Sequence[str]:
        """Keys of a decision object that may be edited."""
        ...

    def decide(self, text: str) -> Decision:
        """Read a final answer."""
        ...


def clean(trace: Trace, rules: Sequence[Rule], *, level: str, suite: Reader) -> Cleaned:
    """Return the trace after all rules, run again until none asks for anything more.

    A trace that is dropped already passes through unchanged. Edits name messages by their place in the trace
    as it came in.

    Args:
        trace: What a strategy made.
        rules: Applied in order.
        level: Name for the record.
        suite: Says which keys of a decision may be edited, and reads the decision again afterwards.

    Raises:
        PluginError: A rule asks for the same edits for ever, or for an edit that does not fit.
    """
    prose = suite.prose
    target = target_chars(trace, prose)
    run = _Run(trace, prose)
    before = trace
    if not trace.drop:
        run.all(rules)
    trace = run.trace
    if run.edits and not trace.drop:
        trace = _decided_again(trace, suite)
    return Cleaned(
        trace=trace,
        level=level,
        edits=tuple(run.edits),
        residue=residue_of(trace),
        target_chars=target,
        edited_chars=min(target, _edited(run.edits, before, prose)),
        dropped_by=run.dropped.rule if run.dropped else "",
        dropped_for=run.dropped.text if run.dropped else "",
    )


class _Run:
    """Rules at work on one trace."""

    def __init__(self, trace: Trace, prose: Sequence[str]) -> None:
        self.trace = trace
        self.edits: list[Edit] = []
        self.dropped: Reject | None = None
        self._prose = prose
        self._origin = list(range(len(trace.messages)))
        self._steps = 0

    def all(self, rules: Sequence[Rule]) -> None:
        """Run each rule to its end, and again whatever rule the edits of another may concern."""
        finished = [-1] * len(rules)
        for _ in range(_PASSES):
            for index, rule in enumerate(rules):
                if finished[index] != self._steps:
                    self._finish(rule)
                    finished[index] = self._steps
            if self.dropped or all(steps == self._steps for steps in finished):
                return
        raise _endless(" and ".join(rule.id for rule in rules), self.trace)

    def _finish(self, rule: Rule) -> None:
        """Run one rule until it asks for nothing more, or the trace is dropped."""
        for _ in range(_PASSES):
            if self.dropped:
                return
            asked = list(islice(rule(self.trace), _MOST_WISHES + 1))
            if len(asked) > _MOST_WISHES:
                raise _endless(rule.id, self.trace)
            for wish in asked:
                if isinstance(wish, Reject):
                    self.trace = msgspec.structs.replace(self.trace, drop=wish.reason)
                    self.dropped = wish
                    return
            edits = [wish for wish in asked if isinstance(wish, Edit)]
            if not edits:
                return
            self._apply(edits)
        raise _endless(rule.id, self.trace)

    def _apply(self, edits: Sequence[Edit]) -> None:
        self.trace = apply(self.trace, edits, self._prose)
        for edit in edits:
            place = (self._origin[edit.message[0]], *edit.message[1:])
            self.edits.append(msgspec.structs.replace(edit, message=place, step=self._steps))
        self._steps += 1
        gone = {edit.message[0] for edit in edits if edit.region == MESSAGE and not edit.text}
        self._origin = [origin for index, origin in enumerate(self._origin) if index not in gone]


def _endless(rule: str, trace: Trace) -> PluginError:
    return PluginError(
        f"the rule {rule!r} does not come to an end",
        why=f"it still asks for edits of {trace.id} after {_PASSES} passes, or for {_MOST_WISHES} at once",
        fix="make it ask for nothing once the trace is clean",
    )


def core(decision: Decision, prose: Sequence[str]) -> dict[str, object]:
    """Return what of a decision cleaning must not change: all but its prose and its citations."""
    return {key: value for key, value in decision.payload.items() if key not in (*prose, "citations")}


def _decided_again(trace: Trace, suite: Reader) -> Trace:
    """Read the decision from the cleaned answer; drop the trace if it is another one than before."""
    if not trace.decision.valid:
        return trace
    answer = next(message for message in reversed(trace.messages) if message.role == "assistant")
    decision = suite.decide(answer.content)
    same = decision.valid and core(decision, suite.prose) == core(trace.decision, suite.prose)
    return msgspec.structs.replace(trace, decision=decision, drop="" if same else "decision_changed")


def _edited(edits: Sequence[Edit], before: Trace, prose: Sequence[str]) -> int:
    """Count the characters of prose that were removed (removing the note itself costs nothing)."""
    count = 0
    for edit in edits:
        if edit.region != MESSAGE:
            count += len(edit.removed)
        elif before.messages[edit.message[0]].author != "oracle":
            count += sum(len(text) for text in regions_of(edit.removed, prose).values())
    return count


def apply(trace: Trace, edits: Sequence[Edit], prose: Sequence[str]) -> Trace:
    """Return the trace with the edits made. Spans refer to the texts before any of them.

    Raises:
        PluginError: An edit names a region that is not there, or text that is not there.
    """
    by_message: dict[int, list[Edit]] = defaultdict(list)
    for edit in edits:
        by_message[edit.message[0]].append(edit)
    messages = []
    for index, message in enumerate(trace.messages):
        content = message.content
        wishes = by_message.get(index)
        if not wishes:
            messages.append(message)
            continue
        whole = [edit for edit in wishes if edit.region == MESSAGE]
        if whole:
            content = whole[-1].text
            if not content:
                continue
        else:
            content = rewrite(content, wishes, prose)
        messages.append(_with(message, content) if content != message.content else message)
    return msgspec.structs.replace(trace, messages=tuple(messages))


def _with(message: Message, content: str) -> Message:
    return msgspec.structs.replace(message, content=content)


def rewrite(content: str, edits: Sequence[Edit], prose: Sequence[str]) -> str:
    """Return the content of one message with edits of its regions made; spans and errors as for `apply`."""
    texts = regions_of(content, prose)
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = texts.get(edit.region)
        if text is None or text[edit.start : edit.end] != edit.removed:
            raise PluginError(
                f"the rule {edit.rule!r} asks for an edit that does not fit",
                why=f"region {edit.region!r}, characters {edit.start} to {edit.end}",
                fix="take spans from opoi.passages.regions_of",
            )
        texts[edit.region] = text[: edit.start] + edit.text + text[edit.end :]
    return rebuild(content, prose, texts)
