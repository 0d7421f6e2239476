"""A client and its campaigns: what is set on the decision day, and the levels behind the facts."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from msgspec import Struct

from opoi.seeds import Stream
from opoi_envs.ads.world.noise import Floats, uniforms, words
from opoi_envs.ads.world.shapes import Archetype, Cause, Difficulty, Overlay

__all__ = ["HISTORY", "PACING", "Ad", "AdSet", "Advertiser", "Campaign", "Plan", "future_quality"]

HISTORY = 126
"""Days of history before the decision day: 18 weeks."""

PACING = 0.95
"""Average spend of a day as a share of the daily budget. Days differ, the days of a week balance: a week
stays within 7 daily budgets, a day within 1.75."""


class Plan(Struct, frozen=True):
    """What is set, and what holds, for the ads of one campaign over consecutive days.

    Attributes:
        budgets: Daily budget of each ad in cents, shape (ads, days); 0 where it does not run.
        quality: Efficiency of each day against the usual one, shape (days,) or (ads, days).
        fading: Click-through rate likewise.
        price: CPM likewise, season apart.
        tracked: Share of landing-page views, carts and checkouts that is recorded, shape (3, days).
    """

    budgets: Floats
    quality: Floats
    fading: Floats
    price: Floats
    tracked: Floats


class Advertiser(Struct, frozen=True):
    """The client.

    Attributes:
        id: `act_` and a number.
        name: Decoration.
        margin_pct: Gross margin in percent of revenue.
        aov_cents: Average order value in cents.
        target_cpa_cents: The cost per purchase that the client wants, whole dollars.
    """

    id: str
    name: str
    margin_pct: int
    aov_cents: int
    target_cpa_cents: int

    @property
    def break_even_cpa(self) -> float:
        """Cost per purchase in cents at which an order earns nothing."""
        return self.aov_cents * self.margin_pct / 100


class Ad(Struct, frozen=True):
    """One ad: identity and its share of the ad set's budget, in percent."""

    id: str
    name: str
    share: int


class AdSet(Struct, frozen=True):
    """One ad set: identity, its share of the campaign's budget in percent, and its ads."""

    id: str
    name: str
    share: int
    ads: tuple[Ad, ...]


class Campaign(Struct, frozen=True, kw_only=True, dict=True):
    """One campaign: what is set on the decision day, and the levels behind its facts.

    Attributes:
        id: A number as text, unique in the account.
        name: Decoration.
        status: `ACTIVE` or `PAUSED`.
        budget_cents: Daily budget now, whole dollars.
        shared_budget: The campaign owns the budget (otherwise its ad sets do, by their shares).
        ad_sets: Its ad sets.
        stopped: How many days ago it was paused; 0 while active.
        archetype: Shape of its past.
        difficulty: How hard it is to judge.
        cause: What is behind its screen.
        overlay: What happens outside the account.
        as_of: Ordinal of the decision day.
        r: Break-even CPA divided by its usual CPA.
        k: Of the response of conversions to spend; see `shapes.response`.
        break_even_cpa: Cost per purchase in cents at which an order earns nothing.
        cpc: Usual cost per link click in cents.
        ctr: Usual link clicks per impression.
        aov_cents: Average order value.
        audience: People it can reach: `reach = audience * impressions / (audience + impressions)`.
        weekly: Conversion rate by weekday as a multiple of the usual one; index is `offset % 7`.
        funnel: Landing-page views, carts and checkouts per link click.
        stream: All draws about it.
    """

    id: str
    name: str
    status: str
    budget_cents: int
    shared_budget: bool
    ad_sets: tuple[AdSet, ...]
    stopped: int
    archetype: Archetype
    difficulty: Difficulty
    cause: Cause
    overlay: Overlay
    as_of: int
    r: float
    k: float
    break_even_cpa: float
    cpc: float
    ctr: float
    aov_cents: int
    audience: int
    weekly: tuple[float, ...]
    funnel: tuple[float, float, float]
    stream: Stream

    @property
    def cpa(self) -> float:
        """Usual cost per purchase in cents."""
        return self.break_even_cpa / self.r

    @cached_property
    def ads(self) -> tuple[Ad, ...]:
        """All ads, ad set by ad set."""
        return tuple(ad for ad_set in self.ad_sets for ad in ad_set.ads)

    @cached_property
    def spend_shares(self) -> Floats:
        """Share of each ad in the budget, adding up to 1."""
        return np.array([each.share * ad.share / 10000 for each in self.ad_sets for ad in each.ads])

    @cached_property
    def references(self) -> Floats:
        """Daily budget of each ad on the decision day in cents."""
        return self.spend_shares * self.budget_cents

    @cached_property
    def rates(self) -> Floats:
        """Expected purchases a day of each ad at its reference budget on a usual day."""
        skill = 0.75 + 0.5 * uniforms(words(self.stream, len(self.ads), "skill"))
        weights = self.spend_shares * skill
        total = 0.0
        for weight in weights.tolist():
            total += weight
        return weights * (self.budget_cents * PACING / self.cpa / total)

    @cached_property
    def click_rates(self) -> Floats:
        """Usual link clicks per impression of each ad."""
        return self.ctr * (0.9 + 0.2 * uniforms(words(self.stream, len(self.ads), "appeal")))

    def budget_on(self, age: int) -> int:
        """Return the daily budget in cents on a day of the past, as it was set, in whole dollars."""
        return int(self.budget_cents * self.archetype.multiple(age) / 100 + 0.5) * 100

    def past(self) -> Plan:
        """Return what held on the days of the history."""
        budget, quality, fading, price, bent = _past(self.archetype)
        running = np.where(np.arange(HISTORY, 0, -1) > self.stopped, budget, 0.0)
        tracked = np.ones((3, HISTORY))
        if self.cause.funnel == "dark":
            tracked[:] = bent
        elif self.cause.funnel == "site":
            tracked[2] = bent
        return Plan(self.references[:, None] * running, quality, fading, price, tracked)

    def ahead(self, budgets: Floats, first: int) -> Plan:
        """Return what holds on days from the decision on.

        Args:
            budgets: Daily budget of each ad in cents, shape (ads, days).
            first: Offset of the first day from the decision day, from 0.
        """
        count = budgets.shape[1]
        quality = [future_quality(self.cause, self.overlay, first + day) for day in range(count)]
        fading = min(1.0, self.cause.quality) if self.archetype.fade else 1.0
        price = 1.0 / self.cause.quality if self.archetype.surge[0] else 1.0
        tracked = np.ones((3, count))
        if self.cause.funnel == "site":
            tracked[2] = self.cause.quality
        return Plan(budgets, np.array(quality), np.full(count, fading), np.full(count, price), tracked)


@lru_cache(maxsize=64)
def _past(shape: Archetype) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return budget multiple, quality, fading, price, and quality of the last bend, day by day."""
    ages = range(HISTORY, 0, -1)
    last = shape.bends[-1] if shape.bends else (0, 1.0)
    rows = (
        [shape.multiple(age) for age in ages],
        [shape.quality(age) for age in ages],
        [shape.fading(age) for age in ages],
        [shape.price(age) for age in ages],
        [last[1] if age <= last[0] else 1.0 for age in ages],
    )
    budget, quality, fading, price, bent = (np.array(row) for row in rows)
    return budget, quality, fading, price, bent


def future_quality(cause: Cause, overlay: Overlay, offset: int) -> float:
    """Return the efficiency on a day after the decision.

    Args:
        cause: What is behind the screen.
        overlay: What happens outside the account.
        offset: Days after the decision day, from 0.
    """
    return cause.quality * (overlay.lift if offset >= overlay.start else 1.0)
