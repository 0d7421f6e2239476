"""L1: words by which a text shows that it was written with privileged text in view.

What the built-in cleaning rules match, and beyond: families of phrases (`phrases.toml`) that are products of
lists, a source of knowledge times a verb, so that wording nobody has listed is caught too; in English and six
other languages, within a sentence (also as parts in any order) or across two, in prose, JSON names and
values, tool calls and nested runs. Where the sentence names a source that anyone can see, a proof is only
a suspicion.
Everything is RE2 on folded text: linear, and no look-alike letter or invisible mark hides anything.

Methods specification 5.8, L1. What no word shows (a decision taken because of a note, reasons made up for
it) is not for this detector.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from opoi.cleaning.residue import find, patterns
from opoi.cleaning.scanner import Scanner
from opoi.cleaning.sentences import sentences
from opoi.folding import fold
from opoi.leakage.known import Known
from opoi.leakage.languages import languages_of, strange_clauses, unaccented
from opoi.leakage.spoken import Covered, Spoken, finding, spoken
from opoi.types import Finding, Grade, Trace

__all__ = ["Match", "Residue", "matches"]

Where = Literal["own", "any", "keys", "calls"]
"""Texts in which a family counts: the agent's own prose, every text but names in JSON, such names, arguments
of tool calls."""

_NAME = re.compile(r"\{([a-z_]+)\}")
_NO_ACTION = r"[^\x00-\x{10FFFF}]"
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-/.:#]+")


class _Family(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Patterns of one sort; `phrases.toml` says what each field means."""

    id: str
    grade: Grade
    where: Where
    why: str
    firm: bool = False
    patterns: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    together: tuple[tuple[str, ...], ...] = ()


class _Honest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words of honest authors: they excuse what touches them, or weaken what shares their sentence."""

    patterns: tuple[str, ...]
    scope: Literal["match", "sentence"] = "match"
    unless: str = ""


class _Bank(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    lists: dict[str, str]
    frequent: dict[str, str]
    honest: tuple[_Honest, ...]
    family: tuple[_Family, ...]


class Match(NamedTuple):
    """One match of a family in a text: the family's id, span, grade and the line for people."""

    family: str
    start: int
    end: int
    grade: Grade
    why: str


class Residue:
    """Finds words that presuppose privileged text."""

    id = "residue"
    title = "residue"
    doc = "Words that presuppose a note, an expert or knowledge of the future."
    needs: tuple[str, ...] = ()

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        """Yield the matches, text by text; where several overlap, the first and longest."""
        actions = _actions_of(trace, known)
        legal = _names_of(known)
        usual = _languages_of(trace)
        for text in spoken(trace, known):
            if not (text.is_key and text.text in legal):
                for match in _clear(_all_matches(text, actions, usual)):
                    yield finding(
                        self.id,
                        match.family,
                        trace=trace,
                        text=text,
                        span=(match.start, match.end),
                        why=match.why,
                        grade=match.grade,
                    )


def matches(text: str, *, actions: Sequence[str] = ()) -> list[Match]:
    """Return what a sentence or text of prose shows by itself, in its order.

    Args:
        text: Prose as an agent writes it.
        actions: Names of the actions that can be taken.
    """
    alone = Spoken((0,), "text", "prose", text, fold(text), own=True)
    return _clear(_all_matches(alone, tuple(actions), frozenset()))


def _clear(found: Iterator[Match]) -> list[Match]:
    """Return matches of which none overlaps another: proofs before suspicions, then the first and longest."""
    kept: list[Match] = []
    covered = Covered()
    for match in sorted(found, key=lambda one: (one.grade != "leak", one.start, -one.end)):
        if not covered.touches(match.start, match.end):
            covered.add(match.start, match.end)
            kept.append(match)
    return sorted(kept, key=lambda one: one.start)


# ---------------------------------------------------------------- one text


def _all_matches(text: Spoken, actions: tuple[str, ...], usual: frozenset[str]) -> Iterator[Match]:
    rules = _rules(actions)
    plain = unaccented(text.folded.text)
    spans = sentences(plain)
    honest = _honest(plain, spans, rules)
    for match, firm in _raw_matches(text, plain, spans, honest, rules):
        if firm or not honest.words.touches(match.start, match.end):
            sourced = not firm and honest.sourced.touches(match.start, match.end)
            yield _placed(match, text, sourced=sourced)
    yield from _built_in(text, honest)
    if text.kind in ("prose", "argument"):
        neutral = {word for action in actions for word in re.split(r"[\s_-]+", action.lower())}
        for clause in strange_clauses(text.folded.text, _frequent(), usual, neutral):
            start, end = text.folded.span(clause.start, clause.end)
            why = f"turns to another language ({clause.language}), which nothing the agent was given is in"
            yield Match("other-language", start, end, "suspect", why)


