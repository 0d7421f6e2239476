"""Log-probabilities in the three forms of the wire: chat, completions, and vLLM's of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opoi.models.served.language import TokenScore, token_id

__all__ = ["chat_logprobs", "completion_logprobs", "prompt_logprobs", "raw_token", "token_ids"]


def token_ids(tokens: Sequence[bytes]) -> list[int]:
    """Return the numbers of tokens."""
    return [token_id(token) for token in tokens]


def chat_logprobs(scores: Sequence[TokenScore], top: int) -> dict[str, Any]:
    r"""Return the `logprobs` of a choice of a chat completion.

    Part of a character is written as `\xc3`, and its `bytes` tell what it is.

    Args:
        scores: One for each token.
        top: How many alternatives to list, 0..20.
    """
    content = [
        {
            **_entry(score.token, score.logprob, "\\x"),
            "top_logprobs": [_entry(token, logprob, "\\x") for token, logprob in score.top[:top]],
        }
        for score in scores
    ]
    return {"content": content, "refusal": None}


def _entry(token: bytes, logprob: float, prefix: str) -> dict[str, Any]:
    return {"token": _shown(token, prefix), "bytes": list(token), "logprob": logprob}


def _shown(token: bytes, prefix: str) -> str:
    """Return a token as text; only single bytes are not ASCII."""
    return token.decode() if token.isascii() else f"{prefix}{token.hex()}"


def raw_token(shown: str) -> bytes:
    r"""Return the bytes of a token as `chat_logprobs` shows it; no token is spelled like `\xc3` itself."""
    return bytes.fromhex(shown[2:]) if len(shown) > 2 and shown.startswith("\\x") else shown.encode()


def completion_logprobs(scores: Sequence[TokenScore], top: int, *, echoed: bool) -> dict[str, Any]:
    r"""Return the `logprobs` of a choice of a completion.

    Part of a character is written as `bytes:\xc3`. The alternatives of a place are the `top` most probable
    tokens and the one that stands there.

    Args:
        scores: One for each token of the text.
        top: How many alternatives to list, 0..5.
        echoed: The text begins with the prompt: its first token has no score.
    """
    values: list[float | None] = [score.logprob for score in scores]
    alternatives: list[dict[str, float] | None] = [_alternatives(score, top) for score in scores]
    if echoed:
        values[:1] = [None] * len(values[:1])
        alternatives[:1] = [None] * len(alternatives[:1])
    return {
        "tokens": [_shown(score.token, "bytes:\\x") for score in scores],
        "token_logprobs": values,
        "top_logprobs": alternatives,
        "text_offset": _offsets([score.token for score in scores]),
    }


def _alternatives(score: TokenScore, top: int) -> dict[str, float]:
    listed = {_shown(token, "bytes:\\x"): logprob for token, logprob in score.top[:top]}
    return {**listed, _shown(score.token, "bytes:\\x"): score.logprob}


def _offsets(tokens: Sequence[bytes]) -> list[int]:
    """Return where each token begins, in characters; all bytes of one character have its place."""
    offsets = []
    at = 0
    for token in tokens:
        continues = 0x80 <= token[0] < 0xC0
        offsets.append(at - 1 if continues else at)
        at += 0 if continues else len(token)
    return offsets


def prompt_logprobs(scores: Sequence[TokenScore], top: int) -> list[dict[str, Any] | None]:
    """Return the `prompt_logprobs` of vLLM: for each token the numbers of it and the most probable ones.

    Args:
        scores: One for each token of the prompt, scored with `top` of at least 1.
        top: How many of the most probable tokens to list, 0..20.
    """
    return [None, *(_placed(score, top) for score in scores[1:])] if scores else []


def _placed(score: TokenScore, top: int) -> dict[str, Any]:
    places = {str(score.id): _place(score.token, score.logprob, score.rank)}
    for rank, (token, logprob) in enumerate(score.top[:top], start=1):
        places.setdefault(str(token_id(token)), _place(token, logprob, rank))
    return places


def _place(token: bytes, logprob: float, rank: int) -> dict[str, Any]:
    return {"logprob": logprob, "rank": rank, "decoded_token": token.decode(errors="replace")}
