"""What each action is worth: expected given the screen, and as it turned out.

Utility is gross margin times revenue minus spend over the 14 days after the decision, in USD, for the
campaign in focus, less a switching cost for any change. A spend multiple m brings conversions in
proportion to `m * (1 + k) / (1 + k * m)`: diminishing returns with an elasticity of `1 / (1 + k)`.
"""

from __future__ import annotations

from collections.abc import Set
from functools import cache

from msgspec import Struct

from opoi.types import Fact, Hidden, Truth
from opoi_envs.ads.account import View
from opoi_envs.ads.archetypes import OVERLAYS, RESPONSES, Cause, Overlay, archetype_of
from opoi_envs.ads.noise import normals, uniforms
from opoi_envs.ads.world import FUTURE, PACING, World

__all__ = [
    "ACTIONS",
    "MULTIPLES",
    "NULL_ACTION",
    "SWITCHING",
    "TOLERANCE",
    "Future",
    "base_spend",
    "best",
    "expected",
    "new_budget",
    "realised",
    "stock_left",
    "truth_of",
]

MULTIPLES: dict[str, float] = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.7, "pause": 0.0}
"""Spend after each action as a multiple of spend before."""

ACTIONS: tuple[str, ...] = tuple(MULTIPLES)

NULL_ACTION = "maintain"
"""The action that changes nothing."""

SWITCHING = 0.02
"""Cost of any change, as a share of the 14 days' spend at the old budget (a phase of learning)."""

TOLERANCE = 0.02
"""Two actions are equally good if their utilities differ by no more than this share of that spend."""


def new_budget(budget_cents: int, action: str) -> int:
    """Return the daily budget in cents after an action."""
    return int(budget_cents * MULTIPLES[action] + 0.5)


class Future(Struct, frozen=True):
    """The 14 days after the decision under one action.

    Attributes:
        spend_cents: Ad spend.
        purchases: All purchases that the campaign brought.
        revenue_cents: Their revenue.
        utility_cents: What the action was worth.
    """

    spend_cents: int
    purchases: int
    revenue_cents: int
    utility_cents: int


def base_spend(world: World) -> float:
    """Return the expected spend of 14 days at the present budget, in cents."""
    return FUTURE * PACING * world.focus.budget_cents


def _response(multiple: float, k: float) -> float:
    return multiple * (1.0 + k) / (1.0 + k * multiple)


def _switching(action: str) -> float:
    return 0.0 if action == NULL_ACTION else SWITCHING


def _sales(cause: Cause, overlay: Overlay, response: float) -> float:
    """Return the sales of 14 days, in units of 14 days' usual sales, without any day noise."""
    sales = cause.quality * response
    if overlay.name == "stock_out":
        return min(sales, overlay.days / FUTURE)
    if overlay.name == "promotion":
        return sales * (overlay.days + overlay.lift * (FUTURE - overlay.days)) / FUTURE
    return sales


@cache
def _weights(kind: str, action: str) -> tuple[float, float]:
    """Return (sales, cost) of an action, averaged over everything that the screen does not show.

    Utility is `spend * (r * sales - cost)`, so the average over causes, overlays and responses need not
    be taken for every world anew.
    """
    multiple = MULTIPLES[action]
    sales, cost = 0.0, _switching(action)
    for overlay in OVERLAYS:
        cost += overlay.probability * overlay.cost * multiple
        for cause in archetype_of(kind).causes:
            for k in RESPONSES:
                probability = overlay.probability * cause.probability / len(RESPONSES)
                sales += probability * _sales(cause, overlay, _response(multiple, k))
    return sales, cost


def expected(world: World) -> dict[str, float]:
    """Return the expected utility in USD of each action, given all that tools can reveal.

    Exact enumeration over causes, overlays and responses; the day noise has mean 0.
    """
    spend = base_spend(world)
    result = {}
    for action in ACTIONS:
        sales, cost = _weights(world.focus.archetype.name, action)
        result[action] = _dollars(spend * (world.focus.r * sales - cost))
    return result


