from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.errors import EndpointError
from opoi.models.scripted import ScriptedModel
from opoi.protocols import Cast, Model, Suite
from opoi.registry import load_strategy, names
from opoi.seeds import Stream
from opoi.strategies.filters import as_of_violations, unusable
from opoi.strategies.inferior import Inferior
from opoi.strategies.note import feedback_text, nonce, review_note
from opoi.strategies.opcd import INFORMED, OPCD
from opoi.strategies.opoi import OPOI
from opoi.types import (
    Case,
    Claim,
    Decision,
    Fact,
    Message,
    Outcome,
    Reply,
    StopReason,
    ToolCall,
    Trace,
    Verdict,
)
from opoi_envs.echo import EchoModel, Persona

VERDICT = Verdict(
    expert="e",
    kind="correct",
    action="open",
    phrase="open the valve",
    feedback="Open it, the night was bad.",
    claims=(
        Claim(text="The gauge stood at 62 bar.", origin="observable"),
        Claim(text="2419 litres came.", origin="hindsight"),
    ),
    outcome="The vessel was overfull.",
)


def cast(echo: Suite, arm: str, agent: Model | None = None, corrector: Model | None = None) -> Cast:
    model = echo.stand_in()
    return Cast(suite=echo, agent=agent or model, corrector=corrector or model, arm=arm, seed=1)


# ---------------------------------------------------------------- what is told


@given(
    form=st.sampled_from(["verdict", "verdict+reason", "verdict+outcome", "all"]),
    strength=st.sampled_from(["hint", "should", "must"]),
    escape=st.booleans(),
    discreet=st.booleans(),
    mark=st.sampled_from(["", "abcdefgh"]),
)
def test_the_note_tells_what_its_settings_say_and_no_more(
    form: str, strength: str, escape: bool, discreet: bool, mark: str
) -> None:
    note = review_note(VERDICT, form=form, strength=strength, escape=escape, discreet=discreet, mark=mark)  # type: ignore[arg-type]
    assert "open the valve" in note
    assert ("2419" in note) == (form in ("verdict+reason", "all"))
    assert ("overfull" in note) == (form in ("verdict+outcome", "all"))
    assert ("NO_SUPPORT" in note) == escape
    assert ("Do not mention" in note) == discreet
    assert ("has to match" in note) == (strength == "must")
    assert ("[REVIEW NOTE abcdefgh]" in note) == bool(mark)


@pytest.mark.parametrize("form", ["verdict", "verdict+reason", "verdict+outcome", "all"])
def test_feedback_tells_what_its_form_says_and_no_more_and_nothing_twice(form: str) -> None:
    told = feedback_text(VERDICT, form, entity="g00007")  # type: ignore[arg-type]
    assert told.startswith("Correct (g00007): open the valve.")
    with_reason = form in ("verdict+reason", "all")
    assert (VERDICT.feedback in told) == with_reason
    assert told.count("2419") == told.count("62 bar") == with_reason
    assert ("overfull" in told) == (form in ("verdict+outcome", "all"))
    wordy = msgspec.structs.replace(VERDICT, feedback="Open it. 2419 litres came.")
    assert feedback_text(wordy, "all", entity="g").count("2419") == 1


def test_nonces_are_eight_unmistakable_characters() -> None:
    marks = {nonce(Stream(index)) for index in range(500)}
    assert len(marks) == 500
    assert all(len(mark) == 8 and not set(mark) & set("lo01") for mark in marks)


# ---------------------------------------------------------------- OPOI


def test_opoi_keeps_compliant_traces_and_says_why_it_drops_the_others(
    echo: Suite, case_of: Callable[..., Case]
) -> None:
    kept = dropped = 0
    agent = EchoModel(Persona(obedience=0.3))
    for index in range(25):
        case = case_of(index)
        (trace,) = OPOI(attempts=1)(case, cast(echo, "opoi", agent=agent))
        complies = trace.decision.action == case.verdict.action
        assert trace.drop == ("" if complies else "noncompliant")
        kept, dropped = kept + complies, dropped + (not complies)
        assert all(message.author == "student" for message in trace.messages if message.role == "assistant")
        assert trace.prompt == case.base.prompt
    assert kept
    assert dropped


