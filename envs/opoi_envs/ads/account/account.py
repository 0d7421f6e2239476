"""One ad account with a clock: what is set in it, what it has delivered, and what may be changed.

Days before the clock's today are facts and never change. A write changes what is set from today on; only
`advance` turns days into facts, under what is set at that moment. Every tool and every client sees the
account through `opoi_envs.ads.account.view.View`.
"""

from __future__ import annotations

import math
from typing import Any

from opoi_envs.ads.account.books import Books
from opoi_envs.ads.account.nodes import (
    MINIMUM_BUDGET,
    SIGNIFICANT,
    STATUSES,
    BudgetKind,
    Event,
    Kind,
    Node,
    Refused,
    Status,
    usual,
)
from opoi_envs.ads.account.tree import Tree
from opoi_envs.ads.world.delivery import BLOCK
from opoi_envs.ads.world.world import World

__all__ = ["MAXIMUM_BUDGET", "Account"]

MAXIMUM_BUDGET = 100_000_000
"""Largest daily budget in cents: one million dollars."""

_LONG_PAUSE = 7
_SETTLES = ("targeting", "creative", "optimization_goal", "bid_amount", "bid_strategy")
"""Settings whose change resets learning."""


class Account(Tree):
    """The account of a world, from the decision day on; for reading see `Tree`.

    Args:
        world: What is true. The account never changes it.
        significant: A budget change by more than this share at once resets learning.

    Attributes:
        books: What has been delivered.
        version: Goes up with every change, day and reset; what was read under one version stays true.
    """

    def __init__(self, world: World, *, significant: float = SIGNIFICANT) -> None:
        super().__init__(world)
        self.significant = significant
        self.books = Books(self)
        self.version = 0
        self._created = 0

    def reset(self) -> None:
        """Return to the decision day; everything reads as it did at first."""
        self.restore()
        self.books = Books(self)
        self.version += 1
        self._created = 0

    # ---------------------------------------------------------------- writing

    def change(self, node: Node, check_only: bool = False, **settings: Any) -> None:
        """Change settings of an object from today on.

        Args:
            node: What to change.
            check_only: Check and change nothing.
            **settings: `name`, `status`, `budget_cents`, `budget_kind`, and any other setting, which is kept
                in `Node.extra`.

        Raises:
            Refused: A setting is not acceptable; nothing has changed.
        """
        if node.status == "DELETED":
            raise Refused("deleted", f"{node.kind} {node.id} is deleted", "deleted objects stay deleted")
        self._check(node, settings)
        if check_only:
            return
        if "budget_cents" in settings or "budget_kind" in settings:
            cents = settings.get("budget_cents", node.budget_cents)
            self._set_budget(node, cents, settings.get("budget_kind", node.budget_kind))
        for name, value in settings.items():
            self._set(node, name, value)
        node.updated = self.today
        self.version += 1

    def create(
        self,
        kind: Kind,
        *,
        name: str,
        parent: str = "",
        status: Status = "ACTIVE",
        budget_cents: int | None = None,
        budget_kind: BudgetKind = "daily",
        check_only: bool = False,
        **extra: Any,
    ) -> Node | None:
        """Create an object; it delivers from today on if it runs. Return None where only checked.

        Raises:
            Refused: The parent does not fit or a setting is not acceptable; nothing has changed.
        """
        above = self.node(parent, "campaign" if kind == "adset" else "adset") if kind != "campaign" else None
        if above is not None and above.status == "DELETED":
            raise Refused("deleted", f"{above.kind} {above.id} is deleted", "choose another parent")
        number = int(self.world.campaigns[-1].id) + 100 + self._created
        node = Node(
            id=str(number),
            kind=kind,
            name=name,
            status=status,
            parent=parent,
            budget_cents=budget_cents,
            budget_kind=budget_kind,
            since=self.today,
            created=self.today,
            updated=self.today,
            extra=extra,
        )
        wanted: dict[str, Any] = {"name": name, "status": status}
        if budget_cents is not None:
            wanted["budget_cents"] = budget_cents
        self._check(node, wanted, above)
        if check_only:
            return None
        self._created += 1
        self.nodes[node.id] = node
        if above is not None:
            above.children.append(node.id)
        self.books.open(node, above)
        self.events.append(Event(self.today, node.id, "created", significant=True))
        self.version += 1
        return node

    def share_out(self, campaign: Node, budgets: dict[str, int], check_only: bool = False) -> None:
        """Move the budget of a campaign down to its ad sets, in cents by ad set id.

        With `check_only`, check and change nothing.

        Raises:
            Refused: A budget is missing or not acceptable; nothing has changed.
        """
        living = [child.id for child in self.living(campaign)]
        gone = [name for name in budgets if name in campaign.children and name not in living]
        if gone:
            raise Refused("deleted", f"adset {gone[0]} is deleted", "leave it out", field="adset_budgets")
        if campaign.budget_cents is None or set(budgets) != set(living):
            raise Refused(
                "budget_elsewhere",
                f"campaign {campaign.id}: budgets are needed for exactly its ad sets",
                f"ad sets: {', '.join(living)}",
                field="adset_budgets",
            )
        for child, cents in budgets.items():
            _check_budget(self.nodes[child], cents)
        if check_only:
            return
        references = self.books.references(campaign)
        shares = {
            child: math.fsum(references[ad.id] for ad in self.below(self.nodes[child], "ad"))
            for child in budgets
        }
        whole = math.fsum(shares.values())
        old, campaign.budget_cents = self.daily_budget(campaign), None
        for child, cents in budgets.items():
            before = int(old * shares[child] / whole + 0.5) if whole else 0
            node = self.nodes[child]
            node.budget_cents, node.budget_kind, node.since = cents, "daily", self.today
            node.updated = self.today
            self.events.append(self._budget_event(child, before, cents))
        campaign.updated = self.today
        self.version += 1

    def advance(self, days: int) -> None:
        """Let that many days happen under what is set now.

        Raises:
            ValueError: Fewer than none.
        """
        if days < 0:
            raise ValueError("the clock does not run backwards")
        while days:
            step = min(days, BLOCK - (self.today - self.world.as_of) % BLOCK)
            if any(node.budget_kind == "lifetime" for node in self.nodes.values()):
                step = 1  # what is left decides what the next day may spend
            self.books.play(step)
            self.today += step
            days -= step
            self.version += 1

    # ---------------------------------------------------------------- inside

    def _budget_event(self, name: str, old: int, new: int) -> Event:
        """Log a change of a daily pace; several small steps on one day are one large one."""
        today = (each for each in self.events if (each.day, each.node) == (self.today, name))
        morning = next((each.old for each in today if each.kind == "budget_change"), old)
        before = morning if isinstance(morning, int) else old
        large = abs(new - before) > self.significant * before + 1  # cents are rounded
        return Event(self.today, name, "budget_change", old, new, large)

    def _check(self, node: Node, settings: dict[str, Any], above: Node | None = None) -> None:
        status = settings.get("status", "ACTIVE")
        if status not in STATUSES:
            raise Refused("bad_value", f"status {status!r} is none of {', '.join(STATUSES)}", field="status")
        name = settings.get("name", node.name)
        if not (isinstance(name, str) and name.strip()):
            raise Refused("bad_value", "a name must not be empty", field="name")
        if "budget_cents" not in settings:
            return
        parent = above or (self.nodes[node.parent] if node.parent else None)
        shared = parent is not None and parent.budget_cents is not None
        parts = self.living(node) if node.kind == "campaign" else []
        if node.kind == "ad" or shared or any(child.budget_cents is not None for child in parts):
            owner = {"ad": "its ad set or campaign has", "adset": "its campaign has"}.get(node.kind)
            raise Refused(
                "budget_elsewhere",
                f"{node.kind} {node.id} has no budget of its own: {owner or 'its ad sets have'}",
                "change the budget where it is owned",
                field="daily_budget",
            )
        _check_budget(node, settings["budget_cents"])

    def _set_budget(self, node: Node, cents: int | None, kind: BudgetKind) -> None:
        if cents is None or (cents, kind) == (node.budget_cents, node.budget_kind):
            return
        old = self.daily_budget(node) if node.budget_cents is not None else 0
        node.budget_cents, node.budget_kind, node.since = cents, kind, self.today
        self.events.append(self._budget_event(node.id, old, self.daily_budget(node)))

    def _set(self, node: Node, name: str, value: Any) -> None:  # noqa: ANN401 - any setting
        if name in ("budget_cents", "budget_kind"):
            return
        if name == "status":
            if value == node.status:
                return
            long = value == "ACTIVE" and self.today - self.stopped(node) >= _LONG_PAUSE
            self.events.append(Event(self.today, node.id, "status_change", node.status, value, long))
            node.status = value
        elif name == "name":
            node.name = value
        else:
            if name in _SETTLES and node.extra.get(name, usual(node, name)) != value:
                self.events.append(Event(self.today, node.id, "edited", None, name, significant=True))
            node.extra[name] = value


def _check_budget(node: Node, cents: object) -> None:
    label = f"{node.kind} {node.id}"
    if not isinstance(cents, int) or isinstance(cents, bool):
        raise Refused("bad_value", f"{label}: a budget is a whole number of cents", field="daily_budget")
    if cents < MINIMUM_BUDGET:
        raise Refused(
            "budget_too_low",
            f"{label}: a budget of {cents} cents is too low",
            f"give at least {MINIMUM_BUDGET} cents, or pause it instead",
            field="daily_budget",
        )
    if cents > MAXIMUM_BUDGET:
        raise Refused(
            "budget_too_high",
            f"{label}: a budget of {cents} cents is too high",
            f"give at most {MAXIMUM_BUDGET} cents",
            field="daily_budget",
        )
