"""`opoi compare`: runs, or arms of runs, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opoi.cli.options import debug
from opoi.errors import OpoiError, UnknownNameError, UsageError, visible

if TYPE_CHECKING:
    from opoi.measures.paired.differences import Comparisons

__all__ = ["compare"]


@click.command()
@click.argument("runs", metavar="RUN_A RUN_B ...", nargs=-1)
@click.option(
    "--primary",
    metavar="A,B",
    help="Figures that decide; their p is adjusted for being several.  [accuracy_observable, consensus_pair, "
    "forced_logprob, hindsight_claims, as far as they were measured]",
)
@click.option("--figures", metavar="A,B", help="Which figures to show.  [all]")
@click.option("--resamples", type=click.IntRange(100), default=10_000, help="Resamples.  [10000]")
@click.option("--seed", type=int, default=0, help="Seed of the resamples.  [0]")
@click.option(
    "--fail-on",
    metavar="FIGURE:lower|higher",
    multiple=True,
    help="Exit with status 1 where the figure of B is significantly lower (higher); may be repeated.",
)
@click.option("--json", "json_", metavar="FILE|-", help="Write everything as JSON; `-` prints it instead.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@debug
def compare(
    *,
    runs: tuple[str, ...],
    primary: str | None,
    figures: str | None,
    fail_on: tuple[str, ...],
    json_: str | None,
    quiet: bool,
    **draws: Any,
) -> None:
    """Compare measured runs with the first one, scenario by scenario.

    Each RUN is a run folder, or FOLDER:ARM for one of its arms. Scenarios pair by id and world, so the runs
    need the same suite and seed; what else differs between them is listed. For every figure: both values, the
    difference with a 95 % interval, p, and a verdict, or how many scenarios a verdict would take.

    The exit status is 0, whatever was found. With --fail-on it is 1 where a named figure is worse, 2 where
    that could not be told.

    \b
    opoi compare runs/before runs/after               arms of the same name
    opoi compare runs/one:opoi runs/one:opcd          two arms of one run
    opoi compare runs/a runs/b runs/c                 each against the first
    opoi compare A B --fail-on accuracy_observable:lower
                                                      a gate for CI
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill
    from opoi.across import compare as compare_runs
    from opoi.progress import watcher

    gates = [_gate(text) for text in fail_on]
    shown = _names(figures or "")
    if json_ not in (None, "-"):
        _check_place(Path(json_))
    watch = watcher(quiet=quiet or json_ == "-").start("compare", 0)
    try:
        found = compare_runs(
            runs,
            primary=None if primary is None else _names(primary),
            figures=[*shown, *(name for name, _ in gates)] if shown else (),
            progress=lambda _: watch.advance(),
            **draws,
        )
        broken = [line for name, worse in gates for line in _broken(found, name, worse)]
    except OpoiError as error:
        error.exit_code = 2 if gates else error.exit_code  # 1 is what a gate says, and nothing else
        raise
    finally:
        watch.close()
    if json_ != "-":
        from rich.console import Console

        from opoi.report.comparison import print_comparisons

        print_comparisons(found, Console(highlight=False))
    if json_ is not None:
        _write(found, json_)
    for line in broken:
        click.echo(visible(line), err=True)
    if broken:
        raise SystemExit(1)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _write(found: Comparisons, place: str) -> None:
    import msgspec

    from opoi.store import write_atomic

    text = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    if place == "-":
        click.echo(visible(text.decode().replace("\x7f", "\\u007f")), nl=False)
        return
    try:
        write_atomic(Path(place), [text])
    except OSError as error:
        Path(f"{place}.tmp").unlink(missing_ok=True)
        raise _unwritable(Path(place), error.strerror or str(error)) from error


def _check_place(place: Path) -> None:
    """Refuse a place that cannot be written, before the work is done.

    Raises:
        UsageError: It is a folder or a device, or in no folder that can be written.
    """
    import os

    if place.is_dir():
        raise _unwritable(place, "it is a folder", fix=f"name a file in it: --json {place / 'compare.json'}")
    if place.exists() and not place.is_file():
        raise _unwritable(place, "it is no file", fix="--json - prints to standard output")
    if not place.parent.is_dir():
        raise _unwritable(place, "its folder does not exist", fix=f"mkdir -p {place.parent}")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise _unwritable(place, "nothing may be written into its folder")


def _unwritable(place: Path, why: str, *, fix: str = "choose another place for --json") -> UsageError:
    return UsageError(f"--json {place} cannot be written", why=why, fix=fix)


def _gate(text: str) -> tuple[str, str]:
    name, _, worse = text.rpartition(":")
    if not name or worse not in ("lower", "higher"):
        raise UsageError(
            f"--fail-on {text!r} does not say when to fail",
            why="which direction is worse depends on the figure",
            fix="--fail-on accuracy_observable:lower, or --fail-on hindsight_claims:higher",
        )
    return name, worse


def _broken(found: Comparisons, name: str, worse: str) -> list[str]:
    """Say where a figure of B is worse; a gate that cannot be told is an error, never a pass."""
    if name not in found.definitions:
        raise UnknownNameError("figure", name, found.definitions)
    for one in found.compared:
        if name not in one.figures:
            raise UsageError(
                f"--fail-on {name}:{worse} cannot be told for {one.b}",
                why=one.missing[name],
                fix="name a figure that both have",
            )
    verdict = "B higher" if worse == "higher" else "A higher"
    return [
        f"{name} of {one.b} is significantly {worse} than that of {one.a}"
        for one in found.compared
        if one.figures[name].verdict == verdict
    ]
