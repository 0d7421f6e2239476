"""`opoi rules suggest`: which rules might be missing, as a file for a person to read."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct

from opoi.cleaning.library import load_rules
from opoi.errors import UsageError
from opoi.lab.files import files_of, refuse_over
from opoi.lab.known import Background
from opoi.lab.reading import base_file, traces_of
from opoi.lab.suggest import as_toml, suggest
from opoi.leakage.detectors import find_all
from opoi.progress import watcher
from opoi.store import write_atomic

__all__ = ["SuggestOptions", "suggest_session"]


class SuggestOptions(Struct, frozen=True, kw_only=True):
    """What was asked for; see `opoi rules suggest --help`.

    Attributes:
        source: File or folder.
        base: File of unsteered traces, None for the run's.
        rules: References of rules that are there already.
        out: File for the suggestions, None to show them.
        most: Most suggestions, at least 1.
        format: Name of the format, `""` to tell by content.
        run: Run folder of the traces, None for the one that holds them.
        suite: Reference of the suite, `""` for the run's.
        prose: Keys that hold prose, none for the suite's.
        quiet: Show no progress.
        force: Overwrite what stands at `out`.
    """

    source: Path
    base: Path | None = None
    rules: tuple[str, ...] = ("residue",)
    out: Path | None = None
    most: int = 20
    format: str = ""
    run: Path | None = None
    suite: str = ""
    prose: tuple[str, ...] = ()
    quiet: bool = False
    force: bool = False


def suggest_session(options: SuggestOptions) -> None:
    """Suggest rules, and write or show them.

    Raises:
        OpoiError: Something that was named is not there, or scikit-learn is not installed.
    """
    refuse_over(options.out, files_of(options.source))
    if options.out is not None and options.out.exists() and not options.force:
        raise UsageError(f"{options.out} stands already", fix="name another --out, or add --force")
    background = Background.of(options.source, options.run, suite=options.suite, prose=options.prose)
    progress = watcher(quiet=options.quiet)
    base_path = options.base or base_file(background)
    if base_path is None:
        raise UsageError(
            "there are no unsteered traces to compare with",
            why="a phrase is telling only if unsteered traces do not use it",
            fix="name a file of them with --base, or the run with --run",
        )
    traces = list(traces_of(options.source, background, progress, form=options.format))
    base = list(traces_of(base_path, background, progress, form=options.format))
    findings = [finding for trace in traces for finding in find_all(trace, background.known(trace))]
    library = load_rules(options.rules)
    found = suggest(traces, base, library, background.known, findings=findings, most=options.most)
    text = as_toml(found)
    if options.out is None:
        click.echo(text, nl=False)
    else:
        write_atomic(options.out, [text.encode()])
    where = f" in {options.out}" if options.out else ""
    click.echo(f"{len(found)} suggestions{where}: read each before you use it", err=True)