def test_opoi_tries_again_until_the_agent_complies(echo: Suite, case_of: Callable[..., Case]) -> None:
    case = case_of(0)
    wanted = case.verdict.action
    other = "hold" if wanted == "open" else "open"
    answers = [other, other, wanted]

    def reply(messages: Sequence[Message], *_: object) -> Reply:
        if messages[-1].role == "tool":
            action = answers.pop(0)
            decision = {"action": action, "entity": case.scenario.entity, "reasoning": "r"}
            return Reply(content=json.dumps(decision))
        arguments = json.dumps({"gauge": case.scenario.entity})
        return Reply(tool_calls=(ToolCall(id="", name="read_gauge", arguments=arguments),))

    (trace,) = OPOI(attempts=5)(case, cast(echo, "opoi", agent=ScriptedModel(reply)))
    assert (trace.attempts, trace.drop, trace.usage.calls) == (3, "", 6)


def test_opoi_does_not_try_again_when_the_endpoint_fails(echo: Suite, case_of: Callable[..., Case]) -> None:
    def fail(*_: object) -> Reply:
        raise EndpointError("down")

    (trace,) = OPOI(attempts=5)(case_of(0), cast(echo, "opoi", agent=ScriptedModel(fail)))
    assert (trace.drop, trace.attempts) == ("infrastructure", 1)
    assert trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE


def test_the_trace_says_which_action_it_was_told(echo: Suite, case_of: Callable[..., Case]) -> None:
    for index in range(6):
        case = case_of(index)
        wanted = case.verdict.action
        other = "hold" if wanted == "open" else "open"
        table = [(OPOI(), wanted), (OPCD(), wanted), (INFORMED, wanted), (Inferior(), other)]
        for strategy, action in table:
            (trace,) = strategy(case, cast(echo, "a"))
            assert [injection.action for injection in trace.injections] == [action]


def test_a_late_note_comes_before_what_was_the_last_turn(echo: Suite, case_of: Callable[..., Case]) -> None:
    (trace,) = OPOI(position="before_final")(case_of(0), cast(echo, "opoi"))
    authors = [message.author for message in trace.messages]
    assert authors == ["student", "env", "oracle", "student"]
    assert trace.gen_prompt == trace.prompt


# ---------------------------------------------------------------- OPCD


class Corrector:
    """Remembers what it is shown."""

    name = "corrector"

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.shown = ""

    def complete(self, messages: Sequence[Message], tools: Sequence[object], *, seed: int) -> Reply:
        assert not tools
        assert [message.role for message in messages] == ["user"]
        self.shown = messages[0].content
        return Reply(content=self.answer)


@pytest.mark.parametrize("see_data", [False, True])
@pytest.mark.parametrize("see_original", [False, True])
@pytest.mark.parametrize("see_schema", [False, True])
def test_the_corrector_sees_what_its_switches_say_and_never_the_agents_prompt(
    echo: Suite, case_of: Callable[..., Case], see_data: bool, see_original: bool, see_schema: bool
) -> None:
    case = case_of(0)
    corrector = Corrector('{"action": "open", "entity": "g", "reasoning": "r"}')
    strategy = OPCD(see_data=see_data, see_original=see_original, see_schema=see_schema)
    (trace,) = strategy(case, cast(echo, "opcd", corrector=corrector))
    shown = corrector.shown
    assert case.verdict.feedback in shown
    assert case.base.prompt[0].content not in shown
    assert case.scenario.task not in shown
    assert (case.base.messages[-1].content in shown) == see_original
    assert ('"additionalProperties"' in shown) == see_schema
    assert (case.base.messages[1].content in shown) == see_data
    assert trace.gen_prompt[0].content == shown
    assert trace.prompt == case.base.prompt


def test_the_informed_corrector_is_opcd_with_data() -> None:
    assert OPCD(see_data=True) == INFORMED


def test_only_the_correctors_text_has_loss(echo: Suite, case_of: Callable[..., Case]) -> None:
    for shape in ("final_only", "splice"):
        (trace,) = OPCD(target_shape=shape)(case_of(0), cast(echo, "opcd"))  # type: ignore[arg-type]
        assert [message.author for message in trace.messages if message.loss_weight] == ["corrector"]
        assert trace.messages[-1].author == "corrector"
        assert any(message.tool_calls for message in trace.messages) == (shape == "splice")