def _placed(match: Match, text: Spoken, *, sourced: bool) -> Match:
    """Return a match of the folded text as one of the text; beside a visible source it proves nothing."""
    start, end = text.folded.span(match.start, match.end)
    return match._replace(start=start, end=end, grade="suspect" if sourced else match.grade)


class _Excuses(NamedTuple):
    """Where honest authors speak: words of theirs, and sentences that name a source that anyone can see."""

    words: Covered
    sourced: Covered


def _honest(plain: str, spans: Sequence[tuple[int, int]], rules: _Rules) -> _Excuses:
    """Return where a text is excused; a sentence with visible sources is taken once, however many it has."""
    found = _Excuses(Covered(), Covered())
    sourced: set[int] = set()
    for index, start, end in rules.honest.find(plain):
        scope, unless = rules.excuses[index]
        if unless is not None and unless.search(plain[start:end]):
            continue
        if scope == "match":
            found.words.add(start, end)
        else:
            sourced.add(_sentence_at(start, spans))
    for place in sorted(sourced):
        found.sourced.add(*spans[place])
    return found


def _sentence_at(place: int, spans: Sequence[tuple[int, int]]) -> int:
    """Return which of the sentences, which follow one another, a place is in."""
    return bisect_right(spans, place, key=lambda span: span[0]) - 1


def _raw_matches(
    text: Spoken, plain: str, spans: Sequence[tuple[int, int]], honest: _Excuses, rules: _Rules
) -> Iterator[tuple[Match, bool]]:
    """Yield what the families match in a folded text, as spans of it, with whether that is firm."""
    if text.is_key or not re.search(r"\s", plain):
        words = _words_in(plain)
        for index, _, _ in rules.scanner.find(words):
            family = rules.families[index]
            if _counts(family, text):
                yield Match(family.id, 0, len(plain), family.grade, family.why), family.firm
        return
    for index, start, end in rules.scanner.find(plain):
        family = rules.families[index]
        if _counts(family, text):
            yield Match(family.id, start, end, family.grade, family.why), family.firm
    yield from _together(text, plain, spans, honest, rules)
    yield from _across(text, plain, spans, rules)


def _together(
    text: Spoken, plain: str, spans: Sequence[tuple[int, int]], honest: _Excuses, rules: _Rules
) -> Iterator[tuple[Match, bool]]:
    """Yield sentences that hold all parts of a family, in whatever order; what is excused is no part."""
    places: dict[int, dict[int, tuple[int, int]]] = {}
    for part, start, end in rules.parts.find(plain):
        if not honest.words.touches(start, end):
            places.setdefault(part, {}).setdefault(_sentence_at(start, spans), (start, end))
    for family, parts in rules.sums:
        if not all(part in places for part in parts) or not _counts(family, text):
            continue
        for place in sorted(set.intersection(*(set(places[part]) for part in parts))):
            held = [places[part][place] for part in parts]
            start, end = min(held)[0], max(end for _, end in held)
            sourced = not family.firm and honest.sourced.touches(start, end)
            yield Match(family.id, start, end, "suspect" if sourced else family.grade, family.why), True


def _across(
    text: Spoken, plain: str, spans: Sequence[tuple[int, int]], rules: _Rules
) -> Iterator[tuple[Match, bool]]:
    """Yield what stands in two sentences in a row."""
    if len(spans) < 2:
        return
    seen = [
        ({index for index, _, _ in rules.first.find(part)}, {index for index, _, _ in rules.then.find(part)})
        for part in (plain[start:end] for start, end in spans)
    ]
    for place in range(len(spans) - 1):
        for index in sorted(seen[place][0] & seen[place + 1][1]):
            family = rules.pairs[index]
            if _counts(family, text):
                start, end = spans[place][0], spans[place + 1][1]
                end = start + len(plain[start:end].rstrip())
                yield Match(family.id, start, end, family.grade, family.why), family.firm


def _built_in(text: Spoken, honest: _Excuses) -> Iterator[Match]:
    """Yield what the built-in cleaning rules match; where they count is their own business."""
    for hit in find(text.text):
        rule = patterns()[hit.pattern]
        counts = text.kind in rule.where.fields and (len(text.message) == 1 or rule.where.agents == "all")
        start, end = bisect_left(text.folded.ends, hit.start + 1), bisect_left(text.folded.offsets, hit.end)
        if counts and not honest.words.touches(start, end):
            sourced = honest.sourced.touches(start, end)
            yield Match(hit.pattern, hit.start, hit.end, "suspect" if sourced else "leak", rule.why)


