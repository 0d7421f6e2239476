"""MAUVE-lite: how well the rationales of an arm and those of its base cover the same kinds of text.

This is NOT MAUVE. The area under the divergence frontier is that of Pillutla et al. 2021 (scaling constant 5,
25 mixtures), but texts are vectors of hashed words and not of a language model, and there are a few hundred
texts in a few dozen clusters. Its values cannot be compared with published ones: only with its own null, and
between arms of one run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from opoi.intervals import Floats
from opoi.measures.words.clusters import k_means, tf_idf
from opoi.measures.words.contrast import Slopes, contrast, permutation_p
from opoi.measures.words.pairs import Texts, paired
from opoi.measures.words.views import Ints
from opoi.seeds import Stream
from opoi.types import Measure

__all__ = ["LEAST_TEXTS", "Frontier", "frontier_area", "mauve_lite_of"]

SCALE = 5.0
MIXTURES = 25
LEAST_TEXTS = 50
MOST_CLUSTERS = 50
NOTE_FEW = f"fewer than {LEAST_TEXTS} scenarios with a rationale in both arms"

_TEXTS_PER_CLUSTER = 8


class Frontier(NamedTuple):
    """Area of the arm against the base arm (with p), and of two halves of the base arm."""

    area: Measure
    null: Measure


def mauve_lite_of(base: Texts, arm: Texts, spelled: list[str], stream: Stream) -> Frontier:
    """Measure the area under the frontier between one rationale per scenario of two arms.

    The clusters are of all rationales of both arms, whichever arm they come from. Intervals are those for
    these clusters: that others could have been found is not in them.

    Args:
        base: Words of one rationale per scenario of the reference arm.
        arm: The same of the arm; only scenarios with text in both count.
        spelled: All words by number.
        stream: Where clusters, splits and permutations come from.
    """
    ids = sorted(name for name in base if name in arm and len(base[name]) and len(arm[name]))
    if len(ids) < LEAST_TEXTS:
        none = Measure(value=None, n=len(ids), note=NOTE_FEW)
        return Frontier(none, none)
    points = tf_idf([source[name] for source in (base, arm) for name in ids], spelled)
    wanted = min(MOST_CLUSTERS, len(ids) // _TEXTS_PER_CLUSTER)
    labels = k_means(points, wanted, stream.at("clusters"))
    kinds = [dict(zip(ids, part[:, None], strict=True)) for part in np.split(labels, 2)]
    pairs = paired(kinds[0], kinds[1], stream)
    assert not isinstance(pairs, int)  # there are at least LEAST_TEXTS scenarios
    found = contrast(pairs, frontier_area)
    p = permutation_p(pairs, _far, stream.at("permutation"))
    return Frontier(replace(_inside(found.crossed), p=p), _inside(found.null))


def frontier_area(p: Floats, q: Floats) -> Slopes:
    """Return the area under the divergence frontier of two distributions, with its derivatives.

    The frontier joins `(exp(-c KL(q|r)), exp(-c KL(p|r)))`, `r = l p + (1-l) q`, for l = 0, 1/26 ... 1, in
    nats, with `(1, 0)` and `(0, 1)` at its ends.

    Args:
        p: Shares, sum 1.
        q: The same.

    Returns:
        An area in (0, 1]: 1 for equal distributions, 0.006 for disjoint ones.
    """
    share = (np.arange(1, MIXTURES + 1) / (MIXTURES + 1))[:, None]
    mixture = share * p + (1 - share) * q
    ratio_p, ratio_q = (
        np.divide(each[None, :], mixture, out=np.ones_like(mixture), where=(each > 0)[None, :])
        for each in (p, q)
    )
    x, y = (np.exp(-SCALE * (np.log(ratio) @ each)) for ratio, each in ((ratio_q, q), (ratio_p, p)))
    xs, ys = np.concatenate([[1.0], x, [0.0]]), np.concatenate([[0.0], y, [1.0]])
    area = float(((xs[:-1] - xs[1:]) * (ys[:-1] + ys[1:])).sum() / 2)
    by_x = (ys[2:] - ys[:-2]) / 2 * -SCALE * x
    by_y = (xs[:-2] - xs[2:]) / 2 * -SCALE * y
    held_p, held_q = np.where(p > 0, ratio_p, 0.0), np.where(q > 0, ratio_q, 0.0)
    left = by_y @ (np.log(ratio_p) - share * held_p) - by_x @ (share * held_q)
    right = by_x @ (np.log(ratio_q) - (1 - share) * held_q) - by_y @ ((1 - share) * held_p)
    return Slopes(area, left, right)


def _far(left: Ints, right: Ints) -> float:
    return -frontier_area(left / left.sum(), right / right.sum()).value


def _inside(measure: Measure) -> Measure:
    """Return a measure whose interval stays in [0, 1]."""
    low, high = measure.low or 0.0, 1.0 if measure.high is None else measure.high
    return replace(measure, low=max(0.0, low), high=min(1.0, high))
