"""Scripted models: the line depends on the conversation, never on what was asked before."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.errors import EndpointError, PluginError
from opoi.models.scripted import ScriptedModel, calling
from opoi.protocols import Model
from opoi.rollout import rollout
from opoi.types import Message, Reply, StopReason
from opoi_envs.echo import suite

TASK = Message(role="user", content="?", author="suite")
SAID = Message(role="assistant", content="x", author="student")


@given(turns=st.permutations(range(6)))
def test_each_conversation_hears_the_lines_in_order_whoever_asks_first(turns: list[int]) -> None:
    model = ScriptedModel([f"line {i}" for i in range(6)])
    for turn in turns:
        assert model.complete([TASK, *[SAID] * turn], (), seed=turn).content == f"line {turn}"
    assert model.calls == 6


def test_calls_are_counted_over_threads() -> None:
    model = ScriptedModel(lambda messages, tools, seed: f"{len(messages)}/{len(tools)}/{seed}")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda seed: model.complete([TASK], (), seed=seed).content, range(200)))
    assert replies == [f"1/0/{seed}" for seed in range(200)]
    assert model.calls == 200
    assert isinstance(model, Model)


def test_replies_are_given_as_they_are_and_failures_raised() -> None:
    reply = calling("read_gauge", "Let me see.", gauge="g1")
    model = ScriptedModel([reply, EndpointError("down")], name="mine")
    assert model.complete([TASK], (), seed=0) is reply
    assert (reply.content, reply.tool_calls[0].arguments) == ("Let me see.", '{"gauge": "g1"}')
    with pytest.raises(EndpointError, match="down"):
        model.complete([TASK, SAID], (), seed=0)
    assert (model.name, model.calls) == ("mine", 2)


def test_one_text_is_one_line_and_a_script_that_ends_says_so() -> None:
    model = ScriptedModel("only")
    assert model.complete([TASK], (), seed=0) == Reply(content="only", finish_reason="stop")
    with pytest.raises(PluginError, match="no line for turn 2"):
        model.complete([TASK, SAID], (), seed=0)


def test_a_rollout_follows_the_script() -> None:
    (scenario,) = suite.scenarios(1, 5)
    answer = json.dumps({"action": "hold", "entity": scenario.entity, "reasoning": "It is low."})
    model = ScriptedModel([calling("read_gauge", gauge=scenario.entity), answer])
    trace = rollout(scenario, suite, model, arm="base", run=0, seed=1)
    assert (trace.stop, trace.decision.action, model.calls) == (StopReason.ANSWERED, "hold", 2)
    failed = rollout(scenario, suite, ScriptedModel([EndpointError("down")]), arm="base", run=0, seed=1)
    assert (failed.stop, failed.failure) == (StopReason.ENDPOINT, "down")
