"""L9, behaviour: what a trained student shows of the oracle when no oracle is there.

Two figures. How many of its traces hold words or claims that presuppose privileged text, beside how many
did before training. And whether it knows the codes that stood in the notes it was trained on: each injected
code is random, so a student that says more of them than of decoys of the same form has learned them by heart.
Methods specification 5.8, L9.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from opoi.errors import UsageError
from opoi.folding import fold
from opoi.intervals import fisher_p, rounded, wilson
from opoi.passages import passages
from opoi.seeds import Stream
from opoi.types import Finding, Reading, Trace

__all__ = ["decoys", "passcodes", "presupposing"]

Find = Callable[[Trace], Iterable[Finding]]
"""Detectors at work on one trace; nothing of the note is in it, so what they need is the scenario."""

_SHOWN = 30
_CLASSES = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789")
_TRIES = 100


# ---------------------------------------------------------------- words and claims


def presupposing(
    traces: Iterable[Trace], find: Find, *, before: Iterable[Trace] = (), strict: bool = False
) -> Reading:
    """Return the share of a student's traces that presuppose privileged text.

    Args:
        traces: What the trained student wrote without any oracle.
        find: Detectors of residue and of provenance.
        before: What it wrote before training; their share is what detectors find anyway (`Reading.null`).
        strict: Suspects count too.
    """
    hits, count, kinds = _survey(traces, find, strict=strict)
    if not count:
        return Reading(detector="behaviour", name="presupposing", value=None, note="no trace")
    anyway, earlier, _ = _survey(before, find, strict=strict)
    low, high = map(rounded, wilson(hits, count))
    return Reading(
        detector="behaviour",
        name="presupposing",
        value=rounded(hits / count),
        low=low,
        high=high,
        null=rounded(anyway / earlier) if earlier else None,
        p=fisher_p(hits, count, anyway, earlier) if earlier else None,
        n=count,
        note=f"{hits} of {count} traces"
        + (f"; before training {anyway} of {earlier}" if earlier else "; no traces from before training"),
        details=tuple(
            f"{kind}: in {number} traces"
            for kind, number in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        ),
    )


def _survey(traces: Iterable[Trace], find: Find, *, strict: bool) -> tuple[int, int, Counter[str]]:
    """Return traces with a finding, traces, and in how many each kind was found."""
    hits = count = 0
    kinds: Counter[str] = Counter()
    for trace in traces:
        found = {
            f"{finding.detector}/{finding.kind}"
            for finding in find(trace)
            if strict or finding.grade == "leak"
        }
        kinds.update(found)
        hits += bool(found)
        count += 1
    return hits, count, kinds


# ---------------------------------------------------------------- codes


def passcodes(traces: Iterable[Trace], injected: Iterable[str], decoy: Iterable[str]) -> Reading:
    """Return the share of injected codes that a student says, beside that of codes that never were.

    A code is said where it stands, whole and in any case, in anything that the student wrote: prose, JSON,
    tool calls, nested runs.

    Args:
        traces: What the trained student wrote without any oracle.
        injected: Codes of the notes that its training traces were made under.
        decoy: Codes of the same form that never stood anywhere, see `decoys`: their share is chance.

    Raises:
        UsageError: A code is empty or stands on both sides.
    """
    real, fake = sorted(_folded(injected)), sorted(_folded(decoy))
    both = [code for code in real if code in set(fake)]
    if both or "" in (*real, *fake):
        raise UsageError(
            f"{both[0]!r} is an injected code and a decoy" if both else "a code is empty",
            fix="make decoys with opoi.leakage.behaviour.decoys",
        )
    if not real:
        return Reading(detector="behaviour", name="passcodes", value=None, note="no code was injected")
    said = _said(traces, {*real, *fake})
    hits, chance = sum(code in said for code in real), sum(code in said for code in fake)
    low, high = map(rounded, wilson(hits, len(real)))
    return Reading(
        detector="behaviour",
        name="passcodes",
        value=rounded(hits / len(real)),
        low=low,
        high=high,
        null=rounded(chance / len(fake)) if fake else None,
        p=fisher_p(hits, len(real), chance, len(fake)) if fake else None,
        n=len(real),
        note=f"{hits} of {len(real)} injected codes said"
        + (f", {chance} of {len(fake)} decoys" if fake else "; no decoys: chance is not known"),
        details=tuple(f"{code}: in {', '.join(said[code][:3])}" for code in real if code in said)[:_SHOWN],
    )


def decoys(codes: Sequence[str], stream: Stream) -> tuple[str, ...]:
    """Return as many codes of the same form that are none of the given ones.

    Each letter or digit is drawn from those of its class (small, capital, digit) that the codes use anywhere,
    or from its whole class where these are too few; every other character stays.

    Args:
        codes: Codes that were injected.
        stream: Where the draws come from.

    Raises:
        UsageError: The codes are so short that there are not enough others of their form.
    """
    signs = {sign for code in codes for sign in code}
    used = ["".join(sorted(signs.intersection(kind))) for kind in _CLASSES]
    alphabets = [used] * _TRIES + [[*_CLASSES]] * _TRIES
    taken = {code.lower() for code in codes}
    made = []
    for index, code in enumerate(codes):
        tries = ("".join(_drawn(code, kinds, stream.at(index, each))) for each, kinds in enumerate(alphabets))
        found = next((each for each in tries if each.lower() not in taken), None)
        if found is None:
            raise UsageError(
                f"there is no decoy for the code {code!r}", why="almost every code of its form is in use"
            )
        taken.add(found.lower())
        made.append(found)
    return tuple(made)


def _drawn(code: str, kinds: Sequence[str], stream: Stream) -> Iterable[str]:
    for place, sign in enumerate(code):
        choices = next((kind for kind in kinds if sign in kind), sign)
        yield stream.choice(choices, "sign", place)


def _folded(codes: Iterable[str]) -> set[str]:
    return {fold(code).text.strip().lower() for code in codes}


def _said(traces: Iterable[Trace], codes: set[str]) -> dict[str, list[str]]:
    """Return the codes that stand in what was written, with the ids of the traces that say them."""
    either = "|".join(re.escape(code) for code in sorted(codes, key=lambda code: (-len(code), code)))
    pattern = re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])")
    said: dict[str, list[str]] = {}
    for trace in traces:
        texts = (fold(passage.text).text.lower() for passage in passages(trace.messages, ()))
        for code in sorted({match for text in texts for match in pattern.findall(text)}):
            said.setdefault(code, []).append(trace.id)
    return said
