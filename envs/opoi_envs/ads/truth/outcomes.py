"""What became of each action: the days after the decision, played under each with the same draws."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from opoi_envs.ads.truth.utility import ACTIONS, base_spend, new_budget, switching
from opoi_envs.ads.world.campaign import Campaign
from opoi_envs.ads.world.delivery import deliver
from opoi_envs.ads.world.world import HORIZON, World

__all__ = ["Future", "realised"]


class Future(Struct, frozen=True):
    """The 14 days after the decision under one action.

    Attributes:
        spend_cents: Ad spend.
        purchases: All purchases that the campaign brought, however late they were attributed.
        revenue_cents: Their revenue.
        utility_cents: What the action was worth.
    """

    spend_cents: int
    purchases: int
    revenue_cents: int
    utility_cents: int


def realised(world: World) -> dict[str, Future]:
    """Return what happened under each action: common random numbers for all of them."""
    focus = world.focus
    budgets = {action: new_budget(focus.budget_cents, action) for action in ACTIONS}
    played = [action for action in ACTIONS if budgets[action]]
    plans = []
    for action in played:
        daily = focus.references * (budgets[action] / focus.budget_cents)
        plans.append(focus.ahead(np.repeat(daily[:, None], HORIZON, axis=1), 0))
    days = deliver([focus] * len(played), plans, 0, HORIZON)
    result = {action: _worth(world, action, (0, 0, 0)) for action in ACTIONS}
    for place, action in enumerate(played):
        rows = slice(place * len(focus.ads), (place + 1) * len(focus.ads))
        columns = (days.spend_cents, days.purchases, days.revenue_cents)
        result[action] = _worth(world, action, tuple(int(column[rows].sum()) for column in columns))
    return result


def _worth(world: World, action: str, totals: tuple[int, ...]) -> Future:
    spend, purchases, revenue = totals
    focus: Campaign = world.focus
    cost = int(spend * focus.overlay.cost) + int(switching(action) * base_spend(focus))
    return Future(spend, purchases, revenue, revenue * world.advertiser.margin_pct // 100 - cost)
