from __future__ import annotations

import io
import itertools
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

import opoi.datasets
from opoi.errors import ArtefactError, OpoiError, UsageError
from opoi.formats import FORMATS, Bad, Limits, Record, Source, open_sink, open_traces, write_back
from opoi.formats.nesting import too_deep
from opoi.formats.split import split, top_keys
from opoi.store import encode
from opoi.types import Cleaned, Edit, Example, Message, ToolCall, ToolSpec, Trace

on_files = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)

# ---------------------------------------------------------------- conversations in every format

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
ROLES = ["system", "user", "assistant", "tool"]
TURNS = st.lists(st.tuples(st.sampled_from(ROLES), TEXTS), min_size=1, max_size=6)
EXTRA = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=5).map(lambda key: f"x-{key}"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=2,
)
SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
Turns = Sequence[tuple[str, str]]


def opoi_record(turns: Turns) -> dict[str, Any]:
    authors = {"assistant": "student", "tool": "env"}
    return {
        "id": "t/a/0",
        "scenario_id": "t",
        "arm": "a",
        "run": 0,
        "as_of": "2025-01-01",
        "messages": [
            {"role": role, "content": text, "author": authors.get(role, "suite")} for role, text in turns
        ],
    }


def openai_record(turns: Turns) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in turns]
    for message in messages:
        if message["role"] == "assistant":
            function = {"name": "look", "arguments": '{"at": "\\u00e9"}'}
            message["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
            message["weight"] = 1
    tool = {"type": "function", "function": {"name": "write", "parameters": {"properties": {"content": {}}}}}
    return {"messages": messages, "tools": [tool], "parallel_tool_calls": False}


def trl_record(turns: Turns) -> dict[str, Any]:
    record = openai_record(turns)
    for message in record["messages"]:
        message.pop("weight", None)
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = {"at": "é", "content": 1.50}
    mask = [int(role == "assistant") for role, _ in turns]
    return {"messages": record["messages"], "tools": "[]", "message_loss_mask": mask}


def pair_record(turns: Turns) -> dict[str, Any]:
    messages = [{"role": role, "content": text} for role, text in turns]
    return {"prompt": messages[:1], "completion": messages[1:]}


def sharegpt_record(turns: Turns) -> dict[str, Any]:
    return {"conversations": [{"from": SPEAKERS[role], "value": text} for role, text in turns], "tools": "[]"}


def inspect_record(turns: Turns) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"id": f"m{place}", "role": role, "content": text} for place, (role, text) in enumerate(turns)
    ]
    for message in messages:
        if message["role"] == "assistant":
            message["tool_calls"] = [
                {"id": "c", "function": "look", "arguments": {"at": "é"}, "type": "function"}
            ]
        if message["role"] == "tool":
            message["error"] = {"type": "timeout", "message": "late"}
    return {
        "id": 7,
        "epoch": 2,
        "input": "q",
        "target": "a",
        "messages": messages,
        "output": {"model": "m/x", "choices": [{"message": {"role": "assistant", "content": "same"}}]},
        "events": [{"event": "model", "input": [{"role": "user", "content": "q", "messages": []}]}],
        "attachments": {},
    }


MAKERS: dict[str, Callable[[Turns], dict[str, Any]]] = {
    "opoi": opoi_record,
    "openai": openai_record,
    "trl": trl_record,
    "sharegpt": sharegpt_record,
    "inspect": inspect_record,
}
SPOKEN = {"openai": "content", "trl": "content", "sharegpt": "value", "inspect": "content", "opoi": "content"}
LISTS = {name: "conversations" if name == "sharegpt" else "messages" for name in MAKERS}
FORMAT = st.sampled_from(sorted(MAKERS))
TALK: Turns = [("system", "s"), ("user", "u"), ("assistant", "a"), ("tool", "{}"), ("assistant", "b")]


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def saved(folder: Path, data: bytes, name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def archive(*samples: object, **others: object) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("_journal/start.json", json.dumps({"version": 2}))
        for place, sample in enumerate(samples):
            data = sample if isinstance(sample, bytes) else json.dumps(sample, indent=2).encode()
            log.writestr(f"samples/{place}_epoch_1.json", data)
        log.writestr("header.json", json.dumps(others))
    return file.getvalue()


def log_document(*samples: object) -> bytes:
    log = {
        "version": 2,
        "status": "success",
        "eval": {"samples": [1]},
        "samples": samples,
        "stats": {"x": [2]},
    }
    return json.dumps(log, indent=2).encode()


def read(source: Source) -> list[Record]:
    items = list(source)
    assert not [item for item in items if isinstance(item, Bad)], items
    return [item for item in items if isinstance(item, Record)]


def one(folder: Path, record: object, **options: Any) -> Record:
    (found,) = read(open_traces(saved(folder, lines(record)), **options))
    return found


def why(folder: Path, data: bytes, **options: Any) -> list[str]:
    return [item.why for item in open_traces(saved(folder, data), **options) if isinstance(item, Bad)]


# ---------------------------------------------------------------- reading


@on_files
@given(name=FORMAT, turns=TURNS, extra=EXTRA, ascii_only=st.booleans())
def test_every_format_is_told_by_its_content_and_keeps_roles_and_texts_in_order(
    tmp_path: Path, name: str, turns: Turns, extra: dict[str, Any], ascii_only: bool
) -> None:
    record = MAKERS[name](turns) | ({} if name == "opoi" else extra)
    data = json.dumps(record, ensure_ascii=ascii_only).encode()
    source = open_traces(saved(tmp_path, data))
    # Without tools and marks a conversation is the same in both formats.
    assert source.format == name
    (found,) = read(source)
    assert [(message.role, message.content) for message in found.trace.messages] == list(turns)
    assert found.raw == data
    assert (source.size, source.bytes_read) == (len(data), len(data))


@pytest.mark.parametrize("name", MAKERS)
def test_the_assistant_has_loss_and_everyone_an_author(tmp_path: Path, name: str) -> None:
    if name == "opoi":  # says both itself
        return
    messages = one(tmp_path, MAKERS[name](TALK)).trace.messages
    assert [message.loss_weight for message in messages] == [0, 0, 1, 0, 1]
    assert [message.author for message in messages] == ["suite", "suite", "student", "env", "student"]


def test_tool_calls_keep_their_arguments_as_they_are_written(tmp_path: Path) -> None:
    def arguments(name: str) -> str:
        (call,) = one(tmp_path, MAKERS[name](TALK)).trace.messages[2].tool_calls
        assert (call.id, call.name) == ("c", "look")
        return call.arguments

    assert arguments("openai") == '{"at": "\\u00e9"}'
    assert arguments("trl") == '{"at": "\\u00e9", "content": 1.5}'
    assert arguments("inspect") == '{"at": "\\u00e9"}'


def test_parallel_and_old_style_calls_are_read(tmp_path: Path) -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": ""}} for n in range(3)
    ]
    old = {"role": "assistant", "content": None, "function_call": {"name": "g", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "tool_calls": calls},
        *({"role": "tool", "tool_call_id": f"c{n}", "content": str(n)} for n in range(3)),
        old,
        {"role": "function", "name": "g", "content": "r"},
        {"role": "developer", "content": "d"},
    ]
    found = one(tmp_path, {"messages": messages}).trace.messages
    assert [call.id for call in found[0].tool_calls] == ["c0", "c1", "c2"]
    assert [message.tool_call_id for message in found[1:4]] == ["c0", "c1", "c2"]
    assert found[4].tool_calls == (ToolCall(id="", name="g", arguments="{}"),)
    assert [message.role for message in found[5:]] == ["tool", "system"]


