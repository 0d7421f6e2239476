"""Streams: however the bytes are cut, they add up to the answer without a stream, or to a reason."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from opoi.models.endpoint.streams import StreamError, events_of, gather
from opoi.models.served.streams import chat_chunks
from opoi.types import Reply, ToolCall, Usage
from opoi.wire import decode_reply, encode_reply, valid_text

TEXT = st.text(max_size=60).map(valid_text)
CALLS = st.lists(
    st.builds(
        ToolCall,
        id=st.text(min_size=1, max_size=8),
        name=st.sampled_from(["f", "g", "read_gauge"]) | st.text(min_size=1, max_size=30),
        arguments=TEXT,
    ),
    max_size=3,
    unique_by=lambda call: call.id,
).map(tuple)
REPLIES = st.builds(
    Reply,
    content=TEXT,
    tool_calls=CALLS,
    finish_reason=st.sampled_from(["stop", "tool_calls", "length", "content_filter"]),
    usage=st.builds(
        Usage, calls=st.just(1), prompt_tokens=st.integers(0, 99), completion_tokens=st.integers(0, 99)
    ),
)
ANSWERS = st.lists(REPLIES, min_size=1, max_size=3)


def completion_of(replies: list[Reply]) -> dict[str, Any]:
    """Return the answer with one choice for each reply, as the stand-in server gives it."""
    bodies = [encode_reply(reply, model="tiny") for reply in replies]
    choices = [{**body["choices"][0], "index": index} for index, body in enumerate(bodies)]
    return {**bodies[0], "choices": choices}


def streamed(completion: dict[str, Any], *, usage: bool = True) -> list[dict[str, Any]]:
    return json.loads(json.dumps(list(chat_chunks(completion, usage=usage))))


def sent(objects: list[Any], end: bytes = b"\n") -> bytes:
    events = [b"data: " + msgspec.json.encode(each) + end * 2 for each in objects]
    return b"".join([*events, b"data: [DONE]" + end * 2])


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(body), *(at % (len(body) + 1) for at in cuts)})
    return [body[start:stop] for start, stop in pairwise(places)]


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}]}


def calls_in(*deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tool calls that these deltas add up to."""
    objects = [chunk({"tool_calls": pieces}) for pieces in deltas]
    return gather([*objects, chunk(finish="tool_calls")])["choices"][0]["message"]["tool_calls"]


def piece(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"function": {"arguments": arguments, **({} if name is None else {"name": name})}}
    if index is not None:
        found["index"] = index
    if id is not None:
        found["id"] = id
    return found


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


# ---------------------------------------------------------------- against the answer without a stream


