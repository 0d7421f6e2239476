"""Questions about chat completions in general: each function asks one, and says what the answer means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from opoi.models.endpoint.asker import SHORT, Answer, Asker, Outcome
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.selftest import QUESTION
from opoi.types import Reply

__all__ = ["CALL_LEFT", "GENERAL", "RIVERS", "limits", "list_offers", "object_in", "plain", "seeds", "stops"]

LISTED = 50
"""Names of models that are kept."""

CALL_LEFT = "Call the tool `left` twice in one answer: once with n = 1 and once with n = 2."
"""The plain question; asked again with tools on offer, so that the lengths of the prompts compare."""

RIVERS = QUESTION[0].content
"""The question for texts with some freedom, and characters of several bytes."""


def list_offers(asker: Asker) -> dict[str, Any]:
    """Ask which models there are, and how long the context is."""
    try:
        body = asker.get("/models")
    except EndpointFaultError as fault:
        if fault.kind in ("unreachable", "key"):
            raise
        return {"listing": "failed"}
    try:
        entries = msgspec.json.decode(body, type=_Listing).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"listing": "failed"}
    names = tuple(name if isinstance(name := entry.get("id"), str) else "" for entry in entries)
    own = [entry for entry in entries if entry.get("id") == asker.model]
    return {
        "listing": "ok" if names else "empty",
        "models": names[:LISTED],
        "models_count": len(names),
        "context": _context(own[0]) if own else None,
    }


class _Listing(Struct):
    data: list[dict[str, Any]]


_CONTEXT = (
    ("max_model_len",),  # vLLM
    ("meta", "n_ctx"),  # llama.cpp: as it runs
    ("meta", "n_ctx_train"),  # llama.cpp: as it was trained
    ("loaded_context_length",),
    ("context_length",),
    ("context_window",),
    ("max_context_length",),
)
"""Where lists of models tell the context length, the more certain first."""


def _context(entry: dict[str, Any]) -> int | None:
    for path in _CONTEXT:
        value: Any = entry
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def plain(asker: Asker) -> tuple[Answer, dict[str, Any]]:
    """Ask without anything special, and find a field that may bound an answer.

    Raises:
        EndpointFaultError: There is no answer with either field.
    """
    answer = asker.chat(CALL_LEFT, label="plain")
    refused = isinstance(answer, EndpointFaultError) and answer.kind in ("request", "server")
    if refused:
        asker.limit = "max_completion_tokens"
        answer = asker.chat(CALL_LEFT, label="plain")
    if isinstance(answer, EndpointFaultError):
        raise answer
    return answer, {"usage": answer.reply.usage.completion_tokens > 0}


def seeds(asker: Asker) -> tuple[dict[str, Any], Outcome]:
    """Ask twice with one seed and once with another, at temperature 1; all later answers repeat the first.

    Returns:
        What was found, and the first answer.
    """
    found = {"seed": "refused", "temperature": "refused"}
    for fields in ({"seed": 1, "temperature": 1}, {"seed": 1}, {"temperature": 1}):
        first = asker.chat(RIVERS, label="seed 1", **fields)
        if not isinstance(first, EndpointFaultError):
            break
    else:
        return found, asker.chat(RIVERS, label="seed 1")
    asker.sampling = fields
    if "temperature" in fields:
        found["temperature"] = "taken"
    if "seed" not in fields:
        return found, first
    again = asker.chat(RIVERS, label="seed 1 again")
    other = asker.chat(RIVERS, label="seed 2", seed=2)
    return {
        **found,
        "seed": "honoured" if _said(first) == _said(again) else "ignored",
        "seed_matters": _said(first) != _said(other),
    }, first


def _said(outcome: Outcome) -> object:
    """Return what is compared between two answers: everything that the model wrote."""
    if isinstance(outcome, EndpointFaultError):
        return outcome.kind
    reply = outcome.reply
    return reply.content, [(call.name, call.arguments) for call in reply.tool_calls], reply.finish_reason


def limits(asker: Asker, first: Outcome) -> dict[str, Any]:
    """Ask for fewer tokens by the newer field; the older one stays, so that no answer is without an end.

    Args:
        asker: Asks.
        first: The first answer to `seeds`.
    """
    bounded = "unknown" if isinstance(first, EndpointFaultError) else _bounded(first.reply, SHORT)
    if asker.limit == "max_completion_tokens":
        return {"max_tokens": "refused", "max_completion_tokens": bounded}
    few = 4
    answer = asker.chat(RIVERS, label="limit", max_completion_tokens=few)
    told = not isinstance(first, EndpointFaultError) and first.reply.usage.completion_tokens > _clearly(few)
    if isinstance(answer, EndpointFaultError) or not told:
        return {"max_tokens": bounded}  # some refuse both fields at once, and short answers tell nothing
    return {"max_tokens": bounded, "max_completion_tokens": _bounded(answer.reply, few)}


def _bounded(reply: Reply, most: int) -> str:
    """Say whether an answer is as short as it was to be; some servers count a mark or two besides."""
    tokens = reply.usage.completion_tokens
    if tokens == 0:
        return "honoured" if reply.finish_reason == "length" else "unknown"
    if tokens <= most:
        return "honoured"
    return "ignored" if tokens > _clearly(most) else "unknown"


def _clearly(most: int) -> int:
    """Return the most tokens that an answer may be said to have that was to have `most`."""
    return most + max(2, most // 4)


def _choices(asker: Asker) -> dict[str, Any]:
    """Ask for two choices."""
    answer = asker.chat(RIVERS, label="n", n=2)
    if isinstance(answer, EndpointFaultError):
        return {"n": "refused"}
    return {"n": "honoured" if len(answer.raw["choices"]) > 1 else "ignored"}


_CODE = "qz7"
_SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": [_CODE]}},
    "required": ["code"],
    "additionalProperties": False,
}


def _schema(asker: Asker) -> dict[str, Any]:
    """Ask for an answer that no model gives unless it is made to."""
    asked = {"type": "json_schema", "json_schema": {"name": "code", "strict": True, "schema": _SCHEMA}}
    answer = asker.chat(RIVERS, most=2 * SHORT, label="json_schema", response_format=asked)
    if isinstance(answer, EndpointFaultError):
        return {"json_schema": "refused"}
    text = answer.reply.content
    met = object_in(text) == {"code": _CODE}
    return {"json_schema": "enforced" if met or _is_beginning(text) else "ignored"}


def _is_beginning(text: str) -> bool:
    """Return whether a text that was cut off began as the schema has it; blanks may stand anywhere in it."""
    bare = "".join(text.split())
    return len(bare) > 2 and f'{{"code":"{_CODE}"}}'.startswith(bare)


def object_in(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is, None where it is none."""
    try:
        return msgspec.json.decode(text.strip(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _streams(asker: Asker) -> dict[str, Any]:
    """Ask for a stream that ends with the usage."""
    options = {"include_usage": True}
    answer = asker.chat(RIVERS, label="stream", stream=True, stream_options=options)
    if not isinstance(answer, EndpointFaultError):
        given = answer.reply.usage.completion_tokens > 0
        return {"stream": "ok", "stream_usage": "given" if given else "never"}
    answer = asker.chat(RIVERS, label="stream without usage", stream=True)
    if not isinstance(answer, EndpointFaultError):
        return {"stream": "ok", "stream_usage": "refused"}
    return {"stream": "broken" if answer.kind in ("garbage", "connection", "timeout") else "refused"}


def _unknown_fields(asker: Asker) -> dict[str, Any]:
    """Send a field that no server knows."""
    answer = asker.chat(RIVERS, most=1, label="unknown field", opoi_unknown=1)
    return {"unknown_fields": "refused" if isinstance(answer, EndpointFaultError) else "ignored"}


GENERAL: tuple[tuple[str, Callable[[Asker], dict[str, Any]]], ...] = (
    ("choices", _choices),
    ("schemas", _schema),
    ("streams", _streams),
    ("unknown fields", _unknown_fields),
)


def stops(asker: Asker, first: Outcome) -> dict[str, Any]:
    """Ask for an answer again that should end before characters that it had.

    Args:
        asker: Asks.
        first: The first answer to `seeds`.
    """
    if isinstance(first, EndpointFaultError):
        return {"stop": "unknown"}
    letters = Counter(char for char in first.reply.content if char.isprintable() and not char.isspace())
    ends = [char for char, _ in letters.most_common(4)]
    if not ends:
        return {"stop": "unknown"}
    answer = asker.chat(RIVERS, label="stop", stop=ends)
    if isinstance(answer, EndpointFaultError):
        return {"stop": "refused"}
    text = answer.reply.content
    if any(end in text[:-1] for end in ends):
        return {"stop": "ignored"}
    if text[-1:] in ends:
        return {"stop": "kept"}
    return {"stop": "honoured" if answer.reply.finish_reason == "stop" else "unknown"}