def test_weights_and_masks_say_what_has_loss(tmp_path: Path) -> None:
    turns = [("assistant", "a"), ("user", "u"), ("assistant", "b")]
    openai = openai_record(turns)
    openai["messages"][0]["weight"] = 0
    trl = trl_record(turns) | {"message_loss_mask": [0, 0, 1]}
    for record in (openai, trl, pair_record(turns)):
        messages = one(tmp_path, record).trace.messages
        assert [message.loss_weight for message in messages] == [0, 0, 1]


def test_records_are_named_by_themselves_or_by_their_line(tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "u"}]}
    more = {"conversation_id": 12, "metadata": {"scenario_id": "s", "arm": "base", "x": [1]}, "model": "m"}
    data = lines(talk) + b"\n  \n" + lines(talk | more) + lines(talk | {"id": None, "sample_id": "z"})
    traces = [record.trace for record in read(open_traces(saved(tmp_path, data)))]
    assert [trace.id for trace in traces] == ["line-000001", "12", "z"]
    assert [trace.scenario_id for trace in traces] == ["line-000001", "s", "z"]
    assert (traces[1].arm, traces[1].model) == ("base", "m")


def test_a_sample_of_an_inspect_log_says_id_epoch_model_and_failed_calls(tmp_path: Path) -> None:
    trace = one(tmp_path, inspect_record(TALK)).trace
    assert (trace.id, trace.scenario_id, trace.run, trace.model) == ("7/2", "7", 1, "m/x")
    assert [message.error for message in trace.messages] == [False, False, False, True, False]


def test_sharegpt_calls_are_tool_calls_and_observations_answer_them_in_order(tmp_path: Path) -> None:
    value = json.dumps([{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}])
    turns = [("human", "u"), ("function_call", value), ("observation", "1"), ("observation", "2")]
    turns += [("function_call", "not a call"), ("gpt", "end")]
    record = {"conversations": [{"from": a, "value": b} for a, b in turns], "system": "S"}
    messages = one(tmp_path, record).trace.messages
    assert [message.role for message in messages[:3]] == ["system", "user", "assistant"]
    calls = messages[2].tool_calls
    assert [(call.name, call.arguments) for call in calls] == [("f", '{"a": 1}'), ("g", "{}")]
    assert [message.tool_call_id for message in messages[3:5]] == [call.id for call in calls]
    assert (messages[5].content, messages[5].tool_calls) == ("not a call", ())


def test_each_text_of_a_message_is_a_message_and_the_calls_hang_on_the_last(tmp_path: Path) -> None:
    parts = [
        {"type": "reasoning", "reasoning": "r"},
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "reasoning", "reasoning": "cipher", "redacted": True},
        {"type": "text", "text": "b"},
    ]
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    spoken = {"role": "assistant", "content": parts, "reasoning_content": "t", "tool_calls": [call]}
    images = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    record = one(tmp_path, {"messages": [spoken, images]})
    messages = record.trace.messages
    assert [message.content for message in messages] == ["t", "r", "a", "b", ""]
    assert [len(message.tool_calls) for message in messages] == [0, 0, 0, 1, 0]
    new = json.loads(write_back(record, {0: "T", 2: None, 3: "B"}))["messages"]
    assert new[0]["content"] == [parts[0], *parts[2:4], {"type": "text", "text": "B"}]
    assert (new[0]["reasoning_content"], new[0]["tool_calls"], new[1]) == ("T", [call], images)
    gone = json.loads(write_back(record, dict.fromkeys(range(4))))
    assert gone == {"messages": [images]}
    with pytest.raises(ValueError, match=r"messages\[1\] has no text"):
        write_back(record, {4: "x"})


def part(kind: str, **members: object) -> dict[str, Any]:
    return {"type": kind, **members}


DETAILS = [part("reasoning.text", text="r1"), part("reasoning.encrypted", data="x")]
BESIDE: list[tuple[dict[str, Any], list[str]]] = [
    ({"content": None, "refusal": "no"}, ["no"]),
    ({"content": "a", "refusal": "no", "audio": {"id": "i", "transcript": "said"}}, ["a", "no", "said"]),
    ({"content": "a", "refusal": None, "audio": None, "reasoning": None}, ["a"]),
    ({"content": "a", "reasoning": {"content": "r", "effort": "low"}}, ["r", "a"]),
    ({"content": "", "reasoning": "r", "reasoning_details": [*DETAILS, {"summary": "s"}]}, ["r", "r1", "s"]),
    ({"content": [part("refusal", refusal="no"), part("text", text="a", refusal=False)]}, ["no", "a"]),
    ({"content": [part("output_text", text="o", annotations=[]), part("input_text", text="i")]}, ["o", "i"]),
    ({"content": [part("input_audio", transcript="t"), part("output_text", text="")]}, ["t", ""]),
    (
        {"content": [part("reasoning", summary=[part("summary_text", text="s")], content=["r"], id="x")]},
        ["s", "r"],
    ),
    ({"content": [part("thinking", thinking=[part("text", text="t")], signature="x")]}, ["t"]),
    ({"content": [part("reasoning", reasoning="cipher", summary="s", redacted=True)]}, ["s"]),
    ({"content": [part("text", text="a", redacted=True)]}, ["a"]),
    ({"content": [part("image", text=None, name=None), part("text", text="a", input=None)]}, ["a"]),
]


