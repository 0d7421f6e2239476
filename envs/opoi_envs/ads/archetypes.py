"""What a campaign can look like on the screen, and what may be behind it.

An archetype fixes the shape of the visible history. Behind the same screen stand several causes, and
independently of them an overlay of things outside the account: both are drawn after the screen, so no
tool can tell them apart. All probabilities and strengths are choices of this simulator; ranges of levels
follow common trade figures for e-commerce accounts.

`r` is the break-even CPA divided by the campaign's true CPA at its usual efficiency. A `quality` of 1 is
that usual efficiency; conversions per dollar are proportional to it.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ARCHETYPES", "OVERLAYS", "RESPONSES", "Archetype", "Cause", "Overlay", "archetype_of"]


class Cause(Struct, frozen=True):
    """One explanation of a screen.

    Attributes:
        name: Identifies it.
        probability: Given the archetype.
        quality: Efficiency over the 14 days after the decision, against the usual one.
        hides_sales: The recent dip was in the tracking only; the sales were made.
    """

    name: str
    probability: float
    quality: float
    hides_sales: bool = False


class Archetype(Struct, frozen=True, kw_only=True):
    """The shape of a visible history.

    Attributes:
        name: `Scenario.kind`.
        weight: Share of the scenarios.
        r_low: Lowest break-even CPA / true CPA.
        r_high: Highest.
        bends: `(age, quality)` pairs: from that many days before the decision on, the conversion rate
            stands at that quality (until a later pair says otherwise).
        fade: Loss of click-through rate per day over the last 14 days.
        frequency: Frequency that the last 7 days show.
        raised: `(age, from multiple)` pairs: the budget was raised that many days ago, from that multiple
            of what it is now.
        roughness: Day-to-day noise of the last 3 days as a multiple of the usual noise.
        causes: What may be behind it; probabilities sum to 1.
        yesterday_share: Permille of yesterday's purchases that are visible, `(low, high)`.
    """

    name: str
    weight: float
    r_low: float
    r_high: float
    bends: tuple[tuple[int, float], ...] = ()
    fade: float = 0.0
    frequency: float = 1.8
    raised: tuple[tuple[int, float], ...] = ()
    roughness: float = 1.0
    causes: tuple[Cause, ...]
    yesterday_share: tuple[int, int] = (700, 750)


ARCHETYPES: tuple[Archetype, ...] = (
    Archetype(
        name="headroom",
        weight=0.17,
        r_low=2.05,
        r_high=2.5,
        causes=(Cause("headroom", 0.9, 1.0), Cause("seasonal_peak", 0.1, 0.66)),
    ),
    Archetype(
        name="steady",
        weight=0.10,
        r_low=1.47,
        r_high=1.64,
        causes=(Cause("steady", 0.86, 1.0), Cause("upswing", 0.07, 1.32), Cause("slackening", 0.07, 0.72)),
    ),
    Archetype(
        name="saturated",
        weight=0.12,
        r_low=1.0,
        r_high=1.16,
        frequency=2.4,
        raised=((26, 0.7), (17, 0.84)),
        causes=(Cause("saturated", 0.9, 1.0), Cause("auction_pressure", 0.1, 1.42)),
    ),
    Archetype(
        name="collapse",
        weight=0.16,
        r_low=1.98,
        r_high=2.16,
        bends=((3, 0.47),),
        causes=(Cause("collapse", 0.8, 0.49), Cause("tracking_outage", 0.2, 1.0, hides_sales=True)),
    ),
    Archetype(
        name="lag_dip",
        weight=0.11,
        r_low=1.50,
        r_high=1.64,
        bends=((1, 0.83),),
        causes=(Cause("lag", 0.93, 1.0), Cause("first_day_of_decline", 0.07, 0.62)),
        yesterday_share=(700, 710),
    ),
    Archetype(
        name="loser",
        weight=0.14,
        r_low=0.66,
        r_high=0.82,
        causes=(Cause("loser", 0.89, 1.0), Cause("late_bloomer", 0.11, 1.75)),
    ),
    Archetype(
        name="fatigue",
        weight=0.07,
        r_low=1.58,
        r_high=1.76,
        fade=0.022,
        frequency=3.5,
        causes=(Cause("fatigue", 0.85, 0.66), Cause("fresh_creative", 0.15, 1.0)),
    ),
    Archetype(
        name="recovering",
        weight=0.08,
        r_low=1.54,
        r_high=1.68,
        bends=((14, 0.56), (3, 1.0)),
        causes=(Cause("restored", 0.87, 1.0), Cause("relapse", 0.13, 0.66)),
    ),
    Archetype(
        name="learning",
        weight=0.05,
        r_low=1.50,
        r_high=1.66,
        bends=((3, 0.8),),
        raised=((3, 0.72),),
        roughness=2.0,
        causes=(Cause("learning_ends", 0.86, 1.0), Cause("learning_limited", 0.14, 0.78)),
    ),
)
"""Every archetype; weights sum to 1."""


class Overlay(Struct, frozen=True):
    """Something outside the account that bears on the next 14 days.

    Attributes:
        name: `none`, `stock_out`, `promotion` or `cash_freeze`.
        probability: The variants of one name add up to that name's probability.
        days: Days of usual sales left in stock, or the day on which the promotion starts; 0 otherwise.
        lift: Conversions per dollar while a promotion runs, against usual.
        cost: What a dollar of ad spend costs in the end (an overdraft makes it more than 1).
    """

    name: str
    probability: float
    days: int = 0
    lift: float = 1.0
    cost: float = 1.0


OVERLAYS: tuple[Overlay, ...] = (
    Overlay("none", 0.75),
    *(Overlay("stock_out", 0.04, days=days) for days in (3, 5, 7)),
    *(Overlay("promotion", 0.08 / 3, days=days, lift=1.4) for days in (2, 4, 6)),
    Overlay("cash_freeze", 0.05, cost=1.5),
)
"""Independent of the archetype and of the cause; probabilities sum to 1."""

RESPONSES: tuple[float, ...] = (0.38, 0.45, 0.54)
"""Equally likely values of k in the response `m * (1 + k) / (1 + k * m)` of conversions to the spend
multiple m. The elasticity at m = 1 is 1 / (1 + k) = 0.72, 0.69, 0.65, inside the trade range 0.57-0.80."""


def archetype_of(name: str) -> Archetype:
    """Return the archetype of that name.

    Raises:
        KeyError: There is none.
    """
    for archetype in ARCHETYPES:
        if archetype.name == name:
            return archetype
    raise KeyError(name)
