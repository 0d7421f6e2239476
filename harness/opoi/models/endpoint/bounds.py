"""How long and how large an answer may be, the body of an error included.

No HTTP library is imported here: the one that a client is made of is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["MOST_BYTES", "EndlessError", "bounded", "bounding"]

MOST_BYTES = 64 * 2**20
"""A longer answer is no answer: the server does not come to an end."""

_LONGEST = 10
"""A try may take so many times the time-out in all, however steadily bytes come."""


class EndlessError(Exception):
    """An answer does not come to an end."""


def bounding(http: Any, timeout: float) -> Callable[[Any], None]:  # noqa: ANN401 - one of two libraries
    """Return a hook that bounds what will be read of a response, the body of an error included.

    It must not know the line: the client that holds it outlives a line that was forgotten.
    """

    class Bounded(http.SyncByteStream):  # type: ignore[misc]  # its base is known when it runs
        def __init__(self, stream: Any) -> None:  # noqa: ANN401 - of the same library
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            return bounded(self._stream, timeout)

        def close(self) -> None:
            self._stream.close()

    def bound(response: Any) -> None:  # noqa: ANN401 - of the same library
        response.stream = Bounded(response.stream)

    return bound


def bounded(pieces: Iterable[bytes], timeout: float) -> Iterator[bytes]:
    """Yield pieces of a body, from now on for ten times `timeout` seconds and up to `MOST_BYTES`.

    Raises:
        EndlessError: There is more.
    """
    ends = time.monotonic() + _LONGEST * timeout
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_BYTES:
            raise EndlessError(f"over {MOST_BYTES >> 20} MB of one answer")
        if time.monotonic() > ends:
            raise EndlessError(f"bytes came, but no end within {_LONGEST * timeout:g} s")
        yield piece
