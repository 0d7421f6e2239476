"""Draws in bulk from random bits, by operations that IEEE 754 or integers fix to the last bit.

No logarithm, power or exponential of a maths library is used, and no sum of floats: their results differ
between libraries and between the vector widths of processors. Everything works cell by cell, so a number
does not depend on what it is computed together with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from opoi.seeds import Part, Stream

__all__ = [
    "Floats",
    "Ints",
    "Words",
    "decay",
    "descendants",
    "mixed",
    "normals",
    "poisson",
    "uniforms",
    "words",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_SCALE = 1.7320508075688772 / 65536.0
"""Standard deviation of a sum of four uniforms on [0, 65536) is 65536 / sqrt(3)."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_HALVINGS = 10
_TERMS = 16
_SURE = 60


def words(stream: Stream, count: int, *path: Part) -> Words:
    """Return `count` random 64-bit words."""
    return np.frombuffer(stream.raw(count, *path), dtype="<u8")


def uniforms(bits: Words) -> Floats:
    """Return numbers in [0, 1), multiples of 2**-53, one a word."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(bits: Words) -> Floats:
    """Return nearly normal numbers of mean 0 and variance 1, all within +-3.5, one a word.

    Each is the sum of the four 16-bit parts of the word, moved and scaled.
    """
    total = bits & np.uint64(0xFFFF)
    for shift in (16, 32, 48):
        total += (bits >> np.uint64(shift)) & np.uint64(0xFFFF)
    result: Floats = total.astype(np.float64)
    result -= 131070.0
    result *= _SCALE
    return result


def mixed(bits: Words, number: Ints) -> Words:
    """Return the `number`-th descendant of each word (the finaliser of SplitMix64, Steele et al. 2014)."""
    value: Words = bits + (number.astype(np.uint64) + np.uint64(1)) * _STEP
    _finish(value)
    return value


def descendants(bits: Words, counts: Ints) -> Words:
    """Return the first descendants of each word, word by word: `mixed(word, 0)`, `mixed(word, 1)`, ...

    Args:
        bits: The words.
        counts: How many of each.
    """
    before = np.cumsum(counts) - counts
    value: Words = np.repeat(bits - before.astype(np.uint64) * _STEP, counts)
    value += np.arange(1, value.size + 1, dtype=np.uint64) * _STEP
    _finish(value)
    return value


def _finish(value: Words) -> None:
    """Mix the bits of each word, in place: fresh arrays of this size cost more than the work."""
    shifted = value >> np.uint64(30)
    value ^= shifted
    value *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(value, np.uint64(27), out=shifted)
    value ^= shifted
    value *= np.uint64(0x94D049BB133111EB)
    np.right_shift(value, np.uint64(31), out=shifted)
    value ^= shifted


def decay(rates: Floats) -> Floats:
    """Return `exp(-rate)` for rates of 0 to 600; relative error under 1e-12.

    The Taylor series of the rate's 1024th part, squared ten times.
    """
    part = rates * -(2.0**-_HALVINGS)
    total = np.ones_like(rates)
    scaled = np.empty_like(part)
    for term in range(_TERMS, 0, -1):
        np.divide(part, term, out=scaled)
        total *= scaled
        total += 1.0
    for _ in range(_HALVINGS):
        total *= total
    return total


def poisson(rates: Floats, quantiles: Floats) -> Ints:
    """Return Poisson counts by inversion: the least n whose distribution function exceeds the quantile.

    The count never falls as the rate rises: draws with the same quantiles are common random numbers.

    Args:
        rates: Means, 0 to 600.
        quantiles: In [0, 1), same shape.
    """
    total = np.zeros(rates.size, dtype=np.int64)
    cells, counts = np.arange(rates.size), total.copy()
    rate, quantile = rates.ravel(), quantiles.ravel()
    term = decay(rate)
    reached, number = term.copy(), 0
    while True:
        rising = quantile >= reached
        if number >= _SURE:
            rising &= number < 2.0 * rate + _SURE
        left = np.count_nonzero(rising)
        if not left or 2 * left < rising.size:  # the others are done: go on without them
            total[cells] = counts
            if not left:
                return total.reshape(rates.shape)
            cells, counts = cells[rising], counts[rising]
            rate, quantile = rate[rising], quantile[rising]
            term, reached = term[rising], reached[rising]
            rising = rising[rising]
        number += 1
        counts += rising
        term *= rate
        term /= number
        reached += term
