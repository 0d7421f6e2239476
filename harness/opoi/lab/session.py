"""`opoi clean` on files, as a person sees it: what the rules did, told, shown and written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from opoi.cleaning.library import Library, load_rules
from opoi.cleaning.pieces import changes
from opoi.errors import OpoiError, UsageError, visible
from opoi.formats import Bad, Record, open_traces
from opoi.lab.clean import Bench, Outcome, Tally
from opoi.lab.files import Output, files_of, output, refuse_over, target_of
from opoi.lab.known import Background
from opoi.lab.models import named_model
from opoi.lab.tables import rule_table, totals_table
from opoi.progress import watcher
from opoi.protocols import Model
from opoi.store import encode, write_atomic

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["CleanOptions", "clean_session"]

SHOWN = 20
"""Most traces that are shown in a terminal where nothing says how many."""

PAGE = 2_000
"""Most traces of a page where nothing says how many: some MB of HTML."""

_NAMED = 10
"""Most lines that could not be read that are told one by one."""


class CleanOptions(Struct, frozen=True, kw_only=True):
    """What was asked for; see `opoi clean --help`.

    Attributes:
        source: File or folder.
        rules: References of rules.
        out: Where cleaned traces go, None for nowhere.
        explain: Show every change.
        html: File for the page, None for none.
        json: File for the counts, None for none.
        limit: Most traces that are shown, 0 for all; None for 20 in the terminal and 2,000 on a page.
        watch: Go on when a rule file is saved.
        compare: Two references of rules, or none.
        format: Name of the format, `""` to tell by content.
        run: Run folder of the traces, None for the one that holds them.
        suite: Reference of the suite, `""` for the run's.
        prose: Keys that hold prose, none for the suite's.
        model: Settings of the agent that resamples, none for no agent.
        force: Overwrite what stands at `out`.
        quiet: Show no progress.
    """

    source: Path
    rules: tuple[str, ...] = ("residue",)
    out: Path | None = None
    explain: bool = False
    html: Path | None = None
    json: Path | None = None
    limit: int | None = None
    watch: bool = False
    compare: tuple[str, ...] = ()
    format: str = ""
    run: Path | None = None
    suite: str = ""
    prose: tuple[str, ...] = ()
    model: Mapping[str, Any] = msgspec.field(default_factory=dict)
    force: bool = False
    quiet: bool = False


def clean_session(options: CleanOptions) -> None:
    """Clean, show and write what was asked for.

    Raises:
        OpoiError: Something that was named is not there or does not fit.
    """
    from rich.console import Console

    console = Console(highlight=False)
    background = Background.of(options.source, options.run, suite=options.suite, prose=options.prose)
    if options.compare:
        from opoi.lab.compare import compare

        first, second = (load_rules([reference]) for reference in options.compare)
        compare(options, first, second, background, console)
    elif options.watch:
        _watch(options, background, console)
    else:
        _once(options, load_rules(options.rules), background, console, set())


def _once(
    options: CleanOptions, library: Library, background: Background, console: Console, mine: set[Path]
) -> None:
    """Clean everything once, and tell; `mine` are files that this session wrote and may write again."""
    files = files_of(options.source)
    for path in (options.html, options.json):
        refuse_over(path, (*files, *library.files))
    bench = Bench(library, background, model=_model(options, background))
    teller = _Teller(options, bench, console)
    for file in files:
        source = open_traces(file, format=options.format)
        target = target_of(options.out, file, many=options.source.is_dir()) if options.out else None
        if target is not None and options.watch:
            refuse_over(target, files)
        force = options.force or target in mine
        watch = watcher(quiet=options.quiet).start(f"clean {file.name}", 0)
        try:
            with output(target, source, force=force) if target else nullcontext() as out:
                for item in source:
                    _take(item, file, bench, teller, out)
                    watch.advance()
        finally:
            watch.close()
        if target and out:
            mine.update((target, *out.beside))
            teller.written += [target, *out.beside]
    teller.close()


def _take(item: Record | Bad, file: Path, bench: Bench, teller: _Teller, out: Output | None) -> None:
    """Clean, tell and write one record, or put aside what is none."""
    if isinstance(item, Bad):
        teller.tell_bad(file, item)
        if out:
            out.take_bad(item)
        return
    outcome = bench.clean(item)
    teller.tell(file, outcome)
    if out:
        out.take(outcome)


def _model(options: CleanOptions, background: Background) -> Model | None:
    """Return the agent that resamples, None where none was named."""
    if not options.model:
        return None
    given = dict(options.model)
    reference = given.pop("model")
    if background.suite is None:
        raise UsageError(
            "a turn cannot be written anew without its suite",
            why="the suite brings the tools and the embedded model",
            fix="name the suite with --suite, or the run with --run",
        )
    return named_model(reference, given, background.suite)


class _Teller:
    """Counts what happens, shows what was asked to be shown, and sums up at the end."""

    def __init__(self, options: CleanOptions, bench: Bench, console: Console) -> None:
        self.tally = Tally(bench.library)
        self._options, self._bench, self._console = options, bench, console
        self.written: list[Path] = []
        self._shown = 0
        self._page: list[Any] = []

    def tell(self, file: Path, outcome: Outcome) -> None:
        """Count one record; show what happened to it."""
        self.tally.add(outcome)
        if not outcome.changed:
            return
        options = self._options
        label = f"{file.name}:{outcome.record.line}"
        on_page = bool(options.html) and _within(len(self._page), options.limit, PAGE)
        here = options.explain and _within(self._shown, options.limit, SHOWN)
        self._shown += 1
        if not (on_page or here):
            return
        done = changes(outcome.record.trace, outcome.cleaned.edits, self._bench.prose)
        if on_page:
            from opoi.report.diff_page import Shown

            self._page.append(Shown(label, outcome.cleaned, tuple(done)))
        if here:
            from opoi.report.word_diff import explained

            for line in explained(label, outcome.cleaned, done, colour=self._console.is_terminal):
                self._console.print(line, soft_wrap=True)

    def tell_bad(self, file: Path, bad: Bad) -> None:
        """Count one line that could not be read; name the first few."""
        self.tally.bad += 1
        if self.tally.bad <= _NAMED:
            line = visible(f"{file.name}:{bad.line}: {bad.why}")
            self._console.print(line, markup=False, style="yellow", soft_wrap=True)
        elif self.tally.bad == _NAMED + 1:
            self._console.print(
                "... more lines that could not be read: --out keeps them aside", style="yellow"
            )

    def close(self) -> None:
        """Print the tables, and write page and counts."""
        from opoi.report.terminal import print_table

        options, library = self._options, self._bench.library
        if options.explain and not _within(self._shown - 1, options.limit, SHOWN):
            self._console.print("... more traces were changed or dropped: --limit 0 shows all of them")
        tables = [rule_table(self.tally, library), totals_table([(library.name, self.tally)])]
        for table in tables:
            print_table(table, self._console)
        if options.html:
            from opoi.report.diff_page import render_diffs

            title = f"{options.source.name} cleaned with {library.name}"
            left_out = self._shown - len(self._page)
            page = render_diffs(self._page, title=title, tables=tables, left_out=left_out)
            write_atomic(options.html, [page.encode()])
            self.written.append(options.html)
        if options.json:
            write_atomic(options.json, [encode(self.tally.summary(library.name)) + b"\n"])
            self.written.append(options.json)
        for path in self.written:
            self._console.print(f"wrote {path}", markup=False, soft_wrap=True)


def _within(count: int, limit: int | None, otherwise: int) -> bool:
    """Return whether one more may be shown."""
    most = otherwise if limit is None else limit
    return not most or count < most


def _watch(options: CleanOptions, background: Background, console: Console) -> None:
    """Clean again whenever a rule file is saved, until Ctrl-C."""
    mine: set[Path] = set()
    try:
        while True:
            files: list[Path] = []
            console.clear()
            try:
                library = load_rules(options.rules, fresh=True, read=files)
                seen = _stamps(files)
                _once(options, library, background, console, mine)
            except OpoiError as error:
                seen = _stamps(files)
                console.print(f"error: {error}", markup=False, style="red", soft_wrap=True)
            names = ", ".join(path.name for path in files)
            console.print(f"watching {names}; Ctrl-C ends it", style="dim", markup=False)
            while _stamps(files) == seen:
                time.sleep(0.2)
    except KeyboardInterrupt:
        console.print("\nno longer watching")


def _stamps(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Return when each file was written and how long it is; zeros for one that is not there."""
    found = []
    for path in files:
        try:
            status = path.stat()
        except FileNotFoundError:
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return found
