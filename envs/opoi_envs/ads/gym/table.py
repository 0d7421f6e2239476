"""The account as text: campaigns in a table, and what was said last."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from opoi_envs.ads import rows
from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.account.view import View

__all__ = ["Exchange", "table"]

_WIDTH = 100
_LINES = 12


class Exchange(Struct, frozen=True):
    """An action and the answer to it."""

    action: str
    answer: str
    error: bool


_COLUMNS = (
    ("campaign", "<", 38),
    ("status", "<", 9),
    ("budget", ">", 10),
    ("spend 7d", ">", 10),
    ("purch.", ">", 7),
    ("cpa", ">", 8),
    ("vs target", ">", 10),
    ("roas", ">", 6),
)


def table(view: View, focus: str, last: Exchange | None, taken: str) -> str:
    """Return the account as a text.

    Args:
        view: The account on the decision day.
        focus: Printed id of the campaign that the decision is about, marked with `>`.
        last: What was said last.
        taken: The action that was decided on, `""` while it is open.
    """
    known = {metric: value for metric, value, _ in rows.settings(view)}
    advertiser = view.account.world.advertiser
    lines = [
        f"{advertiser.name} ({advertiser.id})   {view.day(0)}   {taken or 'decision open'}",
        f"target CPA ${known['target_cpa']:.2f}   average order ${known['average_order_value']:.2f}   "
        f"gross margin {known['gross_margin']} %   break-even ROAS {known['break_even_roas']:.2f}",
        "",
        "  " + " ".join(f"{name:{side}{width}}" for name, side, width in _COLUMNS),
    ]
    for node in view.account.of_kind("campaign"):
        mark = ">" if rows.label(node) == focus else " "
        cells = zip(_cells(view, node, float(known["target_cpa"])), _COLUMNS, strict=True)
        lines.append(
            f"{mark} " + " ".join(f"{cell:{side}{width}.{width}}" for cell, (_, side, width) in cells)
        )
    if last is not None:
        lines += [
            "",
            *_shown("agent", last.action),
            *_shown("error" if last.error else "account", last.answer),
        ]
    return "\n".join(lines) + "\n"


def _cells(view: View, node: Node, target: float) -> tuple[str, ...]:
    week: dict[str, Any] = dict(rows.row(view, node, 7, 1))
    cpa, roas = week.get("cpa"), week.get("roas")
    state = "LEARNING" if view.account.learning(node) and node.status == "ACTIVE" else node.status
    return (
        f"{rows.label(node)} {node.name}",
        state,
        f"${view.account.daily_budget(node) / 100:,.2f}",
        f"${week['spend']:,.0f}",
        str(week["purchases"]),
        "-" if cpa is None else f"${cpa:,.2f}",
        "-" if cpa is None else f"{100 * (cpa / target - 1):+.0f} %",
        "-" if roas is None else f"{roas:.2f}",
    )


def _shown(speaker: str, text: str) -> list[str]:
    """Return a text in lines of a readable width, the first of them named."""
    lines = [part[at : at + _WIDTH] for part in text.splitlines() for at in range(0, len(part), _WIDTH)]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"... {len(lines) - _LINES + 1} more lines"]
    return [f"{speaker + ':' if not at else '':9}{line}" for at, line in enumerate(lines or [""])]
