"""`opoi run`, and a command for each stage of a run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opoi.cli.options import MODEL, OPTIONS, SCORER, takes, taped, values_of
from opoi.errors import UsageError

if TYPE_CHECKING:
    from opoi.run import Run

__all__ = ["AFTER_CLEAN", "BEFORE_CLEAN", "carry_out_stage", "run"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder.  [runs/NAME]")
@click.option("--resume", is_flag=True, help="Take up the run in --out; nothing finished is done again.")
@taped
@takes(*(name for name in OPTIONS))
def run(
    *,
    out: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
    record: Path | None,
    replay: Path | None,
    **given: Any,
) -> None:
    """Run the whole experiment and show what came out."""
    from opoi.pipeline import run_all
    from opoi.progress import watcher
    from opoi.run import Run
    from opoi.settings import merge

    values, progress = values_of(given), watcher(quiet=quiet)
    if resume:
        if out is None:
            raise UsageError("--resume needs to know which run", fix="add --out DIR")
        this = Run.open(out, values, progress=progress, force=force, record=record, replay=replay)
    else:
        settings = merge({}, values)
        folder = out or _free_folder(settings.suite, settings.n, settings.seed)
        this = Run.create(folder, settings, progress=progress, record=record, replay=replay)
    with closing(this):
        run_all(this, ask=not resume)
    _show(this)


def _free_folder(suite: str, n: int, seed: int) -> Path:
    """Return a folder below `runs/` that does not exist yet."""
    name = f"{suite.rpartition(':')[2]}-n{n}-seed{seed}"
    tried = [Path("runs") / name, *(Path("runs") / f"{name}-{count}" for count in range(2, 10_000))]
    return next(path for path in tried if not path.exists())


def _show(this: Run) -> None:
    """Print the tables, and where everything is."""
    from rich.console import Console

    from opoi.stages.report import show

    console = Console()
    show(this, console)
    for label, name in (("table", "report.txt"), ("page", "report.html"), ("data sets", "datasets")):
        click.echo(f"{label + ':':<11}{this.file(name)}")


def carry_out_stage(
    name: str,
    folder: Path,
    given: dict[str, Any],
    *,
    force: bool,
    quiet: bool,
    record: Path | None = None,
    replay: Path | None = None,
) -> None:
    """Carry out one stage of the run in a folder.

    Args:
        name: Of the stage.
        folder: Of the run.
        given: Options, None where one was not given.
        force: Do it again; overwrite hand edits.
        quiet: Show no progress.
        record: Tape on which requests to endpoints are kept.
        replay: Tape that stands for them.
    """
    from opoi.pipeline import carry_out
    from opoi.progress import watcher
    from opoi.run import Run
    from opoi.settings import merge

    values, progress = values_of(given), watcher(quiet=quiet)
    if name == "scenarios" and not (folder / "manifest.json").exists():
        this = Run.create(folder, merge({}, values), progress=progress)
    else:
        this = Run.open(folder, values, progress=progress, force=force, record=record, replay=replay)
    with closing(this):
        carry_out(this, [name])
    if name == "report":
        _show(this)
    if name == "score" and not (this.cast.scorers or this.settings.scorers):
        click.echo("scores: none; models in this process have no log-probabilities, see --scorers NAME@URL")


def _stage(name: str, doc: str, *settings: str) -> click.Command:
    """Return the command of one stage."""

    @click.command(name, help=doc)
    @click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
    @takes(*settings)
    def command(
        *,
        folder: Path,
        force: bool,
        quiet: bool,
        record: Path | None = None,
        replay: Path | None = None,
        **given: Any,
    ) -> None:
        carry_out_stage(name, folder, given, force=force, quiet=quiet, record=record, replay=replay)

    return taped(command) if {"model", "scorers"} & set(settings) else command


BEFORE_CLEAN = (
    _stage("scenarios", "Start a run: make its scenarios.", "suite", "n", "seed", "config"),
    _stage("rollout", "Let the unsteered agent act in every scenario.", "runs", "turns", *MODEL),
    _stage("review", "Let the expert review every first rollout.", "expert"),
    _stage(
        "generate",
        "Let every strategy make its traces from the reviews.",
        *("strategies", "corrector_model", "corrector_name", "runs", "turns", "config", *MODEL),
    ),
)
AFTER_CLEAN = (
    _stage("export", "Write the kept traces as training files.", "export"),
    _stage("score", "Let models score the kept traces: log-probabilities of every token.", *SCORER),
    _stage("measure", "Measure every arm.", "resamples"),
    _stage("report", "Write the tables and the page, and show the tables."),
)
"""The commands of the stages; `clean` stands between them and takes files of traces too."""
