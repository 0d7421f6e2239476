"""What is known about the traces of a file besides the file: the run that they come from."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from opoi.cleaning.engine import Reader
from opoi.errors import UsageError
from opoi.lab.decisions import LooseReader
from opoi.leakage.known import Known
from opoi.registry import load_suite
from opoi.store import Index
from opoi.types import Review, Scenario, ToolSpec, Trace

__all__ = ["PROSE", "Background"]

T = TypeVar("T")

PROSE = ("reasoning", "rationale", "explanation", "thought", "thoughts", "analysis", "comment")
"""Keys of a decision object that are taken for prose where nothing says which ones are."""


_PARTS = ("scenarios.jsonl", "reviews.jsonl", "rollouts.jsonl")


class _Settings(msgspec.Struct, frozen=True):
    suite: str = ""


class _Manifest(msgspec.Struct, frozen=True):
    settings: _Settings = _Settings()


def run_of(path: Path) -> Path | None:
    """Return the run folder that a file or folder belongs to, itself included; None where there is none."""
    resolved = path.resolve()
    here = [resolved, *resolved.parents][:3]
    return next((folder for folder in here if (folder / "manifest.json").is_file()), None)


class Background:
    """Looks up what is known about a trace.

    Args:
        run: Folder with `scenarios.jsonl`, `reviews.jsonl` and `rollouts.jsonl`, as far as they are there;
            None for traces of unknown origin.
        suite: Reference of the suite; `""` takes the one that the run's manifest names.
        prose: Keys of a decision object that hold prose; none takes the suite's, or the usual ones.

    Raises:
        OpoiError: A file of the run is damaged, or the suite cannot be loaded.
    """

    def __init__(self, run: Path | None = None, *, suite: str = "", prose: tuple[str, ...] = ()) -> None:
        self.run = run
        manifest = run / "manifest.json" if run else None
        if not suite and manifest is not None and manifest.is_file():
            suite = msgspec.json.decode(manifest.read_bytes(), type=_Manifest).settings.suite
        self.suite = load_suite(suite) if suite else None
        self.prose = prose or (tuple(self.suite.prose) if self.suite else PROSE)
        self.reader: Reader = self.suite or LooseReader(self.prose)
        self._of_scenario = lru_cache(maxsize=16)(self._look_up)

    @classmethod
    def of(
        cls, source: Path, run: Path | None, *, suite: str = "", prose: tuple[str, ...] = ()
    ) -> Background:
        """Return what is known about the traces of a file.

        Args:
            source: The file, or a folder of files.
            run: The run that they come from; None for the one that holds them, if any does.
            suite: As for the class.
            prose: As for the class.

        Raises:
            UsageError: The run that was named is none.
        """
        if run is not None and not any((run / name).is_file() for name in _PARTS):
            raise UsageError(
                f"there is no run in {run}",
                why=f"it holds none of {', '.join(_PARTS)}",
                fix="name the folder that `opoi run --out` wrote, or leave --run out",
            )
        return cls(run or run_of(source), suite=suite, prose=prose)

    @cached_property
    def _scenarios(self) -> Index[Scenario] | None:
        return _index(self.run, "scenarios.jsonl", Scenario, "id")

    @cached_property
    def _reviews(self) -> Index[Review] | None:
        return _index(self.run, "reviews.jsonl", Review, "scenario_id")

    @cached_property
    def _base(self) -> Index[Trace] | None:
        return _index(self.run, "rollouts.jsonl", Trace, "scenario_id")

    def known(self, trace: Trace) -> Known:
        """Return what is known about a trace."""
        return self._of_scenario(trace.scenario_id)

    @property
    def offers(self) -> set[str]:
        """Names of the fields of `Known` that there is something for."""
        there = {
            "scenario": self._scenarios,
            "verdict": self._reviews,
            "base": self._base,
            "suite": self.suite,
            "prose": self.prose,
        }
        return {name for name, value in there.items() if value}

    def tools(self, trace: Trace) -> tuple[ToolSpec, ...]:
        """Return what the agent of a trace could call, as far as the suite can tell."""
        scenario = self.known(trace).scenario
        return tuple(self.suite.env(scenario).tools) if self.suite and scenario else ()

    def _look_up(self, scenario: str) -> Known:
        scenarios = self._scenarios.get(scenario) if self._scenarios else []
        reviews = self._reviews.get(scenario) if self._reviews else []
        return Known(
            scenario=scenarios[0] if scenarios else None,
            verdict=reviews[0].verdict if reviews else None,
            base=tuple(self._base.get(scenario)) if self._base else (),
            suite=self.suite,
            prose=self.prose,
        )


def _index(run: Path | None, name: str, kind: type[T], key: str) -> Index[T] | None:
    path = run / name if run else None
    return Index(path, kind, key=key) if path is not None and path.is_file() else None
