"""The runs behind a leaderboard: one folder for each model and cleaner, traces generated once for each model.

    DIR/runs/MODEL/CLEANER/         a run folder like any other
    DIR/runs/MODEL/.home.json       in which of them the traces of the model are generated

The home of a model is the folder of the cleaner that came first when the model was begun, and stays it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from opoi.across.grid import Cleaner, Grid, Player
from opoi.across.taking import take_over
from opoi.cleaning.levels import cleaner as load_cleaner
from opoi.errors import ArtefactError, OpoiError
from opoi.manifest import Manifest
from opoi.measures.paired.board import Absent
from opoi.models.endpoint.capabilities import Capabilities
from opoi.pipeline import STAGES, carry_out, check
from opoi.progress import Progress, Watch
from opoi.run import Run
from opoi.settings import Settings
from opoi.store import write_atomic

__all__ = ["Cells", "Done"]

_NAMES = tuple(STAGES)
_GENERATE = _NAMES[: _NAMES.index("generate") + 1]
_JUDGE = _NAMES[_NAMES.index("generate") + 1 :]
_ENDPOINT_NAMES = ("model_name", "corrector_name")


class Done(msgspec.Struct, frozen=True):
    """A cell that has its figures.

    Attributes:
        model: The model.
        cleaner: The cleaner.
        folder: Its run folder.
    """

    model: Player
    cleaner: Cleaner
    folder: Path


class Cells:
    """Carries out the runs of a grid.

    Args:
        grid: What is asked for.
        folder: Of the board.
        progress: Where to show how far it is.
    """

    def __init__(self, grid: Grid, folder: Path, progress: Progress) -> None:
        self._grid = grid
        self._folder = folder / "runs"
        self._progress = progress

    def check(self) -> None:
        """Check everything that can be checked without asking anyone. Nothing is written.

        Raises:
            OpoiError: Something cannot be had.
        """
        for player in self._grid.models:
            with closing(Run(self._folder / player.folder, player.settings)) as run:
                check(run)
                if not player.settings.endpoints:
                    run.cast.resolved()
        with closing(Run(self._folder, self._grid.models[0].settings)) as run:
            for cleaner in self._grid.cleaners:
                load_cleaner(cleaner.clean, suite=run.suite, agent=lambda: run.cast.agent, tools=(), seed=0)

    def carry_out(self) -> Iterator[Done | Absent]:
        """Carry out what is not done of every cell; yield what became of it, in the order of the grid.

        A cell that cannot be carried out is yielded as absent, and the others go on.
        """
        for at, player in enumerate(self._grid.models):
            yield from _Model(
                self._grid, player, self._folder, _Counted(self._progress, self._grid, at)
            ).cells()


class _Model:
    """The cells of one model."""

    def __init__(self, grid: Grid, player: Player, folder: Path, progress: _Counted) -> None:
        self._cleaners = grid.cleaners
        self._player = player
        self._folder = folder / player.folder
        self._progress = progress
        self._endpoints: dict[str, Capabilities] = {}
        self._settings = player.settings

    def cells(self) -> Iterator[Done | Absent]:
        """Carry out all cells; yield them in the order of the cleaners."""
        try:
            home = self._home()
            self._progress.at(home.name, self._place(home))
            self._generate(home)
        except OpoiError as error:
            self._progress.failed(self._player.name, error)
            yield from (self._absent(cleaner, error) for cleaner in self._cleaners)
            return
        found: dict[str, Done | Absent] = {}
        for cleaner in sorted(
            self._cleaners, key=lambda one: one.name != home.name
        ):  # the home knows scorers
            self._progress.at(cleaner.name, self._place(cleaner))
            found[cleaner.name] = self._judged(cleaner, home)
        yield from (found[cleaner.name] for cleaner in self._cleaners)

    def _place(self, cleaner: Cleaner) -> int:
        names = [one.name for one in self._cleaners]
        return names.index(cleaner.name) if cleaner.name in names else 0

    def _absent(self, cleaner: Cleaner, error: OpoiError) -> Absent:
        return Absent(model=self._player.name, cleaner=cleaner.name, why=error.line)

    def _judged(self, cleaner: Cleaner, home: Cleaner) -> Done | Absent:
        try:
            self._judge(cleaner, home)
        except OpoiError as error:
            self._progress.failed(f"{self._player.name} {cleaner.name}", error)
            return self._absent(cleaner, error)
        return Done(self._player, cleaner, self._folder / cleaner.name)

    # ------------------------------------------------------------ the home

    def _home(self) -> Cleaner:
        """Return the cleaner in whose folder the traces are generated; the first where none was chosen."""
        place = self._folder / ".home.json"
        try:
            name, clean = msgspec.json.decode(place.read_bytes(), type=tuple[str, str])
        except FileNotFoundError:
            home = self._cleaners[0]
            write_atomic(place, [msgspec.json.encode((home.name, home.clean)), b"\n"])
            return home
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArtefactError(
                f"{place} cannot be read",
                why=str(error),
                fix="write into it the name of the folder beside it with the traces, and its cleaner: "
                '["C2", "C2"]',
            ) from error
        listed = {one.name: one for one in self._cleaners}
        return listed.get(name, Cleaner(name, clean))

    def _generate(self, home: Cleaner) -> None:
        with closing(self._open(home)) as run:
            carry_out(run, _GENERATE)
            self._learn(run)

    # ------------------------------------------------------------ cells

    def _judge(self, cleaner: Cleaner, home: Cleaner) -> None:
        """Clean, export, score, measure and report."""
        with closing(self._open(cleaner)) as run:
            if cleaner.name != home.name:
                with run.locked():
                    self._take_over(run, self._folder / home.name)
            carry_out(run, _JUDGE)
            self._learn(run)

    def _take_over(self, run: Run, home: Path) -> None:
        arms = [f"traces/{arm.name}.jsonl" for arm in run.settings.arms()]
        for name in ("scenarios.jsonl", "rollouts.jsonl", "reviews.jsonl", *arms):
            if take_over(home, run.path, name):
                run.progress.say(f"{name} was edited by hand, kept")
        for scores in sorted((home / "scores").glob("*.jsonl")):  # most texts are the same: not scored again
            name = f"scores/{scores.name}"
            if not run.file(name).exists():
                take_over(home, run.path, name)

    def _open(self, cleaner: Cleaner) -> Run:
        """Return the run of a cell with the settings of the file, and what is known of its endpoints."""
        folder = self._folder / cleaner.name
        settings = msgspec.structs.replace(self._settings, clean=cleaner.clean)
        if not (folder / "manifest.json").exists():
            return Run(folder, settings, progress=self._progress, endpoints=self._endpoints)
        before = Manifest.load(folder)
        known = {**before.endpoints, **self._endpoints}
        run = Run(folder, _named(settings, before.settings), progress=self._progress, endpoints=known)
        run.opened = before.settings
        return run

    def _learn(self, run: Run) -> None:
        """Keep what only endpoints could tell, for the other cells of the model."""
        self._endpoints |= run.endpoints
        names = {name: getattr(run.settings, name) for name in _ENDPOINT_NAMES}
        self._settings = msgspec.structs.replace(self._settings, **names)


def _named(settings: Settings, before: Settings) -> Settings:
    """Return settings with the names of models that endpoints told before."""
    told = {}
    if not settings.model_name and settings.model == before.model:
        told["model_name"] = before.model_name
    if not settings.corrector_name and settings.corrector_model == before.corrector_model:
        told["corrector_name"] = before.corrector_name
    return msgspec.structs.replace(settings, **told)


class _Counted:
    """Progress that says before each line which cell of how many it is of."""

    def __init__(self, progress: Progress, grid: Grid, model: int) -> None:
        self._progress = progress
        self._model = grid.models[model].name
        self._first = model * len(grid.cleaners) + 1
        self._cells = len(grid.models) * len(grid.cleaners)
        self._head = ""

    def at(self, cleaner: str, place: int) -> None:
        """Go to a cell of the model."""
        self._head = f"[{self._first + place}/{self._cells} {self._model} {cleaner}]"

    def failed(self, what: str, error: OpoiError) -> None:
        """Say that cells are left out."""
        self._progress.say(f"{what}: left out: {error}")

    def start(self, stage: str, total: int) -> Watch:
        """A stage of the cell begins."""
        return self._progress.start(f"{self._head} {stage}", total)

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._progress.say(f"{self._head} {line}")
