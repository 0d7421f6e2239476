"""The table of what several models give to the same texts."""

from __future__ import annotations

from opoi.measures.logprobs.scorers import FIGURES, NEEDS_T2, Confidence
from opoi.report.tables import MISSING, Cell, Table, figure, visible
from opoi.types import Measure

__all__ = ["scorers_table"]

_HEADS = {
    "logprob": "avg logprob",
    "logprob_prose": "free text",
    "logprob_form": "template",
    "perplexity": "perplexity",
    "tokens": "tokens",
    "form_share": "template tokens",
    "lost_share": "not scorable",
    "llr": "LLR per token",
    "gap_log": "gap closed, log",
    "gap_probability": "gap closed, probability",
}
"""Head of each figure's column."""

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
                Cell(visible(row.scorer)),
                Cell(visible(row.corpus)),
                *(_cell(name, row.measures.get(name)) for name in _HEADS),
            )
            for row in found.rows
        )
    else:
        rows = tuple(
            (Cell("none"), Cell(visible(corpus.name)), *(Cell(NEEDS_T2) for _ in _HEADS))
            for corpus in found.corpora
        )
    heads = ("scorer", "texts", *_HEADS.values())
    legend = tuple((_HEADS[name], text) for name, text in FIGURES.items())
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
