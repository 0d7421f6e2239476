"""What tells two sets of documents apart: words and characters as points, and a logistic regression on them.

Texts become TF-IDF of words (1 and 2 in a row) and of characters (3 to 5 in a row, within words). The
regression is solved in its dual, for many labellings of the same rows at once, with Boehning's bound on the
Hessian in the place of the Hessian (Boehning and Lindsay 1988): one matrix is inverted for all of them. It is
the regression that scikit-learn's liblinear solves (a test holds both together).

Needs scikit-learn: `pip install 'opoi[classifier]'`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from opoi.cleaning.residue import nonces_of
from opoi.errors import UsageError
from opoi.folding import fold
from opoi.intervals import Floats, rounded
from opoi.passages import passages
from opoi.types import Trace

__all__ = [
    "DIGITS",
    "NUMBER",
    "Document",
    "Space",
    "Telling",
    "chunks",
    "document",
    "grams",
    "solve",
    "telling",
]

NUMBER = "0"
"""What stands for every number, id, date and mark."""

STRENGTH = 1.0
"""Inverse of the regularisation: the `C` of scikit-learn, at its default."""

DIGITS = 4
"""Digits after the point up to which scores are told apart: those that a solution has for certain."""

Document = Sequence[tuple[str, ...]]
"""Runs of words with nothing but blanks between them."""

_SIGN = r"[^\s.,;:!?()\[\]{}\"<>|=+*/\\#&~^`]"
_WORD = re.compile(rf"{_SIGN}+(?:[.,:/-]+{_SIGN}+)*")
_BLANK = re.compile(r"\s*")
_EDGES = "'_-\u2026%$\u20ac\u00a3"
_TOLERANCE = 1e-6
_MOST_STEPS = 2_000


# ---------------------------------------------------------------- texts, words


def _texts_of(trace: Trace, prose: Sequence[str], *, raw: bool = False) -> Iterator[str]:
    marks = [re.compile(re.escape(mark), re.IGNORECASE) for mark in nonces_of(trace)]
    for passage in passages(trace.messages, prose):
        if raw or not (passage.kind == "name" or passage.field.endswith("#key")):
            text = fold(passage.text).text
            for mark in marks:
                text = mark.sub(NUMBER, text)
            yield text


def chunks(text: str, *, raw: bool = False) -> Iterator[tuple[str, ...]]:
    """Yield the words of a text, in lower case, in runs with nothing but blanks between them.

    Args:
        text: Folded; see `opoi.folding`.
        raw: Keep words with digits; else each is `NUMBER`.

    >>> list(chunks("As agreed, CPA of c2 rose 12.5 %: don't scale."))
    [('as', 'agreed'), ('cpa', 'of', '0', 'rose', '0'), ("don't", 'scale')]
    """
    run: list[str] = []
    last = 0
    for match in _WORD.finditer(text):
        word = match[0].strip(_EDGES)
        number = any(map(str.isdigit, word))
        apart = not _BLANK.fullmatch(text, last, match.start()) or not (number or match[0].startswith(word))
        if run and (apart or not word):
            yield tuple(run)
            run = []
        last = match.end() if number or match[0].endswith(word) else match.start()
        if word:
            run.append(NUMBER if number and not raw else word.lower())
    if run:
        yield tuple(run)


def grams(words: Sequence[str], longest: int) -> Iterator[tuple[str, ...]]:
    """Yield every run of 1 to `longest` words."""
    for length in range(1, longest + 1):
        for start in range(len(words) - length + 1):
            yield tuple(words[start : start + length])


@lru_cache(maxsize=1 << 15)
def _signs(word: str) -> tuple[str, ...]:
    """Return the runs of 3 to 5 characters of a word and the blanks around it."""
    padded = f" {word} "
    return tuple(
        padded[start : start + length] for length in (3, 4, 5) for start in range(len(padded) - length + 1)
    )


def document(trace: Trace, prose: Sequence[str], *, raw: bool = False) -> Document:
    """Return the words of a trace that a model wrote, those of sub-agents too.

    Args:
        trace: The trace.
        prose: Keys of a decision object that hold prose.
        raw: With numbers, the keys of JSON objects and the names of tools.
    """
    return [run for text in _texts_of(trace, prose, raw=raw) for run in chunks(text, raw=raw)]


def _word_features(document: Document) -> list[str]:
    return [" ".join(gram) for run in document for gram in grams(run, 2)]


def _sign_features(document: Document) -> list[str]:
    return [signs for run in document for word in run for signs in _signs(word)]


# ---------------------------------------------------------------- points


class Space:
    """TF-IDF of words and of characters, each of length 1 in a row; what one row alone has is left out.

    Args:
        documents: Runs of words, at least one document.

    Raises:
        UsageError: scikit-learn is not installed.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        learn = _learn()
        parts: list[tuple[Any, Any, str]] = []
        for features, mark in ((_word_features, ""), (_sign_features, "characters ")):
            if _shared(documents, features):
                maker = learn.TfidfVectorizer(analyzer=features, min_df=2, sublinear_tf=True)
                parts.append((maker, maker.fit_transform(documents), mark))
        self._parts = parts
        self._size = len(documents)

    def kernel(self) -> Floats:
        """Return the products of all rows, each with a constant 1 (the intercept), shape `(rows, rows)`."""
        total = np.ones((self._size, self._size))
        for _, matrix, _ in self._parts:
            total += (matrix @ matrix.T).toarray()
        return total

    def weights(self, dual: Floats) -> list[tuple[str, float, bool]]:
        """Return name, weight and whether it is words of every feature.

        Args:
            dual: Of each row, shape `(rows,)`.
        """
        found = []
        for maker, matrix, mark in self._parts:
            values = np.asarray(matrix.T @ dual, dtype=np.float64)
            names = maker.get_feature_names_out()
            found += [
                (f"{mark}{name!r}" if mark else str(name), rounded(float(value), 9), not mark)
                for name, value in zip(names, values, strict=True)
            ]
        return found

    def rows_with(self, words: str) -> npt.NDArray[np.intp]:
        """Return the rows that have a feature of words, empty where no row is known to."""
        for maker, matrix, mark in self._parts:
            if not mark and words in maker.vocabulary_:
                return np.flatnonzero(np.asarray(matrix[:, [maker.vocabulary_[words]]].todense()))
        return np.zeros(0, dtype=np.intp)

    def scores(self, documents: Sequence[Document], dual: Floats) -> list[float]:
        """Return what a regression says of other documents; words it does not know count for nothing.

        Args:
            documents: Any.
            dual: Of each row of this space, shape `(rows,)`.
        """
        total = np.zeros(len(documents))
        for maker, matrix, _ in self._parts if documents else ():
            total += maker.transform(documents) @ np.asarray(matrix.T @ dual)
        return [rounded(round(float(value), DIGITS), 9) for value in total]


