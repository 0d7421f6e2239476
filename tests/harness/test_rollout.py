from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from opoi.errors import EndpointError, UsageError
from opoi.models.scripted import ScriptedModel
from opoi.protocols import Suite
from opoi.rollout import POSITIONS, inject, prompt_of, rollout
from opoi.types import (
    Injection,
    Message,
    Outcome,
    Reply,
    Scenario,
    StopReason,
    SubAgent,
    ToolCall,
    ToolSpec,
    Trace,
)

NOTE = "[REVIEW NOTE abcdefgh] hold."


class Says:
    """A model that computes its reply from what it is shown."""

    name = "says"

    def __init__(self, reply: Callable[[Sequence[Message], Sequence[ToolSpec], int], Reply]) -> None:
        self.reply = reply
        self.seen: list[tuple[Message, ...]] = []

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        self.seen.append(tuple(messages))
        return self.reply(messages, tools, seed)


def call(name: str, arguments: str) -> Reply:
    return Reply(tool_calls=(ToolCall(id="whatever", name=name, arguments=arguments),))


def play(echo: Suite, scenario: Scenario, model: object, **options: object) -> Trace:
    return rollout(scenario, echo, model, arm="base", run=0, seed=1, **options)  # type: ignore[arg-type]


def test_tool_errors_go_back_to_the_model_as_results(echo: Suite, first: Scenario) -> None:
    replies = [
        call("invented", "{}"),
        call("read_gauge", "{broken"),
        call("read_gauge", '{"gauge": "other"}'),
        call("read_gauge", json.dumps({"gauge": first.entity})),
        Reply(content='{"action": "hold", "entity": "g", "reasoning": "r"}'),
    ]
    trace = play(echo, first, ScriptedModel(replies))
    results = [message for message in trace.messages if message.role == "tool"]
    assert [message.error for message in results] == [True, True, True, False]
    assert "read_gauge" in results[0].content
    assert [bool(message.facts) for message in results] == [False, False, False, True]
    assert trace.stop is StopReason.ANSWERED
    assert trace.decision.action == "hold"
    assert trace.usage.calls == 5


@pytest.mark.parametrize(
    ("reply", "stop"),
    [
        (Reply(content="  "), StopReason.EMPTY_REPLY),
        (Reply(content="I was going to", finish_reason="length"), StopReason.TRUNCATED),
        (
            Reply(tool_calls=call("read_gauge", '{"gau').tool_calls, finish_reason="length"),
            StopReason.TRUNCATED,
        ),
        (Reply(finish_reason="unreadable"), StopReason.UNREADABLE),
        (Reply(content="no", finish_reason="content_filter"), StopReason.REFUSED),
        (Reply(content="no", finish_reason="refusal"), StopReason.REFUSED),
        (call("read_gauge", "{}"), StopReason.TURN_BUDGET),
    ],
)
def test_an_agent_that_fails_is_told_apart(
    echo: Suite, first: Scenario, reply: Reply, stop: StopReason
) -> None:
    trace = play(echo, first, Says(lambda *_: reply), turns=3)
    assert trace.stop is stop
    assert trace.stop.outcome is Outcome.AGENT_FAILURE
    assert trace.failure
    assert not trace.decision.valid


def test_an_endpoint_that_is_down_is_never_a_wrong_answer(echo: Suite, first: Scenario) -> None:
    def fail(*_: object) -> Reply:
        raise EndpointError("cannot connect", why="refused")

    trace = play(echo, first, Says(fail))
    assert trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE
    assert trace.failure == "cannot connect - refused"


def test_an_answer_that_is_no_decision_is_completed_and_invalid(echo: Suite, first: Scenario) -> None:
    trace = play(echo, first, Says(lambda *_: Reply(content="I would hold.")))
    assert trace.stop.outcome is Outcome.COMPLETED
    assert trace.decision.problems


def test_call_ids_of_the_server_do_not_reach_the_trace(echo: Suite, first: Scenario) -> None:
    replies = [call("read_gauge", json.dumps({"gauge": first.entity})), Reply(content="x")]
    trace = play(echo, first, ScriptedModel(replies))
    assert trace.messages[0].tool_calls[0].id == trace.messages[1].tool_call_id == "call_0_0"


