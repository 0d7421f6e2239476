"""Reading what a comparison needs of a run: its figures by scenario, and what made them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from opoi.across.fresh import check_fresh
from opoi.errors import ArtefactError, UnknownNameError
from opoi.intervals import Floats
from opoi.measures.results import ArmResult, Results
from opoi.measures.units import UnitRow
from opoi.store import read

__all__ = ["MeasuredRun", "flat", "read_run", "source_of"]

T = TypeVar("T")

_IRRELEVANT = (
    "concurrency",
    "max_calls",
    "max_tokens_total",
    "prices",
    "endpoint.api_key_env",
    "strategies",
)
"""Settings on which no result of a named arm depends."""

_MANIFEST = "manifest.json"

_TOLERANCE = 1e-9
"""By how much of its denominator a share may leave 0 to 1, by rounding."""

_SAME = 1e-6
"""Relative distance within which a figure of `measures.json` is that of its parts."""


class _Manifest(msgspec.Struct):
    """The parts of a manifest that are shown; whatever version wrote it."""

    settings: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    versions: dict[str, str] = {}


@dataclass(frozen=True, eq=False, slots=True)
class _Columns:
    """Numerators and denominators of one figure, one for each line that was read."""

    above: array[float]
    below: array[float]

    def put(self, place: int, pair: tuple[float, float]) -> None:
        """Add the pair of a line; lines in between contribute nothing."""
        if place > len(self.above):
            gap = [0.0] * (place - len(self.above))
            self.above.extend(gap)
            self.below.extend(gap)
        self.above.append(pair[0])
        self.below.append(pair[1])


class MeasuredRun:
    """A run that was measured.

    Args:
        folder: The run folder.
        manifest: What made the run.
        results: Its figures.
        rows: The figures of its scenarios.

    Attributes:
        name: The folder, as it was given.
        results: Its figures.
        worlds: Digest of the world by id of the scenario.
    """

    def __init__(self, folder: Path, manifest: _Manifest, results: Results, rows: Iterator[UnitRow]) -> None:
        self.name = str(folder)
        self.results = results
        self.worlds: dict[str, str] = {}
        self._manifest = manifest
        self._columns: dict[str, dict[str, _Columns]] = {}
        self._places: dict[str, int] = {}
        for row in rows:
            self._add(row)
        self._check()

    def _add(self, row: UnitRow) -> None:
        if row.scenario_id in self._places:
            raise ArtefactError(
                f"{self.name} has scenario {row.scenario_id!r} twice in units.jsonl",
                why="every figure takes a scenario as one unit",
                fix=f"opoi measure {self.name} --force",
            )
        place = self._places[row.scenario_id] = len(self._places)
        self.worlds[row.scenario_id] = row.world
        for arm, figures in row.arms.items():
            columns = self._columns.setdefault(arm, {})
            for name, pair in figures.items():
                if name not in columns:
                    columns[name] = _Columns(array("d"), array("d"))
                columns[name].put(place, pair)

    # ------------------------------------------------------------ what cannot be

    def _check(self) -> None:
        """Refuse parts that cannot be those of their figures.

        Raises:
            ArtefactError: They cannot.
        """
        told, here = self.results.scenarios, len(self._places)
        if told != here:
            raise self._unfit(f"has {_scenarios(here)} in units.jsonl, and {told} by measures.json")
        for arm, columns in self._columns.items():
            for name, column in columns.items():
                self._check_column(arm, name, column)
        for result in self.results.arms:
            for name, measure in result.measures.items():
                definition = self.results.definitions.get(name)
                if measure.value is not None and definition is not None and definition.parts:
                    self._check_value(result.name, name, measure.value)

    def _check_column(self, arm: str, name: str, column: _Columns) -> None:
        above, below = np.frombuffer(column.above), np.frombuffer(column.below)
        definition = self.results.definitions.get(name)
        wrong = ~np.isfinite(above) | ~np.isfinite(below) | (below < 0)
        if definition is not None and definition.parts and definition.unit == "share":
            room = _TOLERANCE * np.maximum(1.0, below)
            wrong |= (above < -room) | (above > below + room)
        if wrong.any():
            at = int(np.argmax(wrong))
            scenario = next(key for key, place in self._places.items() if place == at)
            raise self._unfit(
                f"has {above[at]:g} / {below[at]:g} as {name} of {arm} in scenario {scenario!r}",
                why="units.jsonl cannot be right: a share lies in 0 to 1, no denominator is below 0, and "
                "every number is finite",
            )

    def _check_value(self, arm: str, name: str, value: float) -> None:
        column = self._columns.get(arm, {}).get(name)
        under = math.fsum(column.below) if column is not None else 0.0
        ratio = math.fsum(column.above) / under if column is not None and under else math.nan
        if not math.isclose(ratio, value, rel_tol=_SAME, abs_tol=_SAME):
            raise self._unfit(
                f"has {value:g} as {name} of {arm} in measures.json, and {ratio:g} by units.jsonl",
            )

    def _unfit(self, what: str, *, why: str = "the two are not of one walk over the traces") -> ArtefactError:
        return ArtefactError(f"{self.name} {what}", why=why, fix=f"opoi measure {self.name} --force")

    # ------------------------------------------------------------ arms

    @property
    def data_arms(self) -> list[str]:
        """Names of the arms that have traces, the unsteered one first."""
        return [arm.name for arm in self.results.arms if arm.kind == "data"]

    @property
    def base_size(self) -> tuple[int, int]:
        """Scenarios of the run, and traces that its unsteered arm tried to make."""
        return self.results.scenarios, next(arm.attempted for arm in self.results.arms)

    def arm(self, name: str) -> ArmResult:
        """Return the figures of an arm.

        Raises:
            UnknownNameError: There is none of that name.
        """
        for arm in self.results.arms:
            if arm.name == name:
                return arm
        raise UnknownNameError(f"arm of {self.name}", name, [arm.name for arm in self.results.arms])

    def figures(self, arm: str) -> list[str]:
        """Return the names of figures to which some scenario of an arm contributes."""
        return list(self._columns.get(arm, {}))

    def column(self, arm: str, figure: str, ids: Sequence[str]) -> tuple[Floats, Floats]:
        """Return numerators and denominators of a figure, each of shape `(len(ids),)`.

        Args:
            arm: Name of the arm.
            figure: Name of the figure; zeros where the arm does not have it.
            ids: Scenarios of this run.
        """
        found = self._columns.get(arm, {}).get(figure)
        if found is None:
            return np.zeros(len(ids)), np.zeros(len(ids))
        rows = [self._places[item] for item in ids]
        return _take(found.above, rows), _take(found.below, rows)

    # ------------------------------------------------------------ what made it

    def facts(self, arms: Collection[str] = ()) -> dict[str, str]:
        """Return everything that made the run, flat: settings, what they come down to, versions.

        Args:
            arms: Whose strategies to tell; what others are made of bears on none of their figures.
        """
        written = {**self._manifest.settings, "strategy": _of(arms, self._manifest.settings, "strategy")}
        settings = {
            name: value
            for name, value in flat(written).items()
            if not any(name == key or name.startswith(f"{key}.") for key in _IRRELEVANT)
        }
        made = {**self._manifest.resolved, "strategies": _of(arms, self._manifest.resolved, "strategies")}
        once = {key: made[key] for key in made if key != "corrector" or made[key] != made.get("agent")}
        resolved = {f"resolved.{name}": value for name, value in flat(once).items()}
        versions = {f"version.{name}": value for name, value in self._manifest.versions.items()}
        return {**settings, **resolved, **versions}

    @property
    def scorer(self) -> str:
        """Name of the model whose log-probabilities the `forced_*` figures are, `""` where none was asked."""
        confidence = self.results.confidence
        return confidence.scorers[0] if confidence is not None and confidence.scorers else ""

    @property
    def simulated(self) -> bool:
        """Whether an embedded model acted as the agent, so that the figures say nothing of a real one."""
        return flat(self._manifest.resolved).get("agent", "").startswith("stand-in")

    def strategy(self, arm: str) -> dict[str, str]:
        """Return the strategy of an arm and its fields, flat; nothing for the unsteered arm."""
        tables = self._manifest.settings.get("strategy", {})
        use = (
            tables.get(arm, {}).get("use", arm)
            if arm in self._manifest.settings.get("strategies", ())
            else ""
        )
        fields = self._manifest.resolved.get("strategies", {}).get(arm, {})
        return flat({"strategy": {"use": use, **fields}}) if use or fields else {}


def _of(arms: Collection[str], tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the part of a table of strategies that belongs to some arms."""
    return {name: fields for name, fields in (tables.get(key) or {}).items() if name in arms}


