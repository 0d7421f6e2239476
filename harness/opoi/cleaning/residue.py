"""Residue: words by which a text shows that it was written with a note in view.

The patterns are those of section 3.14 of the method specification, made precise where the bare ones hit
a buyer's own words (`review` alone, say). They are RE2: linear in the text, word borders are ASCII. Each
has an id, so that its hits and false alarms can be counted apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import re2

from opoi.passages import written
from opoi.types import Message, Trace

__all__ = ["PATTERNS", "STRONG", "Hit", "find", "nonces_of", "residue_in", "residue_of"]

PATTERNS: dict[str, str] = {
    "reviewer": r"\breviewer(?:s|'s)?\b|\breview note\b|"
    r"\b(?:the|this|that|your|a) review (?:says|said|wants|asks|has)\b",
    "advised": r"\bas (?:advised|instructed|directed|recommended|requested|told)\b",
    "per-note": r"\b(?:per|following|according to|based on|in line with) (?:the|this|that|your) "
    r"(?:note|guidance|verdict|feedback|review|instruction)s?\b|\b(?:note|guidance|instruction)s? above\b",
    "the-note": r"\b(?:the|this|that) (?:note|verdict|oracle|expert|media buyer|settled (?:case|decision))\b|"
    r"\bverdict\s*:",
    "correct-answer": r"\bthe correct (?:answer|decision)\b",
    "was-told": r"\bI(?: was| am| have been| had been|'ve been) (?:told|asked to|informed|instructed)\b",
    "settled": r"\balready (?:been )?(?:decided|determined)\b|\balready been settled\b|"
    r"\b(?:case|matter|question|decision) (?:is|was) (?:already )?settled\b|\bsettled (?:this|the) case\b",
    "given-that": r"\bgiven that [^.!?\n]{0,80} (?:is|was) the right (?:call|decision)\b",
    "what-happened": r"\bwhat happened (?:next|afterwards|later)\b",
    "must-match": r"\b(?:decision|answer|verdict|action) (?:has|have|had|needs?) to match\b",
    "no-support": r"\bNO_SUPPORT\b",
}
"""Pattern id -> RE2 pattern, matched without regard to case. A space stands for any white space, an
apostrophe for the typographic one too."""

STRONG = frozenset({"nonce", "reviewer", "the-note", "was-told", "no-support"})
"""Patterns that count wherever they match. The others are common words, and count in prose with loss only:
not in what is asked of a tool, nor in what a sub-agent says."""


class Hit(NamedTuple):
    """One match: pattern id and span in the text."""

    pattern: str
    start: int
    end: int


def _compile(pattern: str) -> Any:  # noqa: ANN401 - re2 ships no types
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return re2.compile(pattern.replace(" ", r"\s+").replace("'", "['\u2019]"), options)


@cache
def _compiled() -> tuple[Any, dict[str, Any]]:
    """Return one pattern for "any of them", and each by id."""
    each = {name: _compile(pattern) for name, pattern in PATTERNS.items()}
    return _compile("|".join(f"(?:{pattern})" for pattern in PATTERNS.values())), each


def find(text: str, nonces: Sequence[str] = ()) -> Iterator[Hit]:
    """Yield every match in a text, pattern by pattern; nonces, in any case, count as `nonce`."""
    any_of_them, each = _compiled()
    if any_of_them.search(text):
        for name, pattern in each.items():
            for match in pattern.finditer(text):
                yield Hit(name, match.start(), match.end())
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
    """Return the ids of the patterns that match what a model wrote in these messages; see `STRONG`."""
    return {
        hit.pattern
        for text, own in written(messages)
        for hit in find(text, nonces)
        if own or hit.pattern in STRONG
    }
