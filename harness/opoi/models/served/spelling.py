"""How tokens are spelled: a probability for every token there can be, seen before or not.

A token is a word or a number of ASCII characters, with or without a space before it, or any single byte.
A word is spelled byte by byte along a tree; at each node the probabilities of all bytes that may follow and
of ending there sum to one, and no token is longer than the tree is deep, so those of all tokens do too.
"""

from __future__ import annotations

import heapq
import re
from functools import lru_cache

__all__ = ["LONGEST_NUMBER", "LONGEST_WORD", "likeliest", "spelled", "steps", "tokens"]

LONGEST_WORD = 16
"""Most letters of one token; longer words fall into several."""

LONGEST_NUMBER = 3
"""Most digits of one token."""

_split = re.compile(rb" ?[A-Za-z]{1,%d}| ?[0-9]{1,%d}|." % (LONGEST_WORD, LONGEST_NUMBER), re.DOTALL).findall

_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_COMMONNESS = (
    82,
    15,
    28,
    43,
    127,
    22,
    20,
    61,
    70,
    2,
    8,
    40,
    24,
    67,
    75,
    19,
    1,
    60,
    63,
    91,
    28,
    10,
    24,
    2,
    20,
    1,
)
"""How often each letter is met in English text, in thousandths, rounded."""

_DIGITS = b"0123456789"


def tokens(text: str) -> list[bytes]:
    """Return the tokens of a text; joined they are its UTF-8 bytes.

    Each byte of a non-ASCII character is a token of its own. The split goes from left to right and never
    looks ahead, so the tokens of a text that is cut between two tokens are the first tokens of the whole.

    Args:
        text: Any text without halves of surrogate pairs.
    """
    return _split(text.encode())


@lru_cache(maxsize=1 << 16)
def spelled(token: bytes) -> float:
    """Return the probability in (0, 1) that a token is spelled like this.

    Raises:
        ValueError: There is no such token.
    """
    probability = 1.0
    for length in range(len(token) + 1):
        following = steps(token[:length])
        step = following.get(token[length] if length < len(token) else None)
        if step is None:
            raise ValueError(f"{token!r} is not a token")
        probability *= step
    return probability


@lru_cache(maxsize=32)
def likeliest(count: int) -> tuple[bytes, ...]:
    """Return the `count` most probable spellings, the first first; of equals the smaller first."""
    found: list[bytes] = []
    heap: list[tuple[float, bytes, bool]] = [(-1.0, b"", False)]
    while len(found) < count:  # what a prefix can become is never likelier than the prefix
        weight, token, ended = heapq.heappop(heap)
        if ended:
            found.append(token)
            continue
        for byte, step in steps(token).items():
            grown = token if byte is None else token + bytes([byte])
            heapq.heappush(heap, (weight * step, grown, byte is None))
    return tuple(found)


# ---------------------------------------------------------------- the tree

Step = dict[int | None, float]
"""Probability of each byte that may follow, and under None of the token's end."""


def steps(begun: bytes) -> Step:
    """Return what may follow the first bytes of a token; the probabilities sum to one.

    Args:
        begun: The first bytes; empty for the choice of the first.
    """
    if not begun:
        return _table("first")
    if begun == b" ":
        return _table("space")
    length = len(begun) - begun.startswith(b" ")
    if begun[-1:].isalpha():
        return _table("word" if length < LONGEST_WORD else "end")
    if begun[-1:].isdigit():
        return _table("number" if length < LONGEST_NUMBER else "end")
    return _table("end")


@lru_cache(maxsize=8)
def _table(state: str) -> Step:
    """Return the steps of one state, scaled to sum to one. Weights are by judgement, not fitted."""
    if state == "end":
        return {None: 1.0}
    weights: Step = {}
    if state == "first":
        weights.update(dict.fromkeys(range(256), 0.05))
        weights.update(dict.fromkeys(range(33, 127), 0.4))
        weights.update(_letters(27, 8))
        weights.update(dict.fromkeys(_DIGITS, 0.8))
        weights.update({ord(" "): 45, ord("\n"): 4, ord(","): 3, ord("."): 3, ord('"'): 3})
    elif state == "space":
        weights.update({**_letters(70, 10), None: 10})
        weights.update(dict.fromkeys(_DIGITS, 1))
    elif state == "word":
        weights.update({**_letters(76, 4), None: 20})
    else:
        weights.update({None: 50})
        weights.update(dict.fromkeys(_DIGITS, 5))
    whole = sum(weights.values())
    return {byte: weight / whole for byte, weight in weights.items()}


def _letters(small: float, large: float) -> Step:
    """Share out weight among the letters."""
    whole = sum(_COMMONNESS)
    shares = [count / whole for count in _COMMONNESS]
    low: Step = {byte: small * share for byte, share in zip(_LETTERS, shares, strict=True)}
    return {**low, **{byte: large * share for byte, share in zip(_LETTERS.upper(), shares, strict=True)}}
