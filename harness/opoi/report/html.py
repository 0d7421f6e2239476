"""The report as one HTML file that asks for nothing: no script, no request, the same bytes every time.

The page carries a content security policy that allows its own style sheet, by hash, and nothing else.
Everything that comes from a run is escaped by jinja2's autoescape and freed of control characters.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from opoi.measures.results import Results
from opoi.report.contents import report_tables
from opoi.report.definitions import definition_parts
from opoi.report.svg import Dot, interval_plot
from opoi.report.tables import MISSING, SIMULATED, TABLE_ORDER, Table, figure, visible
from opoi.report.trace_view import Sample, view

__all__ = ["Sample", "render"]


PLOTS = (
    "accuracy_observable",
    "accuracy_expert",
    "consensus_pair",
    "yield",
    "hindsight_claims",
    "ungrounded_claims",
)


class _Plot(Struct, frozen=True):
    title: str
    doc: str
    svg: Markup


def render(
    results: Results,
    *,
    settings: Mapping[str, object],
    samples: Sequence[Sample],
    simulated: bool,
    about: str = "",
) -> str:
    """Return the report as HTML.

    Args:
        results: All figures.
        settings: How the run was made; printed as they are. Leave out what changes between two runs of
            the same experiment: dates, timings, paths.
        samples: Traces to show.
        simulated: Whether a stand-in played the model; the page then says so at its head.
        about: What the run was, in one line: model, temperature, runs.

    Returns:
        A whole document, to be written as UTF-8.
    """
    folder = files("opoi.report")
    style = (folder / "style.css").read_text(encoding="utf-8")
    source = (folder / "template.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.globals["notes_of"] = _notes_of
    return environment.from_string(source).render(
        style=Markup(style),  # noqa: S704  # our own file; the policy's hash is of these very bytes
        style_hash=_hash(style),
        suite=visible(results.suite),
        about=visible(about),
        statement=SIMULATED if simulated else "",
        settings=[
            (visible(str(key)), _setting(value))
            for key, value in ({"seed": results.seed} | {**settings}).items()
        ],
        totals=_totals(results),
        tables=report_tables(results),
        plots=_plots(results),
        definitions=_definitions(results),
        samples=[view(sample) for sample in samples],
    )


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _definitions(results: Results) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Return title, name, meaning and definition of every figure, in the order of the tables."""
    known = results.definitions
    names = dict.fromkeys([*(name for name in TABLE_ORDER if name in known), *sorted(known)])
    return [
        (visible(known[name].title), visible(name), visible(known[name].doc), definition_parts(known[name]))
        for name in names
    ]


def _setting(value: object) -> str:
    if isinstance(value, str):
        return visible(value) or MISSING
    return visible(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))


def _totals(results: Results) -> list[tuple[str, str]]:
    data = [arm for arm in results.arms if arm.kind == "data"]
    return [
        ("scenarios", f"{results.scenarios:,}"),
        ("arms with data", str(len(data))),
        ("traces attempted", f"{sum(arm.attempted for arm in data):,}"),
        ("traces kept", f"{sum(arm.kept for arm in data):,}"),
        ("bootstrap resamples", f"{results.resamples:,}"),
    ]


def _plots(results: Results) -> list[_Plot]:
    plots = []
    for name in PLOTS:
        definition = results.definitions.get(name)
        if definition is None:
            continue
        dots = []
        for arm in results.arms:
            measure = arm.measures.get(name)
            if measure is not None and (measure.value is not None or arm.kind == "data"):
                text = " ".join(figure(measure, definition.unit))
                dots.append(
                    Dot(visible(arm.name), measure.value, measure.low, measure.high, text, arm.kind != "data")
                )
        title = visible(definition.title)
        plots.append(_Plot(title, visible(definition.doc), interval_plot(title, dots)))
    return plots


def _notes_of(table: Table) -> list[tuple[int, str]]:
    return list(enumerate(table.footnotes, start=1))
