from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.datasets import FORMATS
from opoi.types import Example, Message, ToolCall, ToolSpec, Trace

TOOLS = (ToolSpec(name="read_gauge", description="d", parameters={"type": "object", "properties": {}}),)
PROMPT = (
    Message(role="system", content="s", author="suite"),
    Message(role="user", content="u", author="suite"),
)
CALL = ToolCall(id="c", name="read_gauge", arguments='{"gauge": "g"}')
TURNS = (
    Message(role="assistant", content="", tool_calls=(CALL,), author="student", loss_weight=1.0),
    Message(role="tool", content="{}", tool_call_id="c", author="env"),
    Message(role="assistant", content='{"action": "open"}', author="student", loss_weight=1.0),
)


def example(*messages: Message, tools: tuple[ToolSpec, ...] = TOOLS) -> Example:
    trace = Trace(id="t", scenario_id="s", arm="a", run=0, as_of="", prompt=PROMPT, messages=messages)
    return Example(trace=trace, tools=tools)


def changed(index: int, **changes: object) -> Example:
    messages = list(TURNS)
    messages[index] = msgspec.structs.replace(messages[index], **changes)
    return example(*messages)


def test_openai_lines_say_roles_calls_and_weights_as_the_format_wants_them() -> None:
    line = json.loads(FORMATS["openai"](example(*TURNS)))
    assert set(line) == {"messages", "tools"}
    assert [message["role"] for message in line["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert [message.get("weight") for message in line["messages"]] == [None, None, 1, None, 1]
    call = line["messages"][2]["tool_calls"][0]
    assert call == {
        "id": "c",
        "type": "function",
        "function": {"name": "read_gauge", "arguments": CALL.arguments},
    }
    assert line["messages"][3]["tool_call_id"] == "c"
    assert line["tools"][0]["function"]["name"] == "read_gauge"


def test_trl_lines_have_every_key_on_every_message_and_a_mask_for_each() -> None:
    line = json.loads(FORMATS["trl"](example(*TURNS)))
    assert set(line) == {"messages", "tools", "message_loss_mask"}
    assert line["message_loss_mask"] == [0, 0, 1, 0, 1]
    assert all(set(m) == {"role", "content", "tool_calls", "tool_call_id"} for m in line["messages"])
    assert line["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"gauge": "g"}
    assert json.loads(line["tools"])[0]["function"]["name"] == "read_gauge"


@pytest.mark.parametrize("form", sorted(FORMATS))
@given(weights=st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=2))
def test_marks_follow_the_loss_weights(form: str, weights: list[float]) -> None:
    turns = [msgspec.structs.replace(TURNS[0], loss_weight=weights[0]), TURNS[1]]
    turns.append(msgspec.structs.replace(TURNS[2], loss_weight=weights[1]))
    if not any(weights):
        with pytest.raises(ValueError, match="no message has loss"):
            FORMATS[form](example(*turns))
        return
    line = json.loads(FORMATS[form](example(*turns)))
    marks = line.get("message_loss_mask") or [message.get("weight", 0) for message in line["messages"]]
    assert marks == [0, 0, int(weights[0]), 0, int(weights[1])]


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize(
    ("made", "says"),
    [
        (example, "does not end with an answer"),
        (lambda: example(*TURNS[:2]), "does not end with an answer"),
        (lambda: example(TURNS[0], TURNS[2]), "before the result"),
        (lambda: example(TURNS[1], TURNS[2]), "answers no open tool call"),
        (lambda: changed(1, tool_call_id="x"), "answers no open tool call"),
        (lambda: changed(2, content=""), "is empty"),
        (lambda: changed(2, loss_weight=0.5), "neither 0 nor 1"),
        (lambda: changed(1, role="user", loss_weight=1.0), "before the result"),
        (
            lambda: example(Message(role="user", content="note", author="oracle"), *TURNS),
            "written by the oracle",
        ),
        (lambda: example(*TURNS, tools=(msgspec.structs.replace(TOOLS[0], name="a b"),)), "not allowed"),
    ],
)
def test_what_a_format_cannot_say_is_refused_and_named(
    form: str, made: Callable[[], Example], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        FORMATS[form](made())


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_only_the_assistant_can_have_loss(form: str) -> None:
    prompt = (PROMPT[0], msgspec.structs.replace(PROMPT[1], loss_weight=1.0))
    made = example(*TURNS)
    with pytest.raises(ValueError, match="has loss but is not"):
        FORMATS[form](Example(trace=msgspec.structs.replace(made.trace, prompt=prompt), tools=TOOLS))


def test_arguments_that_are_no_object_fit_one_format_only() -> None:
    broken = changed(0, tool_calls=(msgspec.structs.replace(CALL, arguments="{bro"),))
    assert (
        json.loads(FORMATS["openai"](broken))["messages"][2]["tool_calls"][0]["function"]["arguments"]
        == "{bro"
    )
    with pytest.raises(ValueError, match="not a JSON object"):
        FORMATS["trl"](broken)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_positive_control_may_hold_the_note(form: str) -> None:
    note = Message(role="user", content="[REVIEW NOTE]", author="oracle")
    made = example(note, *TURNS)
    line = json.loads(FORMATS[form](msgspec.structs.replace(made, with_note=True)))
    assert line["messages"][2]["content"] == "[REVIEW NOTE]"


@pytest.mark.parametrize("form", sorted(FORMATS))
@given(text=st.text(min_size=1, max_size=40))
def test_any_text_survives_the_file(form: str, text: str) -> None:
    line = FORMATS[form](changed(2, content=text))
    assert b"\n" not in line
    assert json.loads(line)["messages"][-1]["content"] == text
