"""The control arms: what they keep, what they ask, and what they must not look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from opoi.errors import EndpointError, UsageError
from opoi.models.scripted import ScriptedModel
from opoi.protocols import Cast, Model, Strategy, Suite
from opoi.registry import load_strategy
from opoi.rollout import rollout
from opoi.strategies.controls import Agreeing, Reachable, SelfSFT
from opoi.strategies.opoi import OPOI
from opoi.types import Case, Message, Outcome, Reply, Trace
from opoi_envs.echo import EchoModel, Persona

Cases = Callable[..., Case]


class Counting:
    """Counts the calls of a model."""

    def __init__(self, persona: Persona) -> None:
        self.model = EchoModel(persona)
        self.name = self.model.name
        self.calls = 0
        self.seen: list[str] = []

    def complete(self, messages: Sequence[Message], tools: Sequence[object], *, seed: int) -> Reply:
        self.calls += 1
        self.seen += [message.content for message in messages]
        return self.model.complete(messages, tools, seed=seed)  # type: ignore[arg-type]  # as any model's


def made(echo: Suite, strategy: Strategy, case: Case, arm: str = "arm", agent: Model | None = None) -> Trace:
    model = agent or echo.stand_in()
    (trace,) = strategy(case, Cast(suite=echo, agent=model, corrector=model, arm=arm, seed=1))
    return trace


def other(action: str) -> str:
    return "hold" if action == "open" else "open"


def with_verdict(case: Case, action: str) -> Case:
    verdict = msgspec.structs.replace(case.verdict, action=action, phrase="SECRET", feedback="SECRET")
    return msgspec.structs.replace(case, verdict=verdict)


@pytest.mark.parametrize("strategy", [SelfSFT(), Agreeing()], ids=["self", "agreeing"])
def test_an_unsteered_arm_whispers_nothing_and_is_a_rollout_of_its_own(
    echo: Suite, case_of: Cases, strategy: Strategy
) -> None:
    model = echo.stand_in()
    differ = 0
    for index in range(12):
        case = with_verdict(case_of(index), "open")
        agent = Counting(Persona())
        trace = made(echo, strategy, case, "mine", agent)
        alone = rollout(case.scenario, echo, model, arm="mine", run=0, seed=1)
        assert msgspec.structs.replace(trace, drop="") == alone
        assert trace.injections == ()
        assert trace.gen_prompt == trace.prompt == case.base.prompt
        assert not any("SECRET" in text for text in agent.seen)
        differ += trace.decision.action != made(echo, strategy, case, "theirs").decision.action
    assert differ  # the arm's name is part of every draw


def test_self_keeps_whatever_the_agent_decides(echo: Suite, case_of: Cases) -> None:
    for index in range(12):
        case = case_of(index)
        traces = [
            made(echo, SelfSFT(), with_verdict(case, action), "self", EchoModel(Persona(flip=0.5)))
            for action in echo.actions
        ]
        assert traces[0] == traces[1]  # the verdict changes nothing
        assert (traces[0].drop, traces[0].attempts) == ("", 1)


def test_self_drops_what_belongs_in_no_data_set(echo: Suite, case_of: Cases) -> None:
    def fail(*_: object) -> Reply:
        raise EndpointError("down")

    wrong = '{"action": "open", "entity": "g99999", "reasoning": "r"}'
    for agent, drop in (
        (ScriptedModel(fail), "infrastructure"),
        (EchoModel(Persona(invalid=1.0)), "schema"),
        (EchoModel(Persona(empty=1.0)), "no_tool_call"),
        (ScriptedModel([Reply(content=wrong)]), "wrong_entity"),
        (ScriptedModel([Reply(content="")]), "empty_reply"),
    ):
        assert made(echo, SelfSFT(), case_of(0), agent=agent).drop == drop


def test_agreeing_keeps_a_trace_exactly_where_its_action_is_the_verdicts(echo: Suite, case_of: Cases) -> None:
    drops = set()
    for index in range(20):
        case = case_of(index)
        trace = made(echo, Agreeing(), case)
        assert trace.drop == ("" if trace.decision.action == case.verdict.action else "noncompliant")
        drops.add(trace.drop)
    assert drops == {"", "noncompliant"}


def test_agreeing_samples_until_one_agrees_and_counts_what_that_cost(echo: Suite, case_of: Cases) -> None:
    attempts = set()
    for index in range(20):
        case = case_of(index)
        agent = Counting(Persona(flip=0.5))
        trace = made(echo, Agreeing(attempts=20), case, agent=agent)
        tries = [
            rollout(case.scenario, echo, agent, arm="arm", run=0, seed=1, attempt=attempt)
            for attempt in range(20)
        ]
        first = next(i for i, each in enumerate(tries) if each.decision.action == case.verdict.action)
        assert (trace.attempts, trace.drop) == (first + 1, "")
        assert trace.messages == tries[first].messages
        assert trace.usage.calls == 2 * trace.attempts
        attempts.add(trace.attempts)
    assert len(attempts) > 2


def test_agreeing_stops_at_a_failure_of_the_endpoint(echo: Suite, case_of: Cases) -> None:
    def fail(*_: object) -> Reply:
        raise EndpointError("down")

    trace = made(echo, Agreeing(attempts=5), case_of(0), agent=ScriptedModel(fail))
    assert (trace.drop, trace.attempts) == ("infrastructure", 1)
    assert trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE


def test_reachable_is_opoi_where_the_data_support_the_verdict(echo: Suite, case_of: Cases) -> None:
    for index in range(8):
        case = case_of(index)
        case = with_verdict(case, case.scenario.truth.observable_actions[0])
        assert made(echo, Reachable(), case) == made(echo, OPOI(), case)
        hint = {"strength": "hint", "form": "all", "attempts": 1}
        mine, theirs = (
            made(echo, msgspec.convert(hint, kind), case)
            for kind in (Reachable, OPOI)  # type: ignore[arg-type]  # either is a strategy
        )
        assert mine == theirs


def test_reachable_asks_nobody_about_a_verdict_that_the_data_do_not_support(
    echo: Suite, case_of: Cases
) -> None:
    for index in range(4):
        case = case_of(index)
        case = with_verdict(case, other(case.scenario.truth.observable_actions[0]))
        agent = Counting(Persona())
        trace = made(echo, Reachable(), case, "opoi-reachable", agent)
        assert agent.calls == trace.usage.calls == trace.attempts == 0
        assert trace.drop == "unreachable"
        assert (trace.messages, trace.injections, trace.decision.valid) == ((), (), False)
        assert trace.id == f"{case.scenario.id}/opoi-reachable/0"
        assert trace.prompt == case.base.prompt


def test_the_share_that_reachable_runs_is_the_share_of_supported_verdicts(
    echo: Suite, case_of: Cases
) -> None:
    cases = [case_of(index) for index in range(60)]
    supported = [c.verdict.action in c.scenario.truth.observable_actions for c in cases]
    ran = [made(echo, Reachable(), case).attempts > 0 for case in cases]
    assert ran == supported
    assert not all(ran)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("SelfSFT", {"attempts": 2}),
        ("Agreeing", {"attempts": 0}),
        ("Agreeing", {"attempts": 21}),
        ("Agreeing", {"form": "all"}),
        ("Reachable", {"strength": "loud"}),
    ],
)
def test_a_setting_that_is_none_is_refused(kind: str, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        load_strategy(f"opoi.strategies.controls:{kind}", settings)
