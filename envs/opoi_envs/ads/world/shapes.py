"""What scenario archetypes are made of: the visible shape of a campaign's past, and what may be behind it.

`r` is the break-even CPA divided by the campaign's true CPA at its usual efficiency. A `quality` of 1 is
that usual efficiency; conversions per dollar are proportional to it. An `age` is a number of days before
the decision: yesterday is 1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = [
    "DIFFICULTIES",
    "LEVELS",
    "RESPONSES",
    "STANDARD_OVERLAYS",
    "Archetype",
    "Cause",
    "Difficulty",
    "Funnel",
    "Overlay",
    "response",
]

LEVELS = 8
"""Equally likely levels of r inside the range of an archetype."""

RESPONSES: tuple[float, ...] = (0.38, 0.45, 0.54)
"""Equally likely values of k in `response`. The elasticity at the present spend is 1 / (1 + k) = 0.72, 0.69,
0.65: conversions ~ spend^b with b inside the trade range 0.57-0.80."""


def response(multiple: float, k: float) -> float:
    """Return conversions as a multiple of the usual ones when spend is a multiple of the usual spend.

    A Hill curve with slope 1, `m * (1 + k) / (1 + k * m)`: diminishing returns, 1 at 1, 0 at 0.
    """
    return multiple * (1.0 + k) / (1.0 + k * multiple)


class Difficulty(Struct, frozen=True):
    """How hard a case is to judge.

    Attributes:
        name: `easy`, `medium` or `hard`.
        probability: In a mixed suite.
        pull: How far r is drawn towards the nearest boundary between two actions, 0 to 1.
        volume: Budgets as a multiple of the usual ones; fewer purchases are noisier.
    """

    name: str
    probability: float
    pull: float
    volume: float


DIFFICULTIES: tuple[Difficulty, ...] = (
    Difficulty("easy", 0.4, 0.0, 1.0),
    Difficulty("medium", 0.35, 0.25, 0.7),
    Difficulty("hard", 0.25, 0.5, 0.45),
)
"""The settings of the dial; probabilities sum to 1."""

Funnel = Literal["whole", "site", "dark"]
"""Where purchases are lost. `whole`: before the cart, nothing else moves. `site`: carts are filled as ever,
checkouts fall. `dark`: landing-page views, carts and checkouts fall together, as when tracking fails."""


class Cause(Struct, frozen=True):
    """One explanation of a screen.

    Attributes:
        name: Identifies it.
        probability: Given the archetype.
        quality: Efficiency over the 14 days after the decision, against the usual one.
        funnel: What the funnel shows over the days of the last bend.
        hides_sales: The recent dip was in the tracking only; the sales were made.
    """

    name: str
    probability: float
    quality: float
    funnel: Funnel = "whole"
    hides_sales: bool = False


class Overlay(Struct, frozen=True):
    """Something outside the account that bears on the days after the decision and left no mark before it.

    Attributes:
        name: `none`, `stock_out`, `promotion` or `cash_freeze`.
        probability: The variants of one name add up to that name's probability.
        start: The day after the decision on which it sets in: sold out from then on, or the promotion.
        lift: Conversions per dollar from then on, against usual: 0 when sold out.
        cost: What a dollar of ad spend costs in the end (an overdraft makes it more than 1).
    """

    name: str
    probability: float
    start: int = 0
    lift: float = 1.0
    cost: float = 1.0


STANDARD_OVERLAYS: tuple[Overlay, ...] = (
    Overlay("none", 0.88),
    Overlay("stock_out", 0.02, start=3, lift=0.0),
    Overlay("stock_out", 0.02, start=7, lift=0.0),
    Overlay("promotion", 0.02, start=3, lift=1.4),
    Overlay("promotion", 0.02, start=7, lift=1.4),
    Overlay("cash_freeze", 0.04, cost=1.5),
)
"""What can happen to any campaign, independent of archetype and cause; probabilities sum to 1."""


class Archetype(Struct, frozen=True, kw_only=True):
    """The shape of a visible past, and what may be behind it.

    Attributes:
        name: `Scenario.kind`.
        page: What a media buyer sees, in two or three sentences.
        lesson: What is right given the screen, and what only hindsight makes right.
        weight: Share of the scenarios, relative to the others.
        low: Lowest r of an easy case.
        high: Highest.
        edge: The boundary between two actions, as a value of r, towards which difficulty pulls.
        bends: `(age, quality)` pairs: from that age on, the conversion rate stands at that quality (until a
            later pair says otherwise).
        raised: `(age, multiple)` pairs: on that day the budget was raised from that multiple of what it is
            now.
        refreshed: Age of the last new creative; 0 where that was weeks ago.
        launched: Age of the first day of delivery; 0 for a campaign older than the history.
        fade: Loss of click-through rate per day over the last 14 days, as a share.
        frequency: Impressions per person reached that the last 7 days show.
        surge: `(age, multiple)`: from that age on, CPM stands at that multiple; `(0, 1.0)` for never.
        weekend: The last two days are a weekend on which this campaign sells little, every week.
        goal: Target CPA as a share of the break-even CPA.
        causes: What may be behind it; probabilities sum to 1.
        overlays: What may happen outside the account; probabilities sum to 1.
    """

    name: str
    page: str
    lesson: str
    weight: float
    low: float
    high: float
    edge: float
    bends: tuple[tuple[int, float], ...] = ()
    raised: tuple[tuple[int, float], ...] = ()
    refreshed: int = 0
    launched: int = 0
    fade: float = 0.0
    frequency: float = 1.8
    surge: tuple[int, float] = (0, 1.0)
    weekend: bool = False
    goal: float = 0.68
    causes: tuple[Cause, ...]
    overlays: tuple[Overlay, ...] = STANDARD_OVERLAYS

    def levels(self, difficulty: Difficulty) -> tuple[float, ...]:
        """Return the equally likely values of r at a difficulty: `LEVELS` of them, multiples of 1/1024."""
        step = (self.high - self.low) / LEVELS
        plain = (self.low + step * (level + 0.5) for level in range(LEVELS))
        return tuple(round((r + difficulty.pull * (self.edge - r)) * 1024) / 1024 for r in plain)

    @property
    def learning(self) -> bool:
        """Whether delivery began to learn anew within the last seven days."""
        edits = [self.launched] if self.launched else []
        edits += [since for since, before in self.raised if self.multiple(since) > 1.21 * before]
        return any(age <= 7 for age in edits)

    def quality(self, age: int) -> float:
        """Return the efficiency on a day of the past, fading included."""
        bent = 1.0
        for since, value in self.bends:
            if age <= since:
                bent = value
        return bent * self.fading(age)

    def fading(self, age: int) -> float:
        """Return the click quality on a day of the past: stable, then falling for 14 days."""
        return 1.0 - self.fade * max(0, 15 - age)

    def multiple(self, age: int) -> float:
        """Return the budget on a day of the past as a multiple of what it is now; 0 before the launch."""
        if self.launched and age > self.launched:
            return 0.0
        for since, before in self.raised:
            if age > since:
                return before
        return 1.0

    def price(self, age: int) -> float:
        """Return CPM on a day of the past as a multiple of the usual one."""
        since, multiple = self.surge
        return multiple if age <= since else 1.0
