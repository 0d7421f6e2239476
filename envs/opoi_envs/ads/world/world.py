"""The account, its campaigns and what is true about them. Everything follows from one seed.

Levels follow common trade figures for e-commerce accounts in USD: CPM 8-18, link CTR 1.1-2.5 %, CPC
0.5-1.8, conversion rate of link clicks 0.9-4.5 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property

from msgspec import structs

from opoi.seeds import Stream
from opoi_envs.ads.world.archetypes import ARCHETYPES, archetype_of
from opoi_envs.ads.world.calendar import PLAIN_WEEKS, WEEKEND_WEEK, iso
from opoi_envs.ads.world.campaign import HISTORY, PACING, Ad, AdSet, Advertiser, Campaign
from opoi_envs.ads.world.delivery import Days, deliver
from opoi_envs.ads.world.noise import uniforms, words
from opoi_envs.ads.world.shapes import (
    DIFFICULTIES,
    LEVELS,
    RESPONSES,
    STANDARD_OVERLAYS,
    Archetype,
    Difficulty,
)
from opoi_envs.ads.world.words import ad_name, ad_set_name, brand, campaign_name

__all__ = ["HORIZON", "World", "budget_chance", "sprout"]

HORIZON = 14
"""Days after the decision over which an action is judged."""

_FIRST_DAY = date(2025, 1, 6).toordinal()
_LAST_DAYS = 350
_PLAIN = archetype_of("steady")
_NONE = STANDARD_OVERLAYS[0]
_ARCHETYPES = {archetype: archetype.weight for archetype in ARCHETYPES}
_CAUSES = {shape.name: {cause: cause.probability for cause in shape.causes} for shape in ARCHETYPES}
_OVERLAYS = {shape.name: {each: each.probability for each in shape.overlays} for shape in ARCHETYPES}
_DIFFICULTIES = {difficulty: difficulty.probability for difficulty in DIFFICULTIES}


class World:
    """Everything that is true about one account. Build it from a seed; it never changes.

    Args:
        seed: In [0, 2**31).
        campaigns: How many; four to six by default.

    Attributes:
        as_of: Ordinal (`datetime.date.toordinal`) of the decision day.
        advertiser: The client.
        focus: The campaign that the decision is about.
        stream: For further draws about this world.
    """

    def __init__(self, seed: int, *, campaigns: int | None = None) -> None:
        stream = Stream(seed, "ads")
        self.seed = seed
        self.stream = stream
        self.count = campaigns if campaigns is not None else 4 + stream.below(3, "campaigns")
        archetype = stream.weighted(_ARCHETYPES, "archetype")
        day = _FIRST_DAY + stream.below(_LAST_DAYS, "day")
        self.as_of = day - date.fromordinal(day).weekday() if archetype.weekend else day
        self.advertiser = _advertiser(stream, archetype)
        self._place = stream.below(self.count, "focus")
        self._number = 100000 + stream.below(890000, "number")
        self.focus = self._campaign(self._place, archetype)
        self._days: dict[str, Days] = {}

    @cached_property
    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, the focus among them."""
        return tuple(
            self.focus if place == self._place else self._campaign(place, None) for place in range(self.count)
        )

    def day(self, offset: int) -> str:
        """Return the ISO day that many days after the decision day (before it when negative)."""
        return iso(self.as_of + offset)

    def days(self, campaign: Campaign) -> Days:
        """Return the facts of a campaign's history, oldest day first."""
        if campaign.id not in self._days:
            self._days[campaign.id] = deliver([campaign], [campaign.past()], -HISTORY, HISTORY)
        return self._days[campaign.id]

    def play(self) -> None:
        """Work out the history of every campaign in one go (they come one by one otherwise)."""
        todo = [campaign for campaign in self.campaigns if campaign.id not in self._days]
        if not todo:
            return
        facts = deliver(todo, [campaign.past() for campaign in todo], -HISTORY, HISTORY)
        start = 0
        for campaign in todo:
            rows = slice(start, start + len(campaign.ads))
            start = rows.stop
            columns = (getattr(facts, name)[rows] for name in Days.__struct_fields__)
            self._days[campaign.id] = Days(*columns)

    def _campaign(self, place: int, shape: Archetype | None) -> Campaign:
        """Draw one campaign; the shape is given for the focus only."""
        stream = self.stream.at("campaign", place)
        draws = uniforms(words(stream, 12)).tolist()
        archetype = shape or stream.weighted(_ARCHETYPES, "archetype")
        difficulty = stream.weighted(_DIFFICULTIES, "difficulty")
        monday = date.fromordinal(self.as_of).weekday() == 0
        r = archetype.levels(difficulty)[int(LEVELS * draws[1])]
        stopped = 3 + int(40 * draws[8]) if shape is None and draws[0] < 0.15 else 0
        budget = 10 * int(difficulty.volume * _between(*_TENS, draws[2]))
        break_even = self.advertiser.break_even_cpa
        cpc = break_even * _between(0.0145, 0.0185, draws[3])
        ctr = _between(max(0.011, 0.82 / cpc), max(0.0112, min(0.025, 1.75 / cpc)), draws[4])
        weekly_impressions = 7 * budget * 100 * PACING / (cpc * ctr)
        rhythm = WEEKEND_WEEK if archetype.weekend and monday else PLAIN_WEEKS[int(7 * draws[6])]
        return Campaign(
            id=str(self._number + 40 * place),
            name=campaign_name(draws[7]),
            status="PAUSED" if stopped else "ACTIVE",
            budget_cents=budget * 100,
            shared_budget=draws[9] < 0.6,
            ad_sets=_ad_sets(stream, self._number + 40 * place),
            stopped=stopped,
            archetype=archetype,
            difficulty=difficulty,
            cause=stream.weighted(_CAUSES[archetype.name], "cause"),
            overlay=stream.weighted(_OVERLAYS[archetype.name], "overlay") if shape else _NONE,
            as_of=self.as_of,
            r=r,
            k=stream.choice(RESPONSES, "response"),
            break_even_cpa=break_even,
            cpc=cpc,
            ctr=ctr,
            aov_cents=self.advertiser.aov_cents,
            audience=int(weekly_impressions / (archetype.frequency - 1)),
            weekly=rhythm,
            funnel=(0.74, _between(0.11, 0.16, draws[10]), _between(0.055, 0.075, draws[11])),
            stream=stream,
        )


