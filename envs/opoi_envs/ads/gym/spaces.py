"""Texts of bounded length as a space that also works where environments run in processes of their own.

`gymnasium.spaces.Text` does not: with `AsyncVectorEnv(..., shared_memory=True)`, the default, it is read
from the shared memory once, before the first reset, and every observation is that same text of padding
(Gymnasium 1.0 to 1.4). `AsciiText` hands out a view of the memory instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.sharedctypes import SynchronizedArray
from types import ModuleType
from typing import Any, overload

from opoi_envs.ads.gym.missing import missing

try:
    from gymnasium.spaces import Text
    from gymnasium.vector.utils import (
        create_shared_memory,
        read_from_shared_memory,
        write_to_shared_memory,
    )
except ImportError as error:
    raise missing("the Gymnasium environment", error) from error

__all__ = ["CHARACTERS", "AsciiText", "fitting"]

CHARACTERS = "".join(map(chr, range(0x20, 0x7F))) + "\n"
"""What texts are made of: printable ASCII and the line feed."""

_NONE_LEFT = dict.fromkeys(map(ord, CHARACTERS))
_HEAD = 4


class AsciiText(Text):
    """Texts of 0 to `max_length` characters out of `CHARACTERS`."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length, min_length=0, charset=CHARACTERS)

    def contains(self, x: object) -> bool:
        """Whether a value is such a text."""
        return isinstance(x, str) and len(x) <= self.max_length and not x.translate(_NONE_LEFT)

    def __repr__(self) -> str:
        return f"AsciiText({self.max_length})"


def fitting(text: str) -> str:
    r"""Return a text with every other character written as JSON escapes it, e.g. `\\u00e9`.

    In JSON such characters stand inside strings only, so it still says the same.
    """
    if not text.translate(_NONE_LEFT):
        return text
    return "".join(each if each in CHARACTERS else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


# ---------------------------------------------------------------- shared memory


class _Shared(Sequence[str]):
    """The texts of all environments as they stand in the shared memory at the moment of reading.

    A deep copy (what a vector environment hands out by default) is a plain tuple.
    """

    def __init__(self, space: AsciiText, memory: SynchronizedArray[int], count: int) -> None:
        self._bytes = memoryview(memory.get_obj()).cast("B")
        self._size = _HEAD + space.max_length
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        start = range(self._count)[index] * self._size + _HEAD
        length = int.from_bytes(self._bytes[start - _HEAD : start], "little")
        return bytes(self._bytes[start : start + length]).decode("ascii")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # what it holds changes

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)


@create_shared_memory.register(AsciiText)
def _create(space: AsciiText, n: int, ctx: ModuleType) -> SynchronizedArray[int]:
    array: SynchronizedArray[int] = ctx.Array("B", n * (_HEAD + space.max_length))
    return array


@read_from_shared_memory.register(AsciiText)
def _read(space: AsciiText, shared_memory: SynchronizedArray[int], n: int) -> _Shared:
    return _Shared(space, shared_memory, n)


@write_to_shared_memory.register(AsciiText)
def _write(space: AsciiText, index: int, value: str, shared_memory: SynchronizedArray[int]) -> None:
    start = index * (_HEAD + space.max_length)
    text = value.encode("ascii")
    target = memoryview(shared_memory.get_obj()).cast("B")
    target[start : start + _HEAD + len(text)] = len(text).to_bytes(_HEAD, "little") + text
