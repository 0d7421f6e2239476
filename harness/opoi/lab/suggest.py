"""`opoi rules suggest`: rules that might be missing, with examples and counts; a person decides.

Each suggestion is a rule of one phrase. It names how often the phrase stands in the steered traces and how
often in unsteered ones, where it comes from (`opoi.lab.wording`), sentences that it matches, and sentences of
unsteered traces much like these that it lets pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from opoi.cleaning.book import Named
from opoi.cleaning.library import Library
from opoi.cleaning.rulefile import Examples, Match, RuleSpec, Where
from opoi.cleaning.scanner import Scanner, literal_pattern
from opoi.errors import UsageError, visible
from opoi.intervals import fisher_p
from opoi.lab.examples import check_examples
from opoi.lab.wording import Origin, Phrase, Said, Wording, marks_of, read, wordings
from opoi.leakage.known import Known
from opoi.passages import Kind
from opoi.types import Finding, Trace, Value

__all__ = ["Suggestion", "as_toml", "suggest"]

_EXAMPLES = 3
_PASSING = 2
_LONG = 400
"""Most characters of an example."""

_SURE = 0.01
"""Largest p of a phrase that nothing but the classifier speaks for; less where it chose from more than 100,
so that one or so comes by chance."""

_COVERED = 0.8
"""Share of its sentences from which on a phrase adds nothing to one before it."""

_KINDS: tuple[Kind, ...] = ("prose", "json", "argument")


class Suggestion(Value, frozen=True, kw_only=True):
    """A rule that might be missing, and what speaks for it.

    Attributes:
        rule: The rule, examples included.
        origins: Where its phrase comes from.
        examples: Sentences of the traces that it matches.
        traces: Traces that it matches and no rule of the library catches there.
        of_traces: Steered traces looked at.
        sentences: Sentences of these that it matches.
        of_sentences: Sentences of these in the places where it looks.
        base_traces: Unsteered traces that it matches: false alarms.
        of_base_traces: Unsteered traces looked at.
        base_sentences: Sentences of these that it matches.
        of_base_sentences: Sentences of these in the places where it looks.
        p: Probability of its standing in so many more scenarios of the steered side by chance, one-sided, not
            corrected for the number of phrases tried; None without unsteered traces.
    """

    rule: RuleSpec
    origins: tuple[Origin, ...]
    examples: tuple[str, ...]
    traces: int
    of_traces: int
    sentences: int
    of_sentences: int
    base_traces: int = 0
    of_base_traces: int = 0
    base_sentences: int = 0
    of_base_sentences: int = 0
    p: float | None = None


def suggest(
    traces: Sequence[Trace],
    base: Sequence[Trace],
    library: Library,
    known_of: Callable[[Trace], Known],
    *,
    findings: Iterable[Finding] = (),
    most: int = 20,
    most_base: float = 0.005,
) -> list[Suggestion]:
    """Return rules that might be missing; those that match many traces and have several origins come first.

    Args:
        traces: Steered ones.
        base: Unsteered ones; without any, nothing is known of false alarms and no classifier is trained.
        library: Rules that are there already: what they catch needs no other.
        known_of: Says what is known about a trace, steered or not.
        findings: What detectors found in the steered ones.
        most: Most suggestions.
        most_base: Largest share of unsteered sentences that a rule may match, 0 to 1.

    Raises:
        UsageError: scikit-learn is not installed, or a number does not fit.
    """
    if most < 1 or not 0 <= most_base <= 1:
        raise UsageError("suggestions need a number of 1 at least, and a share from 0 to 1")
    found = list(findings)
    marks = marks_of([*traces, *base], known_of)
    said = read(traces, library, known_of, found, marks=marks)
    unsteered = read(base, library, known_of, marks=marks)
    sides = _Side(traces, said), _Side(base, unsteered)
    phrases = wordings(traces, said, unsteered, found, marks=marks)
    counted = _counted(_merged(phrases.found), sides, most_base, sure=min(_SURE, 1 / max(1, phrases.tried)))
    return _chosen(counted, sides, most)


class _Side:
    """The sentences of one side, each text looked at once."""

    def __init__(self, traces: Sequence[Trace], said: Sequence[Said]) -> None:
        self.said = said
        self.traces = len(traces)
        self.scenario = [trace.scenario_id for trace in traces]
        self.scenarios = len(set(self.scenario))
        self._by_text: dict[str, list[int]] = {}
        for index, one in enumerate(said):
            self._by_text.setdefault(one.text, []).append(index)

    def find(self, phrases: Sequence[Phrase]) -> list[list[int]]:
        """Return the sentences that each phrase matches."""
        scanner = Scanner([(literal_pattern([" ".join(phrase)]), False) for phrase in phrases])
        found: list[list[int]] = [[] for _ in phrases]
        for text, places in self._by_text.items():
            for pattern in dict.fromkeys(span.pattern for span in scanner.find(text)):
                found[pattern] += places
        return [sorted(places) for places in found]

    def texts(self) -> Iterable[str]:
        """Return every different sentence, in order."""
        return self._by_text

    def within(self, where: Where) -> int:
        """Return the number of sentences in the places where a rule looks."""
        return sum(_looks(where, one) for one in self.said)


def _looks(where: Where, said: Said) -> bool:
    return said.place.kind in where.fields and (where.agents == "all" or not said.place.nested)


class _Counted(Value, frozen=True, kw_only=True):
    """A phrase with what it matches.

    Attributes:
        phrase: The words.
        origins: Where it comes from.
        weight: What the classifier says of it.
        where: Where a rule of it looks.
        hits: Open sentences of the traces that it matches.
        alarms: Sentences of the base that it matches where it looks.
        p: See `Suggestion.p`.
    """

    phrase: Phrase
    origins: tuple[Origin, ...]
    weight: float
    where: Where
    hits: tuple[int, ...]
    alarms: tuple[int, ...]
    p: float | None


def _merged(found: Iterable[Wording]) -> dict[Phrase, tuple[tuple[Origin, ...], float]]:
    """Return each phrase once, with all its origins and its weight."""
    merged: dict[Phrase, tuple[tuple[Origin, ...], float]] = {}
    for phrase, origin, weight in found:
        origins, before = merged.get(phrase, ((), 0.0))
        merged[phrase] = (tuple(dict.fromkeys((*origins, origin))), max(before, weight))
    return merged


def _counted(
    candidates: dict[Phrase, tuple[tuple[Origin, ...], float]],
    sides: tuple[_Side, _Side],
    most_base: float,
    *,
    sure: float,
) -> Iterator[_Counted]:
    """Yield the phrases that match something, and not too much of the base."""
    steered, base = sides
    phrases = list(candidates)
    for phrase, hits, alarms in zip(phrases, steered.find(phrases), base.find(phrases), strict=True):
        open_ = [index for index in hits if steered.said[index].open]
        if not open_:
            continue
        where = _where([steered.said[index] for index in open_])
        false = [index for index in alarms if _looks(where, base.said[index])]
        if len(false) > most_base * base.within(where):
            continue
        origins, weight = candidates[phrase]
        p = _chance(open_, false, sides)
        if origins == ("classifier",) and (p is None or p > sure):
            continue
        if origins == ("note",) and false and (p is None or p > _SURE):
            continue  # an agent says it without any note, too
        yield _Counted(
            phrase=phrase,
            origins=origins,
            weight=weight,
            where=where,
            hits=tuple(open_),
            alarms=tuple(false),
            p=p,
        )


def _where(said: Sequence[Said]) -> Where:
    kinds = {one.place.kind for one in said}
    nested = any(one.place.nested for one in said)
    return Where(fields=tuple(kind for kind in _KINDS if kind in kinds), agents="all" if nested else "main")


def _chance(hits: Iterable[int], alarms: Iterable[int], sides: tuple[_Side, _Side]) -> float | None:
    """Return Fisher's p over scenarios: how many of either side say it anywhere."""
    steered, base = sides
    if not base.traces:
        return None
    mine = {steered.scenario[steered.said[index].place.trace] for index in hits}
    theirs = {base.scenario[base.said[index].place.trace] for index in alarms}
    return fisher_p(len(mine), steered.scenarios, len(theirs), base.scenarios)