def _counts(family: _Family, text: Spoken) -> bool:
    if family.where == "keys":
        return text.is_key
    if family.where == "calls":
        return text.kind == "argument" and not text.is_key
    return not text.is_key and (family.where == "any" or text.own)


def _words_in(name: str) -> str:
    """Return an identifier as words: `expertAdvice` and `expert_advice` as `expert advice`."""
    return _HUMP.sub(" ", name).strip()


# ---------------------------------------------------------------- what is known


def _languages_of(trace: Trace) -> frozenset[str]:
    """Return the languages of what the agent was given: its prompt, and what tools and users said."""
    given = (message for message in (*trace.prompt, *trace.messages) if message.role != "assistant")
    text = "\n".join(message.content for message in given if message.author != "oracle")
    return frozenset(languages_of(fold(text).text, _frequent()))


def _actions_of(trace: Trace, known: Known) -> tuple[str, ...]:
    """Return the actions that the trace could take, as far as that is known."""
    if known.suite is not None:
        return tuple(known.suite.actions)
    named = {trace.decision.action, known.verdict.action if known.verdict else ""}
    if known.scenario is not None:
        named |= set(known.scenario.truth.expected)
    return tuple(sorted(named - {""}))


def _names_of(known: Known) -> frozenset[str]:
    """Return the names that the schema of the decision holds."""
    if known.suite is None:
        return frozenset()
    names: set[str] = set()
    stack: list[object] = [known.suite.decision_schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            properties = item.get("properties")
            names |= set(properties) if isinstance(properties, dict) else set()
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return frozenset(names)


# ---------------------------------------------------------------- the bank


class _Rules(NamedTuple):
    """The bank compiled for one set of actions."""

    families: list[_Family]
    scanner: Scanner
    pairs: list[_Family]
    first: Scanner
    then: Scanner
    sums: list[tuple[_Family, tuple[int, ...]]]
    parts: Scanner
    excuses: list[tuple[str, re.Pattern[str] | None]]
    honest: Scanner


@cache
def _bank() -> _Bank:
    text = resources.files("opoi.leakage").joinpath("phrases.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=_Bank)


@cache
def _frequent() -> dict[str, frozenset[str]]:
    return {language: frozenset(words.split()) for language, words in _bank().frequent.items()}


@lru_cache(maxsize=32)
def _rules(actions: tuple[str, ...]) -> _Rules:
    bank = _bank()
    single = [(family, pattern) for family in bank.family for pattern in family.patterns]
    double = [(family, pair) for family in bank.family for pair in family.pairs]
    sums = [(family, parts) for family in bank.family for parts in family.together]
    parts = sorted({part for _, each in sums for part in each})
    excuses = [(honest, pattern) for honest in bank.honest for pattern in honest.patterns]

    def scanner(patterns: Sequence[str]) -> Scanner:
        return Scanner([(_filled(pattern, actions), False) for pattern in patterns])

    return _Rules(
        [family for family, _ in single],
        scanner([pattern for _, pattern in single]),
        [family for family, _ in double],
        scanner([pair[0] for _, pair in double]),
        scanner([pair[1] for _, pair in double]),
        [(family, tuple(parts.index(part) for part in each)) for family, each in sums],
        scanner(parts),
        [(honest.scope, _pattern(honest.unless)) for honest, _ in excuses],
        scanner([pattern for _, pattern in excuses]),
    )


def _pattern(text: str) -> re.Pattern[str] | None:
    return re.compile(text, re.IGNORECASE) if text else None


def _filled(pattern: str, actions: tuple[str, ...]) -> str:
    bank = _bank()

    def part(name: re.Match[str]) -> str:
        return _spoken_actions(actions) if name[1] == "action" else _filled(bank.lists[name[1]], actions)

    return _NAME.sub(part, pattern)


def _spoken_actions(actions: tuple[str, ...]) -> str:
    """Return a pattern for the actions in words; for none, one that matches nothing."""
    said = [r"[ _-](?:it |them )?".join(_inflected(re.split(r"[\s_-]+", action))) for action in actions]
    return f"(?:{'|'.join(said)})" if said else _NO_ACTION


def _inflected(words: list[str]) -> list[str]:
    """Return patterns for the words of an action, the first also in its -ing form."""
    head, *rest = map(re.escape, words)
    return [f"{head.removesuffix('e')}(?:{head[-1]}|ing)" if head.endswith("e") else f"{head}(?:ing)?", *rest]
