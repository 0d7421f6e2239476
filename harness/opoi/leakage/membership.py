"""L7, membership: do the log-probabilities of a model show which traces it was trained on?

Two scores of a trace under the trained model: the mean log-probability of its tokens (the loss, with the sign
turned), and the mean of the least likely of them (Min-K %, Shi and others 2023), which sees single memorised
words in common text. What is reported is how often a trained trace scores above a held-out one. 0.5 means
that the model treats both alike; the held-out traces have to be of the same kind, or else the figure tells
how the kinds differ. Methods specification 5.8, L7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from opoi.errors import UsageError
from opoi.intervals import Floats, area, area_interval, area_p, rounded
from opoi.types import Reading, Tier

__all__ = ["NEEDS", "loss_score", "membership", "min_k_score"]

NEEDS = Tier.T2
"""What it asks of the model: log-probabilities of traces that the model did not write just now."""

Tokens = Sequence[float]
"""Natural log-probabilities of the tokens of one trace that carry loss, each 0 or below."""

_SLACK = 1e-6


def loss_score(tokens: Tokens) -> float:
    """Return the mean log-probability of a trace with at least one token."""
    return math.fsum(tokens) / len(tokens)


def min_k_score(tokens: Tokens, share: float) -> float:
    """Return the mean log-probability of the least likely tokens of a trace with at least one.

    Args:
        tokens: Log-probabilities.
        share: How many count, in (0, 1]; rounded up to one at least.
    """
    least = sorted(tokens)[: max(1, math.ceil(len(tokens) * share - _SLACK))]
    return math.fsum(least) / len(least)


def membership(
    trained: Iterable[Tokens], held_out: Iterable[Tokens], *, share: float = 0.2
) -> tuple[Reading, ...]:
    """Return the areas under the ROC curve of both scores, 0.5 where training left no mark.

    Args:
        trained: Log-probabilities of each trace that the model was trained on.
        held_out: The same of traces of the same kind that it was not trained on.
        share: The K of Min-K %, as a share in (0, 1].

    Raises:
        UsageError: A number is no log-probability, or the share does not fit.
    """
    if not 0 < share <= 1:
        raise UsageError(
            f"a share of {share:g} of the tokens cannot be taken", fix="give one above 0, up to 1"
        )
    members, empty = _checked(trained, "trained")
    others, empty_others = _checked(held_out, "held-out")
    note = f"{len(members)} trained and {len(others)} held-out traces"
    if empty + empty_others:
        note += f"; {empty + empty_others} without tokens left out"
    scores: dict[str, Callable[[Tokens], float]] = {
        "auc loss": loss_score,
        f"auc min-{100 * share:.3g}%": lambda tokens: min_k_score(tokens, share),
    }
    return tuple(_reading(name, score, members, others, note) for name, score in scores.items())


def _reading(
    name: str, score: Callable[[Tokens], float], members: list[Tokens], others: list[Tokens], note: str
) -> Reading:
    n = len(members) + len(others)
    if not members or not others:
        return Reading(detector="membership", name=name, value=None, null=0.5, n=n, note=note)
    above, below = (np.array([score(tokens) for tokens in part]) for part in (members, others))
    value = area(above, below)
    low, high = area_interval(value, len(members), len(others))
    return Reading(
        detector="membership",
        name=name,
        value=rounded(value),
        low=low,
        high=high,
        null=0.5,
        p=area_p(above, below),
        n=n,
        note=note,
        details=(f"median of the score: {_median(above)} trained, {_median(below)} held-out",),
    )


def _median(scores: Floats) -> str:
    ranked = sorted(scores)
    return f"{ranked[(len(ranked) - 1) // 2]:.4g}"


def _checked(traces: Iterable[Tokens], kind: str) -> tuple[list[Tokens], int]:
    """Return the traces that have tokens, and how many have none."""
    kept: list[Tokens] = []
    empty = 0
    for number, tokens in enumerate(traces, 1):
        wrong = next((value for value in tokens if not value <= _SLACK), None)
        if wrong is not None:
            raise UsageError(
                f"{kind} trace {number} has a log-probability of {wrong:g}",
                why="the logarithm of a probability is 0 or below",
                fix="give natural logarithms, one for each token that carries loss",
            )
        if len(tokens):
            kept.append(tokens)
        else:
            empty += 1
    return kept, empty
