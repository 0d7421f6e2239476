"""Where the tokens of a server stand in a text, and which of their figures belong to it. No one is asked."""

from __future__ import annotations

from collections.abc import Sequence

from opoi.types import TokenLogprob

__all__ = ["figure_of", "is_partial", "pick", "walk"]

_DIGITS = 6
"""Decimals of a log-probability that are kept."""

_NONE = -1000.0
"""Below this a figure stands for the logarithm of 0: servers write -9999 or the least float there is."""


def figure_of(value: float | None) -> float | None:
    """Return a log-probability (nats) as it is kept: 6 decimals, 0 or below; None for one that is none."""
    if value is None or not value > _NONE:
        return None
    return min(0.0, round(value, _DIGITS))


def is_partial(token: str) -> bool:
    """Return whether a token that is not in the text as it reads may be part of a character."""
    return not token or "\ufffd" in token or token.startswith(("bytes:", "\\x", "<0x"))


def walk(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Return where tokens stand in a text, as far as they can be followed from its start.

    Tokens that are parts of characters share the span of the characters between the tokens around them.
    """
    spans: list[tuple[int, int]] = []
    at = parts = 0
    for token in tokens:
        whole = bool(token) and not parts and text.startswith(token, at)
        if not whole and is_partial(token):
            parts += 1
            continue
        if parts:
            end = _end_of_parts(text, at, parts, token)
            if end is None:
                break
            spans += [(at, end)] * parts
            at, parts = end, 0
        if at == len(text) or not text.startswith(token, at):
            return spans
        spans.append((at, at + len(token)))
        at += len(token)
    end = _end_of_parts(text, at, parts, "") if parts else None
    return spans if end is None else spans + [(at, end)] * parts


def _end_of_parts(text: str, at: int, parts: int, token: str) -> int | None:
    """Return where the characters end that tokens of parts of characters make up; None where it is open.

    A character has two parts at least, and the token that follows, if any, stands right behind the last.
    """
    most = min(len(text), at + max(1, parts // 2))
    ends = (end for end in range(at + 1, most + 1) if token and text.startswith(token, end))
    return next(ends, len(text) if most == len(text) and at < most else None)


def pick(
    tokens: Sequence[str],
    values: Sequence[float | None],
    spans: Sequence[tuple[int, int]],
    text: str,
    begin: int,
) -> tuple[TokenLogprob, ...]:
    """Return the tokens of `text[begin:]` with their figures, and with none where they do not line up."""
    found: list[TokenLogprob] = []
    done = begin
    for token, value, (start, end) in zip(tokens, values, spans, strict=False):
        if end <= begin or start >= len(text):
            continue
        if start < begin or end > len(text):
            if end > done:
                found.append(TokenLogprob(token=text[done:end], logprob=None))
        else:
            found.append(TokenLogprob(token=token, logprob=figure_of(value)))
        done = max(done, min(end, len(text)))
    if done < len(text):
        found.append(TokenLogprob(token=text[done:], logprob=None))
    return tuple(found)