@settings(max_examples=50, deadline=None)
@given(
    replies=ANSWERS,
    cuts=st.lists(st.integers(0, 10**6), max_size=30),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_a_stream_cut_anywhere_adds_up_to_the_answer_without_one(
    replies: list[Reply], cuts: list[int], end: bytes
) -> None:
    completion = completion_of(replies)
    body = sent(streamed(completion), end)
    assert gather(events_of(cut(body, cuts))) == completion
    assert gather(events_of(body[at : at + 1] for at in range(len(body)))) == completion


@settings(max_examples=50, deadline=None)
@given(reply=REPLIES)
def test_the_reply_is_that_of_the_answer_without_a_stream(reply: Reply) -> None:
    completion = completion_of([reply])
    body = msgspec.json.encode(gather(events_of([sent(streamed(completion))])))
    assert decode_reply(body) == decode_reply(msgspec.json.encode(completion))


@settings(max_examples=50, deadline=None)
@given(replies=ANSWERS)
def test_without_usage_there_is_none(replies: list[Reply]) -> None:
    completion = completion_of(replies)
    del completion["usage"]
    assert gather(streamed({**completion, "usage": {}}, usage=False)) == completion


@settings(max_examples=50, deadline=None)
@given(replies=ANSWERS)
def test_the_sum_is_that_of_the_official_client(replies: list[Reply]) -> None:
    objects = streamed(completion_of(replies))
    state: Any = ChatCompletionStreamState()
    for each in objects:
        state._ChatCompletionStreamState__current_completion_snapshot = state._accumulate_chunk(
            ChatCompletionChunk.model_validate(each)
        )
    theirs = state.current_completion_snapshot.model_dump(mode="json")
    ours = gather(objects)
    assert theirs["usage"]["total_tokens"] == ours["usage"]["total_tokens"]
    assert len(theirs["choices"]) == len(ours["choices"])
    for their, our in zip(theirs["choices"], ours["choices"], strict=True):
        assert (their["index"], their["finish_reason"]) == (our["index"], our["finish_reason"])
        assert (their["message"]["content"] or None) == our["message"]["content"]
        assert [
            (found["id"], found["function"]["name"], found["function"]["arguments"])
            for found in their["message"].get("tool_calls") or ()
        ] == [
            (found["id"], found["function"]["name"], found["function"]["arguments"])
            for found in our["message"].get("tool_calls", ())
        ]


@settings(max_examples=50, deadline=None)
@given(replies=ANSWERS, cuts=st.lists(st.integers(0, 10**6), max_size=10), mark=st.booleans())
def test_the_events_are_those_of_the_official_client(
    replies: list[Reply], cuts: list[int], mark: bool
) -> None:
    body = sent(streamed(completion_of(replies)))
    theirs = [event.data for event in SSEDecoder().iter_bytes(iter(cut(body, cuts)))]
    ours = list(events_of(cut((b"\xef\xbb\xbf" if mark else b"") + body, cuts)))
    assert theirs[-1] == "[DONE]"
    assert ours == [json.loads(data) for data in theirs[:-1]]


# ---------------------------------------------------------------- bytes to events

LINES = st.lists(
    st.sampled_from(
        [
            b"",
            b"",
            b'data: {"a": 1}',
            b'data:{"a":',
            b"data: 2}",
            b": note",
            b"event: x",
            b"id",
            b"data",
            b"retry: 5",
        ]
    ),
    max_size=14,
)


@given(
    lines=LINES,
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=14, max_size=14),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
def test_where_the_bytes_are_cut_and_how_lines_end_makes_no_difference(
    lines: list[bytes], ends: list[bytes], cuts: list[int]
) -> None:
    def outcome(pieces: list[bytes]) -> object:
        try:
            return list(events_of(pieces))
        except StreamError as error:
            return str(error)

    body = b""
    for line, end in zip(lines, ends, strict=False):
        # an empty line that ends with LF, after one that ends with CR, would read as one line end
        body += line + (b"\r\n" if not line and body.endswith(b"\r") and end == b"\n" else end)
    plain = b"".join(line + b"\n" for line in lines)
    assert outcome(cut(body, cuts)) == outcome([plain])


@pytest.mark.parametrize(
    ("body", "objects"),
    [
        (b'data: {"a":\ndata: 1}\n\n', [{"a": 1}]),
        (b'data:{"a": 1}\n\n', [{"a": 1}]),
        (b'data:  {"a": 1}\n\n', [{"a": 1}]),
        (b': hello\n\n\n\ndata: {"a": 1}\n\n: bye\n\n', [{"a": 1}]),
        (b'event: x\nid: 7\nretry: 10\ndata: {"a": 1}\nnews\n\n', [{"a": 1}]),
        (b"event: ping\n\n", []),
        (b"data:\n\ndata\n\ndata: \n\n", []),
        (b'data: {"a": 1}\n\ndata: [DONE]\n\ndata: {"b": 1}\n\n', [{"a": 1}]),
        (b'data: {"a": 1}\n\ndata: {"b": 1}\n', [{"a": 1}]),
        (b'data: {"a": 1}\n\ndata: {"b"', [{"a": 1}]),
        (b'\xef\xbb\xbfdata: {"a": 1}\n\n', [{"a": 1}]),
        (b'Data: {"a": 1}\n\n', []),
        (b' data: {"a": 1}\n\n', []),
        (b'data: {"a": "\\u2028\x0b\x0c"}\n\n', None),
        (b'data: {"a": 1\ndata: 2}\n\n', None),
        ('data: {"a": "\u2028\x85"}\n\n'.encode(), [{"a": "\u2028\x85"}]),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says(body: bytes, objects: list[dict[str, Any]] | None) -> None:
    if objects is None:
        with pytest.raises(StreamError):
            list(events_of([body]))
        return
    assert list(events_of([body])) == objects


def test_events_come_as_soon_as_they_are_closed() -> None:
    def body() -> Iterator[bytes]:
        yield b'data: {"a": 1}\r\n\r'
        yield b"\ndata: [DONE]\n\n"
        raise AssertionError("read beyond the end")

    assert list(events_of(body())) == [{"a": 1}]


@pytest.mark.parametrize(
    ("body", "words", "problem"),
    [
        (b'data: {"a": 1\n\n', "not JSON", "malformed"),
        (b'data: {"a": 1}{}\n\n', "not JSON", "malformed"),
        (b"data: [1]\n\n", "not a JSON object", "malformed"),
        (b"data: null\n\n", "not a JSON object", "malformed"),
        (b'data: {"a": "\xff"}\n\n', "not UTF-8", "malformed"),
        (b'data: {"a": "\xc3\n\n', "not UTF-8", "malformed"),
        (b'data: {"a": ' + b"[" * 200_000 + b"\n\n", "not JSON|too deeply", "malformed"),
        (b'error: {"message": "out of memory"}\n\n', "out of memory", "reported"),
    ],
)
def test_what_is_wrong_with_an_event_is_said(body: bytes, words: str, problem: str) -> None:
    with pytest.raises(StreamError, match=words) as caught:
        list(events_of([body]))
    assert caught.value.problem == problem


# ---------------------------------------------------------------- sums


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        ({"message": "slow down", "code": 429}, "slow down", 429),
        ({"message": "slow down", "code": "rate"}, "slow down", None),
        ({"code": True, "odd": 1}, '"odd": 1', None),
        ("no more", "no more", None),
    ],
)
def test_an_error_within_a_stream_is_told(error: object, words: str, code: int | None) -> None:
    with pytest.raises(StreamError, match=words) as caught:
        gather([chunk({"content": "a"}), {"error": error}])
    assert (caught.value.problem, caught.value.code) == ("reported", code)


@settings(max_examples=50, deadline=None)
@given(reply=REPLIES, at=st.integers(0, 10**6))
def test_a_stream_that_ends_early_never_passes_for_an_answer(reply: Reply, at: int) -> None:
    completion = completion_of([reply])
    body = sent(streamed(completion))
    whole = body.index(f'"finish_reason":"{reply.finish_reason}"'.encode())
    whole = body.index(b"\n\n", whole) + 2
    start = body[: at % len(body)]
    if len(start) >= whole:
        assert gather(events_of([start]))["choices"] == completion["choices"]
        return
    with pytest.raises(StreamError) as caught:
        gather(events_of([start]))
    assert caught.value.problem == ("cut" if b"\n\n" in start else "empty")


def test_one_choice_of_several_that_has_no_end_is_named() -> None:
    with pytest.raises(StreamError, match="before choice 1 does") as caught:
        gather([chunk({"content": "a"}, index=1), chunk({"content": "b"}, "stop", index=0)])
    assert caught.value.problem == "cut"


@pytest.mark.parametrize(
    "objects", [[], [{"choices": []}], [{"choices": None, "usage": {"prompt_tokens": 1}}], [{}]]
)
def test_a_stream_without_choices_is_none(objects: list[dict[str, Any]]) -> None:
    with pytest.raises(StreamError, match="no choices") as caught:
        gather(objects)
    assert caught.value.problem == "empty"


@pytest.mark.parametrize(
    "event",
    [
        {"choices": {}},
        {"choices": ["a"]},
        {"choices": [{"delta": "a"}]},
        {"choices": [{"index": -1, "delta": {}}]},
        {"choices": [{"index": True, "delta": {}}]},
        {"choices": [{"index": "0", "delta": {}}]},
        chunk({"tool_calls": {}}),
        chunk({"tool_calls": [1]}),
        chunk({"tool_calls": [{"function": "f"}]}),
        chunk({"tool_calls": [{"index": 0.5}]}),
        chunk({"tool_calls": [{"id": 5}]}),
        chunk({"tool_calls": [{"function": {"name": ["f"]}}]}),
        chunk({"tool_calls": [{"function": {"arguments": [1]}}]}),
        chunk({"content": ["b"]}),
    ],
)
def test_objects_of_another_shape_are_refused(event: dict[str, Any]) -> None:
    with pytest.raises(StreamError) as caught:
        gather([chunk({"content": "a"}), event, chunk(finish="stop")])
    assert caught.value.problem == "malformed"


@pytest.mark.parametrize("where", ["end", "last choice", "every", "never"])
def test_usage_is_found_wherever_it_is_sent(where: str) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    objects = [chunk({"content": "a"}), chunk(finish="stop")]
    if where == "end":
        objects = [{**each, "usage": None} for each in objects] + [{"id": "c", "choices": [], "usage": usage}]
    elif where == "last choice":
        objects[-1]["usage"] = usage
    elif where == "every":
        objects = [{**objects[0], "usage": {**usage, "completion_tokens": 1}}, {**objects[1], "usage": usage}]
    found = gather(objects)
    assert found.get("usage") == (None if where == "never" else usage)
    assert ("usage" in found) == (where != "never")


def test_choices_stand_in_the_order_of_their_index() -> None:
    found = gather([chunk({"content": "b"}, "stop", index=1), chunk({"content": "a"}, "length")])
    assert [
        (each["index"], each["message"]["content"], each["finish_reason"]) for each in found["choices"]
    ] == [
        (0, "a", "length"),
        (1, "b", "stop"),
    ]


def test_refusals_reasons_and_log_probabilities_are_joined() -> None:
    objects = [
        chunk({"role": "assistant", "content": None, "refusal": "I", "reasoning_content": "so"}),
        chunk({"role": "assistant", "refusal": " will not", "reasoning_content": " what"}),
        chunk(finish="stop"),
    ]
    objects[0]["choices"][0]["logprobs"] = {"content": None, "refusal": [{"token": "I"}]}
    objects[1]["choices"][0]["logprobs"] = {
        "content": [{"token": "x"}],
        "refusal": [{"token": " will"}, {"token": "n"}],
    }
    before = json.dumps(objects)
    (choice,) = gather(objects)["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "I will not",
        "reasoning_content": "so what",
    }
    assert choice["logprobs"] == {
        "content": [{"token": "x"}],
        "refusal": [{"token": "I"}, {"token": " will"}, {"token": "n"}],
    }
    assert json.dumps(objects) == before, "an event was changed"


def test_of_names_the_first_counts() -> None:
    (choice,) = gather(
        [chunk({"role": "assistant"}), chunk({"role": "model", "id": ""}), chunk(finish="stop")]
    )["choices"]
    assert choice["message"]["role"] == "assistant"


def test_what_else_servers_send_is_kept() -> None:
    first = {**chunk({"content": "a"}), "system_fingerprint": "f1", "timings": None}
    last = {**chunk(finish="stop"), "timings": {"ms": 5}}
    last["choices"][0]["stop_reason"] = "eos"
    found = gather([first, last])
    assert (found["system_fingerprint"], found["timings"]) == ("f1", {"ms": 5})
    assert found["choices"][0]["stop_reason"] == "eos"
    assert found["object"] == "chat.completion"


def test_a_character_that_comes_in_two_halves_is_one() -> None:
    body = b"".join(
        b'data: {"choices": [{"delta": {"content": "%b"}, "finish_reason": %b}]}\n\n' % each
        for each in [(rb"\ud83d", b"null"), (rb"\ude00", b"null"), (rb"!\ud83d", b'"stop"')]
    )
    assert (
        gather(events_of([body]))["choices"][0]["message"]["content"]
        == "\N{GRINNING FACE}!\N{REPLACEMENT CHARACTER}"
    )


def test_a_megabyte_in_small_pieces_is_read_in_time() -> None:
    text = "0123456789" * 100_000
    deltas = [chunk({"content": text[at : at + 50]}) for at in range(0, len(text), 50)]
    body = sent([*deltas, chunk(finish="stop")])
    began = time.process_time()
    found = gather(events_of(body[at : at + 4096] for at in range(0, len(body), 4096)))
    assert found["choices"][0]["message"]["content"] == text
    line = (
        b'data: {"choices": [{"delta": {"content": "' + text.encode() + b'"}, "finish_reason": "stop"}]}\n\n'
    )
    found = gather(events_of(line[at : at + 16] for at in range(0, len(line), 16)))
    assert found["choices"][0]["message"]["content"] == text
    assert time.process_time() - began < 5


# ---------------------------------------------------------------- tool calls as servers send them


def test_whole_calls_in_one_piece() -> None:
    assert calls_in([piece(0, "a", "f", "{}")], [piece(1, "b", "g", '{"x": 1}')]) == [
        call("a", "f", "{}"),
        call("b", "g", '{"x": 1}'),
    ]


def test_calls_interleaved_by_index() -> None:
    assert calls_in(
        [piece(1, "b", "g", "")],
        [piece(0, "a", "f", "")],
        [piece(1, arguments="{}"), piece(0, arguments='{"y"')],
        [piece(0, arguments=": 2}")],
    ) == [call("a", "f", '{"y": 2}'), call("b", "g", "{}")]


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("repeat", ["id", "name", "both", "neither"])
def test_ids_and_names_that_are_repeated_are_not_doubled(index: int | None, repeat: str) -> None:
    id = "a" if repeat in ("id", "both") else None
    name = "f" if repeat in ("name", "both") else None
    pieces = [
        [piece(index, "a", "f", "")],
        [piece(index, id, name, '{"x"')],
        [piece(index, id, name, ": 1}")],
    ]
    assert calls_in(*pieces) == [call("a", "f", '{"x": 1}')]


def test_ids_that_change_with_each_piece_make_no_new_calls() -> None:
    assert calls_in([piece(0, "a", "f", "")], [piece(0, "b", None, "{")], [piece(0, "c", None, "}")]) == [
        call("a", "f", "{}")
    ]


def test_several_calls_under_one_index_are_several() -> None:
    assert calls_in([piece(0, "a", "f", "{}")], [piece(0, "b", "f", "{}")], [piece(0, "c", "g", "{}")]) == [
        call("a", "f", "{}"),
        call("b", "f", "{}"),
        call("c", "g", "{}"),
    ]


def test_calls_without_an_index_go_by_id_and_order() -> None:
    found = calls_in(
        [piece(id="a", name="f", arguments='{"n": ')],
        [piece(arguments="1}")],
        [piece(id="b", name="f", arguments="")],
        [piece(id="b", arguments="{}")],
        [piece(name="g", arguments="{}")],
    )
    assert found[:2] == [call("a", "f", '{"n": 1}'), call("b", "f", "{}")]
    assert found[2:] == [{"type": "function", "function": {"name": "g", "arguments": "{}"}}]


def test_calls_without_an_index_in_one_object_go_by_position() -> None:
    found = calls_in([piece(name="f"), piece(name="f")], [piece(arguments="{}"), piece(arguments='{"x": 1}')])
    assert [each["function"] for each in found] == [
        {"name": "f", "arguments": "{}"},
        {"name": "f", "arguments": '{"x": 1}'},
    ]
    assert not any("id" in each for each in found)


def test_calls_that_share_an_id_stay_apart() -> None:
    found = calls_in([piece(0, "a", "f", "{}")], [piece(1, "a", "g", "{}")])
    assert [each["function"]["name"] for each in found] == ["f", "g"]
    found = calls_in([piece(None, "a", "f", "{}")], [piece(None, "a", "g", "{}")])
    assert [each["function"]["name"] for each in found] == ["f", "g"]


def test_arguments_may_be_an_object_and_names_may_be_missing_or_in_parts() -> None:
    assert calls_in([piece(0, "a", "f", {"x": [1]})]) == [call("a", "f", '{"x": [1]}')]
    assert calls_in([piece(0, "a", None, "{}")]) == [call("a", "", "{}")]
    assert calls_in([piece(0, "a", "read_", "")], [piece(0, None, "gauge", "{}")]) == [
        call("a", "read_gauge", "{}")
    ]


@settings(max_examples=50, deadline=None)
@given(replies=ANSWERS, drop=st.booleans(), repeat=st.booleans())
def test_calls_survive_servers_that_leave_out_the_index_or_repeat_the_name(
    replies: list[Reply], drop: bool, repeat: bool
) -> None:
    completion = completion_of(replies)
    objects = streamed(completion)
    names: dict[tuple[int, int], tuple[str, str]] = {}
    for each in objects:
        for choice in each["choices"]:
            for found in choice["delta"].get("tool_calls", ()):
                key = (choice["index"], found["index"])
                id, name = names.setdefault(key, (found.get("id", ""), found["function"].get("name", "")))
                if repeat:
                    found["id"], found["function"]["name"] = id, name
                if drop:
                    del found["index"]
    assert gather(objects) == completion