# ---------------------------------------------------------------- choosing


def _chosen(counted: Iterable[_Counted], sides: tuple[_Side, _Side], most: int) -> list[Suggestion]:
    """Return suggestions for phrases that each match something new, as rules whose examples hold."""
    steered = sides[0]

    def rank(one: _Counted) -> tuple[float, float, Phrase]:
        traces = {steered.said[index].place.trace for index in one.hits}
        told = len(one.phrase) / (1 + len(one.phrase))  # one word alone says little of what is meant
        return -len(traces) * len(one.origins) * told, -one.weight, one.phrase

    covered: list[set[int]] = []
    names: set[str] = set()
    chosen: list[Suggestion] = []
    for one in sorted(counted, key=rank):
        if any(len(other.intersection(one.hits)) > _COVERED * len(one.hits) for other in covered):
            continue
        made = _suggestion(one, sides, names)
        if all(checked.right for checked in check_examples(_library([made.rule]))):
            covered.append(set(one.hits))
            names.add(made.rule.id)
            chosen.append(made)
        if len(chosen) == most:
            break
    return chosen


def _library(rules: Sequence[RuleSpec]) -> Library:
    return Library("suggested", tuple(Named(f"suggested/{rule.id}", rule) for rule in rules), (), ())


def _suggestion(one: _Counted, sides: tuple[_Side, _Side], names: set[str]) -> Suggestion:
    steered, base = sides
    texts = list(dict.fromkeys(steered.said[index].text for index in one.hits))
    shown = sorted(texts, key=lambda text: (len(text) > _LONG, texts.index(text)))[:_EXAMPLES]
    traces = len({steered.said[index].place.trace for index in one.hits})
    alarms = len({base.said[index].place.trace for index in one.alarms})
    phrase = " ".join(one.phrase)
    why = f"suggested, say why: in {traces} of {steered.traces} traces"
    if base.traces:
        why += f", in {alarms} of {base.traces} unsteered ones"
    return Suggestion(
        rule=RuleSpec(
            id=_name(one.phrase, names),
            match=Match(literals=(phrase,)),
            why=why,
            where=one.where,
            examples=Examples(match=tuple(shown), passed=tuple(_passing(phrase, shown, base))),
        ),
        origins=one.origins,
        examples=tuple(shown),
        traces=traces,
        of_traces=steered.traces,
        sentences=len(one.hits),
        of_sentences=steered.within(one.where),
        base_traces=alarms,
        of_base_traces=base.traces,
        base_sentences=len(one.alarms),
        of_base_sentences=base.within(one.where),
        p=one.p,
    )


