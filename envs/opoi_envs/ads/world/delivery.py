"""What an ad delivers on a day, as integers: a pure function of the world, the day and the plan for it.

Money buys impressions, these bring link clicks, these bring landing-page views, carts and checkouts, each
at a rate of its own. Purchases are Poisson: their mean follows from the planned budget (through the
response of conversions to spend), the efficiency of the day, its weekday and the season, and from nothing
that is drawn for the other columns. Every purchase draws its own delay until it is attributed, and its
value. The same cell gives the same draws under every plan: common random numbers for counterfactuals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from opoi_envs.ads.world.calendar import season
from opoi_envs.ads.world.campaign import HISTORY, PACING, Campaign, Plan
from opoi_envs.ads.world.noise import Floats, Ints, Words, descendants, normals, poisson, uniforms, words

__all__ = ["BLOCK", "DELAYS", "VISIBLE", "Days", "deliver", "reported"]

BLOCK = 14
"""Days after the decision are drawn in blocks of so many, so that none depends on how far one looks."""

DELAYS: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 14, 28)
"""Days after which a purchase may come to be attributed to the day of the click."""

VISIBLE: tuple[float, ...] = (0.55, 0.72, 0.80, 0.87, 0.90, 0.925, 0.95, 0.975, 0.99, 1.0)
"""Expected share of the final purchases that is visible so many days later; see `DELAYS`."""

_DELAY = np.searchsorted(np.array(VISIBLE[:-1]), (np.arange(1 << 16) + 0.5) / (1 << 16), side="right")
"""Place in `DELAYS` by 16 random bits."""

_WORDS = 4
_AT_ONCE = 8

_STAGES: tuple[Callable[[Campaign], float], ...] = (
    lambda campaign: campaign.funnel[0],
    lambda campaign: campaign.funnel[1],
    lambda campaign: campaign.funnel[2],
)
"""Landing-page views, carts and checkouts per link click."""


class Days(Struct, frozen=True):
    """Integer facts by ad and day, shape (ads, days); purchases and revenue by delay, (ads, days, delays)."""

    impressions: Ints
    clicks: Ints
    link_clicks: Ints
    spend_cents: Ints
    views: Ints
    carts: Ints
    checkouts: Ints
    purchases: Ints
    revenue_cents: Ints


def reported(days: Ints, age: int | Ints) -> Ints:
    """Return what is visible of purchases or revenue so many days after their day.

    Pure, and it never decreases with age: each purchase becomes visible once and stays.

    Args:
        days: By delay along the last axis.
        age: Days between a day and the day of looking, one for all days or one for each, along the axis
            before the last; a negative age shows nothing.
    """
    seen = np.array(DELAYS) <= np.asarray(age)[..., None]
    result: Ints = np.where(seen, days, 0).sum(axis=-1)
    return result


def deliver(campaigns: Sequence[Campaign], plans: Sequence[Plan], first: int, count: int) -> Days:
    """Play days of several campaigns at once; row by row the same as one campaign at a time.

    Args:
        campaigns: The campaigns.
        plans: One for each.
        first: Offset of the first day from the decision day; the days must lie within one block.
        count: How many days.

    Returns:
        The facts of all ads, campaign by campaign.
    """
    cells = _Cells(campaigns, plans, first, count)
    traffic = [each.astype(np.int64) for each in _traffic(cells)]
    columns = [*traffic, *_purchases(_sold(cells), cells)]
    return Days(*columns)


class _Cells:
    """What holds for every ad and day, the campaigns one below the other.

    Args:
        campaigns: As given to `deliver`.
        plans: Likewise.
        first: Likewise.
        count: Likewise.

    Attributes:
        noise: Random words, shape (4, ads, days).
        pacing: Spend as a share of the daily budget.
        price: CPM against the usual, season included.
        efficiency: Conversions per dollar against the usual, weekday and season included.
        budgets: Cents a day.
        fading: Click-through rate against the usual.
        tracked: Share of views, carts and checkouts that is recorded, shape (3, ads, days).
    """

    def __init__(self, campaigns: Sequence[Campaign], plans: Sequence[Plan], first: int, count: int) -> None:
        self.campaigns = campaigns
        self.ads = [len(campaign.rates) for campaign in campaigns]
        bits = [_bits(campaign, first, count) for campaign in campaigns]
        seasons = [_seasons(campaign.as_of + first, count) for campaign in campaigns]
        weekdays = np.arange(first, first + count) % 7
        weekly = self._days([np.array(campaign.weekly)[weekdays] for campaign in campaigns])
        self.noise: Words = np.concatenate([words for words, _ in bits], axis=1)
        self.pacing = self._days([pacing for _, pacing in bits])
        self.budgets = np.concatenate([plan.budgets for plan in plans])
        quality, self.fading, price = (
            np.concatenate([np.broadcast_to(getattr(plan, name), plan.budgets.shape) for plan in plans])
            for name in ("quality", "fading", "price")
        )
        season, buying = (self._days([each[kind] for each in seasons]) for kind in (0, 1))
        self.price = price * season
        self.efficiency = quality * weekly * (buying / season)
        self.tracked = np.stack([self._days([plan.tracked[stage] for plan in plans]) for stage in range(3)])

    def each(self, value: Callable[[Campaign], float]) -> Floats:
        """Return one value of each campaign, shape (ads, 1)."""
        return np.repeat(np.array([value(campaign) for campaign in self.campaigns]), self.ads)[:, None]

    def by_ad(self, values: Callable[[Campaign], Floats]) -> Floats:
        """Return one value of each ad, shape (ads, 1)."""
        return np.concatenate([values(campaign) for campaign in self.campaigns])[:, None]

    def _days(self, rows: Sequence[Floats]) -> Floats:
        """Repeat one row per campaign for each of its ads."""
        return np.repeat(np.stack(rows), self.ads, axis=0)


def _traffic(cells: _Cells) -> tuple[Floats, ...]:
    """Return impressions, clicks, link clicks, spend, views, carts and checkouts."""
    jitter, misc = [normals(each) for each in cells.noise[:2]], cells.noise[3]
    small = [
        ((misc >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(np.float64) / 65536 for part in range(4)
    ]
    views, carts, checkouts = (cells.each(stage) for stage in _STAGES)
    spend = np.floor(cells.budgets * cells.pacing)
    cpm = cells.each(lambda each: each.cpc * each.ctr) * cells.price * (1.0 + 0.04 * jitter[0])
    impressions = np.floor(spend / cpm)
    rate = cells.by_ad(lambda each: each.click_rates) * cells.fading * (1.0 + 0.03 * jitter[1])
    link_clicks = np.floor(impressions * rate)
    return (
        impressions,
        link_clicks + np.floor(link_clicks * (0.45 + 0.15 * small[3])),
        link_clicks,
        spend,
        np.floor(link_clicks * (views + 0.06 * small[0]) * cells.tracked[0]),
        np.floor(link_clicks * carts * (0.94 + 0.12 * small[1]) * cells.tracked[1]),
        np.floor(link_clicks * checkouts * (0.94 + 0.12 * small[2]) * cells.tracked[2]),
    )


def _sold(cells: _Cells) -> Ints:
    """Return purchases, however late they are attributed, shape (ads, days)."""
    k = cells.each(lambda each: each.k)
    multiple = cells.budgets / cells.by_ad(lambda each: each.references)
    response = multiple * (1.0 + k) / (1.0 + k * multiple)
    rates = cells.by_ad(lambda each: each.rates) * cells.efficiency * response
    return poisson(rates, uniforms(cells.noise[2]))


@lru_cache(maxsize=256)
def _seasons(first: int, count: int) -> Floats:
    """Return price and conversion rate of days as multiples of the usual ones, shape (2, days)."""
    return np.array([season(first + day) for day in range(count)]).T


def _bits(campaign: Campaign, first: int, count: int) -> tuple[Words, Floats]:
    """Return the random words (words, ads, days) of a campaign's days, and the pacing of each day."""
    block, start = divmod(first, BLOCK) if first >= 0 else (-1, first + HISTORY)
    length = BLOCK if first >= 0 else HISTORY
    rows = len(campaign.rates)
    raw = words(campaign.stream, (_WORDS * rows + 1) * length, "days", block).reshape(-1, length)
    swing = normals(raw[-1])
    week = np.arange(length)
    following = week - week % 7 + (week + 1) % 7
    pacing = PACING + 0.05 * (swing - swing[following])
    chosen = slice(start, start + count)
    return raw[:-1].reshape(_WORDS, rows, length)[:, :, chosen], pacing[chosen]