@pytest.mark.parametrize(
    ("make", "members", "said"),
    [
        (make, members, said)
        for make in ("openai", "trl", "inspect")
        for members, said in BESIDE
        if make != "inspect" or set(members) <= {"content", "reasoning"}  # of chat completions only
    ],
)
def test_no_text_of_the_model_goes_unread_and_each_can_change_alone(
    tmp_path: Path, make: str, members: dict[str, Any], said: list[str]
) -> None:
    before = MAKERS[make]([("user", "q")])
    before["messages"].append({"role": "assistant", **members})
    before |= {"message_loss_mask": [0, 1]} if make == "trl" else {}
    record = one(tmp_path, before)
    assert [message.content for message in record.trace.messages] == ["q", *said]
    for index, text in enumerate(said, start=1):
        after = write_back(record, {index: "NEW"})
        again = one(tmp_path, json.loads(after))
        assert [message.content for message in again.trace.messages[1:]] == [
            "NEW" if place == index else old for place, old in enumerate(said, start=1)
        ]
        if text:
            head, key, tail = record.raw.partition(b'"messages"')
            assert after == head + key + tail.replace(b'"%s"' % text.encode(), b'"NEW"')
    everything = dict.fromkeys(range(1, len(said) + 1))
    assert json.loads(write_back(record, everything))["messages"] == before["messages"][:1]


def test_of_two_texts_in_one_part_one_can_go(tmp_path: Path) -> None:
    two = part("reasoning", reasoning="r", summary="s")
    message = {"role": "assistant", "content": [two, part("text", text="a")], "refusal": "no"}
    record = one(tmp_path, {"messages": [message]})
    assert [found.content for found in record.trace.messages] == ["r", "s", "a", "no"]

    def after(**contents: str | None) -> Any:
        return json.loads(write_back(record, {int(key[1:]): new for key, new in contents.items()}))[
            "messages"
        ]

    assert after(m0=None)[0] == message | {"content": [two | {"reasoning": ""}, message["content"][1]]}
    assert after(m0=None, m1="S")[0]["content"][0] == two | {"reasoning": "", "summary": "S"}
    assert after(m0=None, m1=None, m2="A", m3=None) == [
        {"role": "assistant", "content": [part("text", text="A")]}
    ]


@pytest.mark.parametrize("make", ["openai", "inspect"])
def test_parts_that_call_tools_are_calls_and_stay(tmp_path: Path, make: str) -> None:
    use = part("tool_use", id="u", name="look", input={"at": "é"})
    served = part("tool_use", tool_type="web_search", id="w", name="find", arguments='{"q": 1}', result="r")
    before = MAKERS[make]([("assistant", "q")])
    before["messages"][0]["content"] = [part("text", text="a"), use, served, part("text", text="b")]
    record = one(tmp_path, before)
    first, last = record.trace.messages
    assert (first.content, first.tool_calls, last.content) == ("a", (), "b")
    assert [(call.id, call.name) for call in last.tool_calls] == [("c", "look"), ("u", "look"), ("w", "find")]
    assert [json.loads(call.arguments) for call in last.tool_calls] == [{"at": "é"}, {"at": "é"}, {"q": 1}]
    after = json.loads(write_back(record, {0: None, 1: "B"}))["messages"][0]
    assert after["content"] == [use, served, part("text", text="B")]
    lone = MAKERS[make]([("assistant", "q")])
    lone["messages"] = [{"role": "assistant", "content": [use]}]
    (message,) = one(tmp_path, lone).trace.messages
    assert (message.content, [call.id for call in message.tool_calls]) == ("", ["u"])


@pytest.mark.parametrize("make", ["openai", "trl", "inspect"])
@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        (
            part("tool_result", content="r"),
            "messages[1].content[1]: a part of type 'tool_result' that is not",
        ),
        (part("Text", text="a"), "a part of type 'Text' that is not read"),
        ({"words": "a"}, "a part without a type that is not read"),
        (part("tool_use", name="f", input={}, text="a"), "a tool call that holds text, which is not read"),
        (part("tool_use", input={}), "messages[1].content[1]: the tool call names no tool"),
    ],
)
def test_a_part_that_may_hold_text_and_is_not_read_is_told(
    tmp_path: Path, make: str, odd: dict[str, Any], expected: str
) -> None:
    record = MAKERS[make]([("user", "q"), ("assistant", "a")])
    good = lines(record)
    record["messages"][1]["content"] = [{"text": "without a type"}, odd]
    (reason,) = why(tmp_path, good + lines(record))
    assert expected in reason


@pytest.mark.parametrize(
    "twice",
    [
        '"refusal": "no", "refusal": null',
        '"reasoning": "r", "reasoning": ""',
        '"reasoning_content": "r", "reasoning_content": ""',
        '"content": [{"type": "reasoning", "reasoning": "r", "redacted": false, "redacted": true}]',
        '"audio": {"transcript": "t", "transcript": ""}',
        '"reasoning_details": [{"text": "t", "text": ""}]',
        '"content": [{"type": "reasoning", "content": [{"text": "t", "text": ""}]}]',
        '"content": [{"type": "text", "text": "a", "text": "b"}]',
        '"content": [{"type": "reasoning", "summary": "a", "summary": null}]',
        '"content": [{"type": "tool_use", "name": "f", "input": {"a": 1}, "input": {}}]',
    ],
)
def test_a_text_cannot_hide_behind_a_second_one_of_its_name(tmp_path: Path, twice: str) -> None:
    messages = f'{{"messages": [{{"role": "assistant", {twice}}}]}}'
    (reason,) = why(tmp_path, GOOD + b"\n" + messages.encode())
    assert "stands twice in one object" in reason


