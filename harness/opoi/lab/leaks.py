"""`opoi leaks`: the detectors at work on files of traces, as a person and as a gate sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct, field

from opoi import __version__
from opoi.errors import UnknownNameError, UsageError
from opoi.formats import Bad, open_traces
from opoi.lab.decisions import with_decision
from opoi.lab.files import files_of, refuse_over
from opoi.lab.known import Background
from opoi.lab.models import named_model
from opoi.lab.sets import Beside, readings, readings_table
from opoi.lab.tables import share
from opoi.leakage.detectors import DETECTORS, find_all
from opoi.leakage.judge import Judge
from opoi.leakage.known import Detector
from opoi.progress import watcher
from opoi.report.findings import Checked, as_json, as_junit, as_sarif
from opoi.report.tables import Cell, Table, visible
from opoi.report.terminal import print_table
from opoi.store import write_atomic
from opoi.types import Finding, Reading, Trace

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LeakOptions", "chosen", "leak_session", "list_detectors"]

_NAMED = 10
"""Most lines that could not be read that are told one by one."""


class LeakOptions(Struct, frozen=True, kw_only=True):
    """What was asked for; see `opoi leaks --help`.

    Attributes:
        source: File or folder.
        detectors: Ids, none for all.
        max_rate: Most traces with a leak, in percent, in [0, 100].
        strict: Suspects count as leaks.
        allow_unreadable: Most lines that may be unreadable.
        limit: Most findings that are shown; 0 for all.
        json: File for the findings as JSON, None for none.
        junit: The same as JUnit XML.
        sarif: The same as SARIF.
        format: Name of the format, `""` to tell by content.
        run: Run folder of the traces, None for the one that holds them.
        suite: Reference of the suite, `""` for the run's.
        prose: Keys that hold prose, none for the suite's.
        quiet: Show no progress.
        beside: Files for the detectors that look at sets of traces.
        judge: Model of the judge and how to talk to it, by name of the option; none for no judge.
    """

    source: Path
    detectors: tuple[str, ...] = ()
    max_rate: float = 0.0
    strict: bool = False
    allow_unreadable: int = 0
    limit: int = 20
    json: Path | None = None
    junit: Path | None = None
    sarif: Path | None = None
    format: str = ""
    run: Path | None = None
    suite: str = ""
    prose: tuple[str, ...] = ()
    quiet: bool = False
    beside: Beside = Beside()
    judge: Mapping[str, Any] = field(default_factory=dict)


ABOVE, UNREADABLE = 1, 3
"""Exit statuses of the gate: more traces leak than may; more lines could not be read than may."""


def leak_session(options: LeakOptions) -> int:
    """Look for leaks, show and write what is found; return 0, `ABOVE` or `UNREADABLE`.

    Raises:
        OpoiError: Something that was named is not there or does not fit.
    """
    from rich.console import Console

    console = Console(highlight=False)
    detectors = chosen(options.detectors)
    for path in (options.json, options.junit, options.sarif):
        refuse_over(path, files_of(options.source))
    background = Background.of(options.source, options.run, suite=options.suite, prose=options.prose)
    judge = _judge(options.judge, background)
    survey = _survey(options, (*detectors, *judge), background)
    if not survey.checked:
        why = (
            f"{len(survey.bad)} lines could not be read, {survey.skipped.total()} traces were dropped already"
        )
        raise UsageError(f"there is no trace to look at in {options.source}", why=why)
    _tell(options, survey, background, console)
    found = list(
        readings(options.source, survey.traces, options.beside, background, watcher(quiet=options.quiet))
    )
    found += [each.reading() for each in judge]
    if found:
        print_table(readings_table(found), console)
        console.print()
    _write(options, survey, found, console)
    rate = 100 * survey.leaking(strict=options.strict) / len(survey.checked)
    above = rate > options.max_rate
    console.print(
        f"{survey.leaking(strict=options.strict)} of {len(survey.checked)} traces leak: {rate:.2f} %, "
        f"{'above' if above else 'within'} --max-rate {options.max_rate:g} %",
        style="bold red" if above else "bold green",
    )
    unread = len(survey.bad)
    if unread > options.allow_unreadable:
        console.print(f"{unread} lines could not be read (--allow-unreadable {options.allow_unreadable})")
    return ABOVE if above else UNREADABLE if unread > options.allow_unreadable else 0


class _Survey(Struct):
    """What was looked at, and what was found.

    Attributes:
        detectors: Those that looked.
        checked: The traces.
        bad: File, line and reason of what could not be read.
        skipped: Drop reason -> traces that nobody looked at, because they are in no data set.
        traces: The traces themselves, where detectors of sets ask for them.
    """

    detectors: tuple[Detector, ...]
    checked: list[Checked] = field(default_factory=list)
    bad: list[tuple[str, int, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    traces: list[Trace] = field(default_factory=list)

    def leaking(self, *, strict: bool) -> int:
        """Return how many traces leak."""
        return sum(bool(one.leaks(strict=strict)) for one in self.checked)


def _survey(options: LeakOptions, detectors: tuple[Detector, ...], background: Background) -> _Survey:
    """Let the detectors look at every trace."""
    survey = _Survey(detectors)
    for file in files_of(options.source):
        watch = watcher(quiet=options.quiet).start(f"leaks {file.name}", 0)
        try:
            for item in open_traces(file, format=options.format):
                if isinstance(item, Bad):
                    survey.bad.append((str(file), item.line, item.why))
                    continue
                watch.advance()
                trace = with_decision(item.trace, background.reader)
                drop = trace.stop.drop or trace.drop
                if drop:
                    survey.skipped[drop] += 1
                    continue
                found = tuple(find_all(trace, background.known(trace), detectors))
                if options.beside != Beside():
                    survey.traces.append(trace)
                survey.checked.append(Checked(str(file), item.line, trace.id, found))
        finally:
            watch.close()
    return survey


def list_detectors() -> None:
    """Print the detectors, what each says and what it needs."""
    for each in DETECTORS:
        needs = f" Needs: {', '.join(each.needs)}." if each.needs else ""
        click.echo(f"  {each.id:<12}{each.doc}{needs}")


def chosen(names: Sequence[str]) -> tuple[Detector, ...]:
    """Return the detectors with these ids, all for none.

    Raises:
        UnknownNameError: There is no such detector.
    """
    by_id = {detector.id: detector for detector in DETECTORS}
    for name in names:
        if name not in by_id:
            raise UnknownNameError("detector", name, by_id)
    return tuple(by_id[name] for name in dict.fromkeys(names)) if names else tuple(DETECTORS)


def _judge(given: Mapping[str, Any], background: Background) -> tuple[Judge, ...]:
    """Return the judge that was asked for, if any; it samples at temperature 0 where nothing else is said."""
    if given.get("judge") is None:
        return ()
    settings = {key: value for key, value in given.items() if value is not None}
    return (Judge(named_model(given["judge"], {"temperature": 0.0, **settings}, background.suite)),)


def _lacking(detectors: Sequence[Detector], background: Background) -> Iterator[tuple[str, str]]:
    """Yield each detector that can say nothing here, with what it lacks."""
    there = background.offers
    for detector in detectors:
        missing = [name for name in detector.needs if name not in there]
        if missing:
            yield detector.id, ", ".join(missing)


def _tell(options: LeakOptions, survey: _Survey, background: Background, console: Console) -> None:
    """Print what was found, then how much of each kind."""
    for file, line, why in survey.bad[:_NAMED]:
        console.print(visible(f"{file}:{line}: {why}"), markup=False, style="yellow", soft_wrap=True)
    if len(survey.bad) > _NAMED:
        console.print(f"... {len(survey.bad) - _NAMED} more lines could not be read", style="yellow")
    shown = 0
    for one in survey.checked:
        for finding in one.findings:
            shown += 1
            if not options.limit or shown <= options.limit:
                console.print(_line(one, finding), markup=False, soft_wrap=True)
    if options.limit and shown > options.limit:
        console.print(f"... {shown - options.limit} more findings: --limit 0 shows all, --json writes them")
    for name, lack in _lacking(survey.detectors, background):
        console.print(f"the detector {name} says nothing here: it needs {lack} (--run, --suite)", style="dim")
    if survey.skipped:
        reasons = ", ".join(f"{count} {visible(reason)}" for reason, count in sorted(survey.skipped.items()))
        console.print(f"not looked at, because they were dropped already: {reasons}", markup=False)
    if shown:
        print_table(findings_table(survey.checked), console)
        console.print()


def findings_table(checked: Sequence[Checked]) -> Table:
    """Return a row for each kind of finding: how many, in how many traces, at what rate."""
    finds: Counter[tuple[str, str, str]] = Counter()
    traces: Counter[tuple[str, str, str]] = Counter()
    for one in checked:
        keys = [(finding.grade, finding.detector, finding.kind) for finding in one.findings]
        finds.update(keys)
        traces.update(set(keys))
    rows = tuple(
        (
            Cell(visible(f"{detector}/{kind}")),
            Cell(grade),
            Cell(str(finds[grade, detector, kind])),
            Cell(str(traces[grade, detector, kind])),
            share(traces[grade, detector, kind], len(checked)),
        )
        for grade, detector, kind in sorted(finds)
    )
    return Table("What was found", ("kind", "grade", "finds", "traces", "share of traces"), rows)


def _line(one: Checked, finding: Finding) -> str:
    message = ".".join(map(str, finding.message))
    place = f"message {message}, {finding.field}" if message else "the trace"
    text = f"{finding.detector}/{finding.kind} {finding.text!r}: {finding.why}"
    return visible(f"{one.file}:{one.line}  {finding.grade}  {place}  {text}")


def _write(options: LeakOptions, survey: _Survey, found: Sequence[Reading], console: Console) -> None:
    """Write what was asked for."""
    checked, strict = survey.checked, options.strict
    summary = {
        "traces": len(checked),
        "leaking": survey.leaking(strict=strict),
        "max_rate": options.max_rate / 100,
        "strict": strict,
        "dropped_before": dict(survey.skipped),
        "unreadable": [{"file": file, "line": line, "why": why} for file, line, why in survey.bad],
    }
    docs = {detector.id: detector.doc for detector in survey.detectors}
    bodies: list[tuple[Path | None, Callable[[], bytes]]] = [
        (options.json, lambda: as_json(checked, found, summary)),
        (options.junit, lambda: as_junit(checked, strict=strict, bad=survey.bad)),
        (options.sarif, lambda: as_sarif(checked, docs, version=__version__, strict=strict, bad=survey.bad)),
    ]
    for path, body in bodies:
        if path is not None:
            write_atomic(path, [body()])
            console.print(f"wrote {path}", markup=False, soft_wrap=True)
