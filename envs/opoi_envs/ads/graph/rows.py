"""The rows of an insights request: integer facts added up, ratios not yet taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key, partial
from typing import Any

import numpy as np

from opoi_envs.ads.account.nodes import Kind, Node
from opoi_envs.ads.account.splits import WINDOWS, cells, purchases
from opoi_envs.ads.account.view import COLUMNS, ratio
from opoi_envs.ads.graph.errors import ApiError
from opoi_envs.ads.graph.filters import Value
from opoi_envs.ads.graph.metrics import LISTS, NUMBERS, Row, metric, number
from opoi_envs.ads.graph.objects import CURRENCY, value_of
from opoi_envs.ads.graph.query import TEXTS, Query
from opoi_envs.ads.graph.site import Site
from opoi_envs.ads.world.calendar import iso
from opoi_envs.ads.world.noise import Ints

__all__ = ["SYNCHRONOUS", "described", "rows_of"]

SYNCHRONOUS = 40_000
"""Most rows that one synchronous call may work on."""

_OFFSITE = slice(4, None)
_VALUED = NUMBERS | LISTS
_OF_PEOPLE = ("reach", "cpp", "frequency")


def rows_of(site: Site, query: Query, most: int = SYNCHRONOUS) -> list[Row]:
    """Return all rows of a request in their order: by period, object and cell, or as `sort` says.

    Raises:
        ApiError: There would be too many.
    """
    chosen = _chosen(site, query)
    labels = _labels(query)
    objects = sum(len(groups) for _, groups in chosen) if query.level != "account" else 1
    if objects * len(query.periods) * len(labels) > most:
        raise ApiError("too_much_data")
    tables: list[tuple[Node | None, Ints, Callable[[int], int]]] = []
    for campaign, groups in chosen:
        sums = _sums(site, query, campaign, labels)
        for name, ads in groups.items():
            places = [row for row, _ in ads]
            node = site.account.nodes[name] if query.level != "account" else None
            people = partial(site.view.people, campaign, {ad.id for _, ad in ads})
            tables.append((node, sums[:, places].sum(axis=1), people))
    if query.level == "account" and tables:
        audiences = [each[2] for each in tables]
        total: Ints = np.sum([each[1] for each in tables], axis=0)
        tables = [(None, total, lambda last: sum(audience(last) for audience in audiences))]
    return _sorted(site, query, list(_met(site, query, _rows(site, query, tables, labels))))


def described(site: Site, query: Query, row: Row) -> dict[str, Any]:
    """Return a row as the API writes it; fields of `SILENT` are left out."""
    result: dict[str, Any] = {}
    for name in query.fields:
        value = _text(site, row, name) if name in TEXTS else None
        if name in _VALUED and not (row.reach == 0 and name in _OF_PEOPLE):
            value = metric(row, name, query.windows)
        if value is not None:
            result[name] = value
    result["date_start"], result["date_stop"] = iso(row.period[0]), iso(row.period[1])
    result.update(zip(query.keys, row.cell, strict=True))
    return result


def _chosen(site: Site, query: Query) -> list[tuple[Node, dict[str, list[tuple[int, Node]]]]]:
    """Return the campaigns, and in each the (row, ad) pairs by object of the level."""
    account = site.account
    campaigns = account.of_kind("campaign") if query.node is None else [account.campaign_of(query.node)]
    result = []
    for campaign in campaigns:
        place = {name: row for row, name in enumerate(account.books.ads(campaign))}
        groups: dict[str, list[tuple[int, Node]]] = {}
        for ad in account.below(query.node or campaign, "ad"):
            if all(
                condition.met(_attribute(site, ad, level, name)) for level, name, condition in query.objects
            ):
                owner = site.ancestor(ad, query.level) if query.level != "account" else None
                groups.setdefault(owner.id if owner else "", []).append((place[ad.id], ad))
        if groups:
            result.append((campaign, groups))
    return result


def _attribute(site: Site, ad: Node, level: Kind, name: str) -> str | None:
    node = site.ancestor(ad, level)
    known = node is not None and not (name in ("objective", "buying_type") and level != "campaign")
    if not known or (name == "optimization_goal" and level != "adset"):
        return None
    return str(value_of(site, node, name))


def _labels(query: Query) -> dict[tuple[str, ...], list[int]]:
    """Return the values of the breakdowns, and which cells belong to each."""
    if query.family is None:
        return {(): [0]}
    places = [query.family.keys.index(key) for key in query.keys]
    labels: dict[tuple[str, ...], list[int]] = {}
    for index, cell in enumerate(query.family.cells):
        labels.setdefault(tuple(cell[place] for place in places), []).append(index)
    return labels


def _sums(site: Site, query: Query, campaign: Node, labels: dict[tuple[str, ...], list[int]]) -> Ints:
    """Return sums by ad, period and label of a campaign, shape (columns, ads, periods, labels)."""
    account = site.account
    first = max(min((each[0] for each in query.periods), default=account.today), account.first_day)
    last = min(max((each[1] for each in query.periods), default=0), account.today - 1)
    ads = len(account.books.ads(campaign))
    width = len(COLUMNS) + (2 * len(WINDOWS) if query.windows else 0)
    if last < first:
        return np.zeros((width, ads, len(query.periods), len(labels)), dtype=np.int64)
    start = first - account.first_day
    facts = site.view.table(campaign)[:, :, start : last + 1 - account.first_day]
    table = facts[..., None]
    if query.family is not None or query.windows:
        sold = purchases(account, campaign, first, last)
        cell = np.zeros(sold.row.size, dtype=np.int64)
        if query.family is not None:
            table, cell = cells(account, campaign, facts, first, family=query.family, sold=sold)
        if query.windows:
            counts = np.zeros((2 * len(WINDOWS), *table.shape[1:]), dtype=np.int64)
            for place in range(len(WINDOWS)):
                np.add.at(counts[place], (sold.row, sold.day, cell), sold.windows[place])
                worth = sold.windows[place] * sold.cents
                np.add.at(counts[len(WINDOWS) + place], (sold.row, sold.day, cell), worth)
            table = np.concatenate([table, counts])
    if query.family is not None:
        table = np.stack([table[..., members].sum(axis=-1) for members in labels.values()], axis=-1)
        if not query.family.offsite:
            table[_OFFSITE] = 0
    running = np.zeros((table.shape[0], ads, table.shape[2] + 1, table.shape[3]), dtype=np.int64)
    np.cumsum(table, axis=2, out=running[:, :, 1:])
    limit = table.shape[2]
    begins = [min(max(a - first, 0), limit) for a, _ in query.periods]
    ends = [min(max(b + 1 - first, 0), limit) for _, b in query.periods]
    result: Ints = running[:, :, ends] - running[:, :, begins]
    return result


def _rows(
    site: Site,
    query: Query,
    tables: list[tuple[Node | None, Ints, Callable[[int], int]]],
    labels: dict[tuple[str, ...], list[int]],
) -> list[Row]:
    weights = [1] if query.family is None else [_weight(query, members) for members in labels.values()]
    whole = sum(weights)
    known = [(node, sums.transpose(1, 2, 0).tolist(), people) for node, sums, people in tables]
    result = []
    for place, period in enumerate(query.periods):
        last = min(period[1], site.account.today - 1)
        for node, sums, people in known:
            audience = people(last)
            for weight, cell, values in zip(weights, labels, sums[place], strict=True):
                if any(values):
                    size = max(1, audience * weight // whole)
                    shown = values[0]
                    reach = max(1, ratio(size * shown, size + shown)) if shown and query.unique else 0
                    result.append(Row(node, period, cell, values, reach))
    return result


def _weight(query: Query, members: list[int]) -> int:
    return sum(query.family.weights[member] for member in members) if query.family else 1


def _text(site: Site, row: Row, name: str) -> str | None:
    """Return a field that describes the row; None where its object lies below the row's level."""
    if name in ("date_start", "date_stop"):
        return iso(row.period[name == "date_stop"])
    if name == "account_id":
        return site.account_number
    if name == "account_name":
        return site.account.world.advertiser.name
    if name == "account_currency":
        return CURRENCY
    if row.node is None:
        return None
    if name in ("created_time", "updated_time"):
        return str(value_of(site, row.node, name))
    level = TEXTS[name]
    above = site.ancestor(row.node, level) if level != "account" else None
    if above is None:
        return None
    if name == "attribution_setting":
        return "7d_click_1d_view"
    attribute = name.removeprefix(f"{level}_") if name.startswith(level) else name
    return str(value_of(site, above, attribute))


