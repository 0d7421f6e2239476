"""Control calls: outside the versions of the API, behind the same token.

`GET /control/state`, `POST /control/reset`, `POST /control/advance` with `days` or `seconds`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.graph.errors import invalid
from opoi_envs.ads.graph.params import Params, whole
from opoi_envs.ads.graph.site import Site
from opoi_envs.ads.world.calendar import iso

__all__ = ["LONGEST", "advance", "clock", "state"]

LONGEST = 400
"""Most days that one call may let pass."""

_DAY = 86400


def clock(site: Site) -> dict[str, Any]:
    """Return the account's today and the seconds of the day."""
    return {"today": iso(site.account.today), "seconds": site.seconds}


def state(site: Site, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return everything that a write, a report or the clock can change.

    Args:
        site: The account.
        reports: Runs of asynchronous insights, as they should stand there.
    """
    nodes: list[Node] = list(site.account.nodes.values())
    return {
        **clock(site),
        "account_id": site.account_id,
        "nodes": msgspec.to_builtins(nodes),
        "events": msgspec.to_builtins(site.account.events),
        "reports": reports,
    }


def advance(site: Site, params: Params) -> dict[str, Any]:
    """Move the clock by `days`, or by `seconds`; return where it stands.

    Raises:
        ApiError: The amount is not acceptable.
    """
    given = [name for name in ("days", "seconds") if params.get(name, "").strip()]
    if len(given) != 1:
        raise invalid("Give either days or seconds.", "days", "seconds")
    amount = whole(params[given[0]], given[0])
    seconds = site.seconds + (amount if given[0] == "seconds" else amount * _DAY)
    if amount < 0 or seconds > LONGEST * _DAY + site.seconds:
        raise invalid(f"The clock moves forward by 0 to {LONGEST} days at once.", given[0])
    days, site.seconds = divmod(seconds, _DAY)
    site.account.advance(days)
    return clock(site)
