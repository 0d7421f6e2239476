"""The page of `opoi leaderboard`: one row for each model, cleaner and strategy, best first."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from opoi.measures.paired.board import Board, BoardRow, Column
from opoi.report.tables import NEEDS, SIMULATED, Cell, Table, figure, visible
from opoi.report.terminal import print_table
from opoi.types import Measure

__all__ = ["about_lines", "absent_table", "board_table", "print_board"]

_ARROW = {"higher": " \u2191", "lower": " \u2193", "neither": ""}
_WAY = {"higher": "; higher is better", "lower": "; lower is better", "neither": ""}
_MARK = {"best": " *", "same": " =", "apart": "", "": ""}


def print_board(board: Board, console: Console) -> None:
    """Print the board, what its marks mean, and which rows are missing.

    Args:
        board: What to print.
        console: Where to; a table wider than it is printed in parts.
    """
    for line in about_lines(board):
        console.print(Text(visible(line)))
    print_table(board_table(board), console)
    if board.absent:
        print_table(absent_table(board), console)


def about_lines(board: Board) -> list[str]:
    """Return what has to be said before the table: who played, how much, what the marks mean."""
    lines = []
    if board.simulated:
        every = {row.model for row in board.rows} == {*board.simulated}
        lines.append(SIMULATED if every else f"{', '.join(board.simulated)}: {_lower(SIMULATED)}")
    runs = f"{board.runs} run{'s' * (board.runs != 1)} of each"
    many = f"{board.scenarios} scenario{'s' * (board.scenarios != 1)}"
    lines.append(
        f"suite {board.suite}, {many}, {runs}, seed {board.seed}; sorted by "
        f"{board.definitions[board.by].title}; 95 % intervals over scenarios ({board.resamples} resamples)"
    )
    lines.append(
        "* is the best row of its column. = is a row that the data cannot tell from it: adjusted "
        f"p > {board.alpha:g}. p comes from exchanging the two rows within the scenarios in which both have "
        "a value; it is adjusted by Holm's method over the rows, times half their number since the same data "
        "pick the best one. A row without a mark is worse than the best, or was not compared."
    )
    return lines


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def board_table(board: Board) -> Table:
    """Return the rows and columns of the board."""
    notes: dict[str, int] = {}
    rows = tuple(
        (Cell(_label(row, notes)), *(_cell(board, row, column, notes) for column in board.columns))
        for row in board.rows
    )
    heads = tuple(_head(board, column, notes) for column in board.columns)
    return Table(
        "Leaderboard",
        ("model, cleaner, strategy", *heads),
        rows,
        tuple(notes),
        tuple(_definition(board, column) for column in board.columns),
    )


def absent_table(board: Board) -> Table:
    """Return which cells have no rows, and why."""
    rows = tuple(
        (Cell(visible(f"{cell.model} {cell.cleaner}")), Cell(visible(cell.why))) for cell in board.absent
    )
    return Table("Missing rows", ("model, cleaner", "why"), rows)


def _head(board: Board, column: Column, notes: dict[str, int]) -> str:
    marks = "".join(f" ({_number(notes, column.note)})" for _ in range(bool(column.note)))
    return visible(board.definitions[column.name].title) + _ARROW[column.better] + marks


def _label(row: BoardRow, notes: dict[str, int]) -> str:
    """Return what a row is called, with the mark of a run that a person edited."""
    if not row.edited:
        return visible(row.label)
    note = f"its run holds what a person edited or put there: {', '.join(row.edited)}"
    return f"{visible(row.label)} ({_number(notes, note)})"


def _number(notes: dict[str, int], note: str) -> int:
    return notes.setdefault(visible(note), len(notes) + 1)


def _definition(board: Board, column: Column) -> tuple[str, str]:
    told = board.definitions[column.name]
    return visible(told.title), visible(told.formula or told.doc).rstrip(".") + _WAY[column.better]


def _cell(board: Board, row: BoardRow, column: Column, notes: dict[str, int]) -> Cell:
    measure = row.measures.get(column.name, Measure(value=None, note="not measured"))
    if measure.value is None and measure.note.startswith(NEEDS):
        return Cell(visible(measure.note))
    text, interval = figure(measure, board.definitions[column.name].unit)
    marks = tuple(_number(notes, part) for part in measure.note.split("; ") if part)
    return Cell(text + _MARK[row.standings[column.name].mark], interval, marks)
