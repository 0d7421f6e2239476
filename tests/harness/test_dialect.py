"""Each endpoint is asked in its own way, and what it answers is read in that way."""

from __future__ import annotations

import pytest

from opoi.models.endpoint.dialect import Dialect, read_reply, write_request
from opoi.types import UNREADABLE, Message, Reply, ToolCall, ToolSpec

TASK = Message(role="user", content="Look.", author="suite")
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
CALL = ToolCall(id="call_0", name="look", arguments="{}")
BLOCK = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
NATIVE, TEXT = Dialect(), Dialect(tools="text")


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (Dialect(), {"messages", "seed", "tools"}),
        (Dialect(seed=False), {"messages", "tools"}),
        (Dialect(stream=True), {"messages", "seed", "tools", "stream", "stream_options"}),
        (Dialect(stream=True, stream_usage=False), {"messages", "seed", "tools", "stream"}),
        (Dialect(tools="text"), {"messages", "seed"}),
    ],
)
def test_a_request_holds_what_its_endpoint_takes_and_nothing_else(dialect: Dialect, fields: set[str]) -> None:
    assert set(write_request([TASK], [LOOK], 7, dialect)) == fields


def test_tools_as_text_stand_in_the_system_message() -> None:
    system, user = write_request([TASK], [LOOK], 7, TEXT)["messages"]
    assert system["role"] == "system"
    assert '"name": "look"' in system["content"]
    assert user["content"] == "Look."


@pytest.mark.parametrize("dialect", [NATIVE, TEXT])
def test_calls_in_text_and_calls_of_the_server_are_calls(dialect: Dialect) -> None:
    for reply in (Reply(content=BLOCK), Reply(tool_calls=(CALL,), finish_reason="tool_calls")):
        read = read_reply(reply, [LOOK], dialect)
        assert read.tool_calls == (CALL,)
        assert read.content == ""
        assert read.finish_reason == "tool_calls"
        assert read_reply(reply, [], dialect) == reply


def test_a_malformed_block_is_left_alone_natively_and_named_where_tools_are_text() -> None:
    reply = Reply(content=BLOCK.replace("{}", "{},"), finish_reason="stop")
    assert read_reply(reply, [LOOK], NATIVE) == reply
    read = read_reply(reply, [LOOK], TEXT)
    assert (read.content, read.tool_calls, read.finish_reason) == (reply.content, (), UNREADABLE)
    assert "tool call 1" in read.problem
    cut = Reply(content=BLOCK[:30], finish_reason="length")
    assert read_reply(cut, [LOOK], TEXT) == cut  # that is why it cannot be read


def test_a_tag_that_is_meant_as_text_is_read_as_it_was_meant() -> None:
    assert read_reply(Reply(content="I write <\\tool_call>."), [LOOK], TEXT).content == "I write <tool_call>."
