"""What cleaning leaves and what it breaks: the same planted traces, read again after cleaning."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import msgspec

from opoi.cleaning.engine import core
from opoi.lab.calibrate import ALL, findings_of, share
from opoi.leakage.known import Detector, Known
from opoi.passages import passages
from opoi.planting.bank import BankName, load_bank
from opoi.planting.corpus import check_kinds, plant_each
from opoi.planting.grown import Bed
from opoi.planting.plants import DIFFICULTIES, Kind, Plant, Planted
from opoi.planting.specimens import specimens
from opoi.progress import Progress, Quiet
from opoi.protocols import Suite
from opoi.report.tables import Cell, Table, figure
from opoi.seeds import Stream
from opoi.types import Cleaned, Measure, Message, Trace, Value
from opoi.wire import find_object

__all__ = ["INVARIANTS", "Collateral", "Residual", "collateral", "collateral_tables", "kept_promises"]

Cleaner = Callable[[Trace, Known], Cleaned]
"""Cleans one trace, given what is known about it."""

INVARIANTS = {
    "tool_calls": "tool calls unchanged, those of nested runs included",
    "tool_results": "tool results unchanged, ledger included",
    "decision": "the decision is the same but for its prose and citations",
    "json_valid": "the decision is valid if it was before",
    "idempotent": "cleaning twice equals cleaning once",
}
"""What cleaning has to keep, by name. Traces that it drops are not asked for the first four."""


class Residual(Value, frozen=True, kw_only=True):
    """What is left of one kind of plant after cleaning.

    Attributes:
        kind: What was planted.
        difficulty: How openly, or `ALL`.
        planted: Planted traces.
        dropped: Those that cleaning drops.
        text: Kept ones in which the text of the plant still stands.
        detected: Kept ones in which a detector still finds a leak; 0 where no detectors were given.
    """

    kind: Kind
    difficulty: str
    planted: int = 0
    dropped: int = 0
    text: int = 0
    detected: int = 0

    @property
    def left(self) -> Measure:
        """Share of the planted traces that are kept with the plant's text in them."""
        return share(self.text, self.planted)

    @property
    def left_detected(self) -> Measure:
        """Share of the planted traces that are kept with a leak that a detector finds."""
        return share(self.detected, self.planted)


class Collateral(Value, frozen=True, kw_only=True):
    """What cleaning leaves and what it breaks.

    Attributes:
        suite: Name of the suite.
        seed: Seed of everything.
        n: Number of specimens.
        bank: Half of the phrases.
        residual: By kind: all difficulties, then each.
        clean: Clean traces.
        clean_dropped: Those that cleaning drops.
        clean_edited: Those that it edits.
        clean_chars: Characters of prose in the clean traces.
        clean_edited_chars: Those of them that it removes or replaces.
        asked: How many cleaned traces, planted and clean, each invariant was asked of.
        kept: How many of them keep it.
    """

    suite: str
    seed: int
    n: int
    bank: BankName
    residual: tuple[Residual, ...]
    clean: int
    clean_dropped: int
    clean_edited: int
    clean_chars: int
    clean_edited_chars: int
    asked: dict[str, int]
    kept: dict[str, int]

    @property
    def edited_share(self) -> float:
        """Share of the prose of clean traces that cleaning touches."""
        return self.clean_edited_chars / self.clean_chars if self.clean_chars else 0.0


