"""The account, its campaigns and what happened to them day by day, as integers.

A world follows from one seed. Facts are integers per campaign and day (counts and cents); everything that
tools print is a sum or a ratio of them (see `opoi_envs.ads.account`). Levels follow common trade figures
for e-commerce accounts in USD: CPM 8-18, link CTR 1.2-2.5 %, CPC 0.5-1.5, conversion rate 1.5-4 %.
The shopping season at the end of the year is left out: decisions fall between January and October.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property

import numpy as np
from msgspec import Struct

from opoi.seeds import Stream
from opoi_envs.ads.archetypes import ARCHETYPES, OVERLAYS, RESPONSES, Archetype, Cause, Overlay, archetype_of
from opoi_envs.ads.noise import Floats, Ints, normals, uniforms
from opoi_envs.ads.words import brand, campaign_name

__all__ = ["FUTURE", "HISTORY", "PACING", "Account", "Campaign", "Days", "World", "lag_shares", "reported"]

HISTORY = 42
"""Days of history before the decision day."""

FUTURE = 14
"""Days after the decision over which an action is judged."""

PACING = 0.95
"""Average spend of a day as a share of the daily budget: keeps a week within 7 daily budgets."""

_SHARES = {2: 800, 3: 870, 4: 900, 5: 925, 6: 950, 7: 975}
"""Permille of the final purchases that are visible so many days later; 28 days later all are."""

_WEEKLY = (-3, -1, 0, 1, 3, 2, -2)
"""Shape of the weekly profile; sums to 0, so that full weeks are unbiased."""


class Account(Struct, frozen=True):
    """The advertiser.

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


class Campaign(Struct, frozen=True):
    """One campaign and the levels behind its daily facts.

    Attributes:
        id: `cmp_` and a number, unique in the account.
        name: Decoration.
        status: `ACTIVE` or `PAUSED`.
        budget_cents: Daily budget now, whole dollars.
        archetype: Shape of its history.
        r: Break-even CPA divided by its usual CPA.
        cpa: Usual cost per purchase in cents.
        cpc: Usual cost per link click in cents.
        ctr: Usual link clicks per impression.
        audience: People it can reach: `reach = audience * impressions / (audience + impressions)`.
        weekly: Conversion rate by weekday as a multiple of the usual one; index is `ordinal % 7`.
    """

    id: str
    name: str
    status: str
    budget_cents: int
    archetype: Archetype
    r: float
    cpa: float
    cpc: float
    ctr: float
    audience: int
    weekly: tuple[float, ...]

    def budget_on(self, age: int) -> int:
        """Return the daily budget in cents on the day that many days before the decision."""
        for raised, multiple in self.archetype.raised:
            if age > raised:
                return int(self.budget_cents * multiple / 100 + 0.5) * 100
        return self.budget_cents


class Days(Struct, frozen=True):
    """Final daily facts of one campaign, oldest day first, `HISTORY` values each.

    Purchases are those that tracking will have attributed after 28 days.
    """

    impressions: Ints
    clicks: Ints
    spend_cents: Ints
    purchases: Ints
    revenue_cents: Ints


