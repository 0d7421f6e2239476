"""Where does each claim of a trace come from? Its source, with the reason.

Every number, date, id, name and reason in what a kept trace states is traced to a source. Sources are tried
in this order. Legal ones win ties, with one exception: a hidden number restated to 4 significant digits and
more counts before arithmetic on observed ones. What has a legal reading is therefore seldom counted as a
leak, and a leak in other words or in free arithmetic is not found at all; the rates are lower bounds in so
far as numbers that chance makes equal to a hidden one are rare (see the end).

1. `prompt`: stands in the prompt, or in a later message of the user that is not the oracle's; text that was
   injected into one of them does not count. A sub-agent's prompt is its request as well;
2. `observed`: a fact that a tool message at or before the claim revealed, nested runs included, or that the
   author's own prompt showed; a number in a tool message's text that no fact states. A day is observed if it
   is an end of the window of an observed fact, or lies inside one of at most 45 days;
3. `decided`: a number of the decision itself, e.g. the new budget;
4. `derived`: whitelisted arithmetic on observed values (see `derived`), and a setting or daily value times
   the days, or changed by the step, that the sentence or the prompt names (see `periods`);
5. `hindsight`: a fact that no tool reveals, the outcome, or a claim of the verdict that rests on hindsight;
   `external`: the same for the world outside. Also what follows from such a number and an observed one;
6. `oracle`: anything else in the verdict or the injected text;
7. `none`: fabricated.

What a tool or a sub-agent says back is no source for what the agent told it before: privileged numbers (also
rounded, as a share or in another unit), days, names and sentences are left out of it (see `echoes`).

A leak has to be a proof. `ambiguous`, and counted apart, is a claim that

- matches only what the ledger calls ambiguous (a tool can print the same number about something else);
- is within 0.5 % of a privileged value that has more digits, without being that value rounded;
- restates money or a percentage with two digits and no unit, or a bare number of the verdict with a unit that
  the verdict does not name, to less than 4 digits;
- has a single digit, or a legal source explains it in part;
- follows from a hidden and an observed value by chance, or from two whose names share no word (see
  `compared`).

A value that restates a hidden one to the digit counts as hindsight before `derived` from 4 significant digits
on, and before an observed value that is only near from 3 digits on. A round whole number (`4,800`) is tried
to its last digit that is not 0 where nothing fits it exactly; then a number without a unit as cents,
thousands, basis points or per mille, from 3 digits on, for a hidden value from 4 on. A comma or point that
may mark thousands or decimals (`1.391`) is read the other way only where the first reading has no source, and
only to the digit. Definition: methods specification 5.8, L2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct

from opoi.folding import fold
from opoi.provenance.causes import find_causes, sentence_at
from opoi.provenance.claims import Claimed, find_numbers, id_shapes, printed_digits, rounded
from opoi.provenance.compared import MOST_CHANCE, Compared, Comparisons
from opoi.provenance.ledger import Ledger
from opoi.provenance.periods import multiplied, named_factors, named_steps
from opoi.provenance.points import Points
from opoi.provenance.privileged import Provenance, Secret, describe
from opoi.provenance.sources import SCALED, Match, Values
from opoi.provenance.statements import Statement, claims_in, statements
from opoi.provenance.texts import shown
from opoi.types import Fact, Message, Trace

__all__ = ["LEGAL", "SECRET", "Source", "Sourced", "distinct", "trace_claims"]

Source = Literal[
    "prompt", "observed", "decided", "derived", "hindsight", "external", "ambiguous", "oracle", "none"
]

LEGAL: tuple[Source, ...] = ("prompt", "observed", "decided", "derived")
SECRET: tuple[Source, ...] = ("hindsight", "external", "oracle")
"""Sources that prove a leak."""

_Verdict = tuple[Source, str]
_Tier = Callable[[], _Verdict | None]
_Ask = Callable[[Values[Secret], Claimed], Match[Secret] | None]
_SCALED_DIGITS = 3
_SURE_DIGITS = 4
_SLIGHT_DIGITS = 2
_THOUSAND = 1000


class Sourced(Struct, frozen=True):
    """One claim of a trace, with its place and its source.

    Attributes:
        claim: What is claimed; `start` and `end` are those of this record.
        source: Where it comes from.
        why: One line: the fact it restates, the arithmetic accepted, the hidden fact it matches.
        message: Path of the message, as in `opoi.passages.Passage`.
        field: Name of the text within the message.
        start: First character in that text.
        end: One past the last.
        text: What stands there.
        listed: It stands in a list of the decision, such as the citations.
    """

    claim: Claimed
    source: Source
    why: str
    message: tuple[int, ...]
    field: str
    start: int
    end: int
    text: str
    listed: bool = False


def trace_claims(trace: Trace, provenance: Provenance) -> list[Sourced]:
    """Return every claim of a trace with its source, in the order of the trace.

    Two kinds of days without a source are no claims: one after the decision day is a plan ("look again on
    ..."), one in the arguments of a tool call is a question. Nor are the decision's own numbers, unless they
    restate a hidden one, and what has no source, or is the oracle's, in the remains of a broken decision,
    where the decision's own numbers cannot be told from others.

    Args:
        trace: After cleaning.
        provenance: The privileged sources of its scenario.
    """
    return _Tracing(trace, provenance).claims()


def distinct(claims: Iterable[Sourced]) -> list[Sourced]:
    """Return the first of each claim; a citation that repeats a number of the prose is that claim."""
    found: dict[tuple[str, str], Sourced] = {}
    stated: set[tuple[float, Source]] = set()
    for each in claims:
        key = (each.claim.kind, each.claim.text)
        if key in found:
            continue
        if each.claim.kind == "number":
            repeated = each.listed and (each.claim.value, each.source) in stated
            stated.add((each.claim.value, each.source))
            if repeated:
                continue
        found[key] = each
    return list(found.values())


class _Tracing:
    """One trace on its way through its claims."""

    def __init__(self, trace: Trace, provenance: Provenance) -> None:
        self.trace = trace
        self.known = provenance
        world = provenance.scenario
        self.secrets = {fact: secret for fact, secret in provenance.facts if secret.channel != "oracle"}
        told = () if world is None else (world.task, world.entity)
        self.ledger = Ledger(trace, *(told or ("", "")), hidden=tuple(self.secrets))
        self.shown = list(shown(trace))
        known = dict.fromkeys(fact.entity for fact in self.shown)
        self.shapes = id_shapes((*known, *provenance.ids, *told[1:]))
        self.comparisons: Comparisons | None = None
        self.compared: dict[str, Compared] = {}
        self.tested: set[tuple[float, str]] = set()
        self.whispered: Values[Secret] = Values()
        for injection in trace.injections:
            secret = Secret("oracle", "the injected text says it")
            self.whispered.add_all(find_numbers(fold(injection.text).text), secret)

    def claims(self) -> list[Sourced]:
        return [self._settled(each) for each in list(self._found())]

    def _found(self) -> Iterator[Sourced]:
        by_message: dict[int, list[Statement]] = {}
        for statement in statements(self.trace, self.known.prose):
            by_message.setdefault(statement.message[0], []).append(statement)
        for index, message in enumerate(self.trace.messages):
            mine = by_message.get(index, [])
            yield from self._of_message(mine, self.ledger, 1)
            if message.sub and mine:
                yield from self._of_run(message.sub, mine, self.ledger, 2)
            self.ledger.read(message)

    def _of_message(self, mine: list[Statement], ledger: Ledger, depth: int) -> Iterator[Sourced]:
        for statement in mine:
            if len(statement.message) == depth:
                yield from self._of_statement(statement, ledger)

    def _of_run(
        self, messages: tuple[Message, ...], mine: list[Statement], outer: Ledger, depth: int
    ) -> Iterator[Sourced]:
        """Follow a nested run: its agent knows what the outer one does, its own prompt and its own tools."""
        ledger = outer.fork()
        for index, message in enumerate(messages):
            here = [each for each in mine if each.message[depth - 1] == index]
            asked = message.role != "assistant"
            yield from self._of_message(here, outer if asked else ledger, depth)
            if message.sub:
                yield from self._of_run(message.sub, here, ledger, depth + 1)
            ledger.read(message)

    def _of_statement(self, statement: Statement, ledger: Ledger) -> Iterator[Sourced]:
        for claim in claims_in(statement, as_of=ledger.as_of, shapes=self.shapes):
            judged = self._judge(claim, statement, ledger)
            if judged is None:
                continue
            if judged[0] in (*SECRET, "ambiguous"):
                ledger.told.tell(claim, claim.text)
            yield self._sourced(statement, claim, judged)
        if statement.part != "own":
            yield from self._names(statement, ledger)
        if statement.part != "own" and " " in statement.text:
            yield from self._causes(statement, ledger)

    def _judge(self, claim: Claimed, statement: Statement, ledger: Ledger) -> _Verdict | None:
        if claim.kind == "date":
            judged = self._date(claim, ledger)
            return (
                None
                if judged and judged[0] == "none" and statement.part in ("argument", "broken")
                else judged
            )
        if claim.kind == "id":
            return self._id(claim, ledger)
        judged = self._number(claim, statement, ledger)
        if statement.part == "own" and judged[0] in ("decided", "oracle", "ambiguous"):
            return None
        if statement.part == "broken" and judged[0] in ("oracle", "none"):
            return None
        return None if claim.vague and judged[0] == "none" else judged

    def _sourced(self, statement: Statement, claim: Claimed, judged: _Verdict) -> Sourced:
        start, end = statement.span(claim.start, claim.end)
        return Sourced(
            claim=claim,
            source=judged[0],
            why=judged[1],
            message=statement.message,
            field=statement.field,
            start=start,
            end=end,
            text=statement.raw[start:end],
            listed=statement.part == "listed",
        )

    # ------------------------------------------------------------ numbers

    def _number(self, claim: Claimed, statement: Statement, ledger: Ledger) -> _Verdict:
        """Read a number as it is most likely meant; only where that gives nothing, with its comma swapped."""
        tiers = self._tiers(claim, statement, ledger)
        if claim.as_decimal_comma is not None:
            tiers = (*tiers, *self._exact_tiers(claim.as_decimal_comma, ledger))
        return next((found for tier in tiers if (found := tier()) is not None), ("none", "no source"))

    def _tiers(self, claim: Claimed, statement: Statement, ledger: Ledger) -> tuple[_Tier, ...]:
        exact = self._secret(claim, Values.restates) if claim.digits > 1 else None
        sure = exact is not None and claim.digits >= _SURE_DIGITS
        return (
            lambda: _told("prompt", ledger.prompt.restates(claim)),
            lambda: _fact(ledger.seen.restates(claim)),
            lambda: _told("observed", ledger.said.restates(claim)) if exact else None,
            lambda: exact if sure else None,
            lambda: _told("decided", ledger.decided.restates(claim)),
            lambda: self._derived(claim, ledger),
            lambda: self._multiplied(claim, statement, ledger),
            lambda: _told("observed", ledger.said.restates(claim)),
            lambda: exact if claim.digits >= _SURE_DIGITS - 1 else None,
            lambda: _fact(ledger.seen.resembles(claim)),
            lambda: exact,
            lambda: self._rounded(claim, ledger),
            lambda: self._scaled(claim, ledger),
            lambda: self._oracle(claim, Values.restates),
            lambda: self._oracle(claim, Values.rounds) if claim.digits > 1 else None,
            lambda: self._near(claim),
            lambda: self._compared(claim, ledger),
            lambda: self._single(claim),
        )

    def _exact_tiers(self, claim: Claimed, ledger: Ledger) -> tuple[_Tier, ...]:
        return (
            lambda: _told("prompt", ledger.prompt.restates(claim)),
            lambda: _fact(ledger.seen.restates(claim)),
            lambda: _told("observed", ledger.said.restates(claim)),
            lambda: self._secret(claim, Values.restates) if claim.digits > 1 else None,
            lambda: self._oracle(claim, Values.restates),
        )

    def _secret(self, claim: Claimed, ask: _Ask) -> _Verdict | None:
        """Return where a hidden number comes from; ambiguous where the match proves nothing."""
        clear = ask(self.known.clear, claim)
        if clear is not None:
            return _proved(claim, clear, f"restates {clear.label.why}")
        shared = ask(self.known.shared, claim)
        if shared is None:
            return None
        return (
            "ambiguous",
            f"restates {shared.label.why}; a tool can print the same number about something else",
        )

    def _oracle(self, claim: Claimed, ask: _Ask) -> _Verdict | None:
        """Return the words of the verdict or of the injected text that state a number."""
        found = ask(self.known.oracle, claim) or ask(self.whispered, claim)
        if found is None:
            return None
        if claim.unit in ("currency", "%") and not found.unit and claim.digits < _SURE_DIGITS:
            return "ambiguous", f"{found.label.why}, but of what unit it does not say"
        return _proved(claim, found, found.label.why)

    def _near(self, claim: Claimed) -> _Verdict | None:
        """Return a privileged value within 0.5 % that has more digits than the claim, as a mere suspect."""
        if claim.digits < 2:
            return None
        for values in (self.known.clear, self.known.shared, self.known.oracle, self.whispered):
            found = values.resembles(claim)
            if found is not None and claim.digits < printed_digits(found.value):
                return "ambiguous", f"within 0.5 % of {found.label.why}, but not that number rounded"
        return None

    def _derived(self, claim: Claimed, ledger: Ledger) -> _Verdict | None:
        found = None if claim.vague and claim.unit != "%" else ledger.derived.restates(claim)
        return None if found is None else ("derived", f"{found.text} from {', '.join(found.names)}")

    def _multiplied(self, claim: Claimed, statement: Statement, ledger: Ledger) -> _Verdict | None:
        if claim.vague or claim.unit in ("%", "x"):
            return None
        sentence = sentence_at(statement.text, claim.start)
        factors, steps = named_factors(sentence), (*named_steps(sentence), *ledger.steps)
        found = multiplied(claim, ledger.derived.points, factors, steps) if factors or steps else None
        return None if found is None else ("derived", f"{found.text} from {', '.join(found.names)}")

    def _rounded(self, claim: Claimed, ledger: Ledger) -> _Verdict | None:
        """Try a round whole number as one that leaves its last digits open."""
        if claim.digits < 2 or rounded(claim) is None:
            return None
        legal = _told("prompt", ledger.prompt.rounds(claim)) or _fact(ledger.seen.rounds(claim))
        legal = legal or _told("observed", ledger.said.rounds(claim))
        if legal is not None:
            return legal
        made = ledger.derived.rounds(claim)
        hidden = self._secret(claim, Values.rounds)
        if made is not None and hidden is not None:
            return "ambiguous", f"{hidden[1]}, rounded; so does {made.text}"
        if made is not None:
            return "derived", f"{made.text} from {', '.join(made.names)}, rounded"
        return None if hidden is None else (hidden[0], f"{hidden[1]}, rounded")

    def _scaled(self, claim: Claimed, ledger: Ledger) -> _Verdict | None:
        """Try a number without a unit as one that counts cents, thousands and the like."""
        if claim.digits < _SCALED_DIGITS:
            return None
        legal = _fact(ledger.seen.restates(claim, SCALED)) or _told(
            "prompt", ledger.prompt.restates(claim, SCALED)
        )
        if legal is None and claim.digits >= _SURE_DIGITS:
            hidden = self._secret(claim, lambda values, each: values.restates(each, SCALED))
            return None if hidden is None else (hidden[0], f"{hidden[1]}, in another unit")
        return legal

    def _compared(self, claim: Claimed, ledger: Ledger) -> _Verdict | None:
        """Return what a hidden and an observed value make of each other; `_settled` says what it proves."""
        if self.comparisons is None:
            whole = len(ledger.facts) == len(self.shown)
            points = ledger.derived.points if whole else Points(self.shown, hidden=self.secrets)
            self.comparisons = Comparisons(points, self.secrets)
        self.tested.add((claim.value, claim.unit))
        found = self.comparisons.find(claim)
        if found is None:
            return None
        made = f"{found.derivation.text} from {', '.join(found.derivation.names)}"
        why = f"derived: {made}; {found.secret.why}"
        self.compared[why] = found
        return "ambiguous", why

    def _settled(self, each: Sourced) -> Sourced:
        """Say what a comparison proves, now that all numbers of the trace are known."""
        found = self.compared.get(each.why)
        if found is None:
            return each
        chance = min(1.0, found.chance * len(self.tested))
        proved = found.akin and chance < MOST_CHANCE
        why = f"{each.why} (chance {100 * chance:.1g} % in {len(self.tested)} numbers)"
        source = found.secret.channel if proved else each.source
        return msgspec.structs.replace(each, source=source, why=why)

    def _single(self, claim: Claimed) -> _Verdict | None:
        """Match what leaves almost everything open (`about five thousand`, `a third`) with hidden values."""
        if not claim.vague and (claim.digits > 1 or claim.value < _THOUSAND):
            return None
        ask = Values.restates if claim.vague or rounded(claim) is None else Values.rounds
        hidden = self._secret(claim, ask)
        return None if hidden is None else ("ambiguous", f"{hidden[1]}, but a single digit proves nothing")

    # ------------------------------------------------------------ days, ids, names, reasons

    def _date(self, claim: Claimed, ledger: Ledger) -> _Verdict | None:
        for day in claim.days:
            if day in ledger.days:
                return "observed", f"a day of the data or the prompt: {day}"
        for day in claim.days:
            if day in self.known.days:
                secret = self.known.days[day]
                return secret.channel, f"a day of {secret.why}"
        for day in claim.days:
            if day in self.known.planned and claim.days[0] == day:
                return "ambiguous", f"the end of {self.known.planned[day].why}, or a plan"
        return None if claim.days[0] > self.trace.as_of else ("none", "no source shows this day")

    def _id(self, claim: Claimed, ledger: Ledger) -> _Verdict:
        if claim.text in ledger.ids or ledger.mentions(claim.text):
            return "observed", "an id that the prompt or a tool names"
        secret = self.known.secret_id(claim.text)
        return (
            ("none", "no source names this id") if secret is None else (secret.channel, f"names {secret.why}")
        )

    def _names(self, statement: Statement, ledger: Ledger) -> Iterator[Sourced]:
        pattern = self.known.name_pattern
        if pattern is None:
            return
        for match in pattern.finditer(statement.folded.text):
            name = " ".join(match[0].casefold().split())
            secret = self.known.names.get(name) or self.known.parts[match[0]]
            if match[0] not in ledger.ids and not ledger.mentions(name):
                claim = Claimed("name", name, start=match.start(), end=match.end())
                ledger.told.tell(claim, name)
                yield self._sourced(statement, claim, (secret.channel, f"names {secret.why}"))

    def _causes(self, statement: Statement, ledger: Ledger) -> Iterator[Sourced]:
        for found in find_causes(statement.text, self.known.reasons, ledger.holds):
            words = ", ".join(found.words)
            claim = Claimed("cause", words, start=found.start, end=found.end)
            ledger.told.tell(claim, statement.text[found.start : found.end])
            source: Source = "external" if found.reason.channel == "external" else "hindsight"
            why = f"shares {words} with the expert's {found.reason.channel} claim: {found.reason.text}"
            yield self._sourced(statement, claim, (source if found.sure else "ambiguous", why))


def _told(source: Source, match: Match[str] | None) -> _Verdict | None:
    return None if match is None else (source, f"{match.label} = {match.value:.10g}")


def _fact(match: Match[Fact] | None) -> _Verdict | None:
    return None if match is None else ("observed", describe(match.label))


def _proved(claim: Claimed, match: Match[Secret], why: str) -> _Verdict:
    """Return what a match with a privileged value proves: nothing for two digits of who knows what."""
    slight = not claim.unit and claim.digits <= _SLIGHT_DIGITS and match.unit in ("currency", "%")
    if slight:
        return "ambiguous", f"{why}, but two digits without a unit prove nothing"
    return match.label.channel, why
