"""The laboratory's commands: `opoi clean` on files, `opoi leaks`, `opoi rules`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from opoi.cli.options import ENDPOINT, MODEL, OPTIONS, debug, takes, taped
from opoi.cli.runs import carry_out_stage
from opoi.errors import OpoiError, UsageError

__all__ = ["clean", "leaks", "rules"]

_IN = click.Path(path_type=Path)
_FORMATS = ("opoi", "openai", "trl", "sharegpt", "inspect")


class Percent(click.FloatRange):
    """A number from 0 to 100, and no NaN."""

    def __init__(self) -> None:
        super().__init__(0, 100)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - as in click
        number = super().convert(value, param, ctx)
        return self.fail(f"{value!r} is no number", param, ctx) if math.isnan(number) else number


_format = click.option(
    "--format", "format_", type=click.Choice(_FORMATS), help="Format of the files.  [told by their content]"
)
_run = click.option(
    "--run",
    "run_",
    type=_IN,
    metavar="DIR",
    help="The run that the traces come from: its scenarios and reviews tell what the agent could not know.  "
    "[the run folder that holds IN]",
)
_suite = click.option("--suite", default="", metavar="REF", help="Suite of the traces.  [the run's]")
_prose = click.option(
    "--prose", metavar="KEY,KEY", help="Keys of a decision that hold prose.  [the suite's, or reasoning, ...]"
)


def _endpoint(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how to talk to an endpoint."""
    for name in reversed(("model_name", *ENDPOINT)):
        command = OPTIONS[name](command)
    return command


