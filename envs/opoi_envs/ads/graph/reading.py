"""Answers to reads: objects with their fields, lists with their pages, insights."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from opoi_envs.ads.account.nodes import KINDS, Kind, Node
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.errors import invalid, unknown_object
from opoi_envs.ads.graph.filters import Condition, Value, conditions
from opoi_envs.ads.graph.objects import EDGES, EFFECTIVE, FIELDS, PARENTS, TYPES, value_of
from opoi_envs.ads.graph.params import Params, choices, flag, known, names, whole
from opoi_envs.ads.graph.query import read_query
from opoi_envs.ads.graph.rows import described, rows_of
from opoi_envs.ads.graph.selection import Wanted, wanted
from opoi_envs.ads.graph.site import Call, Site, level_of

__all__ = ["LIMIT", "edge", "insights", "page", "page_of_rows", "show", "show_node"]

LIMIT, LARGEST_LIMIT = 25, 5000
_LONGEST_PLACE = 12
_HIDDEN = ("DELETED", "ARCHIVED")
_LISTS: dict[str, Kind] = {"campaigns": "campaign", "adsets": "adset", "ads": "ad"}
_NUMERIC = frozenset({"daily_budget", "lifetime_budget", "budget_remaining", "spend_cap", "bid_amount"})
_MOMENTS = frozenset({"created_time", "updated_time", "start_time", "stop_time", "end_time"})
_OBJECTS = frozenset(
    {"targeting", "promoted_object", "attribution_spec", "learning_stage_info", "creative"}
) | {"special_ad_categories"}
T = TypeVar("T")


def show_node(site: Site, call: Call, name: str) -> dict[str, Any]:
    """Answer `GET /<id>/`.

    Raises:
        ApiError: The object or a field is unknown.
    """
    node = site.node(name, call.method)
    return show(site, call, node, wanted(call.params))


def show(site: Site, call: Call, node: Node | None, asked: tuple[Wanted, ...] | None) -> dict[str, Any]:
    """Return an object with the asked fields that have a value, and its id."""
    level, identity = level_of(node), node.id if node is not None else site.account_id
    result: dict[str, Any] = {}
    for each in asked or ():
        value: Any
        if each.name in EDGES[level]:
            value = edge(site, call, node, each.name, each.params, asked=each.fields)
        elif node is not None and (kind := known(each.name, PARENTS[level])) is not None:
            value = show(site, call, site.ancestor(node, kind), each.fields)
        else:
            value = value_of(site, node, each.name)
            if each.fields is not None and isinstance(value, dict):
                inside = {inner.name for inner in each.fields} | {"id"}
                value = {name: part for name, part in value.items() if name in inside}
        if value is not None:
            result[each.params.get("as", each.name)] = value
    result["id"] = identity
    return result


def edge(
    site: Site,
    call: Call,
    node: Node | None,
    name: str,
    params: Params,
    *,
    asked: tuple[Wanted, ...] | None = None,
) -> dict[str, Any]:
    """Answer a list below an object, asked directly or by expansion.

    Args:
        site: The account.
        call: The request.
        node: Above the list; None for the account.
        name: Of the edge.
        params: Of the list.
        asked: The fields of an expansion; those of `params` otherwise.

    Raises:
        ApiError: There is no such edge, or a parameter is not acceptable.
    """
    identity = node.id if node is not None else site.account_id
    if name not in EDGES[level_of(node)]:
        raise unknown_object(call.method, f"{identity}/{name}")
    if name == "insights":
        return insights(site, call, node, params, asked)
    kind = _LISTS[name]
    fields = asked if asked is not None else wanted(params)
    for each in fields or ():
        if each.name not in FIELDS[kind] and each.name not in (*EDGES[kind], *PARENTS[kind]):
            raise invalid(f"Tried accessing nonexisting field ({each.name}) on node type ({TYPES[kind]})")
    every = site.account.of_kind(kind) if node is None else site.account.below(node, kind)
    listed = _filtered(site, kind, every, params)
    shown = {each.id for each in listed}
    ids = [each.id for each in every]

    def place(cursor: str) -> tuple[int, bool] | None:
        if cursor not in ids:
            return None
        return sum(1 for each in ids[: ids.index(cursor)] if each in shown), cursor in shown

    return page(
        call,
        (identity, name),
        _relinked(params, fields if asked is not None else None),
        listed,
        name=lambda item, _: item.id,
        place=place,
        write=lambda item: show(site, call, item, fields),
    )


def insights(
    site: Site, call: Call, node: Node | None, params: Params, asked: tuple[Wanted, ...] | None = None
) -> dict[str, Any]:
    """Answer `GET <id>/insights` at once."""
    query = read_query(site, node, params, asked)
    identity = node.id if node is not None else site.account_id
    rows = rows_of(site, query)
    return page_of_rows(
        call, (identity, "insights"), _relinked(params, asked), rows, lambda row: described(site, query, row)
    )


def page_of_rows(
    call: Call,
    path: tuple[str, ...],
    params: Params,
    rows: Sequence[T],
    write: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """Return a page of rows that have no ids: their cursors count places."""

    def place(cursor: str) -> tuple[int, bool] | None:
        counts = len(cursor) <= _LONGEST_PLACE and cursor.isascii() and cursor.isdigit()
        return (int(cursor), True) if counts and int(cursor) <= len(rows) else None

    return page(call, path, params, rows, name=lambda _, number: str(number), place=place, write=write)


def page(
    call: Call,
    path: tuple[str, ...],
    params: Params,
    items: Sequence[T],
    *,
    name: Callable[[T, int], str],
    place: Callable[[str], tuple[int, bool] | None],
    write: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """Return one page of a list.

    Args:
        call: The request.
        path: Of the list, for links.
        params: Of the list.
        items: The whole list.
        name: What a cursor says of an item and its place.
        place: How many items stand before the one that a cursor names, and whether it is in the list itself;
            None where it names none.
        write: How an item is shown.

    Raises:
        ApiError: `limit` or a cursor is not acceptable.
    """
    limit = whole(params["limit"], "limit") if params.get("limit", "").strip() else LIMIT
    if limit < 1:
        raise invalid("Param limit must be a positive integer.", "limit")
    limit = min(limit, LARGEST_LIMIT)
    start = 0
    if params.get("after", ""):
        before, itself = _place(params, "after", place)
        start = before + itself
    elif params.get("before", ""):
        end, _ = _place(params, "before", place)
        start = max(0, end - limit)
        limit = end - start
    chosen = items[start : start + limit]
    result: dict[str, Any] = {"data": [write(item) for item in chosen]}
    if chosen:
        first, last = name(chosen[0], start), name(chosen[-1], start + len(chosen) - 1)
        cursors = {"before": _cover(first), "after": _cover(last)}
        result["paging"] = {"cursors": cursors}
        plain = {key: text for key, text in params.items() if key not in ("after", "before")}
        if start + len(chosen) < len(items):
            result["paging"]["next"] = call.link(path, {**plain, "after": cursors["after"]})
        if start > 0:
            result["paging"]["previous"] = call.link(path, {**plain, "before": cursors["before"]})
    if _summarised(params):
        result["summary"] = {"total_count": len(items)}
    return result


def _summarised(params: Params) -> bool:
    text = params.get("summary", "").strip()
    if text.lower() in ("", "true", "false", "0", "1"):
        return flag({"summary": text or "false"}, "summary")
    return "total_count" in names(params, "summary")


def _filtered(site: Site, kind: Kind, nodes: list[Node], params: Params) -> list[Node]:
    """Return the objects of a list that its parameters let through."""
    allowed = EFFECTIVE[kind]
    statuses = choices(names(params, "effective_status"), allowed, "effective_status")
    tests = [(_attribute(kind, condition), condition) for condition in conditions(params)]
    asked = bool(statuses) or any(name == "effective_status" for name, _ in tests)
    result = []
    for node in nodes:
        status = site.account.effective_status(node)
        seen = status in statuses if statuses else asked or status not in _HIDDEN
        if seen and all(condition.met(_value(site, node, name)) for name, condition in tests):
            result.append(node)
    return result


def _attribute(kind: Kind, condition: Condition) -> str:
    """Return the field of an object that a condition is about.

    Raises:
        ApiError: The objects of the list have none such.
    """
    prefix, _, name = condition.field.rpartition(".")
    if prefix in KINDS and prefix != kind and name == "id":
        name, prefix = f"{prefix}_id", ""
    if prefix not in ("", kind) or name not in FIELDS[kind] or name in _OBJECTS:
        raise invalid(f"filtering: field {condition.field} is not supported", "filtering")
    if name in _NUMERIC or name in _MOMENTS:
        condition.numeric()
    else:
        condition.textual()
    return name


def _value(site: Site, node: Node, name: str) -> Value:
    value = value_of(site, node, name)
    if value is None:
        return None
    if name in _NUMERIC:
        return Fraction(str(value))
    return Fraction(dates.unix_of(value)) if name in _MOMENTS else str(value)


def _relinked(params: Params, asked: tuple[Wanted, ...] | None) -> dict[str, str]:
    """Return the parameters that a link to the next page needs."""
    result = {name: text for name, text in params.items() if name != "as"}
    if asked:
        result["fields"] = ",".join(_source(each) for each in asked)
    return result


def _source(field: Wanted) -> str:
    """Return a field as it is written in `fields`."""
    modifiers = "".join(f".{name}({text})" for name, text in field.params.items())
    inner = "" if field.fields is None else "{" + ",".join(_source(each) for each in field.fields) + "}"
    return field.name + modifiers + inner


def _cover(text: str) -> str:
    return base64.urlsafe_b64encode(f"cursor:{text}".encode()).decode().rstrip("=")


def _uncover(cursor: str) -> str | None:
    """Return what a cursor says; None if it is none of ours."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return text.removeprefix("cursor:") if text.startswith("cursor:") else None


def _place(params: Params, name: str, place: Callable[[str], tuple[int, bool] | None]) -> tuple[int, bool]:
    """Return the place of the cursor that a parameter gives.

    Raises:
        ApiError: It is none of this list.
    """
    cursor = _uncover(params[name])
    found = place(cursor) if cursor is not None else None
    if found is None:
        raise invalid("Invalid cursors values", name)
    return found
