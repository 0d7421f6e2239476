"""L4, two-sample classifier: can a machine tell steered traces from unsteered ones by their words?

Traces are matched on scenario and action, so that neither what the case was nor what was decided gives them
away. A logistic regression on words and characters (`opoi.leakage.contrast`) is trained on four fifths of the
scenarios and scores the rest. What is reported is the area under the ROC curve: 0.5 where the sets cannot be
told apart. Its p comes from swapping the labels within pairs and doing everything again, training included:
scores of one fold rest on labels of the others, so that swapping the labels of fixed scores would find far
too much. The interval rests on the same labellings: scores of traces that share scenarios and training sets
say less than as many independent ones. It counts as many units as would spread areas as far from 0.5 as
swapped labels do, or as many as there are scenarios, whichever is fewer. The features with the largest
weights are what to write cleaning rules about. Methods specification 5.8, L4; Lopez-Paz and Oquab 2017.

Needs scikit-learn: `pip install 'opoi[classifier]'`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from opoi.errors import UsageError
from opoi.intervals import Floats, area_interval, rounded, wins
from opoi.leakage.contrast import DIGITS, Space, document, solve
from opoi.seeds import Stream
from opoi.types import Reading, Trace

__all__ = ["classifier", "matched"]

_TOP = 30


# ---------------------------------------------------------------- pairs


def matched(traces: Iterable[Trace], base: Iterable[Trace]) -> list[tuple[Trace, Trace]]:
    """Return pairs of a trace and an unsteered one of the same scenario with the same action.

    Each trace is in one pair at most; those without a decision are in none. Pairs are sorted by scenario.

    Args:
        traces: Steered ones.
        base: Unsteered ones.
    """
    pools = [_by_case(traces), _by_case(base)]
    return [
        pair
        for case in sorted(pools[0].keys() & pools[1].keys())
        for pair in zip(pools[0][case], pools[1][case], strict=False)
    ]


def _by_case(traces: Iterable[Trace]) -> dict[tuple[str, str], list[Trace]]:
    pools: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        if trace.decision.valid and trace.decision.action:
            pools.setdefault((trace.scenario_id, trace.decision.action), []).append(trace)
    return {case: sorted(pool, key=lambda trace: (trace.run, trace.id)) for case, pool in pools.items()}


# ---------------------------------------------------------------- the figure


def classifier(
    traces: Iterable[Trace],
    base: Iterable[Trace],
    *,
    prose: Sequence[str] = ("reasoning",),
    raw: bool = False,
    folds: int = 5,
    permutations: int = 1_000,
    pairs: int = 500,
    seed: int = 0,
) -> Reading:
    """Return how well a classifier tells steered traces from unsteered ones, as an area under the ROC curve.

    Args:
        traces: Steered ones, as they go into a data set.
        base: Unsteered ones of the same scenarios.
        prose: Keys of a decision object that hold prose.
        raw: Keep numbers, the keys of JSON objects and the names of tools.
        folds: Parts that the scenarios fall into; no scenario is in two.
        permutations: Labellings that p rests on, at least 1; p is never below `1 / (permutations + 1)`.
        pairs: Most pairs; more are thinned out by scenario.
        seed: Of folds and labellings.

    Raises:
        UsageError: scikit-learn is not installed, or a number does not fit.
    """
    if folds < 2 or permutations < 1 or pairs < 2:
        raise UsageError("the classifier needs 2 folds, 1 permutation and 2 pairs at least")
    name = "auc raw" if raw else "auc"
    stream = Stream(seed, "leakage", "classifier")
    every = matched(traces, base)
    couples = _thinned(every, pairs, stream)
    scenarios = list(dict.fromkeys(left.scenario_id for left, _ in couples))
    if len(scenarios) < 2:
        why = (
            "no pair of traces with the same scenario and action" if not couples else "pairs of one scenario"
        )
        return Reading(detector="classifier", name=name, value=None, null=0.5, n=len(couples), note=why)
    corpus = _Corpus(couples, prose, raw=raw)
    parts = _parts(couples, scenarios, min(folds, len(scenarios)), stream)
    areas = _areas(corpus, parts, stream, permutations)
    value, drawn = float(areas[0]), areas[1:]
    spread = math.sqrt(float(np.mean((drawn - 0.5) ** 2)))
    units = min(float(len(scenarios)), _units(spread))
    low, high = area_interval(value, units, units)
    return Reading(
        detector="classifier",
        name=name,
        value=rounded(value, 9),
        low=low,
        high=high,
        null=0.5,
        p=rounded((1 + int(np.count_nonzero(drawn >= value))) / (1 + len(drawn)), 9),
        n=len(couples),
        note=_note(len(couples), len(every), units, spread),
        details=tuple(_told(corpus)),
    )


def _units(spread: float) -> float:
    """Return of how many independent pairs of scores the area would spread so far, at least 1.

    The variance of an area of `n` and `n` scores that differ in nothing is `(2n + 1) / (12 n^2)`.

    Args:
        spread: Root of the mean square distance from 0.5; 0 where all scores tie.
    """
    scale = 12 * spread * spread
    return max(1.0, (1 + math.sqrt(1 + scale)) / scale) if scale else math.inf


def _note(n: int, every: int, units: float, spread: float) -> str:
    independent = math.sqrt((2 * n + 1) / (12 * n * n))
    thinned = f" of {every}" if every > n else ""
    return (
        f"{n}{thinned} pairs with the same scenario and action; the interval counts {units:.1f} "
        f"units; SE under swapped labels {spread:.3f}, of independent scores {independent:.3f}"
    )


def _thinned(couples: list[tuple[Trace, Trace]], most: int, stream: Stream) -> list[tuple[Trace, Trace]]:
    """Return at most so many pairs: of scenarios drawn by their id, the last one in part."""
    if len(couples) <= most:
        return couples
    order = sorted(range(len(couples)), key=lambda at: (stream.bits("thin", couples[at][0].scenario_id), at))
    return [couples[at] for at in sorted(order[:most])]


def _parts(
    couples: Sequence[tuple[Trace, Trace]], scenarios: Sequence[str], folds: int, stream: Stream
) -> list[npt.NDArray[np.intp]]:
    """Return the pairs of each fold, as indices."""
    order = {name: place for place, name in enumerate(stream.shuffled(scenarios, "folds"))}
    part = np.array([order[left.scenario_id] % folds for left, _ in couples])
    return [np.flatnonzero(part == fold) for fold in range(folds)]


class _Corpus:
    """Pairs as points: rows are the first of each pair, then the second of each."""

    def __init__(self, couples: Sequence[tuple[Trace, Trace]], prose: Sequence[str], *, raw: bool) -> None:
        both = [left for left, _ in couples] + [right for _, right in couples]
        self.pairs = len(couples)
        self.space = Space([document(trace, prose, raw=raw) for trace in both])
        self.kernel = self.space.kernel()

    @property
    def labels(self) -> npt.NDArray[np.bool_]:
        """Which rows are steered."""
        return np.arange(2 * self.pairs) < self.pairs


def _areas(
    corpus: _Corpus, parts: Sequence[npt.NDArray[np.intp]], stream: Stream, permutations: int
) -> Floats:
    """Return the area under the true labels, then under each labelling, shape `(permutations + 1,)`.

    Scores are compared within folds only: each fold has a regression of its own.
    """
    pairs = corpus.pairs
    bits = np.unpackbits(np.frombuffer(stream.raw(permutations * (pairs // 64 + 1), "swaps"), dtype=np.uint8))
    swaps = bits.reshape(permutations, -1)[:, :pairs].astype(bool).T
    first = np.hstack([np.ones((pairs, 1), dtype=bool), ~swaps])
    labels = np.vstack([first, ~first])
    won = np.zeros(permutations + 1, dtype=np.int64)
    for part in parts:
        rest = np.setdiff1d(np.arange(pairs), part)
        train, test = np.concatenate([rest, rest + pairs]), np.concatenate([part, part + pairs])
        dual = solve(corpus.kernel[np.ix_(train, train)], labels[train])
        scores = np.round(corpus.kernel[np.ix_(test, train)] @ dual, DIGITS)
        steered = labels[test]
        for column in range(permutations + 1):
            above, below = scores[steered[:, column], column], scores[~steered[:, column], column]
            won[column] += wins(above, below)
    return won / (2 * sum(len(part) ** 2 for part in parts))


def _told(corpus: _Corpus) -> Iterator[str]:
    """Yield the features with the largest weights, as lines."""
    dual = solve(corpus.kernel, corpus.labels[:, None])[:, 0]
    ranked = sorted(corpus.space.weights(dual), key=lambda one: (-abs(round(one[1], DIGITS)), one[0]))
    for name, weight, is_words in ranked[:_TOP]:
        counts = f"  ({_with(corpus, name)})" if is_words else ""
        yield f"{weight:+.2f}  {name}{counts}"


def _with(corpus: _Corpus, name: str) -> str:
    rows, half = corpus.space.rows_with(name), corpus.pairs
    steered = int(np.count_nonzero(rows < half))
    return f"in {steered} of {half} steered, {len(rows) - steered} of {half} unsteered"
