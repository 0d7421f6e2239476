"""How much one server keeps: everything is in memory."""

from __future__ import annotations

from opoi.types.base import Value

__all__ = ["Limits"]


class Limits(Value, frozen=True, kw_only=True):
    """Bounds of one server; what is above them is refused with 413.

    A language model takes some 50 to 70 bytes of memory for each byte that it has learned, and a job keeps up
    to five of them while it runs.

    Attributes:
        files: Files at a time.
        bytes: Bytes of all files together; of one upload as well, its form included.
        jobs: Jobs; none is forgotten.
        learned: Bytes of the files of all jobs that are not over or have a model that is kept.
        steps: Steps of one job; each leaves an event behind. A job with more fails.
        checkpoints: Checkpoints of a job that are kept: the last ones.
    """

    files: int = 1_000
    bytes: int = 64 * 2**20
    jobs: int = 200
    learned: int = 16 * 2**20
    steps: int = 10_000
    checkpoints: int = 3
