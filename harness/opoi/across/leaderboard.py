"""From a settings file to a board: carry out what is missing, read all figures, put the rows in order."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opoi.across.cells import Cells, Done
from opoi.across.fresh import edited
from opoi.across.grid import Grid, read_grid
from opoi.across.reading import MeasuredRun, read_run
from opoi.errors import ArtefactError, EndpointError, UsageError
from opoi.measures.paired.board import Absent, Board, BoardRow, Column, Standing
from opoi.measures.paired.inference import ALPHA
from opoi.measures.paired.standing import NOT_PAIRED, in_order, standings
from opoi.measures.results import ArmResult, Definition
from opoi.progress import Progress, Quiet
from opoi.store import read
from opoi.types import Trace

__all__ = ["leaderboard"]


def leaderboard(file: Path, folder: Path, *, progress: Progress | None = None) -> Board:
    """Carry out what is missing of a board, and return it.

    Args:
        file: Settings file; see `opoi.across.grid.read_grid`.
        folder: Of the board: run folders are made and taken up below it.
        progress: Where to show how far it is.

    Raises:
        UsageError: The file does not fit, or another process works on the folder.
        EndpointError: Not one cell could be carried out.
        OpoiError: Something that the file names cannot be had.
    """
    grid = read_grid(file)
    _refuse_run(folder)
    cells = Cells(grid, folder, progress or Quiet())
    cells.check()
    with _locked(folder):
        entries, absent = _entries(list(cells.carry_out()))
    if not entries:
        raise EndpointError(
            "not one cell of the board could be carried out",
            why=absent[0].why,
            fix="mend that; the same command goes on where it stopped",
        )
    return _board(grid, entries, absent)


def _refuse_run(folder: Path) -> None:
    if (folder / "manifest.json").exists():
        raise UsageError(
            f"{folder} is the folder of a run, not of a board",
            fix="choose another --out; a board makes run folders of its own",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from working on a board at the same time.

    Raises:
        UsageError: Another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another opoi works on {folder}", fix="wait until it has ended, or choose another --out"
            ) from error
        yield


# ---------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row to be, and where its figures are."""

    cell: Done
    arm: ArmResult
    run: MeasuredRun
    played: str
    edited: tuple[str, ...]


def _entries(cells: Sequence[Done | Absent]) -> tuple[list[_Entry], list[Absent]]:
    """Return the rows: every strategy of every cell, and of each model the unsteered arm of one cell.

    Returns:
        The rows, and the cells that have none: not carried out, or with figures that cannot be used.
    """
    entries: list[_Entry] = []
    absent: list[Absent] = []
    shown: set[str] = set()
    for cell in cells:
        if isinstance(cell, Absent):
            absent.append(cell)
            continue
        try:
            run, played, changed = read_run(cell.folder), _played(cell.folder), edited(cell.folder)
        except ArtefactError as error:
            absent.append(Absent(model=cell.model.name, cleaner=cell.cleaner.name, why=error.line))
            continue
        made = {arm.name for arm in cell.model.settings.arms()}
        wanted = made if cell.model.name in shown else {*made, "base"}
        shown.add(cell.model.name)
        entries += [_Entry(cell, arm, run, played, changed) for arm in run.results.arms if arm.name in wanted]
    return entries, absent


def _played(folder: Path) -> str:
    """Return what the traces say who the model was."""
    first = next(read(folder / "rollouts.jsonl", Trace), None)
    return first.model if first is not None else ""


def _board(grid: Grid, entries: Sequence[_Entry], absent: Sequence[Absent]) -> Board:
    results, settings = entries[0].run.results, entries[0].cell.model.settings
    definitions = _definitions(grid, entries)
    shared = _shared(entries)
    columns, places = [], []
    for name, way in grid.figures:
        values = [_value(entry, name) for entry in entries]
        why_not = _why_not_compared(definitions[name], shared)
        if not why_not:
            parts = [entry.run.column(entry.arm.name, name, shared) for entry in entries]
            column, found = standings(
                name, values, parts, way=way, seed=results.seed, resamples=settings.resamples
            )
        else:
            column, found = Column(name=name, better=way, note=why_not), [Standing() for _ in entries]
        columns.append(column)
        places.append(found)
    order = in_order([_value(entry, grid.by[0]) for entry in entries], grid.by[1])
    names = [name for name, _ in grid.figures]
    return Board(
        suite=results.suite,
        scenarios=results.scenarios,
        runs=settings.runs,
        seed=results.seed,
        resamples=results.resamples,
        alpha=ALPHA,
        by=grid.by[0],
        columns=tuple(columns),
        rows=tuple(
            _row(entries[at], dict(zip(names, [found[at] for found in places], strict=True))) for at in order
        ),
        absent=tuple(absent),
        definitions=definitions,
    )


def _why_not_compared(definition: Definition, shared: Sequence[str]) -> str:
    if not definition.parts:
        return NOT_PAIRED
    return "" if shared else "the rows share no scenario: they cannot be paired"


def _definitions(grid: Grid, entries: Sequence[_Entry]) -> dict[str, Definition]:
    """Return the definitions of all figures, those of the first row winning.

    Raises:
        ArtefactError: A figure that the board is to show was measured in no run.
    """
    found: dict[str, Definition] = {}
    for entry in entries:
        found = {**entry.run.results.definitions, **found}
    for name in (*(name for name, _ in grid.figures), grid.by[0]):
        if name not in found:
            folder = entries[0].cell.folder
            raise ArtefactError(
                f"the figure {name!r} was not measured",
                why="the runs were measured by a version that did not know it",
                fix=f"opoi measure {folder} --force, and so for every other run of the board",
            )
    order = entries[0].run.results.definitions
    return {name: found[name] for name in (*order, *sorted(found.keys() - order.keys()))}


def _shared(entries: Sequence[_Entry]) -> list[str]:
    """Return the scenarios that all rows share, sorted; one pairs with itself by id and by its world."""
    worlds = [entry.run.worlds for entry in entries]
    return sorted(name for name, world in worlds[0].items() if all(one.get(name) == world for one in worlds))


def _value(entry: _Entry, figure: str) -> float | None:
    measure = entry.arm.measures.get(figure)
    return measure.value if measure is not None else None


def _row(entry: _Entry, found: dict[str, Standing]) -> BoardRow:
    return BoardRow(
        model=entry.cell.model.name,
        played=entry.played,
        simulated=entry.played.startswith("stand-in"),
        cleaner=entry.cell.cleaner.name,
        strategy=entry.arm.name,
        attempted=entry.arm.attempted,
        kept=entry.arm.kept,
        drops=entry.arm.drops,
        measures=entry.arm.measures,
        standings=found,
        edited=entry.edited,
    )