def _name(phrase: Phrase, taken: set[str]) -> str:
    """Return an id that is not taken, of the words of a phrase."""
    words = re.sub(r"[^a-z0-9]+", "-", " ".join(phrase)).strip("-")[:40].strip("-") or "phrase"
    numbered = (f"{words}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (words, *numbered) if name not in taken)


_LEAST = 3
"""Fewest words of a sentence by which a person can judge."""


def _passing(phrase: str, matched: Sequence[str], base: _Side) -> list[str]:
    """Return sentences of the base that are most like the matched ones and are not matched."""
    scanner = Scanner([(literal_pattern([phrase]), False)])
    wanted = {word for text in (phrase, *matched) for word in text.lower().split()}

    def likeness(text: str) -> float:
        words = set(text.lower().split())
        return len(words & wanted) / len(words | wanted)

    near = sorted(
        (text for text in base.texts() if len(text) <= _LONG and len(text.split()) >= _LEAST),
        key=lambda text: (-likeness(text), text),
    )
    quiet = (text for text in near if not any(scanner.find(text)))
    return [text for text, _ in zip(quiet, range(_PASSING), strict=False)]


# ---------------------------------------------------------------- the file


def as_toml(suggestions: Sequence[Suggestion]) -> str:
    """Return a rule file of the suggestions, each with its counts as a comment.

    It loads with `opoi.cleaning.rulefile.read_rule_file`, and its examples hold.

    Args:
        suggestions: As `suggest` returns them.
    """
    head = [
        "# Suggested by `opoi rules suggest`: read each, keep what is residue and say why, delete the rest.",
        "version = 1",
        'name = "suggested"',
    ]
    return "\n".join([*head, *(line for one in suggestions for line in _lines(one))]) + "\n"


def _lines(one: Suggestion) -> Iterator[str]:
    rule = one.rule
    yield ""
    yield "[[rule]]"
    yield f"# from: {', '.join(one.origins)}"
    yield _counts("steered", one.traces, one.of_traces, one.sentences, one.of_sentences)
    if one.of_base_traces:
        yield _counts(
            "unsteered", one.base_traces, one.of_base_traces, one.base_sentences, one.of_base_sentences
        )
    if one.p is not None:
        yield f"# p of the difference, over scenarios, one of many tried: {one.p:.2g}"
    if rule.where.fields != ("prose",) or rule.where.agents != "main":
        yield "# outside of the agent's own prose a match drops the trace"
    yield f"id = {_string(rule.id)}"
    yield f"why = {_string(rule.why)}"
    yield f"match = {{ literals = {_list(rule.match.literals)} }}"
    yield f"do = {_string(rule.do)}"
    yield f"where = {{ fields = {_list(rule.where.fields)}, agents = {_string(rule.where.agents)} }}"
    yield "[rule.examples]"
    yield f"match = {_list(one.examples)}"
    yield f"pass = {_list(text for text in rule.examples.passed if isinstance(text, str))}"


def _counts(side: str, traces: int, of_traces: int, sentences: int, of_sentences: int) -> str:
    return f"# {side}: {traces} of {of_traces} traces, {sentences} of {of_sentences} sentences"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_string, texts))}]"


def _string(text: str) -> str:
    """Return a text as a TOML string that cannot steer a terminal: JSON's escapes are TOML's.

    But for one character; and what `visible` makes of others in a JSON string is an escape, too.
    """
    return visible(json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f"))
