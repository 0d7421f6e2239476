"""Lists in pages, as OpenAI's API gives them: a cursor, a limit, `has_more`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from opoi.models.served.requests import RefusedError

__all__ = ["page"]

T = TypeVar("T")


def page(
    items: Sequence[T],
    query: Mapping[str, str],
    card: Callable[[T], dict[str, Any]],
    *,
    id_of: Callable[[T], str],
    default: int,
    most: int,
) -> dict[str, Any]:
    """Return one page of a list.

    Args:
        items: The whole list, in the order in which it is given out.
        query: `after` (the id of the last item of the page before) and `limit`.
        card: An item as JSON.
        id_of: The id of an item.
        default: Items of a page where no limit is given.
        most: Most items of a page.

    Raises:
        RefusedError: The limit is no number in 1..most, or no item has the id `after`.
    """
    start = _start([id_of(item) for item in items], query.get("after"))
    stop = start + _limit(query.get("limit"), default, most)
    data = [card(item) for item in items[start:stop]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": stop < len(items),
    }


def _start(ids: Sequence[str], after: str | None) -> int:
    if not after:
        return 0
    try:
        return ids.index(after) + 1
    except ValueError as error:
        raise RefusedError(
            f"`after`: there is no item {after!r} in this list", param="after", code="invalid_value"
        ) from error


def _limit(text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most:
        return int(text)
    raise RefusedError(
        f"`limit` must be a whole number from 1 to {most}, not {text!r}", param="limit", code="invalid_value"
    )
