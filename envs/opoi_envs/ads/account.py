"""What the account shows on a day: reported metrics, added up over windows, ratios last.

A `View` is the only way from the world to a tool. It knows the day of looking and serves nothing dated on
or after it. All arithmetic is in integers (counts, cents, hundredths); a value is divided by 100 when it
is handed out, so what is printed is exact.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from opoi.types import Fact
from opoi_envs.ads.noise import Ints
from opoi_envs.ads.world import HISTORY, Campaign, World

__all__ = ["COMPARED", "PRESETS", "UNITS", "Row", "View", "change_pct"]

Number = int | float
N = TypeVar("N", int, Ints)
Row = dict[str, Number]
"""Metrics of one window in the order in which they are printed; an undefined ratio is left out."""

PRESETS: dict[str, int] = {"yesterday": 1, "last_3d": 3, "last_7d": 7, "last_14d": 14, "last_28d": 28}
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

_REACHES = (*range(1, 15), 28)
_FIRST = np.array([HISTORY - n for n in _REACHES] + [HISTORY - 2 * n for n in range(1, 15)])
_LAST = np.array([HISTORY] * len(_REACHES) + [HISTORY - n for n in range(1, 15)])
_DAY = np.arange(HISTORY - 28, HISTORY)
_STARTS = np.concatenate([_FIRST, _DAY])
_ENDS = np.concatenate([_LAST, _DAY + 1])
_CURRENT = slice(0, 14)
_PREVIOUS = slice(len(_REACHES), len(_REACHES) + 14)


class View:
    """The account as it stands on one day.

    Args:
        world: The world.
        age: How many days after the decision day one looks; 0 for the agent. A reviewer who looks back
            sees purchases that had not been attributed at the time, never another day's facts.
    """

    def __init__(self, world: World, age: int = 0) -> None:
        self.world = world
        ages = np.minimum(HISTORY - np.arange(HISTORY) + age, 28)
        self._shares = np.array(world.shares)[ages]
        self._sums: dict[str, list[list[int]]] = {}

    def reported(self, campaign: Campaign) -> tuple[Ints, Ints]:
        """Return purchases and revenue in cents per day of the history, as visible on the day of looking."""
        days = self.world.days(campaign)
        seen = (days.purchases * self._shares + 500) // 1000
        return seen, days.revenue_cents * seen // np.maximum(days.purchases, 1)

    def row(self, campaign: Campaign, first: int, last: int) -> Row:
        """Return the metrics of a window.

        Args:
            campaign: Whose.
            first: First day as days before the decision day, e.g. 7.
            last: Last day likewise, at least 1.

        Raises:
            ValueError: The window is empty or leaves the history.
        """
        if not 1 <= last <= first <= HISTORY:
            raise ValueError(f"no window from {first} to {last} days before the decision")
        sums = self._sums.get(campaign.id)
        if sums is None:
            sums = self._sums[campaign.id] = self._running(campaign).tolist()
        start, end = HISTORY - first, HISTORY - last + 1
        return _metrics([column[end] - column[start] for column in sums], campaign.audience)

    def window(self, first: int, last: int) -> str:
        """Return a window as text: an ISO day, or first and last day."""
        if first == last:
            return self.world.day(-first)
        return f"{self.world.day(-first)}..{self.world.day(-last)}"

    def facts(self, campaign: Campaign, window: str, row: Row) -> list[Fact]:
        """Return a row as facts."""
        return [Fact(campaign.id, metric, window, value, UNITS[metric]) for metric, value in row.items()]

    def settings(self) -> list[tuple[str, Number, str]]:
        """Return the targets and economics of the account as (metric, value, unit)."""
        account = self.world.account
        return [
            ("target_cpa", account.target_cpa_cents / 100, "USD"),
            ("average_order_value", account.aov_cents / 100, "USD"),
            ("gross_margin", account.margin_pct, "%"),
            ("break_even_roas", _ratio(10000, account.margin_pct) / 100, "x"),
        ]

    def printable(self, campaign: Campaign) -> set[int]:
        """Return the size of every number that a tool can print about a campaign, in hundredths.

        Covers single days, presets, compared windows and their changes in percent (without the sign), and
        the budgets, past ones included. Where a ratio is undefined a number may stand that no tool prints.
        """
        running = self._running(campaign)
        imp, clk, spend, pur, rev = running[:, _ENDS] - running[:, _STARTS]
        ctr, cpa, roas = _ratios(clk * 10000, imp), _ratios(spend, pur), _ratios(rev * 100, spend)
        compared = np.stack((spend, ctr, 100 * pur, cpa, roas))
        changes = _tenths(compared[:, _CURRENT], np.maximum(compared[:, _PREVIOUS], 1))
        shown = (
            *(rev, 100 * imp, 100 * clk, _ratios(spend * 1000, imp), _ratios(spend, clk)),
            *(100 + _ratios(100 * imp, campaign.audience), compared.ravel(), 10 * np.abs(changes).ravel()),
        )
        ages = [age + step for age, _ in campaign.archetype.raised for step in (0, 1)]
        return set(np.concatenate(shown).tolist()) | {campaign.budget_on(age) for age in (1, *ages)}

    def _running(self, campaign: Campaign) -> npt.NDArray[np.int64]:
        """Return running totals, shape (5, HISTORY + 1)."""
        days = self.world.days(campaign)
        purchases, revenue = self.reported(campaign)
        table = np.zeros((5, HISTORY + 1), dtype=np.int64)
        table[:, 1:] = (days.impressions, days.clicks, days.spend_cents, purchases, revenue)
        return np.cumsum(table, axis=1, dtype=np.int64)


def change_pct(now: Number, before: Number) -> float:
    """Return the change in percent between two printed values, rounded half up to one decimal."""
    return _tenths(int(now * 100 + 0.5), int(before * 100 + 0.5)) / 10


def _tenths(new: N, old: N) -> N:
    """Return the change from old (above 0) to new in tenths of a percent, rounded half up."""
    return (2000 * (new - old) + old) // (2 * old)


def _ratio(above: int, below: int) -> int:
    """Divide integers and round half up."""
    return (2 * above + below) // (2 * below)


def _ratios(above: Ints, below: Ints | int) -> Ints:
    """Divide integers and round half up; 0 where the divisor is 0 (no tool prints that ratio)."""
    safe = np.maximum(below, 1)
    result: Ints = (2 * above + safe) // (2 * safe)
    return result


def _metrics(totals: list[int], audience: int) -> Row:
    """Return the metrics of a window from its totals (counts and cents, in the order of `Days`)."""
    imp, clk, spend, pur, rev = totals
    row: Row = {"spend": spend / 100, "impressions": imp, "clicks": clk}
    if imp:
        row["ctr"] = _ratio(clk * 10000, imp) / 100
        row["cpm"] = _ratio(spend * 1000, imp) / 100
    if clk:
        row["cpc"] = _ratio(spend, clk) / 100
    row["purchases"] = pur
    row["revenue"] = rev / 100
    if pur:
        row["cpa"] = _ratio(spend, pur) / 100
    if spend:
        row["roas"] = _ratio(rev * 100, spend) / 100
    row["frequency"] = (100 + _ratio(100 * imp, audience)) / 100
    return row
