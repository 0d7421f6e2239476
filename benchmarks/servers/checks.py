"""The rows of the matrix, and asking a server for all of them.

Every row makes a few direct calls with the official client and returns a word or two (`value`, which is
compared between runs) and what was seen (`detail`). None of them imports `opoi`: they are a second,
independent look at what `opoi probe` finds out. They rely on the model of `tiny_model.py`, which
calls a tool in about half of its first answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import openai
from asking import Answer, Endpoint
from rows_answers import (
    json_schema,
    seed_repeats,
    seeds_together,
    several_answers,
    stop_text,
    stream_usage,
    streams_together,
    together,
    token_limit,
    wild_answers,
)
from rows_edges import (
    context_overflow,
    empty_content,
    error_body,
    late_system,
    models_list,
    null_content,
    responses_api,
    truncated_arguments,
    unknown_field,
    unknown_model,
)
from rows_scores import chat_prompt_logprobs, completions_echo, logprob_bytes, logprobs
from rows_tools import (
    cut_call,
    named_tool,
    parallel_calls,
    required_tool,
    tool_calls,
    tool_calls_in_stream,
    tool_choice_none,
    tool_not_offered,
)

__all__ = ["CHECKS", "Check", "Finding", "run_checks"]


@dataclass(frozen=True)
class Check:
    """One row: its id, what it is called, who finds it out."""

    id: str
    title: str
    ask: Callable[[Endpoint], Answer]


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    id: str
    title: str
    value: str
    detail: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


GONE_FOR = 60.0
"""Seconds after which a server that answers nothing any more is given up."""


def run_checks(endpoint: Endpoint, wanted: Sequence[Check] = ()) -> list[dict[str, Any]]:
    """Run all checks (or those wanted) in order; what a server refuses or breaks is a finding too.

    After a server has stopped answering, the rows that are left are not asked.
    """
    found = []
    for check in wanted or CHECKS:
        start = time.monotonic()
        value, detail = _asked(check, endpoint)
        taken = round(time.monotonic() - start, 2)
        gone = _gone_for(endpoint)
        if gone:
            detail = {**detail, "then refused everything for seconds": gone}
        found.append(asdict(Finding(check.id, check.title, value, detail, taken)))
        if gone > GONE_FOR:
            break
    return found


def _gone_for(endpoint: Endpoint) -> float:
    """Return the seconds until a plain request is answered again; a proxy may sulk after an error."""
    start = time.monotonic()
    gone = 0.0
    while not _answers(endpoint) and gone <= GONE_FOR:
        time.sleep(0.5)
        gone = time.monotonic() - start
    return round(gone, 1)


def _answers(endpoint: Endpoint) -> bool:
    try:
        return endpoint.raw_chat().status_code == 200
    except httpx.TransportError:
        return False  # it closed the connection, or is restarting


def _asked(check: Check, endpoint: Endpoint) -> Answer:
    try:
        return check.ask(endpoint)
    except openai.APIStatusError as error:
        return f"refused ({error.status_code})", {"body": error.response.text[:400]}
    except (openai.APITimeoutError, httpx.TimeoutException):
        return "no answer in time", {"timeout": endpoint.timeout}
    except json.JSONDecodeError as error:
        return "not JSON", {"error": str(error)}
    except (openai.APIConnectionError, httpx.TransportError) as error:
        return "connection broken", {"error": repr(error.__cause__ or error)[:200]}


CHECKS: tuple[Check, ...] = (
    Check("models_list", "models are listed", models_list),
    Check("tool_calls", "tool calls, finish reason", tool_calls),
    Check("tool_calls_in_stream", "tool calls in a stream", tool_calls_in_stream),
    Check("named_tool", "a named tool", named_tool),
    Check("required_tool", "tool_choice required", required_tool),
    Check("tool_choice_none", "tool_choice none", tool_choice_none),
    Check("parallel_calls", "several calls in an answer", parallel_calls),
    Check("tool_not_offered", "a call of a tool not on offer", tool_not_offered),
    Check("cut_call", "calls cut off by max_tokens", cut_call),
    Check("json_schema", "json_schema", json_schema),
    Check("logprobs", "logprobs", logprobs),
    Check("logprob_bytes", "bytes of tokens", logprob_bytes),
    Check("seed_repeats", "the same seed repeats", seed_repeats),
    Check("seeds_together", "seeds repeat with four at once", seeds_together),
    Check("together", "greedy, one and four at once", together),
    Check("streams_together", "four streams at once", streams_together),
    Check("several_answers", "n=2", several_answers),
    Check("stop_text", "stop", stop_text),
    Check("token_limit", "max_completion_tokens", token_limit),
    Check("stream_usage", "usage in a stream", stream_usage),
    Check("completions_echo", "completions: echo with logprobs", completions_echo),
    Check("chat_prompt_logprobs", "chat: prompt_logprobs", chat_prompt_logprobs),
    Check("responses_api", "responses API", responses_api),
    Check("late_system", "system message after the task", late_system),
    Check("empty_content", 'calls in history, content ""', empty_content),
    Check("null_content", "calls in history, content null", null_content),
    Check("truncated_arguments", "truncated tool JSON in history", truncated_arguments),
    Check("wild_answers", "stands answers at temperature 2", wild_answers),
    Check("unknown_model", "unknown model", unknown_model),
    Check("unknown_field", "unknown field", unknown_field),
    Check("error_body", "refusal of bad messages", error_body),
    Check("context_overflow", "longer than the context", context_overflow),
)
"""The rows, in order: the last can keep a server busy."""
