"""What the facts that a trace fetched say about the campaign in focus.

Of all that tools print, these bear on what is hidden:

- purchases, in the finest windows that the fetched ones can be taken apart into;
- the course of spend, CPM and click-through rate over those windows, and frequency: they show raises,
  surges and fatigue;
- the target (against the economics), the delivery state, the activity log, and the funnel.

The rest is noise that does not depend on what is hidden, and tells nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise

from msgspec import Struct

from opoi.types import Fact

__all__ = ["LONGEST", "Evidence", "Segment", "complete", "evidence_in"]

Segment = tuple[int, int, int]
"""`(first, last, purchases)`: reported purchases from `first` to `last` days before the decision."""

LONGEST = 90
"""The longest window of any tool in days."""

_DAILY = 28
_LOG = frozenset({"budget_before", "creative_added", "launched"})


class Evidence(Struct, frozen=True):
    """What is known about the campaign in focus besides its budget.

    Attributes:
        segments: Disjoint windows with their purchases, latest first.
        windows: Disjoint windows, as (first, last), whose spend, CPM and click-through rate are known.
        look: Frequency was seen.
        goal: The target and the economics of the account.
        delivery: Whether it is learning.
        log: Its past changes.
        funnel: Landing-page views, carts and checkouts, now and before.
    """

    segments: tuple[Segment, ...] = ()
    windows: tuple[tuple[int, int], ...] = ()
    look: bool = False
    goal: bool = False
    delivery: bool = False
    log: bool = False
    funnel: bool = False


def complete(purchases: list[int]) -> Evidence:
    """Return all that tools can reveal: single days of four weeks, the two months before, everything else.

    Args:
        purchases: As reported on the decision day, latest day first, at least `LONGEST`.
    """
    days = [(age, age, purchases[age - 1]) for age in range(1, _DAILY + 1)]
    segments = (*days, (LONGEST, _DAILY + 1, sum(purchases[_DAILY:LONGEST])))
    windows = tuple((first, last) for first, last, _ in segments)
    return Evidence(segments, windows, look=True, goal=True, delivery=True, log=True, funnel=True)


def evidence_in(facts: Iterable[Fact], campaign: str, as_of: str, parts: Sequence[str] = ()) -> Evidence:
    """Return what facts that tools revealed say about one campaign.

    Args:
        facts: The ledger of a trace.
        campaign: Id of the campaign.
        as_of: ISO day of the decision.
        parts: Ids of all its ad sets: numbers known of each of them over one window add up to the campaign's.
    """
    today = date.fromisoformat(as_of).toordinal()
    known: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    seen = set()
    for fact in facts:
        if fact.metric == "target_cpa":
            seen.add("goal")
        if fact.entity == campaign:
            seen.add("log" if fact.metric in _LOG else fact.metric)
        if fact.metric in ("purchases", "spend") and fact.window and fact.entity in (campaign, *parts):
            first, _, last = fact.window.partition("..")
            ages = [today - date.fromisoformat(day).toordinal() for day in (first, last or first)]
            known.setdefault((fact.entity, fact.metric), {})[ages[0], ages[1]] = float(fact.value)
    counts, spend = (_whole(known, campaign, parts, metric) for metric in ("purchases", "spend"))
    return Evidence(
        segments=_apart(counts),
        windows=tuple((first, last) for first, last, _ in _apart(spend)),
        look="frequency" in seen,
        goal="goal" in seen,
        delivery="delivery" in seen,
        log="log" in seen,
        funnel="checkouts" in seen,
    )


def _whole(
    known: dict[tuple[str, str], dict[tuple[int, int], float]],
    campaign: str,
    parts: Sequence[str],
    metric: str,
) -> dict[tuple[int, int], int]:
    """Return the windows over which a number of the campaign is known, with the number."""
    found = {window: int(value) for window, value in known.get((campaign, metric), {}).items()}
    each = [known.get((part, metric), {}) for part in parts]
    for window in each[0] if each else ():
        if all(window in values for values in each):
            found.setdefault(window, int(sum(values[window] for values in each)))
    return found


def _apart(counts: dict[tuple[int, int], int]) -> tuple[Segment, ...]:
    """Take windows apart into the finest disjoint ones whose purchases follow from them.

    A window from `first` to `last` joins two boundaries, `last - 1` and `first`; along joined boundaries all
    differences are known. The tools' windows all hang together through yesterday. Windows that did not, and
    overlap others, would be left out.
    """
    level: dict[int, dict[int, int]] = {}
    for (first, last), purchases in sorted(counts.items()):
        low, high = last - 1, first
        left = level.setdefault(low, {low: 0})
        right = level.setdefault(high, {high: 0})
        if left is right:
            continue
        shift = left[low] + purchases - right[high]
        for boundary, total in right.items():
            left[boundary] = total + shift
            level[boundary] = left
    taken: list[Segment] = []
    groups = {id(group): group for group in level.values()}
    for group in sorted(groups.values(), key=lambda each: (-len(each), min(each))):
        marks = sorted(group)
        parts = [(high, low + 1, group[high] - group[low]) for low, high in pairwise(marks)]
        if all(part[0] < other[1] or other[0] < part[1] for part in parts for other in taken):
            taken += parts
    return tuple(sorted(taken))
