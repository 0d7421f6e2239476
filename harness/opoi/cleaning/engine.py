"""Applying rules to a trace, with an account of every change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from opoi.cleaning.residue import residue_of
from opoi.errors import PluginError
from opoi.passages import editable, rebuild, regions_of
from opoi.protocols import Rule, Suite
from opoi.types import Cleaned, Decision, Edit, Message, Reject, Trace

__all__ = ["MESSAGE", "apply", "clean", "core"]

MESSAGE = "message"
"""Region name of an edit that replaces or (with empty text) removes a whole message."""

_PASSES = 50


def clean(trace: Trace, rules: Sequence[Rule], *, level: str, suite: Suite) -> Cleaned:
    """Return the trace after all rules, each run until it asks for nothing more.

    A trace that is dropped already passes through unchanged.

    Args:
        trace: What a strategy made.
        rules: Applied in order.
        level: Name for the record.
        suite: Says which keys of a decision may be edited, and reads the decision again afterwards.

    Raises:
        PluginError: A rule asks for the same edits for ever, or for an edit that does not fit.
    """
    prose = suite.prose
    target = sum(
        len(text) for _, message in editable(trace) for text in regions_of(message.content, prose).values()
    )
    edits: list[Edit] = []
    before = trace
    for rule in rules if not trace.drop else ():
        trace, made = _run(rule, trace, prose)
        edits += made
        if trace.drop:
            break
    if edits and not trace.drop:
        trace = _decided_again(trace, suite)
    return Cleaned(
        trace=trace,
        level=level,
        edits=tuple(edits),
        residue=residue_of(trace),
        target_chars=target,
        edited_chars=min(target, _edited(edits, before, prose)),
    )


def core(decision: Decision, prose: Sequence[str]) -> dict[str, object]:
    """Return what of a decision cleaning must not change: all but its prose and its citations."""
    return {key: value for key, value in decision.payload.items() if key not in (*prose, "citations")}


def _decided_again(trace: Trace, suite: Suite) -> Trace:
    """Read the decision from the cleaned answer; drop the trace if it is another one than before."""
    if not trace.decision.valid:
        return trace
    decision = suite.decide(trace.messages[-1].content)
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


def _run(rule: Rule, trace: Trace, prose: Sequence[str]) -> tuple[Trace, list[Edit]]:
    made: list[Edit] = []
    for _ in range(_PASSES):
        asked = list(rule(trace))
        for wish in asked:
            if isinstance(wish, Reject):
                return msgspec.structs.replace(trace, drop=wish.reason), made
        edits = [wish for wish in asked if isinstance(wish, Edit)]
        if not edits:
            return trace, made
        trace = apply(trace, edits, prose)
        made += edits
    raise PluginError(
        f"the rule {rule.id!r} does not come to an end",
        why=f"it still asks for edits of {trace.id} after {_PASSES} passes",
        fix="make it ask for nothing once the trace is clean",
    )


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
        wishes = by_message.get(index, [])
        whole = [edit for edit in wishes if edit.region == MESSAGE]
        if whole:
            content = whole[-1].text
            if not content:
                continue
        else:
            content = _rewrite(content, wishes, prose)
        messages.append(_with(message, content) if content != message.content else message)
    return msgspec.structs.replace(trace, messages=tuple(messages))


def _with(message: Message, content: str) -> Message:
    return msgspec.structs.replace(message, content=content)


def _rewrite(content: str, edits: Sequence[Edit], prose: Sequence[str]) -> str:
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
