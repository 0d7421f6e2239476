"""Where does each claim of a trace come from? Its source, found by provenance.

Every number, date and id in what a kept trace states is traced to a source: in its prose, the arguments
of its tool calls (read before their result is seen) and its citations. Sources are tried in this order, so
that legal ones win ties and leak rates are lower bounds:

1. `prompt`: stands in the prompt, or in a later message of the user that is not the oracle's; text that
   was injected into one of them does not count;
2. `observed`: a fact that a tool message at or before the claim revealed, nested runs included, or that
   the author's own prompt showed; a number in a tool message's text that no fact states. A day is observed
   if it is an end of the window of an observed fact, or lies inside one of at most 45 days;
3. `decided`: a number of the decision itself, e.g. the new budget;
4. `derived`: whitelisted arithmetic on observed values (see `derived`);
5. `hindsight`: a fact that no tool reveals (`Truth.hidden`), or a claim or outcome of the verdict that
   rests on hindsight or on the world outside;
6. `oracle`: anything else in the verdict or the injected text;
7. `none`: fabricated.

Where a claim matches no hidden value but one that the ledger calls ambiguous (a tool can print the same
number about something else), it is `ambiguous` instead of `hindsight` and counted apart.

Arithmetic and the tolerance of 0.5 % reach almost every short number by chance. So a value that restates
a hidden one to the digit counts as hindsight before `derived` from 4 significant digits on, and before
an observed value that is only near from 3 digits on; a hidden value never matches a single digit.
Definition: methods specification 5.8, L2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Literal

from opoi.provenance.claims import Claimed, find_numbers, id_shapes
from opoi.provenance.derived import Derived, Setting
from opoi.provenance.sources import Values, numeric, unit_class
from opoi.provenance.statements import claims_in, statements
from opoi.provenance.texts import observed, shown
from opoi.provenance.windows import LONGEST, days_in, window_of
from opoi.types import Fact, Message, Scenario, Trace, Verdict

__all__ = ["LEGAL", "Provenance", "Source", "trace_claims"]

Source = Literal["prompt", "observed", "decided", "derived", "hindsight", "ambiguous", "oracle", "none"]


LEGAL = ("prompt", "observed", "decided", "derived")


class Provenance:
    """Privileged sources of one scenario: what the agent cannot know, and what the oracle said.

    Args:
        scenario: Holds the hidden facts.
        verdict: Holds the expert's claims.
    """

    def __init__(self, scenario: Scenario, verdict: Verdict | None) -> None:
        self.scenario = scenario
        self.hindsight = Values()
        self.clear = Values()
        self.oracle = Values()
        facts = [hidden.fact for hidden in scenario.truth.hidden]
        hindsight_texts: list[str] = []
        oracle_texts: list[str] = []
        if verdict is not None:
            for claim in verdict.claims:
                secret = claim.origin != "observable"
                (hindsight_texts if secret else oracle_texts).append(claim.text)
                facts.extend(claim.facts if secret else ())
                self.oracle.add_facts(claim.facts)
            hindsight_texts.append(verdict.outcome)
            oracle_texts += [verdict.phrase, verdict.feedback]
        shared = {numeric(hidden.fact) for hidden in scenario.truth.hidden if hidden.ambiguous}
        numbers = [number for text in hindsight_texts for number in find_numbers(text)]
        self.hindsight.add_facts(facts)
        self.hindsight.add_numbers(numbers)
        self.clear.add_facts(fact for fact in facts if numeric(fact) not in shared)
        self.clear.add_numbers(number for number in numbers if number.value not in shared)
        for text in oracle_texts:
            self.oracle.add_numbers(find_numbers(text))
        self.hindsight_text = "\n".join([*hindsight_texts, *(str(fact.value) for fact in facts)])
        self.hindsight_ids = {fact.entity for fact in facts}
        self.oracle_text = "\n".join(oracle_texts)


class _Ledger:
    """Legal sources of one trace up to one position, read from the front."""

    def __init__(self, trace: Trace, scenario: Scenario) -> None:
        self.trace = trace
        self.year = trace.as_of[:4]
        self.read = 0
        self.facts: list[Fact] = []
        self.seen = Values()
        self.prompt = Values()
        self.said = Values()
        self.texts: list[str] = []
        self.days: set[str] = {trace.as_of}
        self.ids: set[str] = {scenario.entity}
        self.own = tuple(_own_numbers(trace.decision.payload))
        self.decided = Values()
        for own in self.own:
            self.decided.add(own.unit, own.value)
            self.decided.add("currency", own.value)
            self.decided.add("count", own.value)
        self.whispered = Values()
        for injection in trace.injections:
            self.whispered.add_numbers(find_numbers(injection.text))
        self._derived: Derived | None = None
        self._instruct(scenario.task)
        self.own += _targets(scenario.task)
        for message in trace.prompt:
            self._listen(message)
            self.own += _targets(self._legal(message))
        for message in trace.gen_prompt:
            self._learn(observed([message]))

    def advance(self, position: int) -> None:
        """Read the messages before the position."""
        while self.read < min(position, len(self.trace.messages)):
            message = self.trace.messages[self.read]
            self.read += 1
            if message.role == "tool":
                self._reveal(message)
            elif message.role != "assistant":
                self._listen(message)

    def _legal(self, message: Message) -> str:
        """Return the text of a message without what the oracle put there."""
        if message.author == "oracle":
            return ""
        text = message.content
        for injection in self.trace.injections:
            if injection.text:
                text = text.replace(injection.text, " ")
        return text

    def _listen(self, message: Message) -> None:
        self._instruct(self._legal(message))

    def _instruct(self, text: str) -> None:
        self.prompt.add_numbers(_numbers(text))
        self.days.update(days_in(text))
        self.texts.append(text)

    def _learn(self, facts: Iterable[Fact]) -> None:
        """Take in facts; the days inside their windows with them."""
        new = list(facts)
        self.facts += new
        self.seen.add_facts(new)
        self.ids.update(fact.entity for fact in new)
        for fact in new:
            self.days.update(_days_of(fact))
        self._derived = None

    def _reveal(self, message: Message) -> None:
        new = list(observed([message]))
        self._learn(new)
        tagged = {numeric(fact) for fact in new}
        for text in _tool_texts(message):
            self.said.add_numbers(number for number in _numbers(text) if number.value not in tagged)
            self.days.update(days_in(text))
            self.texts.append(text)

    @property
    def derived(self) -> Derived:
        """What arithmetic makes of the facts read so far."""
        if self._derived is None:
            self._derived = Derived(self.facts, self.own)
        return self._derived

    def mentions(self, name: str) -> bool:
        """Return whether an id stands in a text read so far."""
        return any(_names(name, text) for text in self.texts)


def trace_claims(trace: Trace, provenance: Provenance) -> list[tuple[Claimed, Source]]:
    """Return the distinct claims of a trace, each with its source.

    A claim that is made several times in the same digits counts once, where it stands first, and a
    citation that repeats a number of the prose without its unit is that claim. Two kinds of days without
    a source are no claims: one after the decision day is a plan ("look again on ..."), one in the
    arguments of a tool call is a question.

    Args:
        trace: After cleaning.
        provenance: The privileged sources of its scenario.
    """
    ledger = _Ledger(trace, provenance.scenario)
    known = {fact.entity for fact in shown(trace)} | provenance.hindsight_ids
    shapes = id_shapes(known | {provenance.scenario.entity})
    found: dict[tuple[str, str], tuple[Claimed, Source]] = {}
    stated: set[tuple[float, Source]] = set()
    for statement in statements(trace):
        ledger.advance(statement.position)
        for claim in claims_in(statement, year=ledger.year, shapes=shapes):
            key = (claim.kind, claim.text)
            if key in found:
                continue
            source = _SOURCES[claim.kind](claim, ledger, provenance)
            asked = statement.kind == "argument" and claim.kind == "date" and source == "none"
            if source is None or asked:
                continue
            if claim.kind == "number":
                repeated = statement.kind == "citation" and (claim.value, source) in stated
                stated.add((claim.value, source))
                if repeated:
                    continue
            found[key] = (claim, source)
    return list(found.values())


def _number_source(claim: Claimed, ledger: _Ledger, provenance: Provenance) -> Source:
    secret = claim.digits > 1 and provenance.hindsight.restates(claim)
    tiers: tuple[tuple[Source, Any], ...] = (
        ("prompt", lambda: ledger.prompt.restates(claim)),
        ("observed", lambda: ledger.seen.restates(claim)),
        ("decided", lambda: ledger.decided.restates(claim)),
        ("observed", lambda: secret and ledger.said.restates(claim)),
        ("hindsight", lambda: secret and claim.digits >= 4),
        ("derived", lambda: ledger.derived.restates(claim)),
        ("observed", lambda: ledger.said.restates(claim)),
        ("hindsight", lambda: secret and claim.digits >= 3),
        ("observed", lambda: ledger.seen.resembles(claim)),
        ("hindsight", lambda: secret or (claim.digits > 1 and provenance.hindsight.resembles(claim))),
        ("oracle", lambda: provenance.oracle.resembles(claim) or ledger.whispered.resembles(claim)),
    )
    source: Source = next((source for source, holds in tiers if holds()), "none")
    return "ambiguous" if source == "hindsight" and not provenance.clear.resembles(claim) else source


def _date_source(claim: Claimed, ledger: _Ledger, provenance: Provenance) -> Source | None:
    if claim.text in ledger.days:
        return "observed"
    if claim.text in provenance.hindsight_text:
        return "hindsight"
    if claim.text in provenance.oracle_text:
        return "oracle"
    return None if claim.text > ledger.trace.as_of else "none"


def _id_source(claim: Claimed, ledger: _Ledger, provenance: Provenance) -> Source:
    if claim.text in ledger.ids or ledger.mentions(claim.text):
        return "observed"
    if claim.text in provenance.hindsight_ids:
        return "hindsight"
    return "oracle" if _names(claim.text, provenance.oracle_text) else "none"


_SOURCES = {"number": _number_source, "date": _date_source, "id": _id_source}


@lru_cache(maxsize=64)
def _numbers(text: str) -> tuple[Claimed, ...]:
    """Return the numbers of a text; the runs of a scenario share their prompt and many tool results."""
    return tuple(find_numbers(text))


def _names(name: str, text: str) -> bool:
    """Return whether an id stands in a text as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _days_of(fact: Fact) -> Iterable[str]:
    """Yield the days that a fact shows: those of its window if that is not long, else its ends."""
    window = window_of(fact.window)
    if window is not None and window.days <= LONGEST:
        yield from (date.fromordinal(day).isoformat() for day in range(window.first, window.end))
    yield from days_in(fact.window)
    if isinstance(fact.value, str):
        yield from days_in(fact.value)


def _targets(text: str) -> tuple[Setting, ...]:
    """Return the numbers with a unit in a prompt: targets that observed values are compared with."""
    return tuple(Setting("", number.unit, number.value) for number in _numbers(text) if number.unit)


def _own_numbers(payload: Mapping[str, Any]) -> Iterable[Setting]:
    """Yield the numbers of the decision itself; lists hold evidence and are not its own."""
    for name, value in payload.items():
        if isinstance(value, Mapping):
            yield from _own_numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Setting(name, unit_class(""), abs(float(value)))


def _tool_texts(message: Message) -> list[str]:
    texts = [message.content]
    for inner in message.sub:
        if inner.role == "tool":
            texts += _tool_texts(inner)
    return texts
