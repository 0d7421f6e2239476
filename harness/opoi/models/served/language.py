"""A small language model, so that what is served can be scored: counts, a memory of the text, and spelling.

It is no good at language. What matters is that its probabilities are real: they sum to one over all tokens
there can be, depend on the text before and on what was learned and on nothing else, and are the same whether
a text is generated, echoed or given.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Self

import numpy as np
import numpy.typing as npt

from opoi.models.served.spelling import likeliest, spelled, tokens
from opoi.types.base import Value

__all__ = ["LanguageModel", "TokenScore", "token_id"]

_UNSEEN = (20.0, 5.0, 1.0)
"""Pseudo-counts with which one, two and three learned tokens in a row lean on the shorter context."""

_RECALL = ((0.3, 100.0), (0.3, 2.0), (0.6, 1.0))
"""For one, two and three tokens of the text so far: largest weight, and evidence that gives half of it."""

_DIGITS = 6
"""Decimals of a log-probability: more would differ between platforms."""


class TokenScore(Value, frozen=True, kw_only=True):
    """One token of a scored text.

    Attributes:
        token: Its bytes; may be part of a character.
        id: Its number, in [0, 2**31): of a single byte its value, else from its spelling.
        logprob: Natural logarithm of its probability after the text before it, 6 decimals.
        rank: 1 + how many tokens come before it by probability, counted among those that were learned, stand
            in the text or are the likeliest spellings; 0 where `top` was 0.
        top: The most probable tokens at this place and their log-probabilities, the first first; of equally
            probable ones the smaller bytes come first.
    """

    token: bytes
    id: int
    logprob: float
    rank: int = 0
    top: tuple[tuple[bytes, float], ...] = ()


@lru_cache(maxsize=1 << 16)
def token_id(token: bytes) -> int:
    """Return the number of a token, in [0, 2**31); two words may share one, single bytes do not."""
    if len(token) == 1:
        return token[0]
    digest = int.from_bytes(blake2b(token, digest_size=8).digest(), "little")
    return 256 + digest % (2**31 - 256)


class LanguageModel:
    """A cache language model over words and bytes (Kuhn and De Mori 1990). Safe to use from several threads.

    The learned part is a trigram model in which each order is smoothed by the next shorter one with a fixed
    pseudo-count, and the shortest by a spelling model (`opoi.models.served.spelling`). The cache part is what
    Kuhn and De Mori add: relative frequencies of one, two and three tokens in the text so far, mixed in with
    weights that grow with the evidence. A mixture of distributions with weights that sum to one is one.

        >>> model = LanguageModel()
        >>> before = model.loss(["the gauge is open"])
        >>> model.learn("the gauge is open")
        >>> model.loss(["the gauge is open"]) < before
        True
    """

    def __init__(self) -> None:
        self._learned = _Counts()
        self._lock = threading.Lock()

    def copy(self) -> Self:
        """Return a model that has learned the same and learns on its own from here."""
        made = type(self)()
        with self._lock:
            made._learned.take(self._learned)
        return made

    def tokens(self, text: str) -> list[bytes]:
        """Return the tokens of a text, see `opoi.models.served.spelling.tokens`."""
        return tokens(text)

    def learn(self, text: str, *, passes: int = 1) -> None:
        """Count a text.

        Args:
            text: One text; what stood before it is not known.
            passes: How often it counts, at least 1.

        Raises:
            ValueError: `passes` is under 1.
        """
        if passes < 1:
            raise ValueError(f"a text is learned at least once, not {passes} times")
        with self._lock:
            self._learned.read(tokens(text), passes)

    def score(self, text: str, *, given: str = "", top: int = 0) -> list[TokenScore]:
        """Return the score of each token of a text.

        Where a token of `given + text` ends at the border, scores add up: those of `a + b` are those of `a`
        and those of `b` given `a`.

        Args:
            text: What is scored.
            given: The text before it.
            top: How many of the most probable tokens are told at each place.
        """
        before, after = tokens(given), tokens(text)
        seen = _Counts()
        seen.read(before)
        last = [b"", b"", *before[-2:]][-2:]
        with self._lock:
            ranking = _Ranking(self._learned, seen, after, top) if top else None
            return [self._step(seen, last, token, ranking) for token in after]

    def loss(self, texts: Iterable[str]) -> float:
        """Return the mean negative log-likelihood in nats per token of texts on their own; 0 for no token."""
        scores = [score.logprob for text in texts for score in self.score(text)]
        return -math.fsum(scores) / len(scores) if scores else 0.0

    def _step(self, seen: _Counts, last: list[bytes], token: bytes, ranking: _Ranking | None) -> TokenScore:
        """Score one token and take it into the text so far."""
        logprob = _log(seen.recalled(self._learned.predicted(spelled(token), last, token), last, token))
        if ranking is None:
            score = TokenScore(token=token, id=token_id(token), logprob=logprob)
        else:
            rank, best = ranking.at(last, token)
            score = TokenScore(token=token, id=token_id(token), logprob=logprob, rank=rank, top=best)
            ranking.note(token)
        seen.add(last[0], last[1], token)
        last[:] = [last[1], token]
        return score


def _log(probability: float) -> float:
    return round(math.log(probability), _DIGITS)


# ---------------------------------------------------------------- counts

_Followers = dict[bytes, int]
_NONE: tuple[_Followers, int] = ({}, 0)


class _Counts:
    """How often one, two and three tokens were met in a row."""

    __slots__ = ("after_one", "after_two", "alone", "of_one", "of_two", "size")

    def __init__(self) -> None:
        self.size = 0
        self.alone: _Followers = {}
        self.after_one: dict[bytes, _Followers] = {}
        self.after_two: dict[tuple[bytes, bytes], _Followers] = {}
        self.of_one: dict[bytes, int] = {}
        self.of_two: dict[tuple[bytes, bytes], int] = {}

    def add(self, first: bytes, second: bytes, token: bytes, times: int = 1) -> None:
        """Count a token and the two before it."""
        self.size += times
        self.alone[token] = self.alone.get(token, 0) + times
        followers = self.after_one.setdefault(second, {})
        followers[token] = followers.get(token, 0) + times
        self.of_one[second] = self.of_one.get(second, 0) + times
        pair = (first, second)
        followers = self.after_two.setdefault(pair, {})
        followers[token] = followers.get(token, 0) + times
        self.of_two[pair] = self.of_two.get(pair, 0) + times

    def read(self, text: Sequence[bytes], times: int = 1) -> None:
        """Count all tokens of a text."""
        first = second = b""
        for token in text:
            self.add(first, second, token, times)
            first, second = second, token

    def take(self, other: _Counts) -> None:
        """Become a copy."""
        self.size = other.size
        self.alone = dict(other.alone)
        self.after_one = {key: dict(value) for key, value in other.after_one.items()}
        self.after_two = {key: dict(value) for key, value in other.after_two.items()}
        self.of_one = dict(other.of_one)
        self.of_two = dict(other.of_two)

    def orders(self, last: Sequence[bytes]) -> tuple[tuple[_Followers, int], ...]:
        """Return what followed no, one and two tokens of context, each with its sum."""
        one, two = last[1], (last[0], last[1])
        return (
            (self.alone, self.size),
            (self.after_one[one], self.of_one[one]) if one in self.of_one else _NONE,
            (self.after_two[two], self.of_two[two]) if two in self.of_two else _NONE,
        )

    def predicted(self, spelling: float, last: Sequence[bytes], token: bytes) -> float:
        """Return a token's probability by what was learned, smoothed from long contexts to spelling."""
        probability = spelling
        for (followers, whole), unseen in zip(self.orders(last), _UNSEEN, strict=True):
            if whole:
                probability = (unseen * probability + followers.get(token, 0)) / (whole + unseen)
        return probability

    def recalled(self, learned: float, last: Sequence[bytes], token: bytes) -> float:
        """Return a token's probability with the text so far mixed in."""
        probability = learned
        for (followers, whole), recall in zip(self.orders(last), _RECALL, strict=True):
            if whole:
                weight = _weight(recall, whole)
                probability = (1 - weight) * probability + weight * (followers.get(token, 0) / whole)
        return probability