def _scenarios(count: int) -> str:
    return f"{count} scenario{'s' * (count != 1)}"


def _take(column: array[float], rows: Sequence[int]) -> Floats:
    values = np.frombuffer(column, dtype=np.float64)
    padded = np.append(values, np.zeros(max(rows, default=0) + 1))
    return np.asarray(padded[np.array(rows, dtype=np.int64)], dtype=np.float64)


def flat(values: Mapping[str, Any], head: str = "") -> dict[str, str]:
    """Return nested values by their path with dots; a list of plain values is one value.

    >>> flat({"a": {"b": 1}, "c": ["x", "y"], "d": ["m", {"e": True}]})
    {'a.b': '1', 'c': 'x, y', 'd': 'm', 'd.e': 'true'}
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        path = f"{head}{key}"
        parts = value if isinstance(value, list) else [value]
        plain = [part for part in parts if not isinstance(part, dict | list)]
        if plain or not parts:
            found[path] = ", ".join(map(_word, plain))
        for part in parts:
            if isinstance(part, dict):
                found |= flat(part, f"{path}.")
    return found


def _word(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# ---------------------------------------------------------------- from disk


def source_of(text: str) -> tuple[Path, str]:
    """Return the run folder and the arm that `FOLDER` or `FOLDER:ARM` names; `""` for no arm."""
    folder, colon, arm = text.rpartition(":")
    if not colon or (Path(text) / _MANIFEST).is_file():
        return Path(text), ""
    return Path(folder), arm


def read_run(folder: Path) -> MeasuredRun:
    """Return the run in a folder.

    Raises:
        ArtefactError: There is no run, it was not measured, a file of it cannot be read, or its figures are
            not those of the files that are there now.
    """
    manifest = _decode(
        folder / _MANIFEST,
        _Manifest,
        missing="there is no run in it",
        fix="name a folder that `opoi run` made",
        mend="undo the edit",
    )
    measure = f"opoi measure {folder}"
    again = f"{measure} --force"  # of another version or edited by hand: up to date by its receipt
    results = _decode(
        folder / "measures.json", Results, missing="the run was not measured", fix=measure, mend=again
    )
    units = folder / "units.jsonl"
    if not units.is_file():
        raise ArtefactError(
            f"{units} is missing",
            why="figures of single scenarios are what is compared, and the run was measured without them",
            fix=again,
        )
    check_fresh(folder)
    return MeasuredRun(folder, manifest, results, read(units, UnitRow))


def _decode(path: Path, kind: type[T], *, missing: str, fix: str, mend: str) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtefactError(f"{path} is missing", why=missing, fix=fix) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} cannot be read", why=str(error), fix=mend) from error