def collateral(
    cleaner: Cleaner,
    *,
    suite: Suite,
    seed: int,
    n: int = 100,
    bank: BankName = "published",
    kinds: Sequence[str] = (),
    detectors: Sequence[Detector] = (),
    progress: Progress | None = None,
) -> Collateral:
    """Clean planted and clean traces, and count what is left and what is broken.

    Args:
        cleaner: Cleans one trace; see `opoi.cleaning.levels.cleaner`.
        suite: Whose worlds and stand-in to use.
        seed: Any integer.
        n: Number of specimens, each planted with every kind.
        bank: Half of the phrases.
        kinds: What to plant; none for all.
        detectors: Judge the cleaned traces besides the plants' own texts.
        progress: Where to show how far it is.

    Raises:
        UsageError: The suite yields too few traces.
        UnknownNameError: A kind or a half does not exist.
    """
    wanted, phrases = check_kinds(kinds), load_bank(bank)
    counts: Counter[tuple[str, ...]] = Counter()
    promises: Counter[tuple[str, ...]] = Counter()
    chars = Counter[str]()
    with closing((progress or Quiet()).start("collateral", n)) as watch:
        for specimen in specimens(suite, seed, n, bank=bank):
            known = specimen.clean.known(suite)
            twin = cleaner(specimen.trace, known)
            _count_clean(twin, chars)
            _count_promises(cleaner, specimen.trace, twin, known, promises)
            stream = Stream(seed, "planting", "calibrate", specimen.index)
            bed = Bed(specimen=specimen, suite=suite, difficulty="easy", bank=phrases, stream=stream)
            for planted in filter(None, plant_each(bed, wanted).values()):
                known = planted.known(suite)
                cleaned = cleaner(planted.trace, known)
                _count_promises(cleaner, planted.trace, cleaned, known, promises)
                left = _left(planted, cleaned, twin, suite.prose)
                found = cleaned.kept and _found(detectors, planted, cleaned, suite)
                for difficulty in (ALL, planted.plants[0].difficulty):
                    row = (planted.plants[0].kind, difficulty)
                    counts[*row, "planted"] += 1
                    counts[*row, "dropped"] += not cleaned.kept
                    counts[*row, "text"] += left
                    counts[*row, "detected"] += found
            watch.advance()
    return Collateral(
        suite=suite.name,
        seed=seed,
        n=n,
        bank=bank,
        residual=_residual(counts, wanted),
        clean=n,
        clean_dropped=chars["dropped"],
        clean_edited=chars["edited"],
        clean_chars=chars["target"],
        clean_edited_chars=chars["changed"],
        asked={name: promises[name, "asked"] for name in INVARIANTS},
        kept={name: promises[name, "kept"] for name in INVARIANTS},
    )


def _residual(counts: Counter[tuple[str, ...]], kinds: Sequence[Kind]) -> tuple[Residual, ...]:
    return tuple(
        Residual(
            kind=kind,
            difficulty=difficulty,
            **{name: counts[kind, difficulty, name] for name in ("planted", "dropped", "text", "detected")},
        )
        for kind in kinds
        for difficulty in (ALL, *DIFFICULTIES)
    )


def _count_clean(cleaned: Cleaned, chars: Counter[str]) -> None:
    chars["dropped"] += not cleaned.kept
    chars["edited"] += cleaned.edited_chars > 0
    chars["target"] += cleaned.target_chars
    chars["changed"] += cleaned.edited_chars


def _left(planted: Planted, cleaned: Cleaned, twin: Cleaned, prose: Sequence[str]) -> bool:
    """Return whether a plant's text stands in the kept trace more often than in its cleaned twin."""
    if not cleaned.kept:
        return False
    (of_plant,) = planted.plants
    return _count(cleaned.trace, of_plant, prose) > _count(twin.trace, of_plant, prose)


def _count(trace: Trace, of_plant: Plant, prose: Sequence[str]) -> int:
    """Count how often a plant's text stands in what the agent wrote, in nested runs and in tool results."""
    texts = [each.text for each in passages(trace.messages, prose, roles=("assistant", "user", "tool"))]
    windows = [fact.window for message in trace.messages for fact in message.facts]
    return sum(text.count(of_plant.text) for text in (*texts, *windows))


def _found(detectors: Sequence[Detector], planted: Planted, cleaned: Cleaned, suite: Suite) -> bool:
    """Return whether a detector finds a leak in a cleaned trace."""
    after = msgspec.structs.replace(planted, trace=cleaned.trace)
    found = findings_of(detectors, after, suite)
    return any(each.grade == "leak" for findings in found.values() for each in findings)