def _purchases(counts: Ints, cells: _Cells) -> tuple[Ints, Ints]:
    """Give every purchase a delay and a value; return counts and cents by ad, day and delay.

    A few ads at a time: what is worked with then fits into the processor's cache.
    """
    usual = cells.each(lambda each: each.aov_cents)[:, 0]
    shape = (*counts.shape, len(DELAYS))
    number, cents = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
    for start in range(0, len(counts), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        number[some], cents[some] = _sorted_in(counts[some], cells.noise[2, some], usual[some])
    return number, cents


def _sorted_in(counts: Ints, bits: Words, usual: Floats) -> tuple[Ints, Floats]:
    """Return number and value in cents of the purchases by ad, day and delay."""
    flat, width = counts.ravel(), len(DELAYS)
    draws = descendants(bits.ravel(), flat)
    places = np.repeat(np.arange(0, flat.size * width, width), flat)
    places += _DELAY[(draws >> np.uint64(48)).astype(np.int64)]
    draws &= np.uint64(0xFFFFFFFF)
    values = draws.astype(np.float64)
    values *= 2.0**-32
    values *= 0.8
    values += 0.6
    values *= np.repeat(usual, counts.sum(axis=1))
    values += 0.5
    np.floor(values, out=values)
    shape, size = (*counts.shape, width), flat.size * width
    number = np.bincount(places, minlength=size).reshape(shape)
    return number, np.bincount(places, weights=values, minlength=size).reshape(shape)
