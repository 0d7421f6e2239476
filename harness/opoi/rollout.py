"""The one loop in which an agent meets an environment, and the one door for privileged text.

Every method generates through `rollout`. Privileged text enters through `inject` alone, which says in
the trace what was put where; the prompt that the student will see never passes through it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from opoi.errors import EndpointError, UsageError
from opoi.protocols import Env, Model, Suite
from opoi.seeds import Stream
from opoi.types import (
    UNREADABLE,
    Author,
    Decision,
    Injection,
    Message,
    Reply,
    Scenario,
    StopReason,
    ToolCall,
    ToolSpec,
    Trace,
    Usage,
)
from opoi.wire import call_action, valid_text

__all__ = ["POSITIONS", "inject", "prompt_of", "rollout", "stop_of"]

POSITIONS = ("system_tail", "user_head", "own_message", "before_final")
"""Where privileged text can be put: at the end of the system message, at the head of the last user
message, as a user message after the prompt, or as a user message later in the conversation
(`Injection.turn` model calls in). Never inside a tool result: that would break its JSON."""

_REFUSED = ("content_filter", "refusal")
_CUT_OFF = ("length", UNREADABLE, *_REFUSED)


def prompt_of(env: Env, task: str) -> tuple[Message, ...]:
    """Return the student's prompt: system message and task, without any privileged text."""
    return (
        Message(role="system", content=env.system_prompt, author="suite"),
        Message(role="user", content=task, author="suite"),
    )


def inject(conversation: Sequence[Message], injection: Injection) -> list[Message]:
    """Return the conversation with the privileged text put in.

    Args:
        conversation: Messages so far; not changed.
        injection: Text and position.

    Raises:
        UsageError: The position is unknown.
    """
    messages = list(conversation)
    if injection.position in ("own_message", "before_final"):
        messages.append(Message(role="user", content=injection.text, author="oracle"))
        return messages
    if injection.position == "system_tail":
        index = next(i for i, message in enumerate(messages) if message.role == "system")
        text = f"{messages[index].content}\n\n{injection.text}"
    elif injection.position == "user_head":
        index = max(i for i, message in enumerate(messages) if message.role == "user")
        text = f"{injection.text}\n\n{messages[index].content}"
    else:
        raise UsageError(
            f"unknown injection position {injection.position!r}", why=f"known: {', '.join(POSITIONS)}"
        )
    messages[index] = msgspec.structs.replace(messages[index], content=text)
    return messages


def rollout(
    scenario: Scenario,
    suite: Suite,
    model: Model,
    *,
    arm: str,
    run: int,
    seed: int,
    turns: int = 12,
    attempt: int = 0,
    author: Author = "student",
    injections: Sequence[Injection] = (),
) -> Trace:
    """Let a model act in a scenario's world until it answers, and return the whole conversation.

    A failing tool call goes back to the model as a tool result. An endpoint that fails ends the
    rollout with an infrastructure failure; it is never an answer.

    Args:
        scenario: The frozen world.
        suite: Its suite.
        model: Who acts.
        arm: Name of the arm, part of the trace's id and of every sampling seed.
        run: Repetition, likewise.
        seed: Seed of the run.
        turns: Budget of model calls (those of sub-agents not counted: they have their own).
        attempt: Number of the try, likewise part of the seeds.
        author: Author of the model's messages.
        injections: Privileged text to put in.
    """
    env = suite.env(scenario)
    task, _ = env.reset(seed=scenario.seed)
    prompt = prompt_of(env, task)
    talk = _Talk(
        env=env,
        model=model,
        tools={tool.name: tool for tool in env.tools},
        stream=Stream(seed, "rollout", scenario.id, arm, run, attempt),
        author=author,
    )
    shown = list(prompt)
    at_once = [injection for injection in injections if injection.turn == 0]
    for injection in at_once:
        shown = inject(shown, injection)
    ending = talk.converse(shown, turns, weight=1.0, later=[i for i in injections if i.turn > 0])
    answered = ending.stop is StopReason.ANSWERED
    return Trace(
        id=f"{scenario.id}/{arm}/{run}",
        scenario_id=scenario.id,
        arm=arm,
        run=run,
        as_of=scenario.as_of,
        model=model.name,
        prompt=prompt,
        gen_prompt=tuple(shown),
        messages=tuple(ending.messages),
        injections=(*at_once, *ending.injected),
        decision=suite.decide(ending.messages[-1].content) if answered else Decision(problems=("no answer",)),
        stop=ending.stop,
        failure=ending.failure,
        drop=ending.stop.drop,
        usage=ending.usage,
    )


class _Ending(Struct):
    """How a conversation ended: the messages after its prompt, and why it stopped."""

    messages: list[Message]
    stop: StopReason
    failure: str
    usage: Usage
    injected: list[Injection]