# ---------------------------------------------------------------- promises


def _count_promises(
    cleaner: Cleaner, before: Trace, cleaned: Cleaned, known: Known, promises: Counter[tuple[str, ...]]
) -> None:
    for name, kept in kept_promises(cleaner, before, cleaned, known).items():
        promises[name, "asked"] += 1
        promises[name, "kept"] += kept


def kept_promises(cleaner: Cleaner, before: Trace, cleaned: Cleaned, known: Known) -> dict[str, bool]:
    """Return which of the `INVARIANTS` cleaning one trace has kept.

    Args:
        cleaner: Cleans again.
        before: The trace as it was.
        cleaned: The trace after cleaning.
        known: What is known about it; the suite is needed.
    """
    after, suite = cleaned.trace, known.suite
    assert suite is not None
    idempotent = {"idempotent": cleaner(after, known).trace == after}
    if not cleaned.kept:
        return idempotent
    return {
        "tool_calls": list(_calls(before.messages)) == list(_calls(after.messages)),
        "tool_results": list(_results(before.messages)) == list(_results(after.messages)),
        "decision": core(before.decision, suite.prose) == core(after.decision, suite.prose),
        "json_valid": not before.decision.valid or _valid(after, suite),
        **idempotent,
    }


def _calls(messages: Sequence[Message]) -> Iterator[object]:
    for message in messages:
        yield from message.tool_calls
        yield from _calls(message.sub)


def _results(messages: Sequence[Message]) -> Iterator[object]:
    for message in messages:
        if message.role == "tool":
            yield message.tool_call_id, message.content, message.facts


def _valid(trace: Trace, suite: Suite) -> bool:
    """Return whether the last message holds a JSON object that reads as the trace's decision."""
    content = trace.messages[-1].content
    span = find_object(content)
    if span is None:
        return False
    json.loads(content[slice(*span)])
    decision = suite.decide(content)
    return decision.valid and decision == trace.decision


# ---------------------------------------------------------------- tables


def collateral_tables(found: Collateral, *, difficulties: bool = True) -> tuple[Table, ...]:
    """Return what is left, what was cut from clean text, and what was kept, as tables.

    Args:
        found: What was measured.
        difficulties: Whether each difficulty has a row of its own.
    """
    left = tuple(
        (
            Cell(each.kind),
            Cell(each.difficulty),
            Cell(str(each.planted)),
            Cell(str(each.dropped)),
            Cell(*figure(each.left, "share")),
            Cell(*figure(each.left_detected, "share")),
        )
        for each in found.residual
        if difficulties or each.difficulty == ALL
    )
    heads = ("kind", "difficulty", "n", "dropped", "text left", "leak detected")
    title = f"After cleaning ({found.suite}, seed {found.seed}, {found.n} specimens, {found.bank} phrases)"
    kept = tuple(
        (
            Cell(INVARIANTS[name]),
            Cell(str(found.asked[name])),
            Cell(*figure(share(found.kept[name], found.asked[name]), "share")),
        )
        for name in INVARIANTS
    )
    clean = (
        (
            Cell("edited"),
            Cell(str(found.clean)),
            Cell(*figure(share(found.clean_edited, found.clean), "share")),
        ),
        (
            Cell("dropped"),
            Cell(str(found.clean)),
            Cell(*figure(share(found.clean_dropped, found.clean), "share")),
        ),
        (
            Cell("characters of prose changed"),
            Cell(str(found.clean_chars)),
            Cell(*figure(Measure(value=found.edited_share), "share")),
        ),
    )
    return (
        Table(title, heads, left),
        Table("Clean traces", ("what", "of", "share"), clean),
        Table("Kept by cleaning", ("what", "traces", "share"), kept),
    )
