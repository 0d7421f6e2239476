"""L3: random marks of privileged text that came through, in data and in models.

A mark is a random string that stands in privileged text and nowhere else: the nonces of notes, which traces
record, and canaries planted by channel. Finding one in what a trace says is a proof. It counts in any case,
folded, with blanks, hyphens or other signs between its letters, backwards, and in base64 or hex.

Source of `exposure`: Carlini, Liu, Erlingsson, Kos, Song, "The Secret Sharer", USENIX Security 2019,
definition 2. Methods specification 5.8, L3.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from opoi.folding import Folded, fold
from opoi.leakage.known import Known
from opoi.leakage.spoken import Covered
from opoi.passages import passages
from opoi.types import Finding, Message, Trace

__all__ = ["Canary", "Sighting", "exposure", "sightings"]

_ROLES = ("system", "user", "assistant", "tool")

_LEAST = 5
"""Fewest letters and digits of a mark that is also looked for in disguise."""


class Sighting(NamedTuple):
    """A mark in a text: how it is written and where."""

    how: str
    start: int
    end: int


class Canary:
    """Finds the random marks of privileged text."""

    id = "canary"
    title = "canaries"
    doc = "A random mark of privileged text stands in the trace, plain or disguised."
    needs: tuple[str, ...] = ()

    def __call__(self, trace: Trace, known: Known) -> Iterator[Finding]:
        """Yield every sighting: in the prompt that the student will see, then message by message.

        Every role counts: a note that was left standing, or a tool result that repeats a mark, is in the data
        too.
        """
        marks = _marks(trace, known)
        if not marks:
            return
        for index, message in enumerate(trace.prompt):
            for found in _in_message(trace.id, message, index, known, marks):
                yield msgspec.structs.replace(found, message=(), field="prompt")
        for index, message in enumerate(trace.messages):
            yield from _in_message(trace.id, message, index, known, marks)


def _in_message(
    trace: str, message: Message, index: int, known: Known, marks: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    """Yield the sightings in a message and the nested ones below it."""
    text = "\n".join(_texts(message))
    if "\\" not in text and not any(_in_folded(fold(text), mark) for _, mark in marks):
        return
    seen: set[tuple[object, ...]] = set()
    for passage in passages((message,), known.prose, roles=_ROLES):
        folded = fold(passage.text)
        for kind, mark in marks:
            for how, start, end in _in_folded(folded, mark):
                place = (passage.message, start, end, passage.text)
                if place not in seen:
                    seen.add(place)
                    yield Finding(
                        detector=Canary.id,
                        kind=kind,
                        trace=trace,
                        message=(index, *passage.message[1:]),
                        field=passage.field,
                        start=start,
                        end=end,
                        text=passage.text[start:end],
                        why=f"the mark {mark!r} of privileged text, written {how}",
                    )


def _texts(message: Message) -> Iterator[str]:
    yield message.content
    for call in message.tool_calls:
        yield from (call.name, call.arguments)
    for inner in message.sub:
        yield from _texts(inner)


def _marks(trace: Trace, known: Known) -> list[tuple[str, str]]:
    """Return `(kind, mark)` of every mark on record."""
    marks = [("nonce", injection.nonce) for injection in trace.injections if injection.nonce]
    marks += [
        (f"canary:{channel}", mark) for channel, them in known.canaries.items() for mark in them if mark
    ]
    return list(dict.fromkeys(marks))


def sightings(text: str, mark: str) -> list[Sighting]:
    """Return where a mark stands in a text, plain or disguised, in its order; none overlaps another.

    Args:
        text: Any text.
        mark: The mark; one of fewer than 5 letters and digits is looked for as it is only.
    """
    return _in_folded(fold(text), mark)


def _in_folded(folded: Folded, mark: str) -> list[Sighting]:
    found: list[Sighting] = []
    covered = Covered()
    for how, wanted, haystack, places in _searches(folded, mark):
        start = haystack.find(wanted)
        while start >= 0:
            end = start + len(wanted)
            first, last = places[start], places[end - 1] + 1
            if not covered.touches(first, last):
                covered.add(first, last)
                found.append(Sighting(how, first, last))
            start = haystack.find(wanted, end)
    spans = (Sighting(how, *folded.span(start, end)) for how, start, end in found)
    return sorted(spans, key=lambda one: one.start)


def _searches(folded: Folded, mark: str) -> Iterator[tuple[str, str, str, Sequence[int]]]:
    """Yield what to look for in what: `(how, wanted, text, index of each of its characters)`."""
    text = folded.text
    lower = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)
    plain = fold(mark).text.lower()
    if plain:
        yield "as it is", plain, lower, range(len(text))
    bare = "".join(filter(str.isalnum, plain))
    if len(bare) < _LEAST:
        return
    places = [index for index, sign in enumerate(lower) if sign.isalnum()]
    squeezed = "".join(lower[index] for index in places)
    yield "with signs in between", bare, squeezed, places
    yield "backwards", bare[::-1], squeezed, places
    for spelled in _spellings(mark):
        yield "in hex", spelled.encode().hex(), squeezed, places
    solid = [index for index, sign in enumerate(text) if not sign.isspace()]
    packed = "".join(text[index] for index in solid).replace("-", "+").replace("_", "/")
    for spelled in _spellings(mark):
        for code in _in_base64(spelled):
            yield "in base64", code, packed, solid


def _spellings(mark: str) -> list[str]:
    return list(dict.fromkeys((mark, mark.lower(), mark.upper())))


@lru_cache(maxsize=1024)
def _in_base64(mark: str) -> tuple[str, ...]:
    """Return what base64 of any text that holds the mark must contain, for each of the three alignments."""
    raw, codes = mark.encode(), []
    for shift in range(3):
        code = b64encode(bytes(shift) + raw).decode().rstrip("=")
        whole = (shift + len(raw)) * 8 // 6
        codes.append(code[-(-shift * 8 // 6) : whole])
    return tuple(codes)


def exposure(canary: float, candidates: Sequence[float]) -> float:
    """Return how far a model gives a canary away, in bits: `log2 |R| - log2 rank`.

    0 where the canary is the least likely of all, `log2 |R|` where it is the most likely. A candidate that
    is as likely as the canary ranks before it, so that the figure is a lower bound.

    Args:
        canary: Log-likelihood of the canary under the model, in any base.
        candidates: Log-likelihoods of other strings of the same form that were not in the data, same base.
            `R` is these and the canary.

    Raises:
        ValueError: There are no candidates, or a log-likelihood is not a number.
    """
    if not candidates or any(math.isnan(value) for value in (canary, *candidates)):
        raise ValueError("exposure needs at least one candidate, and log-likelihoods that are numbers")
    rank = 1 + sum(value >= canary for value in candidates)
    return math.log2(len(candidates) + 1) - math.log2(rank)
