"""The report in a terminal, and in a pipe: the same tables, complete at any width."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from opoi.measures.results import Results
from opoi.report.contents import report_tables
from opoi.report.tables import SIMULATED, Cell, Table, visible

__all__ = ["print_report", "print_table"]


_GAP = 2


def print_report(
    results: Results, console: Console, *, simulated: bool, about: str = "", every_figure: bool = True
) -> None:
    """Print the tables.

    A table that is wider than the console is printed in parts, each with the first column; where not even
    one figure fits next to it, one line per figure. Nothing is cut.

    Args:
        results: What to print.
        console: Where to.
        simulated: Whether a stand-in played the model; said first.
        about: What the run was, in one line: model, temperature, runs.
        every_figure: Whether to print the long table of all other figures too.
    """
    if simulated:
        console.print(Text(SIMULATED, style="bold"))
    many = f"{results.scenarios} scenarios ({results.common} kept by every data arm)"
    head = ", ".join(filter(None, [f"suite {visible(results.suite)}", many, visible(about)]))
    console.print(
        Text(
            f"{head}; 95 % intervals over scenarios: of shares Wilson's, clustered; of all else by "
            f"{results.resamples} bootstrap resamples, but where a footnote says so"
        )
    )
    for table in report_tables(results, every_figure=every_figure):
        print_table(table, console)


def print_table(table: Table, console: Console) -> None:
    """Print one table; in parts, or one line per figure, where it is too wide.

    Nothing in it can steer the terminal, whoever filled it.
    """
    table = _made_visible(table)
    console.print()
    console.print(Text(table.title, style="bold"))
    parts = _parts(table, console.width)
    for index, part in enumerate(parts):
        if index:
            console.print()
        console.print(_grid(table, part))
    if not parts:
        _print_turned(table, console)
    for number, note in enumerate(table.footnotes, start=1):
        console.print(Text(f"({number}) {note}", style="dim"))
    if table.legend:
        console.print()
        console.print(_legend(table.legend))


def _made_visible(table: Table) -> Table:
    rows = tuple(
        tuple(Cell(visible(cell.text), visible(cell.interval), cell.marks) for cell in row)
        for row in table.rows
    )
    heads, notes = map(visible, table.columns), map(visible, table.footnotes)
    legend = tuple((visible(name), visible(formula)) for name, formula in table.legend)
    return Table(visible(table.title), tuple(heads), rows, tuple(notes), legend)


def _legend(legend: Sequence[tuple[str, str]]) -> RichTable:
    """Return the definitions of figures, one below the other."""
    grid = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
    grid.add_column(style="dim", no_wrap=False, overflow="fold")
    grid.add_column(style="dim", overflow="fold")
    for name, formula in legend:
        grid.add_row(Text(name), Text(f"= {formula}"))
    return grid


def _parts(table: Table, width: int) -> list[list[int]]:
    """Return which columns to print side by side; nothing where the narrowest part is too wide."""
    label, parts = _width(table, 0), []
    room = 0
    for index in range(1, len(table.columns)):
        need = _GAP + _width(table, index)
        if label + need > width:
            return []
        if need > room:
            parts.append([0])
            room = width - label
        parts[-1].append(index)
        room -= need
    return parts


def _grid(table: Table, columns: list[int]) -> RichTable:
    grid = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for index in columns:
        grid.add_column(
            Text(table.columns[index]),
            justify="right" if index else "left",
            overflow="fold",
            width=_width(table, index),
        )
    for row in table.rows:
        grid.add_row(*(_text(row[index]) for index in columns))
    return grid


def _width(table: Table, index: int) -> int:
    """Return how wide a column must be so that no figure breaks inside: its longest line."""
    cells = [line for row in table.rows for line in _lines(row[index])]
    words = table.columns[index].split()
    return max(map(len, [*cells, *words]), default=1)


def _lines(cell: Cell) -> list[str]:
    marks = "".join(f" ({mark})" for mark in cell.marks)
    return [cell.text + marks, cell.interval] if cell.interval else [cell.text + marks]


def _text(cell: Cell) -> Text:
    return Text("\n".join(_lines(cell)))


def _print_turned(table: Table, console: Console) -> None:
    for row in table.rows:
        console.print(Text(row[0].full, style="bold"), overflow="fold")
        for head, cell in zip(table.columns[1:], row[1:], strict=True):
            console.print(Text(f"  {head}: {cell.full}"), overflow="fold")
