"""A leaderboard as one HTML file in the style of the report: no script, no request, same bytes."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from opoi.measures.paired.board import Board
from opoi.report.leaderboard import about_lines, absent_table, board_table
from opoi.report.svg import Dot, interval_plot
from opoi.report.tables import figure, visible

__all__ = ["render"]


class _Plot(Struct, frozen=True):
    title: str
    doc: str
    svg: Markup


def render(board: Board) -> str:
    """Return a board as HTML.

    Returns:
        A whole document, to be written as UTF-8. Everything in it is escaped.
    """
    folder = files("opoi.report")
    style = (folder / "style.css").read_text(encoding="utf-8")
    source = (folder / "board_page.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    *statement, about, marks = about_lines(board)
    return environment.from_string(source).render(
        style=Markup(style),  # noqa: S704  # our own file; the policy's hash is of these very bytes
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        suite=visible(board.suite),
        statement=visible(" ".join(statement)),
        about=visible(about),
        marks=visible(marks),
        tables=[board_table(board), *([absent_table(board)] if board.absent else [])],
        plots=_plots(board),
        rows=len(board.rows),
        models=len({row.model for row in board.rows}),
    )


def _plots(board: Board) -> list[_Plot]:
    """Return one plot for each column of shares."""
    plots = []
    for column in board.columns:
        told = board.definitions[column.name]
        if told.unit != "share":
            continue
        dots = []
        for row in board.rows:
            measure = row.measures.get(column.name)
            if measure is not None:
                text = " ".join(figure(measure, told.unit))
                dots.append(
                    Dot(
                        visible(row.label),
                        measure.value,
                        measure.low,
                        measure.high,
                        text,
                        row.strategy == "base",
                    )
                )
        title = visible(told.title)
        plots.append(_Plot(title, visible(told.doc), interval_plot(title, dots)))
    return plots