def _dollars(cents: float) -> float:
    return int(cents + 0.5 if cents >= 0 else cents - 0.5) / 100


def stock_left(world: World) -> int:
    """Return the units left in stock, -1 where there are enough.

    The number is unlike all that tools print (see `truth_of`), and the one that sales run into.
    """
    return _stock(world, _printed(View(world))) if world.overlay.name == "stock_out" else -1


def _stock(world: World, taken: Set[int]) -> int:
    usual = PACING * world.focus.budget_cents / world.focus.cpa
    units = int(usual * world.overlay.days) + world.stream.below(3, "stock")
    return _unlike(100 * units, 100, taken) // 100


def realised(world: World) -> dict[str, Future]:
    """Return what happened under each action: the same draws for all of them."""
    return _futures(world, stock_left(world))


def _futures(world: World, stock: int) -> dict[str, Future]:
    """Live through the 14 days under each action, with that many units in stock (-1: enough)."""
    focus, overlay = world.focus, world.overlay
    noise = normals(world.stream, 3, FUTURE, "future").tolist()
    rounding = uniforms(world.stream, FUTURE, "future rounding").tolist()
    drift = normals(world.stream, 1, 1, "drift").tolist()[0][0]
    level = world.cause.quality * (1.0 + 0.02 * drift) / focus.cpa
    demand, spends, orders = [], [], []
    for day in range(FUTURE):
        spend = focus.budget_cents * (PACING + 0.035 * noise[0][day])
        lift = overlay.lift if day >= overlay.days else 1.0
        weekly = focus.weekly[(world.as_of + day) % 7]
        demand.append(focus.budget_cents * PACING * level * lift * weekly * (1.0 + 0.05 * noise[1][day]))
        spends.append(spend)
        orders.append(int(world.account.aov_cents * (1.0 + 0.03 * noise[2][day])))
    draws = _Draws(demand, spends, orders, rounding, stock)
    return {action: _play(world, action, draws) for action in ACTIONS}


class _Draws(Struct, frozen=True):
    """What the 14 days bring whatever is done; one value per day. A stock below 0 means enough."""

    demand: list[float]
    spends: list[float]
    orders: list[int]
    rounding: list[float]
    stock: int


def _play(world: World, action: str, draws: _Draws) -> Future:
    """Live through the 14 days under one action."""
    multiple = MULTIPLES[action]
    response = _response(multiple, world.response)
    spend = purchases = revenue = 0
    for day in range(FUTURE):
        sold = int(draws.demand[day] * response + draws.rounding[day]) if multiple else 0
        if draws.stock >= 0:
            sold = min(sold, draws.stock - purchases)
        spend += int(draws.spends[day] * multiple)
        purchases += sold
        revenue += sold * draws.orders[day]
    switching = int(_switching(action) * base_spend(world))
    cost = int(spend * world.overlay.cost)
    utility = revenue * world.account.margin_pct // 100 - cost - switching
    return Future(spend_cents=spend, purchases=purchases, revenue_cents=revenue, utility_cents=utility)


def best(utilities: dict[str, float], tolerance: float) -> tuple[str, ...]:
    """Return the actions within the tolerance of the best, best first."""
    ranked = sorted(utilities, key=lambda action: -utilities[action])
    top = utilities[ranked[0]]
    return tuple(action for action in ranked if top - utilities[action] <= tolerance)


def truth_of(world: World) -> Truth:
    """Return what really holds: utilities in USD, best actions, and what no tool reveals.

    What is hidden can be recognised by its value: no hidden number has the size of a number that a tool
    can print about the account, its settings, the budgets of its campaigns or the campaign in focus, over
    any window; days to come are later than any day that a tool prints. The figures of the other campaigns
    are not looked through, that would cost more than all the rest: about one hidden number in twenty
    occurs by chance among the thousands of them.
    """
    taken = _printed(View(world))
    stock = _stock(world, taken) if world.overlay.name == "stock_out" else -1
    hopes, futures = expected(world), _futures(world, stock)
    came = {action: future.utility_cents / 100 for action, future in futures.items()}
    tolerance = TOLERANCE * base_spend(world) / 100
    return Truth(
        expected=hopes,
        realised=came,
        observable_actions=best(hopes, tolerance),
        hindsight_actions=best(came, tolerance),
        hidden=(*_outside(world, stock, taken), *_later(world, futures[NULL_ACTION], taken)),
    )


