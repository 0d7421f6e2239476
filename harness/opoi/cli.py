"""The command `opoi`. It reads options and says what happened; the work is in `opoi.pipeline`.

Only click is imported here, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opoi import __version__
from opoi.errors import OpoiError, UsageError

if TYPE_CHECKING:
    from opoi.run import Run

__all__ = ["cli", "main"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _OrNone(click.ParamType[Any]):
    """A number, or the word `none` to send nothing."""

    def __init__(self, number: click.ParamType[Any]) -> None:
        self.name = number.name
        self._number = number

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        return value if value == "none" else self._number.convert(value, param, ctx)


def _setting(*names: str, **options: Any) -> Decorator:
    """Return an option whose absence leaves the setting as the config file or the manifest has it."""
    return click.option(*names, default=None, **options)


_OPTIONS: dict[str, Decorator] = {
    "suite": _setting("--suite", metavar="REF", help="Registered name, module:attr or file.py:attr.  [ads]"),
    "n": _setting("--n", type=click.IntRange(1), help="Number of scenarios.  [60]"),
    "seed": _setting("--seed", type=int, help="Seed of everything.  [0]"),
    "strategies": _setting("--strategies", metavar="A,B", help="Arms to make.  [opoi,opcd]"),
    "runs": _setting("--runs", type=click.IntRange(1), help="Repetitions, for consensus.  [3]"),
    "turns": _setting("--turns", type=click.IntRange(1), help="Budget of model calls for a rollout.  [12]"),
    "expert": _setting("--expert", metavar="NAME", help="Expert of the suite.  [its first]"),
    "model": _setting(
        "--model",
        metavar="REF",
        help="stand-in, stand-in:PERSONA, stand-in:FILE.toml, a base URL such as "
        "http://127.0.0.1:8000/v1, module:attr or file.py:attr.  [stand-in]",
    ),
    "model_name": _setting("--model-name", metavar="NAME", help="Name of the model at that URL."),
    "corrector_model": _setting(
        "--corrector-model",
        metavar="REF",
        help="Bare model of OPCD: a reference, or a model name at the same URL.  [the agent's]",
    ),
    "corrector_name": _setting("--corrector-name", metavar="NAME", help="Name of the model at its URL."),
    "clean": _setting(
        "--clean",
        type=click.Choice(["C0", "C1", "C2", "C3", "C4", "C5"]),
        help="Cleaning level; `opoi list` explains them.  [C2]",
    ),
    "export": _setting(
        "--export",
        type=click.Choice(["first", "all"]),
        help="Kept traces of a scenario that go into a data set.  [first]",
    ),
    "resamples": _setting("--resamples", type=click.IntRange(100), help="Bootstrap resamples.  [10000]"),
    "concurrency": _setting(
        "--concurrency",
        type=click.IntRange(0, 1024),
        help="Items under way at once.  [0: 1 in this process, 8 for an endpoint]",
    ),
    "temperature": _setting(
        "--temperature", type=_OrNone(click.FloatRange(0)), help="For endpoints; none sends none.  [0.7]"
    ),
    "max_tokens": _setting(
        "--max-tokens", type=_OrNone(click.IntRange(1)), help="For endpoints; none sends none.  [1024]"
    ),
    "timeout": _setting("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds.  [120]"),
    "retries": _setting("--retries", type=click.IntRange(0), help="Tries after the first.  [2]"),
    "api_key_env": _setting(
        "--api-key-env", metavar="VAR", help="Environment variable with the key.  [OPENAI_API_KEY]"
    ),
    "config": click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="The same settings as TOML."
    ),
}
_ENDPOINT = ("temperature", "max_tokens", "timeout", "retries", "api_key_env")
_MODEL = ("model", "model_name", "concurrency", *_ENDPOINT)


_debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
"""`main` looks for it among the words: an error may come before any command has its options."""


def _takes(*settings: str) -> Decorator:
    """Return a decorator that adds the named settings, `--force`, `--quiet` and `--debug`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = _debug(command)
        command = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")(command)
        command = click.option("--force", is_flag=True, help="Do it again; overwrite hand edits.")(command)
        for name in reversed(settings):
            command = _OPTIONS[name](command)
        return command

    return decorate


def _values(given: dict[str, Any]) -> dict[str, Any]:
    """Turn what click parsed into setting values: absent ones left out, lists split, sections nested."""
    from opoi.settings import read_settings

    path = given.pop("config", None)
    values = read_settings(path) if path else {}
    given = {key: value for key, value in given.items() if value is not None}
    endpoint = {key: given.pop(key) for key in _ENDPOINT if key in given}
    if endpoint:
        values["endpoint"] = {**values.get("endpoint", {}), **endpoint}
    if "strategies" in given:
        given["strategies"] = [name.strip() for name in given["strategies"].split(",") if name.strip()]
    return {**values, **given}


