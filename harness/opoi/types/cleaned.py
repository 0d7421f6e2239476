"""Traces after cleaning, with the account of what was done to them."""

from __future__ import annotations

from opoi.types.base import Value
from opoi.types.messages import ToolSpec, Usage
from opoi.types.traces import Trace

__all__ = ["Cleaned", "Edit", "Example", "Reject"]


class Edit(Value, frozen=True, kw_only=True):
    """One change to one text region of a trace.

    Attributes:
        rule: Id of the rule that asked for it.
        message: Index into `Trace.messages` before cleaning; further numbers go into `Message.sub`.
        region: Which text of the message, see `opoi.passages.regions_of`; `message` for the whole.
        start: First character of the region that is replaced (before the edit).
        end: One past the last character.
        text: What stands there afterwards.
        removed: What stood there before.
        step: Number of the pass that made it, from 0: the span refers to the text before that pass.
    """

    rule: str
    message: tuple[int, ...]
    region: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    removed: str = ""
    step: int = 0


class Reject(Value, frozen=True, kw_only=True):
    """A rule's wish to drop the whole trace.

    Attributes:
        rule: Id of the rule.
        reason: Under which the drop is counted.
        text: What of the trace made the rule want it, for people; may be empty.
        place: Where that stands, for people; may be empty.
    """

    rule: str
    reason: str
    text: str = ""
    place: str = ""


class Cleaned(Value, frozen=True, kw_only=True):
    """A trace after cleaning, with the account of what was done to it.

    Attributes:
        trace: The cleaned trace; its `drop` says why it is not kept, `""` if it is.
        level: Name of the cleaning level.
        edits: All edits, in the order in which they were made.
        residue: Ids of the residue patterns that still match after cleaning.
        target_chars: Length of the text with loss weight before cleaning.
        edited_chars: How many of those characters were removed or replaced.
        usage: Cost of the model calls that cleaning made.
        dropped_by: Id of the rule that dropped it, `""` if none did.
        dropped_for: What of the trace made it do so.
        dropped_at: Where that stands.
    """

    trace: Trace
    level: str
    edits: tuple[Edit, ...] = ()
    residue: tuple[str, ...] = ()
    target_chars: int = 0
    edited_chars: int = 0
    usage: Usage = Usage()
    dropped_by: str = ""
    dropped_for: str = ""
    dropped_at: str = ""

    @property
    def kept(self) -> bool:
        """Whether the trace goes into the data set."""
        return not self.trace.drop


class Example(Value, frozen=True, kw_only=True):
    """One line of a data set, before it is written in an export format.

    Attributes:
        trace: A kept trace.
        tools: What its agent could call.
        with_note: Messages of the oracle are wanted in it (level C0, the positive control).
    """

    trace: Trace
    tools: tuple[ToolSpec, ...]
    with_note: bool = False
