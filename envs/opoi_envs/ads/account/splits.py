"""Breakdown cells: the facts of an ad and day split by people, placement, device or place, exactly.

Impressions are split by the profile of the ad; clicks and spend by the impressions of the cells times a rate
of the ad and cell; what follows a click by what it follows. So no cell has clicks without impressions, or
more landing-page views than link clicks. Counts and cents go by
largest remainder; the remainders are weighed by noise of the ad, day and cell, since otherwise small counts
would always fall to the largest cell. Purchases are placed one by one. A cell depends on nothing but the
facts of its ad and day: writes and the clock change no cell of a past day, except that purchases which
become visible later are added. Sums over cells are the facts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from msgspec import Struct

from opoi.seeds import Stream
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.nodes import Node
from opoi_envs.ads.account.view import COLUMNS
from opoi_envs.ads.world.delivery import DELAYS
from opoi_envs.ads.world.noise import Ints, Words, mixed
from opoi_envs.ads.world.world import World

__all__ = ["FAMILIES", "WINDOWS", "Family", "Purchases", "cells", "largest_remainder", "purchases"]

WINDOWS: tuple[str, ...] = ("1d_click", "7d_click", "28d_click", "1d_view")
"""Attribution windows; a purchase of 7d_click or 1d_view is one that the account counts."""

_AGES, _GENDERS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+"), ("female", "male", "unknown")
_PLAIN = len(COLUMNS) - 2
_RATE_LOW, _RATE_STEPS = 20, 24
_DAY, _COLUMN, _BUCKET = 1 << 12, 1 << 8, 1 << 28
_VIEWS, _FIRST_DAY, _EXTRA = 8, 72, 6
"""Of 100 purchases: by view, within a day of a click; and further ones within 28 days of a click."""


class Family(Struct, frozen=True):
    """One way to split an ad's day.

    Attributes:
        name: Of its draws.
        keys: The breakdowns that it answers, alone or together.
        cells: One value of each key.
        weights: Usual share of each cell, in 1/10000.
        offsite: Purchases and other events on the client's site are known by cell.
    """

    name: str
    keys: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    weights: tuple[int, ...]
    offsite: bool = True


def _crossed(first: dict[str, int], second: dict[str, int]) -> dict[tuple[str, ...], int]:
    return {(a, b): left * right // 100 for a, left in first.items() for b, right in second.items()}


def _family(name: str, keys: tuple[str, ...], shares: dict[tuple[str, ...], int], offsite: bool) -> Family:
    return Family(name, keys, tuple(shares), tuple(shares.values()), offsite)


_PEOPLE = _crossed(
    dict(zip(_AGES, (900, 2900, 2600, 1800, 1150, 650), strict=True)),
    dict(zip(_GENDERS, (61, 37, 2), strict=True)),
)
_PLACEMENTS: dict[tuple[str, ...], int] = {
    ("facebook", "feed"): 4200,
    ("facebook", "facebook_reels"): 900,
    ("facebook", "marketplace"): 400,
    ("instagram", "feed"): 1900,
    ("instagram", "instagram_stories"): 1200,
    ("instagram", "instagram_reels"): 1000,
    ("audience_network", "an_classic"): 300,
    ("messenger", "messenger_stories"): 100,
}
_DEVICES: dict[tuple[str, ...], int] = {("mobile_app",): 8900, ("mobile_web",): 350, ("desktop",): 750}
_COUNTRIES: dict[tuple[str, ...], int] = {("US",): 8300, ("CA",): 800, ("GB",): 600, ("AU",): 300}
_REGIONS: dict[tuple[str, ...], int] = {
    (name,): share
    for name, share in (
        ("California", 2100),
        ("Florida", 1300),
        ("Illinois", 900),
        ("New York", 1500),
        ("Ohio", 800),
        ("Pennsylvania", 900),
        ("Texas", 1800),
        ("Washington", 700),
    )
}
_MARKETS: dict[tuple[str, ...], int] = {
    (name,): share
    for name, share in (
        ("Atlanta", 1200),
        ("Chicago", 1600),
        ("Dallas-Ft. Worth", 1400),
        ("Los Angeles", 2300),
        ("New York", 2500),
        ("Phoenix", 1000),
    )
}
_RHYTHM = (2, 1, 1, 1, 1, 2, 3, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 7, 7, 7, 5, 3)
_HOURS: dict[tuple[str, ...], int] = {
    (f"{hour:02d}:00:00 - {hour:02d}:59:59",): 100 * share for hour, share in enumerate(_RHYTHM)
}

FAMILIES: tuple[Family, ...] = (
    _family("people", ("age", "gender"), _PEOPLE, True),
    _family("placement", ("publisher_platform", "platform_position"), _PLACEMENTS, True),
    _family("device", ("device_platform",), _DEVICES, True),
    _family("country", ("country",), _COUNTRIES, True),
    _family("region", ("region",), _REGIONS, False),
    _family("market", ("dma",), _MARKETS, False),
    _family("hour", ("hourly_stats_aggregated_by_advertiser_time_zone",), _HOURS, False),
)
"""All families. Shares are choices of this simulator."""


class Purchases(Struct, frozen=True):
    """Purchases that are visible today, one entry each, and those that only 28 days after a click count.

    Attributes:
        row: Of the ad in `Account.ads`.
        day: Days after the first day of the range.
        cents: Value.
        windows: Which of `WINDOWS` count it, shape (windows, entries).
        counted: The account counts it (7 days after a click or one after a view).
        word: Random bits of it.
    """

    row: Ints
    day: Ints
    cents: Ints
    windows: Ints
    counted: Ints
    word: Words


def largest_remainder(counts: Ints, weights: Ints, noise: Words) -> Ints:
    """Split counts in proportion to weights so that the parts add up.

    Args:
        counts: Not negative, shape (n,).
        weights: Not negative integers with a sum above 0 in each row, shape (n, cells); the product of a
            count and a weight fits into 63 bits.
        noise: Shape (n, cells). A remainder counts the more, the smaller its word is.

    Returns:
        Shape (n, cells). Each part is its exact share rounded down or up.
    """
    whole = weights.sum(axis=1, keepdims=True)
    products = counts[:, None] * weights
    parts: Ints = products // whole
    rests = products - parts * whole
    left = counts - parts.sum(axis=1)
    chances = ((noise >> np.uint64(11)) + np.uint64(1)).astype(np.float64)
    order = np.argsort(-(rests / chances), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None, :], axis=1)
    parts += ranks < left[:, None]
    return parts


def purchases(account: Account, campaign: Node, first: int, last: int) -> Purchases:
    """Return the purchases of a campaign that are visible today.

    Args:
        account: The account.
        campaign: The campaign.
        first: Ordinal of the first day, not before the history.
        last: Ordinal of the last day, before today.
    """
    days = account.books.days(campaign)
    start, end = first - account.first_day, last + 1 - account.first_day
    ages = account.today - np.arange(first, last + 1)
    seen = np.array(DELAYS)[None, :] <= ages[:, None]
    counts = np.where(seen, days.purchases[:, start:end], 0)
    rows, offsets, delays = np.nonzero(counts)
    many = counts[rows, offsets, delays]
    cents = days.revenue_cents[rows, start + offsets, delays]
    bucket = np.repeat(np.arange(many.size), many)
    number = np.arange(bucket.size) - np.repeat(np.cumsum(many) - many, many)
    values = cents[bucket] // many[bucket] + (number < (cents % many)[bucket])
    seeds = _seeds(account.world, "purchase", account.books.ads(campaign))[rows[bucket]]
    place = ((first + offsets[bucket]) * len(DELAYS) + delays[bucket]) * _BUCKET + number
    word = mixed(seeds, place)
    kind = ((word >> np.uint64(40)) % np.uint64(100)).astype(np.int64)
    view = kind < _VIEWS
    soon = ~view & (kind < _VIEWS + _FIRST_DAY)
    extra = np.flatnonzero(((word >> np.uint64(20)) % np.uint64(100)).astype(np.int64) < _EXTRA)
    zero, one = np.zeros(extra.size, dtype=np.int64), np.ones(extra.size, dtype=np.int64)
    windows = np.stack([soon, ~view, ~view, view]).astype(np.int64)
    return Purchases(
        row=np.concatenate([rows[bucket], rows[bucket][extra]]),
        day=np.concatenate([offsets[bucket], offsets[bucket][extra]]),
        cents=np.concatenate([values, values[extra]]),
        windows=np.concatenate([windows, np.stack([zero, zero, one, zero])], axis=1),
        counted=np.concatenate([np.ones(bucket.size, dtype=np.int64), zero]),
        word=np.concatenate([word, mixed(word[extra], one)]),
    )


def cells(
    account: Account, campaign: Node, facts: Ints, first: int, *, family: Family, sold: Purchases
) -> tuple[Ints, Ints]:
    """Split days of a campaign into the cells of a family.

    Args:
        account: The account.
        campaign: The campaign.
        facts: Columns of the days in the order of `COLUMNS`, shape (columns, ads, days).
        first: Ordinal of the first day.
        family: The family.
        sold: The purchases of the same days.

    Returns:
        The facts by cell, shape (columns, ads, days, cells), and the cell of each purchase.
    """
    names = account.books.ads(campaign)
    count = len(family.cells)
    _, ads, length = facts.shape
    profile = _profile(account.world, family, names)
    rates = _rates(account.world, family, names)
    flat = facts.reshape(len(COLUMNS), -1)
    owners = np.repeat(np.arange(ads), length)
    days = first + np.tile(np.arange(length), ads)
    seeds = _seeds(account.world, family.name, names)[owners]
    result = np.zeros((len(COLUMNS), flat.shape[1], count), dtype=np.int64)

    def split(column: int, amounts: Ints, weights: Ints) -> Ints:
        places = (days[:, None] * _DAY + column * _COLUMN) + np.arange(count)
        return largest_remainder(amounts, weights, mixed(seeds[:, None], places))

    shown = split(0, flat[0], profile[owners])
    nowhere = shown.sum(axis=1, keepdims=True) == 0
    base = np.where(nowhere, profile[owners], shown)
    result[0] = shown
    for column in (1, 2, 3):
        amounts = flat[column] - flat[2] if column == 1 else flat[column]  # clicks beside link clicks
        result[column] = split(column, amounts, base * rates[column][owners])
    result[1] += result[2]
    result[4] = split(4, flat[4], _or(result[2], base))
    result[5] = split(5, flat[5], _or(result[4], base) * rates[5][owners])
    result[6] = split(6, flat[6], _or(result[5], base))
    where = sold.row * length + sold.day
    weights = np.cumsum((_or(result[2], base) * rates[_PLAIN][owners])[where], axis=1)
    point = ((sold.word & np.uint64(0xFFFFF)).astype(np.int64) * weights[:, -1]) >> 20
    cell: Ints = (weights <= point[:, None]).sum(axis=1)
    np.add.at(result[_PLAIN], (where, cell), sold.counted)
    np.add.at(result[_PLAIN + 1], (where, cell), sold.counted * sold.cents)
    return result.reshape(len(COLUMNS), ads, length, count), cell


def _or(weights: Ints, others: Ints) -> Ints:
    """Return weights, or others in rows where there are none."""
    return np.where(weights.sum(axis=1, keepdims=True) == 0, others, weights)


def _seeds(world: World, name: str, ads: list[str]) -> Words:
    return np.array([_seed(world.seed, world.stream.path, name, ad) for ad in ads], dtype=np.uint64)


@lru_cache(maxsize=1 << 14)
def _seed(seed: int, path: tuple[str | int, ...], name: str, ad: str) -> int:
    return Stream(seed, *path).bits("cells", name, int(ad))


def _profile(world: World, family: Family, ads: list[str]) -> Ints:
    """Return the weights of an ad's impressions, shape (ads, cells)."""
    noise = mixed(_seeds(world, family.name, ads)[:, None], np.arange(len(family.cells)))
    swing = 700 + (noise % np.uint64(601)).astype(np.int64)
    return np.array(family.weights, dtype=np.int64) * swing // 1000 + 1


def _rates(world: World, family: Family, ads: list[str]) -> Ints:
    """Return the rate of each column, ad and cell against the others, shape (columns, ads, cells)."""
    places = np.arange(_PLAIN + 1)[:, None, None] * _COLUMN + np.arange(len(family.cells)) + _DAY // 2
    noise = mixed(_seeds(world, family.name + " rate", ads)[None, :, None], places)
    return _RATE_LOW + (noise % np.uint64(_RATE_STEPS)).astype(np.int64)
