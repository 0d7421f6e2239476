"""The expected utility of each action given what was observed: exact, by enumeration.

What is hidden about a campaign takes finitely many values: archetype, difficulty, level of r, response k,
turn of the weekly profile, cause, overlay. Given these, purchases of disjoint windows are independent
Poisson numbers with known means (a Poisson number thinned by the attribution delay is Poisson), and the
other things that can be seen (see `evidence`) are certain. So the posterior is a finite sum,

    P(hidden | seen) ~ prior * [what is seen otherwise fits] * prod Poisson(purchases; mean(hidden)),

and the expectation of a utility that is linear in the days' means is one too. Raises in spend, surges in
CPM and fading click-through rates count as seen to the nearest 12 % of what is usual, window by window: over
windows of several days their noise is far smaller. Sums are of integers (weights on a grid of 2**-40,
r on a grid of 2**-10, log-likelihoods on a grid of 2**-24), so that the result does not depend on the
order of summation or on the machine.

The daily budget (it stands in the task) and what an order earns count as known from the start; facts about
some of the ad sets are passed over, numbers of all of them add up to the campaign's.
Definition: methods specification 5.9, `E[U | O]`.
"""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from opoi_envs.ads.truth.evidence import Evidence
from opoi_envs.ads.truth.utility import MULTIPLES, base_spend, dollars, switching
from opoi_envs.ads.world.archetypes import ARCHETYPES
from opoi_envs.ads.world.calendar import PLAIN_WEEKS, WEEKEND_WEEK, season
from opoi_envs.ads.world.campaign import HISTORY, PACING, Campaign
from opoi_envs.ads.world.delivery import DELAYS, VISIBLE
from opoi_envs.ads.world.noise import Floats, Ints, decay
from opoi_envs.ads.world.shapes import DIFFICULTIES, RESPONSES, Archetype, Difficulty, response
from opoi_envs.ads.world.world import HORIZON, budget_chance

__all__ = ["MIXED", "Prior", "expected", "posterior"]

_CLEAR = 0.12
_NEGLIGIBLE = 500.0
_TURNS = len(PLAIN_WEEKS)
_WEIGHT_BITS = 40
_LOG_BITS = 24
_R_BITS = 10


class Prior(Struct, frozen=True):
    """What is possible before anything was seen, with probabilities.

    Attributes:
        archetypes: Weighted by `Archetype.weight`.
        difficulties: Weighted by `Difficulty.probability`.
    """

    archetypes: tuple[Archetype, ...] = ARCHETYPES
    difficulties: tuple[Difficulty, ...] = DIFFICULTIES


MIXED = Prior()
"""Everything that `World` draws from."""


class _Tables(Struct, frozen=True):
    """Constants of a prior.

    Attributes:
        past: Purchases on each day of the past against the usual, shape (archetypes, responses, days),
            yesterday first; attribution included, weekday and season not.
        r: Levels of r, shape (archetypes, difficulties, levels), as multiples of 2**-10.
        course: Running sums of budget multiple, price and fading, shape (3, archetypes, days + 1).
    """

    past: Floats
    r: Ints
    course: Floats


@lru_cache(maxsize=32)
def _tables(prior: Prior) -> _Tables:
    ages = range(1, HISTORY + 1)
    seen = np.array([VISIBLE[sum(delay <= age for delay in DELAYS) - 1] for age in ages])
    past = [
        [[response(shape.multiple(age), k) * shape.quality(age) for age in ages] for k in RESPONSES]
        for shape in prior.archetypes
    ]
    levels = [[shape.levels(difficulty) for difficulty in prior.difficulties] for shape in prior.archetypes]
    course = [
        [[getattr(shape, name)(age) for age in ages] for shape in prior.archetypes]
        for name in ("multiple", "price", "fading")
    ]
    return _Tables(
        past=np.array(past) * seen,
        r=(np.array(levels) * 2**_R_BITS).astype(np.int64),
        course=np.pad(np.cumsum(np.array(course), axis=2), ((0, 0), (0, 0), (1, 0))),
    )


