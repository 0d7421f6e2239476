"""What the servers are expected to do: for CI, and to tell where measurements differ.

`EXPECTED` holds what the versions named in docs/servers.md did when it was written. A difference is no fault
of `opoi`: the server has changed, and the document wants to be written again. `EARLIER` holds what a
measurement by hand of the same servers said (November 2026), where it can be compared.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EARLIER", "EXPECTED", "PROBED", "differences", "disagreements", "surprises"]

EXPECTED: dict[str, dict[str, str]] = {
    "llama.cpp": {
        "models_list": "yes",
        "tool_calls": "parsed, tool_calls",
        "tool_calls_in_stream": "parsed, tool_calls",
        "tool_choice_none": "raw text",
        "json_schema": "enforced",
        "logprobs": "yes",
        "seed_repeats": "yes",
        "seeds_together": "yes",
        "streams_together": "whole",
        "stop_text": "yes",
        "token_limit": "yes",
        "completions_echo": "echo is ignored",
        "chat_prompt_logprobs": "no",
        "truncated_arguments": "refused (500)",
        "unknown_model": "accepted",
        "unknown_field": "accepted",
        "error_body": "400, error{}",
        "context_overflow": "refused (400)",
    },
}
"""Values of checks, by server."""

PROBED: dict[str, dict[str, object]] = {
    "llama.cpp": {
        "models": ["tiny"],
        "listing": "ok",
        "tools": "parsed",
        "tools_none": "raw",
        "json_schema": "enforced",
        "logprobs": True,
        "seed": "honoured",
        "seed_matters": True,
        "stop": "honoured",
        "max_tokens": "honoured",
        "unknown_fields": "ignored",
        "stream": "ok",
        "usage": True,
        "errors": "openai",
    },
}
"""Fields of `opoi probe --json`, by server."""

EARLIER: dict[str, dict[str, str]] = {
    "llama.cpp": {
        "tool_calls": "parsed, tool_calls",
        "named_tool": "called, tool_calls",
        "tool_choice_none": "raw text",
        "json_schema": "enforced",
        "logprobs": "yes",
        "logprob_bytes": "right",
        "seed_repeats": "yes",
        "several_answers": "yes",
        "token_limit": "yes",
        "stream_usage": "chunk of its own",
        "completions_echo": "echo is ignored",
        "chat_prompt_logprobs": "no",
        "responses_api": "yes",
        "models_list": "yes",
        "unknown_model": "accepted",
        "unknown_field": "accepted",
        "context_overflow": "refused (400)",
    },
    "vllm": {
        "tool_calls": "parsed, tool_calls",
        "named_tool": "called, stop",
        "tool_choice_none": "raw text",
        "parallel_calls": "yes; false keeps the first",
        "json_schema": "enforced",
        "logprobs": "yes",
        "logprob_bytes": "right; empty for partial UTF-8",
        "seed_repeats": "yes",
        "together": "same text",
        "several_answers": "yes",
        "token_limit": "yes",
        "stream_usage": "chunk of its own",
        "completions_echo": "exact",
        "chat_prompt_logprobs": "exact",
        "responses_api": "yes",
        "models_list": "yes",
        "unknown_model": "refused (404)",
        "unknown_field": "accepted",
        "context_overflow": "refused (400)",
    },
    "transformers": {
        "tool_calls": "parsed, tool_calls",
        "named_tool": "ignored, tool_calls",
        "tool_choice_none": "ignored",
        "json_schema": "ignored",
        "logprobs": "none",
        "seed_repeats": "yes",
        "several_answers": "returns 1",
        "token_limit": "yes",
        "stream_usage": "last choice's chunk",
        "responses_api": "streams unasked",
        "models_list": "refused (500)",
        "unknown_model": "refused (400)",
        "unknown_field": "refused (422)",
        "context_overflow": "unchecked",
        "truncated_arguments": "refused (500); the next is reset",
    },
    "litellm": {
        "several_answers": "yes",
        "responses_api": "yes",
        "models_list": "yes",
        "unknown_model": "refused (400)",
        "unknown_field": "accepted",
    },
    "llama-cpp-python": {
        "tool_calls": "raw text",
        "tool_choice_none": "raw text",
        "json_schema": "refused (500)",
        "logprobs": "yes",
        "logprob_bytes": "null",
        "seed_repeats": "yes",
        "several_answers": "returns 1",
        "token_limit": "ignored",
        "stream_usage": "never",
        "completions_echo": "wrong",
        "chat_prompt_logprobs": "no",
        "responses_api": "refused (404)",
        "models_list": "yes",
        "unknown_model": "accepted",
        "unknown_field": "accepted",
        "context_overflow": "refused (400)",
    },
}
"""Values of checks as measured by hand, by server."""


AGREE: dict[str, tuple[str, dict[object, tuple[str, ...]]]] = {
    "tools": ("tool_calls", {"parsed": ("parsed",), "raw": ("raw text",), "refused": ("refused",)}),
    "tools_named": ("named_tool", {"honoured": ("called",), "broken": ("called",), "ignored": ("ignored",)}),
    "tools_none": ("tool_choice_none", {"honoured": ("no calls",), "raw": ("raw",), "ignored": ("ignored",)}),
    "json_schema": (
        "json_schema",
        {"enforced": ("enforced",), "ignored": ("ignored",), "refused": ("refused",)},
    ),
    "logprobs": ("logprobs", {True: ("yes",), False: ("none", "refused")}),
    "seed": ("seed_repeats", {"honoured": ("yes", "all"), "ignored": ("no",), "refused": ("refused",)}),
    "n": ("several_answers", {"honoured": ("yes",), "ignored": ("returns",), "refused": ("refused",)}),
    "stop": ("stop_text", {"honoured": ("yes",), "ignored": ("ignored", "ends"), "refused": ("refused",)}),
    "max_completion_tokens": (
        "token_limit",
        {"honoured": ("yes",), "ignored": ("ignored",), "refused": ("refused",)},
    ),
    "unknown_fields": ("unknown_field", {"ignored": ("accepted",), "refused": ("refused",)}),
    "stream_usage": ("stream_usage", {"given": ("chunk", "last", "in"), "never": ("never",)}),
    "listing": ("models_list", {"ok": ("yes",), "empty": ("empty",), "failed": ("refused", "connection")}),
    "errors": (
        "error_body",
        {"openai": ("400, error{}", "500, error{}"), "detail": ("422, detail",), "text": ("500, text",)},
    ),
}
"""For fields of `opoi probe`: the row that asks the same, and how its value starts where both agree.