def _shared(documents: Sequence[Document], features: Callable[[Document], list[str]]) -> bool:
    """Return whether two documents have a feature in common: without one there is no space."""
    seen: set[str] = set()
    for document in documents:
        mine = set(features(document))
        if not mine.isdisjoint(seen):
            return True
        seen |= mine
    return False


def _learn() -> ModuleType:
    try:
        from sklearn.feature_extraction import text  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise UsageError(
            "the two-sample classifier needs scikit-learn",
            why=str(error),
            fix="pip install 'opoi[classifier]'",
        ) from error
    found: ModuleType = text
    return found


# ---------------------------------------------------------------- the regression


def solve(kernel: Floats, labels: npt.NDArray[np.bool_]) -> Floats:
    """Return the dual of L2-regularised logistic regressions on the same rows.

    Args:
        kernel: Products of the rows, shape `(rows, rows)`.
        labels: One labelling a column, shape `(rows, columns)`.

    Returns:
        Shape `(rows, columns)`: the weights are `rows.T @ dual`, scores `kernel @ dual`.
    """
    inverse = np.linalg.inv(np.eye(len(kernel)) + STRENGTH / 4 * kernel)
    wanted = labels.astype(np.float64)
    dual = np.zeros_like(wanted)
    scores = np.zeros_like(wanted)
    open_ = np.arange(wanted.shape[1])
    for _ in range(_MOST_STEPS):
        residual = STRENGTH * (wanted[:, open_] - _sigmoid(scores[:, open_])) - dual[:, open_]
        step = inverse @ residual
        dual[:, open_] += step
        moved = kernel @ step
        scores[:, open_] += moved
        open_ = open_[np.abs(moved).max(axis=0) > _TOLERANCE]
        if not open_.size:
            break
    return dual


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(values / 2)), dtype=np.float64)


# ---------------------------------------------------------------- for those who look for rules


class Telling(NamedTuple):
    """What tells two sets of documents apart.

    Attributes:
        words: Runs of one or two words with a weight above 0, the largest first.
        score: What the regression says of phrases, characters included; above 0 for the first set.
        tried: Runs of one or two words that were looked at.
    """

    words: tuple[tuple[tuple[str, ...], float], ...]
    score: Callable[[Sequence[Sequence[str]]], list[float]]
    tried: int


def telling(first: Sequence[Document], second: Sequence[Document]) -> Telling:
    """Return what tells two sets of documents apart, by a regression on all of them.

    Args:
        first: Documents as runs of words, at least one.
        second: The same.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    space = Space([*first, *second])
    labels = np.arange(len(first) + len(second)) < len(first)
    dual = solve(space.kernel(), labels[:, None])[:, 0]
    words = [
        (tuple(name.split(" ")), round(weight, DIGITS))
        for name, weight, is_words in space.weights(dual)
        if is_words
    ]
    ranked = sorted((one for one in words if one[1] > 0), key=lambda one: (-one[1], one[0]))

    def score(phrases: Sequence[Sequence[str]]) -> list[float]:
        return space.scores([[tuple(each)] for each in phrases], dual)

    return Telling(tuple(ranked), score, len(words))
