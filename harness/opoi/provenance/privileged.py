"""Privileged sources of a scenario: what the agent cannot know, and what the oracle said.

`hindsight` is hidden state and what came later; `external` the world outside the account; `oracle` whatever
else stands in the verdict. What tools can print about something else as well is kept apart as `shared`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from msgspec import Struct

from opoi.folding import fold
from opoi.provenance.causes import Reason, reason_of, sentences
from opoi.provenance.claims import find_numbers
from opoi.provenance.dates import find_dates
from opoi.provenance.sources import Values, numeric
from opoi.provenance.windows import days_in
from opoi.types import Fact, Origin, Scenario, Verdict

__all__ = ["Channel", "Provenance", "Secret", "describe"]

Channel = Literal["hindsight", "external", "oracle"]

_NAME_LETTERS = 4
_PLAIN_LETTERS = 8
"""A single plain word is a name only from so many letters on: `high` may be a hidden value, and any word."""
_QUOTED = 80
_ID = re.compile(r"(?!\d{4}-\d{2}-\d{2}$)(?=.*\d)[\w-]*[A-Za-z_][\w-]*")
_PART = re.compile(r"[A-Z][\w'-]{3,}")


class Secret(Struct, frozen=True):
    """Something that the agent cannot have seen.

    Attributes:
        channel: Where it comes from.
        why: What it is, on one line.
        fact: The fact, None for what only stands in a text.
    """

    channel: Channel
    why: str
    fact: Fact | None = None


def describe(fact: Fact) -> str:
    """Return a fact on one line, e.g. `c2 cpa 2025-03-13 = 52.1 USD`."""
    name = " ".join(part for part in (fact.entity, fact.metric, fact.window) if part)
    return " ".join(part for part in (name, "=", str(fact.value), fact.unit) if part)


class Provenance:
    """Privileged sources of one scenario, to be built once and asked about each of its traces.

    Without a scenario and a verdict nothing is privileged but what a trace itself records as injected.

    Args:
        scenario: Holds the hidden facts.
        verdict: Holds the expert's claims.
        prose: Keys of the decision object that hold prose.

    Attributes:
        clear: Numbers that are hindsight or external.
        shared: The same for numbers that tools can print about something else.
        oracle: Numbers that the verdict says.
        days: Secret days; `planned` those that are only the end of a hidden window.
        ids: Ids that only hidden facts name.
        facts: Every fact that is hidden or that the verdict states, with where it comes from.
        texts: Every text of the verdict likewise.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        verdict: Verdict | None = None,
        prose: tuple[str, ...] = ("reasoning",),
    ) -> None:
        self.scenario = scenario
        self.verdict = verdict
        self.prose = prose
        self.clear: Values[Secret] = Values()
        self.shared: Values[Secret] = Values()
        self.oracle: Values[Secret] = Values()
        self.days: dict[str, Secret] = {}
        self.planned: dict[str, Secret] = {}
        self.ids: dict[str, Secret] = {}
        self._as_of = "" if scenario is None else scenario.as_of
        hidden = () if scenario is None else scenario.truth.hidden
        self._ambiguous = {numeric(each.fact) for each in hidden if each.ambiguous}
        self.facts = [*_hidden_facts(scenario), *_claimed_facts(verdict)]
        self.texts = list(_texts(verdict))
        for fact, secret in self.facts:
            self._add_fact(fact, secret)
        for text, secret in self.texts:
            self._add_text(fold(text).text, secret)

    def _add_fact(self, fact: Fact, secret: Secret) -> None:
        value = numeric(fact)
        if secret.channel == "oracle":
            self.oracle.add_fact(fact, secret)
            return
        if value is not None:
            self._values(value).add_fact(fact, secret)
        self.ids.setdefault(fact.entity, secret)
        if value is None and isinstance(fact.value, str) and _ID.fullmatch(fact.value):
            self.ids.setdefault(fact.value, secret)
        for day in days_in(str(fact.value)):
            self.days.setdefault(day, secret)
        for day in days_in(fact.window):
            if day > self._as_of:
                self.planned.setdefault(day, secret)

    def _add_text(self, text: str, secret: Secret) -> None:
        for number in find_numbers(text):
            values = self.oracle if secret.channel == "oracle" else self._values(number.value)
            values.add_number(number, secret)
        for dated in find_dates(text, as_of=self._as_of):
            self.days.setdefault(dated.days[0], secret)

    def _values(self, value: float) -> Values[Secret]:
        return self.shared if value in self._ambiguous else self.clear

    def secret_id(self, name: str) -> Secret | None:
        """Return where an id comes from that the agent was not shown, None if from nowhere."""
        if name in self.ids:
            return self.ids[name]
        for text, secret in self.texts:
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                return secret
        return None

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Claims that the agent could not check, and sentences of the outcome, with their telling words."""
        if self.verdict is None:
            return ()
        found = [
            reason_of(claim.text, claim.origin, (fact.metric for fact in claim.facts))
            for claim in self.verdict.claims
            if claim.origin != "observable"
        ]
        outcome = self.verdict.outcome
        found += [reason_of(outcome[start:end], "hindsight") for start, end in sentences(outcome)]
        return tuple(reason for reason in found if reason.words)

    @cached_property
    def names(self) -> dict[str, Secret]:
        """Names that only privileged text holds, in lower case: texts of hidden facts, proper names."""
        found: dict[str, Secret] = {}
        for fact, secret in self.facts:
            for name in (fact.value, fact.metric if "_" in fact.metric else "", fact.entity):
                if secret.channel != "oracle" and isinstance(name, str) and _is_name(name):
                    found.setdefault(" ".join(name.casefold().split()), secret)
        for text, secret in self.texts:
            for name in _proper_names(text) if secret.channel != "oracle" else ():
                found.setdefault(name.casefold(), secret)
        return found

    @cached_property
    def parts(self) -> dict[str, Secret]:
        """Single words of names of several words, as they are written: `Norvella` of `Norvella Ltd`."""
        found: dict[str, Secret] = {}
        for fact, secret in self.facts:
            words = fact.value.split() if isinstance(fact.value, str) and secret.channel != "oracle" else []
            for word in words if len(words) > 1 else ():
                if _PART.fullmatch(word):
                    found.setdefault(word, secret)
        return found

    @cached_property
    def name_pattern(self) -> re.Pattern[str] | None:
        """Matches any of the names, and the parts of names; None where there are none."""
        names = sorted(self.names, key=lambda name: (-len(name), name))
        words = [r"\s+".join(re.escape(part) for part in name.split()) for name in names]
        either = [f"(?i:{'|'.join(words)})"] if words else []
        either += [re.escape(part) for part in sorted(self.parts)]
        return re.compile(rf"(?<![\w-])(?:{'|'.join(either)})(?![\w-])") if either else None


def _channel(origin: Origin) -> Channel:
    return "oracle" if origin == "observable" else origin


def _hidden_facts(scenario: Scenario | None) -> Iterator[tuple[Fact, Secret]]:
    for each in () if scenario is None else scenario.truth.hidden:
        channel: Channel = "external" if each.channel == "external" else "hindsight"
        yield each.fact, Secret(channel, f"hidden ({each.channel}): {describe(each.fact)}", each.fact)


def _claimed_facts(verdict: Verdict | None) -> Iterator[tuple[Fact, Secret]]:
    for claim in () if verdict is None else verdict.claims:
        for fact in claim.facts:
            yield (
                fact,
                Secret(_channel(claim.origin), f"the expert's {claim.origin} claim: {describe(fact)}", fact),
            )


def _texts(verdict: Verdict | None) -> Iterator[tuple[str, Secret]]:
    """Yield the texts of a verdict; what rests on hindsight or the world outside comes first."""
    if verdict is None:
        return
    for claim in verdict.claims:
        if claim.origin != "observable":
            why = f"the expert's {claim.origin} claim: {_short(claim.text)}"
            yield claim.text, Secret(_channel(claim.origin), why)
    yield verdict.outcome, Secret("hindsight", f"the outcome: {_short(verdict.outcome)}")
    for text in (
        verdict.phrase,
        verdict.feedback,
        *(c.text for c in verdict.claims if c.origin == "observable"),
    ):
        yield text, Secret("oracle", f"the verdict says: {_short(text)}")


def _is_name(text: str) -> bool:
    """Return whether a text can only be a name: of some length, not a plain word, and no day."""
    letters = sum(map(str.isalpha, text))
    plain = text.isalpha() and text[1:].islower() and letters < _PLAIN_LETTERS
    return letters >= _NAME_LETTERS and not plain and not days_in(text)


def _proper_names(text: str) -> Iterator[str]:
    """Yield the capitalised words inside the sentences of a text; at the beginning any word is."""
    for start, end in sentences(text):
        for match in re.finditer(r"(?<=[\w,] )[A-Z][\w'-]*[a-z][\w'-]*(?: [A-Z][\w'-]*)*", text[start:end]):
            if _is_name(match[0]):
                yield match[0]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTED else f"{flat[: _QUOTED - 3]}..."
