"""Where does each claim of a trace come from? Its source, with the reason.

Every number, date, id, name and reason in what a kept trace states is traced to a source. Sources are tried
in this order, so that legal ones win ties and leak rates are lower bounds:

1. `prompt`: stands in the prompt, or in a later message of the user that is not the oracle's; text that
   was injected into one of them does not count. A sub-agent's prompt is its request as well;
2. `observed`: a fact that a tool message at or before the claim revealed, nested runs included, or that
   the author's own prompt showed; a number in a tool message's text that no fact states. A day is observed
   if it is an end of the window of an observed fact, or lies inside one of at most 45 days;
3. `decided`: a number of the decision itself, e.g. the new budget;
4. `derived`: whitelisted arithmetic on observed values (see `derived`);
5. `hindsight`: a fact that no tool reveals, the outcome, or a claim of the verdict that rests on hindsight;
   `external`: the same for the world outside. Also what follows from such a number and an observed one;
6. `oracle`: anything else in the verdict or the injected text;
7. `none`: fabricated.

Where a claim matches no hidden value but one that the ledger calls ambiguous (a tool can print the same
number about something else), or a legal source explains it in part, it is `ambiguous` and counted apart.

Arithmetic and the tolerance of 0.5 % reach almost every short number by chance. So a value that restates
a hidden one to the digit counts as hindsight before `derived` from 4 significant digits on, and before
an observed value that is only near from 3 digits on; a hidden value of a single digit is never more than
ambiguous. A round whole number (`4,800`) is tried to its last digit that is not 0 where nothing fits it
exactly; then a number without a unit as cents, thousands, basis points or per mille, from 3 digits on, for a
hidden value from 4 on. Definition: methods specification 5.8, L2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from opoi.folding import fold
from opoi.provenance.causes import find_causes
from opoi.provenance.claims import Claimed, find_numbers, id_shapes, rounded
from opoi.provenance.compared import MOST_CHANCE, Comparisons
from opoi.provenance.ledger import Ledger
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
_SCALED_DIGITS = 3
_SURE_DIGITS = 4
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
    return list(_Tracing(trace, provenance).claims())


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
        self.whispered: Values[Secret] = Values()
        for injection in trace.injections:
            secret = Secret("oracle", "the injected text says it")
            self.whispered.add_all(find_numbers(fold(injection.text).text), secret)

    def claims(self) -> Iterator[Sourced]:
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
            if claim.kind == "number" and judged[0] in (*SECRET, "ambiguous"):
                ledger.taint(claim.value)
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
        judged = self._number(claim, ledger)
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

    def _number(self, claim: Claimed, ledger: Ledger) -> _Verdict:
        exact = self._secret(claim, Values.restates) if claim.digits > 1 else None
        sure = exact is not None and claim.digits >= _SURE_DIGITS
        tiers: tuple[_Tier, ...] = (
            lambda: _told("prompt", ledger.prompt.restates(claim)),
            lambda: _fact(ledger.seen.restates(claim)),
            lambda: _told("observed", ledger.said.restates(claim)) if exact else None,
            lambda: exact if sure else None,
            lambda: _told("decided", ledger.decided.restates(claim)),
            lambda: self._derived(claim, ledger),
            lambda: _told("observed", ledger.said.restates(claim)),
            lambda: exact if claim.digits >= _SURE_DIGITS - 1 else None,
            lambda: _fact(ledger.seen.resembles(claim)),
            lambda: exact or (self._secret(claim, Values.resembles) if claim.digits > 1 else None),
            lambda: self._rounded(claim, ledger),
            lambda: self._scaled(claim, ledger),
            lambda: _secret(self.known.oracle.resembles(claim) or self.whispered.resembles(claim)),
            lambda: _secret(self.known.oracle.rounds(claim)) if claim.digits > 1 else None,
            lambda: self._compared(claim, ledger),
            lambda: self._single(claim),
        )
        return next((found for tier in tiers if (found := tier()) is not None), ("none", "no source"))

    def _secret(
        self, claim: Claimed, ask: Callable[[Values[Secret], Claimed], Match[Secret] | None]
    ) -> _Verdict | None:
        """Return where a hidden number comes from; ambiguous where only one fits that tools can print too."""
        shared = ask(self.known.shared, claim)
        clear = ask(self.known.clear, claim)
        if shared is not None and clear is None:
            clear = self.known.clear.resembles(claim)
        if clear is not None:
            return clear.label.channel, f"restates {clear.label.why}"
        if shared is None:
            return None
        return (
            "ambiguous",
            f"restates {shared.label.why}; a tool can print the same number about something else",
        )

    def _derived(self, claim: Claimed, ledger: Ledger) -> _Verdict | None:
        found = None if claim.vague and claim.unit != "%" else ledger.derived.restates(claim)
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
        if self.comparisons is None:
            whole = len(ledger.facts) == len(self.shown)
            points = ledger.derived.points if whole else Points(self.shown, hidden=self.secrets)
            self.comparisons = Comparisons(points, self.secrets)
        found = self.comparisons.find(claim)
        if found is None:
            return None
        made = f"{found.derivation.text} from {', '.join(found.derivation.names)}"
        why = f"derived: {made}; {found.secret.why} (chance {100 * found.chance:.1g} %)"
        return found.secret.channel if found.chance < MOST_CHANCE else "ambiguous", why

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
                yield self._sourced(statement, claim, (secret.channel, f"names {secret.why}"))

    def _causes(self, statement: Statement, ledger: Ledger) -> Iterator[Sourced]:
        for found in find_causes(statement.text, self.known.reasons, ledger.holds):
            words = ", ".join(found.words)
            claim = Claimed("cause", words, start=found.start, end=found.end)
            source: Source = "external" if found.reason.channel == "external" else "hindsight"
            why = f"shares {words} with the expert's {found.reason.channel} claim: {found.reason.text}"
            yield self._sourced(statement, claim, (source if found.sure else "ambiguous", why))


def _told(source: Source, match: Match[str] | None) -> _Verdict | None:
    return None if match is None else (source, f"{match.label} = {match.value:.10g}")


def _fact(match: Match[Fact] | None) -> _Verdict | None:
    return None if match is None else ("observed", describe(match.label))


def _secret(match: Match[Secret] | None) -> _Verdict | None:
    return None if match is None else (match.label.channel, match.label.why)
