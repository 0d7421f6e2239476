"""A book of rules: everything that rule files ask for, found in one pass over a trace.

A book is itself a rule. Its edits carry the ids of the rules in it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import NamedTuple

from opoi.cleaning.engine import MESSAGE, rewrite
from opoi.cleaning.residue import nonces_of
from opoi.cleaning.rulefile import Match, RuleSpec
from opoi.cleaning.scanner import Scanner, literal_pattern
from opoi.cleaning.sentences import touched, without_scar
from opoi.errors import EndpointError
from opoi.passages import Kind, Passage, passages, regions_of, surroundings
from opoi.types import Edit, Message, Reject, Trace

__all__ = ["Book", "Finder", "Found", "Named", "Place"]


class Named(NamedTuple):
    """A rule under its full id, `name of the file/id`."""

    id: str
    spec: RuleSpec


class Place(NamedTuple):
    """A span of a text of a trace; see `opoi.passages.Passage`."""

    message: tuple[int, ...]
    field: str
    start: int
    end: int


class Found(NamedTuple):
    """A match of a rule of a book."""

    rule: int
    passage: Passage
    start: int
    end: int


Again = Callable[[Trace, int, Callable[[str], bool]], str]
"""Writes an assistant message anew: given the trace, the index of the message and a test that the new text
must pass, it returns one, or `""` where it cannot."""

Finder = Callable[[Trace, Match], Iterable[Place]]
"""Finds what is no pattern: claims by their source, words of the oracle."""


class Book:
    """Rules that are matched together.

    Args:
        rules: In order: where two ask for overlapping changes, the longer one wins, then the first.
        prose: Keys of a decision object that hold prose.
        finders: How `source` and `overlap` are found, by these names.
        again: Needed by rules that resample.
        id: Name of the book.
    """

    def __init__(
        self,
        rules: Sequence[Named],
        *,
        prose: Sequence[str],
        finders: Mapping[str, Finder] | None = None,
        again: Again | None = None,
        id: str = "rules",
    ) -> None:
        self.id = id
        self.rules = tuple(rules)
        self._prose = tuple(prose)
        self._finders = dict(finders or {})
        self._again = again
        specs = [rule.spec for rule in rules]
        self._patterned = [
            index for index, spec in enumerate(specs) if spec.match.pattern or spec.match.literals
        ]
        self._nonces = [index for index, spec in enumerate(specs) if spec.match.nonce]
        self._traced = [
            index
            for index, spec in enumerate(specs)
            if spec.match.source or spec.match.overlap or spec.match.detector
        ]
        self._scanner = Scanner([_pattern(specs[index].match) for index in self._patterned])
        self._roles = tuple(dict.fromkeys(role for spec in specs for role in spec.where.roles))
        self._kinds: tuple[Kind, ...] = tuple(
            dict.fromkeys(kind for spec in specs for kind in spec.where.fields)
        )
        self._nested = any(spec.where.agents != "main" for spec in specs)
        self._turned = any(spec.where.turns for spec in specs)

    def written_by(self, again: Again) -> Book:
        """Return the same book with another way to write turns anew."""
        book = copy(self)
        book._again = again
        return book

    @property
    def traced(self) -> bool:
        """Whether any rule asks for more than the texts of a trace: where claims come from, what leaks."""
        return bool(self._traced)

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        """Ask for the changes; a match where nothing may be edited drops the trace."""
        return self.ask(trace, self.find(trace))

    def ask(self, trace: Trace, found: Sequence[Found]) -> Iterator[Edit | Reject]:
        """Ask for the changes where it is known already what `find` returns."""
        for one in found:
            spec = self.rules[one.rule].spec
            if spec.do == "reject trace" or not self._editable(trace, one):
                yield self._reject(one)
                return
        turns = [one for one in found if self.rules[one.rule].spec.do == "resample turn"]
        if turns:
            yield self._resampled(trace, turns[0])
            return
        edits = list(self._edits(found))
        if edits and self._nothing_left(trace, edits):
            yield Reject(rule=edits[0].rule, reason="nothing_left")
            return
        yield from edits

    def find(self, trace: Trace) -> list[Found]:
        """Return every match of every rule, in the order of the trace."""
        if self._silent(trace):
            return []
        texts = [
            passage
            for passage in passages(trace.messages, self._prose, roles=self._roles, kinds=self._kinds)
            if self._nested or len(passage.message) == 1
        ]
        turns = _turns(trace) if self._turned else {}
        marks = (
            [re.compile(re.escape(nonce), re.IGNORECASE) for nonce in nonces_of(trace)]
            if self._nonces
            else []
        )
        found: list[Found] = []
        for passage in texts:
            for index, start, end in self._scanner.find(passage.text):
                found.append(Found(self._patterned[index], passage, start, end))
            for mark in marks:
                for match in mark.finditer(passage.text):
                    found += [Found(rule, passage, *match.span()) for rule in self._nonces]
        if self._traced:
            found += self._found_in_trace(trace, texts)
        return [one for one in found if self._applies(trace, one, turns)]

    def _silent(self, trace: Trace) -> bool:
        """Return whether no pattern can match; the quick way through for most traces."""
        if self._traced or (self._nonces and nonces_of(trace)):
            return False
        around = surroundings(trace.messages, self._prose, roles=self._roles, kinds=self._kinds)
        return self._scanner.silent(around)

    def _found_in_trace(self, trace: Trace, texts: Sequence[Passage]) -> Iterator[Found]:
        by_place = {(passage.message, passage.field): passage for passage in texts}
        for rule in self._traced:
            match = self.rules[rule].spec.match
            finder = self._finders.get(match.kinds[0])
            for place in finder(trace, match) if finder else ():
                unread = Passage(
                    place.message, place.field, "json", ""
                )  # such as the ledger of a tool result
                passage = by_place.get((place.message, place.field), unread)
                if place.message:
                    yield Found(rule, passage, place.start, place.end)

    def _applies(self, trace: Trace, one: Found, turns: Mapping[int, tuple[int, int]]) -> bool:
        where = self.rules[one.rule].spec.where
        path, nested = one.passage.message, len(one.passage.message) > 1
        if one.passage.kind not in where.fields or where.agents == ("main" if nested else "sub"):
            return False
        if where.turns and not {*turns.get(path[0], ())} & {*where.turns}:
            return False
        return _at(trace, path).role in where.roles

    def _editable(self, trace: Trace, one: Found) -> bool:
        """Return whether a text may be changed: prose with loss, or that of a prompt that a rule names."""
        if one.passage.kind != "prose" or len(one.passage.message) > 1:
            return False
        message = _at(trace, one.passage.message)
        return message.loss_weight > 0 if message.role == "assistant" else message.role != "tool"

    def _reject(self, one: Found) -> Reject:
        rule = self.rules[one.rule]
        text = one.passage.text[one.start : one.end]
        path = ".".join(map(str, one.passage.message))
        place = f"message {path}, {one.passage.field}"
        return Reject(rule=rule.id, reason=rule.spec.reason or rule.id, text=text, place=place)

    def _resampled(self, trace: Trace, one: Found) -> Edit | Reject:
        """Return the turn written again, or the wish to drop the trace where that cannot be had."""
        index = one.passage.message[0]
        try:
            text = self._again(trace, index, self._quiet_text) if self._again else ""
        except EndpointError:
            return Reject(rule=self.rules[one.rule].id, reason="infrastructure")
        if not text:
            return self._reject(one)
        rule, removed = self.rules[one.rule].id, trace.messages[index].content
        return Edit(rule=rule, message=(index,), region=MESSAGE, text=text, removed=removed)

    def _quiet_text(self, content: str) -> bool:
        """Return whether no pattern matches a text that an agent may write instead."""
        message = Message(role="assistant", content=content, author="student", loss_weight=1.0)
        return not any(self._scanner.candidates(passage.text) for passage in passages([message], self._prose))

    def _edits(self, found: Sequence[Found]) -> Iterator[Edit]:
        groups: dict[tuple[tuple[int, ...], str], list[Found]] = {}
        for one in found:
            groups.setdefault((one.passage.message, one.passage.field), []).append(one)
        for group in groups.values():
            yield from self._edits_of_one(group[0].passage, group)

    def _edits_of_one(self, passage: Passage, group: Sequence[Found]) -> Iterator[Edit]:
        """Yield the edits of one text; none overlaps another (what is left over comes in the next pass)."""
        text = passage.text
        wishes: list[tuple[int, int, int]] = []
        whole = {
            (one.start, one.end): one.rule
            for one in sorted(group, key=lambda one: -one.rule)
            if self.rules[one.rule].spec.do == "delete sentence"
        }
        wishes += [(start, end, whole[first]) for start, end, first in touched(text, whole)]
        for one in group:
            do = self.rules[one.rule].spec.do
            if do == "delete span":
                wishes.append((*without_scar(text, one.start, one.end), one.rule))
            elif do == "replace":
                wishes.append((one.start, one.end, one.rule))
        for start, end, rule in _apart(wishes):
            yield Edit(
                rule=self.rules[rule].id,
                message=passage.message,
                region=passage.field,
                start=start,
                end=end,
                text=self.rules[rule].spec.replacement,
                removed=text[start:end],
            )

    def _nothing_left(self, trace: Trace, edits: Sequence[Edit]) -> bool:
        """Return whether the edits would leave a prose key, or a message, with nothing to say."""
        by_message: dict[int, list[Edit]] = defaultdict(list)
        for edit in edits:
            by_message[edit.message[0]].append(edit)
        for index, wishes in by_message.items():
            message = trace.messages[index]
            content = rewrite(message.content, wishes, self._prose)
            if not content.strip() and not message.tool_calls and message.role == "assistant":
                return True
            old, new = (regions_of(text, self._prose) for text in (message.content, content))
            if any(old.get(key) and not new.get(key, "").strip() for key in self._prose):
                return True
        return False


def _apart(wishes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the wishes `(start, end, rule)` that do not overlap: longer ones win, then earlier rules."""
    taken: list[tuple[int, int, int]] = []
    for wish in sorted(wishes, key=lambda wish: (wish[0] - wish[1], wish[2], wish[0])):
        place = bisect_left(taken, wish)
        free_before = place == 0 or taken[place - 1][1] <= wish[0]
        if free_before and (place == len(taken) or wish[1] <= taken[place][0]):
            taken.insert(place, wish)
    return taken


def _pattern(match: Match) -> tuple[str, bool]:
    return match.pattern or literal_pattern(match.literals), match.case


def _at(trace: Trace, path: Sequence[int]) -> Message:
    message = trace.messages[path[0]]
    for index in path[1:]:
        message = message.sub[index]
    return message


def _turns(trace: Trace) -> dict[int, tuple[int, int]]:
    """Return the turn of every message, from the start and from the end; a tool result has its caller's."""
    spoken = [index for index, message in enumerate(trace.messages) if message.role == "assistant"]
    turns: dict[int, tuple[int, int]] = {}
    number = 0
    for index, message in enumerate(trace.messages):
        number += message.role == "assistant"
        if number:
            turns[index] = (number, number - len(spoken) - 1)
    return turns
