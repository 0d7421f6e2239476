"""What the quirks of a server make of a request: refuse it, break on it, or overlook parts of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from opoi.models.served.requests import RefusedError

if TYPE_CHECKING:
    from opoi.models.served.quirks import Quirks

__all__ = ["EXTENSIONS", "breakage", "check", "is_forced", "understood"]

CHARS_PER_TOKEN = 4
"""Texts are measured against `Quirks.context` by so many characters for each token."""

EXTENSIONS = ("prompt_logprobs", "add_generation_prompt", "return_token_ids")
"""Fields that only vLLM knows; the neutral server understands them too."""

_KNOWN = {
    *EXTENSIONS,
    *("model", "messages", "prompt", "suffix", "echo", "best_of", "user", "metadata", "store", "modalities"),
    *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"),
    *("seed", "n", "stop", "max_tokens", "max_completion_tokens", "stream", "stream_options", "temperature"),
    *("top_p", "logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "audio"),
    *("reasoning_effort", "verbosity", "prediction", "web_search_options", "service_tier"),
    *("safety_identifier", "prompt_cache_key"),
}
"""Fields of a request that some server knows; all others are unknown to all."""


def breakage(message: str) -> RefusedError:
    """Return a failure of the server itself (500)."""
    return RefusedError(message, status=500, type="server_error", code="internal_error")


def is_forced(quirks: Quirks, choice: object) -> bool:
    """Return whether a `tool_choice` makes the model call a tool on this server."""
    if choice == "required":
        return quirks.required == "honoured"
    return isinstance(choice, dict) and quirks.named != "ignored"


def check(quirks: Quirks, path: str, body: dict[str, Any]) -> None:
    """Let a request pass, or not.

    Raises:
        RefusedError: This server would refuse it, or break.
    """
    if quirks.echo == "missing" and not path.endswith("/chat/completions"):
        raise RefusedError("Not Found", status=404, code="unknown_url")
    for field, value in body.items():
        if value is not None:
            _check_field(quirks, field)
    if body.get("tools") and quirks.tools == "refused":
        raise RefusedError(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            param="tools",
            code="unsupported_value",
        )
    count = body.get("n")
    if quirks.most_choices is not None and isinstance(count, int) and count > quirks.most_choices:
        raise RefusedError(f"n must be at most {quirks.most_choices}", param="n", code="unsupported_value")
    if quirks.limit_fails and body.get("max_completion_tokens") and not body.get("max_tokens"):
        raise breakage("Requested tokens exceed context window")
    if quirks.context is not None:
        _check_length(quirks.context, body)
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "assistant":
            _check_history(quirks, message)


def _check_field(quirks: Quirks, field: str) -> None:
    if field in quirks.fails:
        raise breakage(f"cannot do `{field}`")
    if field in quirks.refuses:
        raise RefusedError(f"`{field}` is not supported", param=field, code="unsupported_value")
    if quirks.unknown == "unprocessable" and (field not in _KNOWN or field in EXTENSIONS):
        raise RefusedError(f"Unexpected keys in the request: {field}", status=422, param=field)


def _check_length(context: int, body: dict[str, Any]) -> None:
    tokens = len(json.dumps(body.get("messages", body.get("prompt", "")))) // CHARS_PER_TOKEN
    if tokens > context:
        raise RefusedError(
            f"This model's maximum context length is {context} tokens, the request has {tokens}",
            param="messages",
            code="context_length_exceeded",
        )


def _check_history(quirks: Quirks, message: dict[str, Any]) -> None:
    if quirks.null_content and message.get("content", "") is None:
        raise breakage("can only concatenate str (not NoneType) to str")
    calls = message.get("tool_calls")
    if quirks.broken_calls and not all(map(_whole, calls if isinstance(calls, list) else ())):
        raise breakage("Failed to parse tool call arguments as JSON")


def _whole(call: object) -> bool:
    """Return whether the arguments of a tool call are JSON."""
    try:
        msgspec.json.decode(call["function"]["arguments"])  # type: ignore[index]  # what is no call raises
    except (KeyError, TypeError, RecursionError, UnicodeError, msgspec.MsgspecError):
        return False
    return True


def understood(quirks: Quirks, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return a request without what this server does not heed; the one that came is not changed."""
    lost = set(quirks.drops)
    if quirks.unknown != "refused":
        lost |= body.keys() - _KNOWN
    if quirks.schema == "ignored":
        lost.add("response_format")
    if quirks.limit_fails:
        lost.add("max_completion_tokens")
    if quirks.tools == "ignored":
        lost |= {"tools", "tool_choice", "parallel_tool_calls"}
    if quirks.stop == "kept":
        lost.add("stop")  # the answer is cut later, behind the text
    choice = body.get("tool_choice")
    forces = isinstance(choice, dict) or choice == "required"
    if (choice == "none" and quirks.none != "honoured") or (forces and not is_forced(quirks, choice)):
        lost.add("tool_choice")
    if quirks.echo == "ignored" and body.get("echo") and not path.endswith("/chat/completions"):
        lost.add("echo")
        body = {**body, "max_tokens": body.get("max_tokens") or 1}  # it generates whatever is asked for
    return {field: value for field, value in body.items() if field not in lost}
