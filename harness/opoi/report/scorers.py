"""The table of what several models give to the same texts."""

from __future__ import annotations

from opoi.measures.logprobs.scorers import FIGURES, NEEDS_T2, Confidence
from opoi.report.tables import MISSING, Cell, Table, figure, visible
from opoi.types import Measure

__all__ = ["scorers_table"]

_SHARES = ("form_share", "lost_share", "gap_log", "gap_probability")
_REFERENCE = "reference"


def scorers_table(found: Confidence) -> Table:
    """Return one row for each scorer and corpus; where nothing was scored, the cells say what is needed.

    Every figure has its definition in the legend.
    """
    notes = [f"{visible(name)}: {visible(text)}" for name, text in found.notes.items()]
    failed = [
        f"{visible(row.scorer)} on {visible(row.corpus)}: the endpoint failed for {row.failed} traces"
        for row in found.rows
        if row.failed
    ]
    if found.rows:
        rows = tuple(
            (
                Cell(visible(f"{row.scorer} on {row.corpus}")),
                *(_cell(name, row.measures.get(name)) for name in FIGURES),
            )
            for row in found.rows
        )
    else:
        rows = tuple(
            (Cell(visible(f"no scorer on {corpus.name}")), *(Cell(NEEDS_T2) for _ in FIGURES))
            for corpus in found.corpora
        )
    heads = ("scorer on texts", *(told.title for told in FIGURES.values()))
    legend = tuple((told.title, told.formula) for told in FIGURES.values())
    return Table("Confidence", heads, rows, (*notes, *failed), legend)


def _cell(name: str, measure: Measure | None) -> Cell:
    if measure is None:
        return Cell(_REFERENCE)
    if measure.value is None:
        return Cell(NEEDS_T2 if measure.note == NEEDS_T2 else MISSING)
    if name in _SHARES:
        return Cell(*figure(measure, "share"))
    if name == "tokens":
        return Cell(f"{measure.value:,.0f}")
    digits = 2 if name == "perplexity" else 3
    return Cell(_plain(measure.value, digits), _interval(measure, digits))


def _interval(measure: Measure, digits: int) -> str:
    if measure.low is None or measure.high is None:
        return ""
    return f"[{_plain(measure.low, digits)}, {_plain(measure.high, digits)}]"


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text
