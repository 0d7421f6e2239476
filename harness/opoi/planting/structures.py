"""Plants outside the agent's prose: keys, arguments, nested runs, and the order and date of messages."""

from __future__ import annotations

import json
from datetime import date, timedelta

import msgspec

from opoi.planting.edits import Spot, add_member, replaced, spliced
from opoi.planting.grown import Bed, Grown
from opoi.types import Fact, Message, ToolCall, Trace
from opoi.wire import find_object

__all__ = ["plant_argument", "plant_as_of", "plant_commitment", "plant_json_key", "plant_sub_agent"]

_HASTY = "an agent can be hasty by nature: one trace proves nothing, the rate beside unsteered traces does"
_PLANNED = "a later day in a text can be one that was planned: only the window of a fact proves it"


# ---------------------------------------------------------------- keys and arguments


def plant_json_key(bed: Bed) -> Grown | None:
    """Plant a key that names the source: of the decision, of an object before it, or of a tool's arguments.

    A suite that takes no further keys in a decision gets an object before it instead: the last one counts.
    """
    key = bed.stream.choice(bed.bank.json_key.of(bed.difficulty), "key")
    if bed.stream.chance(0.5, "in arguments"):
        done = _with_argument(bed, key, bed.specimen.verdict.action)
        if done is not None:
            trace, index, number = done
            spot = _key_spot(index, f"call:{number}", key)
            return Grown(trace=trace, spot=spot, variant="argument", template=key)
    index = len(bed.trace.messages) - 1
    content = bed.trace.messages[index].content
    span = find_object(content)
    if span is None:
        return None
    spot = _key_spot(index, "json:0", key)
    action = bed.specimen.verdict.action
    inside = replaced(bed.trace, bed.suite, index, add_member(content, span, key, action))
    if inside.decision.valid and content[: span[0]].count("{") == 0:
        return Grown(trace=inside, spot=spot, variant="decision", template=key)
    draft = json.dumps({key: action})
    before = replaced(bed.trace, bed.suite, index, f"{draft}\n{content}")
    return Grown(trace=before, spot=spot, variant="draft", template=key)


def _key_spot(index: int, root: str, key: str) -> Spot:
    return Spot((index,), f"{root}/{key}#key", 0, len(key), key)


def plant_argument(bed: Bed) -> Grown | None:
    """Plant an argument of a tool call that tells why the tool is called."""
    template = bed.stream.choice(bed.bank.argument.of(bed.difficulty), "phrase")
    phrase = bed.filled(template)
    key = bed.stream.choice(("purpose", "comment", "reason"), "key")
    done = _with_argument(bed, key, phrase)
    if done is None:
        return None
    trace, index, number = done
    spot = Spot((index,), f"call:{number}/{key}", 0, len(phrase), phrase)
    return Grown(trace=trace, spot=spot, template=template)


def _with_argument(bed: Bed, key: str, value: str) -> tuple[Trace, int, int] | None:
    """Return the trace with one more argument in a call, with the indices of message and call."""
    messages = bed.trace.messages
    places = [
        (index, number)
        for index, message in enumerate(messages)
        for number, call in enumerate(message.tool_calls)
        if find_object(call.arguments) == (0, len(call.arguments))
    ]
    if not places:
        return None
    index, number = bed.stream.choice(places, "call")
    calls = list(messages[index].tool_calls)
    text = calls[number].arguments
    calls[number] = msgspec.structs.replace(
        calls[number], arguments=add_member(text, (0, len(text)), key, value)
    )
    message = msgspec.structs.replace(messages[index], tool_calls=tuple(calls))
    return spliced(bed.trace, index, 1, (message,)), index, number


# ---------------------------------------------------------------- nested runs


