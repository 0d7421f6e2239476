"""Actions and what they are worth, in terms of what is true about a campaign.

Utility is gross margin times revenue minus the cost of ad spend over the 14 days after the decision, in
USD, for the campaign in focus, less a switching cost for any change. In units of the 14 days' spend at the
present budget, with R = r * quality of those days, an action with spend multiple m is worth
`R * m * (1 + k) / (1 + k * m) - m - switching`. Raising pays from R = 1.70 on, cutting below 1.23, pausing
below 0.94; 1.73, 1.25 and 0.96 where a dollar costs 1.02, as it does on average with cash freezes.
"""

from __future__ import annotations

from collections.abc import Mapping

from opoi_envs.ads.world.campaign import PACING, Campaign
from opoi_envs.ads.world.world import HORIZON

__all__ = [
    "ACTIONS",
    "MULTIPLES",
    "NULL_ACTION",
    "SWITCHING",
    "TOLERANCE",
    "base_spend",
    "best",
    "dollars",
    "new_budget",
    "switching",
    "tolerance",
]

MULTIPLES: dict[str, float] = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.8, "pause": 0.0}
"""Budget after each action as a multiple of the budget before. Steps stay within what resets learning."""

ACTIONS: tuple[str, ...] = tuple(MULTIPLES)

NULL_ACTION = "maintain"
"""The action that changes nothing."""

SWITCHING = 0.02
"""Cost of any change, as a share of the 14 days' spend at the old budget: delivery settles anew."""

TOLERANCE = 0.01
"""Two actions are equally good if their utilities differ by no more than this share of that spend."""


def new_budget(budget_cents: int, action: str) -> int:
    """Return the daily budget in cents after an action."""
    return int(budget_cents * MULTIPLES[action] + 0.5)


def base_spend(campaign: Campaign) -> float:
    """Return the expected spend of 14 days at the present budget, in cents."""
    return HORIZON * PACING * campaign.budget_cents


def switching(action: str) -> float:
    """Return the switching cost of an action as a share of that spend."""
    return 0.0 if action == NULL_ACTION else SWITCHING


def tolerance(campaign: Campaign) -> float:
    """Return the difference in USD up to which two actions are equally good."""
    return TOLERANCE * base_spend(campaign) / 100


def best(utilities: Mapping[str, float], within: float) -> tuple[str, ...]:
    """Return the actions within the tolerance of the best, best first."""
    ranked = sorted(utilities, key=lambda action: -utilities[action])
    top = utilities[ranked[0]]
    return tuple(action for action in ranked if top - utilities[action] <= within)


def dollars(cents: float) -> float:
    """Round to whole cents, half away from zero, and return USD."""
    return int(cents + 0.5 if cents >= 0 else cents - 0.5) / 100
