"""What the agent's tools print about a window: metrics of an object, as exact decimals, and as facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opoi.types import Fact
from opoi_envs.ads.account.nodes import Kind, Node, Refused
from opoi_envs.ads.account.view import COLUMNS, Totals, View, ratio, ratios
from opoi_envs.ads.world.noise import Ints

__all__ = [
    "COMPARED",
    "PRESETS",
    "STAGES",
    "UNITS",
    "Row",
    "campaign_named",
    "change_pct",
    "facts",
    "funnel",
    "label",
    "named",
    "page",
    "printable",
    "row",
    "settings",
    "share_pct",
]

Number = int | float
Row = dict[str, Number]
"""Metrics of one window in the order in which they are printed; an undefined ratio is left out."""

PRESETS: dict[str, int] = {
    "yesterday": 1,
    "last_3d": 3,
    "last_7d": 7,
    "last_14d": 14,
    "last_28d": 28,
    "last_90d": 90,
}
"""Length in days of each date preset; all end on the day before the decision day."""

UNITS: dict[str, str] = {
    "spend": "USD",
    "impressions": "count",
    "clicks": "count",
    "ctr": "%",
    "cpm": "USD",
    "cpc": "USD",
    "purchases": "count",
    "revenue": "USD",
    "cpa": "USD",
    "roas": "x",
    "frequency": "x",
}
"""Unit of every metric of a row."""

COMPARED: tuple[str, ...] = ("spend", "ctr", "purchases", "cpa", "roas")
"""Metrics whose change from one window to the next is printed, in percent."""

STAGES: dict[str, str] = {
    "clicks": "link_clicks",
    "landing_page_views": "views",
    "adds_to_cart": "carts",
    "checkouts": "checkouts",
    "purchases": "purchases",
}
"""Stages of the funnel and the columns that count them."""

_PREFIX: dict[Kind, str] = {"campaign": "cmp_", "adset": "set_", "ad": "ad_"}
_KIND: dict[str, Kind] = {prefix: kind for kind, prefix in _PREFIX.items()}
_AT = {name: place for place, name in enumerate(COLUMNS)}


# ---------------------------------------------------------------- names


def label(node: Node) -> str:
    """Return the id that tools print for an object, e.g. `cmp_412037`."""
    return _PREFIX[node.kind] + node.id


def named(view: View, name: str) -> Node:
    """Return the object that a printed id names.

    Raises:
        Refused: There is none.
    """
    prefix, _, number = name.partition("_")
    kind = _KIND.get(f"{prefix}_")
    known = view.account.nodes.get(number)
    if kind is None or known is None or known.kind != kind:
        raise Refused("unknown_id", f"there is no object {name!r} in this account", _campaigns(view))
    return known


def campaign_named(view: View, name: str) -> Node:
    """Return the campaign that a printed id names.

    Raises:
        Refused: There is none.
    """
    known = view.account.nodes.get(name.removeprefix("cmp_"))
    if not name.startswith("cmp_") or known is None or known.kind != "campaign":
        raise Refused("unknown_id", f"there is no campaign {name!r} in this account", _campaigns(view))
    return known


def _campaigns(view: View) -> str:
    return "campaigns: " + ", ".join(label(node) for node in view.account.of_kind("campaign"))


# ---------------------------------------------------------------- rows


def row(view: View, node: Node, first: int, last: int) -> Row:
    """Return the metrics of a window.

    Args:
        view: The account on its today.
        node: The object.
        first: First day as days before today, e.g. 7.
        last: Last day likewise, at least 1.
    """
    end = view.today - last
    return metrics(view.totals(node, view.today - first, end), view.audience(node, end))


def page(view: View, node: Node, first: int, last: int) -> tuple[Row, tuple[Fact, ...]]:
    """Return the metrics of a window, and as facts; days as in `row`. Not to be changed: they are kept."""

    def work_out() -> tuple[Row, tuple[Fact, ...]]:
        shown = row(view, node, first, last)
        return shown, tuple(facts(label(node), view.window(first, last), shown))

    return view.remembered(("page", node.id, first, last), work_out)


def metrics(totals: Totals, audience: int) -> Row:
    """Return the metrics of a window from its totals."""
    imp, _, clk, spend, _, _, _, pur, rev = totals
    shown: Row = {"spend": spend / 100, "impressions": imp, "clicks": clk}
    if imp:
        shown["ctr"] = ratio(clk * 10000, imp) / 100
        shown["cpm"] = ratio(spend * 1000, imp) / 100
    if clk:
        shown["cpc"] = ratio(spend, clk) / 100
    shown["purchases"] = pur
    shown["revenue"] = rev / 100
    if pur:
        shown["cpa"] = ratio(spend, pur) / 100
    if spend:
        shown["roas"] = ratio(rev * 100, spend) / 100
    shown["frequency"] = (100 + ratio(100 * imp, audience)) / 100
    return shown


def funnel(view: View, node: Node, first: int, last: int) -> dict[str, int]:
    """Return the counts of each stage of the funnel over a window, given as in `row`."""
    totals = view.totals(node, view.today - first, view.today - last)
    return {stage: totals[_AT[column]] for stage, column in STAGES.items()}


def facts(entity: str, window: str, shown: Row) -> list[Fact]:
    """Return a row as facts."""
    return [Fact(entity, metric, window, value, UNITS[metric]) for metric, value in shown.items()]


def settings(view: View) -> list[tuple[str, Number, str]]:
    """Return the targets and economics of the account as (metric, value, unit)."""
    advertiser = view.account.world.advertiser
    return [
        ("target_cpa", advertiser.target_cpa_cents / 100, "USD"),
        ("average_order_value", advertiser.aov_cents / 100, "USD"),
        ("gross_margin", advertiser.margin_pct, "%"),
        ("break_even_roas", ratio(10000, advertiser.margin_pct) / 100, "x"),
    ]


def change_pct(now: Number, before: Number) -> float:
    """Return the change in percent between two printed values, rounded half up to one decimal."""
    return _tenths(int(now * 100 + 0.5), int(before * 100 + 0.5)) / 10


def share_pct(part: int, whole: int) -> float:
    """Return a share in percent, rounded half up to one decimal."""
    return ratio(1000 * part, whole) / 10


def _tenths(new: int, old: int) -> int:
    """Return the change from old (above 0) to new in tenths of a percent, rounded half up."""
    return (2000 * (new - old) + old) // (2 * old)


# ---------------------------------------------------------------- all that can be printed


def printable(view: View, nodes: Sequence[Node]) -> set[int]:
    """Return the size of every number that tools can print about campaigns or ad sets, in hundredths.

    Covers single days and presets, and budgets, past ones included; of campaigns also compared windows with
    their changes in percent (without the sign), and the funnel. Where a ratio is undefined a number may
    stand that no tool prints.

    Args:
        view: The account on its today.
        nodes: Objects of one kind.
    """
    running = np.array([view.running(node) for node in nodes])
    audience = np.array([[view.audience(node)] for node in nodes])
    whole = running.shape[2] - 1
    spans = [(whole - length, whole) for length in PRESETS.values()]
    spans += [(day, day + 1) for day in range(whole - 28, whole)]
    sizes = set[int]()
    if nodes[0].kind == "campaign":
        now = [(whole - length, whole) for length in range(1, 15)]
        before = [(whole - 2 * length, whole - length) for length in range(1, 15)]
        spans += [*now, *before]
        sizes |= _changes(_windows(running, now), _windows(running, before))
    windows = _windows(running, spans)
    imp, _, clk, spend, *stages, pur, rev = (windows[:, column] for column in range(len(COLUMNS)))
    shown = [spend, 100 * imp, 100 * clk, 100 * pur, rev, ratios(clk * 10000, imp), ratios(spend * 1000, imp)]
    shown += [
        ratios(spend, clk),
        ratios(spend, pur),
        ratios(rev * 100, spend),
        100 + ratios(100 * imp, audience),
    ]
    if nodes[0].kind == "campaign":
        shown += [100 * stage for stage in stages]
        shown += [10 * ratios(1000 * stage, clk) for stage in (*stages, pur)]
    sizes.update(np.concatenate([each.ravel() for each in shown]).tolist())
    names = {node.id for node in nodes}
    for event in view.account.events:
        if event.node in names:
            sizes.update(value for value in (event.old, event.new) if isinstance(value, int))
    return sizes | {view.account.daily_budget(node) for node in nodes}


def _windows(running: Ints, spans: Sequence[tuple[int, int]]) -> Ints:
    """Return sums over windows, shape (objects, columns, windows), from running totals."""
    starts, ends = zip(*spans, strict=True)
    result: Ints = running[:, :, ends] - running[:, :, starts]
    return result


def _changes(now: Ints, before: Ints) -> set[int]:
    """Return the size of the changes in percent of what is compared, in hundredths."""

    def compared(windows: Ints) -> Ints:
        imp, _, clk, spend, _, _, _, pur, rev = (windows[:, column] for column in range(len(COLUMNS)))
        return np.stack(
            (spend, ratios(clk * 10000, imp), 100 * pur, ratios(spend, pur), ratios(rev * 100, spend))
        )

    new, old = compared(now), np.maximum(compared(before), 1)
    return set(np.abs(10 * ((2000 * (new - old) + old) // (2 * old))).ravel().tolist())
