from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.types import Message, Reply, ToolCall, ToolSpec, Usage
from opoi.wire import (
    answer_action,
    call_action,
    decode_reply,
    encode_messages,
    encode_reply,
    encode_tool,
    find_object,
    parse_action,
    parse_messages,
    parse_tools,
)

CALLS = st.lists(
    st.builds(
        ToolCall, id=st.text(min_size=1, max_size=6), name=st.text(max_size=6), arguments=st.text(max_size=20)
    ),
    unique_by=lambda call: call.id,
    max_size=3,
).map(tuple)
OBJECTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9) | st.none(), max_size=4)
PROSE = st.text(st.characters(exclude_characters="{}"), max_size=30)


@given(content=st.text(max_size=40), calls=CALLS, tokens=st.integers(0, 10**6))
def test_a_reply_survives_the_wire(content: str, calls: tuple[ToolCall, ...], tokens: int) -> None:
    reply = Reply(
        content=content,
        tool_calls=calls,
        finish_reason="tool_calls" if calls else "stop",
        usage=Usage(calls=1, prompt_tokens=tokens, completion_tokens=3),
    )
    assert decode_reply(msgspec.json.encode(encode_reply(reply, model="m"))) == reply


@given(
    contents=st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=20)), min_size=1
    ),
    calls=CALLS,
)
def test_messages_survive_the_wire_but_for_our_marks(
    contents: list[tuple[str, str]], calls: tuple[ToolCall, ...]
) -> None:
    messages = [
        Message(
            role=role,  # type: ignore[arg-type]
            content=text,
            author="suite",
            tool_calls=calls if role == "assistant" else (),
            tool_call_id="c" if role == "tool" else "",
        )
        for role, text in contents
    ]
    assert list(parse_messages(json.loads(json.dumps(encode_messages(messages))))) == messages


def test_content_is_never_null_on_the_wire() -> None:
    assert encode_messages([Message(role="assistant", author="student")])[0]["content"] == ""


def test_facts_and_authors_never_reach_a_model() -> None:
    wire = encode_messages(
        [Message(role="tool", author="env", tool_call_id="a", facts=(), content="x", error=True)]
    )
    assert wire == [{"role": "tool", "content": "x", "tool_call_id": "a"}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "not a chat completion"),
        (b"[]", "not a chat completion"),
        (b'{"choices": []}', "`choices` is empty"),
        (b'{"choices": [{"message": {"content": 7}}]}', "content"),
        (b"\xff\xfe{}", "not a chat completion"),
        (b"[" * 100_000, "not a chat completion"),
    ],
)
def test_nonsense_is_called_by_its_name(body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode_reply(body)


def test_half_a_character_in_a_reply_is_the_models_and_not_the_endpoints() -> None:
    body = b'{"choices": [{"message": {"content": "cut \\ud83d off, whole \\ud83d\\ude00"}}]}'
    assert decode_reply(body).content == "cut \ufffd off, whole \U0001f600"


def test_null_content_object_arguments_and_missing_ids_are_read() -> None:
    body = {
        "choices": [
            {
                "message": {
                    "content": None,
                    "tool_calls": [
                        {"function": {"name": "f", "arguments": {"a": 1}}},
                        {"id": "x", "function": {"name": "g"}},
                        {"id": "x", "function": {"name": "h", "arguments": None}},
                    ],
                }
            }
        ],
        "usage": None,
    }
    reply = decode_reply(json.dumps(body).encode())
    assert reply.content == ""
    assert [(call.id, call.arguments) for call in reply.tool_calls] == [
        ("call_0", '{"a": 1}'),
        ("x", ""),
        ("call_2", ""),
    ]


@given(tool=st.text(min_size=1), arguments=st.text())
def test_an_action_survives_its_text(tool: str, arguments: str) -> None:
    action = parse_action(call_action(tool, arguments))
    assert (action.tool, action.arguments, action.answer) == (tool, arguments, None)
    assert parse_action(answer_action(arguments)).answer == arguments


@pytest.mark.parametrize("text", ["", "{}", "hello", '{"tool": 7}', '{"tool": "a", "answer": "b"}', "[]"])
def test_what_is_not_an_action_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="action"):
        parse_action(text)


@given(before=PROSE, value=OBJECTS, after=PROSE)
def test_the_decision_is_found_in_whatever_prose(before: str, value: dict[str, object], after: str) -> None:
    text = f"{before}{json.dumps(value)}{after}"
    span = find_object(text)
    assert span is not None
    assert json.loads(text[slice(*span)]) == value


@given(st.text())
def test_looking_for_an_object_never_raises(text: str) -> None:
    span = find_object(text)
    assert span is None or isinstance(json.loads(text[slice(*span)]), dict)


def test_the_last_object_counts_and_depth_does_no_harm() -> None:
    text = '{"a": 1} then {"b": {"c": 2}} end'
    assert text[slice(*find_object(text) or ())] == '{"b": {"c": 2}}'
    assert find_object('{"a":' * 5000) is None


def test_tools_survive_the_wire() -> None:
    tool = ToolSpec(name="f", description="does", parameters={"type": "object"})
    assert parse_tools([encode_tool(tool)]) == (tool,)
    assert parse_tools(None) == ()


@pytest.mark.parametrize(
    "raw", [None, [], "x", [{"role": "pope", "content": ""}], [{"content": "x", "role": 3}]]
)
def test_bad_requests_say_what_is_wrong(raw: object) -> None:
    with pytest.raises(ValueError, match="messages"):
        parse_messages(raw)
