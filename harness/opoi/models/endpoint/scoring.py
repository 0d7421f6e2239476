"""Log-probabilities of given text, from endpoints that have shown that theirs can be believed.

Two ways are known. `echo`: completions with `echo` and `logprobs`, for a plain text after a plain text.
`prompt_logprobs`: vLLM's field of chat completions, for an answer in a conversation. Servers take either
request and give figures that are one token off, or none; so a way is believed only after a test of it: the
endpoint generates a text with log-probabilities, scores it as a given one, and both have to agree
(`opoi.models.endpoint.selftest`).

The text is cut into tokens anew when it is scored. Where a border between tokens does not fall between prompt
and completion, or the tokens do not add up to the text, what is there cannot be scored, and is marked so.
All log-probabilities are natural logarithms (nats).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from opoi.errors import UsageError
from opoi.models.endpoint.capabilities import Way
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.lines import Line
from opoi.types import Message, TokenLogprob, ToolSpec
from opoi.wire import decode_reply, encode_messages, encode_tool

__all__ = [
    "Entry",
    "chat_text",
    "entries_of",
    "is_partial",
    "own_logprobs",
    "scorable",
    "score",
    "text_of",
    "thoughts_of",
]


def scorable(tokens: Iterable[TokenLogprob]) -> tuple[tuple[float, ...], int]:
    """Return the log-probabilities of the tokens that have one, and how many have none."""
    listed = [token.logprob for token in tokens]
    found = tuple(value for value in listed if value is not None)
    return found, len(listed) - len(found)


# ---------------------------------------------------------------- what servers send


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


class _Placed(Struct):
    logprob: float
    decoded_token: str | None = None


class _Scored(Struct):
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: list[dict[str, _Placed] | None] | None = None


_Ids = tuple[list[int], list[dict[str, _Placed] | None]]

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
    return tuple(TokenLogprob(token=each.token, logprob=each.logprob) for each in entries_of(body))


def text_of(line: Line, body: bytes) -> tuple[str, tuple[TokenLogprob, ...]]:
    """Return what a completion (not of chat) generated, and the log-probabilities of its tokens (nats).

    Raises:
        EndpointFaultError: The body is no completion.
    """
    choice = _read(line, body, _read_choice)
    found = choice.logprobs or _Legacy([], [])
    pairs = zip(found.tokens, found.token_logprobs, strict=True)
    return choice.text, tuple(TokenLogprob(token=token, logprob=value) for token, value in pairs)


def chat_text(line: Line, body: bytes) -> tuple[str, tuple[TokenLogprob, ...]]:
    """Return the same of a chat completion."""
    return _read(line, body, _read_text), own_logprobs(body)


def _read_text(body: bytes) -> str:
    try:
        return decode_reply(body).content
    except ValueError as error:
        raise _Unscored(str(error)) from error


# ---------------------------------------------------------------- scoring


def score(
    line: Line,
    model: str,
    prompt: Sequence[Message] | str,
    completion: str,
    way: Way,
    *,
    tools: Sequence[ToolSpec] = (),
    limit: str = "max_tokens",
) -> tuple[TokenLogprob, ...]:
    """Return the log-probability of each token of a given text after a prompt (tier T2).

    Args:
        line: The endpoint. Whether it can be believed is not asked here: see `Capabilities.scoring`.
        model: Name of the model.
        prompt: A plain text for `echo`, a conversation for `prompt_logprobs`.
        completion: The text to score, not empty: what follows, or the assistant's next message.
        way: How to ask.
        tools: Tools that were on offer in the conversation.
        limit: Field that bounds an answer in chat; see `Capabilities.limit`.

    Returns:
        Tokens that together are the completion, in nats; what does not line up has no figure.

    Raises:
        UsageError: The prompt is of the other way, or the completion is empty.
        EndpointFaultError: The request failed, or the answer holds no log-probabilities (`garbage`).
    """
    if not completion:
        raise UsageError("there is nothing to score", why="the completion is empty")
    if isinstance(prompt, str) != (way == "echo"):
        raise UsageError(
            f"{way} does not score {'a plain text' if isinstance(prompt, str) else 'a conversation'}",
            fix="give a text for `echo`, and messages for `prompt_logprobs`",
        )
    if isinstance(prompt, str):
        return _score_text(line, model, prompt, completion)
    asked: dict[str, Any] = {"model": model, limit: 1, "return_token_ids": True}
    if tools:
        asked["tools"] = [encode_tool(tool) for tool in tools]
    return _score_answer(line, asked, prompt, completion)


def _score_text(line: Line, model: str, prompt: str, completion: str) -> tuple[TokenLogprob, ...]:
    text = prompt + completion
    body = {"model": model, "prompt": text, "max_tokens": 0, "echo": True, "logprobs": 1}
    try:
        answer = line.post("/completions", body, label="score")
    except EndpointFaultError as fault:
        if fault.kind != "request":
            raise
        answer = line.post("/completions", {**body, "max_tokens": 1}, label="score")
    choice = _read(line, answer, _read_choice)
    if choice.logprobs is None or not choice.text.startswith(text):
        raise line.where.garbage("the prompt did not come back with log-probabilities", answer)
    tokens, values = choice.logprobs.tokens, choice.logprobs.token_logprobs
    spans = _walk(tokens, choice.text)
    return _pick(tokens, values, spans, text, len(prompt))


def _score_answer(
    line: Line, asked: dict[str, Any], prompt: Sequence[Message], completion: str
) -> tuple[TokenLogprob, ...]:
    """Score an answer: the tokens behind those of the prompt alone are its, up to where its text ends."""
    last = Message(role="assistant", content=completion, author="student")
    whole = {
        "messages": encode_messages([*prompt, last]),
        "add_generation_prompt": False,
        "prompt_logprobs": 1,
    }
    ids, placed = _read(line, line.post("/chat/completions", {**asked, **whole}, label="score"), _read_placed)
    start = {"messages": encode_messages(prompt), "add_generation_prompt": True}
    before, _ = _read(line, line.post("/chat/completions", {**asked, **start}, label="score"), _read_ids)
    if ids[: len(before)] != before:
        return (TokenLogprob(token=completion, logprob=None),)
    found = [_chosen(*each) for each in zip(ids[len(before) :], placed[len(before) :], strict=True)]
    tokens = [token for token, _ in found]
    return _pick(tokens, [value for _, value in found], _walk(tokens, completion), completion, 0)


def _chosen(number: int, places: dict[str, _Placed] | None) -> tuple[str, float | None]:
    """Return text and log-probability of the token that stands at a place, of those listed for it."""
    place = (places or {}).get(str(number))
    return ("", None) if place is None else (place.decoded_token or "", place.logprob)


def _read(line: Line, body: bytes, read: Callable[[bytes], T]) -> T:
    """Read an answer.

    Raises:
        EndpointFaultError: It is not what was asked for.
    """
    try:
        return read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _Unscored) as error:
        problem = f"no log-probabilities of the prompt: {error}"
    raise line.where.garbage(problem, body)


def _read_choice(body: bytes) -> _TextChoice:
    choices = msgspec.json.decode(body, type=_Completion).choices
    if not choices:
        raise _Unscored("`choices` is empty")
    scores = choices[0].logprobs
    if scores is not None and len(scores.tokens) != len(scores.token_logprobs):
        raise _Unscored("not as many figures as tokens")
    return choices[0]


def _read_ids(body: bytes) -> _Ids:
    found = msgspec.json.decode(body, type=_Scored)
    if not found.prompt_token_ids:
        raise _Unscored("there are no `prompt_token_ids`")
    return found.prompt_token_ids, found.prompt_logprobs or []


def _read_placed(body: bytes) -> _Ids:
    ids, placed = _read_ids(body)
    if len(ids) != len(placed):
        raise _Unscored("not as many figures as tokens")
    return ids, placed


# ---------------------------------------------------------------- lining up


def is_partial(token: str) -> bool:
    """Return whether a token that is not in the text as it reads may be part of a character."""
    return not token or "\ufffd" in token or token.startswith(("bytes:", "\\x", "<0x"))


def _walk(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
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


def _pick(
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
            found.append(TokenLogprob(token=token, logprob=value))
        done = max(done, min(end, len(text)))
    if done < len(text):
        found.append(TokenLogprob(token=text[done:], logprob=None))
    return tuple(found)
