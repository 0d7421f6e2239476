"""Answers in pieces: the objects of the streams of chat completions and completions.

Pieces hold some characters each; with log-probabilities one token each, or one character of several tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from opoi.models.served.scores import raw_token

__all__ = ["chat_chunks", "completion_chunks"]

_PIECE = 24
"""Characters of one piece."""


def chat_chunks(completion: dict[str, Any], *, usage: bool) -> Iterator[dict[str, Any]]:
    """Yield a chat completion as the objects of a stream.

    Args:
        completion: The whole answer.
        usage: End with the usage.
    """
    head: dict[str, Any] = {key: completion[key] for key in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    tail = {"usage": None} if usage else {}
    for choice in completion["choices"]:
        index = choice["index"]
        for delta, logprobs in _deltas(choice):
            yield {**head, "choices": [_chat_piece(index, delta, None, logprobs)], **tail}
        yield {**head, "choices": [_chat_piece(index, {}, choice["finish_reason"], None)], **tail}
    if usage:
        yield {**head, "choices": [], "usage": completion["usage"]}


def _chat_piece(
    index: int, delta: dict[str, Any], finish: str | None, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


def _deltas(choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None
    if choice["logprobs"] is None:
        for text in _pieces(message["content"] or ""):
            yield {"content": text}, None
    else:
        yield from _scored_deltas(choice["logprobs"]["content"], message["content"] or "")
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        start = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [start]}, None
        for text in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}, None


def _scored_deltas(
    entries: list[dict[str, Any]], content: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Yield each character that several tokens spell in one piece: half of it cannot be sent.

    What stands in the content behind the scored tokens follows without scores.
    """
    sent = 0
    begun: list[dict[str, Any]] = []
    raw = b""
    for entry in entries:
        begun.append(entry)
        raw += raw_token(entry["token"])
        text = _whole(raw)
        if text is not None:
            yield {"content": text}, {"content": begun, "refusal": None}
            begun, raw, sent = [], b"", sent + len(text)
    for text in _pieces(content[sent:]):
        yield {"content": text}, None


def _whole(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def completion_chunks(completion: dict[str, Any], *, usage: bool) -> Iterator[dict[str, Any]]:
    """Yield a completion as the objects of a stream.

    Args:
        completion: The whole answer.
        usage: End with the usage.
    """
    head = {key: completion[key] for key in ("id", "object", "created", "model")}
    tail = {"usage": None} if usage else {}
    for choice in completion["choices"]:
        index, logprobs = choice["index"], choice["logprobs"]
        texts = ((text, None) for text in _pieces(choice["text"]))
        for text, part in texts if logprobs is None else _scored_texts(choice["text"], logprobs):
            yield {**head, "choices": [_text_piece(index, text, None, part)], **tail}
        yield {**head, "choices": [_text_piece(index, "", choice["finish_reason"], None)], **tail}
    if usage:
        yield {**head, "choices": [], "usage": completion["usage"]}


def _text_piece(index: int, text: str, finish: str | None, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": finish, "logprobs": logprobs}


def _scored_texts(text: str, logprobs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield the pieces of tokens that begin at the same character."""
    offsets: list[int] = logprobs["text_offset"]
    for start, places in groupby(range(len(offsets)), key=offsets.__getitem__):
        group = list(places)
        part = slice(group[0], group[-1] + 1)
        end = offsets[part.stop] if part.stop < len(offsets) else len(text)
        yield text[start:end], {key: values[part] for key, values in logprobs.items()}
