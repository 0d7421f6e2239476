"""Which row is best in a column, and which ones the data cannot tell from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from opoi.intervals import Floats, rounded
from opoi.measures.paired.board import Better, Column, Mark, Standing
from opoi.measures.paired.inference import ALPHA, holm, permutation_ps
from opoi.measures.paired.pairing import Paired
from opoi.measures.statistics import affordable
from opoi.seeds import Stream

__all__ = ["NOT_PAIRED", "in_order", "standings"]

Parts = tuple[Floats, Floats]
"""Numerators and denominators of a figure by scenario, in the order that all rows share."""

NOT_PAIRED = "no ratio of sums or mean over scenarios: its rows cannot be paired, so none is called the best"


def in_order(values: Sequence[float | None], way: Better) -> list[int]:
    """Return the places of the rows, best first; equal ones as they stand, those without a value last.

    Args:
        values: One for each row.
        way: Which way is better; for `neither` the largest comes first.
    """
    sign = 1.0 if way == "lower" else -1.0
    return sorted(range(len(values)), key=lambda at: _key(values[at], sign))


def _key(value: float | None, sign: float) -> tuple[bool, float]:
    return (True, 0.0) if value is None else (False, sign * value)


def standings(
    name: str,
    values: Sequence[float | None],
    parts: Sequence[Parts],
    *,
    way: Better,
    seed: int,
    resamples: int,
) -> tuple[Column, list[Standing]]:
    """Return where each row stands in a column: the best, not told from it, or told from it.

    Each row is compared with the best one by exchanging the two within the scenarios in which both have a
    value (`inference.permutation_ps`), and Holm's method goes over these m - 1 tests. The best row was picked
    by the same data: what Holm gives is multiplied by m / 2. Both together hold for all m (m - 1) / 2 pairs
    of rows, whichever comes out best. Rows that are like the best in every scenario count as one with it. A
    row that shares no scenario with the best is not compared; one that is the better one of the two where
    both have a value is never told from it.

    Args:
        name: Of the figure.
        values: One for each row, as shown; None where there is none.
        parts: For each row; zeros where it has none.
        way: Which way is better.
        seed: Seed of the draws.
        resamples: Exchanges to draw; more are drawn where the number of rows asks for it.
    """
    found = [Standing() for _ in values]
    shown = [at for at in in_order(values, way) if values[at] is not None and parts[at][1].any()]
    if way == "neither" or not shown:
        return Column(name=name, better=way), found
    best, *others = shown
    pairs = {at: Paired(*parts[best], *parts[at]) for at in others}
    scenarios = len(parts[best][1])
    met = [at for at in others if pairs[at].both]
    tested = [at for at in met if pairs[at].differing]
    count = len(tested) + 1
    draws = max(affordable(resamples, scenarios), math.ceil(count * (count - 1) / ALPHA))
    ps = permutation_ps([pairs[at] for at in tested], Stream(seed, "board", name), draws) if tested else []
    adjusted = [rounded(min(1.0, p * max(1.0, count / 2))) for p in holm(ps)]
    found[best] = Standing(mark="best")
    for at in met:
        found[at] = Standing(mark="same", p=1.0, p_adjusted=1.0, n=pairs[at].both)
    for at, p, p_adjusted in zip(tested, ps, adjusted, strict=True):
        mark: Mark = "apart" if p_adjusted <= ALPHA and _is_worse(pairs[at], way) else "same"
        found[at] = Standing(mark=mark, p=p, p_adjusted=p_adjusted, n=pairs[at].both)
    return Column(name=name, better=way, tested=len(tested), scenarios=scenarios, draws=draws), found


def _is_worse(pair: Paired, way: Better) -> bool:
    """Whether the second row is the worse one on the scenarios in which both have a value."""
    best, other = pair.values
    if best is None or other is None:
        return False
    return other > best if way == "lower" else other < best
