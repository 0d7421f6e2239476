"""The command `opoi`. It reads options and says what happened; the work is in `opoi.pipeline`.

Only click is imported here, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

import click

from opoi import __version__
from opoi.cli import across, endpoints, figures, lab, leaderboard, power, runs
from opoi.cli.options import debug
from opoi.errors import OpoiError, visible

__all__ = ["cli", "main"]

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


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
    opoi probe URL               what such an endpoint can do
    opoi serve --port 8000       the embedded model as one

    \b
    opoi clean traces.jsonl      the cleaning rules on any file of traces, explained
    opoi leaks traces.jsonl      the detectors of leakage on it, as a gate

    Each stage is a command of its own: scenarios, rollout, review, generate, clean, export, measure,
    report. It reads what the one before it wrote into the run folder; look, edit, and go on.
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill


for _command in (
    *(runs.run, *runs.BEFORE_CLEAN, lab.clean, *runs.AFTER_CLEAN),
    *(across.compare, leaderboard.leaderboard, figures.figures, power.power),
    *(lab.leaks, lab.rules),
    *(endpoints.probe, endpoints.costs, endpoints.serve),
):
    cli.add_command(_command)


@cli.command(name="list")
@debug
def list_names() -> None:
    """List what can be named: suites, experts, strategies, cleaning levels, profiles of servers."""
    from opoi.cleaning.levels import LEVELS
    from opoi.models.served.quirks import PROFILES
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
    click.echo("profiles of servers, for opoi serve --quirks")
    for name in PROFILES:
        click.echo(f"  {name}")


@cli.command()
@click.option("--suite", default="ads", metavar="REF", help="Whose experts.  [ads]")
@click.option("--n", default=200, type=click.IntRange(1, 1_000_000), help="Cases to review.  [200]")
@click.option("--seed", default=0, type=int, help="Seed of the cases.  [0]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug
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
    """Run the command and end the process: 0 done, 1 failed, 2 wrong use, 3 a limit, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed, something else under test
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign shows another
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end is an end in order
    try:
        cli.main(args=words, prog_name="opoi", standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (KeyboardInterrupt, click.Abort):
        click.echo(_STOPPED.get(words[0] if words else "", _RESUME), err=True)
        sys.stderr.flush()
        os._exit(130)  # a second Ctrl-C must not wait for calls under way
    except Exception as error:  # noqa: BLE001 - the last line of defence: a message, not a traceback
        if "--debug" in words:
            click.echo(visible(traceback.format_exc()), err=True, nl=False)
        click.echo(_message(error), err=True)
        sys.exit(error.exit_code if isinstance(error, OpoiError) else 1)


_RESUME = "\nstopped; what is finished is kept: opoi run --resume --out DIR goes on"
_READERS = ("leaks", "rules", "probe", "agree", "power", "compare")
_STOPPED = dict.fromkeys(_READERS, "\nstopped; nothing was written") | {
    "leaderboard": leaderboard.STOPPED,
    "clean": "\nstopped; files are written whole or not at all, and the stage of a run goes on where it was",
}
"""What an interrupt leaves, by command."""


def _message(error: Exception) -> str:
    if isinstance(error, OpoiError):
        return f"error: {error}"
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return visible(f"error: {error.strerror or error}{where}")
    said = visible(f"{type(error).__name__}: {error}")
    return f"error: {said}\n  fix: this should not happen; --debug shows where"