def lag_shares(yesterday: int) -> tuple[int, ...]:
    """Return the permille of purchases that are visible 0, 1, ... 28 days later; never decreasing.

    Args:
        yesterday: The value for one day later, 700 to 750.
    """
    known = {0: 550, 1: yesterday, **_SHARES}
    return tuple(known[age] if age in known else 975 + 25 * (age - 7) // 21 for age in range(29))


def reported(final: int, age: int, shares: tuple[int, ...]) -> int:
    """Return how many of a day's purchases are visible `age` days after it.

    Args:
        final: The number that will stand there in the end.
        age: Days between that day and the day of looking; negative ages show nothing.
        shares: From `lag_shares`.
    """
    if age < 0:
        return 0
    return (final * shares[min(age, 28)] + 500) // 1000


class World:
    """Everything that is true about one scenario. Build it from a seed; it never changes.

    Args:
        seed: In [0, 2**31).

    Attributes:
        as_of: Ordinal (`datetime.date.toordinal`) of the decision day.
        account: The advertiser.
        focus: The campaign that the decision is about.
        cause: What is behind its screen.
        overlay: What happens outside the account.
        response: k of the response of conversions to spend; see `archetypes.RESPONSES`.
        shares: Visible share of purchases by age; see `lag_shares`.
        stream: For further draws about this world.
    """

    def __init__(self, seed: int) -> None:
        stream = Stream(seed, "ads")
        self.seed = seed
        self.stream = stream
        archetype = stream.weighted(_WEIGHTS, "archetype")
        self.as_of = _FIRST_DAY + stream.below(280, "day")
        self.cause: Cause = stream.weighted(_CAUSES[archetype.name], "cause")
        self.overlay: Overlay = stream.weighted(_OVERLAY_WEIGHTS, "overlay")
        self.response = stream.choice(RESPONSES, "response")
        low, high = archetype.yesterday_share
        self.shares = lag_shares(low + stream.below(high - low + 1, "lag"))
        self.account = _account(stream)
        count = 4 + stream.below(3, "campaigns")
        place = stream.below(count, "focus")
        number = 1000 + stream.below(8000, "number")
        self._ids = tuple(f"cmp_{number + 37 * index}" for index in range(count))
        self._place = place
        self.focus = self._campaign(place, archetype)
        self._days: dict[str, Days] = {}

    @cached_property
    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, four to six, the focus among them."""
        return tuple(
            self.focus if index == self._place else self._campaign(index, None)
            for index in range(len(self._ids))
        )

    def days(self, campaign: Campaign) -> Days:
        """Return the final daily facts of a campaign."""
        days = self._days.get(campaign.id)
        if days is None:
            stream = self.stream.at(campaign.id)
            days = _simulate(campaign, self.account.aov_cents, self.as_of, stream)
            self._days[campaign.id] = days
        return days

    def day(self, offset: int) -> str:
        """Return the ISO day `offset` days after the decision day (negative: before)."""
        return date.fromordinal(self.as_of + offset).isoformat()

    def _campaign(self, index: int, archetype: Archetype | None) -> Campaign:
        """Draw the levels of one campaign; `archetype` is given for the focus only."""
        draws = uniforms(self.stream, 8, "campaign", index).tolist()
        paused = archetype is None and draws[0] < 0.2
        shape = archetype or _PLAIN
        r_low, r_high = (0.9, 2.2) if archetype is None else (shape.r_low, shape.r_high)
        r = _between(r_low, r_high, draws[1])
        budget = 10 * int(_between(20, 80, draws[2]) if archetype is None else _between(60, 180, draws[2]))
        cpa = self.account.break_even_cpa / r
        cpc = _between(max(50.0, 0.015 * cpa), max(50.5, min(150.0, 0.04 * cpa)), draws[3])
        ctr = _between(max(0.012, 0.8 / cpc), min(0.025, 1.8 / cpc), draws[4])
        weekly_impressions = 7 * budget * 100 * PACING / (cpc * ctr)
        swing = _between(0.02, 0.045, draws[5])
        turn = int(7 * draws[6])
        return Campaign(
            id=self._ids[index],
            name=campaign_name(draws[7]),
            status="PAUSED" if paused else "ACTIVE",
            budget_cents=budget * 100,
            archetype=shape,
            r=r,
            cpa=cpa,
            cpc=cpc,
            ctr=ctr,
            audience=int(weekly_impressions / (shape.frequency - 1)),
            weekly=tuple(1.0 + swing * _WEEKLY[(day + turn) % 7] for day in range(7)),
        )


_FIRST_DAY = date(2025, 1, 20).toordinal()
_WEIGHTS = {archetype: archetype.weight for archetype in ARCHETYPES}
_CAUSES = {shape.name: {cause: cause.probability for cause in shape.causes} for shape in ARCHETYPES}
_OVERLAY_WEIGHTS = {overlay: overlay.probability for overlay in OVERLAYS}
_PLAIN = archetype_of("steady")
_AGES = HISTORY - np.arange(HISTORY)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _account(stream: Stream) -> Account:
    margin = 48 + stream.below(13, "margin")
    aov = 7000 + stream.below(4500, "aov")
    return Account(
        id=f"act_{10000 + stream.below(90000, 'account')}",
        name=brand(stream),
        margin_pct=margin,
        aov_cents=aov,
        target_cpa_cents=int(aov * margin / 100 * 0.62 / 100 + 0.5) * 100,
    )


def _quality(archetype: Archetype) -> Floats:
    """Return the conversion quality of each day of the history."""
    quality = np.ones(HISTORY)
    for age, value in archetype.bends:
        quality[HISTORY - age :] = value
    return quality


def _fading(archetype: Archetype) -> Floats:
    """Return the click quality of each day of the history: stable, then falling for 14 days."""
    result: Floats = 1.0 - archetype.fade * np.maximum(0, 15 - _AGES)
    return result


def _simulate(campaign: Campaign, aov_cents: int, as_of: int, stream: Stream) -> Days:
    """Draw the daily facts of a campaign: spend buys impressions, these bring clicks, these purchases."""
    noise = normals(stream, 5, HISTORY, "history")
    shape = campaign.archetype
    budget = np.full(HISTORY, campaign.budget_cents, dtype=np.float64)
    for raised, _ in reversed(shape.raised):
        budget[: HISTORY - raised] = campaign.budget_on(raised + 1)
    weekly = np.array([campaign.weekly[(as_of - HISTORY + day) % 7] for day in range(7)])
    clicking = campaign.ctr * _fading(shape) * (1.0 + 0.03 * noise[2])
    buying = campaign.cpc / campaign.cpa * _quality(shape) * np.tile(weekly, HISTORY // 7)
    spend = np.floor(budget * (PACING + 0.035 * noise[0]))
    impressions = np.floor(spend / (campaign.cpc * campaign.ctr * (1.0 + 0.04 * noise[1])))
    clicks = np.floor(impressions * clicking)
    spread = np.where(_AGES <= 3, shape.roughness, 1.0) * 0.05
    purchases = np.floor(clicks * buying * (1.0 + spread * noise[3]) + uniforms(stream, HISTORY, "rounding"))
    order = aov_cents * (1.0 + 0.03 * noise[4])
    return Days(
        impressions=impressions.astype(np.int64),
        clicks=clicks.astype(np.int64),
        spend_cents=spend.astype(np.int64),
        purchases=purchases.astype(np.int64),
        revenue_cents=np.floor(purchases * order).astype(np.int64),
    )
