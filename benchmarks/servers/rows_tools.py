"""Rows about tools."""

from __future__ import annotations

from collections.abc import Sequence

from asking import SEEDS, TOOL, Answer, Choice, Endpoint, is_json

__all__ = [
    "cut_call",
    "named_tool",
    "parallel_calls",
    "required_tool",
    "tool_calls",
    "tool_calls_in_stream",
    "tool_choice_none",
    "tool_not_offered",
]


def _how_called(choices: Sequence[Choice]) -> Answer:
    """Tell how calls came: as `tool_calls`, as text, or not at all."""
    parsed = sum(bool(choice.message.tool_calls) for choice in choices)
    raw = sum("<tool_call>" in (choice.message.content or "") for choice in choices)
    reasons = sorted({str(choice.finish_reason) for choice in choices if choice.message.tool_calls})
    detail = {"answers": len(choices), "parsed": parsed, "raw text": raw, "finish_reason": reasons}
    return "parsed" if parsed else "raw text" if raw else "none", detail


def tool_calls(endpoint: Endpoint) -> Answer:
    """Tools offered, the choice left to the model."""
    value, detail = _how_called(endpoint.choices(tools=[TOOL]))
    return f"{value}, {'/'.join(detail['finish_reason'])}" if detail["parsed"] else value, detail


def tool_calls_in_stream(endpoint: Endpoint) -> Answer:
    """Tool calls of a streamed answer, and in how many pieces the first one's arguments came."""
    for seed in SEEDS:
        pieces, reason, text = [], "", ""
        for chunk in endpoint.chunks(tools=[TOOL], seed=seed):
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                text += choice.delta.content or ""
                pieces += [call for call in choice.delta.tool_calls or () if call.index in (0, None)]
        if pieces:
            arguments = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
            detail = {"pieces": len(pieces), "arguments": arguments, "finish_reason": reason}
            return f"parsed, {reason}", detail
        if "<tool_call>" in text:
            return "raw text", {"finish_reason": reason, "text": text[:200]}
    return "none", {}


def named_tool(endpoint: Endpoint) -> Answer:
    """`tool_choice` that names the tool: is it called every time, and what is the finish reason?"""
    choice = {"type": "function", "function": {"name": "read_gauge"}}
    return _forced(endpoint.choices(SEEDS[:6], tools=[TOOL], tool_choice=choice))


def required_tool(endpoint: Endpoint) -> Answer:
    """`tool_choice="required"`."""
    return _forced(endpoint.choices(SEEDS[:6], tools=[TOOL], tool_choice="required"))


def _forced(choices: Sequence[Choice]) -> Answer:
    """Tell whether each answer is a call; one that was cut off before it could be is no proof against."""
    how, detail = _how_called(choices)
    called = [choice for choice in choices if choice.message.tool_calls]
    cut = sum(choice.finish_reason == "length" and not choice.message.tool_calls for choice in choices)
    whole = sum(is_json(choice.message.tool_calls[0].function.arguments) for choice in called)
    detail |= {"cut off before a call": cut, "arguments that are JSON": whole}
    if how != "parsed":
        return ("raw text" if detail["raw text"] else "ignored"), detail
    reasons = "/".join(detail["finish_reason"])
    return (f"called, {reasons}" if len(called) + cut == len(choices) else f"ignored, {reasons}"), detail


def tool_choice_none(endpoint: Endpoint) -> Answer:
    """`tool_choice="none"`: calls should not come; the model's own `<tool_call>` text may."""
    how, detail = _how_called(endpoint.choices(tools=[TOOL], tool_choice="none"))
    return {"parsed": "ignored", "raw text": "raw text", "none": "no calls"}[how], detail


def parallel_calls(endpoint: Endpoint) -> Answer:
    """Most calls in one answer, with parallel calls allowed and forbidden."""
    most = {
        allowed: max(
            len(choice.message.tool_calls or ())
            for choice in endpoint.choices(range(24), tools=[TOOL], parallel_tool_calls=allowed)
        )
        for allowed in (True, False)
    }
    if most[True] < 2:
        return "never more than one", {"most": most[True], "most if forbidden": most[False]}
    value = "yes; false keeps the first" if most[False] == 1 else "yes; false is ignored"
    return value, {"most": most[True], "most if forbidden": most[False]}


def cut_call(endpoint: Endpoint) -> Answer:
    """Calls with too few tokens to finish them."""
    asked = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 3}
    replies = [endpoint.raw_chat(**asked, seed=seed) for seed in SEEDS]
    refused = [reply.status_code for reply in replies if reply.status_code != 200]
    choices = [reply.json()["choices"][0] for reply in replies if reply.status_code == 200]
    calls = [call for choice in choices for call in choice["message"].get("tool_calls") or ()]
    cut = sum(not is_json(call["function"]["arguments"]) for call in calls)
    reasons = sorted({str(choice["finish_reason"]) for choice in choices})
    detail = {"refused": refused, "calls": len(calls), "cut": cut, "finish_reason": reasons}
    if refused:
        return f"{max(refused)} for some", detail
    return f"{'cut' if cut else 'whole' if calls else 'no'} calls, {'/'.join(reasons)}", detail


def tool_not_offered(endpoint: Endpoint) -> Answer:
    """Another tool is on offer than the model knows: what becomes of a call of the one that is not?"""
    other = {"type": "function", "function": {**TOOL["function"], "name": "close_valve"}}
    replies = [endpoint.raw_chat(tools=[other], max_tokens=60, seed=seed) for seed in SEEDS]
    refused = [reply.text[:160] for reply in replies if reply.status_code != 200]
    messages = [reply.json()["choices"][0]["message"] for reply in replies if reply.status_code == 200]
    names = sorted({call["function"]["name"] for one in messages for call in one.get("tool_calls") or ()})
    raw = sum("<tool_call>" in (message.get("content") or "") for message in messages)
    value = "passed on" if set(names) - {"close_valve"} else "raw text" if raw else ""
    detail = {"answers": len(messages), "called": names, "raw text": raw, "refused": refused[:1]}
    broken = f"{max(reply.status_code for reply in replies)} for some" if refused else ""
    return "; ".join(filter(None, (value, broken))) or "not called", detail
