"""Texts in clusters: k-means on hashed TF-IDF, the same on every machine.

Vectors and centres lie on a grid so coarse that products and sums of them are exact in doubles: the order of
summation (BLAS, threads, platform) cannot move a text to another cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from opoi.intervals import Floats
from opoi.measures.words.views import Ints
from opoi.seeds import Stream

__all__ = ["DIMENSIONS", "k_means", "tf_idf"]

DIMENSIONS = 512
"""Length of the vectors: words are hashed to so many places."""

STARTS = 4
ROUNDS = 50

_GRID = 2.0**18


def tf_idf(texts: Sequence[Ints], words: Sequence[str]) -> Floats:
    """Return one vector of length 1 (0 for an empty text) for each text, on the grid.

    Term frequencies are counts, `idf = ln((1 + n) / (1 + df)) + 1`; words with the same CRC-32 modulo
    `DIMENSIONS` are one.

    Args:
        texts: Numbers of the words of each text.
        words: The words by number.

    Returns:
        Shape `(texts, DIMENSIONS)`.
    """
    place = np.array([crc32(word.encode("utf-8", "replace")) % DIMENSIONS for word in words], dtype=np.int64)
    counts = np.array([np.bincount(place[text], minlength=DIMENSIONS) for text in texts], dtype=np.float64)
    frequency = (counts > 0).sum(axis=0)
    weighted = counts * _on_grid(np.log((1 + len(texts)) / (1 + frequency)) + 1)
    length = np.sqrt((weighted**2).sum(axis=1, keepdims=True))
    return _on_grid(np.divide(weighted, length, out=np.zeros_like(weighted), where=length > 0))


def k_means(points: Floats, clusters: int, stream: Stream) -> Ints:
    """Return the cluster of each point: the best of a few starts of Lloyd's method from k-means++ centres.

    Args:
        points: Vectors of length at most 1, on the grid of `tf_idf`.
        clusters: Most clusters; fewer where there are fewer distinct points.
        stream: Draws the first centres.

    Returns:
        Numbers from 0, shape `(points,)`.
    """
    found = [_lloyd(points, _first(points, clusters, stream.at(start))) for start in range(STARTS)]
    return min(found, key=lambda each: each[1])[0]


def _first(points: Floats, clusters: int, stream: Stream) -> Floats:
    """Return points far from each other (k-means++; Arthur and Vassilvitskii 2007)."""
    chosen = [stream.below(len(points), 0)]
    nearest = _distances(points, points[chosen]).min(axis=1)
    while len(chosen) < clusters and nearest.any():
        mass = np.cumsum(nearest)
        drawn = np.searchsorted(mass, stream.uniform(len(chosen)) * mass[-1], "right")
        chosen.append(int(drawn))
        nearest = np.minimum(nearest, _distances(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _lloyd(points: Floats, centres: Floats) -> tuple[Ints, float]:
    """Return the clusters and the sum of squared distances, moving centres until no point changes."""
    labels = np.full(len(points), -1)
    for _ in range(ROUNDS):
        apart = _distances(points, centres)
        nearest = apart.argmin(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        members = np.eye(len(centres))[labels]
        sizes = members.sum(axis=0)
        moved = _on_grid(members.T @ points / np.maximum(sizes, 1.0)[:, None])
        centres = np.where(sizes[:, None] > 0, moved, centres)
    return labels, float(_distances(points, centres)[np.arange(len(points)), labels].sum())


def _distances(points: Floats, centres: Floats) -> Floats:
    """Return squared distances, shape `(points, centres)`."""
    norms = [(each**2).sum(axis=1) for each in (points, centres)]
    return np.asarray(norms[0][:, None] - 2 * (points @ centres.T) + norms[1][None, :], dtype=np.float64)


def _on_grid(values: Floats) -> Floats:
    return np.asarray(np.round(values * _GRID) / _GRID, dtype=np.float64)