def sprout(world: World, ad: str, beside: Sequence[Campaign]) -> Campaign:
    """Return the levels behind an ad that was created after the decision day.

    It starts with a reference budget of 50 USD a day. Beside other ads of a campaign it shares their levels
    and what is behind them; in a new campaign they are those of some campaign on a usual day.

    Args:
        world: The world.
        ad: Id of the new ad.
        beside: The levels of the campaign that it was created in; empty for a new campaign.
    """
    stream = world.stream.at("created", int(ad))
    model = beside[0] if beside else world.campaigns[stream.below(world.count, "model")]
    return structs.replace(
        model,
        id=ad,
        budget_cents=5000,
        ad_sets=(AdSet("", "", 100, (Ad(ad, "", 100),)),),
        archetype=model.archetype if beside else _PLAIN,
        cause=model.cause if beside else _PLAIN.causes[0],
        overlay=model.overlay if beside else _NONE,
        audience=max(1, model.audience // 8),
        stream=stream,
    )


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _advertiser(stream: Stream, focus: Archetype) -> Advertiser:
    margin = 48 + stream.below(13, "margin")
    aov = 9000 + stream.below(5500, "aov")
    return Advertiser(
        id=f"act_{10000 + stream.below(90000, 'account')}",
        name=brand(stream),
        margin_pct=margin,
        aov_cents=aov,
        target_cpa_cents=int(aov * margin / 100 * focus.goal / 100 + 0.5) * 100,
    )


def budget_chance(budget_cents: int, difficulty: Difficulty) -> float:
    """Return the probability that the focus has a daily budget, given the difficulty."""
    low, high = _TENS
    tens = budget_cents // 1000
    inside = min(high, (tens + 1) / difficulty.volume) - max(low, tens / difficulty.volume)
    return max(0.0, inside) / (high - low)


_TENS = (55.0, 150.0)
"""Range of daily budgets in tens of dollars, before volume."""

_SPLITS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((100,),),
    2: ((60, 40), (70, 30), (50, 50)),
    3: ((50, 30, 20), (40, 35, 25)),
}


def _ad_sets(stream: Stream, number: int) -> tuple[AdSet, ...]:
    """Draw the ad sets and ads of a campaign."""
    sets = stream.choice(_SPLITS[1 + stream.below(2, "ad sets")], "split")
    result = []
    for place, share in enumerate(sets):
        first = number + 10 * (place + 1)
        ads = stream.choice(_SPLITS[1 + stream.below(3, "ads", place)], "split", place)
        result.append(
            AdSet(
                id=str(first),
                name=ad_set_name(stream.uniform("ad set", place)),
                share=share,
                ads=tuple(
                    Ad(str(first + 1 + at), ad_name(stream.uniform("ad", place, at)), part)
                    for at, part in enumerate(ads)
                ),
            )
        )
    return tuple(result)
