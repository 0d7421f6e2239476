"""Legal sources of a trace up to a position: what its author had been shown, and what it decided itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from opoi.folding import fold
from opoi.provenance.claims import Claimed, find_numbers
from opoi.provenance.dates import find_dates
from opoi.provenance.derived import Derived
from opoi.provenance.echoes import Told
from opoi.provenance.periods import named_steps
from opoi.provenance.points import Setting
from opoi.provenance.sources import UnitClass, Values, numeric
from opoi.provenance.texts import observed
from opoi.provenance.windows import LONGEST, days_in, window_of
from opoi.types import Fact, Message, Trace

__all__ = ["Ledger"]

_TOOL = "a tool's text"
_ANY_OWN: tuple[UnitClass, ...] = ("", "currency", "count")
"""What a number of the decision can be: it is written without a unit."""

_NAMED_DAYS = re.compile(r"\d{4}-\d{2}-\d{2}")


class Ledger:
    """What can be known at one place of a trace.

    Attributes:
        facts: Observed facts, in the order in which they were revealed.
        seen: Their numbers.
        prompt: Numbers of the prompt, and of what a user who is not the oracle said.
        decided: Numbers of the decision itself.
        days: Days seen.
        ids: Ids seen.
        steps: Factors that the prompt writes out, such as `x 0.8`.
        told: What the agent told of privileged things; a nested run shares it.
    """

    def __init__(self, trace: Trace, task: str = "", entity: str = "", hidden: Sequence[Fact] = ()) -> None:
        self.trace = trace
        self._hidden = hidden
        self.as_of = trace.as_of if _is_day(trace.as_of) else ""
        self.facts: list[Fact] = []
        self.seen: Values[Fact] = Values()
        self.prompt: Values[str] = Values()
        self.decided: Values[str] = Values()
        self.days: set[str] = {trace.as_of}
        self.ids: set[str] = {entity} if entity else set()
        self.texts: list[str] = []
        self.settings: tuple[Setting, ...] = tuple(_own_numbers(trace.decision.payload))
        for own in self.settings:
            for unit in _ANY_OWN:
                self.decided.add(unit, own.value, own.name)
        self._said: Values[str] = Values()
        self._unread: list[tuple[str, frozenset[float | None]]] = []
        self._derived: Derived | None = None
        self.told = Told()
        self.steps: tuple[float, ...] = ()
        self._words: str | None = None
        if task:
            self._instruct(task)
        for message in trace.prompt:
            self.listen(message)
        for message in trace.gen_prompt:
            self._learn(observed([message]))

    def fork(self) -> Ledger:
        """Return a ledger that starts with what this one holds and grows on its own, for a nested run."""
        twin = Ledger.__new__(Ledger)
        twin.__dict__.update(self.__dict__)
        twin.facts, twin.texts, twin._unread = list(self.facts), list(self.texts), list(self._unread)
        twin.seen, twin.prompt, twin._said = self.seen.copy(), self.prompt.copy(), self._said.copy()
        twin.days, twin.ids = set(self.days), set(self.ids)
        return twin

    def read(self, message: Message) -> None:
        """Take in a message that the author of the trace has been shown."""
        if message.role == "tool":
            self._reveal(message)
        elif message.role != "assistant":
            self.listen(message)

    def listen(self, message: Message) -> None:
        """Take in what a prompt or a user says, without what the oracle put there."""
        text = self._legal(message)
        if text:
            self._instruct(text)

    @property
    def derived(self) -> Derived:
        """What arithmetic makes of the facts read so far."""
        if self._derived is None:
            self._derived = Derived(self.facts, self.settings, self._hidden)
        return self._derived

    @property
    def said(self) -> Values[str]:
        """Numbers in the texts of tools that no fact states and that do not repeat what the agent told."""
        for text, tagged in self._unread:
            plain, numbers = _in_tool_text(text)
            for value in sorted(plain - tagged):
                if not self.told.repeats_value(value):
                    self._said.add("", value, _TOOL)
                    self._said.add("count", value, _TOOL)
            for number in numbers:
                if number.value not in tagged and not self.told.repeats(number):
                    self._said.add_number(number, _TOOL)
        self._unread = []
        return self._said

    def mentions(self, name: str) -> bool:
        """Return whether an id or a name stands in a text read so far, as a word of its own, in any case."""
        text, name = self._all_text, name.casefold()
        at = text.find(name)
        while at >= 0:
            if not (_joined(text[at - 1 : at]) or _joined(text[at + len(name) : at + len(name) + 1])):
                return True
            at = text.find(name, at + 1)
        return False

    def holds(self, word: str) -> bool:
        """Return whether a word stands in a text read so far, be it as a part of another."""
        return word in self._all_text

    @property
    def _all_text(self) -> str:
        if self._words is None:
            named = dict.fromkeys(each for fact in self.facts for each in (fact.entity, fact.metric))
            said = dict.fromkeys(fact.value for fact in self.facts if isinstance(fact.value, str))
            self._words = "\n".join((*self.texts, *named, *said)).casefold()
        return self._words

    def _legal(self, message: Message) -> str:
        if message.author == "oracle":
            return ""
        text = message.content
        for injection in self.trace.injections:
            if injection.text:
                text = text.replace(injection.text, " ")
        return fold(text).text

    def _instruct(self, text: str) -> None:
        self.prompt.add_all(_numbers(text), "the prompt")
        self.settings += tuple(Setting("", each.unit, each.value) for each in _numbers(text) if each.unit)
        self.steps = tuple(dict.fromkeys((*self.steps, *named_steps(text, percent=False))))
        self._note(text)
        self._derived = None

    def _learn(self, facts: Iterable[Fact]) -> None:
        """Take in facts; the days inside their windows with them."""
        new = list(facts)
        if not new:
            return
        self.facts += new
        self.seen.add_facts(new)
        self.ids.update(fact.entity for fact in new)
        for window in dict.fromkeys(fact.window for fact in new):
            self.days.update(_days_of(window))
        for fact in new:
            if isinstance(fact.value, str):
                self.days.update(days_in(fact.value))
        self._derived = None
        self._words = None

    def _reveal(self, message: Message) -> None:
        new = list(observed([message]))
        self._learn(new)
        tagged = frozenset(map(numeric, new))
        for raw in _tool_texts(message):
            text = fold(raw).text
            self._unread.append((text, tagged))
            self._note(self.told.without(text), self.told.days)

    def _note(self, text: str, told: Set[str] = frozenset()) -> None:
        """Take in the words and days of a text, without the days that the agent told before."""
        self.texts.append(text)
        self._words = None
        data = text.startswith(("{", "["))
        self.days.update({*(_NAMED_DAYS.findall(text) if data else _named_days(text, self.as_of))} - told)


def _joined(sign: str) -> bool:
    """Return whether a sign next to a name makes it a part of a longer one."""
    return sign.isalnum() or sign in ("_", "-")


@lru_cache(maxsize=256)
def _numbers(text: str) -> tuple[Claimed, ...]:
    """Return the numbers of a text; the runs of a scenario share their prompt."""
    return tuple(find_numbers(text))


@lru_cache(maxsize=256)
def _in_tool_text(text: str) -> tuple[frozenset[float], tuple[Claimed, ...]]:
    """Return the numbers of a tool's text: JSON's own, and those within its strings or in plain prose."""
    try:
        stack: list[object] = [msgspec.json.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return frozenset(), tuple(find_numbers(text))
    plain: set[float] = set()
    spoken: list[str] = []
    while stack:
        item = stack.pop()
        kind = item.__class__
        if isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str):
            spoken.append(item)
        elif kind is int or kind is float:
            plain.add(abs(item))  # type: ignore[arg-type]  # an int or a float: bool is neither
    return frozenset(plain), tuple(number for string in spoken for number in find_numbers(string))


@lru_cache(maxsize=256)
def _named_days(text: str, as_of: str) -> frozenset[str]:
    return frozenset(day for each in find_dates(text, as_of=as_of) for day in each.days)


def _days_of(window: str) -> Sequence[str]:
    """Return the days that a window shows: all of them if it is not long, else its ends."""
    read = window_of(window)
    if read is None or read.days > LONGEST:
        return days_in(window)
    return [date.fromordinal(day).isoformat() for day in range(read.first, read.end)]


def _own_numbers(payload: Mapping[str, Any]) -> Iterator[Setting]:
    """Yield the numbers of the decision itself; lists hold evidence and are not its own."""
    for name, value in payload.items():
        if isinstance(value, Mapping):
            yield from _own_numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Setting(name, "", abs(float(value)))


def _tool_texts(message: Message) -> Iterator[str]:
    yield message.content
    for inner in message.sub:
        if inner.role == "tool":
            yield from _tool_texts(inner)


def _is_day(text: str) -> bool:
    return bool(window_of(text)) and len(text) == len("2025-01-01")
