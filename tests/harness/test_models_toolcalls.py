"""Tool calls left as text: whole blocks are taken, nothing else is, and no text is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.models.endpoint.toolcalls import take_raw_calls
from opoi.types import Reply, ToolCall

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
JSON_TEXT = st.text() | st.sampled_from(["<tool_call>", "</tool_call>", 'a "</tool_call>"'])
ARGUMENTS = st.dictionaries(
    JSON_TEXT, st.one_of(st.integers(), JSON_TEXT, st.booleans(), st.none()), max_size=3
)
PROSE = st.text(max_size=30).filter(lambda text: "tool_call" not in text)


def block(name: str, arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


@given(calls=st.lists(st.tuples(PROSE, NAMES, ARGUMENTS), min_size=1, max_size=4), tail=PROSE)
def test_written_calls_are_read_back(calls: list[tuple[str, str, dict[str, object]]], tail: str) -> None:
    text = "".join(before + block(name, arguments) for before, name, arguments in calls) + tail
    reply = take_raw_calls(Reply(content=text, finish_reason="stop"))
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        (name, arguments) for _, name, arguments in calls
    ]
    assert [call.id for call in reply.tool_calls] == [f"call_{index}" for index in range(len(calls))]
    assert reply.content == ("".join(before for before, _, _ in calls) + tail).strip()
    assert reply.finish_reason == "tool_calls"


@given(text=st.text(alphabet='<>/tool_ca{}":nmergus \n', max_size=80))
def test_text_without_a_whole_block_is_left_alone(text: str) -> None:
    reply = take_raw_calls(Reply(content=text))
    assert reply.tool_calls or reply.content == text


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "a", "arguments": {}}',
        '{"name": "a", "arguments": {}}</tool_call>',
        "<tool_call>a()</tool_call>",
        '<tool_call>{"name": "a"}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "a", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "a", "arguments": {}, "note": 1}</tool_call>',
        '<tool_call>{"name": "a", "arguments": {"x": 1}</tool_call>',
        '<tool_call>{"name": "a", "arguments": {"x": NaN}}</tool_call>',
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
    ],
)
def test_a_block_that_is_not_well_formed_stays_text(text: str) -> None:
    reply = Reply(content=text, finish_reason="stop")
    assert take_raw_calls(reply) is reply


def test_a_broken_block_beside_a_whole_one_stays_in_the_text() -> None:
    broken = '<tool_call>{"name": "b", "argu'
    reply = take_raw_calls(Reply(content=block("a", {"x": 1}) + broken, finish_reason="length"))
    assert reply.tool_calls == (ToolCall(id="call_0", name="a", arguments='{"x": 1}'),)
    assert (reply.content, reply.finish_reason) == (broken, "length")


@pytest.mark.parametrize(
    "inside",
    ['{"name": "a", "name": "b", "arguments": {}}', '{"name": "a", "arguments": "{}", "arguments": {}}'],
)
def test_a_block_with_a_key_that_is_repeated_stays_text(inside: str) -> None:
    reply = Reply(content=f"<tool_call>{inside}</tool_call>")
    assert take_raw_calls(reply) is reply


def test_tags_within_strings_are_text() -> None:
    text = block("a", {"x": "</tool_call><tool_call>"})
    (call,) = take_raw_calls(Reply(content=text)).tool_calls
    assert json.loads(call.arguments) == {"x": "</tool_call><tool_call>"}


@pytest.mark.parametrize(("broken", "taken"), [(99, 1), (100, 0)])
def test_after_a_hundred_broken_blocks_the_rest_is_taken_for_prose(broken: int, taken: int) -> None:
    text = "<tool_call>{" * broken + block("a", {})
    assert len(take_raw_calls(Reply(content=text)).tool_calls) == taken


def test_arguments_keep_the_words_of_the_model() -> None:
    text = '<tool_call>{"name": "a", "arguments": {"x":  1.50, "x": 2}}</tool_call>'
    assert take_raw_calls(Reply(content=text)).tool_calls[0].arguments == '{"x":  1.50, "x": 2}'
    text = r'<tool_call>{"name": "a", "arguments": "{\"x\": 1}"}</tool_call>'
    assert take_raw_calls(Reply(content=text)).tool_calls[0].arguments == '{"x": 1}'


def test_parsed_calls_win() -> None:
    call = ToolCall(id="x", name="real", arguments="{}")
    reply = Reply(content=block("a", {}), tool_calls=(call,))
    assert take_raw_calls(reply) is reply
