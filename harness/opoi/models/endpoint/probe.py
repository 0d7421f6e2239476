"""What an endpoint can do, found out with 17 to 25 cheap requests of a few tokens each.

Whatever comes back from a question is an answer: a refusal, a failure, or a field that has no effect. Only an
endpoint that cannot do the first plain request, or that goes away, is an error. No request is longer than a
few sentences: one server worked on an overlong prompt for minutes, so the context length is read from the
list of models and never tried out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from opoi.models.endpoint.asker import Answer, Asker
from opoi.models.endpoint.capabilities import Capabilities, Scorer
from opoi.models.endpoint.faults import EndpointFaultError
from opoi.models.endpoint.lines import Line
from opoi.models.endpoint.questions import (
    CALL_LEFT,
    GENERAL,
    RIVERS,
    limits,
    list_offers,
    object_in,
    plain,
    seeds,
    stops,
)
from opoi.models.endpoint.scoring import Entry, entries_of
from opoi.models.endpoint.selftest import own_check, self_test
from opoi.models.endpoint.toolcalls import take_raw_calls
from opoi.types import Reply, ToolSpec, Usage
from opoi.wire import encode_tool

__all__ = ["probe"]

_LONG = 160
"""Tokens of an answer that should hold two tool calls, in the smallest of vocabularies."""

_SEEDS = (1, 2, 3)
"""Seeds with which tools are offered until a call is seen."""

_MOST_TOP = 20
"""Alternatives to a token that may be asked for at most."""


def probe(
    line: Line,
    model: str,
    *,
    temperature: float | None = 0.7,
    progress: Callable[[str], None] | None = None,
) -> Capabilities:
    """Find out what an endpoint can do.

    Args:
        line: The endpoint; one that tries again by itself only makes the probe slow, since a request
            that fails is an answer.
        model: Name of the model, as the endpoint knows it.
        temperature: That of the run, at which scores are compared; None sends none.
        progress: Told which question is being asked.

    Raises:
        EndpointFaultError: There can be no run: the first plain request failed, or the endpoint has
            gone away or turns us away (429) since.
        HaltedError: The run is being stopped.
    """
    tell = progress or _quiet
    asker = Asker(line, model)
    tell("models")
    found = list_offers(asker)
    tell("a plain answer")
    answer, told = plain(asker)
    found |= told
    tell("seeds")
    seeded, first = seeds(asker)
    found |= seeded
    tell("limits of answers")
    found |= limits(asker, first)
    for title, question in GENERAL:
        tell(title)
        found |= question(asker)
    tell("stop texts")
    found |= stops(asker, first)
    tell("tools")
    found |= _tools(asker, answer.reply.usage)
    tell("log-probabilities")
    settings = _settings(found, temperature)
    scores, generated = _logprobs(asker, settings)
    found |= scores
    tell("scores of given texts")
    scorers = _scorers(asker, settings, generated)
    found["scorers"] = scorers
    if scorers["prompt_logprobs"].verdict == "blind":  # and what it generates has the same figures
        found |= {"logprobs": False, "logprob_check": "blind"}
    tell("errors")
    found["errors"] = _errors(asker)
    return Capabilities(model=model, calls=asker.calls, **found)


def _quiet(_: str) -> None:
    """Tell nobody."""


def _settings(found: dict[str, Any], temperature: float | None) -> dict[str, Any]:
    """Return how the run samples, as far as the endpoint lets it."""
    settings: dict[str, Any] = {}
    if temperature is not None and found["temperature"] == "taken":
        settings["temperature"] = temperature
    if found["seed"] != "refused":
        settings["seed"] = 1
    return settings


# ---------------------------------------------------------------- tools

_NUMBER = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
_OFFER = [
    encode_tool(ToolSpec(name=name, description=f"Go {name}, n steps.", parameters=_NUMBER))
    for name in ("left", "right")
]
_LARGER = [
    encode_tool(ToolSpec(name=name, description=f"Go {name}, n steps. {more}", parameters=_NUMBER))
    for name, more in (
        ("left", "The path begins at the old mill, crosses a wooden bridge, and ends where two hedges meet."),
        ("right", "Here the ground is soft after rain, so walk slowly, count aloud, and keep near the wall."),
    )
]
"""The same tools in more words: a prompt that they reach grows more by them."""

_SIZES = {"small": _OFFER, "large": _LARGER}
_OFFERS = (("small", _OFFER), ("large", _LARGER), ("small", _OFFER))
"""What is offered with each of `_SEEDS`."""

_RIGHT = {"type": "function", "function": {"name": "right"}}


def _tools(asker: Asker, without: Usage) -> dict[str, Any]:
    """Offer two tools, leave the choice to the model, name the other one, and forbid both.

    Args:
        asker: Asks.
        without: What the same question cost when no tool was offered.
    """
    found, calling = _offered(asker, without)
    found |= _named(asker)
    if found["tools"] == "ignored" and found["tools_named"] in ("honoured", "broken"):
        found["tools"] = "rendered"  # it knows them: what was lacking is a count of the prompt's tokens
    if "parallel" not in found:
        return found
    found["tools_none"] = _none(asker, calling)
    if found["parallel"]:
        found["parallel_off"] = _one_call(asker, calling)
    return found


def _offered(asker: Asker, without: Usage) -> tuple[dict[str, Any], dict[str, Any]]:
    """Offer tools until a call is seen, a few times at most; return how the call was had, too.

    A weak model calls a tool now and then only, and one server breaks where it writes half of a call. A call
    that comes as text may be made up: it counts where the prompt grew by the tools, or is not counted.
    """
    best, raw = "refused", None
    prompts: dict[str, int] = {}
    for seed, (size, tools) in zip(_SEEDS, _OFFERS, strict=True):
        fields = {"tools": tools, **({"seed": seed} if "seed" in asker.sampling else {})}
        answer = asker.chat(CALL_LEFT, most=_LONG, label=f"tools {seed}", **fields)
        if isinstance(answer, EndpointFaultError):
            if answer.kind == "unreadable":  # it looks for calls, and could not make sense of one
                return {"tools": "parsed"}, {}
            continue
        reply, calls = answer.reply, take_raw_calls(answer.reply).tool_calls
        prompts[size] = reply.usage.prompt_tokens
        best = "ignored"
        if reply.tool_calls:
            return {"tools": "parsed", "parallel": len(calls) > 1}, fields
        if raw is None and "<tool_call>" in reply.content:
            raw = {"tools": "raw", "parallel": len(calls) > 1}, fields
        if raw and not min(reply.usage.prompt_tokens, without.prompt_tokens) > 0:
            return raw
        if raw and len(prompts) == len(_SIZES):
            break
    if not _grows(asker, without.prompt_tokens, prompts):
        return {"tools": best}, {}
    return raw or ({"tools": "rendered"}, {})


def _grows(asker: Asker, without: int, prompts: Mapping[str, int]) -> bool:
    """Return whether prompts grew by the tools, and by nothing else.

    They have to grow more by longer tools, by about as much as these are longer; and a control, the question
    without tools asked again, must not have grown at all.

    Args:
        asker: Asks.
        without: Tokens of the question without tools, 0 where they are not told.
        prompts: Tokens of the question with each offer.
    """
    small, large = prompts.get("small", 0), prompts.get("large", 0)
    longer = len(json.dumps(_LARGER)) - len(json.dumps(_OFFER))
    if not 0 < without < small or not longer / 16 <= large - small <= 2 * longer:
        return False
    control = asker.chat(CALL_LEFT, label="plain again")
    return not isinstance(control, EndpointFaultError) and 0 < control.reply.usage.prompt_tokens <= without


def _named(asker: Asker) -> dict[str, Any]:
    """Name the tool that the question does not ask for."""
    answer = asker.chat(CALL_LEFT, most=_LONG, label="named tool", tools=_OFFER, tool_choice=_RIGHT)
    if isinstance(answer, EndpointFaultError):
        return {"tools_named": "refused"}
    calls = take_raw_calls(answer.reply).tool_calls
    called = [call for call in calls if call.name == "right"]
    finish = answer.reply.finish_reason if calls else ""
    if not called:
        return {"tools_named": "ignored", "tools_named_finish": finish}
    whole = finish == "length" or all(object_in(call.arguments) is not None for call in called)
    return {"tools_named": "honoured" if whole else "broken", "tools_named_finish": finish}


def _none(asker: Asker, calling: dict[str, Any]) -> str:
    """Forbid tools to a model that has called one."""
    answer = asker.chat(CALL_LEFT, most=_LONG, label="no tool", tool_choice="none", **calling)
    if isinstance(answer, EndpointFaultError):
        return "refused"
    if answer.reply.tool_calls:
        return "ignored"
    return "raw" if "<tool_call>" in answer.reply.content else "honoured"


def _one_call(asker: Asker, calling: dict[str, Any]) -> str:
    """Forbid several calls to a model that has made several."""
    answer = asker.chat(CALL_LEFT, most=_LONG, label="one call", parallel_tool_calls=False, **calling)
    if isinstance(answer, EndpointFaultError):
        return "refused"
    return "ignored" if len(take_raw_calls(answer.reply).tool_calls) > 1 else "honoured"


# ---------------------------------------------------------------- log-probabilities


def _logprobs(asker: Asker, settings: dict[str, Any]) -> tuple[dict[str, Any], Answer | None]:
    """Ask for log-probabilities with as many alternatives as are given; return the answer with them too."""
    for top in (_MOST_TOP, 5, None):
        answer = asker.chat(RIVERS, label="logprobs", logprobs=True, top_logprobs=top, **settings)
        if not isinstance(answer, EndpointFaultError):
            break
    else:
        return {}, None
    check = own_check(answer.body, answer.reply.content)
    if check != "believed":
        return {"logprob_check": check}, None
    entries = entries_of(answer.body)
    return {
        "logprobs": True,
        "logprob_check": check,
        "top_logprobs": max(len(entry.top_logprobs or ()) for entry in entries),
        "logprob_bytes": _bytes_of(entries, answer.reply),
    }, answer


def _bytes_of(entries: list[Entry], reply: Reply) -> str:
    """Say whether the bytes of the tokens are the text."""
    if any(entry.bytes is None for entry in entries):
        return "null"
    try:
        text = b"".join(bytes(entry.bytes or ()) for entry in entries).decode(errors="replace")
    except ValueError:
        return "wrong"
    if reply.content in text:
        return "right"
    return "empty" if any(not entry.bytes and entry.token for entry in entries) else "wrong"


def _scorers(asker: Asker, settings: dict[str, Any], generated: Answer | None) -> dict[str, Scorer]:
    """Put both ways of scoring given texts to the test."""
    echo = self_test(asker, asker.model, "echo", settings)
    if generated is None:
        return {"prompt_logprobs": Scorer(), "echo": echo}
    found = self_test(
        asker, asker.model, "prompt_logprobs", settings, limit=asker.limit, generated=generated.body
    )
    return {"prompt_logprobs": found, "echo": echo}


# ---------------------------------------------------------------- errors


def _errors(asker: Asker) -> str:
    """Send what is no request, to see what an error looks like."""
    answer = asker.chat("", most=1, label="malformed", messages="none")
    form = answer.form if isinstance(answer, EndpointFaultError) else ""
    return form or "unknown"
