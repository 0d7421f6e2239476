"""What servers send of log-probabilities: of what they generated, and of texts that they were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from opoi.models.endpoint.alignment import figure_of
from opoi.models.endpoint.lines import Line
from opoi.types import TokenLogprob
from opoi.wire import decode_reply

__all__ = [
    "Entry",
    "Placed",
    "chat_text",
    "chosen",
    "entries_of",
    "own_logprobs",
    "read_echo",
    "read_ids",
    "read_placed",
    "text_of",
    "thoughts_of",
    "understood",
]


class Entry(Struct):
    """One token as a chat completion gives it; `logprob` in nats, `bytes` None where there are none."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[Entry] | None = None


class _Content(Struct):
    content: list[Entry] | None = None


class _Thinking(Struct):
    reasoning_content: Any = None
    reasoning: Any = None


class _ChatChoice(Struct):
    logprobs: _Content | None = None
    message: _Thinking | None = None


class _Chat(Struct):
    choices: list[_ChatChoice]


class _Legacy(Struct):
    tokens: list[str]
    token_logprobs: list[float | None]


class _TextChoice(Struct):
    text: str
    logprobs: _Legacy | None = None


class _Completion(Struct):
    choices: list[_TextChoice]


class Placed(Struct):
    """A token that is listed for a place of a prompt."""

    logprob: float
    decoded_token: str | None = None


class _Scored(Struct):
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: list[dict[str, Placed] | None] | None = None


Ids = tuple[list[int], list[dict[str, Placed] | None]]
"""Numbers of tokens, and for each place the tokens that are listed for it, by number."""

T = TypeVar("T")


class _Unscored(ValueError):  # noqa: N818 - never leaves this module
    """An answer without usable log-probabilities."""


def entries_of(body: bytes) -> list[Entry]:
    """Return the log-probabilities in the first choice of a chat completion, `[]` where there are none.

    Each has `token`, `logprob`, `bytes` (None where the server gives none) and `top_logprobs`.
    """
    choice = _chat_choice(body)
    return choice.logprobs.content or [] if choice and choice.logprobs else []


def thoughts_of(body: bytes) -> str:
    """Return what a chat completion holds as reasoning beside its content, `""` where there is none.

    Its tokens stand before those of the content where log-probabilities are given.
    """
    choice = _chat_choice(body)
    message = choice.message if choice else None
    found = (message.reasoning_content, message.reasoning) if message else ()
    return next((text for text in found if isinstance(text, str)), "")


def _chat_choice(body: bytes) -> _ChatChoice | None:
    try:
        choices = msgspec.json.decode(body, type=_Chat).choices
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return choices[0] if choices else None


def own_logprobs(body: bytes) -> tuple[TokenLogprob, ...]:
    """Return the log-probabilities (nats) that a chat completion gives for what it generated (tier T1).

    Args:
        body: The body of the answer to a request with `logprobs`.

    Returns:
        One for each token of the first choice; nothing where there are none.
    """
    return tuple(TokenLogprob(token=each.token, logprob=figure_of(each.logprob)) for each in entries_of(body))


def text_of(line: Line, body: bytes) -> tuple[str, tuple[TokenLogprob, ...]]:
    """Return what a completion (not of chat) generated, and the log-probabilities of its tokens (nats).

    Raises:
        EndpointFaultError: The body is no completion.
    """
    choice = understood(line, body, read_echo)
    found = choice.logprobs or _Legacy([], [])
    pairs = zip(found.tokens, found.token_logprobs, strict=True)
    return choice.text, tuple(TokenLogprob(token=token, logprob=value) for token, value in pairs)


def chat_text(line: Line, body: bytes) -> tuple[str, tuple[TokenLogprob, ...]]:
    """Return the same of a chat completion."""
    return understood(line, body, _read_text), own_logprobs(body)


def _read_text(body: bytes) -> str:
    try:
        return decode_reply(body).content
    except ValueError as error:
        raise _Unscored(str(error)) from error


def chosen(number: int, places: dict[str, Placed] | None) -> tuple[str, float | None]:
    """Return text and log-probability of the token that stands at a place, of those listed for it."""
    place = (places or {}).get(str(number))
    return ("", None) if place is None else (place.decoded_token or "", place.logprob)


def understood(line: Line, body: bytes, read: Callable[[bytes], T]) -> T:
    """Return what one of the readers below makes of an answer.

    Args:
        line: Where it came from, for the words of a failure.
        body: The answer.
        read: The reader.

    Raises:
        EndpointFaultError: It is not what was asked for.
    """
    try:
        return read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _Unscored) as error:
        problem = f"no log-probabilities of the prompt: {error}"
    raise line.where.garbage(problem, body)


def read_echo(body: bytes) -> _TextChoice:
    """Read a completion (not of chat): a text, and its tokens with their figures."""
    choices = msgspec.json.decode(body, type=_Completion).choices
    if not choices:
        raise _Unscored("`choices` is empty")
    scores = choices[0].logprobs
    if scores is not None and len(scores.tokens) != len(scores.token_logprobs):
        raise _Unscored("not as many figures as tokens")
    return choices[0]


def read_ids(body: bytes) -> Ids:
    """Read the numbers of the tokens of a prompt, and what is listed for their places, if anything is."""
    found = msgspec.json.decode(body, type=_Scored)
    if not found.prompt_token_ids:
        raise _Unscored("there are no `prompt_token_ids`")
    return found.prompt_token_ids, found.prompt_logprobs or []


def read_placed(body: bytes) -> Ids:
    """Read the same where something has to be listed for each place."""
    ids, placed = read_ids(body)
    if len(ids) != len(placed):
        raise _Unscored("not as many figures as tokens")
    return ids, placed
