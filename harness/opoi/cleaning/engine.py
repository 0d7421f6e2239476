"""Applying rules to a trace, with an account of every change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import msgspec

from opoi.cleaning.residue import residue_of
from opoi.errors import OpoiError, PluginError
from opoi.passages import rebuild, regions_of, target_chars
from opoi.protocols import Rule
from opoi.types import Cleaned, Decision, Edit, Message, Reject, Trace

__all__ = ["MESSAGE", "NO_END", "Reader", "apply", "clean", "core", "rewrite"]

MESSAGE = "message"
"""Region name of an edit that replaces or (with empty text) removes a whole message."""

NO_END = "no_end"
"""Drop reason of a trace on which rules do not come to an end."""

_PASSES = 50
_MOST_EDITS = 100_000
_GROWTH = 4


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

    A trace on which they do not come to an end is dropped as `no_end`.

    A trace that is dropped already passes through unchanged. Edits name messages by their place in the trace
    as it came in.

    Args:
        trace: What a strategy made.
        rules: Applied in order.
        level: Name for the record.
        suite: Says which keys of a decision may be edited, and reads the decision again afterwards.

    Raises:
        PluginError: A rule fails, or asks for an edit that does not fit.
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
        dropped_at=run.dropped.place if run.dropped else "",
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
        self._most = _GROWTH * self._length() + 1_000

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
        self._give_up(rules[-1], f"rules undo each other: {', '.join(rule.id for rule in rules)}")

    def _finish(self, rule: Rule) -> None:
        """Run one rule until it asks for nothing more, or the trace is dropped."""
        for _ in range(_PASSES):
            if self.dropped:
                return
            asked = _asked(rule, self.trace)
            rejects = [wish for wish in asked if isinstance(wish, Reject)]
            if rejects:
                self._drop(rejects[0])
                return
            edits = [wish for wish in asked if isinstance(wish, Edit)]
            if not edits:
                return
            if len(edits) > _MOST_EDITS or self._length() > self._most:
                break
            self._apply(edits)
        self._give_up(rule, f"it asks for more and more, {len(edits)} edits in the last pass")

    def _drop(self, wish: Reject) -> None:
        self.trace = msgspec.structs.replace(self.trace, drop=wish.reason or wish.rule or "rejected")
        self.dropped = wish

    def _give_up(self, rule: Rule, why: str) -> None:
        """Drop a trace on which rules come to no end: it must not stop all the others."""
        self._drop(Reject(rule=rule.id, reason=NO_END, text=why))

    def _length(self) -> int:
        return sum(len(message.content) for message in self.trace.messages)

    def _apply(self, edits: Sequence[Edit]) -> None:
        self.trace = apply(self.trace, edits, self._prose)
        for edit in edits:
            place = (self._origin[edit.message[0]], *edit.message[1:])
            self.edits.append(msgspec.structs.replace(edit, message=place, step=self._steps))
        self._steps += 1
        gone = {edit.message[0] for edit in edits if edit.region == MESSAGE and not edit.text}
        self._origin = [origin for index, origin in enumerate(self._origin) if index not in gone]


def _asked(rule: Rule, trace: Trace) -> list[Edit | Reject]:
    """Return what a rule asks for; what it raises, or yields besides edits and rejections, is its fault."""
    try:
        asked = list(islice(rule(trace), _MOST_EDITS + 1))
    except OpoiError:
        raise
    except Exception as error:  # code of others: whatever it raises is told as one message
        raise PluginError(
            f"the rule {rule.id!r} fails on {trace.id}",
            why=f"{type(error).__name__}: {error}",
            fix="a rule takes a trace and yields opoi.types.Edit or Reject; --debug shows where it broke",
        ) from error
    for wish in asked:
        if not isinstance(wish, Edit | Reject):
            raise PluginError(
                f"the rule {rule.id!r} yields what is no wish: {wish!r:.60}",
                why=f"it is {type(wish).__name__}",
                fix="yield opoi.types.Edit or Reject",
            )
        if isinstance(wish, Edit) and not (wish.message and 0 <= wish.message[0] < len(trace.messages)):
            raise PluginError(
                f"the rule {rule.id!r} asks for an edit of message {wish.message}",
                why=f"{trace.id} has the messages 0 to {len(trace.messages) - 1}",
            )
        if isinstance(wish, Edit):
            _check_whole(rule, wish, trace.messages[wish.message[0]])
    return asked


def _check_whole(rule: Rule, edit: Edit, message: Message) -> None:
    """Check that a message that is to be replaced or removed as a whole is one that may be.

    Raises:
        PluginError: It is a tool result, or a turn of the agent that is to be removed.
    """
    if edit.region != MESSAGE or message.author == "oracle":
        return
    if message.role == "tool" or (message.role == "assistant" and not edit.text):
        raise PluginError(
            f"the rule {rule.id!r} asks to {'change' if edit.text else 'remove'} message {edit.message}",
            why="tool results and turns of the agent stay where they are, whatever a rule says",
            fix="edit a region of prose, or yield opoi.types.Reject",
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
