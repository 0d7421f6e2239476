"""What an account shows on its today: reported facts, added up over windows, ratios last.

A `View` is the only way from an account to a tool or a client. It serves nothing dated on or after the
account's today. Sums are of integers (counts, cents), ratios are taken of sums and rounded half up to
hundredths: what is printed is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, TypeVar

import numpy as np

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.world.calendar import iso
from opoi_envs.ads.world.delivery import Days, reported
from opoi_envs.ads.world.noise import Ints

__all__ = ["COLUMNS", "MONEY", "Totals", "View", "ratio", "ratios"]

COLUMNS: tuple[str, ...] = Days.__struct_fields__
"""What can be added up, in the order of every list of totals: impressions, clicks (all), link clicks, spend
in cents, landing-page views, carts, checkouts, purchases and revenue in cents as visible today."""

MONEY = frozenset({"spend_cents", "revenue_cents"})

Totals = list[int]
"""Sums over a window in the order of `COLUMNS`."""

_DELAYED = ("purchases", "revenue_cents")
M = TypeVar("M")


class View:
    """An account as it stands on its today.

    Args:
        account: The account.
        later: Look so many days later at the same days: purchases that had not been attributed at the time
            are there. For reviewers who look back; 0 for every agent and client.
    """

    def __init__(self, account: Account, later: int = 0) -> None:
        self.account = account
        self.later = later
        self._version = -1
        self._tables: dict[str, Ints] = {}
        self._running: dict[str, list[list[int]]] = {}
        self._remembered: dict[tuple[str | int, ...], Any] = {}
        self._audiences: dict[tuple[str, int], int] = {}

    @property
    def today(self) -> int:
        """Ordinal of the first day that is not shown."""
        return self.account.today

    def day(self, offset: int) -> str:
        """Return the ISO day that many days after today (before it when negative)."""
        return iso(self.today + offset)

    def table(self, campaign: Node) -> Ints:
        """Return a campaign's facts as visible today, shape (columns, ads, days), oldest day first.

        The rows are `Account.ads(campaign)`, the first day is `Account.first_day`, the last yesterday.
        """
        self._refresh()
        if campaign.id not in self._tables:
            days = self.account.books.days(campaign)
            columns = [getattr(days, name) for name in COLUMNS[: -len(_DELAYED)]]
            length = days.impressions.shape[1]
            ages = np.arange(length, 0, -1) + self.later
            columns += [reported(getattr(days, name), ages) for name in _DELAYED]
            self._tables[campaign.id] = np.stack(columns)
        return self._tables[campaign.id]

    def running(self, node: Node | None) -> list[list[int]]:
        """Return the running totals of an object, or of the account for None: one list per column.

        Each list begins with 0 and has one more entry than there are days.
        """
        self._refresh()
        key = node.id if node is not None else ""
        if key not in self._running:
            daily = self.daily(node)
            table = np.zeros((len(COLUMNS), daily.shape[1] + 1), dtype=np.int64)
            np.cumsum(daily, axis=1, out=table[:, 1:])
            self._running[key] = table.tolist()
        return self._running[key]

    def remembered(self, key: tuple[str | int, ...], work_out: Callable[[], M]) -> M:
        """Return what was worked out before under a key, since the account last changed."""
        self._refresh()
        if key not in self._remembered:
            self._remembered[key] = work_out()
        found: M = self._remembered[key]
        return found

    def daily(self, node: Node | None) -> Ints:
        """Return the facts of an object, or of the account for None, shape (columns, days)."""
        account = self.account
        if node is None:
            total: Ints = sum((self.daily(each) for each in account.of_kind("campaign")), self._blank())
            return total
        campaign = account.campaign_of(node)
        rows = self.rows(node)
        if not rows:
            return self._blank()
        summed: Ints = self.table(campaign)[:, rows].sum(axis=1)
        return summed

    def rows(self, node: Node) -> list[int]:
        """Return the rows of `table` that belong to an object."""
        place = {name: row for row, name in enumerate(self.account.books.ads(self.account.campaign_of(node)))}
        return [place[ad.id] for ad in self.account.below(node, "ad")]

    def totals(self, node: Node | None, first: int, last: int) -> Totals:
        """Return the sums over a window.

        Args:
            node: The object; None for the whole account.
            first: Ordinal of the first day. Days before the history count as without delivery.
            last: Ordinal of the last day; days from today on likewise.
        """
        start = max(first, self.account.first_day) - self.account.first_day
        end = min(last, self.today - 1) + 1 - self.account.first_day
        if end <= start:
            return [0] * len(COLUMNS)
        return [column[end] - column[start] for column in self.running(node)]

    def reach(self, node: Node | None, impressions: int, last: int | None = None) -> int:
        """Return the people reached by so many impressions of an object: fewer than impressions."""
        if not impressions:
            return 0
        audience = self.audience(node, last)
        return max(1, ratio(audience * impressions, audience + impressions))

    def audience(self, node: Node | None, last: int | None = None) -> int:
        """Return how many people an object can reach.

        Args:
            node: The object; None for the whole account.
            last: Ordinal of the last day that is looked at: ads created later do not count, so that the reach
                of past days stays as it is. All ads by default.
        """
        self._refresh()
        if last is None or last >= self.account.world.as_of:
            key = (node.id if node is not None else "", self.today if last is None else last)
        else:
            key = (node.id if node is not None else "", 0)  # before anything was created
        if key not in self._audiences:
            self._audiences[key] = self._audience(node, key[1])
        return self._audiences[key]

    def _audience(self, node: Node | None, last: int) -> int:
        account = self.account
        if node is None:
            return sum(self.audience(each, last) for each in account.of_kind("campaign")) or 1
        return self.people(account.campaign_of(node), {ad.id for ad in account.below(node, "ad")}, last)

    def people(self, campaign: Node, ads: Set[str], last: int) -> int:
        """Return how many people some ads of a campaign can reach.

        Args:
            campaign: The campaign.
            ads: Ids of the ads.
            last: As for `audience`.
        """
        size = 0
        for line in self.account.books.lines(campaign):
            if line.id == campaign.id or self.account.nodes[line.id].created <= last:
                shares = zip(line.ads, line.spend_shares.tolist(), strict=True)
                mine = [share for ad, share in shares if ad.id in ads]
                whole = len(mine) == len(line.ads)
                size += line.audience if whole else int(line.audience * sum(mine))
        return max(1, size)

    def window(self, first: int, last: int) -> str:
        """Return a window, given in days before today, as text: an ISO day, or first and last day."""
        return self.day(-first) if first == last else f"{self.day(-first)}..{self.day(-last)}"

    def _blank(self) -> Ints:
        return np.zeros((len(COLUMNS), self.today - self.account.first_day), dtype=np.int64)

    def _refresh(self) -> None:
        if self._version != self.account.version:
            self._version = self.account.version
            self._tables, self._running, self._audiences, self._remembered = {}, {}, {}, {}


def ratio(above: int, below: int) -> int:
    """Divide integers and round half up."""
    return (2 * above + below) // (2 * below)


def ratios(above: Ints, below: Ints | int) -> Ints:
    """Divide integers and round half up; 0 where the divisor is 0 (no tool prints that ratio)."""
    safe = np.maximum(below, 1)
    result: Ints = (2 * above + safe) // (2 * safe)
    return result