A value that is not here (`unknown`) says nothing that could be compared.
"""

SCORERS = {"echo": "completions_echo", "prompt_logprobs": "chat_prompt_logprobs"}
"""For ways of scoring: the row that asks the same. Both believe it or neither does."""


def disagreements(found: dict[str, Any]) -> list[str]:
    """Return where `opoi probe` and the rows of the matrix tell different things of a server."""
    said = found["probe"]["said"]
    values = {check["id"]: check["value"] for check in found["checks"]}
    apart = [
        f"{name}: {said[name]} by `opoi probe`, {values[row]} by the row"
        for name, (row, starts) in AGREE.items()
        if name in said and not values[row].startswith(starts.get(said[name], ("",)))
    ]
    for way, row in SCORERS.items():
        verdict = said["scorers"].get(way, {}).get("verdict", "absent")
        if (verdict == "believed") != (values[row] == "exact"):
            apart.append(f"scores by {way}: {verdict} by `opoi probe`, {values[row]} by the row")
    return apart


def differences(found: dict[str, Any], expected: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    """Return (row, expected, found) for each row of a server that differs."""
    values = {check["id"]: check for check in found["checks"]}
    return [
        (values[row]["title"], value, values[row]["value"])
        for row, value in expected.get(found["server"], {}).items()
        if row in values and values[row]["value"] != value
    ]


def surprises(found: dict[str, Any]) -> list[str]:
    """Return what a server, or `opoi probe` of it, did that was not expected, as sentences."""
    rows = [f"{row}: {now} instead of {then}" for row, then, now in differences(found, EXPECTED)]
    said = found["probe"]["said"]
    probed = [
        f"opoi probe, {name}: {said.get(name)!r} instead of {value!r}"
        for name, value in PROBED.get(found["server"], {}).items()
        if said.get(name) != value
    ]
    return [*rows, *probed, *disagreements(found)]