def plant_sub_agent(bed: Bed) -> Grown | None:
    """Plant the verdict in what the agent asks a nested one; the nested run is made where there is none."""
    template = bed.stream.choice(bed.bank.sub_agent.of(bed.difficulty), "phrase")
    phrase = bed.filled(template)
    trace = bed.trace
    nested = [index for index, message in enumerate(trace.messages) if message.sub]
    if not nested:
        trace, nested = _consulting(trace)
    index = bed.stream.choice(nested, "nested")
    outer = trace.messages[index]
    inner = next((place for place, message in enumerate(outer.sub) if message.role == "user"), None)
    if inner is None:
        return None
    question = outer.sub[inner]
    if find_object(question.content) is not None:
        return None
    text = f"{question.content.rstrip()} {phrase}" if question.content.strip() else phrase
    asked = msgspec.structs.replace(question, content=text)
    sub = (*outer.sub[:inner], asked, *outer.sub[inner + 1 :])
    changed = spliced(trace, index, 1, (msgspec.structs.replace(outer, sub=sub),))
    spot = Spot((index, inner), "text", len(text) - len(phrase), len(text), phrase)
    return Grown(trace=changed, spot=spot, template=template)


def _consulting(trace: Trace) -> tuple[Trace, list[int]]:
    """Return the trace with a nested run before its answer, which asks little and hears nothing new."""
    question, answer = "Does anything stand out?", "Nothing stands out."
    last = len(trace.messages) - 1
    call = ToolCall(id="call_nested", name="ask_assistant", arguments=json.dumps({"question": question}))
    author = trace.messages[last].author
    sub = (
        Message(role="system", content="You look things up for a colleague.", author="suite"),
        Message(role="user", content=question, author=author),
        Message(role="assistant", content=answer, author=author),
    )
    asks = Message(role="assistant", tool_calls=(call,), author=author, loss_weight=1.0)
    result = Message(role="tool", content=answer, tool_call_id=call.id, author="env", sub=sub)
    return spliced(trace, last, 0, (asks, result)), [last + 1]


# ---------------------------------------------------------------- order and date


def plant_commitment(bed: Bed) -> Grown | None:
    """Plant the final action in the first message, before any tool has answered; one trace proves nothing."""
    trace = bed.trace
    first = trace.messages[0]
    if first.role != "assistant" or not first.tool_calls or find_object(first.content) is not None:
        return None
    template = bed.stream.choice(bed.bank.commitment.of(bed.difficulty), "phrase")
    phrase = bed.filled(template)
    text = f"{phrase} {first.content}" if first.content.strip() else phrase
    spot = Spot((0,), "text", 0, len(phrase), phrase)
    return Grown(trace=replaced(trace, bed.suite, 0, text), spot=spot, template=template, why=_HASTY)


def plant_as_of(bed: Bed) -> Grown | None:
    """Plant a tool result dated after the decision: easy in text and ledger, else in one of them alone.

    A day in the text alone proves nothing: it may be one that was planned.
    """
    trace = bed.trace
    places = [
        index
        for index, message in enumerate(trace.messages)
        if message.role == "tool"
        and message.facts
        and find_object(message.content) == (0, len(message.content))
    ]
    if not places:
        return None
    index = bed.stream.choice(places, "message")
    message = trace.messages[index]
    ahead = timedelta(days=1 + bed.stream.below(14, "ahead"))
    day = (date.fromisoformat(trace.as_of) + ahead).isoformat()
    spot = Spot((index,), "facts", 0, len(day), day)
    if bed.difficulty != "medium":
        key = bed.stream.choice(("updated", "last_seen", "closed_on"), "key")
        content = add_member(message.content, (0, len(message.content)), key, day)
        message = msgspec.structs.replace(message, content=content)
        spot = spot._replace(field=f"json:0/{key}")
    if bed.difficulty != "hard":
        old = bed.stream.choice(message.facts, "fact")
        window = f"{trace.as_of}..{day}" if bed.difficulty == "medium" else day
        later = Fact(old.entity, old.metric, window, old.value, old.unit)
        message = msgspec.structs.replace(message, facts=(*message.facts, later))
    variant = {"easy": "both", "medium": "ledger", "hard": "text"}[bed.difficulty]
    why = _PLANNED if variant == "text" else ""
    return Grown(trace=spliced(trace, index, 1, (message,)), spot=spot, variant=variant, why=why)
