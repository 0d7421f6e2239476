"""Does the simulated account look like real ones? Distributions of worlds beside ranges of the trade.

    .venv/bin/python benchmarks/realism.py [--worlds 300] [--picture docs/account.png]

Ranges are common figures of e-commerce accounts in USD (ranges, not truths). Each line gives the 10th, 50th
and 90th percentile over campaigns of the last 28 days, as fully attributed; other lines say what they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.gym.picture import draw
from opoi_envs.ads.world.calendar import black_friday
from opoi_envs.ads.world.campaign import HISTORY, Campaign
from opoi_envs.ads.world.delivery import deliver, reported
from opoi_envs.ads.world.noise import Floats
from opoi_envs.ads.world.world import HORIZON, World

_DAYS = 28


def campaigns(worlds: list[World]) -> Iterator[tuple[World, Campaign]]:
    for world in worlds:
        world.play()
        yield from ((world, campaign) for campaign in world.campaigns if not campaign.stopped)


def levels(worlds: list[World]) -> dict[str, Floats]:
    """Return levels of running campaigns over the last 28 days."""
    rows = []
    for world, campaign in campaigns(worlds):
        days = world.days(campaign)
        imp, link, clicks, spend, pur, rev = (
            int(column[:, -_DAYS:].sum())
            for column in (
                days.impressions,
                days.link_clicks,
                days.clicks,
                days.spend_cents,
                days.purchases,
                days.revenue_cents,
            )
        )
        if pur:
            rows.append(
                (
                    *(spend / imp * 10, 100 * link / imp, 100 * clicks / imp, spend / link / 100),
                    *(100 * pur / link, spend / pur / 100, rev / pur / 100, rev / spend),
                )
            )
    names = ("CPM", "link CTR %", "all CTR %", "CPC", "CVR %", "CPA", "AOV", "ROAS")
    return dict(zip(names, np.array(rows).T, strict=True))


def doubled(worlds: list[World]) -> tuple[Floats, Floats]:
    """Return the exponent b of conversions ~ spend^b and the rise of CPA in percent when budgets double."""
    exponents, rises = [], []
    for world in worlds:
        focus = world.focus
        budgets = [np.repeat(times * focus.references[:, None], HORIZON, axis=1) for times in (1.0, 2.0)]
        days = deliver([focus, focus], [focus.ahead(each, 0) for each in budgets], 0, HORIZON)
        half = len(focus.ads)
        sold = [float(days.purchases[rows].sum()) for rows in (slice(0, half), slice(half, None))]
        paid = [float(days.spend_cents[rows].sum()) for rows in (slice(0, half), slice(half, None))]
        if sold[0] >= 100:
            exponents.append(np.log(sold[1] / sold[0]) / np.log(paid[1] / paid[0]))
            rises.append(100 * (paid[1] / sold[1] / (paid[0] / sold[0]) - 1))
    return np.array(exponents), np.array(rises)


def lag(worlds: list[World]) -> dict[int, float]:
    """Return the share of purchases that is visible so many days later."""
    every = [world.days(campaign).purchases for world, campaign in campaigns(worlds)]
    total = sum(int(days.sum()) for days in every)
    return {age: sum(int(reported(days, age).sum()) for days in every) / total for age in (0, 1, 2, 3, 7, 28)}


def pacing(worlds: list[World]) -> tuple[float, float]:
    """Return the highest spend of a day and of a week as multiples of the daily budget."""
    days_max = weeks_max = 0.0
    for world, campaign in campaigns(worlds):
        if campaign.archetype.raised or campaign.archetype.launched:
            continue
        spend = world.days(campaign).spend_cents.sum(axis=0) / campaign.budget_cents
        days_max = max(days_max, float(spend.max()))
        weeks_max = max(weeks_max, float(spend.reshape(HISTORY // 7, 7).sum(axis=1).max()))
    return days_max, weeks_max


def season(worlds: list[World]) -> dict[str, float]:
    """Return CPA in the shopping season against the weeks before it, in percent."""
    sums = {name: [0, 0] for name in ("before", "November on", "Black Friday week")}
    for world, campaign in campaigns(worlds):
        days, first = world.days(campaign), world.as_of - HISTORY
        spend, sold = days.spend_cents.sum(axis=0), days.purchases.sum(axis=(0, 2))
        for place in range(HISTORY - 28):
            when = date.fromordinal(first + place)
            friday = black_friday(when.year)
            if friday - 6 <= first + place <= friday + 3:
                name = "Black Friday week"
            elif when.month == 11 or (when.month == 12 and when.day <= 24):
                name = "November on"
            elif when.month in (9, 10):
                name = "before"
            else:
                continue
            sums[name][0] += int(spend[place])
            sums[name][1] += int(sold[place])
    cpa = {name: spend / sold for name, (spend, sold) in sums.items()}
    return {name: 100 * (cpa[name] / cpa["before"] - 1) for name in cpa if name != "before"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="Draw one account into this file as well."
    )
    given = parser.parse_args()
    worlds = [World(2 * seed) for seed in range(given.worlds)]
    print(f"{len(worlds)} worlds, {sum(1 for _ in campaigns(worlds))} running campaigns, last {_DAYS} days")
    print(f"{'':<26}{'10 %':>9}{'50 %':>9}{'90 %':>9}   trade figures")
    trade = {
        "CPM": "8-18 USD, means 11.6-16",
        "link CTR %": "1.2-2.5",
        "all CTR %": "median 2.2",
        "CPC": "0.5-1.8 USD per link click",
        "CVR %": "1.5-4 of link clicks",
        "CPA": "means 44-51 USD",
        "AOV": "60-150 USD",
        "ROAS": "mean 2.2, healthy 2-3.5",
    }
    found = levels(worlds)
    exponents, rises = doubled(worlds)
    found |= {"response exponent b": exponents, "CPA rise on doubling, %": rises}
    trade |= {"response exponent b": "0.57-0.80", "CPA rise on doubling, %": "15-35"}
    for name, values in found.items():
        low, mid, high = np.percentile(values, (10, 50, 90))
        print(f"{name:<26}{low:>9.2f}{mid:>9.2f}{high:>9.2f}   {trade[name]}")
    shown = ", ".join(f"{age}: {share:.3f}" for age, share in lag(worlds).items())
    print(f"visible after n days      {shown}")
    print(f"{'':<26}(0: .5-.6, 1: .70-.75, 2: .80, 3: .87, 7: .97-1.0, 28: 1)")
    day, week = pacing(worlds)
    print(f"highest day, week         {day:.2f}, {week:.2f} daily budgets (up to 1.25-1.75, 7)")
    for name, change in season(worlds).items():
        wanted = "+15 to +20" if name == "November on" else "-15"
        print(f"CPA, {name:<21}{change:+.1f} % against September and October ({wanted})")
    if given.picture:
        draw(View(Account(worlds[9])), f"cmp_{worlds[9].focus.id}").savefig(given.picture)
        print(f"drew the account of seed {worlds[9].seed} into {given.picture}")


if __name__ == "__main__":
    main()
