"""Whether the scores of an endpoint are to be believed: they have to agree with how it generates.

Each way of scoring is put to the same test: the endpoint generates a text with log-probabilities, scores it
as a given one, and both are compared token by token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from opoi.models.endpoint.capabilities import Scorer, Way
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.lines import Line
from opoi.models.endpoint.scoring import TokenLogprob, chat_text, is_partial, score, text_of
from opoi.types import Message
from opoi.wire import encode_messages

__all__ = ["LARGEST", "MEAN", "QUESTION", "compare", "judge", "self_test"]

LARGEST = 0.1
MEAN = 0.02
"""Two log-probabilities of one token may differ by `LARGEST` nats, all of a text by `MEAN` on average.

The passes that generate and that score may round differently: in bfloat16 a logit between 8 and 16 goes in
steps of 1/16. Whether figures belong to their tokens is not left to this bound: a text whose figures also
agree when moved by one token proves nothing. (vLLM on CPU, in bfloat16: 165 tokens of a tiny model agreed
exactly; moved by one token they differed by 0.9 nats in the median.)
"""

_LEAST = 4
"""Fewer tokens prove nothing."""

_TRIES = 3
"""Texts that may be generated until enough tokens line up."""

_TOKENS = 16
"""Tokens of one generated text."""

PLAIN = "Once upon a time, by a river,"
"""What the self-test of `echo` has continued."""

QUESTION = (
    Message(
        role="user",
        content="Write one surprising sentence about rivers; begin with an emoji.",
        author="suite",
    ),
)
"""What the self-test of `prompt_logprobs` has answered."""


def self_test(
    line: Line,
    model: str,
    way: Way,
    settings: Mapping[str, Any],
    *,
    limit: str = "max_tokens",
    generated: bytes | None = None,
) -> Scorer:
    """Find out whether the scores of an endpoint are those with which it generates.

    Args:
        line: The endpoint.
        model: Name of the model.
        way: How to score.
        settings: Fields of requests that generate, e.g. the temperature of the run.
        limit: Field that bounds an answer in chat.
        generated: For `prompt_logprobs`: an answer to `QUESTION` that is there already.

    Raises:
        EndpointFaultError: The endpoint is dead (`unreachable`) or turns us away (`rate`).
    """
    runs: list[tuple[list[tuple[float, float]], int]] = []
    for seed in range(1, _TRIES + 1):
        try:
            if generated is not None:
                (text, own), generated = chat_text(line, generated), None
            else:
                text, own = _generate(line, model, way, settings, seed=seed, limit=limit)
            if not text or not own:
                return Scorer(verdict="untested")
            prompt = PLAIN if way == "echo" else QUESTION
            runs.append(compare(own, score(line, model, prompt, text, way, limit=limit), text))
        except EndpointFaultError as fault:
            if fault.kind in ("unreachable", "rate"):
                raise
            return Scorer(verdict="absent" if fault.kind == "garbage" else "refused")
        verdict = judge([pairs for pairs, _ in runs])
        if verdict != "unclear":
            break
    return Scorer(
        verdict=verdict,
        tokens=sum(len(pairs) for pairs, _ in runs),
        dropped=sum(dropped for _, dropped in runs),
    )


def _generate(
    line: Line, model: str, way: Way, settings: Mapping[str, Any], *, seed: int, limit: str
) -> tuple[str, tuple[TokenLogprob, ...]]:
    """Return a generated text and the log-probabilities of its tokens."""
    label = f"self-test {seed}"
    asked: dict[str, Any] = {"model": model, **settings}
    if asked.get("seed") is not None:
        asked["seed"] = seed
    if way == "echo":
        asked |= {"prompt": PLAIN, "max_tokens": _TOKENS, "logprobs": 1}
        return text_of(line, line.post("/completions", asked, label=label))
    asked |= {"messages": encode_messages(QUESTION), "logprobs": True, limit: _TOKENS}
    return chat_text(line, line.post("/chat/completions", asked, label=label))


def compare(
    own: Sequence[TokenLogprob], scored: Sequence[TokenLogprob], text: str
) -> tuple[list[tuple[float, float]], int]:
    """Return pairs of figures of the same tokens, and how many generated tokens have no such pair.

    Only tokens before the first difference count: behind one, both figures stand on different tokens.
    Tokens that are parts of characters are the same where there are as many on both sides.

    Args:
        own: What was generated.
        scored: The same text, scored.
        text: The text. Where a model wrote bytes that are no characters, replacements stand in it, which
            are other tokens when they are scored.
    """
    pairs: list[tuple[float, float]] = []
    while len(pairs) < min(len(own), len(scored)):
        parts = _parts(own, len(pairs))
        if parts != _parts(scored, len(pairs)) or (parts and "\ufffd" in text):
            break
        places = range(len(pairs), len(pairs) + max(1, parts))
        found = [_pair(own[place], scored[place], same=parts > 0) for place in places]
        whole = [pair for pair in found if pair is not None]
        if len(whole) < len(found):
            break
        pairs += whole
    return pairs, len(own) - len(pairs)


def _parts(tokens: Sequence[TokenLogprob], start: int) -> int:
    """Return how many tokens from a place on are parts of characters."""
    return sum(1 for _ in takewhile(is_partial, (token.token for token in tokens[start:])))


def _pair(one: TokenLogprob, other: TokenLogprob, *, same: bool) -> tuple[float, float] | None:
    if (not same and one.token != other.token) or one.logprob is None or other.logprob is None:
        return None
    return one.logprob, other.logprob


def judge(
    runs: Sequence[Sequence[tuple[float, float]]],
) -> Literal["believed", "shifted", "wrong", "unclear"]:
    """Return the verdict on pairs of (generated, scored) figures in nats, token by token.

    Args:
        runs: For each text the pairs, in the order of its tokens.
    """
    if sum(map(len, runs)) < _LEAST:
        return "unclear"
    moved = any(_agree(_moved(run, by) for run in runs) for by in (-1, 1))
    if _agree(runs):
        return "unclear" if moved else "believed"
    return "shifted" if moved else "wrong"


def _moved(run: Sequence[tuple[float, float]], by: int) -> list[tuple[float, float]]:
    """Return the pairs that stand together when the scores are moved by one token."""
    own, scored = [pair[0] for pair in run], [pair[1] for pair in run]
    return list(zip(own[1:], scored, strict=False)) if by > 0 else list(zip(own, scored[1:], strict=False))


def _agree(runs: Iterable[Sequence[tuple[float, float]]]) -> bool:
    apart = [abs(one - other) for run in runs for one, other in run]
    return bool(apart) and max(apart) <= LARGEST and sum(apart) / len(apart) <= MEAN
