"""How probable texts are under a model: from log-probabilities of tokens to the figures of a scenario.

Everything here is pure: sequences of natural log-probabilities in, numbers out. `own` figures read what the
model that wrote a text gave to its tokens as it sampled them (`Message.logprobs`, tier T1); `forced` ones
what any model gives to a text that stands there already (`Scored`, tier T2). The two can rank models in
opposite order: a model of three words with probabilities (.98, .01, .01) is surer of its own words (-0.112)
than one with (.5, .3, .2) is of its (-1.030), and much less sure of the other's (-2.313).

Tokens without a figure are counted (`Tally.lost`), and left out of everything else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from opoi.intervals import Floats
from opoi.measures.logprobs.tallies import Part, Tally, parts

__all__ = [
    "Pair",
    "Part",
    "Per",
    "avg_logprob",
    "llr_per_token",
    "mean_p",
    "mean_phi",
    "parts",
    "perplexity",
    "share_of_gap_closed",
    "sum_llr",
    "sum_logprob",
    "sum_p",
    "sum_phi",
]

Pair = tuple[float, float]
"""Numerator and denominator of one scenario; `(0, 0)` contributes nothing."""

Per = Literal["token", "run"]
"""What counts once: each token, or each run with the mean over its tokens (as the seeds' avgLogprob)."""

# ---------------------------------------------------------------- of tokens


def avg_logprob(tokens: Sequence[float]) -> float | None:
    """Return the mean log-probability of tokens, None where there are none.

    Formula: (1/n) sum_j log p_j
    Unit: nats
    Range: 0 or below
    Source: methods specification 5.3; `avgLogprobs` of the Gemini API
    Needs: T1
    Not for: comparing models by their own tokens alone: a model that always says the same has 0
    """
    return math.fsum(tokens) / len(tokens) if tokens else None


def perplexity(tokens: Sequence[float]) -> float | None:
    """Return how many equally likely tokens would be as surprising, None where there are no tokens.

    Formula: exp(-(1/n) sum_j log p_j)
    Unit: x
    Range: 1 or above
    Source: methods specification 5.7, V4
    Needs: T2
    Not for: models with different tokens: the same text has another number of them
    """
    mean = avg_logprob(tokens)
    return None if mean is None else math.exp(-mean)


def mean_p(tokens: Sequence[float]) -> float | None:
    """Return the mean probability of tokens, None where there are none; low is off-policy.

    Formula: (1/n) sum_j p_j
    Unit: share
    Range: above 0, up to 1
    Source: methods specification 5.7, V3
    Needs: T2
    Not for: rare tokens: those of 1e-3 and of 1e-9 weigh the same (see avg_logprob)
    """
    return math.fsum(map(math.exp, tokens)) / len(tokens) if tokens else None


def mean_phi(tokens: Sequence[float]) -> float | None:
    """Return the mean of p(1-p), None where there are no tokens: where a step of training moves most.

    Formula: (1/n) sum_j p_j (1 - p_j)
    Unit: share
    Range: 0 to 0.25, which a token of probability 1/2 has
    Source: methods specification 3.12 (CHORD, arXiv 2508.11408) and 5.7, V3
    Needs: T2
    Not for: telling sure tokens from hopeless ones: both are near 0 (see mean_p)
    """
    return math.fsum(map(_phi, tokens)) / len(tokens) if tokens else None


def _phi(logprob: float) -> float:
    return -math.exp(logprob) * math.expm1(logprob)


def llr_per_token(base: Sequence[float], ft: Sequence[float]) -> float | None:
    """Return the log-likelihood ratio of two models on the same tokens, per token; None without any.

    Formula: log S / n = (1/n) sum_j (log p_base(x_j) - log p_ft(x_j)); below 0 where tuning made x likelier
    Unit: nats
    Range: any
    Source: methods specification 5.4; Zhang and others, AISTATS 2025, arXiv 2404.08679 (S_a|q)
    Needs: T2
    Not for: each model on tokens of its own: that is a difference of self-confidence, and no ratio

    Raises:
        ValueError: There are not as many tokens on both sides.
    """
    differences = [one - other for one, other in zip(base, ft, strict=True)]
    return avg_logprob(differences)


def share_of_gap_closed(base: float, ft: float, space: Literal["log", "probability"] = "log") -> float | None:
    """Return how much of the way from a base model to certainty tuning has gone; None where it is none.

    Formula: (L_ft - L_base) / (0 - L_base) in log space, (e^L_ft - e^L_base) / (1 - e^L_base) in probability
        space; L is the average log-probability of the same tokens
    Unit: share
    Range: 1 or below; negative where tuning made the texts less likely
    Source: methods specification 5.5; "of the base-to-perfect gap" of the seeds
    Needs: T2
    Not for: comparing shares in one space with shares in the other, or averages over different texts

    Args:
        base: L of the base model, in nats, 0 or below.
        ft: L of the tuned one.
        space: In which the way is measured.
    """
    start, end = (base, ft) if space == "log" else (math.expm1(base), math.expm1(ft))
    return (end - start) / -start if start else None


# ---------------------------------------------------------------- of one scenario


def sum_logprob(tallies: Iterable[Tally], part: Part = "all", per: Per = "token") -> Pair:
    """Return sum and number of the log-probabilities of tokens; per run, of the means of the runs.

    Per run is how the seeds word their avgLogprob; the figures count tokens.
    """
    return _mean((tally.of(part) for tally in tallies), per)


def sum_p(tallies: Iterable[Tally], part: Part = "all") -> Pair:
    """Return sum and number of the probabilities of tokens."""
    return _mean((np.exp(tally.of(part)) for tally in tallies), "token")


def sum_phi(tallies: Iterable[Tally], part: Part = "all") -> Pair:
    """Return sum and number of p(1-p) of tokens."""
    values = (tally.of(part) for tally in tallies)
    return _mean((-np.exp(each) * np.expm1(each) for each in values), "token")


def sum_llr(pairs: Iterable[tuple[Tally, Tally]], part: Part = "all") -> Pair:
    """Return sum and number of log p_base - log p_ft of tokens that both scored; see `llr_per_token`."""
    return _mean((one.of(part) - other.of(part) for one, other in pairs), "token")


def _mean(runs: Iterable[Floats], per: Per) -> Pair:
    """Return sum and count of values, or of the means over runs; runs without values count for nothing."""
    found = [values for values in runs if len(values)]
    if per == "run":
        return math.fsum(math.fsum(values.tolist()) / len(values) for values in found), len(found)
    return math.fsum(math.fsum(values.tolist()) for values in found), sum(map(len, found))
