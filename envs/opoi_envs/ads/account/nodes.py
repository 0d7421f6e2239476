"""The objects of an account as they are set now: campaigns, ad sets and ads."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from opoi_envs.ads.world.campaign import Ad, AdSet, Campaign
from opoi_envs.ads.world.world import World

__all__ = [
    "KINDS",
    "LIFETIME",
    "MINIMUM_BUDGET",
    "SIGNIFICANT",
    "STATUSES",
    "BudgetKind",
    "Event",
    "Kind",
    "Node",
    "Refused",
    "Status",
    "daily_pace",
    "nodes_of",
    "past_events",
    "usual",
]

Kind = Literal["campaign", "adset", "ad"]
Status = Literal["ACTIVE", "PAUSED", "ARCHIVED", "DELETED"]
BudgetKind = Literal["daily", "lifetime"]

SIGNIFICANT = 0.20
"""Default of the share by which a budget has to change at once to reset learning (a practitioners' rule)."""

KINDS: tuple[Kind, ...] = ("campaign", "adset", "ad")
"""From the top down."""

STATUSES: tuple[Status, ...] = ("ACTIVE", "PAUSED", "ARCHIVED", "DELETED")
"""What can be set; `DELETED` is final."""

LIFETIME = 30
"""Days that a lifetime budget is meant for."""

MINIMUM_BUDGET = 100
"""Least daily budget in cents."""


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A write or a question that the account does not accept; nothing has changed.

    Attributes:
        reason: `unknown_id`, `deleted`, `budget_too_low`, `budget_too_high`, `budget_elsewhere`,
            `not_writable` or `bad_value`.
        message: What is wrong.
        hint: What to do.
        field: The setting that is to blame, `""` if none.
    """

    def __init__(self, reason: str, message: str, hint: str = "", *, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.field = field


class Event(Struct, frozen=True):
    """A past change: one line of the activity log.

    Attributes:
        day: Ordinal of the day on which it took effect.
        node: Id of the object.
        kind: `launched`, `created`, `budget_change`, `status_change`, `creative_added` or `edited`.
        old: What stood there before, in cents for a budget; None where that says nothing.
        new: What stands there since.
        significant: It resets learning.
    """

    day: int
    node: str
    kind: str
    old: int | str | None = None
    new: int | str | None = None
    significant: bool = False


class Node(Struct, kw_only=True):
    """One object of the account as it is set now.

    Attributes:
        id: A number as text, unique in the account.
        kind: Its level.
        name: What people call it.
        status: As configured; see `STATUSES`.
        parent: Id of the ad set of an ad, of the campaign of an ad set; `""` for a campaign.
        children: Ids of ad sets or ads, in the order of creation.
        budget_cents: Its own budget; None where another level owns it.
        budget_kind: Whether that is a budget a day or for its whole life.
        since: Ordinal of the day since which that budget has been set.
        created: Ordinal of the day of creation.
        updated: Ordinal of the day of the last change.
        extra: Further settings, kept and shown; a change of some of them resets learning.
    """

    id: str
    kind: Kind
    name: str
    status: Status
    parent: str = ""
    children: list[str] = field(default_factory=list)
    budget_cents: int | None = None
    budget_kind: BudgetKind = "daily"
    since: int = 0
    created: int
    updated: int
    extra: dict[str, Any] = field(default_factory=dict)


def daily_pace(cents: int, kind: BudgetKind) -> int:
    """Return the cents a day that a budget comes to; a lifetime budget is meant for `LIFETIME` days."""
    return cents if kind == "daily" else cents // LIFETIME


def usual(node: Node, name: str) -> Any:  # noqa: ANN401 - any setting
    """Return what a setting that was never written stands at."""
    if name == "creative":
        return f"7{int(node.id):015d}"
    return {
        "bid_strategy": "LOWEST_COST_WITHOUT_CAP",
        "optimization_goal": "OFFSITE_CONVERSIONS",
        "targeting": {
            "age_max": 65,
            "age_min": 18,
            "geo_locations": {"countries": ["AU", "CA", "GB", "US"]},
        },
    }.get(name)


def nodes_of(world: World) -> dict[str, Node]:
    """Return the objects of a world on its decision day, parents before children."""
    nodes: dict[str, Node] = {}

    def add(kind: Kind, item: Campaign | AdSet | Ad, parent: str, born: int, budget: int | None) -> None:
        nodes[item.id] = Node(
            id=item.id,
            kind=kind,
            name=item.name,
            status="PAUSED" if isinstance(item, Campaign) and item.stopped else "ACTIVE",
            parent=parent,
            budget_cents=budget,
            created=born,
            updated=born,
        )
        if parent:
            nodes[parent].children.append(item.id)

    for campaign in world.campaigns:
        born = world.as_of - (campaign.archetype.launched or 200 + int(campaign.id) % 97)
        shared = campaign.shared_budget
        add("campaign", campaign, "", born, campaign.budget_cents if shared else None)
        for ad_set in campaign.ad_sets:
            own = None if shared else campaign.budget_cents * ad_set.share // 100
            add("adset", ad_set, campaign.id, born, own)
            for ad in ad_set.ads:
                add("ad", ad, ad_set.id, born, None)
    return nodes


def past_events(world: World) -> list[Event]:
    """Return the changes of the history that the world's archetypes tell of, oldest first."""
    events = []
    for campaign in world.campaigns:
        shape, name = campaign.archetype, campaign.id
        if shape.launched:
            events.append(Event(world.as_of - shape.launched, name, "launched", significant=True))
        for age, _ in shape.raised:
            old, new = campaign.budget_on(age + 1), campaign.budget_on(age)
            large = new - old > SIGNIFICANT * old + 100  # budgets are whole dollars
            events.append(Event(world.as_of - age, name, "budget_change", old, new, large))
        fresh = shape.refreshed or 30 + campaign.stream.below(8, "edited")
        if not shape.launched:
            events.append(Event(world.as_of - fresh, name, "creative_added"))
        if campaign.stopped:
            event = Event(world.as_of - campaign.stopped, name, "status_change", "ACTIVE", "PAUSED")
            events.append(event)
    return sorted(events, key=lambda event: (event.day, event.node))
