"""The journal of a stage: answers that were paid for, until the stage is done.

A run that was stopped or killed amid an item takes the item up again from its beginning, and finds the calls
it made before in the journal: nothing is paid for twice. An answer is in the journal before it is used.

One line per answer: `{"key": ..., "model": ..., "answer": ...}`. The key is a digest of path, label and
request, not of the URL: the same server may come up elsewhere. The requests themselves, which grow with the
conversation, are not kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import msgspec

from opoi.models.endpoint.faults import Where
from opoi.models.endpoint.lines import Line
from opoi.types.base import Value

__all__ = ["Journal", "JournalLine", "Paid", "Shelf"]

_SYNC_EVERY = 256


class Paid(Value, frozen=True, kw_only=True):
    """One answer that was paid for.

    Attributes:
        key: Digest of the request, as hex.
        model: Name of the model.
        answer: Body of the answer. Bytes that are not UTF-8 never get here: they are no usable answer.
    """

    key: str
    model: str
    answer: str


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Paid).decode


class Journal:
    """An append-only file of answers. Safe to use from several threads; one process at a time.

    It knows where the answers of earlier sittings lie; those of the present one are not asked for again.

    Args:
        path: The file; made where there is none. A line that a kill left unfinished is cut off.

    Attributes:
        entries: Number of answers in it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.entries = 0
        self._lock = threading.Lock()
        self._places: dict[bytes, tuple[int, int]] = {}
        self._unsynced = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._end = self._scan()
        os.ftruncate(self._descriptor, self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _scan(self) -> int:
        """Note where answers lie; return the end of the last whole line."""
        end = 0
        for line, entry in self._lines():
            self._places[bytes.fromhex(entry.key)] = (end, len(line))
            self.entries += 1
            end += len(line)
        return end

    def _lines(self) -> Iterator[tuple[bytes, Paid]]:
        """Yield lines and what they hold, up to one that is torn or damaged."""
        with self.path.open("rb") as file:
            for line in file:
                try:
                    entry = _decode(line)
                    bytes.fromhex(entry.key)
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    return
                if not line.endswith(b"\n"):
                    return
                yield line, entry

    def __iter__(self) -> Iterator[Paid]:
        """Yield the answers in the order in which they came."""
        return (entry for _, entry in self._lines())

    def find(self, key: bytes) -> bytes | None:
        """Return the answer of an earlier sitting to a request, None where there is none."""
        place = self._places.get(key)
        if place is None:
            return None
        offset, length = place
        return _decode(os.pread(self._descriptor, length, offset)).answer.encode()

    def add(self, key: bytes, model: str, answer: bytes) -> None:
        """Append an answer, in one write."""
        line = _encode(Paid(key=key.hex(), model=model, answer=answer.decode())) + b"\n"
        with self._lock:
            try:
                view = memoryview(line)
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except BaseException:
                os.ftruncate(self._descriptor, self._end)  # the next answer must not follow half a line
                raise
            self._end += len(line)
            self.entries += 1
            self._unsynced += 1
            if self._unsynced >= _SYNC_EVERY:
                os.fdatasync(self._descriptor)
                self._unsynced = 0

    def close(self) -> None:
        """Close the file; what was added stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Shelf:
    """Where the journal of the stage under way stands, if one is.

    Attributes:
        journal: It; None between stages.
    """

    def __init__(self) -> None:
        self.journal: Journal | None = None


class JournalLine:
    """A line that asks only what the journal of the stage does not hold. Satisfies `Line`.

    Only requests with a label are looked up and kept: one without (a check whether the endpoint answers) is
    asked each time.

    Args:
        line: Asks.
        shelf: Where the journal stands.
    """

    def __init__(self, line: Line, shelf: Shelf) -> None:
        self._line = line
        self._shelf = shelf

    @property
    def where(self) -> Where:
        """The endpoint's URL and the words of its failures."""
        return self._line.where

    def post(self, path: str, body: dict[str, Any], *, label: str = "") -> bytes:
        """Return the answer that was paid for, or send; see `opoi.models.endpoint.lines.Line`."""
        journal = self._shelf.journal
        if journal is None or not label:
            return self._line.post(path, body, label=label)
        asked = _encode((path, label, body))
        key = blake2b(asked, digest_size=16).digest()
        answer = journal.find(key)
        if answer is None:
            answer = self._line.post(path, body, label=label)
            journal.add(key, self.where.model, answer)
        return answer

    def get(self, path: str) -> bytes:
        """Return what lies at a path; never kept."""
        return self._line.get(path)

    def close(self) -> None:
        """Close the line that asks."""
        self._line.close()
