"""The learning phase of an ad set, from what the account shows.

It ends with 50 optimisation events within 7 days of the last significant edit. Where that edit lies before
the history, the first 7 days of the history stand for the days after it.
"""

from __future__ import annotations

from typing import Any

from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.site import Site

__all__ = ["EVENTS", "LEARNING_DAYS", "learning_stage"]

EVENTS, LEARNING_DAYS = 50, 7


def learning_stage(site: Site, ad_set: Node) -> dict[str, Any]:
    """Return `learning_stage_info` of an ad set."""
    account = site.account
    edited = account.last_significant_edit(ad_set)
    first = max(edited, account.first_day)
    purchases = site.view.totals(ad_set, first, first + LEARNING_DAYS - 1)[7]
    if purchases >= EVENTS:
        status = "SUCCESS"
    else:
        status = "LEARNING" if account.today < edited + LEARNING_DAYS else "FAIL"
    return {
        "status": status,
        "conversions": purchases,
        "last_sig_edit_ts": dates.unix(edited),
        "attribution_windows": ["7d_click", "1d_view"],
    }