def _value(site: Site, query: Query, row: Row, name: str) -> Value:
    """Return what a row is filtered or sorted by."""
    if name in query.keys:
        return row.cell[query.keys.index(name)]
    if name in TEXTS:
        return _text(site, row, name)
    return None if row.reach == 0 and name in _OF_PEOPLE else number(row, name)


def _met(site: Site, query: Query, rows: list[Row]) -> list[Row]:
    if not query.rows:
        return rows
    return [
        row
        for row in rows
        if all(condition.met(_value(site, query, row, name)) for name, condition in query.rows)
    ]


def _sorted(site: Site, query: Query, rows: list[Row]) -> list[Row]:
    """Sort by the last field first; rows without a value come last in either direction."""
    for name, downwards in reversed(query.sort):
        values = [_value(site, query, row, name) for row in rows]

        def order(a: int, b: int, values: list[Value] = values, sign: int = -1 if downwards else 1) -> int:
            return _order(values[a], values[b], sign)

        rows = [rows[place] for place in sorted(range(len(rows)), key=cmp_to_key(order))]
    return rows


def _order(left: Any, right: Any, sign: int) -> int:  # noqa: ANN401 - two of one type, or None
    if left is None or right is None:
        return (left is None) - (right is None)
    return sign * (int(left > right) - int(left < right))