class _Talk(Struct):
    """One agent in one environment; sub-agents are talks of the same kind, one level down."""

    env: Env
    model: Model
    tools: dict[str, ToolSpec]
    stream: Stream
    author: Author

    def converse(
        self, prompt: Sequence[Message], turns: int, *, weight: float, later: Sequence[Injection] = ()
    ) -> _Ending:
        """Take turns until there is an answer, a failure or no budget."""
        conversation = list(prompt)
        usage = Usage()
        offered = tuple(self.tools.values())
        injected: list[Injection] = []

        def ending(stop: StopReason, failure: str = "") -> _Ending:
            return _Ending(conversation[len(prompt) :], stop, failure, usage, injected)

        for turn in range(turns):
            for injection in later:
                if injection.turn == turn:
                    conversation = inject(conversation, injection)
                    injected.append(injection)
            try:
                reply = self.model.complete(conversation, offered, seed=self.stream.seed31(turn))
            except EndpointError as error:
                return ending(StopReason.ENDPOINT, error.line)
            usage += reply.usage
            calls = tuple(
                ToolCall(
                    id=f"call_{turn}_{index}",
                    name=valid_text(call.name),
                    arguments=valid_text(call.arguments),
                )
                for index, call in enumerate(reply.tool_calls)
            )
            conversation.append(
                Message(
                    role="assistant",
                    content=valid_text(reply.content),
                    tool_calls=calls,
                    author=self.author,
                    loss_weight=weight,
                    logprobs=reply.logprobs if weight else (),  # not those of sub-agents
                )
            )
            if not calls or reply.finish_reason in _CUT_OFF:
                return ending(*stop_of(reply))
            for call in calls:
                result, nested = self._use(call, turn)
                usage += nested
                if result is None:
                    return ending(
                        StopReason.ENDPOINT, f"the endpoint failed inside the sub-agent {call.name}"
                    )
                conversation.append(result)
        return ending(StopReason.TURN_BUDGET, f"no answer within {turns} turns")

    def _use(self, call: ToolCall, turn: int) -> tuple[Message | None, Usage]:
        """Run one tool call; None means that the endpoint failed inside a sub-agent."""
        tool = self.tools.get(call.name)
        if tool is None:
            text = _error(f"there is no tool {call.name!r}", f"available: {', '.join(self.tools)}")
            return _result(call, text, error=True), Usage()
        text, _, _, _, info = self.env.step(call_action(call.name, call.arguments))
        error = bool(info.get("error"))
        if tool.subagent is None or error:
            return _result(call, text, error=error, facts=tuple(info.get("facts", ()))), Usage()
        nested = tool.subagent
        prompt = (
            Message(role="system", content=nested.system_prompt, author="suite"),
            Message(role="user", content=text, author=self.author),
        )
        below = msgspec.structs.replace(
            self,
            tools={name: self.tools[name] for name in nested.tools},
            stream=self.stream.at("sub", turn, call.id),
        )
        ending = below.converse(prompt, nested.turns, weight=0.0)
        if ending.stop is StopReason.ENDPOINT:
            return None, ending.usage
        sub = (*prompt, *ending.messages)
        if ending.stop is StopReason.ANSWERED:
            return _result(call, ending.messages[-1].content, sub=sub), ending.usage
        text = _error(f"the sub-agent {call.name} gave no answer", ending.failure)
        return _result(call, text, error=True, sub=sub), ending.usage


def stop_of(reply: Reply) -> tuple[StopReason, str]:
    """Judge a reply that ends a conversation: why the conversation ends, and a line on what went wrong."""
    if reply.finish_reason in _REFUSED:
        return StopReason.REFUSED, f"the model refused ({reply.finish_reason})"
    if reply.finish_reason == UNREADABLE:
        return StopReason.UNREADABLE, reply.problem or "the server could not parse what the model wrote"
    if reply.finish_reason == "length":
        return StopReason.TRUNCATED, "the answer was cut off at the token limit"
    if not reply.content.strip():
        return StopReason.EMPTY_REPLY, "the model answered with nothing"
    return StopReason.ANSWERED, ""


def _error(message: str, hint: str) -> str:
    return json.dumps({"error": {"message": message, "hint": hint}})


def _result(
    call: ToolCall,
    text: str,
    *,
    error: bool = False,
    facts: tuple[object, ...] = (),
    sub: tuple[Message, ...] = (),
) -> Message:
    return Message(
        role="tool",
        content=text,
        tool_call_id=call.id,
        author="env",
        error=error,
        facts=facts,  # type: ignore[arg-type]  # the contract of Env.step
        sub=sub,
    )
