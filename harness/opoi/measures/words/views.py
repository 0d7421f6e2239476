"""What of a trace is compared with the base arm: words, pairs of words, pairs of tool calls.

A view reads sequences of tokens from a trace, and takes runs of one or two neighbours of a sequence as its
units. Pairs never reach over the end of a sequence. All views are measured by one mechanism
(`opoi.measures.words.divergence`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from opoi.measures.text import words
from opoi.provenance.texts import rationale
from opoi.types import Cleaned

__all__ = ["CALL_PAIRS", "WORDS", "WORD_PAIRS", "Ints", "View", "called", "flat", "spoken", "units"]

Ints = npt.NDArray[np.int64]

_BREAK = -1
_MARKS = ("<start>", "<end>")


class View(NamedTuple):
    """One way to look at traces.

    Attributes:
        name: Names its draws.
        source: The sequences of a trace that it reads: words of `spoken`, or names of `called`.
        order: Neighbours that make a unit, 1 or 2.
    """

    name: str
    source: Literal["words", "calls"]
    order: int


def spoken(cleaned: Cleaned) -> Iterator[list[str]]:
    """Yield the words of each passage of the rationale; case is folded, numbers are masked."""
    for _, text in rationale(cleaned.trace):
        yield words(text)


def called(cleaned: Cleaned) -> Iterator[list[str]]:
    """Yield the names of the tools that a trace called, in order, between two marks; nested calls are not."""
    names = [call.name for message in cleaned.trace.messages for call in message.tool_calls]
    yield [_MARKS[0], *names, _MARKS[1]]


WORDS = View("words", "words", 1)
WORD_PAIRS = View("word pairs", "words", 2)
CALL_PAIRS = View("call pairs", "calls", 2)


def flat(sequences: Iterable[Iterable[int]]) -> Ints:
    """Return sequences of token numbers as one array, with a negative number after each."""
    joined = [number for sequence in sequences for number in (*sequence, _BREAK)]
    return np.array(joined, dtype=np.int64)


def units(numbers: Ints, order: int) -> Ints:
    """Return the units of sequences that `flat` joined, in order.

    Args:
        numbers: Token numbers, each in [0, 2**31), and breaks.
        order: 1 for the tokens, 2 for pairs of neighbours (one number for each pair).
    """
    if order == 1:
        return numbers[numbers >= 0]
    first, second = numbers[:-1], numbers[1:]
    whole = (first >= 0) & (second >= 0)
    return np.asarray((first[whole] << 31) | second[whole], dtype=np.int64)
