"""The tables of the laboratory, as plain data for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from opoi.cleaning.library import Library
from opoi.intervals import wilson
from opoi.lab.clean import Tally
from opoi.report.tables import MISSING, Cell, Table, visible

__all__ = ["rule_table", "scores_table", "share", "totals_table"]


def share(part: int, whole: int) -> Cell:
    """Return a share in percent with Wilson's 95 % interval."""
    if not whole:
        return Cell(MISSING)
    low, high = wilson(part, whole)
    return Cell(f"{100 * part / whole:.1f}\u00a0%", f"[{100 * low:.1f}, {100 * high:.1f}]")


def rule_table(tally: Tally, library: Library) -> Table:
    """Return a row for each rule that did anything, with its reason as a footnote."""
    why = {rule.id: rule.spec.why for rule in library.named}
    busy = [(name, count) for name, count in tally.rules.items() if count.traces]
    idle = [name for name, count in tally.rules.items() if not count.traces]
    told = [name for name, _ in busy if name in why]
    rows = tuple(
        (
            Cell(visible(name), marks=(told.index(name) + 1,) if name in told else ()),
            *(Cell(str(number)) for number in (count.traces, count.edits, count.chars, count.drops)),
        )
        for name, count in busy
    )
    notes = [f"{visible(name)}: {visible(why[name])}" for name in told]
    if idle:
        notes.append(f"no match: {visible(', '.join(idle))}")
    return Table("What the rules did", ("rule", "traces", "edits", "characters", "drops"), rows, tuple(notes))


def totals_table(tallies: Sequence[tuple[str, Tally]]) -> Table:
    """Return a column for each set of rules: yield, drop reasons, edit fraction."""
    reasons = sorted({reason for _, tally in tallies for reason in tally.drops})
    rows: list[tuple[Cell, ...]] = [
        (Cell("traces"), *(Cell(str(tally.records)) for _, tally in tallies)),
        (Cell("kept"), *(Cell(str(tally.kept)) for _, tally in tallies)),
        (Cell("yield"), *(share(tally.kept, tally.records) for _, tally in tallies)),
        (Cell("kept with edits"), *(Cell(str(tally.changed)) for _, tally in tallies)),
        (Cell("edited text"), *(_percent(tally.edit_fraction) for _, tally in tallies)),
        *(
            (Cell(f"dropped: {visible(reason)}"), *(Cell(str(tally.drops[reason])) for _, tally in tallies))
            for reason in reasons
        ),
        (Cell("lines that could not be read"), *(Cell(str(tally.bad)) for _, tally in tallies)),
    ]
    return Table("What came of the traces", ("", *(visible(name) for name, _ in tallies)), tuple(rows))


def scores_table(sides: Sequence[tuple[str, Tally, int]]) -> Table:
    """Return the totals of several sets of rules, with how many kept traces the detectors still object to."""
    totals = totals_table([(name, tally) for name, tally, _ in sides])
    leaking = (Cell("kept with a leak"), *(share(leaking, tally.kept) for _, tally, leaking in sides))
    return msgspec.structs.replace(totals, title="Scores", rows=(*totals.rows, leaking))


def _percent(value: float | None) -> Cell:
    return Cell(MISSING) if value is None else Cell(f"{100 * value:.2f}\u00a0%")
