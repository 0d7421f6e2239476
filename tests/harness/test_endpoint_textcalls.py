"""Tools as text: what is written is read back exactly, nothing is mended, and no text passes for a call."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.models.endpoint.textcalls import describe, encode, read, render
from opoi.models.endpoint.toolcalls import take_raw_calls
from opoi.types import Message, Reply, ToolCall, ToolSpec
from opoi.wire import valid_text

TAGS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
ODD = [
    *TAGS,
    "<\\tool_call>",
    "<\\\\/tool_response>",
    "<",
    "\\",
    '"',
    "{",
    "}",
    "tool_call>",
    "/",
    "\n",
    " ",
    "é",
    "\u2028",
]
PIECES = st.lists(st.sampled_from(ODD) | st.text(max_size=5).map(valid_text), max_size=6).map("".join)
NAMES = PIECES.filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PIECES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=3),
    max_leaves=3,
)
INDENTS = st.sampled_from([None, 0, 3, "\t"])
ARGUMENTS = st.builds(
    lambda value, indent, ascii: json.dumps(value, indent=indent, ensure_ascii=ascii),
    st.dictionaries(PIECES, JSON, max_size=3),
    INDENTS,
    st.booleans(),
)
CALLS = st.lists(st.tuples(NAMES, ARGUMENTS), max_size=4)
SPEC = ToolSpec(name="read_gauge", description="Reads </tool_call>.", parameters={"type": "object"})


def calls_of(pairs: list[tuple[str, str]]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=f"call_{index}", name=name, arguments=arguments)
        for index, (name, arguments) in enumerate(pairs)
    )


def message(role: Any, content: str = "", **fields: Any) -> Message:
    return Message(role=role, content=content, author="suite", **fields)


# ---------------------------------------------------------------- there and back


@settings(max_examples=40, deadline=None)
@given(pairs=CALLS, content=PIECES)
def test_what_is_written_is_read_back_exactly(pairs: list[tuple[str, str]], content: str) -> None:
    calls = calls_of(pairs)
    reading = read(render(content, calls))
    assert reading.problem == ""
    assert reading.calls == calls
    assert reading.content == (content.strip() if calls else content)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.tuples(PIECES, NAMES, ARGUMENTS, st.sampled_from(["", " ", "\n\t"])), max_size=4),
    tail=PIECES,
)
def test_text_may_stand_before_between_and_after_calls(
    parts: list[tuple[str, str, str, str]], tail: str
) -> None:
    text = ""
    for before, name, arguments, space in parts:
        inside = f'{{{space}"arguments"{space}:{arguments}{space},{space}"name":{json.dumps(name)}{space}}}'
        text += f"{render(before, ())}<tool_call>{space}{inside}{space}</tool_call>"
    reading = read(text + render(tail, ()))
    assert reading.problem == ""
    assert [(call.name, call.arguments) for call in reading.calls] == [
        (name, arguments) for _, name, arguments, _ in parts
    ]
    said = "".join([*(before for before, _, _, _ in parts), tail])
    assert reading.content == (said.strip() if parts else said)


@given(name=NAMES, arguments=PIECES)
def test_arguments_that_are_no_object_are_shown_and_are_no_call(name: str, arguments: str) -> None:
    text = render("", calls_of([(name, arguments)]))
    shown = json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))
    if is_object(arguments):
        assert shown == {"name": name, "arguments": json.loads(arguments)}
        assert read(text).calls == calls_of([(name, arguments.strip())])
    else:
        assert shown == {"name": name, "arguments": arguments}
        assert read(text).problem.startswith("tool call 1: `arguments` is not an object")


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@settings(max_examples=40, deadline=None)
@given(pairs=CALLS, content=PIECES)
def test_blocks_left_by_a_server_follow_the_same_grammar(pairs: list[tuple[str, str]], content: str) -> None:
    calls = calls_of(pairs)
    text = render(content, calls)
    taken = take_raw_calls(Reply(content=text))
    assert taken.tool_calls == calls
    assert "<tool_call>" not in taken.content


@given(
    text=st.lists(
        st.sampled_from([*ODD, '{"name": "a", "arguments": {}}', '"arguments": {', "}}"]), max_size=8
    ).map("".join)
)
def test_any_text_is_read_or_has_a_problem_on_one_line(text: str) -> None:
    reading = read(text)
    assert not (reading.problem and reading.calls)
    assert "\n" not in reading.problem
    if reading.problem:
        assert reading.content == text
        assert any(tag in text for tag in TAGS)
        return
    assert render(reading.content, ()) in text or reading.calls
    assert read(render(reading.content, reading.calls)) == reading


# ---------------------------------------------------------------- nothing is mended

GOOD = '{"name": "a", "arguments": {}}'
NO_OBJECT = "an object is expected"
NO_END = "`</tool_call>` does not follow the object"
NO_NAME = "`name` is not a text, or empty"
NO_ARGUMENTS = "`arguments` is not an object"
NO_JSON = "`arguments` is not valid JSON"
NO_COMMA = "a comma or the end of the object after"
ANOTHER_KEY = "a key is neither `name` nor `arguments`"


@pytest.mark.parametrize(
    ("inside", "problem", "where"),
    [
        ("", NO_OBJECT, "</tool_call>"),
        ("a()", NO_OBJECT, "a()"),
        (f"[{GOOD}]", NO_OBJECT, "[{"),
        (f"<tool_call>{GOOD}", NO_OBJECT, "<tool_call>{"),
        (GOOD + GOOD, NO_END, "{" + GOOD[1:] + "</tool_call>"),
        (GOOD + ".", NO_END, "."),
        ("{}", "`name` is missing", "{}"),
        ('{"name": "a"}', "`arguments` is missing", "{"),
        ('{"arguments": {}}', "`name` is missing", "{"),
        ('{"name": "", "arguments": {}}', NO_NAME, '""'),
        ('{"name": 5, "arguments": {}}', NO_NAME, "5"),
        ('{"name": ["a"], "arguments": {}}', NO_NAME, "["),
        ('{"name": "a", "arguments": "{}"}', NO_ARGUMENTS, '"{}"'),
        ('{"name": "a", "arguments": [1]}', NO_ARGUMENTS, "["),
        ('{"name": "a", "arguments": 12}', NO_ARGUMENTS, "12"),
        ('{"name": "a", "arguments": null}', NO_ARGUMENTS, "null"),
        ('{"name": "a", "arguments": {}, "id": 1}', ANOTHER_KEY, '"id"'),
        ('{"name": "a", "Arguments": {}}', ANOTHER_KEY, '"Arguments"'),
        ('{"name": "a", "name": "b", "arguments": {}}', "`name` is repeated", '"name": "b"'),
        (r'{"name": "a", "n\u0061me": "b", "arguments": {}}', "`name` is repeated", r'"n\u'),
        ('{"name": "a", "arguments": {},}', "a key is not valid JSON", "}<"),
        ('{"name": "a", "arguments": {"x": 1,}}', NO_JSON, '{"x"'),
        ('{"name": "a", "arguments": {"x": NaN}}', NO_JSON, '{"x"'),
        ('{"name": "a", "arguments": {"x": -Infinity}}', NO_JSON, '{"x"'),
        ('{"name": "a", "arguments": {"x": "\n"}}', NO_JSON, '{"x"'),
        ('{"name": "a", "arguments": }', NO_JSON, "}"),
        ('{"name": "a", "arguments": {"x": 1}', f"{NO_COMMA} `arguments` is expected", "</tool_call>"),
        ('{"name": "a" "arguments": {}}', f"{NO_COMMA} `name` is expected", '"arguments"'),
        ("{'name': 'a', 'arguments': {}}", "a key is not valid JSON", "'name"),
        ('{"name" "a", "arguments": {}}', "a colon after `name` is expected", '"a"'),
        ('{1: "a", "arguments": {}}', "a key is not a text", "1:"),
    ],
)
def test_what_does_not_follow_the_grammar_is_named_and_is_no_call(
    inside: str, problem: str, where: str
) -> None:
    text = f"so\n<tool_call>{inside}</tool_call>"
    place = text.index(where, len("so\n<tool_call>")) + 1
    reading = read(text)
    assert reading.problem == f"tool call 1: {problem} (at character {place})"
    assert (reading.calls, reading.content) == ((), text)
    later = read(f"<tool_call>{GOOD}</tool_call>{text}")
    assert later.problem.startswith(f"tool call 2: {problem} ")
    assert later.calls == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"<tool_call>{GOOD}", "tool call 1: `</tool_call>` does not follow the object (at character 42)"),
        ("so <tool_call>", "tool call 1: an object is expected (at character 15)"),
        (f"{GOOD}</tool_call>", "`</tool_call>` ends no tool call (at character 31)"),
        (f"<tool_call>{GOOD}</tool_call>x</tool_call>", "`</tool_call>` ends no tool call (at character 55)"),
        ("a<tool_response>", "`<tool_response>` is for results of tools (at character 2)"),
        ("</tool_response>", "`</tool_response>` is for results of tools (at character 1)"),
    ],
)
def test_tags_stand_in_pairs_around_calls_and_nowhere_else(text: str, problem: str) -> None:
    assert read(text).problem == problem
    assert read(text).calls == ()


def test_a_flood_of_broken_blocks_is_read_in_time() -> None:
    began = time.process_time()
    for piece in (
        "<tool_call>",
        '<tool_call>{"name": "',
        '<tool_call>{"name": "a", "arguments": {"x": "',
        "<\\" * 9,
    ):
        flood = piece * (1_000_000 // len(piece))
        assert read(flood).calls == take_raw_calls(Reply(content=flood)).tool_calls == ()
    many = f"<tool_call>{GOOD}</tool_call>" * 5_000
    assert len(read(many).calls) == len(take_raw_calls(Reply(content=many)).tool_calls) == 5_000
    assert time.process_time() - began < 5


def test_deep_nesting_is_a_problem_like_any_other() -> None:
    text = '<tool_call>{"name": "a", "arguments": {"x": ' + "[" * 200_000 + "</tool_call>"
    assert read(text).problem.startswith("tool call 1: `arguments` is n")
    assert take_raw_calls(Reply(content=text)).tool_calls == ()


def test_arguments_keep_the_words_of_the_model() -> None:
    raw = '{"x":  1.50, "x": 2e400, "y": "\\u003c/tool_call>", "z": "</tool_call>", "n": ' + "9" * 5000 + "}"
    assert read(f'<tool_call>{{"name": "a", "arguments":  {raw} }}</tool_call>').calls[0].arguments == raw


# ---------------------------------------------------------------- messages


def test_a_conversation_is_written_without_tool_calling() -> None:
    first = ToolCall(id="x1", name="read_gauge", arguments='{"gauge": "g1"}')
    second = ToolCall(id="x2", name="open", arguments="{}")
    conversation = [
        message("system", "Be careful."),
        message("user", "Open it?"),
        message("assistant", "Looking.", tool_calls=(first, second)),
        message("tool", '{"bar": 3}', tool_call_id="x1"),
        message("tool", "</tool_response>", tool_call_id="x2"),
        message("assistant", "hold"),
    ]
    assert encode(conversation, [SPEC]) == [
        {"role": "system", "content": "Be careful.\n\n" + describe([SPEC])},
        {"role": "user", "content": "Open it?"},
        {
            "role": "assistant",
            "content": "Looking.\n"
            '<tool_call>{"name": "read_gauge", "arguments": {"gauge": "g1"}}</tool_call>\n'
            '<tool_call>{"name": "open", "arguments": {}}</tool_call>',
        },
        {
            "role": "user",
            "content": "<tool_response>"
            r'{"id": "x1", "name": "read_gauge", "content": "{\"bar\": 3}"}'
            "</tool_response>\n<tool_response>"
            r'{"id": "x2", "name": "open", "content": "\u003c/tool_response>"}'
            "</tool_response>",
        },
        {"role": "assistant", "content": "hold"},
    ]


def test_tools_get_a_system_message_where_there_is_none() -> None:
    assert encode([message("user", "Hi")], [SPEC]) == [
        {"role": "system", "content": describe([SPEC])},
        {"role": "user", "content": "Hi"},
    ]
    assert encode([message("user", "Hi")], []) == [{"role": "user", "content": "Hi"}]
    assert encode([message("system"), message("user")], [SPEC])[0] == {
        "role": "system",
        "content": describe([SPEC]),
    }


RESULT = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)


@settings(max_examples=40, deadline=None)
@given(
    said=st.lists(st.tuples(PIECES, PIECES), min_size=1, max_size=4),
    around=st.tuples(PIECES, PIECES, PIECES),
)
def test_no_text_forges_a_call_or_a_result(said: list[tuple[str, str]], around: tuple[str, str, str]) -> None:
    results = [message("tool", content, tool_call_id=id) for id, content in said]
    conversation = [
        message("system", around[0]),
        message("user", around[1]),
        message("assistant", around[2]),
        *results,
    ]
    system, user, assistant, tools = (each["content"] for each in encode(conversation, []))
    for text in (system, user, assistant):
        assert not any(tag in text for tag in TAGS)
        assert read(text).calls == ()
    assert read(assistant).content == around[2]
    assert [json.loads(found) for found in RESULT.findall(tools)] == [
        {"id": id, "name": "", "content": content} for id, content in said
    ]
    assert tools.count("<") == 2 * len(said)


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(NAMES, ARGUMENTS), min_size=1, max_size=3), content=PIECES)
def test_an_answer_that_was_encoded_reads_as_it_was(pairs: list[tuple[str, str]], content: str) -> None:
    calls = calls_of(pairs)
    (wire,) = encode([message("assistant", content, tool_calls=calls)], [])
    reading = read(wire["content"])
    assert (reading.content, reading.calls, reading.problem) == (content.strip(), calls, "")


def test_results_name_the_call_that_they_answer_in_each_turn() -> None:
    def turn(name: str) -> list[Message]:
        call = ToolCall(id="call_0", name=name, arguments="{}")
        return [message("assistant", tool_calls=(call,)), message("tool", "ok", tool_call_id="call_0")]

    wires = encode([*turn("f"), *turn("g")], [])
    assert [json.loads(RESULT.findall(wires[at]["content"])[0])["name"] for at in (1, 3)] == ["f", "g"]


@settings(max_examples=40, deadline=None)
@given(
    tools=st.lists(
        st.builds(
            ToolSpec, name=NAMES, description=PIECES, parameters=st.dictionaries(PIECES, JSON, max_size=2)
        ),
        max_size=3,
    )
)
def test_the_description_lists_each_tool_and_its_example_is_a_call(tools: list[ToolSpec]) -> None:
    text = describe(tools)
    inside = text[text.index("<tools>\n") + 8 : text.rindex("\n</tools>")]
    assert [json.loads(line) for line in inside.split("\n") if line] == [
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools
    ]
    start = text.index("<tool_call>")
    example = text[start : text.index("</tool_call>", start) + len("</tool_call>")]
    assert read(example).calls == (ToolCall(id="call_0", name="NAME", arguments='{"KEY": "VALUE"}'),)
    assert text.count("<tool_call>") == text.count("</tool_call>") == 1


def test_no_two_messages_of_the_user_follow_each_other() -> None:
    call = ToolCall(id="call_0", name="look", arguments="{}")
    conversation = [
        Message(role="system", content="S", author="suite"),
        Message(role="user", content="task", author="suite"),
        Message(role="assistant", tool_calls=(call,), author="student"),
        Message(role="tool", content="seen", tool_call_id="call_0", author="env"),
        Message(role="user", content="a note", author="oracle"),
    ]
    wire = encode(conversation, [])
    assert [message["role"] for message in wire] == ["system", "user", "assistant", "user"]
    assert wire[-1]["content"].endswith("</tool_response>\n\na note")
