"""`opoi leaderboard`: strategies x cleaners x models, from one settings file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opoi.cli.options import debug

if TYPE_CHECKING:
    from opoi.measures.paired.board import Board

__all__ = ["STOPPED", "leaderboard"]

STOPPED = "\nstopped; what is finished is kept: the same command goes on where it stopped"
"""What an interrupt leaves."""


@click.command()
@click.argument("file", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the board.  [boards/FILE]"
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@debug
def leaderboard(*, file: Path, out: Path | None, quiet: bool) -> None:
    """Run strategies, cleaners and models against each other, and rank them.

    FILE.toml holds the settings of `opoi run --config` and a table that says what is varied:

    \b
    [leaderboard]
    models = ["stand-in", { name = "mine", model = "http://127.0.0.1:8000/v1" }]
    cleaners = ["C1", "C2", "rules.toml"]
    strategies = ["opoi", "opcd"]                    [those of the file]
    figures = ["accuracy_observable", "yield"]       the columns; -name: lower is better
    by = "accuracy_observable"                       the order of the rows

    Traces are generated once for each model, however many cleaners there are. The same command goes on where
    it stopped; what is added to the file later is all that is done then. The exit status is 1 where a model
    failed and its rows are missing.
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill
    from opoi.across.leaderboard import leaderboard as make
    from opoi.progress import watcher

    folder = out or Path("boards") / file.stem
    board = make(file, folder, progress=watcher(quiet=quiet))
    _write(board, folder)
    _show(board)
    for label, name in (
        ("table", "leaderboard.txt"),
        ("page", "leaderboard.html"),
        ("figures", "leaderboard.json"),
    ):
        click.echo(f"{label + ':':<9}{folder / name}")
    if board.absent:
        click.echo(f"{len(board.absent)} cells are missing; the same command tries them again", err=True)
        raise SystemExit(1)


def _write(board: Board, folder: Path) -> None:
    """Write the board: for programs, for a pager, for a browser."""
    import io

    import msgspec
    from rich.console import Console

    from opoi.report.board_page import render
    from opoi.report.leaderboard import print_board
    from opoi.store import encode, write_atomic

    page = io.StringIO()
    print_board(board, Console(file=page, width=132, no_color=True))
    write_atomic(folder / "leaderboard.json", [msgspec.json.format(encode(board), indent=1), b"\n"])
    write_atomic(folder / "leaderboard.txt", [page.getvalue().encode()])
    write_atomic(folder / "leaderboard.html", [render(board).encode()])


def _show(board: Board) -> None:
    from rich.console import Console

    from opoi.report.leaderboard import print_board

    print_board(board, Console(highlight=False))
