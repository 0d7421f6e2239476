"""What the quirks of a server make of its answers. What is given is not changed, but copied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from opoi.models.served.quirk_requests import is_forced

if TYPE_CHECKING:
    from opoi.models.served.quirks import Quirks

__all__ = ["altered", "off_by_one", "streamed"]

_CANNED = {"id": "call_canned", "type": "function", "function": {"name": "canned_tool", "arguments": "{}"}}


def altered(quirks: Quirks, body: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    """Return one choice of a chat completion as this server would give it.

    Args:
        quirks: The server's.
        body: The request as it was sent.
        choice: That of the neutral server.
    """
    message = dict(choice["message"])
    choice = {**choice, "message": message}
    if quirks.tools == "canned" and body.get("tools"):
        message |= {"content": None, "tool_calls": [_CANNED]}
        choice["finish_reason"] = "tool_calls"
    if message.get("tool_calls"):
        choice |= _calls(quirks, body.get("tool_choice"), message)
    if quirks.stop == "kept":
        choice |= _ended(body.get("stop"), message)
    if quirks.logprob_bytes != "right" and choice.get("logprobs"):
        entries = choice["logprobs"].get("content") or ()
        null = quirks.logprob_bytes == "null"
        choice["logprobs"] = {
            **choice["logprobs"],
            "content": [_spoiled(each, null=null) for each in entries],
        }
    return choice


def _calls(quirks: Quirks, asked: object, message: dict[str, Any]) -> dict[str, Any]:
    """Change the calls of a message in place; return what changes beside it."""
    changed: dict[str, Any] = {}
    heeded = is_forced(quirks, asked)
    if heeded and isinstance(asked, dict) and quirks.named == "broken":
        message["tool_calls"] = [_cut(call) for call in message["tool_calls"]]
    if isinstance(asked, dict):
        changed["finish_reason"] = quirks.named_finish
    if (quirks.tools == "raw" and not heeded) or (asked == "none" and quirks.none == "raw"):
        blocks = [_block(call["function"]) for call in message.pop("tool_calls")]
        message["content"] = "\n".join([message["content"], *blocks] if message["content"] else blocks)
        changed["finish_reason"] = "stop"
    return changed


def _ended(stop: object, message: dict[str, Any]) -> dict[str, Any]:
    """End a message in place behind the first of the stop texts; return what changes beside it."""
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    text = message.get("content") or ""
    ends = [text.index(end) + len(end) for end in stops if isinstance(end, str) and end and end in text]
    if not ends:
        return {}
    message["content"] = text[: min(ends)]
    return {"finish_reason": "stop"}


def _cut(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call whose arguments end too early to be JSON."""
    return {**call, "function": {**call["function"], "arguments": '{"'}}


def _block(function: dict[str, Any]) -> str:
    """Return a call as the text that models of the Hermes and Qwen families write."""
    name = json.dumps(function["name"])
    return f'<tool_call>\n{{"name": {name}, "arguments": {function["arguments"] or "{}"}}}\n</tool_call>'


def _spoiled(entry: dict[str, Any], *, null: bool) -> dict[str, Any]:
    """Return the log-probability of a token whose `bytes` are null, or empty where they are no characters."""
    entry = {**entry, "bytes": None if null else _whole(entry["bytes"] or [])}
    if "top_logprobs" in entry:
        entry["top_logprobs"] = [_spoiled(each, null=null) for each in entry["top_logprobs"]]
    return entry


def _whole(raw: list[int]) -> list[int]:
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return []
    return raw


def off_by_one(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a choice of a completion in which each token has the log-probability of the one before it."""
    scores = choice.get("logprobs")
    if not scores:
        return choice
    late = [None, *scores["token_logprobs"]][: len(scores["tokens"])]
    return {**choice, "logprobs": {**scores, "token_logprobs": late}}


def streamed(chunks: Iterable[dict[str, Any]], *, keep: bool) -> Iterator[dict[str, Any]]:
    """Yield a stream whose usage stands on the last chunk with a choice, or nowhere.

    Args:
        chunks: The stream of the neutral server, with the usage in a chunk of its own at the end.
        keep: Whether to tell the usage at all.
    """
    held: dict[str, Any] | None = None
    for chunk in chunks:
        if not chunk.get("choices"):
            if keep and held is not None:
                held["usage"] = chunk.get("usage")
            continue
        if held is not None:
            yield held
        held = {key: value for key, value in chunk.items() if key != "usage"}
    if held is not None:
        yield held
