"""The file of a tape: append-only, indexed by request, safe against kills and for threads.

A tape is JSONL. A line `{"schema": "opoi.tape/1"}` opens each sitting of recording; then comes one line for
each request (`opoi.models.tape.entries`). So two tapes one after the other in one file are a tape. No headers
are stored.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from msgspec import Raw, Struct

from opoi.errors import ArtefactError
from opoi.models.tape.entries import SCHEMA, Entry, Fault, Method, Outcome, Request, make_entry, request_key
from opoi.models.tape.miss import ReplayMissError, explain

__all__ = ["Scrub", "Tape"]

_SYNC_EVERY = 256

Scrub = Callable[[bytes], bytes]
"""Hides a secret in a text, JSON or not, however it is spelled there; doing it twice changes nothing more."""


class _Head(Struct, forbid_unknown_fields=True):
    schema: str


class _Place(NamedTuple):
    """Where an entry lies, and in which sitting it was recorded."""

    sitting: int
    offset: int
    length: int


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_head = msgspec.json.Decoder(_Head).decode

_HEAD = _encode(_Head(SCHEMA)) + b"\n"

_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for bytes that are not what they should be."""


class Tape:
    """A tape, open for replay or for recording. Safe to use from several threads.

    It holds where entries lie, not the entries. Opened for recording, an existing tape is continued, and a
    line that a kill left unfinished at its end is cut off; no other process can record onto it meanwhile.

    Within one sitting the outcomes of equal requests are kept in their order; a later sitting replaces them.

        with Tape.open(Path("run.tape"), write=True) as tape:
            model = EndpointModel(RecordingLine(line, tape), "tiny")

    Attributes:
        path: The file.
        missed: The first error about a request that is not on the tape, None where there was none.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.missed: ReplayMissError | None = None
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._scrubs: tuple[Scrub, ...] = ()
        self._places: dict[bytes, tuple[_Place, ...]] = {}
        self._played: dict[bytes, int] = {}
        self._writable = False
        self._sitting = 0
        self._announced = False
        self._end = 0
        self._unsynced = 0

    @classmethod
    def open(cls, path: Path, *, write: bool, scrub: Scrub | None = None) -> Self:
        """Open a tape.

        Args:
            path: The file; for recording it is made where there is none.
            write: To record; else nothing is written.
            scrub: Hides a secret in everything that is written. Lines hide the key of their endpoint.

        Raises:
            ArtefactError: There is no tape, it is damaged, or another process records onto it.
        """
        try:
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT if write else os.O_RDONLY, 0o644)
        except FileNotFoundError as error:
            if write:
                raise ArtefactError(f"the tape {path} cannot be opened", why=str(error)) from error
            raise ArtefactError(f"there is no tape {path}", fix="record one first, with --record") from error
        except OSError as error:
            raise ArtefactError(f"the tape {path} cannot be opened", why=str(error)) from error
        tape = cls(path, descriptor)
        try:
            tape._take_up(write)
        except BaseException:
            tape.close()
            raise
        if scrub is not None:
            tape.hide(scrub)
        return tape

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Tape({str(self.path)!r})"

    def close(self) -> None:
        """Close the file; what was added stays."""
        with self._lock:
            self._writable = False
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def hide(self, scrub: Scrub) -> None:
        """Apply a function to everything that is written from now on."""
        if scrub in self._scrubs:
            return
        with self._lock:
            if scrub not in self._scrubs:
                self._scrubs = (*self._scrubs, scrub)

    def request(
        self, method: Method, url: str, path: str, body: dict[str, Any] | None = None, *, label: str = ""
    ) -> Request:
        """Return a request as this tape knows it.

        Raises:
            UnicodeEncodeError: Its text is not valid Unicode.
        """
        raw = _encode(body)
        clean = self._hidden(raw)
        if clean != raw and not _is_json(clean):
            clean = _encode(clean.decode("utf-8", "replace"))
        url, path, label = self._hidden_text(url), self._hidden_text(path), self._hidden_text(label)
        key = request_key(url, method, path, label, clean)
        return Request(key=key, url=url, method=method, path=path, label=label, request=Raw(clean))

    # ------------------------------------------------------------ reading

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were recorded, replaced ones too."""
        return (entry for _, entry in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Entry]]:
        """Yield the number of the line and the entry, for all entries."""
        left = self._end
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error
        with file:
            for number, line in enumerate(file, start=1):
                left -= len(line)
                if left < 0:
                    return
                if number > 1 and not _is_head(line):
                    yield number, self._decoded(line, f"line {number}")

    def play(self, key: str) -> Outcome | None:
        """Return the next outcome of a request: the first, then the second, and after the last the last.

        Returns:
            None where the request is not on the tape.
        """
        name = bytes.fromhex(key)
        with self._lock:
            places = self._places.get(name)
            if places is None:
                return None
            turn = self._played.get(name, 0)
            self._played[name] = turn + 1
        return self._read(places[min(turn, len(places) - 1)]).outcome

    def miss(self, request: Request) -> ReplayMissError:
        """Return the error for a request that is not on the tape; the whole tape is read for it."""
        error = explain(request, self.numbered(), self.path)
        self.missed = self.missed or error
        return error

    def unplayed(self) -> list[Entry]:
        """Return the entries that were not played, in their order, but for those that were replaced."""
        left = [
            place for name, places in self._places.items() for place in places[self._played.get(name, 0) :]
        ]
        return [self._read(place) for place in sorted(left, key=lambda place: place.offset)]

    def _read(self, place: _Place) -> Entry:
        try:
            line = os.pread(self._descriptor, place.length, place.offset)
        except OSError as error:
            raise self._unreadable(error) from error
        return self._decoded(line, f"at byte {place.offset}")

    def _unreadable(self, error: OSError) -> ArtefactError:
        return ArtefactError(f"the tape {self.path} cannot be read", why=str(error))

    def _decoded(self, line: bytes, where: str) -> Entry:
        try:
            return _decode_entry(line)
        except _NOT_JSON as error:
            raise _damaged(self.path, where, str(error)) from error

    # ------------------------------------------------------------ writing

    def add(self, request: Request, outcome: Outcome) -> Outcome:
        """Append what came of a request, in one write.

        Returns:
            The outcome as it was written, secrets hidden.

        Raises:
            ArtefactError: It cannot be written; the tape is as it was before.
        """
        outcome = self._clean(outcome)
        line = _encode(make_entry(request, outcome)) + b"\n"
        with self._lock:
            self._append(request.key, line)
        return outcome

    def _append(self, key: str, line: bytes) -> None:
        if not self._writable:
            raise ArtefactError(f"the tape {self.path} is not open for recording")
        head = b"" if self._announced else _HEAD
        try:
            _write(self._descriptor, head + line)
            self._sync()
        except OSError as error:
            self._cut()
            raise ArtefactError(f"the tape {self.path} cannot be written", why=str(error)) from error
        except BaseException:
            self._cut()
            raise
        if head:
            self._begin(len(head))
        self._note(key, len(line))

    def _sync(self) -> None:
        """Have the disk keep what was written, once in a while."""
        self._unsynced += 1
        if self._unsynced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._unsynced = 0

    def _cut(self) -> None:
        """Take back what was written of an entry, so that the next one does not follow half a line."""
        os.ftruncate(self._descriptor, self._end)

    def _begin(self, length: int) -> None:
        """Take note of the head of a sitting at the end."""
        self._sitting += 1
        self._announced = True
        self._end += length

    def _note(self, key: str, length: int) -> None:
        """Take note of an entry at the end."""
        name = bytes.fromhex(key)
        place = _Place(self._sitting, self._end, length)
        before = self._places.get(name, ())
        self._places[name] = (*before, place) if before and before[-1].sitting == self._sitting else (place,)
        self._end += length

    def _hidden(self, text: bytes) -> bytes:
        for scrub in self._scrubs:
            text = scrub(text)
        return text

    def _hidden_text(self, text: str) -> str:
        return self._hidden(text.encode()).decode("utf-8", "replace") if self._scrubs else text

    def _clean(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Fault):
            texts = {name: self._hidden_text(getattr(outcome, name)) for name in ("what", "why", "fix")}
            return msgspec.structs.replace(outcome, **texts)
        return self._hidden(outcome)

    # ------------------------------------------------------------ opening

    def _take_up(self, write: bool) -> None:
        """Take up what is there. Nothing is written before all of it is known to be a tape."""
        try:
            if write:
                self._claim()
            self._scan()
            self._announced = False
            if write:
                os.ftruncate(self._descriptor, self._end)
            if write and self._end == 0:
                _write(self._descriptor, _HEAD)
                self._begin(len(_HEAD))
            self._writable = write
        except OSError as error:
            raise ArtefactError(f"the tape {self.path} cannot be opened", why=str(error)) from error

    def _claim(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArtefactError(
                f"the tape {self.path} is being recorded onto already",
                fix="wait until that has finished, or record onto another file",
            ) from error

    def _scan(self) -> None:
        """Take note of all entries, up to a line that was not finished."""
        with open(self._descriptor, "rb", closefd=False) as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    if number == 1 and not _HEAD.startswith(line):
                        raise _no_tape(self.path, "its first line does not name the schema")
                    return
                if number == 1 or _is_head(line):
                    _check_head(line, self.path, number)
                    self._begin(len(line))
                else:
                    entry = self._decoded(line, f"line {number}")
                    if not _fits(entry):
                        raise _damaged(self.path, f"line {number}", "its key does not fit its request")
                    self._note(entry.key, len(line))


def _write(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]


def _is_head(line: bytes) -> bool:
    return line.startswith(b'{"schema"')


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except _NOT_JSON:
        return False
    return True


def _fits(entry: Entry) -> bool:
    """Return whether a key is that of the request, which a program may have spaced or ordered anew."""
    if entry.key == request_key(entry.url, entry.method, entry.path, entry.label, bytes(entry.request)):
        return True
    try:
        request = _encode(msgspec.json.decode(entry.request))
    except _NOT_JSON:
        return False
    return entry.key == request_key(entry.url, entry.method, entry.path, entry.label, request)


def _check_head(line: bytes, path: Path, number: int) -> None:
    try:
        schema = _decode_head(line).schema
    except _NOT_JSON as error:
        if number > 1:
            raise _damaged(path, f"line {number}", str(error)) from error
        raise _no_tape(path, f"its first line does not name the schema: {error}") from error
    if schema != SCHEMA:
        raise _no_tape(path, f"line {number} names the schema {schema[:80]!r}")


def _no_tape(path: Path, why: str) -> ArtefactError:
    return ArtefactError(
        f"{path} is no tape of this version",
        why=why,
        fix=f'a tape begins with {{"schema": "{SCHEMA}"}}; name another file',
    )


def _damaged(path: Path, where: str, why: str) -> ArtefactError:
    return ArtefactError(
        f"the tape {path} is damaged, {where}",
        why=why,
        fix="get it once more from where it came, or delete it and record anew; only answers may be edited",
    )