def test_preference_data_is_not_taken_for_a_conversation(tmp_path: Path) -> None:
    answers = {"chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}
    for record in (sharegpt_record(TALK), openai_record(TALK), trl_record(TALK), pair_record(TALK)):
        (reason,) = why(tmp_path, lines(record, record | answers))
        assert "preference data (`chosen`, `rejected`) is not read" in reason
        assert not why(tmp_path, lines(record, record | dict.fromkeys(answers)))


@pytest.mark.parametrize("name", MAKERS)
def test_a_record_without_messages_is_none_and_one_without_answers_is(tmp_path: Path, name: str) -> None:
    question = MAKERS[name]([("user", "u")])
    empty = MAKERS[name]([])
    assert why(tmp_path, lines(question, empty)) == ["no messages"]
    assert why(tmp_path, lines(empty, question, empty)) == ["no messages", "no messages"]


# ---------------------------------------------------------------- writing back


def edited(name: str, record: dict[str, Any], contents: dict[int, str | None]) -> dict[str, Any]:
    """The same change, made on the decoded record."""
    new: dict[str, Any] = json.loads(json.dumps(record))
    key, spoken = LISTS[name], SPOKEN[name]
    for index, content in contents.items():
        if content is not None:
            new[key][index][spoken] = content
    keep = [index for index in range(len(new[key])) if contents.get(index, "") is not None]
    for column in (key, "message_loss_mask"):
        if column in new:
            new[column] = [new[column][index] for index in keep]
    return new


@on_files
@given(name=FORMAT, turns=TURNS, extra=EXTRA, indent=st.none() | st.just(1), data=st.data())
def test_a_change_reaches_its_text_and_nothing_else(
    tmp_path: Path, name: str, turns: Turns, extra: dict[str, Any], indent: int | None, data: st.DataObject
) -> None:
    before = MAKERS[name](turns) | ({} if name == "opoi" else extra)
    ascii_only = data.draw(st.booleans())
    text = json.dumps(before, ensure_ascii=ascii_only, indent=indent)
    (record,) = read(open_traces(saved(tmp_path, f"[{text}]".encode())))
    assert write_back(record, {}) is record.raw
    assert write_back(record, {place: text for place, (_, text) in enumerate(turns)}) is record.raw
    places = st.integers(0, len(turns) - 1)
    contents = data.draw(st.dictionaries(places, TEXTS | st.none(), min_size=1, max_size=3))
    after = write_back(record, contents)
    assert json.loads(after) == edited(name, before, contents)
    assert list(json.loads(after)) == list(before)  # the order of the keys too
    assert write_back(structs.replace(record, converted=None), contents) == after
    # Putting the old texts back gives the old bytes: nothing around them was touched.
    if None not in contents.values() and record.raw.isascii() == after.isascii():
        again = Record(line=1, trace=record.trace, raw=after, format=name)
        assert write_back(again, {place: turns[place][1] for place in contents}) == record.raw


def test_what_is_odd_around_a_text_survives_to_the_byte(tmp_path: Path) -> None:
    raw = (
        b'{ "n" : [1.50, 1E5, -0.0, 123456789012345678901234567890 ],\t"messages" :[ {"content" : "old" , '
        b'"role":"assistant","\\u0078":"\\/\\u00e9","w":{"w":1,"z":2}} , {"role":"user"} ]  ,"y":{}}'
    )
    (record,) = read(open_traces(saved(tmp_path, raw)))
    assert write_back(record, {0: 'a "q"\n☃'}) == raw.replace(b'"old"', b'"a \\"q\\"\\n\\u2603"')
    assert write_back(record, {1: "new"}) == raw.replace(b'"role":"user"', b'"role":"user","content":"new"')
    assert json.loads(write_back(record, {0: None}))["messages"] == [{"role": "user"}]
    assert json.loads(write_back(record, {0: None, 1: None}))["messages"] == []
    with pytest.raises(ValueError, match="no message 2"):
        write_back(record, {2: "x"})


def test_null_becomes_a_text_and_the_system_column_can_go(tmp_path: Path) -> None:
    record = one(tmp_path, {"messages": [{"role": "assistant", "content": None}]})
    assert json.loads(write_back(record, {0: "x"})) == {"messages": [{"role": "assistant", "content": "x"}]}
    turns = [{"from": "gpt", "value": "v"}]
    record = one(tmp_path, {"a": 1, "system": "S", "conversations": turns})
    assert json.loads(write_back(record, {0: "T"}))["system"] == "T"
    assert json.loads(write_back(record, {0: None})) == {"a": 1, "conversations": turns}


# ---------------------------------------------------------------- our own files


OWN = Trace(
    id="s/a/0",
    scenario_id="s",
    arm="a",
    run=0,
    as_of="2025-01-01",
    prompt=(Message(role="user", content="u", author="suite"),),
    messages=(
        Message(
            role="assistant",
            tool_calls=(ToolCall(id="c", name="f", arguments="{}"),),
            author="student",
            loss_weight=1.0,
        ),
        Message(
            role="tool",
            content="{}",
            tool_call_id="c",
            author="env",
            sub=(Message(role="assistant", content="inner", author="student"),),
        ),
        Message(role="assistant", content="done", author="student", loss_weight=1.0),
    ),
)
TOOLS = (ToolSpec(name="f", description="d", parameters={"type": "object", "properties": {"content": {}}}),)


@pytest.mark.parametrize("form", opoi.datasets.FORMATS)
def test_what_the_exporters_write_is_read_as_their_format(tmp_path: Path, form: str) -> None:
    data = opoi.datasets.FORMATS[form](Example(trace=OWN, tools=TOOLS))
    source = open_traces(saved(tmp_path, data + b"\n"))
    assert (source.format, source.container) == (form, "lines")
    (record,) = read(source)
    every = (*OWN.prompt, *OWN.messages)
    assert [(m.role, m.content, m.loss_weight) for m in record.trace.messages] == [
        (m.role, m.content, m.loss_weight) for m in every
    ]
    assert record.trace.messages[1].tool_calls == OWN.messages[0].tool_calls
    assert record.trace.messages[2].tool_call_id == "c"


def test_our_traces_come_back_whole_cleaned_ones_too(tmp_path: Path) -> None:
    edit = Edit(rule="r", message=(0,), removed="x")
    cleaned = Cleaned(trace=OWN, level="C2", edits=(edit,))
    data = encode(OWN) + b"\n" + encode(cleaned) + b"\n"
    source = open_traces(saved(tmp_path, data))
    first, second = read(source)
    assert source.format == "opoi"
    assert first.trace == second.trace == OWN
    after = json.loads(write_back(second, {2: "new"}))
    assert after["trace"]["messages"][2]["content"] == "new"
    assert after["edits"] == json.loads(encode(cleaned))["edits"]


# ---------------------------------------------------------------- containers


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("indent", [None, 2])
def test_records_in_one_json_array_are_read_and_written_as_in_lines(
    tmp_path: Path, name: str, indent: int | None
) -> None:
    records = [MAKERS[name](TALK[: n + 2]) for n in range(3)]
    array = saved(tmp_path, json.dumps(records, indent=indent).encode(), "array.json")
    source = open_traces(array)
    assert (source.format, source.container) == (name, "array")
    found = read(source)
    of_lines = read(open_traces(saved(tmp_path, lines(*records))))
    assert [record.trace.messages for record in found] == [record.trace.messages for record in of_lines]
    out = tmp_path / "out.json"
    with open_sink(out, source) as sink:
        for record in found[::2]:
            sink.write(record, write_back(record, {1: "changed"}))
    after = json.loads(out.read_bytes())
    assert after == [edited(name, record, {1: "changed"}) for record in records[::2]]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_one_record_on_several_lines_is_a_file_of_one(tmp_path: Path, name: str, mark: bytes) -> None:
    text = json.dumps(MAKERS[name](TALK), indent=2).encode()
    path = saved(tmp_path, mark + text + b"\n", "one.json")
    source = open_traces(path)
    assert (source.format, source.container) == (name, "one")
    (record,) = read(source)
    assert (record.line, record.raw, source.bytes_read) == (1, text, source.size)
    assert record.trace.messages == one(tmp_path, MAKERS[name](TALK)).trace.messages
    with open_sink(tmp_path / "out", source) as sink:
        sink.write(record, write_back(record, {1: "new"}))
    after = (tmp_path / "out").read_bytes()
    assert json.loads(after) == edited(name, MAKERS[name](TALK), {1: "new"})
    assert after == text.replace(b'"u"', b'"new"') + b"\n"
    with pytest.raises(ArtefactError, match=r"no file of JSON lines(.|\n)*jq -c"):
        open_traces(path, limits=Limits(line_bytes=len(text) - 1))


def test_a_cleaned_trace_on_several_lines_is_one_too(tmp_path: Path) -> None:
    cleaned = json.loads(encode(Cleaned(trace=OWN, level="C2")))
    (record,) = read(open_traces(saved(tmp_path, json.dumps(cleaned, indent=1).encode())))
    assert record.trace == OWN


def test_both_kinds_of_inspect_log_give_the_same_samples(tmp_path: Path) -> None:
    samples = [inspect_record(TALK) | {"id": n} for n in range(12)]
    by_zip = open_traces(saved(tmp_path, archive(*samples), "log.eval"))
    by_json = open_traces(saved(tmp_path, log_document(*samples), "log.json"))
    assert (by_zip.container, by_json.container) == ("archive", "log")
    assert by_zip.format == by_json.format == "inspect"
    assert [record.trace for record in read(by_zip)] == [record.trace for record in read(by_json)]
    assert [record.line for record in read(by_zip)] == list(range(1, 13))


SOURCES = {
    "lines.jsonl": lines(*(openai_record(TALK) for _ in range(4))),
    "array.json": json.dumps([sharegpt_record(TALK) for _ in range(4)], indent=1).encode() + b"\n",
    "compact.json": json.dumps([sharegpt_record(TALK) for _ in range(4)]).encode(),
    "bom.json": b"\xef\xbb\xbf" + json.dumps([trl_record(TALK)]).encode(),
    "log.json": log_document(*(inspect_record(TALK) for _ in range(4))),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_in_which_nothing_changes_is_written_byte_for_byte_onto_itself(
    tmp_path: Path, name: str
) -> None:
    path = saved(tmp_path, SOURCES[name], name)
    source = open_traces(path)
    with open_sink(path, source) as sink:
        for record in read(source):
            sink.write(record, record.raw)
    assert path.read_bytes() == SOURCES[name]
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_an_archive_keeps_its_other_members_and_loses_only_what_was_dropped(tmp_path: Path) -> None:
    samples = [inspect_record(TALK) | {"id": n} for n in range(4)]
    source = open_traces(saved(tmp_path, archive(*samples, tool="é"), "log.eval"))
    out = tmp_path / "new" / "out.eval"
    with open_sink(out, source) as sink:
        for record in read(source):
            if record.line != 2:
                sink.write(record, write_back(record, {2: "clean"}))
    with zipfile.ZipFile(source.path) as old, zipfile.ZipFile(out) as new:
        assert new.testzip() is None
        names = [name for name in old.namelist() if name != "samples/1_epoch_1.json"]
        assert new.namelist() == names
        for name in names:
            assert (new.getinfo(name).date_time) == old.getinfo(name).date_time
            if name.startswith("samples/"):
                expected = edited("inspect", json.loads(old.read(name)), {2: "clean"})
                assert json.loads(new.read(name)) == expected
            else:
                assert new.read(name) == old.read(name)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_interrupt_the_old_file_stands_and_nothing_else(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    source = open_traces(saved(tmp_path, SOURCES[name], name))
    out = saved(tmp_path, b"old", "out")

    def half() -> None:
        with open_sink(out, source) as sink:
            for record in read(source)[:1]:
                sink.write(record, record.raw)
            raise error

    with pytest.raises(error):
        half()
    assert out.read_bytes() == b"old"
    assert {file.name for file in tmp_path.iterdir()} == {name, "out"}


def test_a_sink_takes_records_in_order_and_says_where_it_cannot_write(tmp_path: Path) -> None:
    source = open_traces(saved(tmp_path, SOURCES["lines.jsonl"]))
    records = read(source)
    with open_sink(tmp_path / "out", source) as sink:
        sink.write(records[2], b"{}")
        with pytest.raises(ValueError, match="comes after"):
            sink.write(records[1], b"{}")
    blocked = saved(tmp_path, b"", "file") / "out.jsonl"
    with pytest.raises(ArtefactError, match="cannot be written"), open_sink(blocked, source):
        pass


def test_a_truncated_array_is_written_whole(tmp_path: Path) -> None:
    for name, tail in (("array.json", b"]"), ("log.json", b"]}")):
        cut = SOURCES[name][: len(SOURCES[name]) // 2]
        source = open_traces(saved(tmp_path, cut, name))
        items = list(source)
        assert [isinstance(item, Bad) for item in items] == [False] * (len(items) - 1) + [True]
        with open_sink(tmp_path / "out", source) as sink:
            for item in items:
                if isinstance(item, Record):
                    sink.write(item, item.raw)
        after = (tmp_path / "out").read_bytes()
        assert after.endswith(tail)
        samples = json.loads(after)
        assert len(samples if isinstance(samples, list) else samples["samples"]) == len(items) - 1


# ---------------------------------------------------------------- what is wrong with a file


def test_what_is_no_file_of_traces_is_named_with_a_mend(tmp_path: Path) -> None:
    cases: list[tuple[bytes, str]] = [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"PAR1\x15\x04", "Parquet"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"abc\0def", "binary"),
        (b"It was a dark night.\n", "plain text"),
        (b"<html></html>", "plain text"),
        (b'{"text": "a", "label": 1}\n', "its keys are text, label"),
        (b'{"prompt": "a", "completion": "b"}\n', "its keys are prompt, completion"),
        (b'{\n  "messages": [\n', "no file of JSON lines"),
        (b'{\n  "messages": []\n}{\n}', "no file of JSON lines"),
        (b'{\n  "text": [\n{}\n]}', "its keys are text"),
        (b"[1, 2]", "none of its first elements"),
        (b"[]", "none of its first elements"),
        (b"PK\x03\x04nothing", "cannot be read as one"),
    ]
    for data, expected in cases:
        with pytest.raises(ArtefactError) as caught:
            open_traces(saved(tmp_path, data))
        assert expected in str(caught.value), data
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as zipped:
        zipped.writestr("a.txt", "x")
    with pytest.raises(ArtefactError, match=r"not an Inspect log\n  why: .*a\.txt"):
        open_traces(saved(tmp_path, other.getvalue()))
    with pytest.raises(UsageError, match="is a directory"):
        open_traces(tmp_path)
    with pytest.raises(UsageError, match="there is no file"):
        open_traces(tmp_path / "none")
    with pytest.raises(UsageError, match="unknown format of traces 'opena'"):
        open_traces(saved(tmp_path, lines({})), format="opena")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(UsageError, match="no regular file"):
        open_traces(fifo)


GOOD = json.dumps(openai_record(TALK)).encode()
DEEP = b'{"messages":[{"role":"user","content":"u"}],"x":%s}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GOOD[:-40], "truncated"),
        (GOOD.replace(b'"u"', b'"\xff"'), "not UTF-8"),
        (GOOD.replace(b'"parallel_tool_calls"', b'"\xff"'), "not UTF-8"),
        (GOOD.replace(b"false", b"NaN"), "malformed"),
        (GOOD.replace(b'"u"', b'"u", "content": "v"'), "'content' stands twice"),
        (GOOD.replace(b'"u"', b'"u", "cont\\u0065nt": "v"'), "'content' stands twice"),
        (GOOD.replace(b'"u"', b'"u", "role": "user"'), "'role' stands twice"),
        (GOOD.replace(b'"tools"', b'"messages": [], "tools"'), "'messages' stands twice"),
        (GOOD.replace(b'"u"', b'"\\ud83d"'), "surrogate"),
        (GOOD.replace(b'"user"', b'"robot"'), "messages[1]: the role 'robot' is none of"),
        (GOOD.replace(b'"u"', b"7"), "$.messages[1].content"),
        (GOOD.replace(b'"weight": 1', b'"weight": 2'), "weight of 2"),
        (GOOD + GOOD, "trailing characters"),
        (b"\0\0\0", "zero byte"),
        (b'{"messages": {}}', "Expected `array`"),
        (b'{"messages": [1]}', "$.messages[0]"),
        (b'{"message": []}', "`messages` is missing"),
        (b"[]", "Expected `object`"),
        (b"hello", "malformed"),
        (
            json.dumps(sharegpt_record(TALK)).encode(),
            "a record of the format 'sharegpt' in a file of 'openai'",
        ),
        (json.dumps(inspect_record(TALK)).encode(), "a record of the format 'inspect' in a file of 'openai'"),
        (json.dumps(opoi_record(TALK)).encode(), "a record of the format 'opoi' in a file of 'openai'"),
        (json.dumps(pair_record(TALK)).encode(), "a record of the format 'trl' in a file of 'openai'"),
        (DEEP % (b"[" * 100 + b"]" * 100), "nested deeper than 100"),
        (DEEP % (b'{"a":' * 5000 + b"1" + b"}" * 5000), "nested deeper than 100"),
        (DEEP % (b"[" * 200_000), "nested too deeply"),
    ],
)
def test_a_bad_line_is_told_by_number_and_reason_and_the_rest_is_read(
    tmp_path: Path, line: bytes, expected: str
) -> None:
    source = open_traces(saved(tmp_path, b"\n".join([GOOD, line, GOOD + b"\r", b"", GOOD])))
    items = list(source)
    assert [item.line for item in items] == [1, 2, 3, 5]
    (bad,) = [item for item in items if isinstance(item, Bad)]
    assert (bad.line, bad.raw) == (2, line[: Limits().bad_bytes])
    assert expected in bad.why
    assert "\n" not in bad.why
    assert isinstance(items[2], Record)
    assert (items[2].line, items[2].raw, items[2].format) == (3, GOOD, "openai")


def test_bad_records_of_other_formats_are_told_too(tmp_path: Path) -> None:
    turns = sharegpt_record(TALK)
    robot = json.dumps(turns).replace('"human"', '"robot"').encode()
    twice = json.dumps(turns).replace('"value": "u"', '"value": "u", "value": "v"').encode()
    assert "the speaker 'robot' is none of" in why(tmp_path, lines(turns) + robot)[0]
    assert "'value' stands twice" in why(tmp_path, lines(turns) + twice)[0]
    mask = trl_record(TALK)
    pair = json.dumps(pair_record(TALK)).encode()
    twice = pair.replace(b'"completion"', b'"prompt": [], "completion"')
    assert "'prompt' stands twice" in why(tmp_path, pair + b"\n" + twice)[0]
    assert "1 entries for 5 messages" in why(tmp_path, lines(mask, mask | {"message_loss_mask": [1]}))[0]
    own = opoi_record(TALK)
    assert "unknown field `stray`" in why(tmp_path, lines(own, own | {"stray": 1}))[0]
    robot = json.dumps(own).replace('"role": "user"', '"role": "user", "role": "user"').encode()
    assert "'role' stands twice" in why(tmp_path, lines(own) + robot)[0]


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    (record,) = read(open_traces(saved(tmp_path, b"\xef\xbb\xbf" + GOOD + b"\r\n")))
    assert record.raw == GOOD


def test_commas_and_text_that_do_not_belong_into_an_array_are_told(tmp_path: Path) -> None:
    assert why(tmp_path, b"[" + GOOD + b",," + GOOD + b", ] x") == [
        "no record between two commas",
        "no record between two commas",
        "text after the end of the array",
    ]
    assert "trailing characters" in why(tmp_path, b"[" + GOOD + b"," + GOOD + b" " + GOOD + b"]")[0]
    assert why(tmp_path, b"[" + GOOD + b"}") == ["the array is closed by a brace"]
    assert why(tmp_path, b"[" + GOOD + b"," + GOOD[:50]) == ["truncated: the file ends before its array does"]


def test_attachments_are_put_in_and_those_that_name_each_other_are_refused(tmp_path: Path) -> None:
    sample = inspect_record(TALK)
    sample["messages"][1]["content"] = "attachment://a"
    sample["messages"][2]["tool_calls"][0]["arguments"] = {"q": ["tc://b", "attachment://none"]}
    attached = sample | {"attachments": {"a": "attachment://b", "b": "long text"}}
    record = one(tmp_path, attached)
    assert record.trace.messages[1].content == "long text"
    arguments = json.loads(record.trace.messages[2].tool_calls[0].arguments)
    assert arguments == {"q": ["long text", "attachment://none"]}
    assert json.loads(write_back(record, {1: "short"})) == edited("inspect", attached, {1: "short"})
    for circle in ({"a": "attachment://a"}, {"a": "attachment://b", "b": "tc://a"}):
        (reason,) = why(tmp_path, lines(sample | {"attachments": circle}))
        assert "names itself" in reason
    many = ["attachment://b"] * 50
    sample["messages"][2]["tool_calls"][0]["arguments"] = {"q": many}
    (reason,) = why(tmp_path, lines(sample | {"attachments": {"b": "x" * 1_000_000}}))
    assert "blow up" in reason


def test_a_member_that_unpacks_to_too_much_is_refused_by_its_size(tmp_path: Path) -> None:
    sample = inspect_record(TALK)
    bomb = json.dumps(sample | {"padding": " " * 3_000_000}).encode()
    path = saved(tmp_path, archive(sample, bomb, sample), "log.eval")
    assert path.stat().st_size < 20_000
    items = list(open_traces(path, limits=Limits(member_bytes=1_000_000)))
    assert [isinstance(item, Bad) for item in items] == [False, True, False]
    assert "samples/1_epoch_1.json: longer than 1,000,000 bytes unpacked" in items[1].why


def test_damaged_encrypted_and_strangely_packed_members_are_told(tmp_path: Path) -> None:
    data = bytearray(archive(inspect_record(TALK)))
    place = data.index(b"samples/0") + 60
    data[place : place + 20] = bytes(20)
    assert "damaged" in why(tmp_path, bytes(data))[0]
    for offset, value, expected in ((8, 1, "encrypted"), (10, 93, "zip method 93")):
        data = bytearray(archive(inspect_record(TALK)))
        data[data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + offset] = value
        path = saved(tmp_path, bytes(data))
        (item,) = list(open_traces(path))
        assert isinstance(item, Bad)
        assert expected in item.why


# ---------------------------------------------------------------- memory


def test_a_long_line_is_skipped_without_being_held(tmp_path: Path) -> None:
    limits = Limits(line_bytes=len(GOOD), bad_bytes=10)
    data = b"x" * 5_000_000 + b"\n" + GOOD + b"\r\n" + GOOD + b" \n" + GOOD
    items = list(open_traces(saved(tmp_path, data), limits=limits))
    assert [isinstance(item, Bad) for item in items] == [True, False, True, False]
    assert [item.line for item in items] == [1, 2, 3, 4]
    assert items[0] == Bad(line=1, why=f"longer than {len(GOOD):,} bytes", raw=b"x" * 10)


def peak(path: Path) -> tuple[int, int]:
    """Return the number of records, and the most memory held while a file is read and written."""
    source = open_traces(path)
    tracemalloc.start()
    try:
        with open_sink(path.with_suffix(".out"), source) as sink:
            count = 0
            for item in source:
                if isinstance(item, Record):
                    count += 1
                    sink.write(item, item.raw)
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", ["lines", "array", "log"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, make: str) -> None:
    maker = inspect_record if make == "log" else openai_record
    record = json.dumps(maker([*TALK, ("user", "word " * 6000)])).encode()
    head, join, tail = {
        "lines": (b"", b"\n", b"\n"),
        "array": (b"[", b",\n", b"]"),
        "log": (b'{"version": 2, "eval": {}, "samples": [', b",\n", b"]}"),
    }[make]
    path = tmp_path / make
    with path.open("wb") as file:
        file.write(head + record)
        for _ in range(999):
            file.write(join + record)
        file.write(tail)
    assert path.stat().st_size > 30_000_000
    count, most = peak(path)
    assert count == 1000
    assert most < 8 << 20


def test_a_line_of_100_mb_is_held_up_to_the_limit_only(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b'\n{"messages": "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + GOOD)
    count, most = peak(path)
    assert count == 2
    assert most < 3 * Limits().line_bytes


# ---------------------------------------------------------------- the parts


@settings(deadline=None)
@given(
    values=st.lists(st.recursive(st.none() | st.integers() | TEXTS, st.lists, max_leaves=8), max_size=6),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    inside=st.booleans(),
    indent=st.none() | st.just(2),
)
def test_an_array_is_split_the_same_however_the_stream_is_cut(
    values: list[Any], cuts: list[int], inside: bool, indent: int | None
) -> None:
    document: Any = {"a": ["samples", {"samples": [0]}], "samples": values, "z": [1]} if inside else values
    text = json.dumps(document, indent=indent, ensure_ascii=False).encode() + b"\n"

    def chunks() -> Iterator[bytes]:
        stream = io.BytesIO(text)
        for size in itertools.cycle(cuts):
            chunk = stream.read(size)
            if not chunk:
                return
            yield chunk

    pieces = list(split(chunks(), key="samples" if inside else "", limit=1 << 20))
    assert b"".join(piece.data for piece in pieces) == text
    found = [piece.data for piece in pieces if piece.kind == "element"]
    assert [json.loads(data) for data in found if data.strip()] == values
    assert sum(piece.kind == "close" for piece in pieces) == 1


@settings(deadline=None)
@given(
    data=st.binary(max_size=60) | st.text(st.sampled_from('[]{},:"\\ as1'), max_size=60).map(str.encode),
    head=st.sampled_from([b"", b"[", b'{"samples": [']),
    size=st.integers(1, 20),
    key=st.sampled_from(["", "samples"]),
)
def test_whatever_the_bytes_the_pieces_are_the_stream(data: bytes, head: bytes, size: int, key: str) -> None:
    stream = head + data
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    pieces = list(split(chunks, key=key, limit=1 << 20))
    assert b"".join(piece.data for piece in pieces) == stream
    whole = split([stream], key=key, limit=1 << 20)
    assert [piece for piece in pieces if piece.kind != "frame"] == [
        piece for piece in whole if piece.kind != "frame"
    ]


@given(size=st.integers(1, 400), limit=st.integers(1, 200), chunk=st.integers(1, 50))
def test_an_element_over_the_limit_is_long_and_the_next_one_is_not(size: int, limit: int, chunk: int) -> None:
    text = json.dumps(["x" * size, 1]).encode()
    parts = [text[at : at + chunk] for at in range(0, len(text), chunk)]
    pieces = [piece for piece in split(parts, limit=limit) if piece.kind not in ("frame", "comma", "close")]
    assert [piece.kind for piece in pieces] == [
        "long" if size + 2 > limit else "element",
        "element" if limit > 1 else "long",
    ]
    assert text[1:].startswith(pieces[0].data)


def test_only_the_keys_of_the_first_object_are_top_keys() -> None:
    assert top_keys(b'{"a": {"b": "c"}, "d\\"": ["e", {"f": 1}], "g": "h", "i') == ["a", 'd\\"', "g"]


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


PROSE = st.text(
    st.sampled_from('ab"\\ \n{') | st.characters(codec="utf-8", exclude_characters="[]{}"), max_size=8
)


@given(
    value=st.recursive(
        PROSE,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PROSE, inner, max_size=2),
        max_leaves=20,
    ),
    around=st.integers(0, 5),
    limit=st.integers(1, 8),
    ascii_only=st.booleans(),
)
def test_nesting_is_counted_outside_of_strings(value: Any, around: int, limit: int, ascii_only: bool) -> None:
    for _ in range(around):
        value = [value]
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert too_deep(text, limit) == (depth_of(value) > limit)


# ---------------------------------------------------------------- anything at all

SEEDS = [
    *SOURCES.values(),
    archive(inspect_record(TALK), inspect_record(TALK)),
    lines(opoi_record(TALK), opoi_record(TALK)),
    lines(pair_record(TALK), trl_record(TALK)),
    GOOD,
]
SMALL = Limits(line_bytes=4000, member_bytes=4000, depth=20, bad_bytes=100)


def walk(path: Path, **options: Any) -> None:
    """Read a file and write it again; only errors for people may come out."""
    try:
        source = open_traces(path, limits=SMALL, **options)
        with open_sink(path.with_name("out"), source) as sink:
            for item in source:
                if isinstance(item, Record):
                    assert write_back(item, {}) is item.raw
                    nothing = dict.fromkeys(range(len(item.trace.messages)))
                    sink.write(item, write_back(item, nothing))
                else:
                    assert isinstance(item, Bad)
                    assert item.why
                    assert len(item.raw) <= SMALL.bad_bytes
    except OpoiError as caught:
        error = caught
    else:
        return
    assert error.why or error.fix


@on_files
@given(data=st.binary(max_size=200), head=st.sampled_from([b"", b"[", b"{", b"PK\x03\x04", b'{"messages":[']))
def test_bytes_of_any_kind_give_records_bad_places_or_an_error_for_people(
    tmp_path: Path, data: bytes, head: bytes
) -> None:
    walk(saved(tmp_path, head + data))


@settings(on_files, max_examples=300)
@given(
    seed=st.sampled_from(SEEDS),
    spots=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(min_size=1, max_size=3)), max_size=6
    ),
    format=st.sampled_from(["", "", *FORMATS]),
)
def test_damaged_files_give_records_bad_places_or_an_error_for_people(
    tmp_path: Path, seed: bytes, spots: list[tuple[float, int, bytes]], format: str
) -> None:
    data = bytearray(seed)
    for spot, length, new in spots:
        place = int(spot * len(data))
        data[place : place + length] = new
    walk(saved(tmp_path, bytes(data)), format=format)
