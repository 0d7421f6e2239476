"""L6: runs of words that a trace shares with privileged text and with nothing that it could read.

Shared runs of 8 words or more are looked for between what models wrote and the oracle's texts (notes, the
verdict's feedback, phrase, outcome and claims). A run is taken off where legal text holds the same words: the
student's prompt, what tools said before, other messages of the user, and what unsteered runs of the same
scenario wrote by themselves.

Two kinds of runs are suspicions and no proof. Words of the verdict that no injection of the trace holds: the
agent was never told them. And a part of a claim that rests on what tools show, if all its numbers were shown:
an agent and an expert who read the same table may write the same sentence. A run that is made of such claims
from its first word to its last, one or several in a row, is legal.

Methods specification 5.8, L6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from opoi.folding import fold
from opoi.leakage.known import Known
from opoi.leakage.spoken import finding, oracle_texts, spoken, words_of
from opoi.types import Finding, Grade, Message, Trace

__all__ = ["LEAST", "Overlap", "Run", "containment", "longest_common", "shared_runs"]

LEAST = 8
"""Fewest words of a run that counts."""

Words = tuple[str, ...]


class Run(NamedTuple):
    """A longest run of words that two texts share: first word in the one, in the other, and how many."""

    start: int
    other: int
    length: int


class Overlap:
    """Finds runs of words that stand in privileged text and in no legal one.

    Args:
        least: Fewest words of a run.
    """

    id = "overlap"
    title = "n-gram overlap"
    doc = f"{LEAST} or more words in a row stand in privileged text and in nothing that the agent could read."
    needs: tuple[str, ...] = ()

    def __init__(self, least: int = LEAST) -> None:
        self._least = least

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        """Yield the shared runs, text by text."""
        whispered = self._long(_whispered(trace))
        oracle = self._long((*oracle_texts(trace, known), *_whispered(trace)))
        if not oracle:
            return
        legal = _Legal(trace, known)
        claims = _verifiable(known)
        for text in spoken(trace, known):
            said = words_of(text.folded.text)
            if len(said) < self._least:
                continue
            words = tuple(word for word, _, _ in said)
            share = max(containment(words, other) for other in oracle)
            for start, end in _foreign(words, oracle, legal, text.message[0], self._least):
                run = words[start:end]
                shown = legal.has_numbers_of(run, text.message[0])
                if shown and _made_of(run, claims):
                    continue
                grade = _grade(run, whispered, claims if shown else (), self._least)
                yield finding(
                    self.id,
                    grade.kind,
                    trace=trace,
                    text=text,
                    span=text.folded.span(said[start][1], said[end - 1][2]),
                    why=_why(run, share) + grade.why,
                    grade=grade.grade,
                )

    def _long(self, texts: Iterable[str]) -> list[Words]:
        """Return the words of the texts that are long enough to share a run."""
        found = [_words(text) for text in dict.fromkeys(texts)]
        return [words for words in found if len(words) >= self._least]


class _Graded(NamedTuple):
    """What a run is, how far it proves a leak, and what there is to say of that."""

    kind: str
    grade: Grade
    why: str = ""


def _grade(run: Words, whispered: Sequence[Words], claims: Sequence[Words], least: int) -> _Graded:
    """Return what a run is.

    Args:
        run: Words that an oracle text holds.
        whispered: Texts that were put into the prompt of this trace.
        claims: What the agent could have found out by itself; empty where it was not shown the numbers.
        least: Fewest words that count.
    """
    if _made_of(run, claims, part=True):
        return _Graded("part-of-claim", "suspect")
    if not any(shared_runs(run, text, least) for text in whispered):
        why = "; no injection of this trace holds them: it was not told"
        return _Graded("not-whispered", "suspect", why)
    return _Graded("shared-words", "leak")


def _whispered(trace: Trace) -> list[str]:
    """Return the texts that the oracle put into a trace."""
    messages = (*trace.gen_prompt, *trace.messages)
    texts = [injection.text for injection in trace.injections]
    return [text for text in (*texts, *_oracle_messages(messages)) if text]


def _oracle_messages(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message.author == "oracle":
            yield message.content
        yield from _oracle_messages(message.sub)


def _why(run: Words, share: float) -> str:
    return (
        f"{len(run)} words in a row as in privileged text: {' '.join(run)!r}; {share:.0%} of the text's"
        f" {LEAST}-word runs stand there"
    )


def _foreign(
    words: Words, oracle: Sequence[Words], legal: _Legal, position: int, least: int
) -> Iterator[tuple[int, int]]:
    """Yield the spans of words that an oracle text holds and that no legal text explains."""
    loose = {
        place
        for other in oracle
        for run in shared_runs(words, other, least)
        for place in range(run.start, run.start + run.length - least + 1)
        if not legal.holds(words[place : place + least], position)
    }
    start = end = -1
    for place in sorted(loose):
        if place > end:
            if start >= 0:
                yield start, end
            start = place
        end = place + least
    if start >= 0:
        yield start, end


def _verifiable(known: Known) -> list[Words]:
    """Return the claims of the verdict that an agent could have found out by itself."""
    claims = known.verdict.claims if known.verdict is not None else ()
    return [_words(claim.text) for claim in claims if claim.origin == "observable"]


def _made_of(run: Words, claims: Sequence[Words], *, part: bool = False) -> bool:
    """Return whether a run is made of claims, one after another, in any order.

    Args:
        run: Words.
        claims: What it may be made of.
        part: The first claim may lack its beginning and the last one its end.
    """
    if part and any(f" {' '.join(run)} " in f" {' '.join(claim)} " for claim in claims):
        return True
    ends = {0}
    if part:
        tails = (claim[cut:] for claim in claims for cut in range(1, len(claim)))
        ends |= {len(tail) for tail in tails if run[: len(tail)] == tail}
    for place in range(len(run)):
        if place in ends:
            rest = run[place:]
            if part and any(claim[: len(rest)] == rest for claim in claims):
                return True
            ends |= {place + len(claim) for claim in claims if claim and rest[: len(claim)] == claim}
    return len(run) in ends


class _Legal:
    """What the author of a trace could read, up to each message."""

    def __init__(self, trace: Trace, known: Known) -> None:
        self._trace = trace
        self._fixed = [_joined(_legal_text(trace, message) for message in trace.prompt)]
        self._fixed += [_joined(_all_texts(base.messages)) for base in known.base]
        self._held: dict[tuple[int, Words], bool] = {}
        self._until: dict[int, str] = {}
        self._numbers: dict[int, frozenset[str]] = {}

    def holds(self, run: Words, position: int) -> bool:
        """Return whether a legal text before a message holds a run of words."""
        key = (position, run)
        if key not in self._held:
            wanted = f" {' '.join(run)} "
            self._held[key] = any(wanted in text for text in (*self._fixed, self._before(position)))
        return self._held[key]

    def has_numbers_of(self, run: Words, position: int) -> bool:
        """Return whether each number of a run stands in a tool result before a message, or in the prompt."""
        if position not in self._numbers:
            texts = (self._before(position), self._fixed[0])
            shown = {word for text in texts for word in text.split()}
            facts = (value for message in self._trace.messages[:position] for value in _values(message))
            self._numbers[position] = frozenset(map(_number, shown | set(facts)))
        return all(_number(word) in self._numbers[position] for word in run if word[0].isdigit())

    def _before(self, position: int) -> str:
        if position not in self._until:
            heard = (
                text
                for message in self._trace.messages[:position]
                if message.role != "assistant"
                for text in (_legal_text(self._trace, message), *_tool_texts(message.sub))
            )
            self._until[position] = _joined(heard)
        return self._until[position]


def _number(word: str) -> str:
    """Return a number without the zeros and signs that do not matter: `38.00` is `38`."""
    bare = word.replace(",", "")
    return bare.rstrip("0").rstrip(".") if "." in bare else bare


def _values(message: Message) -> Iterator[str]:
    for fact in message.facts:
        yield str(fact.value).lstrip("-")
    for inner in message.sub:
        yield from _values(inner)


def _legal_text(trace: Trace, message: Message) -> str:
    """Return the text of a message without what the oracle put there."""
    if message.author == "oracle":
        return ""
    text = message.content
    for injection in trace.injections:
        if injection.text:
            text = text.replace(injection.text, " ")
    return text


def _tool_texts(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message.role == "tool":
            yield message.content
            yield from _tool_texts(message.sub)


def _all_texts(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message.author != "oracle":
            yield message.content
            yield from (call.arguments for call in message.tool_calls)
            yield from _all_texts(message.sub)


def _joined(texts: Iterable[str]) -> str:
    """Return texts as one string of words with blanks around each; no run crosses from one to the next."""
    return " | ".join(f" {' '.join(_words(text))} " for text in texts)


def _words(text: str) -> Words:
    return tuple(word for word, _, _ in words_of(fold(text).text))


# ---------------------------------------------------------------- figures


def shared_runs(words: Words, other: Words, least: int = LEAST) -> list[Run]:
    """Return the longest runs that two texts share, by where they start in the first; none lies in another.

    Args:
        words: Words of the one text.
        other: Words of the other.
        least: Fewest words of a run.
    """
    places: dict[Words, list[int]] = {}
    for place in range(len(other) - least + 1):
        places.setdefault(other[place : place + least], []).append(place)
    runs: list[Run] = []
    end = 0
    for start in range(len(words) - least + 1):
        best = Run(start, 0, 0)
        for place in places.get(words[start : start + least], ()):
            length = _agree(words, start, other, place, least)
            if length > best.length:
                best = Run(start, place, length)
        if best.length and start + best.length > end:
            runs.append(best)
            end = start + best.length
    return runs


def _agree(words: Words, start: int, other: Words, place: int, length: int) -> int:
    limit = min(len(words) - start, len(other) - place)
    while length < limit and words[start + length] == other[place + length]:
        length += 1
    return length


def containment(words: Words, other: Words, legal: Sequence[Words] = (), least: int = LEAST) -> float:
    """Return the share of the distinct runs of `least` words of a text that stand in another, 0 to 1.

    Args:
        words: Words of the text.
        other: Words of the other.
        legal: Texts whose runs do not count as shared.
        least: Words in a run.
    """
    runs = _grams(words, least)
    allowed = set().union(*(_grams(text, least) for text in legal))
    return len((runs & _grams(other, least)) - allowed) / len(runs) if runs else 0.0


def _grams(words: Words, least: int) -> set[Words]:
    return {words[place : place + least] for place in range(len(words) - least + 1)}


def longest_common(words: Words, other: Words) -> Words:
    """Return the longest run of words that two texts share; the first of several, `()` for none."""
    runs = shared_runs(words, other, 1)
    best = max(runs, key=lambda run: run.length, default=Run(0, 0, 0))
    return words[best.start : best.start + best.length]