def posterior(campaign: Campaign, evidence: Evidence, prior: Prior = MIXED) -> Ints:
    """Return the weights of what is hidden, given what was seen.

    Args:
        campaign: The campaign in focus. Of what is hidden about it, only what the evidence says was seen is
            used.
        evidence: What was seen.
        prior: What was possible before.

    Returns:
        Shape (archetypes, difficulties, levels, responses, turns), as multiples of 2**-40 of the likeliest.
        The turns are those of `PLAIN_WEEKS`; an archetype with a weekend rhythm has the first only.
    """
    tables = _tables(prior)
    means, counts = _means(campaign, evidence, tables, prior)
    unit = campaign.budget_cents * PACING / campaign.break_even_cpa * 2.0**-_R_BITS
    level = tables.r[:, :, :, None, None] * unit
    spread = means.sum(axis=-1)[:, None, None]
    fits = (_grid(np.log(means)) @ counts)[:, None, None] + _grid(np.log(level)) * counts.sum()
    fits = fits - _grid(level * spread) + _grid(_start(campaign, evidence, tables, prior))
    below = (fits.max() - fits) * 2.0**-_LOG_BITS
    weights = np.where(below < _NEGLIGIBLE, decay(np.minimum(below, _NEGLIGIBLE)), 0.0)
    result: Ints = (weights * 2.0**_WEIGHT_BITS).astype(np.int64)
    return result


def expected(campaign: Campaign, evidence: Evidence, prior: Prior = MIXED) -> dict[str, float]:
    """Return the expected utility in USD of each action, given what was seen; arguments as `posterior`."""
    weights = posterior(campaign, evidence, prior)
    r = _tables(prior).r[:, :, :, None, None]
    whole = int(weights.sum())
    odds = weights.sum(axis=(1, 2, 3, 4)) / whole
    moment = (weights * r).sum(axis=(1, 2)) / whole * 2.0**-_R_BITS
    quality = np.array([_causes(shape, campaign, evidence)[1] for shape in prior.archetypes])
    sold = (moment * quality[:, None, None] * _sales(campaign.as_of, prior)[:, None, :]).sum(axis=2)
    result = {}
    for action, multiple in MULTIPLES.items():
        replies = np.array([response(multiple, k) for k in RESPONSES])
        gain = math.fsum((sold * replies).ravel().tolist())
        cost = math.fsum((odds * _costs(prior)).tolist()) * multiple + switching(action)
        result[action] = dollars(base_spend(campaign) * (gain - cost))
    return result


# ---------------------------------------------------------------- what fits


def _grid(values: Floats) -> Floats:
    """Round log-likelihoods to a grid on which sums and products with counts are exact."""
    result: Floats = np.rint(values * 2.0**_LOG_BITS)
    return result


def _means(campaign: Campaign, evidence: Evidence, tables: _Tables, prior: Prior) -> tuple[Floats, Floats]:
    """Return what each segment would have sold at the usual rate of one a day, and what it sold.

    Returns:
        Shapes (archetypes, responses, turns, segments) and (segments,). A mean of 0 is raised a little, so
        that its logarithm is finite; what was sold against it still counts as impossible.
    """
    past, _ = _calendar(campaign.as_of)
    rhythm = np.stack(
        [past[-1:].repeat(_TURNS, axis=0) if each.weekend else past[:-1] for each in prior.archetypes]
    )
    columns = []
    for first, last, _ in evidence.segments:
        days = slice(last - 1, first)
        columns.append((tables.past[:, :, None, days] * rhythm[:, None, :, days]).sum(axis=-1))
    shape = (len(prior.archetypes), len(RESPONSES), _TURNS)
    means = np.stack(columns, axis=-1) if columns else np.zeros((*shape, 0))
    return np.maximum(means, 1e-12), np.array([float(sold) for _, _, sold in evidence.segments])


def _start(campaign: Campaign, evidence: Evidence, tables: _Tables, prior: Prior) -> Floats:
    """Return the log of prior times "what was seen besides counts fits"; -inf where it does not."""
    monday = date.fromordinal(campaign.as_of).weekday() == 0
    chances = np.zeros((len(prior.archetypes), len(prior.difficulties), 1, 1, _TURNS))
    budgets = [each.probability * budget_chance(campaign.budget_cents, each) for each in prior.difficulties]
    course = _course(campaign, evidence, tables, prior)
    for place, shape in enumerate(prior.archetypes):
        fits = course[place] and _looks_alike(shape, campaign.archetype, evidence)
        share = _causes(shape, campaign, evidence)[0] if fits else 0.0
        odds = share * shape.weight * np.array(budgets)[:, None, None, None]
        chances[place] = odds / _TURNS
        if shape.weekend:  # it always falls on a Monday, the others on each day alike
            chances[place] = 0.0
            chances[place, :, :, :, :1] = 7.0 * odds if monday else 0.0
    with np.errstate(divide="ignore"):
        return np.log(chances)


