"""Bulk noise from random bits, by operations that IEEE 754 fixes to the last bit.

No logarithm, power or exponential is used, and no sum of floats: their results differ between maths
libraries and between the vector widths of processors. Sums are of integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from opoi.seeds import Part, Stream

__all__ = ["Floats", "Ints", "normals", "uniforms"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SCALE = 1.7320508075688772 / 65536.0
"""Standard deviation of a sum of four uniforms on [0, 65536) is 65536 / sqrt(3)."""


def normals(stream: Stream, rows: int, count: int, *path: Part) -> Floats:
    """Return `(rows, count)` nearly normal numbers of mean 0 and variance 1, all within +-3.5.

    Each is the sum of the four 16-bit parts of one random word, moved and scaled.
    """
    raw = np.frombuffer(stream.raw(rows * count, *path), dtype="<u2").reshape(rows, count, 4)
    parts = raw.astype(np.int64)
    total: npt.NDArray[Any] = parts[:, :, 0] + parts[:, :, 1] + parts[:, :, 2] + parts[:, :, 3]
    return (total - 131070) * _SCALE


def uniforms(stream: Stream, count: int, *path: Part) -> Floats:
    """Return `count` numbers in [0, 1)."""
    raw = np.frombuffer(stream.raw(count, *path), dtype="<u8")
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
