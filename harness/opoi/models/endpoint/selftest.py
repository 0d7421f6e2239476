"""Whether the scores of an endpoint are to be believed: they have to agree with how it generates.

Each way of scoring is put to the same test: the endpoint generates a text with log-probabilities, scores it
as a given one, and both are compared token by token. What it gives as it generates has to pass for
log-probabilities first (`check_own`), and a scorer that agrees has to look at the prompt: the same text after
another prompt has other figures.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from opoi.models.endpoint.capabilities import OwnCheck, Scorer, Way
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.lines import Line
from opoi.models.endpoint.scoring import (
    Entry,
    chat_text,
    entries_of,
    is_partial,
    score,
    text_of,
    thoughts_of,
)
from opoi.types import Message, TokenLogprob
from opoi.wire import encode_messages

__all__ = [
    "LARGEST",
    "MEAN",
    "QUESTION",
    "check_own",
    "compare",
    "judge",
    "own_check",
    "self_test",
]

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

ELSEWHERE: Mapping[Way, str | tuple[Message, ...]] = {
    "echo": "Of all the tools in the shed,",  # ends as `PLAIN` does: what follows is cut into the same tokens
    "prompt_logprobs": (Message(role="user", content="What is seventeen plus five?", author="suite"),),
}
"""Other prompts, after which the same texts are scored again."""

_MOVED = 1e-4
"""A figure that another prompt moves by less, in nats, is taken for the same; rounding moves it by 1e-6."""


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
    runs: list[_Run] = []
    verdict: _Verdict = "unclear"
    try:
        for seed in range(1, _TRIES + 1):
            body = generated or _generate(line, model, way, settings, seed=seed, limit=limit)
            generated = None
            text, own, check = _told(line, way, body)
            if not text or check != "believed":
                return Scorer(verdict="untested")
            prompt = PLAIN if way == "echo" else QUESTION
            scored = score(line, model, prompt, text, way, limit=limit)
            runs.append(_Run(text, scored, *compare(own, scored, text)))
            verdict = judge([run.pairs for run in runs])
            if verdict != "unclear":
                break
        if verdict == "believed":
            verdict = _elsewhere(line, model, way, max(runs, key=lambda run: len(run.pairs)), limit=limit)
    except EndpointFaultError as fault:
        if fault.kind in ("unreachable", "rate"):
            raise
        return Scorer(verdict="absent" if fault.kind == "garbage" else "refused")
    return Scorer(
        verdict=verdict,
        tokens=sum(len(run.pairs) for run in runs),
        dropped=sum(run.dropped for run in runs),
    )


_Verdict = Literal["believed", "shifted", "wrong", "blind", "unclear"]


class _Run(NamedTuple):
    """A text, its scores, pairs of (generated, scored) figures, and how many tokens are in no pair."""

    text: str
    scored: tuple[TokenLogprob, ...]
    pairs: list[tuple[float, float]]
    dropped: int


def _elsewhere(line: Line, model: str, way: Way, run: _Run, *, limit: str) -> _Verdict:
    """Score a text again after another prompt; return the verdict on figures that agree after the first."""
    again = score(line, model, ELSEWHERE[way], run.text, way, limit=limit)
    pairs, _ = compare(run.scored, again, run.text)
    if not pairs:
        return "unclear"
    return "believed" if any(abs(one - other) > _MOVED for one, other in pairs) else "blind"


def _told(line: Line, way: Way, body: bytes) -> tuple[str, tuple[TokenLogprob, ...], OwnCheck]:
    """Return a generated text, the log-probabilities of its tokens, and whether they can be such."""
    if way == "prompt_logprobs":
        text, own = chat_text(line, body)
        return text, own, own_check(body, text)
    text, own = text_of(line, body)
    entries = [Entry(token=each.token, logprob=each.logprob) for each in own if each.logprob is not None]
    if len(entries) < len(own):
        return text, own, "apart"
    return text, own, check_own(entries, [text])


def _generate(
    line: Line, model: str, way: Way, settings: Mapping[str, Any], *, seed: int, limit: str
) -> bytes:
    """Return a generated text with the log-probabilities of its tokens, as it came."""
    label = f"self-test {seed}"
    asked: dict[str, Any] = {"model": model, **settings}
    if asked.get("seed") is not None:
        asked["seed"] = seed
    if way == "echo":
        asked |= {"prompt": PLAIN, "max_tokens": _TOKENS, "logprobs": 1}
        return line.post("/completions", asked, label=label)
    asked |= {"messages": encode_messages(QUESTION), "logprobs": True, limit: _TOKENS}
    return line.post("/chat/completions", asked, label=label)


# ---------------------------------------------------------------- what was generated


def own_check(body: bytes, text: str) -> OwnCheck:
    """Return whether the figures of a chat completion can be log-probabilities of what it wrote.

    Args:
        body: The answer.
        text: Its content.
    """
    return check_own(entries_of(body), [thoughts_of(body), text])


def check_own(entries: Sequence[Entry], texts: Sequence[str]) -> OwnCheck:
    """Return whether figures can be log-probabilities of the tokens of a text.

    The tokens have to add up to the text: their bytes where there are some, else their texts, where parts of
    characters stand for any character that is not ASCII. Blank space and marks such as `<|end|>` around a
    text may be missing from it.

    Args:
        entries: One for each token, in nats.
        texts: What was written, in the order of its tokens: thoughts and content.
    """
    if not entries:
        return "none"
    if not _add_up(_pieces(entries[:_WALKED]), texts, open_ended=len(entries) > _WALKED):
        return "apart"
    if any(entry.logprob > _ROUNDING for entry in entries):
        return "positive"
    alike = len(entries) > 2 and len({entry.logprob for entry in entries}) == 1
    return "alike" if alike else "believed"


_ROUNDING = 1e-4
"""The logarithm of 1 may come out this much above 0, in nats."""

_WALKED = 512
"""Tokens that are followed through a text; few are asked for."""

_MARK = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{1,20}\]")

_Piece = str | None
"""What a token adds to a text; None: no more than one character that is not ASCII."""


def _pieces(entries: Iterable[Entry]) -> Iterator[_Piece]:
    """Yield what tokens add to a text, by their bytes where they have some."""
    decoder = getincrementaldecoder("utf-8")("replace")
    for entry in entries:
        if not entry.bytes:
            decoder.reset()
            yield from _by_text(entry.token)
        elif all(0 <= byte < 256 for byte in entry.bytes):
            yield from _around(decoder.decode(bytes(entry.bytes)))
        else:
            yield "\0"  # no bytes: it stands in no text


def _by_text(token: str) -> Iterator[_Piece]:
    if not is_partial(token):
        yield token
    elif "\ufffd" in token:
        yield from _around(token)
    else:
        yield from [None] * max(1, token.count("\\x"))


def _around(text: str) -> Iterator[_Piece]:
    """Yield the text between broken characters, and None for each of these."""
    first, *others = text.split("\ufffd")
    yield first
    for part in others:
        yield None
        yield part


def _bare(text: str) -> str:
    """Return a text without what stands for broken characters: how much does differs."""
    return text.replace("\ufffd", "")


def _add_up(pieces: Iterable[_Piece], texts: Sequence[str], *, open_ended: bool) -> bool:
    """Return whether pieces are together the texts; with an open end, whether these begin with them."""
    borders = {0}
    whole = ""
    for text in texts:
        whole += _bare(text).strip()
        borders.add(len(whole))
    places = {0}
    for piece in pieces:
        places = {end for place in places for end in _ends(piece, place, whole, borders)}
    return bool(places) if open_ended else len(whole) in places


def _ends(piece: _Piece, place: int, text: str, borders: set[int]) -> Iterator[int]:
    """Yield where a piece that begins at a place may end; blank space and marks may be missing at borders."""
    if piece is None:
        yield place
        if place < len(text) and not text[place].isascii():
            yield place + 1
        return
    starts = (piece, piece.lstrip()) if place in borders else (piece,)
    for start in starts:
        for part in (start, start.rstrip()):
            end = place + len(part)
            if text.startswith(part, place) and (part == start or end in borders):
                yield end
    if place in borders and _MARK.fullmatch(piece.strip()):
        yield place


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
