"""The page of `opoi compare`: what is compared with what, the primary figures first, then all others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from opoi.measures.paired.differences import Compared, Comparisons, Contrast, Difference
from opoi.measures.paired.inference import MOST_NEEDED
from opoi.measures.results import Definition
from opoi.report.tables import MISSING, SIMULATED, Cell, Table, visible
from opoi.report.tables import figure as printed
from opoi.report.terminal import print_table

__all__ = ["comparison_tables", "print_comparisons", "settings_table"]

_EXTENT = ("n", "resamples", "export", "version.")
"""Settings that may differ without a share in any difference: only what both runs have is compared."""


def print_comparisons(found: Comparisons, console: Console) -> None:
    """Print everything: what differs between the runs, then each comparison with its tables."""
    if found.simulated:
        console.print(Text(SIMULATED, style="bold"))
    for line in _head(found):
        console.print(Text(line))
    if found.settings:
        for number, run in enumerate(found.runs, start=1):
            console.print(Text(visible(f"run {number} = {run}")))
        heads = [f"run\u00a0{number + 1}" for number in range(len(found.runs))]
        print_table(settings_table("What differs between the runs", heads, found.settings), console)
        for line in _warning(found.settings):
            console.print(Text(line, style="bold"))
    for one in found.compared:
        console.print()
        for line in _sides(one):
            console.print(Text(visible(line), style="bold"))
        for table in comparison_tables(found, one):
            print_table(table, console)


def comparison_tables(found: Comparisons, one: Compared) -> tuple[Table, ...]:
    """Return the tables of one comparison.

    Strategies that differ, primary figures, other figures, figures in which no scenario differs, and those
    that are not compared; each where there is something to say.
    """
    primary = [name for name in found.primary if name in one.figures]
    rest = [name for name in one.figures if name not in found.primary]
    others = [name for name in rest if one.figures[name].differing]
    alike = [name for name in rest if not one.figures[name].differing]
    tables = []
    if one.contrasts:
        tables.append(settings_table("How the arms are made", ("A", "B"), one.contrasts))
    if primary:
        title = _primary_title(found.tests) + _alike_in(primary, one)
        tables.append(_figures(title, primary, found, one, adjusted=True))
    if others:
        title = "Other figures: p is not adjusted, expect 1 in 20 at 0.05 by chance"
        tables.append(_figures(title, others, found, one, adjusted=False))
    if alike:
        tables.append(_alike(alike, found, one))
    if one.missing:
        tables.append(_missing(one.missing))
    return tuple(tables)


def _primary_title(tests: int) -> str:
    if not tests:
        return "Primary figures: no scenario differs in any of them, there is nothing to test"
    return f"Primary figures: p adjusted by Holm's method over {tests} test{'s' if tests > 1 else ''}"


def _alike_in(names: Sequence[str], one: Compared) -> str:
    """Say which figures are alike in every scenario, and what that says of others."""
    bounds: dict[str, list[str]] = {}
    for name in names:
        if not one.figures[name].differing:
            bounds.setdefault(_percent(one.figures[name].most_differing), []).append(name)
    return "".join(
        f". Alike in every scenario, 95 % sure that fewer than {most} differ: {', '.join(alike)}"
        for most, alike in bounds.items()
    )


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.2g}\u00a0%"


def _missing(missing: Mapping[str, str]) -> Table:
    reasons: dict[str, list[str]] = {}
    for name, why in missing.items():
        reasons.setdefault(why, []).append(name)
    rows = tuple((Cell(why), Cell(", ".join(names))) for why, names in reasons.items())
    return Table("Not compared", ("why", "figures"), rows)


def settings_table(title: str, heads: Sequence[str], contrasts: Sequence[Contrast]) -> Table:
    """Return settings that differ, one per row, with a column for each of those compared."""
    rows = tuple((Cell(row.name), *(Cell(value or MISSING) for value in row.values)) for row in contrasts)
    return Table(title, ("setting", *heads), rows)


# ---------------------------------------------------------------- words


def _head(found: Comparisons) -> list[str]:
    return [
        "B minus A (shares: in points) on the scenarios in which both have a value, with 95 % intervals of a "
        f"paired bootstrap over scenarios ({found.resamples} resamples, fewer for very many scenarios). p: "
        "the two arms exchanged within scenarios; exact McNemar where every scenario is 0 or 1.",
        f"A verdict is given at p <= {found.alpha:g}. Under `undecided` stands the number of scenarios with "
        f"which a difference as large as this would be found with a chance of {100 * found.power:g} % (at "
        f"{found.alpha:g}; for a primary figure at {found.alpha:g} divided by the number of tests).",
    ]


def _warning(contrasts: Sequence[Contrast]) -> list[str]:
    weighty = [row.name for row in contrasts if not row.name.startswith(("resolved.", *_EXTENT))]
    weighty += [row.name for row in contrasts if row.name.startswith("resolved.") and not weighty]
    if len(weighty) < 2:
        return []
    return [
        f"The runs differ in {len(weighty)} settings at once: no difference below can be put down to one "
        "of them."
    ]


def _sides(one: Compared) -> list[str]:
    apart = [
        f"{count} {what}"
        for count, what in (
            (one.only_a, "in A alone"),
            (one.only_b, "in B alone"),
            (one.other_world, "with one id but two worlds"),
        )
        if count
    ]
    left = f"; left out: {', '.join(apart)}" if apart else ""
    many = f"{one.scenarios} scenario{'s' * (one.scenarios != 1)}"
    lines = [f"A = {one.a}", f"B = {one.b}", f"{many} in both{left}"]
    if one.closed is not None and one.closed.value is not None:
        text = " ".join(printed(one.closed, "share")).rstrip()
        note = f" ({one.closed.note})" if one.closed.note else ""
        lines.append(
            f"performance gap closed by B: {text} = 1 - regret_observable(B) / regret_observable(A) "
            f"= (V_B - V_A) / (V_obs - V_A){note}"
        )
    return lines


# ---------------------------------------------------------------- figures


def _figures(title: str, names: Sequence[str], found: Comparisons, one: Compared, *, adjusted: bool) -> Table:
    notes, rows = [], []
    for number, name in enumerate(names, start=1):
        definition, figure = found.definitions[name], one.figures[name]
        notes.append(_note(definition, figure))
        rows.append((Cell(name, marks=(number,)), *_cells(definition.unit, figure, adjusted=adjusted)))
    heads = ("figure", "A", "B", "B minus A", "verdict", "p (Holm)" if adjusted else "p")
    return Table(title, heads, tuple(rows), tuple(notes))


def _alike(names: Sequence[str], found: Comparisons, one: Compared) -> Table:
    """Return the figures that no test can tell anything about, with what their sameness says."""
    notes, rows = [], []
    for number, name in enumerate(names, start=1):
        definition, figure = found.definitions[name], one.figures[name]
        value = Cell(_value(figure.a, definition.unit, _digits(definition.unit, figure)))
        most = Cell(_percent(figure.most_differing))
        rows.append((Cell(name, marks=(number,)), value, Cell(str(figure.n)), most))
        notes.append(_note(definition, figure))
    heads = ("figure", "A = B", "scenarios", "differ, at most")
    title = "Alike in every scenario (95 % sure that no more than `differ, at most` of all scenarios differ)"
    return Table(title, heads, tuple(rows), tuple(notes))


def _note(definition: Definition, figure: Difference) -> str:
    """Return what a figure is, and what is to be said about it here."""
    said = f"{definition.title} = {definition.formula}" if definition.formula else definition.doc
    unit = "" if definition.unit in ("share", "x", "count") else f" ({definition.unit})"
    here = f" Here: {figure.note}." if figure.note else ""
    return f"{said.rstrip('.')}{unit}.{here}"


def _cells(unit: str, figure: Difference, *, adjusted: bool) -> list[Cell]:
    digits = _digits(unit, figure)
    return [
        Cell(_value(figure.a, unit, digits)),
        Cell(_value(figure.b, unit, digits)),
        Cell(_signed(figure.difference, unit, digits), _interval(figure, unit, digits)),
        Cell(figure.verdict, _needed(figure)),
        Cell(_p(figure.p), f"({_p(figure.p_adjusted)})" if adjusted else ""),
    ]


def _digits(unit: str, figure: Difference) -> int:
    """Return how many decimals show half the interval with two digits: nothing finer is known."""
    least, usual = (1, 1) if unit == "share" else (0, 2)
    if figure.low is None or figure.high is None or figure.high <= figure.low:
        return usual
    half = (figure.high - figure.low) / 2 * (100 if unit == "share" else 1)
    return min(6, max(least, 1 - math.floor(math.log10(half))))


def _value(value: float | None, unit: str, digits: int) -> str:
    if value is None:
        return MISSING
    sign = {"share": "\u00a0%", "x": "\u00a0x"}.get(unit, "")
    return _plain(value * (100 if unit == "share" else 1), digits) + sign


def _signed(value: float | None, unit: str, digits: int) -> str:
    if value is None:
        return MISSING
    text = _plain(value * (100 if unit == "share" else 1), digits)
    return text if text.startswith("-") or not float(text) else f"+{text}"


def _interval(figure: Difference, unit: str, digits: int) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"[{_signed(figure.low, unit, digits)}, {_signed(figure.high, unit, digits)}]"


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def _needed(figure: Difference) -> str:
    if figure.needed is None:
        return ""
    return f"> {MOST_NEEDED:,}" if figure.needed > MOST_NEEDED else f"{figure.needed:,}"


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return "<0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.001 else f"{value:.3f}"
