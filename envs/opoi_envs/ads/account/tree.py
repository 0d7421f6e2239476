"""The objects of an account and its log, for reading: who belongs to whom, what runs, what changed when."""

from __future__ import annotations

from opoi_envs.ads.account.nodes import Event, Kind, Node, Refused, daily_pace, nodes_of, past_events
from opoi_envs.ads.world.campaign import HISTORY
from opoi_envs.ads.world.world import World

__all__ = ["Tree"]

_LEARNS_ANEW = 7


class Tree:
    """Objects, log and clock of an account.

    Args:
        world: Where they come from.

    Attributes:
        today: The clock: ordinal of the day that has not happened yet.
        nodes: Every object by id, deleted ones included.
        events: Every change, oldest first.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.restore()

    def restore(self) -> None:
        """Return to the decision day of the world."""
        self.today = self.world.as_of
        self.nodes: dict[str, Node] = nodes_of(self.world)
        self.events: list[Event] = past_events(self.world)
        for event in self.events:
            self.nodes[event.node].updated = event.day

    @property
    def first_day(self) -> int:
        """Ordinal of the first day with facts."""
        return self.world.as_of - HISTORY

    def node(self, name: str, kind: Kind | None = None) -> Node:
        """Return an object by its id.

        Raises:
            Refused: There is none, or none of that kind.
        """
        found = self.nodes.get(name)
        if found is None or kind not in (None, found.kind):
            wanted = {"adset": "ad set", None: "object"}.get(kind, kind)
            raise Refused("unknown_id", f"there is no {wanted} {name!r} in this account")
        return found

    def campaign_of(self, node: Node) -> Node:
        """Return the campaign that an object belongs to."""
        while node.parent:
            node = self.nodes[node.parent]
        return node

    def below(self, node: Node, kind: Kind) -> list[Node]:
        """Return the objects of one level under an object, itself if it is of that level."""
        if node.kind == kind:
            return [node]
        return [found for child in node.children for found in self.below(self.nodes[child], kind)]

    def of_kind(self, kind: Kind) -> list[Node]:
        """Return all objects of one level in the order of their ids' creation."""
        return [node for node in self.nodes.values() if node.kind == kind]

    def runs(self, node: Node) -> bool:
        """Whether an object and everything above it is active."""
        return node.status == "ACTIVE" and (not node.parent or self.runs(self.nodes[node.parent]))

    def effective_status(self, node: Node) -> str:
        """Return the status that counts: the own one unless active, then that of the nearest parent."""
        if node.status != "ACTIVE" or not node.parent:
            return node.status
        parent = self.nodes[node.parent]
        if parent.status in ("DELETED", "ARCHIVED"):
            return parent.status
        above = self.effective_status(parent)
        if above == "ACTIVE":
            return "ACTIVE"
        return above if above != "PAUSED" else {"adset": "ADSET_PAUSED"}.get(parent.kind, "CAMPAIGN_PAUSED")

    def living(self, node: Node) -> list[Node]:
        """Return the children of an object that are not deleted."""
        children = (self.nodes[child] for child in node.children)
        return [child for child in children if child.status != "DELETED"]

    def daily_budget(self, node: Node) -> int:
        """Return the cents that an object may spend a day: its own budget, or those of its living parts."""
        if node.budget_cents is not None:
            return daily_pace(node.budget_cents, node.budget_kind)
        return sum(self.daily_budget(child) for child in self.living(node) if child.kind != "ad")

    def last_significant_edit(self, ad_set: Node) -> int:
        """Return the ordinal of the last day on which learning began anew for an ad set."""
        touched = {ad_set.id, ad_set.parent, *ad_set.children}
        days = [event.day for event in self.events if event.significant and event.node in touched]
        return max(days, default=ad_set.created)

    def learning(self, campaign: Node) -> bool:
        """Whether any ad set of a campaign was edited significantly within the last seven days."""
        edits = (self.last_significant_edit(child) for child in self.living(campaign))
        return any(self.today - day < _LEARNS_ANEW for day in edits)

    def log(self, campaign: Node) -> list[Event]:
        """Return the past changes of a campaign and all below it, oldest first."""
        names = {campaign.id, *campaign.children, *(ad.id for ad in self.below(campaign, "ad"))}
        return [event for event in self.events if event.node in names]

    def stopped(self, node: Node) -> int:
        """Return the ordinal of the day since which an object is not active."""
        stops = [event.day for event in self.events if event.node == node.id and event.old == "ACTIVE"]
        return max(stops, default=node.created)