def _printed(view: View) -> Set[int]:
    """Return the size of every number that tools print about the focus and the account, in hundredths."""
    taken = view.printable(view.world.focus)
    taken.update(_hundredths(value) for _, value, _ in view.settings())
    taken.update(campaign.budget_cents for campaign in view.world.campaigns)
    return taken


def _hundredths(value: float | str) -> int:
    return int(abs(float(value)) * 100 + 0.5)


def _later(world: World, kept: Future, taken: Set[int]) -> list[Hidden]:
    """Return what became known later, less what is like a printed number by chance.

    Were all of it, the first would stay: a reviewer has to have something to tell. That takes four
    coincidences at once.
    """
    later = _afterwards(world, kept)
    unlike = [fact for fact in later if _hundredths(fact.value) not in taken]
    return [Hidden(fact=fact, channel="outcome") for fact in unlike or later[:1]]


def _outside(world: World, stock: int, taken: Set[int]) -> list[Hidden]:
    """Return what is going on behind the screen and outside the account; free values are unlike `taken`."""
    focus, overlay, stream = world.focus.id, world.overlay, world.stream
    facts = []
    if world.cause.hides_sales:
        lost = _lost(world, taken)
        fact = Fact(focus, "untracked_purchases", _span(world, -3, -1), lost, "count")
        facts.append(Hidden(fact=fact, channel="hidden"))
    if overlay.name == "stock_out":
        facts.append(Hidden(fact=Fact(focus, "stock_left", "", stock, "count"), channel="hidden"))
    if overlay.name == "promotion":
        discount = _unlike(1500 + 10 * stream.below(200, "discount") + 7, 1, taken) / 100
        day = world.day(overlay.days)
        facts.append(Hidden(fact=Fact(focus, "promotion_discount", day, discount, "%"), channel="hidden"))
        facts.append(Hidden(fact=Fact(focus, "promotion_start", "", day, "day"), channel="hidden"))
    if overlay.name == "cash_freeze":
        limit = _unlike(100 * (1300 + stream.below(4000, "limit")) + 37, 1, taken) / 100
        facts.append(Hidden(fact=Fact(focus, "cash_limit", "", limit, "USD"), channel="external"))
    return facts


def _afterwards(world: World, kept: Future) -> list[Fact]:
    """Return what became known later: matured numbers, and the 14 days at the old budget."""
    focus, span = world.focus, _span(world, 0, FUTURE - 1)
    mature = View(world, age=28)
    financed = "" if world.overlay.cost == 1 else "_after_overdraft"
    facts = [Fact(focus.id, f"contribution_14d{financed}", span, kept.utility_cents / 100, "USD")]
    for name, first in (("yesterday", 1), ("last_7d", 7)):
        cpa = mature.row(focus, first, 1).get("cpa")
        if cpa is not None:
            facts.append(Fact(focus.id, f"matured_cpa_{name}", mature.window(first, 1), cpa, "USD"))
    if kept.purchases:
        cpa = (2 * kept.spend_cents + kept.purchases) // (2 * kept.purchases) / 100
        facts.append(Fact(focus.id, "cpa_14d", span, cpa, "USD"))
    return facts


def _span(world: World, first: int, last: int) -> str:
    return f"{world.day(first)}..{world.day(last)}"


def _unlike(value: int, step: int, taken: Set[int]) -> int:
    """Return the first of value, value + step, ... that is not taken."""
    while value in taken:
        value += step
    return value


def _lost(world: World, taken: Set[int]) -> int:
    """Return the purchases of the last 3 days that tracking missed, at least 1."""
    _, quality = world.focus.archetype.bends[-1]
    tracked = sum(world.days(world.focus).purchases[-3:].tolist())
    return _unlike(100 * max(1, int(tracked * (1.0 / quality - 1.0))), 100, taken) // 100
