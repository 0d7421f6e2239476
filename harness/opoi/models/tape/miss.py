"""Why a request is not on a tape: what changed since the nearest one that is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Any, AnyStr

import msgspec
from msgspec import Raw

from opoi.errors import OpoiError
from opoi.models.tape.entries import Request

__all__ = ["ReplayMissError", "explain"]

_MOST_LINES = 40
"""Most lines of a diff."""

_MOST_COMPARED = 200
"""Most lines of a field or message that are compared, from the first that differs."""

_MOST_WORDS = 6
"""Most changes that are named."""

_WIDTH = 100
"""Most characters of a line of the diff."""

_BEFORE = 30
"""Characters that are shown before the first that differs, in a line too long to be shown."""

_FIX = "undo the change, or record anew: opoi run with --record and a new FILE, pytest with --opoi-record=all"

Numbered = tuple[int, Request]
"""Number of the line on the tape, and the request."""


class ReplayMissError(OpoiError):
    """A request is not on the tape that is replayed. Nothing was sent.

    Args:
        what: Which tape.
        why: What changed since the nearest recorded request.
        fix: What to do.
        diff: Lines of a unified diff from that request to this one; safe for a terminal.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", diff: tuple[str, ...] = ()) -> None:
        super().__init__(what, why=why, fix=fix)
        self.diff = diff

    def __str__(self) -> str:
        first, *others = super().__str__().split("\n")
        fix = [line for line in others if line.startswith("  fix: ")]
        why = others[: len(others) - len(fix)]
        return "\n".join([first, *why, *(f"    {line}" for line in self.diff), *fix])


def explain(asked: Request, recorded: Iterable[Numbered], tape: Path) -> ReplayMissError:
    """Return the error for a request that is not among the recorded ones."""
    what = f"a request is not on the tape {tape}: {asked.method} {_shortened(asked.url + asked.path, 0)}"
    near = _nearest(asked, recorded)
    if near is None:
        return ReplayMissError(what, why="the tape holds no requests", fix=_FIX)
    number, old = near
    changes = _Changes(old, asked)
    words = changes.words[:_MOST_WORDS]
    if len(changes.words) > _MOST_WORDS:
        words.append(f"{len(changes.words) - _MOST_WORDS} more")
    diff = changes.lines[:_MOST_LINES]
    if len(changes.lines) > _MOST_LINES:
        diff[-1:] = [f"... {len(changes.lines) - _MOST_LINES + 1} lines more"]
    return ReplayMissError(
        what,
        why=f"against the nearest recorded request (line {number}) there changed: {', '.join(words)}",
        fix=_FIX,
        diff=tuple(diff),
    )


# ---------------------------------------------------------------- the nearest request


def _nearest(asked: Request, recorded: Iterable[Numbered]) -> Numbered | None:
    """Return the recorded request with the most text in common; place and label count as a quarter each."""
    best: Numbered | None = None
    most = -1.0
    ours = _parts(asked)
    for number, other in recorded:
        score = 4 * _alike(ours, _parts(other))
        score += (asked.url == other.url) + (asked.path == other.path) + (asked.label == other.label)
        score += asked.method == other.method
        if score > most:
            best, most = (number, other), score
    return best


_read_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_read_list = msgspec.json.Decoder(list[Raw]).decode


def _parts(request: Request) -> dict[str, bytes]:
    """Return the fields of a request as JSON, its messages one by one."""
    body = bytes(request.request)
    if not body.startswith(b"{"):
        return {"": body}
    parts = {name: bytes(raw) for name, raw in _read_fields(body).items()}
    if parts.get("messages", b"").startswith(b"["):
        messages = _read_list(parts.pop("messages"))
        parts.update({f"messages[{index}]": bytes(raw) for index, raw in enumerate(messages)})
    return parts


def _alike(ours: dict[str, bytes], theirs: dict[str, bytes]) -> float:
    """Return the share of text in common, 0 to 1: whole parts wherever they stand, else heads and tails."""
    present = set(theirs.values())
    common = 0
    for name, part in ours.items():
        other = theirs.get(name)
        if part == other or (part in present and name.startswith("messages[")):
            common += len(part)
        elif other is not None:
            head = _same(part, other)
            common += head + min(_same(part[::-1], other[::-1]), min(len(part), len(other)) - head)
    whole = max(sum(map(len, ours.values())), sum(map(len, theirs.values())))
    return common / whole if whole else 1.0