class _InOrder(click.Group):
    """Lists its commands in the order of the pipeline."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the contract of click
        return list(self.commands)


@click.group(cls=_InOrder, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="opoi")
def cli() -> None:
    """Test bench for turning expert corrections of tool-using agents into fine-tuning data.

    \b
    opoi run                     the whole experiment on the embedded model
    opoi run --model URL ...     the same on any OpenAI-compatible endpoint
    opoi serve --port 8000       the embedded model as such an endpoint

    Each stage is a command of its own: scenarios, rollout, review, generate, clean, export, measure,
    report. It reads what the one before it wrote into the run folder; look, edit, and go on.
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder.  [runs/NAME]")
@click.option("--resume", is_flag=True, help="Take up the run in --out; nothing finished is done again.")
@_takes(*(name for name in _OPTIONS))
def run(*, out: Path | None, resume: bool, force: bool, quiet: bool, **given: Any) -> None:
    """Run the whole experiment and show what came out."""
    from opoi.pipeline import run_all
    from opoi.progress import watcher
    from opoi.run import Run
    from opoi.settings import merge

    values, progress = _values(given), watcher(quiet=quiet)
    if resume:
        if out is None:
            raise UsageError("--resume needs to know which run", fix="add --out DIR")
        this = Run.open(out, values, progress=progress, force=force)
    else:
        settings = merge({}, values)
        this = Run.create(
            out or _free_folder(settings.suite, settings.n, settings.seed), settings, progress=progress
        )
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


def _stage(name: str, doc: str, *settings: str) -> None:
    """Add the command of one stage."""

    @cli.command(name, help=doc)
    @click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
    @_takes(*settings)
    def command(*, folder: Path, force: bool, quiet: bool, **given: Any) -> None:
        from opoi.pipeline import carry_out
        from opoi.progress import watcher
        from opoi.run import Run
        from opoi.settings import merge

        values, progress = _values(given), watcher(quiet=quiet)
        if name == "scenarios" and not (folder / "manifest.json").exists():
            this = Run.create(folder, merge({}, values), progress=progress)
        else:
            this = Run.open(folder, values, progress=progress, force=force)
        carry_out(this, [name])
        if name == "report":
            _show(this)


_stage("scenarios", "Start a run: make its scenarios.", "suite", "n", "seed", "config")
_stage("rollout", "Let the unsteered agent act in every scenario.", "runs", "turns", *_MODEL)
_stage("review", "Let the expert review every first rollout.", "expert")
_stage(
    "generate",
    "Let every strategy make its traces from the reviews.",
    *("strategies", "corrector_model", "corrector_name", "runs", "turns", "config", *_MODEL),
)
_stage("clean", "Take the oracle out of every trace.", "clean", *_MODEL)
_stage("export", "Write the kept traces as training files.", "export")
_stage("measure", "Measure every arm.", "resamples")
_stage("report", "Write the tables and the page, and show the tables.")


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free one.  [8000]")
@click.option("--suite", default="ads", metavar="REF", help="Whose embedded model.  [ads]")
@click.option("--persona", default="default", metavar="NAME|FILE", help="Which persona.  [default]")
@click.option("--model-name", default="", metavar="NAME", help="Name it goes by.  [stand-in/PERSONA]")
@_debug
def serve(*, port: int, suite: str, persona: str, model_name: str) -> None:
    """Offer the embedded model over HTTP (loopback only), as an OpenAI-compatible endpoint."""
    from opoi.models.server import serve as serve_model
    from opoi.registry import load_suite

    model = load_suite(suite).stand_in(Path(persona) if persona.endswith(".toml") else persona)

    def ready(url: str) -> None:
        click.echo(f"serving {model.name} at {url}", err=True)
        click.echo(f"try: opoi run --model {url}", err=True)

    serve_model(model, port=port, name=model_name or model.name, ready=ready)


@cli.command(name="list")
@_debug
def list_names() -> None:
    """List what can be named: suites, experts, strategies, cleaning levels."""
    from opoi.cleaning.levels import LEVELS
    from opoi.registry import load_suite, names

    click.echo("suites")
    for name, target in sorted(names("suite").items()):
        suite = load_suite(name)
        click.echo(
            f"  {name:<16}{target}; experts: {', '.join(suite.experts)}; actions: {', '.join(suite.actions)}"
        )
    click.echo("strategies")
    for name, target in sorted(names("strategy").items()):
        click.echo(f"  {name:<16}{target}")
    click.echo("cleaning levels")
    for name, doc in LEVELS.items():
        click.echo(f"  {name:<16}{doc}")


@cli.command()
@click.option("--suite", default="ads", metavar="REF", help="Whose experts.  [ads]")
@click.option("--n", default=200, type=click.IntRange(1, 1_000_000), help="Cases to review.  [200]")
@click.option("--seed", default=0, type=int, help="Seed of the cases.  [0]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@_debug
def agree(*, suite: str, n: int, seed: int, quiet: bool) -> None:
    """Measure how far the experts of a suite agree, with each other and with the truth."""
    from rich.console import Console

    from opoi.measures.agreement import agreement
    from opoi.progress import watcher
    from opoi.registry import load_suite
    from opoi.report.agreement import agreement_table
    from opoi.report.terminal import print_table

    watch = watcher(quiet=quiet).start("review", n)
    try:
        found = agreement(load_suite(suite), n, seed, progress=watch.advance)
    finally:
        watch.close()
    print_table(agreement_table(found), Console(highlight=False))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed, something else under test
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign shows another
    try:
        cli.main(args=words, prog_name="opoi", standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstopped; what is finished is kept: go on with --resume --out DIR", err=True)
        sys.stderr.flush()
        os._exit(130)  # a second Ctrl-C must not wait for calls under way
    except Exception as error:  # noqa: BLE001 - the last line of defence: a message, not a traceback
        if "--debug" in words:
            traceback.print_exc()
        click.echo(_message(error), err=True)
        sys.exit(error.exit_code if isinstance(error, OpoiError) else 1)


def _message(error: Exception) -> str:
    if isinstance(error, OpoiError):
        return f"error: {error}"
    if isinstance(error, OSError):
        return f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return f"error: {type(error).__name__}: {error}\n  fix: this should not happen; --debug shows where"
