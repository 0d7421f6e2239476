"""`--calibrate` of `opoi leaks` and `opoi clean`: detectors and rules, measured on planted leaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opoi.cleaning.book import Book
from opoi.cleaning.engine import clean
from opoi.cleaning.library import load_rules
from opoi.cleaning.rules import RemoveNote
from opoi.lab.calibrate import calibrate
from opoi.lab.calibration_tables import calibration_tables
from opoi.lab.collateral import Cleaner, collateral, collateral_tables
from opoi.lab.leaks import chosen
from opoi.leakage.detectors import DETECTORS
from opoi.leakage.finders import finders
from opoi.leakage.known import Known
from opoi.progress import watcher
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.report.tables import Table
from opoi.report.terminal import print_table
from opoi.store import encode, write_atomic
from opoi.types import Cleaned, Trace

__all__ = ["calibrate_detectors", "calibrate_rules", "rules_as_cleaner"]


def calibrate_detectors(
    suite: str,
    n: int,
    seed: int,
    *,
    detectors: Sequence[str],
    difficulties: bool,
    json: Path | None,
    quiet: bool,
) -> None:
    """Measure the detectors on planted leaks; print the tables.

    Args:
        suite: Reference of the suite whose traces are planted.
        n: Traces of each kind.
        seed: Seed of worlds and plants.
        detectors: Their ids, none for all.
        difficulties: Whether each difficulty has a row of its own.
        json: File for the figures, None for none.
        quiet: Show no progress.

    Raises:
        UnknownNameError: There is no such detector.
    """
    found = calibrate(
        chosen(detectors), suite=load_suite(suite), seed=seed, n=n, progress=watcher(quiet=quiet)
    )
    _print(calibration_tables(found, difficulties=difficulties))
    if json is not None:
        write_atomic(json, [encode(found) + b"\n"])


def calibrate_rules(references: Sequence[str], suite: str, n: int, seed: int, *, quiet: bool) -> None:
    """Measure what rules leave of planted leaks and what they break; print the tables.

    Args:
        references: Of rules, see `opoi.cleaning.library.load_rules`.
        suite: Reference of the suite whose traces are planted.
        n: Traces of each kind.
        seed: Seed of worlds and plants.
        quiet: Show no progress.

    Raises:
        OpoiError: The rules are not there, or do not fit.
    """
    world = load_suite(suite)
    cleaner = rules_as_cleaner(references, world)
    found = collateral(
        cleaner, suite=world, seed=seed, n=n, detectors=DETECTORS, progress=watcher(quiet=quiet)
    )
    _print(collateral_tables(found, difficulties=False))


def rules_as_cleaner(references: Sequence[str], suite: Suite) -> Cleaner:
    """Return what cleans one trace with rules, given what is known about it."""
    library = load_rules(references)
    current: list[Known] = [Known()]
    book = Book(library.named, prose=suite.prose, finders=finders(lambda _: current[0]), id=library.name)
    rules = (book, *library.python, RemoveNote())

    def cleaner(trace: Trace, known: Known) -> Cleaned:
        current[0] = known
        return clean(trace, rules, level=library.name, suite=suite)

    return cleaner


def _print(tables: Sequence[Table]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        print_table(table, console)