def _same(one: AnyStr, other: AnyStr) -> int:
    """Return how many bytes or characters are the same from the start on, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


# ---------------------------------------------------------------- what changed


class _Changes:
    """What changed between two requests.

    Attributes:
        words: The changes by name.
        lines: The changes as lines of a diff.
    """

    def __init__(self, old: Request, new: Request) -> None:
        self.words: list[str] = []
        self.lines: list[str] = []
        self._plain("the URL", old.url, new.url)
        self._plain("the method", old.method, new.method)
        self._plain("the path", old.path, new.path)
        self._plain("the label", old.label, new.label)
        before, after = json.loads(bytes(old.request)), json.loads(bytes(new.request))
        if isinstance(before, dict) and isinstance(after, dict):
            self._fields(before, after)
        elif not _equal(before, after):
            self._block("the body", before, after)

    def _plain(self, name: str, old: str, new: str) -> None:
        if old != new:
            self.words.append(name)
            self.lines += [f"@ {name}", *_paired([old], [new])]

    def _fields(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        for name in sorted(old.keys() | new.keys(), key=lambda name: (name == "messages", name)):
            if name in old and name in new and _equal(old[name], new[name]):
                continue
            if _are_messages(old.get(name)) and _are_messages(new.get(name)) and name == "messages":
                self._messages(old[name], new[name])
            elif name not in old:
                self._block(f"`{_shortened(name, 0)}` is new", None, new[name], pick=1)
            elif name not in new:
                self._block(f"`{_shortened(name, 0)}` is gone", old[name], None, pick=-1)
            else:
                self._block(f"`{_shortened(name, 0)}`", old[name], new[name])

    def _messages(self, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
        for i, j in _aligned([*map(_canonical, old)], [*map(_canonical, new)]):
            if i is None and j is not None:
                name = f"message {j + 1} of {len(new)} ({_role(new[j])}) is new"
                self._block(name, None, new[j], pick=1)
            elif j is None and i is not None:
                name = f"message {i + 1} of {len(old)} ({_role(old[i])}) is gone"
                self._block(name, old[i], None, pick=-1)
            elif i is not None and j is not None:
                self._block(f"message {j + 1} of {len(new)} ({_role(new[j])})", old[i], new[j])

    def _block(self, name: str, old: object, new: object, *, pick: int = 0) -> None:
        """Add one change; `pick` is 1 where only the new value exists, -1 where only the old one does."""
        self.words.append(name)
        removed = [] if pick > 0 else _pretty(old)
        added = [] if pick < 0 else _pretty(new)
        self.lines += [f"@ {name}", *_hunks(removed, added)]


def _aligned(old: list[str], new: list[str]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the places of what differs, in pairs: equal heads and tails first, then the longest runs."""
    head = next(
        (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from zip_longest(range(head + i1, head + i2), range(head + j1, head + j2))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _equal(one: object, other: object) -> bool:
    """Compare as JSON: 1, 1.0 and true differ."""
    return _canonical(one) == _canonical(other)


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(message, dict) for message in value)


def _role(message: dict[str, Any]) -> str:
    return _shortened(str(message.get("role", "no role")), 0)


def _pretty(value: object) -> list[str]:
    """Return JSON in lines; strings go on to a new line where they break."""
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    return text.replace("\\n", "\\n\n").split("\n")


def _hunks(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield what differs, with one line around it."""
    end = min(len(old), len(new))
    skip = max(next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), end) - 1, 0)
    old, new = old[skip : skip + _MOST_COMPARED], new[skip : skip + _MOST_COMPARED]
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(1):
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f"  {_shortened(line, 0)}" for line in old[i1:i2])
            else:
                yield from _paired(old[i1:i2], new[j1:j2])


def _paired(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield removed and added lines in pairs, each shown around the first character that differs."""
    for before, after in zip_longest(old, new):
        at = 0 if before is None or after is None else _same(before, after)
        if before is not None:
            yield f"- {_shortened(before, at)}"
        if after is not None:
            yield f"+ {_shortened(after, at)}"


def _shortened(line: str, at: int) -> str:
    """Return a line that fits, around a position."""
    if len(line) > _WIDTH:
        start = max(min(at - _BEFORE, len(line) - _WIDTH), 0)
        end = start + _WIDTH
        line = ("..." if start else "") + line[start:end] + ("..." if end < len(line) else "")
    return _visible(line)


def _visible(text: str) -> str:
    r"""Return a text on one line that cannot steer a terminal: what does not print becomes `\u....`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
