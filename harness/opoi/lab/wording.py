"""What steered traces say and unsteered ones do not, as phrases: where suggested rules come from.

Phrases are runs of words with nothing but blanks between them, in lower case, without numbers, ids and marks.
They come from three places: words that tell steered traces from unsteered ones, finds of detectors, and words
that a trace shares with its own note and with nothing that its agent was shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from msgspec import Struct

from opoi.cleaning.book import Book
from opoi.cleaning.library import Library
from opoi.cleaning.residue import nonces_of
from opoi.cleaning.sentences import sentences
from opoi.folding import fold
from opoi.leakage.contrast import NUMBER, Document, chunks, grams, telling
from opoi.leakage.finders import finders
from opoi.leakage.known import Known
from opoi.passages import Kind, passages
from opoi.provenance.texts import shown
from opoi.seeds import Stream
from opoi.types import Edit, Finding, Message, Reject, Trace

__all__ = ["Origin", "Phrase", "Place", "Said", "Wording", "Wordings", "marks_of", "read", "wordings"]

Phrase = tuple[str, ...]

Origin = Literal["classifier", "finding", "note"]
"""Where a suggestion comes from."""

_LONGEST = 6
"""Most words of a phrase."""

_TELLING = 150
"""Most features of the classifier that are looked at."""

_DOCUMENTS = 1_000
"""Most traces of a side that the classifier sees."""

_LEAST_TRACES = 2
_LEAST_WORDS = 3
_LONE = 5
"""Least letters of a phrase of one word."""

_NEARLY_ALL = 0.9


class Place(NamedTuple):
    """Where a text stands: index of its trace, its kind, whether a sub-agent wrote it."""

    trace: int
    kind: Kind
    nested: bool


class Said(Struct, frozen=True):
    """A sentence of a trace.

    Attributes:
        place: Where it stands.
        text: As it is written, without blanks around it.
        runs: Its words.
        open: No rule catches it, and its trace is not dropped by one.
        near: It, or the one before or after it, is caught by a rule or holds a find.
    """

    place: Place
    text: str
    runs: Document
    open: bool
    near: bool


class Wording(NamedTuple):
    """A phrase, where it comes from, and how telling it is where a classifier says so."""

    phrase: Phrase
    origin: Origin
    weight: float = 0.0


class Wordings(NamedTuple):
    """Phrases that rules may be made of.

    Attributes:
        found: From all three places, each place's in its own order.
        tried: How many the classifier chose from: so many could differ by chance.
    """

    found: list[Wording]
    tried: int


# ---------------------------------------------------------------- reading


def read(
    traces: Sequence[Trace],
    library: Library,
    known_of: Callable[[Trace], Known],
    findings: Iterable[Finding] = (),
    *,
    marks: Container[str] = (),
) -> list[Said]:
    """Return the sentences that models wrote in traces: prose, and texts in JSON and in tool arguments.

    Args:
        traces: The traces.
        library: Rules that are there already.
        known_of: Says what is known about a trace.
        findings: What detectors found in them.
        marks: Words that count as numbers do, see `marks_of`.
    """
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.trace, []).append(finding)
    books: dict[tuple[str, ...], Book] = {}
    said: list[Said] = []
    for index, trace in enumerate(traces):
        prose = known_of(trace).prose
        if prose not in books:
            books[prose] = Book(library.named, prose=prose, finders=finders(known_of))
        caught = _caught(trace, books[prose], library)
        said += _of_trace(index, trace, prose, caught, findings=found.get(trace.id, ()), marks=marks)
    return said


_Spans = dict[tuple[tuple[int, ...], str], list[tuple[int, int]]]


def _caught(trace: Trace, book: Book, library: Library) -> _Spans | None:
    """Return what rules catch, text by text; None where one drops the trace."""
    spans: _Spans = {}
    for one in book.find(trace):
        if book.rules[one.rule].spec.do == "reject trace":
            return None
        spans.setdefault((one.passage.message, one.passage.field), []).append((one.start, one.end))
    for rule in library.python:
        for wish in rule(trace):
            if isinstance(wish, Reject):
                return None
            spans.setdefault((wish.message, wish.region), []).append(_span(wish))
    return spans


def _span(edit: Edit) -> tuple[int, int]:
    return edit.start, max(edit.end, edit.start + 1)


def _of_trace(
    index: int,
    trace: Trace,
    prose: Sequence[str],
    caught: _Spans | None,
    *,
    findings: Sequence[Finding],
    marks: Container[str],
) -> Iterator[Said]:
    hits: _Spans = {}
    for finding in findings:
        hits.setdefault((finding.message, finding.field), []).append((finding.start, finding.end))
    for passage in passages(trace.messages, prose, kinds=("prose", "json", "argument")):
        if passage.field.endswith("#key"):
            continue
        key = (passage.message, passage.field)
        spans = [(start, end) for start, end in sentences(passage.text) if passage.text[start:end].strip()]
        closed = [_meets(span, (caught or {}).get(key, ())) for span in spans]
        hit = [closed[at] or _meets(span, hits.get(key, ())) for at, span in enumerate(spans)]
        place = Place(index, passage.kind, len(passage.message) > 1)
        for at, (start, end) in enumerate(spans):
            text = passage.text[start:end].strip()
            yield Said(
                place,
                text,
                tuple(_runs(text, marks)),
                open=caught is not None and not closed[at],
                near=any(hit[max(0, at - 1) : at + 2]),
            )


def _runs(text: str, marks: Container[str]) -> Iterator[Phrase]:
    """Yield the words of a text; ids and marks count as numbers."""
    for run in chunks(fold(text).text):
        yield tuple(NUMBER if "_" in word or word in marks else word for word in run)


def _meets(span: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


# ---------------------------------------------------------------- phrases


def wordings(
    traces: Sequence[Trace],
    said: Sequence[Said],
    base: Sequence[Said],
    findings: Iterable[Finding] = (),
    *,
    marks: Container[str] = (),
) -> Wordings:
    """Return phrases that rules may be made of.

    Args:
        traces: Steered ones.
        said: Their sentences.
        base: Sentences of unsteered ones.
        findings: What detectors found in the steered ones.
        marks: Words that count as numbers do, see `marks_of`.
    """
    telltale, tried = _from_classifier(said, base)
    found = [*telltale, *_from_findings(findings, marks), *_from_notes(traces, said, base)]
    return Wordings([one for one in found if _sound(one.phrase)], tried)


def _sound(phrase: Phrase) -> bool:
    """Return whether a phrase can be a rule: words, no numbers, ids and marks."""
    if NUMBER in phrase:
        return False
    letters = [sum(map(str.isalpha, word)) for word in phrase]
    return any(count > 1 for count in letters) and (len(phrase) > 1 or letters[0] >= _LONE)


def marks_of(traces: Iterable[Trace], known_of: Callable[[Trace], Known]) -> set[str]:
    """Return words that are marks of notes, canaries or ids, in lower case."""
    marks: set[str] = set()
    for trace in traces:
        known = known_of(trace)
        marks.update(nonces_of(trace))
        marks.update(code for codes in known.canaries.values() for code in codes)
        marks.update(fact.entity for fact in shown(trace))
        if known.scenario is not None:
            hidden = (each.fact for each in known.scenario.truth.hidden)
            marks.update((known.scenario.entity, *(fact.entity for fact in hidden)))
    return {fold(mark).text.lower() for mark in marks}


def _from_classifier(said: Sequence[Said], base: Sequence[Said]) -> tuple[list[Wording], int]:
    """Return what the regression finds most telling, grown to whole phrases, and from how many it chose.

    Characters only help to rank.
    """
    first, second = _documents(said), _documents(base)
    if not first or not second:
        return [], 0
    model = telling(first, second)
    where = _occurrences(said)
    grown = dict.fromkeys(
        _grown(phrase, where)
        for phrase, _ in model.words[:_TELLING]
        if NUMBER not in phrase and _in_traces(phrase, where) >= _LEAST_TRACES
    )
    weights = model.score(list(grown))
    return [
        Wording(each, "classifier", weight) for each, weight in zip(grown, weights, strict=True)
    ], model.tried


def _documents(said: Sequence[Said]) -> list[Document]:
    """Return the open sentences of each trace as one document; of many traces, those drawn by their index."""
    documents: list[Document] = [
        [run for one in group if one.open and len(_words(one)) >= _LEAST_WORDS for run in one.runs]
        for _, group in groupby(said, key=lambda one: one.place.trace)
    ]
    if len(documents) > _DOCUMENTS:
        documents = Stream(0, "suggest").shuffled(documents, "documents")[:_DOCUMENTS]
    return documents


def _words(said: Said) -> list[str]:
    return [word for run in said.runs for word in run]


_Where = Mapping[str, Sequence[tuple[Phrase, int, int]]]


def _occurrences(said: Sequence[Said]) -> _Where:
    """Return the run, the place in it and the trace of every word of the open sentences."""
    where: dict[str, list[tuple[Phrase, int, int]]] = {}
    for one in said:
        if one.open and len(_words(one)) >= _LEAST_WORDS:
            for run in one.runs:
                for at, word in enumerate(run):
                    where.setdefault(word, []).append((run, at, one.place.trace))
    return where


def _at(phrase: Phrase, where: _Where) -> list[tuple[Phrase, int, int]]:
    return [
        (run, at, trace)
        for run, at, trace in where.get(phrase[0], ())
        if run[at : at + len(phrase)] == phrase
    ]


def _in_traces(phrase: Phrase, where: _Where) -> int:
    return len({trace for _, _, trace in _at(phrase, where)})


def _grown(phrase: Phrase, where: _Where) -> Phrase:
    """Return a phrase with the words that nearly always stand before and after it."""
    while len(phrase) < _LONGEST:
        here = _at(phrase, where)
        before = Counter(run[at - 1] for run, at, _ in here if at)
        after = Counter(run[at + len(phrase)] for run, at, _ in here if at + len(phrase) < len(run))
        sides = [
            (count, side, word)
            for side, counts in enumerate((before, after))
            for word, count in counts.items()
            if word != NUMBER and count >= _NEARLY_ALL * len(here)
        ]
        if not sides:
            break
        _, side, word = max(sides)
        phrase = (*phrase, word) if side else (word, *phrase)
    return phrase


def _from_findings(findings: Iterable[Finding], marks: Container[str]) -> Iterator[Wording]:
    """Yield the words of finds; those that rules catch fall out when they are counted."""
    for finding in findings:
        for run in _runs(finding.text, marks):
            yield Wording(run[:_LONGEST], "finding")


def _from_notes(traces: Sequence[Trace], said: Sequence[Said], base: Sequence[Said]) -> Iterator[Wording]:
    """Yield the longest phrases that traces share with their own notes and nobody else says.

    Phrases of one word have to be new to the base arm; all have to stand in two traces, or near a find.
    """
    usual = {word for one in base for word in _words(one)}
    counts: Counter[Phrase] = Counter()
    near: set[Phrase] = set()
    for index, group in groupby(said, key=lambda one: one.place.trace):
        trace = traces[index]
        told = _grams(injection.text for injection in trace.injections)
        if not told:
            continue
        told -= _grams(_legal(trace))
        mine: set[Phrase] = set()
        for one in group:
            shared = {phrase for run in one.runs for phrase in _longest(run, told)} if one.open else set()
            mine |= shared
            near |= shared if one.near else set()
        counts.update(sorted(phrase for phrase in mine if len(phrase) > 1 or phrase[0] not in usual))
    for phrase, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count >= _LEAST_TRACES or phrase in near:
            yield Wording(phrase, "note")


def _grams(texts: Iterable[str]) -> set[Phrase]:
    return {gram for text in texts for run in chunks(fold(text).text) for gram in grams(run, _LONGEST)}


def _legal(trace: Trace) -> Iterator[str]:
    """Yield what the agent was shown besides the notes: prompt, tool results, what nested runs were asked."""
    yield from _read_by(trace.prompt)
    yield from _read_by(trace.messages)


def _read_by(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message.role != "assistant" and message.author != "oracle":
            yield message.content


def _longest(run: Sequence[str], told: set[Phrase]) -> Iterator[Phrase]:
    """Yield the stretches of a run that are phrases of a set and cannot be made longer."""
    last = 0
    for start in range(len(run)):
        ends = range(min(len(run), start + _LONGEST), max(last, start), -1)
        end = next((end for end in ends if tuple(run[start:end]) in told), 0)
        if end:
            yield tuple(run[start:end])
            last = end
