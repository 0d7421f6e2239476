"""From sums to the values of an insights row: counts, money, ratios and lists of actions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from msgspec import Struct

from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.account.splits import WINDOWS
from opoi_envs.ads.account.view import COLUMNS
from opoi_envs.ads.graph.dates import Period

__all__ = ["LISTS", "NUMBERS", "Row", "metric", "money", "number", "ratio_text"]


class Row(Struct, frozen=True):
    """One row before it is put into words.

    Attributes:
        node: The object; None for the account.
        period: Its days.
        cell: Values of the breakdowns.
        sums: In the order of `COLUMNS`; then, where windows were asked, purchases by window and their value
            in cents by window.
        reach: People.
    """

    node: Node | None
    period: Period
    cell: tuple[str, ...]
    sums: list[int]
    reach: int


_SHOWN, _CLICKS, _LINKS, _SPEND, _VIEWS, _CARTS, _CHECKOUTS, _BOUGHT, _REVENUE = range(9)
_COUNTS = {"impressions": _SHOWN, "clicks": _CLICKS, "inline_link_clicks": _LINKS}
_RATIOS: dict[str, tuple[int, int, int, int]] = {
    # name: column above, its factor, column below (-1: reach), its factor
    "cpm": (_SPEND, 10, _SHOWN, 1),
    "cpc": (_SPEND, 1, _CLICKS, 100),
    "ctr": (_CLICKS, 100, _SHOWN, 1),
    "cpp": (_SPEND, 10, -1, 1),
    "frequency": (_SHOWN, 1, -1, 1),
    "inline_link_click_ctr": (_LINKS, 100, _SHOWN, 1),
    "cost_per_inline_link_click": (_SPEND, 1, _LINKS, 100),
}
NUMBERS: frozenset[str] = frozenset(_COUNTS) | frozenset(_RATIOS) | {"spend", "reach"}
"""Metrics with one value; rows can be filtered and sorted by them."""

_ACTIONS: tuple[tuple[str, int], ...] = (
    ("link_click", _LINKS),
    ("landing_page_view", _VIEWS),
    ("add_to_cart", _CARTS),
    ("initiate_checkout", _CHECKOUTS),
    ("purchase", _BOUGHT),
    ("omni_purchase", _BOUGHT),
    ("offsite_conversion.fb_pixel_purchase", _BOUGHT),
)
_OUTBOUND = (("outbound_click", _LINKS),)
_KINDS: dict[str, tuple[tuple[str, int], ...]] = {
    "actions": _ACTIONS,
    "action_values": tuple((kind, column) for kind, column in _ACTIONS if column == _BOUGHT),
    "cost_per_action_type": _ACTIONS,
    "purchase_roas": (("omni_purchase", _BOUGHT),),
    "website_purchase_roas": (("offsite_conversion.fb_pixel_purchase", _BOUGHT),),
    "outbound_clicks": _OUTBOUND,
    "outbound_clicks_ctr": _OUTBOUND,
    "cost_per_outbound_click": _OUTBOUND,
    "website_ctr": _ACTIONS[:1],
}
LISTS: frozenset[str] = frozenset(_KINDS)
"""Metrics that are lists of actions."""


def number(row: Row, name: str) -> Fraction | None:
    """Return the value of a metric in `NUMBERS`, money in major units; None where it is not defined."""
    if name == "reach":
        return Fraction(row.reach)
    if name == "spend":
        return Fraction(row.sums[_SPEND], 100)
    if name in _COUNTS:
        return Fraction(row.sums[_COUNTS[name]])
    above, below = _parts(row, name)
    return Fraction(above, below) if below else None


def metric(row: Row, name: str, windows: tuple[str, ...]) -> Any:  # noqa: ANN401 - text or list
    """Return a metric as the API writes it; None where it is left out.

    Args:
        row: The row.
        name: In `NUMBERS` or `LISTS`.
        windows: Attribution windows that were asked.

    Raises:
        KeyError: There is no such metric.
    """
    if name in _COUNTS:
        return str(row.sums[_COUNTS[name]])
    if name == "reach":
        return str(row.reach)
    if name == "spend":
        return money(row.sums[_SPEND])
    if name in _RATIOS:
        above, below = _parts(row, name)
        return ratio_text(above, below) if below else None
    return _elements(row, name, windows) or None


def money(cents: int) -> str:
    """Return cents in major units with two decimals."""
    return f"{cents // 100}.{cents % 100:02d}"


def ratio_text(above: int, below: int) -> str:
    """Return a ratio with up to six decimals, rounded half up, without trailing zeros."""
    millionths = (2_000_000 * above + below) // (2 * below)
    whole, rest = divmod(millionths, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def _parts(row: Row, name: str) -> tuple[int, int]:
    column, factor, divisor, multiple = _RATIOS[name]
    below = row.reach if divisor < 0 else row.sums[divisor]
    return row.sums[column] * factor, below * multiple


def _elements(row: Row, name: str, windows: tuple[str, ...]) -> list[dict[str, str]]:
    """Return a list of actions: one element for each type that has a count."""
    spend, shown = row.sums[_SPEND], row.sums[_SHOWN]
    result = []
    for kind, column in _KINDS[name]:
        values = {"value": _count(row, column, None)}
        values |= {window: _count(row, column, window) for window in windows}
        texts = {key: _text(name, counts, spend, shown) for key, counts in values.items()}
        if texts["value"] or any(texts.values()):
            found = {key: text for key, text in texts.items() if text}
            result.append({"action_type": kind, "value": "0", **found})
    return result


def _count(row: Row, column: int, window: str | None) -> tuple[int, int]:
    """Return the count of an action in a window, and its value in cents.

    Everything but purchases happens within a day of the click.
    """
    if column != _BOUGHT:
        clicked = window is None or window.endswith("_click")
        return (row.sums[column] if clicked else 0), 0
    if window is None or window == "default":
        return row.sums[_BOUGHT], row.sums[_REVENUE]
    if window not in WINDOWS:
        return 0, 0
    place = len(COLUMNS) + WINDOWS.index(window)
    return row.sums[place], row.sums[place + len(WINDOWS)]


def _text(name: str, counts: tuple[int, int], spend: int, shown: int) -> str:
    """Return one value of an action; empty where it is zero or not defined."""
    count, cents = counts
    if not count:
        return ""
    if name == "action_values":
        return money(cents)
    if name.endswith("_roas"):
        return ratio_text(cents, spend) if spend else ""
    if name.startswith("cost_per"):
        return ratio_text(spend, 100 * count)
    if name.endswith("_ctr"):
        return ratio_text(100 * count, shown) if shown else ""
    return str(count)
