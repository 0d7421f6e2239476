"""Many patterns at once: one pass tells which of them match a text, then only those are looked up.

Everything is RE2: time linear in the text, whatever the pattern. Texts are folded first, so that look-alike
letters, zero-width marks and typographic signs hide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import re2

from opoi.errors import UsageError
from opoi.folding import fold
from opoi.folding import plain as reads_plainly

__all__ = ["Scanner", "Span", "literal_pattern", "spaced"]

_MEMORY = 1 << 28
"""Most bytes that the automaton of all patterns together may take; it grows as texts need it."""

_BLANKS = re.compile(r"[ \t\n\f\r]+")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]| +[?*]?", re.DOTALL)
"""What is escaped, a class, or a run of spaces."""

_BORDERS = (r"\A", r"\z", r"\Q")
"""Escapes that see the ends of a text; `\\Q` may hide a sign that does."""


class Span(NamedTuple):
    """A match: which pattern, and where in the text as it was given."""

    pattern: int
    start: int
    end: int


class Scanner:
    """Finds all matches of many patterns.

    Args:
        patterns: RE2 patterns, each with whether upper and lower case are told apart. A space stands for
            any run of white space, but inside of a class or after a backslash.

    Raises:
        UsageError: RE2 does not take a pattern; `index` of the error says which.
    """

    def __init__(self, patterns: Sequence[tuple[str, bool]]) -> None:
        self._each: list[Any] = []
        self._free = not any(_sees_ends(pattern) for pattern, _ in patterns)
        options = _options()
        self._all = re2.Set.SearchSet(options)
        for index, (pattern, case) in enumerate(patterns):
            whole = spaced(pattern) if case else f"(?i:{spaced(pattern)})"
            try:
                self._each.append(re2.compile(whole, options))
                self._all.Add(whole)
            except re2.error as error:
                raise BadPatternError(index, pattern, error) from error
        self._always = len(self._each)
        if self._each:
            self._all.Add("")  # matches any text: its absence from an answer says that the automaton gave up
            self._all.Compile()

    def candidates(self, text: str) -> list[int]:
        """Return the patterns that match somewhere in a folded text, in their order."""
        if not self._each:
            return []
        found: list[int] = self._all.Match(text)
        if len(found) == 1 and found[0] == self._always:
            return found[:0]
        if self._always not in found:
            return [index for index, pattern in enumerate(self._each) if pattern.search(text)]
        return sorted(index for index in found if index != self._always)

    def silent(self, texts: Iterable[str]) -> bool:
        """Return whether no pattern can match in some texts, or in parts of them that end where words do.

        They are looked at as one, which is quick: where it says no, perhaps nothing matches all the same. It
        says no wherever a pattern sees the ends of a text.
        """
        return self._free and not self.candidates(fold("\n".join(texts)).text)

    def find(self, text: str) -> Iterator[Span]:
        """Yield every match that is not empty, pattern by pattern."""
        folded = None if reads_plainly(text) else fold(text)
        plain = text if folded is None else folded.text
        for index in self.candidates(plain):
            for match in self._each[index].finditer(plain):
                start, end = match.span()
                if start < end:
                    yield Span(index, *((start, end) if folded is None else folded.span(start, end)))


class BadPatternError(UsageError):
    """RE2 does not take a pattern.

    Attributes:
        index: Which of those given.
    """

    def __init__(self, index: int, pattern: str, error: Exception) -> None:
        reason = error.args[0] if error.args else error
        why = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        super().__init__(
            f"RE2 does not take the pattern {pattern!r}",
            why=why,
            fix="RE2 has no look-around and no back-references, and repeats at most 1000 times",
        )
        self.index = index


def _options() -> Any:  # noqa: ANN401 - re2 ships no types
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


def literal_pattern(literals: Sequence[str]) -> str:
    r"""Return a pattern for any of some phrases as whole words.

    >>> literal_pattern(["team lead"])
    '(?:\\bteam lead\\b)'
    """
    return f"(?:{'|'.join(_whole(_BLANKS.sub(' ', literal.strip(' '))) for literal in literals)})"


def _whole(literal: str) -> str:
    before = r"\b" if _is_word(literal[0]) else ""
    after = r"\b" if _is_word(literal[-1]) else ""
    return before + " ".join(re2.escape(word) for word in literal.split(" ")) + after


def _is_word(sign: str) -> bool:
    return sign.isascii() and (sign.isalnum() or sign == "_")


def _sees_ends(pattern: str) -> bool:
    r"""Return whether a pattern may ask where its text begins or ends, beyond `\b` and `\B`."""
    bare = _TOKEN.sub(lambda token: "^" if token[0] in _BORDERS else "", pattern)
    return "^" in bare or "$" in bare


def spaced(pattern: str) -> str:
    r"""Return a pattern in which each run of spaces outside of classes stands for any white space.

    >>> spaced("as told[ -]by ?you")
    'as\\s+told[ -]by\\s*you'
    """
    return _TOKEN.sub(_space, pattern)


def _space(token: re.Match[str]) -> str:
    if not token[0].startswith(" "):
        return token[0]
    return r"\s*" if token[0][-1] in "?*" else r"\s+"
