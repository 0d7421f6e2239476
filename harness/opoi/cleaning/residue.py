"""Residue: words by which a text shows that it was written with a note in view.

The patterns are the built-in rules `built_in/residue.toml`. Each has an id, so that its hits and false alarms
can be counted apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from opoi.cleaning.rulefile import BUILT_IN, RuleSpec, read_rule_file
from opoi.cleaning.scanner import Scanner
from opoi.passages import Kind, passages, surroundings
from opoi.types import Message, Trace

__all__ = ["Hit", "find", "nonces_of", "patterns", "residue_in", "residue_of"]


class Hit(NamedTuple):
    """One match: pattern id and span in the text."""

    pattern: str
    start: int
    end: int


@cache
def patterns() -> dict[str, RuleSpec]:
    """Return the built-in rules that match a pattern, by id."""
    rules = read_rule_file(BUILT_IN / "residue.toml").rule
    return {rule.id: rule for rule in rules if rule.match.pattern}


@cache
def _scanner() -> tuple[list[str], Scanner]:
    rules = patterns()
    return list(rules), Scanner([(rule.match.pattern, rule.match.case) for rule in rules.values()])


def find(text: str, nonces: Sequence[str] = ()) -> Iterator[Hit]:
    """Yield every match in a text, pattern by pattern; nonces, in any case, count as `nonce`."""
    names, scanner = _scanner()
    for index, start, end in scanner.find(text):
        yield Hit(names[index], start, end)
    for nonce in nonces:
        for mark in re.finditer(re.escape(nonce), text, re.IGNORECASE):
            yield Hit("nonce", mark.start(), mark.end())


def nonces_of(trace: Trace) -> tuple[str, ...]:
    """Return the marks of all notes that were shown while the trace was made."""
    return tuple(injection.nonce for injection in trace.injections if injection.nonce)


def residue_of(trace: Trace) -> tuple[str, ...]:
    """Return the ids of the patterns that match anything a model wrote in the trace, sorted.

    Tool arguments and the messages of sub-agents count too: an agent that passes the verdict on leaks.
    """
    return tuple(sorted(residue_in(trace.messages, nonces_of(trace))))


def residue_in(messages: Sequence[Message], nonces: Sequence[str]) -> set[str]:
    """Return the ids of the patterns that match what a model wrote in these messages, where they count."""
    _, scanner = _scanner()
    if not nonces and scanner.silent(surroundings(messages, ())):
        return set()
    return {
        hit.pattern
        for passage in passages(messages, ())
        for hit in find(passage.text, nonces)
        if hit.pattern == "nonce" or _counts(hit.pattern, passage.kind, nested=len(passage.message) > 1)
    }


def _counts(pattern: str, kind: Kind, *, nested: bool) -> bool:
    where = patterns()[pattern].where
    return kind in where.fields and not (nested and where.agents == "main")
