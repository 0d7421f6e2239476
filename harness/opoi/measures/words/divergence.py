"""How far two bodies of text are apart: Jensen-Shannon divergence, minus what chance alone gives.

The divergence of two samples of the same source is above 0, and the more so the fewer tokens there are; see
`opoi.measures.words.contrast` for what is taken off and where interval and p come from.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from opoi.intervals import Floats
from opoi.measures.words.contrast import Parts, Slopes, contrast, permutation_p
from opoi.measures.words.pairs import NOTE_FEW, Texts, paired
from opoi.measures.words.views import Ints
from opoi.seeds import Stream
from opoi.types import Measure

__all__ = ["Divergence", "excess", "js_divergence", "js_swing"]


class Divergence(Struct, frozen=True):
    """How far an arm is from the base arm, in bits.

    Attributes:
        excess: Beyond what chance gives, with p.
        null: The chance level that was taken off.
        parts: The excess by scenario, see `Contrast.parts`.
    """

    excess: Measure
    null: Measure
    parts: Parts


def js_divergence(p: Floats, q: Floats) -> Slopes:
    """Return the Jensen-Shannon divergence (base 2) of two distributions, with its derivatives.

    Args:
        p: Shares of types, sum 1.
        q: The same.

    Returns:
        A divergence in [0, 1]; 0 for equal, 1 for disjoint distributions.
    """
    middle = (p + q) / 2
    left, right = _half_log(p, middle), _half_log(q, middle)
    return Slopes(min(1.0, max(0.0, float(p @ left + q @ right))), left, right)


def js_swing(p: Floats, q: Floats, part: Floats) -> Floats:
    """Return half of what types add to the divergence with a part of `p` twice less what they add without.

    Args:
        p: Shares of types on one side.
        q: Their shares on the other side.
        part: What is added to `p` and taken off it, at most `p`.
    """
    return (_of_types(p + part, q) - _of_types(np.maximum(p - part, 0.0), q)) / 2


def _of_types(p: Floats, q: Floats) -> Floats:
    """Return what types with these shares add to the divergence."""
    middle = (p + q) / 2
    return p * _half_log(p, middle) + q * _half_log(q, middle)


def _half_log(p: Floats, middle: Floats) -> Floats:
    held = p > 0
    quotient = np.divide(p, middle, out=np.ones_like(p), where=held)
    return np.asarray(np.log2(quotient) / 2, dtype=np.float64)


def excess(base: Texts, arm: Texts, stream: Stream) -> Divergence:
    """Measure how much farther an arm is from the base arm than the base arm is from itself.

    Args:
        base: Texts of the reference arm.
        arm: Texts of the arm; only scenarios with text in both count.
        stream: Where cuts, splits and permutations come from.
    """
    pairs = paired(base, arm, stream)
    if isinstance(pairs, int):
        none = Measure(value=None, n=pairs, note=NOTE_FEW)
        return Divergence(none, none, {})
    found = contrast(pairs, js_divergence, js_swing)
    table = _table(int(pairs.sizes.sum()))

    def far(left: Ints, right: Ints) -> float:
        """Return minus the entropies of both: with the sum fixed, it grows with their divergence."""
        return float(table[left].sum() + table[right].sum())

    p = permutation_p(pairs, far, stream.at("permutation"))
    null = replace(found.null, low=max(0.0, found.null.low or 0.0))
    return Divergence(replace(found.excess, p=p), null, found.parts)


def _table(largest: int) -> Floats:
    """Return `x * log2(x)` of all whole numbers up to the largest count."""
    counts = np.arange(largest + 1, dtype=np.float64)
    return np.asarray(counts * np.log2(np.maximum(counts, 1.0)), dtype=np.float64)