def _origin(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what files are, and where their traces come from."""
    for option in (_prose, _suite, _run, _format):
        command = option(command)
    return command


def _named(given: dict[str, Any]) -> dict[str, Any]:
    """Return options under the names that sessions give them."""
    options = {name.rstrip("_"): value for name, value in given.items()}
    return {**options, "format": options["format"] or ""}


@click.command()
@click.argument("source", metavar="[IN]", type=_IN, required=False)
@click.option(
    "--rules",
    "rules_",
    multiple=True,
    metavar="R",
    help="Rule file (.toml), built-in rules by name, or rules in Python as file.py:attr; may be repeated.  "
    "[residue]",
)
@click.option("--out", type=_IN, metavar="OUT", help="Where the cleaned traces go.  [nowhere: just tell]")
@click.option("--explain", is_flag=True, help="Show every change as a word diff with the rule's id.")
@click.option("--html", type=_IN, metavar="FILE", help="Write the changes as one page to browse and filter.")
@click.option("--json", "json_", type=_IN, metavar="FILE", help="Write the counts as JSON.")
@click.option("--limit", type=click.IntRange(0), help="Most traces shown; 0: all.  [20, on a page 2000]")
@click.option("--watch", is_flag=True, help="Do it again whenever a rule file is saved; Ctrl-C ends it.")
@click.option(
    "--calibrate", is_flag=True, help="Measure the rules on planted leaks: what they miss and break."
)
@click.option("--n", type=click.IntRange(1), default=50, help="Traces of each kind for --calibrate.  [50]")
@click.option("--seed", type=int, default=0, help="Seed for --calibrate.  [0]")
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Show what differs between two sets of rules, trace by trace, and the scores of both.",
)
@_origin
@taped
@takes("clean", *MODEL)
def clean(
    *,
    source: Path | None,
    force: bool,
    quiet: bool,
    model: str | None,
    clean: str | None,
    record: Path | None,
    replay: Path | None,
    **given: Any,
) -> None:
    """Take the oracle out of traces: those of a run, or those of any file.

    \b
    opoi clean DIR [--clean C3]              the stage of a run
    opoi clean FILE --rules R.toml           what the rules would do; --out writes it
    opoi clean FILE --rules R.toml --explain --watch     while you edit the rules
    opoi clean --calibrate --rules R.toml    what the rules leave of planted leaks, and what they break

    IN is a run folder, a folder of files, or a file: traces of opoi, OpenAI fine-tuning JSONL, TRL/HF
    conversational JSONL, ShareGPT, or an Inspect log.
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill
    from opoi.lab.session import CleanOptions, clean_session

    calibrating, n, seed = given.pop("calibrate"), given.pop("n"), given.pop("seed")
    if calibrating:
        from opoi.lab.calibration import calibrate_rules

        _only({**given, "source": source}, "--calibrate", ("rules_", "suite"))
    elif given["compare"]:
        _only(given, "--compare", ("limit", "format_", "run_", "suite", "prose", "compare"))
    if calibrating:
        suite = given["suite"] or "ads-held-out"
        calibrate_rules(tuple(given["rules_"]) or ("residue",), suite, n, seed, quiet=quiet)
        return
    if source is None:
        raise UsageError("what to clean is missing", fix="opoi clean FILE, or opoi clean --calibrate")
    names = ("rules_", "out", "explain", "html", "json_", "limit", "watch", "compare")
    own = {name: given.pop(name) for name in (*names, "format_", "run_", "suite", "prose")}
    asked = any(own[name] is not None for name in own if own[name] not in ((), False, ""))
    if (source / "manifest.json").is_file() and not asked:
        settings = {**given, "model": model, "clean": clean}
        carry_out_stage("clean", source, settings, force=force, quiet=quiet, record=record, replay=replay)
        return
    if record or replay:
        raise UsageError("--record and --replay are for the stage of a run", fix="leave them out for files")
    if clean is not None:
        raise UsageError(
            "--clean names the level of a run's stage", fix="name the rules for files of traces with --rules"
        )
    clean_session(
        CleanOptions(
            source=source,
            rules=tuple(own["rules_"]) or ("residue",),
            out=own["out"],
            explain=own["explain"],
            html=own["html"],
            json=own["json_"],
            limit=own["limit"],
            watch=own["watch"],
            compare=own["compare"] or (),
            format=own["format_"] or "",
            run=own["run_"],
            suite=own["suite"],
            prose=_keys(own["prose"]),
            model={"model": model, **given} if model else {},
            force=force,
            quiet=quiet,
        )
    )


def _only(given: dict[str, Any], beside: str, understood: Sequence[str]) -> None:
    """Refuse options that have no meaning beside another one, rather than take no notice of them.

    Raises:
        UsageError: One was given.
    """
    for name, value in given.items():
        if value not in (None, False, "", ()) and name not in understood:
            option = "IN" if name == "source" else f"--{name.rstrip('_').replace('_', '-')}"
            raise UsageError(f"{option} and {beside} do not go together", fix="leave one of them out")


def _keys(text: str | None) -> tuple[str, ...]:
    return tuple(key.strip() for key in (text or "").split(",") if key.strip())


@click.group()
def rules() -> None:
    """Rules: try their examples, show the built-in ones, have new ones suggested."""


@rules.command(name="test")
@click.argument("references", metavar="R...", nargs=-1, required=True)
@click.option("-v", "--verbose", is_flag=True, help="Show the examples that hold, too.")
@debug
def rules_test(*, references: tuple[str, ...], verbose: bool) -> None:
    """Run the examples of rule files: what each rule must match and must let pass."""
    from opoi.cleaning.library import load_rules
    from opoi.lab.examples import check_examples

    library = load_rules(references)
    checked = list(check_examples(library))
    for one in checked:
        if verbose or not one.right:
            verb = "matches" if one.matched else "does not match"
            mark = "ok  " if one.right else "FAIL"
            what = f": {', '.join(map(repr, one.matched))}" if one.matched else ""
            click.echo(f"{mark} {one.rule} {verb} ({one.place}) {one.text!r}{what}")
    wrong = sum(not one.right for one in checked)
    bare = [rule.id for rule in library.named if not rule.spec.examples.match]
    click.echo(
        f"{len(library.named) + len(library.python)} rules, {len(checked)} examples tried, {wrong} wrong"
        + (f"; without an example that must match: {', '.join(bare)}" if bare else "")
    )
    if wrong:
        raise SystemExit(1)


@rules.command(name="show")
@click.argument("name", default="residue")
@debug
def rules_show(*, name: str) -> None:
    """Print built-in rules as a file to start from."""
    from opoi.cleaning.library import built_in
    from opoi.cleaning.rulefile import BUILT_IN
    from opoi.errors import UnknownNameError

    if name not in built_in():
        raise UnknownNameError("built-in rules", name, built_in())
    click.echo((BUILT_IN / f"{name}.toml").read_text("utf-8"), nl=False)


@rules.command(name="suggest")
@click.argument("source", metavar="IN", type=_IN)
@click.option("--base", type=_IN, metavar="FILE", help="Unsteered traces to compare with.  [the run's]")
@click.option(
    "--rules", "rules_", multiple=True, metavar="R", help="Rules that are there already.  [residue]"
)
@click.option("--out", type=_IN, metavar="FILE", help="Where the rule file goes.  [shown here]")
@click.option("--most", type=click.IntRange(1), default=20, help="Most suggestions.  [20]")
@click.option("--force", is_flag=True, help="Overwrite what stands at --out.")
@_origin
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@debug
def rules_suggest(*, rules_: tuple[str, ...], prose: str | None, **given: Any) -> None:
    """Suggest rules from words that tell traces from unsteered ones, and from finds that no rule caught.

    What comes out is a rule file with examples and counts; a person decides what stays.
    """
    from opoi.lab.suggestions import SuggestOptions, suggest_session

    options = _named(given)
    suggest_session(SuggestOptions(**options, rules=rules_ or ("residue",), prose=_keys(prose)))


@click.command()
@click.argument("source", metavar="[IN]", type=_IN, required=False)
@click.option("--calibrate", is_flag=True, help="Measure the detectors on planted leaks instead.")
@click.option(
    "--detectors", metavar="A,B", help="Which detectors; `opoi leaks --list` names them.  [all that can run]"
)
@click.option("--list", "list_", is_flag=True, help="List the detectors and what each needs.")
@click.option(
    "--max-rate",
    type=Percent(),
    default=0.0,
    help="Most traces with a leak, in percent, before the exit status is 1.  [0]",
)
@click.option("--strict", is_flag=True, help="Suspects count as leaks.")
@click.option("--allow-unreadable", type=click.IntRange(0), default=0, help="Most unreadable lines.  [0]")
@click.option(
    "--judge",
    metavar="REF",
    help="A model that reads each text once, too; its finds are suspects. A base URL, module:attr or "
    "file.py:attr.  [none]",
)
@_endpoint
@click.option(
    "--base", type=_IN, metavar="FILE", help="Unsteered traces: can a classifier tell IN from them?"
)
@click.option("--inferior", type=_IN, metavar="FILE", help="Traces steered with an inferior verdict, for L8.")
@click.option(
    "--training", type=_IN, metavar="FILE", help="IN is what a student says that was trained on these."
)
@click.option("--scores", type=_IN, metavar="FILE", help="Log-probabilities of trained and held-out traces.")
@click.option("--limit", type=click.IntRange(0), default=20, help="Findings that are shown; 0: all.  [20]")
@click.option("--json", "json_", type=_IN, metavar="FILE", help="Write the findings as JSON.")
@click.option(
    "--junit", type=_IN, metavar="FILE", help="Write them as JUnit XML, a test case for each trace."
)
@click.option("--sarif", type=_IN, metavar="FILE", help="Write them as SARIF 2.1.0.")
@click.option("--n", type=click.IntRange(1), default=100, help="Traces of each kind for --calibrate.  [100]")
@click.option("--seed", type=int, default=0, help="Seed for --calibrate.  [0]")
@click.option("-v", "--verbose", is_flag=True, help="With --calibrate: each difficulty on a row of its own.")
@_origin
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@debug
def leaks(**given: Any) -> None:
    """Look for privileged text in traces; a gate for CI.

    The exit status is 0 within --max-rate, 1 above it, 2 where nothing could be looked at, 3 where lines
    could not be read. DIR means the traces of a run as they were made; name files for others.

    \b
    opoi leaks FILE                          what gets through, where, and why it is a leak
    opoi leaks DIR --junit leaks.xml         the same for CI
    opoi leaks --calibrate                   recall and precision of the detectors on planted leaks
    """  # noqa: D301 - click wants a real backspace before lines that it must not fill
    from opoi.lab.calibration import calibrate_detectors
    from opoi.lab.leaks import LeakOptions, leak_session, list_detectors
    from opoi.lab.sets import Beside

    if given.pop("list_"):
        list_detectors()
        return
    calibrating, n, seed = given.pop("calibrate"), given.pop("n"), given.pop("seed")
    verbose = given.pop("verbose")
    if calibrating:
        _only(given, "--calibrate", ("suite", "detectors", "json_", "quiet", "limit", "max_rate"))
        calibrate_detectors(
            given["suite"] or "ads-held-out",
            n,
            seed,
            detectors=_keys(given["detectors"]),
            difficulties=verbose,
            json=given["json_"],
            quiet=given["quiet"],
        )
        return
    if given["source"] is None:
        raise UsageError("what to look at is missing", fix="opoi leaks FILE, or opoi leaks --calibrate")
    names, prose = _keys(given.pop("detectors")), _keys(given.pop("prose"))
    judge = {name: given.pop(name) for name in ("judge", "model_name", *ENDPOINT)}
    options = _named(given)
    files = {name: options.pop(name) for name in Beside.__struct_fields__}
    asked = LeakOptions(**options, detectors=names, prose=prose, beside=Beside(**files), judge=judge)
    try:
        status = leak_session(asked)
    except OpoiError as error:
        error.exit_code = 2  # 1 is what the gate says, and nothing else
        raise
    if status:
        raise SystemExit(status)
