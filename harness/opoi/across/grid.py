"""What a leaderboard is made of, from its settings file: models x cleaners x strategies, figures, order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from opoi.errors import UnknownNameError, UsageError
from opoi.measures.figures.common import accuracy_observable_common, js_excess_common
from opoi.measures.figures.standard import STANDARD
from opoi.measures.paired.board import FIGURES, Better, better
from opoi.settings import Settings, merge, read_table

__all__ = ["Cleaner", "Grid", "Player", "read_grid"]

_TABLE = "leaderboard"
_BY = "accuracy_observable"


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `models`: a name, and the settings in which its runs differ from the rest of the file."""

    model: str
    name: str = ""
    model_name: str | None = None
    corrector_model: str | None = None
    corrector_name: str | None = None
    scorers: tuple[str, ...] | None = None
    endpoint: dict[str, Any] | None = None


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[leaderboard]`."""

    strategies: tuple[str, ...] | None = None
    cleaners: tuple[str, ...] | None = None
    models: tuple[str | _Entry, ...] | None = None
    figures: tuple[str, ...] = FIGURES
    by: str = ""


@dataclass(frozen=True, slots=True)
class Player:
    """One model of the board.

    Attributes:
        name: How the board calls it.
        folder: Name of its folder.
        settings: Of its runs, whatever they are cleaned by.
    """

    name: str
    folder: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Cleaner:
    """One way of cleaning.

    Attributes:
        name: How the board calls it; the name of its folder, too.
        clean: Level, or path of a rule file.
    """

    name: str
    clean: str


@dataclass(frozen=True, slots=True)
class Grid:
    """What a settings file asks for.

    Attributes:
        models: In the order of the file.
        cleaners: In the order of the file.
        figures: The columns, with the way in which each is better.
        by: The figure by which rows are sorted, and the way.
    """

    models: tuple[Player, ...]
    cleaners: tuple[Cleaner, ...]
    figures: tuple[tuple[str, Better], ...]
    by: tuple[str, Better]


def read_grid(path: Path) -> Grid:
    """Return what a settings file asks for.

    The file holds the settings of `opoi run --config`, and a table `[leaderboard]` with `strategies`,
    `cleaners`, `models`, `figures` and `by`; what that leaves out is as the settings say.

    Raises:
        UsageError: The file is missing, is not TOML, or holds a key or value that does not fit.
    """
    values = read_table(path)
    table = _table(values.pop(_TABLE, {}), path)
    if table.strategies is not None:
        values["strategies"] = list(table.strategies)
    base = merge(values, {}, source=str(path))
    models = table.models if table.models is not None else (base.model,)
    cleaners = table.cleaners if table.cleaners is not None else (base.clean,)
    _some("models", models)
    _some("cleaners", cleaners)
    figures = tuple(_figure(entry) for entry in table.figures)
    _some("figures", figures)
    _once("figure", [name for name, _ in figures])
    return Grid(
        models=_players(values, models, path),
        cleaners=_cleaners(values, cleaners, path),
        figures=figures,
        by=_by(table.by, figures),
    )


def _table(found: object, path: Path) -> _Table:
    """Return the table `[leaderboard]`, checked; an unknown key comes with the nearest known one."""
    source = f"[{_TABLE}] of {path}"
    if not isinstance(found, dict):
        raise UsageError(f"`{_TABLE}` in {path} is no table", fix=f"begin it with a line [{_TABLE}]")
    _known(found, _Table.__struct_fields__, source)
    models = found.get("models")
    for entry in models if isinstance(models, list) else ():
        if isinstance(entry, dict):
            _known(entry, _Entry.__struct_fields__, f"models of {source}")
    try:
        return msgspec.convert(found, _Table)
    except msgspec.ValidationError as error:
        raise UsageError(f"a value in {source} does not fit", why=str(error)) from error


def _known(found: Mapping[str, object], known: Sequence[str], source: str) -> None:
    for key in found:
        if key not in known:
            raise UnknownNameError(f"key in {source}:", key, known)


def _some(what: str, entries: Sequence[object]) -> None:
    if not entries:
        raise UsageError(f"a board without {what}", fix=f"name at least one in {what} = [...]")


def _once(what: str, names: Iterable[str], *, why: str = "", fix: str = "leave one out") -> None:
    """Refuse two names that a file system might take for one."""
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            raise UsageError(f"the {what} {name!r} is named twice", why=why, fix=fix)
        seen[name.casefold()] = name


# ---------------------------------------------------------------- models and cleaners


def _players(values: dict[str, Any], models: Iterable[str | _Entry], path: Path) -> tuple[Player, ...]:
    players = [_player(values, entry, path) for entry in models]
    _once(
        "model",
        [player.folder for player in players],
        why="each has a folder of that name",
        fix='name them apart: models = [{ name = "...", model = "..." }, ...]',
    )
    return tuple(players)


def _player(values: dict[str, Any], entry: str | _Entry, path: Path) -> Player:
    one = entry if isinstance(entry, _Entry) else _Entry(model=entry)
    over = {
        key: value
        for key in _Entry.__struct_fields__
        if key != "name" and (value := getattr(one, key)) is not None
    }
    settings = merge(values, over, source=f"{path}, model {one.name or one.model}")
    name = one.name or _name_of(settings)
    return Player(name=name, folder=_folder(name), settings=settings)


def _name_of(settings: Settings) -> str:
    """Return a name for a model that has none: what is particular about its reference."""
    if settings.remote:
        return settings.model_name or settings.model.partition("://")[2].rstrip("/")
    head, _, tail = settings.model.rpartition(":")
    return (Path(tail).stem if tail.endswith(".toml") else tail) if head else settings.model


def _folder(name: str) -> str:
    """Return a name as that of a folder.

    Raises:
        UsageError: Nothing is left of it.
    """
    folder = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    if not folder:
        raise UsageError(
            f"{name!r} cannot be the name of a folder", fix="give it a name with letters or digits"
        )
    return folder


def _cleaners(values: dict[str, Any], cleaners: Iterable[str], path: Path) -> tuple[Cleaner, ...]:
    found = []
    for clean in cleaners:
        merge(values, {"clean": clean}, source=f"cleaners of [{_TABLE}] of {path}")
        found.append(Cleaner(_folder(Path(clean).stem if clean.endswith(".toml") else clean), clean))
    _once(
        "cleaner",
        [cleaner.name for cleaner in found],
        why="rule files go by their names without folder and ending",
        fix="leave one out, or rename the file",
    )
    return tuple(found)


# ---------------------------------------------------------------- figures


def _figure(entry: str) -> tuple[str, Better]:
    """Return the figure that an entry names, and the way in which it is better: `-name`, `+name`, `name`.

    Raises:
        UnknownNameError: No run has it.
    """
    name = entry.lstrip("+-")
    known = {metric.name for metric in (*STANDARD, accuracy_observable_common, js_excess_common)}
    if name not in known:
        raise UnknownNameError("figure", name, known)
    signs: dict[str, Better] = {"-": "lower", "+": "higher"}
    return name, signs.get(entry[:1]) or better(name)


def _by(entry: str, figures: Sequence[tuple[str, Better]]) -> tuple[str, Better]:
    """Return by what to sort: what the file says, else accuracy, else the first column."""
    if not entry:
        ways = dict(figures)
        return (_BY, ways[_BY]) if _BY in ways else figures[0]
    name, way = _figure(entry)
    return name, way if entry[0] in "+-" else dict(figures).get(name, way)
