"""Which tables a report has, in order."""

from __future__ import annotations

from opoi.measures.logprobs.scorers import Confidence, Corpus
from opoi.measures.results import Results
from opoi.report.scorers import scorers_table
from opoi.report.tables import Table, build_tables, figures_table

__all__ = ["report_tables"]


def report_tables(results: Results, *, every_figure: bool = True) -> tuple[Table, ...]:
    """Return the tables: accuracy and consensus, data quality, drops, confidence, all other figures.

    Args:
        results: All figures.
        every_figure: With the long table of all other figures, and with that of confidence where nothing was
            scored.
    """
    tables = build_tables(results)
    if results.confidence is not None and results.confidence.rows:
        tables = (*tables, scorers_table(results.confidence))
    elif every_figure:
        corpora = tuple(Corpus(name=arm.name, traces=0) for arm in results.arms if arm.kind == "data")
        tables = (*tables, scorers_table(Confidence(corpora=corpora)))
    return (*tables, figures_table(results)) if every_figure else tables
