"""What the ads of an account have delivered through yesterday, and how further days are delivered."""

from __future__ import annotations

import numpy as np
from msgspec import structs

from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.account.tree import Tree
from opoi_envs.ads.world.campaign import Campaign, Plan
from opoi_envs.ads.world.delivery import DELAYS, Days, deliver
from opoi_envs.ads.world.noise import Floats
from opoi_envs.ads.world.world import sprout

__all__ = ["LEARNING_DAYS", "LEARNING_LOSS", "Books"]

LEARNING_DAYS = 5
"""Days after a significant edit on which purchases cost more."""

LEARNING_LOSS = 0.8
"""Conversions per dollar on those days, against usual: CPA x 1.25."""


_HIGHEST = 1.4
"""A day spends no more than this multiple of what is planned for it."""


class Books:
    """Facts of an account's ads: the history of its world, and the days that have happened since.

    Args:
        tree: What is set in the account, and its clock.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._lines: dict[str, list[Campaign]] = {each.id: [each] for each in tree.world.campaigns}
        self._facts: dict[str, list[Days]] = {}

    def ads(self, campaign: Node) -> list[str]:
        """Return the ids of a campaign's ads in the order of the rows of `days`."""
        return [ad.id for line in self._lines[campaign.id] for ad in line.ads]

    def lines(self, campaign: Node) -> list[Campaign]:
        """Return the levels behind a campaign, one entry and one more for each ad created since."""
        return self._lines[campaign.id]

    def days(self, campaign: Node) -> Days:
        """Return a campaign's facts through yesterday, shape (ads, days): `Tree.first_day` is the first.

        Ads that did not exist yet stand there with zeros.
        """
        if campaign.id not in self._facts:
            self._facts[campaign.id] = [self._past(line) for line in self._lines[campaign.id]]
        parts = self._facts[campaign.id]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self._nothing(0)
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in Days.__struct_fields__)
        return Days(*columns)

    def open(self, node: Node, above: Node | None) -> None:
        """Give a new object what delivery needs: a line for a campaign's rows, one more for a new ad."""
        if node.kind == "campaign":
            self._lines[node.id] = []
            self._facts[node.id] = []
        if node.kind == "ad" and above is not None:
            campaign = self._tree.campaign_of(above)
            line = sprout(self._tree.world, node.id, self._lines[campaign.id][:1])
            self.days(campaign)
            self._lines[campaign.id].append(line)
            self._facts[campaign.id].append(self._past(line))

    def play(self, days: int) -> None:
        """Add the next days under what is set now; they must lie within one block. Moves no clock."""
        offset = self._tree.today - self._tree.world.as_of
        for campaign in self._tree.of_kind("campaign"):
            self.days(campaign)
            self._facts[campaign.id] = [
                _joined(part, self._deliver(line, offset, days))
                for line, part in zip(self.lines(campaign), self._facts[campaign.id], strict=True)
            ]

    def spent(self, owner: Node) -> int:
        """Return the cents spent since an object's budget was set."""
        campaign = self._tree.campaign_of(owner)
        mine = {ad.id for ad in self._tree.below(owner, "ad")}
        rows = [row for row, name in enumerate(self.ads(campaign)) if name in mine]
        start = max(0, owner.since - self._tree.first_day)
        return int(self.days(campaign).spend_cents[rows, start:].sum()) if rows else 0

    def references(self, campaign: Node) -> dict[str, float]:
        """Return the reference budget of each ad in cents: how a common budget is shared."""
        return {
            ad.id: cents
            for line in self.lines(campaign)
            for ad, cents in zip(line.ads, line.references.tolist(), strict=True)
        }

    def _past(self, line: Campaign) -> Days:
        """Return the facts of a line's history; a line that began later has a row of zeros until today."""
        known = any(line is campaign for campaign in self._tree.world.campaigns)
        return self._tree.world.days(line) if known else self._nothing(len(line.ads))

    def _nothing(self, rows: int) -> Days:
        """Return facts of ads that have delivered nothing through yesterday."""
        length = self._tree.today - self._tree.first_day
        plain = (np.zeros((rows, length), dtype=np.int64) for _ in range(7))
        delayed = (np.zeros((rows, length, len(DELAYS)), dtype=np.int64) for _ in range(2))
        return Days(*plain, *delayed)

    def _deliver(self, line: Campaign, offset: int, count: int) -> Days:
        budgets = np.repeat(self._budgets(line)[:, None], count, axis=1)
        plan = line.ahead(budgets, offset)
        return deliver([line], [_slowed(plan, self._learning(line, offset, count))], offset, count)

    def _budgets(self, line: Campaign) -> Floats:
        """Return the cents that each ad of a line gets a day, under what is set now."""
        return np.array([self._budget_of(self._tree.nodes[ad.id]) for ad in line.ads])

    def _budget_of(self, ad: Node) -> float:
        """Divide the budget among the running ads below its owner, in proportion to their references."""
        if not self._tree.runs(ad):
            return 0.0
        owner = self._tree.nodes[ad.parent]
        if owner.budget_cents is None:
            owner = self._tree.nodes[owner.parent]
        running = [other for other in self._tree.below(owner, "ad") if self._tree.runs(other)]
        references = self.references(self._tree.campaign_of(ad))
        weights = 0.0
        for other in running:
            weights += references[other.id]
        return self._today(owner) * references[ad.id] / weights

    def _today(self, owner: Node) -> float:
        """Return the cents that a budget allows for the coming day: a lifetime budget, what it has left."""
        pace = self._tree.daily_budget(owner)
        if owner.budget_kind == "daily" or owner.budget_cents is None:
            return pace
        return min(pace, max(0, owner.budget_cents - self.spent(owner)) / _HIGHEST)

    def _learning(self, line: Campaign, offset: int, count: int) -> Floats:
        """Return the efficiency of each ad and day against usual: lower while an ad set learns anew.

        What the world itself brought about before the decision day stands in its qualities already.
        """
        rows = []
        for ad in line.ads:
            edited = self._tree.last_significant_edit(self._tree.nodes[self._tree.nodes[ad.id].parent])
            since = [self._tree.world.as_of + offset + day - edited for day in range(count)]
            fresh = edited >= self._tree.world.as_of
            rows.append([LEARNING_LOSS if fresh and age < LEARNING_DAYS else 1.0 for age in since])
        return np.array(rows)


def _slowed(plan: Plan, learning: Floats) -> Plan:
    return structs.replace(plan, quality=np.broadcast_to(plan.quality, learning.shape) * learning)


def _joined(before: Days, after: Days) -> Days:
    columns = (
        np.concatenate([getattr(before, name), getattr(after, name)], axis=1)
        for name in Days.__struct_fields__
    )
    return Days(*columns)
