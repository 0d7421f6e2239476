"""From the figures to tables and a page."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from opoi.errors import ArtefactError
from opoi.run import Run
from opoi.stages.common import trace_files
from opoi.store import Index, read
from opoi.types import Cleaned, Review, Scenario, Trace

if TYPE_CHECKING:  # slow to import: loaded where they are needed
    from rich.console import Console

    from opoi.measures import Results
    from opoi.report.html import Sample

__all__ = ["report", "show"]


_OF_THE_SITTING = ("concurrency", "max_calls", "max_tokens_total")
"""Settings on which no result depends."""


def report(run: Run) -> None:
    """Write the tables and the page: `report.txt` and `report.html`."""
    from opoi.report.html import render as render_html

    source = run.file("measures.json")
    simulated = is_simulated(run)

    def text() -> Iterator[bytes]:
        from rich.console import Console

        page = io.StringIO()
        show(run, Console(file=page, width=132, no_color=True), every_figure=True)
        yield page.getvalue().encode()

    settings = msgspec.to_builtins(run.settings)
    shown = {key: value for key, value in settings.items() if key not in _OF_THE_SITTING}

    def html() -> Iterator[bytes]:
        yield render_html(
            _results(run),
            settings=shown,
            samples=list(_samples(run)),
            simulated=simulated,
            about=_about(run),
        ).encode()

    inputs = [source, *(run.file("cleaned", f"{name}.jsonl") for name, _ in trace_files(run))]
    run.write("report.txt", run.file("report.txt"), inputs=[source], depends=simulated, chunks=text)
    run.write("report.html", run.file("report.html"), inputs=inputs, depends=[simulated, shown], chunks=html)


def show(run: Run, console: Console, *, every_figure: bool = False) -> None:
    """Print the tables of a measured run: the main ones, or every figure."""
    from opoi.report.terminal import print_report

    print_report(
        _results(run),
        console,
        simulated=is_simulated(run),
        about=_about(run),
        every_figure=every_figure,
    )


def _about(run: Run) -> str:
    """Return what consensus has to be read with: who decided, at which temperature, how often."""
    settings = run.settings
    first = next(read(run.file("rollouts.jsonl"), Trace), None)
    temperature = settings.endpoint.temperature
    warmth = (
        f" at {'its own' if temperature is None else f'{temperature:g}'} temperature"
        if settings.remote
        else ""
    )
    runs = f"{settings.runs} run{'s' * (settings.runs != 1)} of each"
    return f"model {first.model if first else 'none'}{warmth}, {runs}"


def _results(run: Run) -> Results:
    from opoi.measures import Results

    source = run.file("measures.json")
    try:
        return msgspec.json.decode(source.read_bytes(), type=Results)
    except FileNotFoundError as error:
        raise ArtefactError(f"{source} is missing", fix=f"opoi measure {run.path}") from error
    except msgspec.MsgspecError as error:
        raise ArtefactError(
            f"{source} cannot be read", why=str(error), fix=f"opoi measure {run.path} --force"
        ) from error


def is_simulated(run: Run) -> bool:
    """Whether an embedded model acted as the agent, so that the figures say nothing of a real one."""
    first = next(read(run.file("rollouts.jsonl"), Trace), None)
    return first is not None and first.model.startswith("stand-in")


def _samples(run: Run) -> Iterator[Sample]:
    """Choose a few telling traces of each arm: edited ones, a dropped one, a plain one."""
    from opoi.report.html import Sample

    worlds = Index(run.file("scenarios.jsonl"), Scenario, key="id")
    verdicts = Index(run.file("reviews.jsonl"), Review, key="scenario_id")
    wanted = {"edited": 2, "dropped": 1, "plain": 1}
    for name, source in trace_files(run):
        made = Index(source, Trace, key="id")
        shown: Counter[str] = Counter()
        for cleaned in read(run.file("cleaned", f"{name}.jsonl"), Cleaned):
            kind = "dropped" if not cleaned.kept else "edited" if cleaned.edits else "plain"
            if shown[kind] >= wanted[kind] or not cleaned.trace.messages:
                continue
            shown[kind] += 1
            seen = verdicts.one(cleaned.trace.scenario_id)
            yield Sample(
                arm=name,
                scenario=worlds.one(cleaned.trace.scenario_id),
                verdict=seen.verdict,
                before=made.one(cleaned.trace.id),
                after=cleaned,
            )
            if shown == Counter(wanted):
                break