def _causes(shape: Archetype, campaign: Campaign, evidence: Evidence) -> tuple[float, float]:
    """Return the probability of what the funnel showed, and the mean quality of the causes that show it."""
    shown = [cause for cause in shape.causes if not evidence.funnel or cause.funnel == campaign.cause.funnel]
    share = math.fsum(cause.probability for cause in shown)
    return share, math.fsum(cause.probability * cause.quality for cause in shown) / share if share else 0.0


def _looks_alike(shape: Archetype, true: Archetype, evidence: Evidence) -> bool:
    """Whether what was seen besides counts, windows and funnel is as it is for the true archetype."""
    seen = []
    if evidence.goal:
        seen.append("goal")
    if evidence.delivery:
        seen.append("learning")
    if evidence.log:
        seen += ["raised", "launched", "refreshed"]
    if evidence.look:
        seen.append("frequency")
    return all(getattr(shape, name) == getattr(true, name) for name in seen)


def _course(campaign: Campaign, evidence: Evidence, tables: _Tables, prior: Prior) -> npt.NDArray[np.bool_]:
    """Return whether spend, CPM and click-through rate take the course seen, shape (archetypes,).

    Each is seen to the nearest step of `_CLEAR`: what is seen is then a partition of what can be.
    """
    if not evidence.windows:
        return np.ones(len(prior.archetypes), dtype=bool)
    first, last = np.array(evidence.windows).T
    averages = (tables.course[:, :, first] - tables.course[:, :, last - 1]) / (first - last + 1)
    averages[1:] /= averages[1:, :, :1]  # the usual CPM and click-through rate are not known
    steps = np.floor(averages / _CLEAR + 0.5)
    alike: npt.NDArray[np.bool_] = np.all(steps == steps[:, _place(campaign, prior)][:, None], axis=(0, 2))
    return alike


def _place(campaign: Campaign, prior: Prior) -> int:
    return [shape.name for shape in prior.archetypes].index(campaign.archetype.name)


# ---------------------------------------------------------------- what follows


@lru_cache(maxsize=1024)
def _calendar(as_of: int) -> tuple[Floats, Floats]:
    """Return weekday times season, of the past (8 profiles, days; yesterday first) and of the days ahead.

    Profiles 0 to 6 are `PLAIN_WEEKS`, the last is `WEEKEND_WEEK`.
    """

    def rows(offsets: range) -> Floats:
        seasons = [season(as_of + offset) for offset in offsets]
        efficiency = np.array([buying / price for price, buying in seasons])
        weeks = [[week[offset % 7] for offset in offsets] for week in (*PLAIN_WEEKS, WEEKEND_WEEK)]
        result: Floats = np.array(weeks) * efficiency
        return result

    return rows(range(-1, -HISTORY - 1, -1)), rows(range(HORIZON))


@lru_cache(maxsize=1024)
def _sales(as_of: int, prior: Prior) -> Floats:
    """Return the mean efficiency of the days ahead, cause apart, shape (archetypes, turns)."""
    _, ahead = _calendar(as_of)
    result = []
    for shape in prior.archetypes:
        lifts = [
            math.fsum(each.probability * (each.lift if day >= each.start else 1.0) for each in shape.overlays)
            for day in range(HORIZON)
        ]
        rows = [ahead[-1]] * _TURNS if shape.weekend else ahead[:-1]
        result.append([math.fsum((row * np.array(lifts)).tolist()) / HORIZON for row in rows])
    return np.array(result)


@lru_cache(maxsize=32)
def _costs(prior: Prior) -> Floats:
    """Return the expected cost of a dollar of spend, shape (archetypes,)."""
    return np.array(
        [math.fsum(each.probability * each.cost for each in shape.overlays) for shape in prior.archetypes]
    )
