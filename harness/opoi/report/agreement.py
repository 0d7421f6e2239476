"""The table of how far experts agree."""

from __future__ import annotations

from opoi.measures.agreement import Agreement
from opoi.report.tables import MISSING, Cell, Table, figure, visible
from opoi.types import Measure

__all__ = ["agreement_table"]


def agreement_table(found: Agreement) -> Table:
    """Return one row per expert: agreement with every other, and with what was really best."""
    heads = ("expert", *(visible(name) for name in found.experts), "best observable", "best in hindsight")
    rows = tuple(
        (
            Cell(visible(name)),
            *(_between(found, name, other) for other in found.experts),
            _cell(found.observable[name]),
            _cell(found.hindsight[name]),
        )
        for name in found.experts
    )
    fleiss = MISSING if found.fleiss is None else f"{found.fleiss:.2f}"
    notes = (
        "above the diagonal: share of cases in which both want the same action, with Wilson's 95 % interval; "
        "below: Cohen's kappa",
        f"Fleiss' kappa of all together: {fleiss}",
    )
    title = f"Agreement of the experts of {visible(found.suite)} on {found.scenarios} undecided cases"
    return Table(title, heads, rows, notes)


def _between(found: Agreement, name: str, other: str) -> Cell:
    if (name, other) in found.shares:
        return _cell(found.shares[name, other])
    if name == other:
        return Cell(MISSING)
    kappa = found.kappas[other, name]
    return Cell(MISSING if kappa is None else f"{kappa:.2f}")


def _cell(measure: Measure) -> Cell:
    return Cell(*figure(measure, "share"))
