"""Random numbers that depend on a seed and a path of names, and on nothing else.

A draw is `blake2b(seed, path)`, bulk draws are `shake_128(seed, path)`: both are fixed by their
standards (RFC 7693, FIPS 202), so the numbers are the same for every Python, numpy, platform,
thread, order of calls and `PYTHONHASHSEED`.

    >>> stream = Stream(7, "demo")
    >>> stream.below(100, "dice", 1) == Stream(7, "demo").below(100, "dice", 1)
    True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b, shake_128
from typing import TypeVar

__all__ = ["Part", "Stream"]

Part = str | int
T = TypeVar("T")


def _encode(path: tuple[Part, ...]) -> bytes:
    """Encode a path so that no two different paths give the same bytes."""
    return b"".join(map(_encoded, path))


@lru_cache(maxsize=1 << 14, typed=True)
def _encoded(part: Part) -> bytes:
    text = str(part).encode()
    return b"%c%d:%b" % (b"i"[0] if isinstance(part, int) else b"s"[0], len(text), text)


class Stream:
    """All random draws below one (seed, path).

    A stream has no state: the same call gives the same value however often and in whatever order it
    is made. Different draws need different names.

    Args:
        seed: Any integer.
        *path: Names and numbers that say what the draws are for.
    """

    __slots__ = ("_hash", "path", "seed")

    def __init__(self, seed: int, *path: Part) -> None:
        self.seed = seed
        self.path = path
        self._hash = blake2b(_encode((seed, *path)), digest_size=8)

    def __repr__(self) -> str:
        return f"Stream{(self.seed, *self.path)!r}"

    def at(self, *path: Part) -> Stream:
        """Return the stream below this one."""
        return Stream(self.seed, *self.path, *path)

    def bits(self, *path: Part) -> int:
        """Return 64 random bits as an integer in [0, 2**64)."""
        state = self._hash.copy()
        state.update(_encode(path))
        return int.from_bytes(state.digest(), "little")

    def seed31(self, *path: Part) -> int:
        """Return an integer in [0, 2**31): fits the `seed` field of every chat-completions server."""
        return self.bits(*path) >> 33

    def uniform(self, *path: Part) -> float:
        """Return a float in [0, 1), a multiple of 2**-53."""
        return (self.bits(*path) >> 11) * 2.0**-53

    def chance(self, probability: float, *path: Part) -> bool:
        """Return True with the given probability (0 never, 1 always)."""
        return self.uniform(*path) < probability

    def below(self, count: int, *path: Part) -> int:
        """Return an integer in [0, count); the bias is under count / 2**64."""
        return (self.bits(*path) * count) >> 64

    def between(self, low: float, high: float, *path: Part) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * self.uniform(*path)

    def choice(self, items: Sequence[T], *path: Part) -> T:
        """Return one item, each with the same probability."""
        return items[self.below(len(items), *path)]

    def weighted(self, weights: Mapping[T, float], *path: Part) -> T:
        """Return a key with probability proportional to its weight (in the mapping's order)."""
        point = self.uniform(*path) * sum(weights.values())
        for key, weight in weights.items():
            point -= weight
            if point < 0:
                return key
        return list(weights)[-1]

    def shuffled(self, items: Sequence[T], *path: Part) -> list[T]:
        """Return the items in a random order, each order with (nearly) the same probability."""
        keys = [self.bits(*path, index) for index in range(len(items))]
        return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]

    def raw(self, count: int, *path: Part) -> bytes:
        """Return `8 * count` random bytes: `count` little-endian 64-bit words for bulk use."""
        return shake_128(_encode((self.seed, *self.path, "raw", *path))).digest(8 * count)
