"""The tables of the report as plain data, for the terminal and for HTML alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from opoi.errors import visible
from opoi.measures.results import ArmResult, Definition, Results
from opoi.types import Measure

__all__ = [
    "ACCURACY",
    "MISSING",
    "QUALITY",
    "SIMULATED",
    "TABLE_ORDER",
    "Cell",
    "Table",
    "build_tables",
    "figure",
    "figures_table",
    "visible",
]

MISSING = "\u2013"
NEEDS = "needs "
"""How the note of a figure begins that the endpoint cannot give; the cell then says so in full."""

SIMULATED = "Simulated model: these figures validate the harness, not a model."
"""What every report of a run on an embedded model says first."""

ACCURACY = (
    "accuracy_expert",
    "accuracy_observable",
    "accuracy_hindsight",
    "consensus",
    "consensus_pair",
    "schema_valid",
    "regret_observable",
    "accuracy_observable_common",
)
QUALITY = (
    "yield",
    "residue",
    "hindsight_claims",
    "ungrounded_claims",
    "citation_precision",
    "js_excess",
    "js_null",
    "oov_rate",
    "tool_calls",
    "edited_share",
)
DETAIL = (
    "accuracy_magnitude",
    "accuracy_majority",
    "accuracy_majority_observable",
    "accuracy_majority_hindsight",
    "accuracy_unreachable",
    "consensus_unanimous",
    "regret_hindsight",
    "gap_architecture",
    "gap_acquisition",
    "gap_decision",
    "gap_foresight",
    "off_path",
    "off_path_error",
    "on_path_error",
    "compliance",
    "sycophancy",
    "justification_overlap",
    "unreachable_targets",
    "agent_failures",
    "infrastructure_failures",
    "residue_before",
    "ambiguous_claims",
    "oracle_claims",
    "derived_claims",
    "claims",
    "citation_rate",
    "citations_in_context",
    "citation_recall",
    "metric_citations",
    "json_valid",
    "enum_valid",
    "keys_in_order",
    "nested_tool_calls",
    "no_tool_calls",
    "as_of_violations",
    "length_ratio",
    "js_excess_common",
    "bigram_js_excess",
    "bigram_js_null",
    "tool_js_excess",
    "tool_js_null",
    "oov_types",
    "oov_types_null",
    "mauve_lite",
    "mauve_lite_null",
    "own_logprob",
    "own_logprob_prose",
    "own_logprob_form",
    "forced_logprob",
    "forced_logprob_prose",
    "forced_logprob_form",
    "forced_p",
    "forced_phi",
)
TABLE_ORDER = (*ACCURACY, *QUALITY, *DETAIL)
"""Names of the standard figures as they stand in the tables."""


class Cell(Struct, frozen=True):
    """One cell of a table.

    Attributes:
        text: The estimate, or what a head or label says.
        interval: Its 95 % interval in brackets, `""` where there is none.
        marks: Numbers of footnotes.
    """

    text: str
    interval: str = ""
    marks: tuple[int, ...] = ()

    @property
    def full(self) -> str:
        """The cell as one string, e.g. `71.9 % [66.1, 77.2] (1)`."""
        notes = "".join(f" ({mark})" for mark in self.marks)
        return f"{self.text}{' ' if self.interval else ''}{self.interval}{notes}"


class Table(Struct, frozen=True):
    """One table: a label and cells per row.

    Attributes:
        title: What the table is about.
        columns: Heads, that of the label first.
        rows: Cells, as many per row as there are columns.
        footnotes: Texts of the marks 1, 2, ...
        legend: Figure and definition, for each figure of the table that has one.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footnotes: tuple[str, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()


def build_tables(results: Results) -> tuple[Table, ...]:
    """Return the main tables of a report: accuracy and consensus, data quality, drops."""
    data = [arm for arm in results.arms if arm.kind == "data"]
    return (
        _arms_down(results, "Accuracy and consensus", ACCURACY, results.arms),
        _arms_down(results, "Data quality", QUALITY, data),
        _drops(results),
    )


def figures_table(results: Results) -> Table:
    """Return the table of all other figures, a figure per row."""
    shown = {*TABLE_ORDER}
    more = tuple(sorted(name for name in results.definitions if name not in shown))
    return _figures_down(results, "More figures", (*DETAIL, *more), results.arms)


def figure(measure: Measure, unit: str) -> tuple[str, str]:
    """Return an estimate and its interval as text.

    Args:
        measure: The figure.
        unit: `share` is printed in percent, `x` with that sign, everything else as it is.

    Returns:
        For example `("71.9 %", "[66.1, 77.2]")`, with p behind it where there is one; a missing estimate is a
        dash.
    """
    if measure.value is None:
        return MISSING, ""
    factor, digits = (100.0, 1) if unit == "share" else (1.0, 3 if unit in ("bits", "nats") else 2)
    text = _plain(measure.value * factor, digits) + {"share": "\u00a0%", "x": "\u00a0x"}.get(unit, "")
    if measure.low is None or measure.high is None:
        return text, ""
    p = "" if measure.p is None else f" p\u00a0{measure.p:.3f}"
    return text, f"[{_plain(measure.low * factor, digits)}, {_plain(measure.high * factor, digits)}]{p}"


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def _arms_down(results: Results, title: str, names: Sequence[str], arms: Iterable[ArmResult]) -> Table:
    """Return a table with an arm per row."""
    present = [name for name in names if name in results.definitions]
    notes = _Notes()
    rows = tuple(
        (Cell(visible(arm.name)), *(_cell(arm, name, results.definitions[name], notes) for name in present))
        for arm in arms
    )
    heads = ("arm", *(visible(results.definitions[name].title) for name in present))
    return Table(title, heads, rows, notes.texts, _legend(results, present))


def _figures_down(results: Results, title: str, names: Sequence[str], arms: Sequence[ArmResult]) -> Table:
    """Return a table with a figure per row."""
    notes = _Notes()
    rows = tuple(
        (
            Cell(visible(results.definitions[name].title)),
            *(_cell(arm, name, results.definitions[name], notes) for arm in arms),
        )
        for name in names
        if name in results.definitions
    )
    heads = ("figure", *(visible(arm.name) for arm in arms))
    return Table(title, heads, rows, notes.texts, _legend(results, names))


def _legend(results: Results, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return title and definition of figures, those of percentages and all others."""
    told = (results.definitions[name] for name in names if name in results.definitions)
    return tuple((visible(each.title), visible(each.formula)) for each in told if each.formula)


def _drops(results: Results) -> Table:
    arms = [arm for arm in results.arms if arm.kind == "data"]
    reasons = sorted({reason for arm in arms for reason in arm.drops})
    rows = [
        ("attempted", [arm.attempted for arm in arms]),
        *((visible(reason), [arm.drops.get(reason, 0) for arm in arms]) for reason in reasons),
        ("kept", [arm.kept for arm in arms]),
    ]
    return Table(
        "Drop reasons (traces)",
        ("reason", *(visible(arm.name) for arm in arms)),
        tuple((Cell(label), *(Cell(str(count)) for count in counts)) for label, counts in rows),
    )


class _Notes:
    """Footnotes of one table, numbered in the order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, note: str) -> tuple[int, ...]:
        """Return the marks of a note; parts divided by `; ` are notes of their own."""
        parts = [part for part in note.split("; ") if part]
        return tuple(self._numbers.setdefault(visible(part), len(self._numbers) + 1) for part in parts)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)


def _cell(arm: ArmResult, name: str, definition: Definition, notes: _Notes) -> Cell:
    measure = arm.measures.get(name)
    if measure is None:
        return Cell(MISSING, marks=notes.mark("not measured"))
    if measure.value is None and measure.note.startswith(NEEDS):
        return Cell(visible(measure.note))
    text, interval = figure(measure, definition.unit)
    return Cell(text, interval, notes.mark(measure.note))
