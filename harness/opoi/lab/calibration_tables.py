"""Calibrations as tables: for the terminal, for HTML, and as Markdown for the documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opoi.lab.calibrate import ALL, Calibration, Score
from opoi.report.tables import MISSING, Cell, Table, figure
from opoi.types import Measure

__all__ = ["calibration_tables", "markdown"]


def calibration_tables(
    calibration: Calibration, *, difficulties: bool = True, silent: bool = False
) -> tuple[Table, ...]:
    """Return the tables of a calibration: found, clean traces, and what is not decidable.

    Args:
        calibration: What was measured.
        difficulties: Whether each difficulty has a row of its own.
        silent: Whether a detector has rows for kinds of which it found nothing. A row without a plant that
            can be proved is left out in any case.
    """
    return (
        _found(calibration, difficulties=difficulties, silent=silent),
        _clean(calibration),
        _apart(calibration),
    )


def markdown(table: Table) -> str:
    """Return a table as Markdown: title, table, footnotes."""
    rows = [
        table.columns,
        ("---", *("---:" for _ in table.columns[1:])),
        *(tuple(_escaped(cell.full) for cell in row) for row in table.rows),
    ]
    notes = [f"({number}) {note}" for number, note in enumerate(table.footnotes, start=1)]
    lines = [f"**{table.title}**", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join([*lines, *notes, *([""] if notes else [])])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _found(calibration: Calibration, *, difficulties: bool, silent: bool) -> Table:
    loud = {
        (score.detector, score.kind)
        for score in calibration.scores
        if silent or score.detector == ALL or score.suspected or score.true
    }
    clean = {name: calibration.clean_score(name).false_positives for name in {*calibration.detectors, ALL}}
    rows = [
        _row(score, clean[score.detector])
        for score in _all_first(calibration.scores)
        if score.planted and (score.detector, score.kind) in loud
        if difficulties or score.difficulty == ALL
    ]
    title = (
        f"Planted leaks found ({calibration.suite}, seed {calibration.seed}, {calibration.n} specimens, "
        f"{calibration.bank} phrases)"
    )
    heads = (
        "detector, kind",
        "n",
        "recall",
        "with suspects",
        "precision",
        "phrases found",
        "FP per clean trace",
    )
    return Table(title, heads, tuple(rows))


def _all_first(scores: Iterable[Score]) -> Sequence[Score]:
    return sorted(scores, key=lambda score: score.detector != ALL)


def _row(score: Score, clean: Measure) -> tuple[Cell, ...]:
    phrases = f"{score.phrases_found} of {score.phrases}" if score.phrases else MISSING
    return (
        Cell(_label(score.detector, score.kind, score.difficulty)),
        Cell(str(score.planted)),
        Cell(*figure(score.recall, "share")),
        Cell(*figure(score.recall_with_suspects, "share")),
        Cell(*figure(score.precision, "share")),
        Cell(phrases),
        Cell(*figure(clean, "share")),
    )


def _label(*parts: str) -> str:
    """Return what a row is about; `all` difficulties go without saying."""
    first, *rest = parts
    return ", ".join([first, *(part for part in rest if part and part != ALL)])


def _clean(calibration: Calibration) -> Table:
    rows = tuple(
        (
            Cell(_label(score.detector, "" if score.wording == "plain" else score.wording)),
            Cell(str(score.traces)),
            Cell(str(score.flagged)),
            Cell(*figure(score.false_positives, "share")),
            Cell(str(score.findings)),
            Cell(str(score.suspected)),
        )
        for score in calibration.clean
        if score.traces
    )
    heads = ("detector", "clean traces", "flagged", "FP per clean trace", "findings", "flagged or suspected")
    title = "Clean traces; honest: with honest arithmetic and wording added to the answer"
    return Table(title, heads, rows)


def _apart(calibration: Calibration) -> Table:
    rows = tuple(
        (
            Cell(_label(each.kind, each.difficulty, each.variant)),
            Cell(f"{each.undecidable} of {each.planted}"),
            Cell(str(each.found)),
            Cell(str(each.suspected)),
            Cell(each.why),
        )
        for each in calibration.apart
    )
    heads = ("kind", "undecidable", "found all the same", "with suspects", "e.g. because")
    title = "Not decidable from scenario, verdict and trace, and left out of recall and precision"
    return Table(title, heads, rows)