def test_a_corrector_that_fails_is_recorded_by_kind(echo: Suite, case_of: Callable[..., Case]) -> None:
    def fail(*_: object) -> Reply:
        raise EndpointError("down")

    for model, drop in (
        (ScriptedModel(fail), "infrastructure"),
        (ScriptedModel([Reply(content="no idea")]), "schema"),
        (ScriptedModel([Reply(content="")]), "empty_reply"),
        (ScriptedModel([Reply(content="{", finish_reason="length")]), "truncated"),
    ):
        (trace,) = OPCD()(case_of(0), cast(echo, "opcd", corrector=model))
        assert trace.drop == drop


# ---------------------------------------------------------------- drop reasons


def done(**changes: object) -> Trace:
    call = ToolCall(id="c", name="f", arguments="{}")
    trace = Trace(
        id="t",
        scenario_id="s",
        arm="a",
        run=0,
        as_of="2025-03-14",
        messages=(
            Message(role="assistant", tool_calls=(call,), author="student"),
            Message(role="tool", tool_call_id="c", author="env", facts=(Fact("e", "m", "2025-03-13", 1),)),
            Message(role="assistant", content="{}", author="student"),
        ),
        decision=Decision(action="open", entity="g00000"),
    )
    return msgspec.structs.replace(trace, **changes)


def test_each_drop_reason_is_given_for_its_cause(case_of: Callable[..., Case]) -> None:
    case = msgspec.structs.replace(case_of(0), verdict=VERDICT)
    late = Message(role="tool", author="env", facts=(Fact("e", "m", "2025-03-10..2025-03-15", 1),))
    nested = Message(role="tool", author="env", sub=(late,))
    call = Message(
        role="assistant", author="student", tool_calls=(ToolCall(id="c", name="f", arguments="{}"),)
    )
    last = Message(role="assistant", content="NO_SUPPORT", author="student")
    table = {
        "": {},
        "infrastructure": {"stop": StopReason.ENDPOINT},
        "truncated": {"stop": StopReason.TRUNCATED},
        "unreadable": {"stop": StopReason.UNREADABLE},
        "schema": {"decision": Decision(problems=("p",))},
        "wrong_entity": {"decision": Decision(action="open", entity="g00001")},
        "noncompliant": {"decision": Decision(action="hold", entity="g00000")},
        "no_support": {"messages": (*done().messages, last)},
        "as_of_violation": {"messages": (*done().messages, nested, done().messages[2])},
        "no_tool_call": {"messages": done().messages[2:]},
        "repetition": {"messages": (call, call, call, done().messages[2])},
    }
    for reason, changes in table.items():
        assert unusable(done(**changes), case.scenario, wanted="open", acts=True) == reason
    assert unusable(done(messages=done().messages[2:]), case.scenario, wanted="open", acts=False) == ""
    for reason, changes in table.items():
        expected = "" if reason in ("noncompliant", "no_support") else reason
        assert unusable(done(**changes), case.scenario, wanted=None, acts=True) == expected
    assert list(as_of_violations((nested,), "2025-03-14")) == ["2025-03-15"]


def test_a_trace_that_never_saw_its_note_is_not_opoi_data(echo: Suite, case_of: Callable[..., Case]) -> None:
    case = case_of(0)
    long = msgspec.structs.replace(case.base, messages=case.base.messages * 3)
    late = msgspec.structs.replace(case, base=long)
    wanted = case.verdict.action
    at_once = [
        Reply(
            tool_calls=(
                ToolCall(id="", name="read_gauge", arguments=f'{{"gauge": "{case.scenario.entity}"}}'),
            )
        ),
        Reply(content=json.dumps({"action": wanted, "entity": case.scenario.entity, "reasoning": "r"})),
    ]
    agent = ScriptedModel(at_once)
    (trace,) = OPOI(position="before_final", attempts=1)(late, cast(echo, "opoi", agent=agent))
    assert trace.decision.action == wanted
    assert trace.injections == ()
    assert trace.drop == "not_injected"


def test_the_informed_corrector_is_shown_the_facts_with_the_data(
    echo: Suite, case_of: Callable[..., Case]
) -> None:
    case = case_of(0)
    (bare,) = OPCD()(case, cast(echo, "opcd"))
    (informed,) = INFORMED(case, cast(echo, "opcd"))
    assert bare.gen_prompt[0].facts == ()
    assert informed.gen_prompt[0].facts == case.base.messages[1].facts


def test_every_registered_strategy_can_be_loaded_with_its_defaults() -> None:
    assert {"opoi", "opcd", "opcd-informed"} <= set(names("strategy"))
    for name in names("strategy"):
        assert callable(load_strategy(name, {}))