@pytest.mark.parametrize("position", POSITIONS)
def test_the_student_never_sees_the_note_and_the_generator_does(
    echo: Suite, first: Scenario, position: str
) -> None:
    injection = Injection(
        text=NOTE, nonce="abcdefgh", position=position, turn=1 if position == "before_final" else 0
    )
    model = Says(lambda messages, *_: echo.stand_in().complete(messages, echo.env(first).tools, seed=1))
    trace = play(echo, first, model, injections=[injection])
    assert trace.prompt == prompt_of(echo.env(first), first.task)
    assert NOTE not in "".join(message.content for message in trace.prompt)
    assert any(NOTE in message.content for shown in model.seen for message in shown)
    assert trace.injections == (injection,)
    in_prompt = any(NOTE in message.content for message in trace.gen_prompt)
    assert in_prompt == (injection.turn == 0)
    assert all(message.role != "tool" or NOTE not in message.content for message in trace.messages)
    oracle = [message for message in (*trace.gen_prompt, *trace.messages) if message.author == "oracle"]
    assert bool(oracle) == (position in ("own_message", "before_final"))


def test_a_note_that_was_never_shown_is_not_recorded(echo: Suite, first: Scenario) -> None:
    late = Injection(text=NOTE, position="before_final", turn=9)
    trace = play(echo, first, Says(lambda *_: Reply(content="at once")), injections=[late])
    assert trace.injections == ()


def test_an_unknown_position_is_refused() -> None:
    with pytest.raises(UsageError, match="behind the sofa"):
        inject([Message(role="system", author="suite")], Injection(text="x", position="behind the sofa"))


def test_sampling_seeds_differ_by_turn_run_arm_and_attempt(echo: Suite, first: Scenario) -> None:
    seeds: list[int] = []

    def remember(_: object, __: object, seed: int) -> Reply:
        seeds.append(seed)
        return call("read_gauge", "{}")

    for arm, run, attempt in (("base", 0, 0), ("base", 1, 0), ("opoi", 0, 0), ("opoi", 0, 1)):
        rollout(first, echo, Says(remember), arm=arm, run=run, seed=1, attempt=attempt, turns=3)
    assert len(set(seeds)) == len(seeds) == 12


class Nested:
    """The echo suite with a tool that is a sub-agent."""

    def __init__(self, echo: Suite, turns: int = 4) -> None:
        self._echo = echo
        self._sub = SubAgent(system_prompt="You analyse.", tools=("read_gauge",), turns=turns)

    def __getattr__(self, name: str) -> object:
        return getattr(self._echo, name)

    def env(self, scenario: Scenario) -> object:
        env = self._echo.env(scenario)
        inner = env.step

        def step(action: str) -> object:
            if json.loads(action)["tool"] == "analyse":
                return "Look at it.", 0.0, False, False, {"facts": (), "error": False}
            return inner(action)

        tool = ToolSpec(name="analyse", description="d", parameters={"type": "object"}, subagent=self._sub)
        env.tools = (*env.tools, tool)  # type: ignore[misc]
        env.step = step  # type: ignore[method-assign,assignment]
        return env


def nested_model(first: Scenario) -> Says:
    def reply(messages: Sequence[Message], tools: Sequence[ToolSpec], _: int) -> Reply:
        gauge = call("read_gauge", json.dumps({"gauge": first.entity}))
        answered = any(message.role == "tool" for message in messages)
        if messages[0].content == "You analyse.":
            assert [tool.name for tool in tools] == ["read_gauge"]
            return Reply(content="It is fine.") if answered else gauge
        return Reply(content="done") if answered else call("analyse", "{}")

    return Says(reply)


def test_a_sub_agent_runs_in_the_same_loop_and_its_messages_are_in_the_trace(
    echo: Suite, first: Scenario
) -> None:
    trace = play(Nested(echo), first, nested_model(first))  # type: ignore[arg-type]
    (result,) = [message for message in trace.messages if message.role == "tool"]
    assert result.content == "It is fine."
    assert [message.role for message in result.sub] == ["system", "user", "assistant", "tool", "assistant"]
    assert result.sub[1].content == "Look at it."
    assert result.sub[3].facts
    assert not any(message.loss_weight for message in result.sub)
    assert trace.usage.calls == 4


def test_a_sub_agent_without_answer_is_an_error_result(echo: Suite, first: Scenario) -> None:
    trace = play(Nested(echo, turns=1), first, nested_model(first))  # type: ignore[arg-type]
    (result,) = [message for message in trace.messages if message.role == "tool"]
    assert result.error
    assert "no answer" in result.content


def test_an_endpoint_that_fails_inside_a_sub_agent_ends_the_rollout(echo: Suite, first: Scenario) -> None:
    def reply(messages: Sequence[Message], *_: object) -> Reply:
        if messages[0].content == "You analyse.":
            raise EndpointError("gone")
        return call("analyse", "{}")

    trace = play(Nested(echo), first, Says(reply))  # type: ignore[arg-type]
    assert trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE
