"""Rules at work on files of traces: record by record, with an account of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from opoi.cleaning.book import Book, Found
from opoi.cleaning.engine import MESSAGE, clean
from opoi.cleaning.library import Library
from opoi.cleaning.rules import RemoveNote, Resampler
from opoi.errors import UsageError
from opoi.formats import Record, write_back
from opoi.lab.decisions import with_decision
from opoi.lab.known import Background
from opoi.leakage.finders import check_detectors, finders
from opoi.measures.text import drop_reason
from opoi.passages import target_chars
from opoi.protocols import Model, Rule
from opoi.store import encode
from opoi.types import Cleaned, Edit, Reject, Trace

__all__ = ["Bench", "Outcome", "RuleCount", "Tally", "contents", "line_of"]


class Outcome(NamedTuple):
    """What became of one record."""

    record: Record
    cleaned: Cleaned

    @property
    def changed(self) -> bool:
        """Whether any rule asked for anything."""
        return bool(self.cleaned.edits) or self.cleaned.trace.drop != self.record.trace.drop


class Bench:
    """Cleans records with the rules of a library.

    Args:
        library: The rules.
        background: What is known about the traces.
        model: Writes turns anew; needed by rules that resample.
        seed: Seed of those calls.

    Raises:
        UsageError: A rule resamples and there is no model.
    """

    def __init__(
        self, library: Library, background: Background, *, model: Model | None = None, seed: int = 0
    ) -> None:
        check_detectors(library.named)
        self.library = library
        self._background = background
        self._reader = background.reader
        resampling = [rule.id for rule in library.named if rule.spec.do == "resample turn"]
        if resampling and model is None:
            raise UsageError(
                f"the rule {resampling[0]!r} wants turns written anew, and there is no agent to do it",
                fix="name the agent's model with --model, or let the rule do something else",
            )
        self._model, self._seed = model, seed
        self._book = Book(
            library.named,
            prose=self._reader.prose,
            finders=finders(background.known),
            again=self._again if model is not None else None,
            id=library.name,
        )
        self._others: tuple[Rule, ...] = (*library.python, RemoveNote())

    @property
    def prose(self) -> tuple[str, ...]:
        """Keys of a decision object that may be edited."""
        return tuple(self._reader.prose)

    def clean(self, record: Record) -> Outcome:
        """Clean one record."""
        trace = record.trace
        if trace.stop.drop or trace.drop:
            return self._untouched(record)
        if self._book.traced:
            trace = with_decision(trace, self._reader)
        book: Rule = self._book
        if not self.library.python and not _has_note(trace):
            found = self._book.find(trace)
            if not found:
                return self._untouched(record)
            book = _Begun(self._book, found)
        trace = with_decision(trace, self._reader)
        rules = (book, *self._others)
        return Outcome(record, clean(trace, rules, level=self.library.name, suite=self._reader))

    def _untouched(self, record: Record) -> Outcome:
        """Return the outcome where no rule can ask for anything; the quick way through for most records."""
        target = target_chars(record.trace, self._reader.prose)
        return Outcome(record, Cleaned(trace=record.trace, level=self.library.name, target_chars=target))

    def _again(self, trace: Trace, index: int, fits: Callable[[str], bool]) -> str:
        assert self._model is not None
        tools = self._background.tools(trace)
        return Resampler(self._reader, tools, self._model, self._seed).again(trace, index, fits)


def _has_note(trace: Trace) -> bool:
    return any(message.author == "oracle" for message in trace.messages)


class _Begun:
    """A book that has looked at a trace already, as a rule."""

    def __init__(self, book: Book, found: Sequence[Found]) -> None:
        self.id = book.id
        self._book = book
        self._found: Sequence[Found] | None = found

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        found, self._found = self._found, None
        return self._book.ask(trace, self._book.find(trace) if found is None else found)


def contents(outcome: Outcome) -> dict[int, str | None]:
    """Return the new content of every message that was changed, None for one that was removed."""
    removed = {edit.message[0] for edit in outcome.cleaned.edits if edit.region == MESSAGE and not edit.text}
    before = outcome.record.trace.messages
    kept = [index for index in range(len(before)) if index not in removed]
    after = zip(kept, outcome.cleaned.trace.messages, strict=True)
    changed: dict[int, str | None] = {
        index: message.content for index, message in after if message.content != before[index].content
    }
    return changed | dict.fromkeys(sorted(removed))


def line_of(outcome: Outcome) -> bytes:
    """Return the cleaned record as it goes into a file of the same format, without line break."""
    record = outcome.record
    if not outcome.changed:
        return record.raw
    if record.format != "opoi":
        return write_back(record, contents(outcome))
    if not record.raw.lstrip().startswith(b'{"trace"'):
        return encode(outcome.cleaned.trace)
    before = msgspec.json.decode(record.raw, type=Cleaned)
    edits = (*before.edits, *outcome.cleaned.edits)
    return encode(msgspec.structs.replace(outcome.cleaned, edits=edits))


class RuleCount(msgspec.Struct):
    """What one rule did.

    Attributes:
        edits: Changes it made.
        traces: Traces that it changed or dropped.
        chars: Characters that it removed or replaced.
        drops: Traces that it dropped.
    """

    edits: int = 0
    traces: int = 0
    chars: int = 0
    drops: int = 0


class Tally:
    """Adds up what happened to the records of a run over some files.

    Args:
        library: Its rules are all counted, those that matched nothing too.
    """

    def __init__(self, library: Library) -> None:
        self.rules: dict[str, RuleCount] = {rule.id: RuleCount() for rule in library.named}
        self.rules.update({rule.id: RuleCount() for rule in library.python})
        self.records = self.kept = self.changed = self.bad = 0
        self.drops: Counter[str] = Counter()
        self.target_chars = self.edited_chars = 0

    def add(self, outcome: Outcome) -> None:
        """Count one record."""
        cleaned = outcome.cleaned
        drop = drop_reason(cleaned)
        self.records += 1
        self.kept += not drop
        self.changed += bool(cleaned.edits) and not drop
        if drop:
            self.drops[drop] += 1
        else:
            self.target_chars += cleaned.target_chars
            self.edited_chars += cleaned.edited_chars
        for edit in cleaned.edits:
            count = self._of(edit.rule)
            count.edits += 1
            count.chars += len(edit.removed)
        for rule in sorted({edit.rule for edit in cleaned.edits} | {cleaned.dropped_by} - {""}):
            self._of(rule).traces += 1
        if cleaned.dropped_by:
            self._of(cleaned.dropped_by).drops += 1

    def _of(self, rule: str) -> RuleCount:
        return self.rules.setdefault(rule, RuleCount())

    def summary(self, name: str) -> dict[str, object]:
        """Return everything as plain data, for a machine."""
        return {
            "rules": name,
            "traces": self.records,
            "kept": self.kept,
            "changed": self.changed,
            "unreadable": self.bad,
            "dropped": dict(sorted(self.drops.items())),
            "yield": self.kept / self.records if self.records else None,
            "edit_fraction": self.edit_fraction,
            "by_rule": self.rules,
        }

    @property
    def edit_fraction(self) -> float | None:
        """Share of the text with loss that was removed or replaced in what is kept; None without text."""
        return self.edited_chars / self.target_chars if self.target_chars else None
