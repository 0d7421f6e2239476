"""What no tool reveals: state behind the screen, the world outside, and what became known later.

What is hidden can be recognised by its value. Free values are salted: none has the size of a number that a
tool can print about any campaign of the account. What the days to come brought cannot be chosen. Where a
value has a size that a tool can print about a campaign or an ad set all the same, the ledger says that it is
ambiguous.
"""

from __future__ import annotations

from collections.abc import Set

from msgspec import structs

from opoi.types import Fact, Hidden
from opoi_envs.ads.account.view import View
from opoi_envs.ads.rows import label, printable, row, settings
from opoi_envs.ads.truth.outcomes import Future
from opoi_envs.ads.world.calendar import iso
from opoi_envs.ads.world.world import HORIZON, World

__all__ = ["secrets_of"]


def secrets_of(world: World, view: View, kept: Future) -> tuple[Hidden, ...]:
    """Return the hidden facts of a world.

    Args:
        world: The world.
        view: Its account on the decision day.
        kept: What became of the campaign in focus with nothing changed.
    """
    account = view.account
    taken = printable(view, account.of_kind("campaign"))
    taken |= {_hundredths(value) for _, value, _ in settings(view)}
    parts = printable(view, account.of_kind("adset")) | taken
    found = [*_outside(world, kept, taken), *_afterwards(world, view, kept)]
    return tuple(
        structs.replace(each, ambiguous=each.fact.unit != "day" and _hundredths(each.fact.value) in parts)
        for each in found
    )


def _hundredths(value: float | str) -> int:
    return int(abs(float(value)) * 100 + 0.5)


def _outside(world: World, kept: Future, taken: Set[int]) -> list[Hidden]:
    """Return what is going on behind the screen and outside the account."""
    focus, stream = world.focus, world.stream
    name, overlay = f"cmp_{focus.id}", focus.overlay
    start = world.day(overlay.start)
    facts = []
    if focus.cause.hides_sales:
        fact = Fact(name, "untracked_purchases", _span(world, -3, -1), _lost(world, taken), "count")
        facts.append(Hidden(fact=fact, channel="hidden"))
    if overlay.name == "stock_out":
        stock = _unlike(100 * max(1, kept.purchases), 100, taken) // 100
        facts.append(Hidden(fact=Fact(name, "stock_left", "", stock, "count"), channel="hidden"))
        facts.append(Hidden(fact=Fact(name, "sold_out_from", "", start, "day"), channel="hidden"))
    if overlay.name == "promotion":
        discount = _unlike(1500 + 10 * stream.below(200, "discount") + 7, 1, taken) / 100
        facts.append(Hidden(fact=Fact(name, "promotion_discount", start, discount, "%"), channel="hidden"))
        facts.append(Hidden(fact=Fact(name, "promotion_start", "", start, "day"), channel="hidden"))
    if overlay.name == "cash_freeze":
        days = 5 + stream.below(9, "limit")  # of the present budget
        limit = _unlike(focus.budget_cents * days + 37, 1, taken) / 100
        facts.append(Hidden(fact=Fact(name, "cash_limit", "", limit, "USD"), channel="external"))
    return facts


def _afterwards(world: World, view: View, kept: Future) -> list[Hidden]:
    """Return what became known later: matured numbers, and the 14 days at the old budget."""
    node = view.account.node(world.focus.id)
    name, span = label(node), _span(world, 0, HORIZON - 1)
    mature = View(view.account, later=28)
    financed = "" if world.focus.overlay.cost == 1 else "_after_overdraft"
    facts = [Fact(name, f"contribution_14d{financed}", span, kept.utility_cents / 100, "USD")]
    for metric, first in (("matured_cpa_yesterday", 1), ("matured_cpa_last_7d", 7)):
        cpa = row(mature, node, first, 1).get("cpa")
        if cpa is not None:
            facts.append(Fact(name, metric, mature.window(first, 1), cpa, "USD"))
    if kept.purchases:
        cpa = (2 * kept.spend_cents + kept.purchases) // (2 * kept.purchases) / 100
        facts.append(Fact(name, "cpa_14d", span, cpa, "USD"))
    return [Hidden(fact=fact, channel="outcome") for fact in facts]


def _span(world: World, first: int, last: int) -> str:
    return f"{iso(world.as_of + first)}..{iso(world.as_of + last)}"


def _unlike(value: int, step: int, taken: Set[int]) -> int:
    """Return the first of value, value + step, ... that is not taken."""
    while value in taken:
        value += step
    return value


def _lost(world: World, taken: Set[int]) -> int:
    """Return the purchases of the last 3 days that tracking missed, at least 1."""
    _, quality = world.focus.archetype.bends[-1]
    tracked = int(world.days(world.focus).purchases[:, -3:].sum())
    return _unlike(100 * max(1, int(tracked * (1.0 / quality - 1.0))), 100, taken) // 100