def _weight(recall: tuple[float, float], evidence: int) -> float:
    return recall[0] * evidence / (evidence + recall[1])


# ---------------------------------------------------------------- the most probable tokens


class _Ranking:
    """The same probabilities as `_Counts` gives, of all tokens that can be among the first, at once.

    Outside what was learned or stands in the text, probabilities are proportional to those of spelling: so
    many of the likeliest spellings as are asked for stand for all others.
    """

    def __init__(self, learned: _Counts, seen: _Counts, text: Sequence[bytes], top: int) -> None:
        known = {**learned.alone, **seen.alone, **dict.fromkeys(text, 0)}
        others = [token for token in likeliest(_enough(len(known) + top)) if token not in known]
        self._tokens = [*known, *others[:top]]
        self._place = {token: place for place, token in enumerate(self._tokens)}
        self._learned, self._seen, self._top = learned, seen, min(top, len(self._tokens))
        spelling = np.array([spelled(token) for token in self._tokens])
        if learned.size:
            spelling = (_UNSEEN[0] * spelling + self._counts(learned.alone)) / (learned.size + _UNSEEN[0])
        self._base: npt.NDArray[np.float64] = spelling
        self._alone = self._counts(seen.alone)

    def note(self, token: bytes) -> None:
        """Take note that a token was added to the text."""
        self._alone[self._place[token]] += 1

    def at(self, last: Sequence[bytes], token: bytes) -> tuple[int, tuple[tuple[bytes, float], ...]]:
        """Return the rank of a token after the text so far, and the first `top` tokens."""
        chances = self._chances(last)
        own = chances[self._place[token]]
        equals = [self._tokens[place] for place in np.flatnonzero(chances == own)]
        rank = 1 + int(np.count_nonzero(chances > own)) + sum(other < token for other in equals)
        least = np.partition(chances, -self._top)[-self._top]
        first = [(float(chances[place]), self._tokens[place]) for place in np.flatnonzero(chances >= least)]
        first.sort(key=lambda pair: (-pair[0], pair[1]))
        return rank, tuple((token, _log(chance)) for chance, token in first[: self._top])

    def _chances(self, last: Sequence[bytes]) -> npt.NDArray[np.float64]:
        """Compute as `_Counts.predicted` and `_Counts.recalled` do, in the same order of operations."""
        chances = self._base
        for (followers, whole), unseen in zip(self._learned.orders(last)[1:], _UNSEEN[1:], strict=True):
            if whole:
                chances = unseen * chances
                self._add(chances, followers, 1, 1.0)
                chances /= whole + unseen
        if self._seen.size:
            weight = _weight(_RECALL[0], self._seen.size)
            chances = (1 - weight) * chances + weight * (self._alone / self._seen.size)
        for (followers, whole), recall in zip(self._seen.orders(last)[1:], _RECALL[1:], strict=True):
            if whole:
                weight = _weight(recall, whole)
                chances = (1 - weight) * chances
                self._add(chances, followers, whole, weight)
        return chances

    def _add(
        self, chances: npt.NDArray[np.float64], followers: _Followers, whole: int, weight: float
    ) -> None:
        places = [self._place[token] for token in followers]
        chances[places] += weight * (np.array(list(followers.values()), dtype=float) / whole)

    def _counts(self, counts: _Followers) -> npt.NDArray[np.float64]:
        return np.array([counts.get(token, 0) for token in self._tokens], dtype=float)


def _enough(count: int) -> int:
    """Return a power of two that is at least `count`: few different lists are worked out."""
    return 1 << max(6, (count - 1).bit_length())
