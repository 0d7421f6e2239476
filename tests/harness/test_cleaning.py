from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.cleaning.engine import MESSAGE, apply, clean
from opoi.cleaning.levels import LEVELS, cleaner
from opoi.cleaning.residue import find, patterns, residue_of
from opoi.errors import EndpointError, PluginError, UnknownNameError
from opoi.models.scripted import ScriptedModel
from opoi.passages import rebuild, regions_of
from opoi.protocols import Model, Suite
from opoi.registry import load_suite
from opoi.types import Cleaned, Edit, Injection, Message, Reply, ToolCall, Trace, Usage
from opoi_envs.echo import Echo

ECHO = Echo()
PROSE = ("reasoning",)
RESIDUES = [
    "As the reviewer noted, the case is clear.",
    "I was told to open it.",
    "Per the note, we act now.",
    "Given that opening is the right call, we open.",
    "This has already been decided.",
    "The mark is abcdefgh here.",
    "The correct answer is to open.",
    "I have been asked to open.",
    "Verdict: hold.",
    "The guidance above says open.",
    "A review has concluded the case.",
    "As instructed, open.",
    "What happened next was bad.",
    "I say NO_SUPPORT.",
    "The decision has to match.",
    "This has already\nbeen decided.",
    "As  instructed, open.",
    "I\u2019ve been told to.",
    "ABCDEFGH it says.",
    "The review says open.",
]
CLEAN = [
    "The gauge shows 62 bar, the limit is 50.",
    "Pressure rose by 3.5 bar since 2025-03-10.",
    "We review the vessel daily; nothing else is unusual.",
    "Opening costs little (e.g. 2 bar).",
    "The pacing needs to match the monthly plan.",
    "Given that pressure is down. The limit is correct.",
    "The numbers have already settled after the lag.",
    "To open is the right call here.",
    'He said "hold" - but the gauge is high.\nSo we open.',
]
PROMPT = (
    Message(role="system", content="Watch.", author="suite"),
    Message(role="user", content="Decide about gauge g1 now.", author="suite"),
)
SENTENCES = st.lists(st.sampled_from(RESIDUES + CLEAN), min_size=1, max_size=6).map(" ".join)


def trace_of(
    reasoning: str, *, thought: str = "", arguments: str = '{"gauge": "g1"}', wrap: str = "{}"
) -> Trace:
    answer = json.dumps(
        {
            "action": "open",
            "entity": "g1",
            "reasoning": reasoning,
            "citations": [{"metric": "pressure", "entity": "g1", "window": "2025-03-14", "value": 62}],
        }
    )
    messages = (
        Message(
            role="assistant",
            content=thought,
            tool_calls=(ToolCall(id="c", name="read_gauge", arguments=arguments),),
            author="student",
            loss_weight=1.0,
        ),
        Message(
            role="tool",
            content='{"gauge": "g1", "day": "2025-03-14", "pressure": 62}',
            tool_call_id="c",
            author="env",
        ),
        Message(role="user", content="[REVIEW NOTE abcdefgh] open", author="oracle"),
        Message(role="assistant", content=wrap.replace("{}", answer), author="student", loss_weight=1.0),
    )
    return Trace(
        id="t",
        scenario_id="s",
        arm="opoi",
        run=0,
        as_of="2025-03-14",
        prompt=PROMPT,
        messages=messages,
        injections=(
            Injection(text="[REVIEW NOTE abcdefgh] open", nonce="abcdefgh", position="before_final", turn=1),
        ),
        decision=ECHO.decide(answer),
    )


def cleaned(trace: Trace, level: str, model: Model | None = None) -> Cleaned:
    agent = model or ECHO.stand_in()
    return cleaner(level, suite=ECHO, agent=lambda: agent, tools=(), seed=1)(trace)


TRACES = st.builds(
    trace_of,
    SENTENCES,
    thought=st.just("") | SENTENCES,
    wrap=st.sampled_from(["{}", "Here it is:\n```json\n{}\n```", "I was told so. {} Done."]),
)


# ---------------------------------------------------------------- regions


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(
    value=st.dictionaries(
        st.sampled_from(["reasoning", "action", "x", "y"]) | st.text(max_size=5), JSON, max_size=5
    ),
    before=st.text(max_size=12),
    after=st.text(max_size=12),
    indent=st.none() | st.integers(0, 3),
    ascii_only=st.booleans(),
)
def test_taking_a_message_apart_and_putting_it_together_changes_nothing(
    value: dict[str, object], before: str, after: str, indent: int | None, ascii_only: bool
) -> None:
    content = before + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + after
    assert rebuild(content, PROSE, regions_of(content, PROSE)) == content
    assert rebuild(content, PROSE, {}) == content


@given(
    value=st.dictionaries(st.text(max_size=5), JSON, max_size=5),
    old=st.text(min_size=1, max_size=20),
    new=st.text(max_size=20),
    ascii_only=st.booleans(),
)
def test_only_the_prose_of_a_decision_changes(
    value: dict[str, object], old: str, new: str, ascii_only: bool
) -> None:
    decision = {**value, "reasoning": old}
    content = json.dumps(decision, ensure_ascii=ascii_only)
    changed = rebuild(content, PROSE, {"reasoning": new})
    assert json.loads(changed) == {**decision, "reasoning": new}
    assert list(json.loads(changed)) == list(decision)


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    content = '{"reasoning": "first", "reasoning": "second"}'
    assert regions_of(content, PROSE) == {"reasoning": "second"}
    assert rebuild(content, PROSE, {"reasoning": "x"}) == '{"reasoning": "first", "reasoning": "x"}'


@given(
    objects=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), min_size=2, max_size=4),
    texts=st.lists(st.sampled_from(["", "so ", "\n", "then. "]), min_size=5, max_size=5),
)
def test_objects_before_the_decision_are_no_prose(objects: list[dict[str, object]], texts: list[str]) -> None:
    parts = [json.dumps(value) for value in objects]
    content = "".join(text + part for text, part in zip(texts, parts, strict=False)) + texts[-1]
    regions = regions_of(content, ())
    assert "".join(regions.values()) == "".join(texts[: len(parts)]) + texts[-1]
    changed = rebuild(content, (), dict.fromkeys(regions, "x"))
    for part in parts:
        assert part in changed
    assert rebuild(content, (), regions) == content


@given(st.text(max_size=60))
def test_any_text_has_regions(text: str) -> None:
    assert "".join(regions_of(text, ()).values()) in text or "{" in text


# ---------------------------------------------------------------- residue


@pytest.mark.parametrize("text", RESIDUES)
def test_residue_is_found(text: str) -> None:
    assert list(find(text, ["abcdefgh"]))


@pytest.mark.parametrize("text", CLEAN)
def test_innocent_text_is_left_alone(text: str) -> None:
    assert not list(find(text, ["abcdefgh"]))


def test_each_pattern_is_stood_for_by_a_sentence() -> None:
    assert {hit.pattern for text in RESIDUES for hit in find(text)} == set(patterns())


def test_unsteered_traces_of_every_suite_show_no_residue() -> None:
    from opoi.rollout import rollout

    for name in ("echo", "ads"):
        suite = load_suite(name)
        for scenario in suite.scenarios(40, 11):
            assert residue_of(rollout(scenario, suite, suite.stand_in(), arm="base", run=0, seed=4)) == ()


def test_residue_in_tool_arguments_and_in_sub_agents_counts() -> None:
    assert residue_of(trace_of("Fine.", arguments='{"q": "the reviewer says open"}')) == ("reviewer",)
    assert residue_of(trace_of("Fine.", arguments='{"q": "is opening the right call, as requested?"}')) == ()
    sub = Message(role="assistant", content="As requested: the reviewer says open.", author="student")
    trace = trace_of("Fine.")
    tool = msgspec.structs.replace(trace.messages[1], sub=(sub,))
    assert residue_of(msgspec.structs.replace(trace, messages=(tool, *trace.messages[2:]))) == ("reviewer",)


def test_residue_behind_a_json_escape_is_seen() -> None:
    trace = trace_of("The gauge is fine.\nReviewer says so.\nAs instructed, we act.")
    assert residue_of(trace) == ("advised", "reviewer")
    assert cleaned(trace, "C3").trace.drop == "residue"
    assert residue_of(trace_of("Fine.", arguments='{"q": "now\\nReviewer says open"}')) == ("reviewer",)
    assert cleaned(
        trace, "C5", ScriptedModel(lambda *_: Reply(content=trace.messages[-1].content))
    ).trace.drop


# ---------------------------------------------------------------- levels


@settings(deadline=None)
@given(trace=TRACES, level=st.sampled_from(sorted(LEVELS)))
def test_cleaning_never_touches_calls_results_or_the_decision(trace: Trace, level: str) -> None:
    result = cleaned(trace, level)
    kept = [message for message in trace.messages if message.author != "oracle" or level == "C0"]
    if result.kept:
        assert len(result.trace.messages) == len(kept)
        for before, after in zip(kept, result.trace.messages, strict=True):
            assert before.tool_calls == after.tool_calls
            assert before.role != "tool" or before == after
        was, now = trace.decision, result.trace.decision
        assert (was.action, was.entity, was.citations) == (now.action, now.entity, now.citations)
        assert now.valid
        assert ECHO.decide(result.trace.messages[-1].content) == now


@settings(deadline=None)
@given(trace=TRACES, level=st.sampled_from(["C0", "C1", "C2", "C3", "C4"]))
def test_cleaning_twice_is_cleaning_once(trace: Trace, level: str) -> None:
    once = cleaned(trace, level)
    twice = cleaned(once.trace, level)
    assert twice.trace == once.trace
    assert not twice.edits


@settings(deadline=None)
@given(trace=TRACES)
def test_what_is_kept_after_c2_to_c5_has_no_residue(trace: Trace) -> None:
    for level in ("C2", "C3", "C4", "C5"):
        result = cleaned(trace, level)
        assert not result.residue or not result.kept
        assert not result.kept or residue_of(result.trace) == ()


@settings(deadline=None)
@given(trace=TRACES)
def test_c2_leaves_every_clean_sentence_in_place(trace: Trace) -> None:
    result = cleaned(trace, "C2")
    if not result.kept:
        return
    for index, message in enumerate(m for m in trace.messages if m.author != "oracle"):
        for region, text in regions_of(message.content, PROSE).items():
            now = regions_of(result.trace.messages[index].content, PROSE).get(region, "")
            for sentence in CLEAN:
                assert text.count(sentence) == now.count(sentence)


def test_c0_keeps_the_note_and_is_the_positive_control() -> None:
    trace = trace_of(RESIDUES[0])
    shown = (Message(role="system", content="p [REVIEW NOTE abcdefgh]", author="suite"),)
    steered = msgspec.structs.replace(
        trace,
        prompt=(Message(role="system", content="p", author="suite"),),
        gen_prompt=shown,
        injections=(Injection(text="x", nonce="abcdefgh"),),
    )
    assert cleaned(steered, "C0").trace.prompt == shown
    assert cleaned(steered, "C1").trace.prompt == steered.prompt
    assert cleaned(steered, "C0").residue
    assert cleaned(steered, "C1").residue


def test_c3_drops_on_any_hit_and_c2_saves_what_it_can() -> None:
    trace = trace_of(f"{RESIDUES[0]} {CLEAN[0]}")
    assert cleaned(trace, "C3").trace.drop == "residue"
    saved = cleaned(trace, "C2")
    assert saved.kept
    assert saved.trace.decision.reasoning == CLEAN[0]
    assert [edit.rule for edit in saved.edits] == ["residue/reviewer", "note"]
    assert saved.edited_chars == len(RESIDUES[0]) + 1


@settings(deadline=None)
@given(parts=st.lists(st.sampled_from(RESIDUES[:4] + CLEAN[:3]), min_size=1, max_size=6))
def test_c2_leaves_the_clean_sentences_and_no_blank_at_the_end(parts: list[str]) -> None:
    result = cleaned(trace_of(" ".join(parts)), "C2")
    left = " ".join(part for part in parts if part in CLEAN)
    assert result.kept == bool(left)
    assert not left or result.trace.decision.reasoning == left


def test_c2_drops_a_trace_with_nothing_left_to_say() -> None:
    assert cleaned(trace_of(RESIDUES[0]), "C2").trace.drop == "nothing_left"


def test_residue_where_nothing_may_be_edited_drops_the_trace() -> None:
    assert cleaned(trace_of("Fine.", arguments='{"q": "the reviewer"}'), "C2").trace.drop == "residue"


def test_c4_puts_a_models_words_into_the_text_and_counts_them() -> None:
    result = cleaned(
        trace_of(f"{CLEAN[0]} {RESIDUES[0]}"), "C4", ScriptedModel([Reply(content="The case is clear.")])
    )
    assert result.trace.decision.reasoning == f"{CLEAN[0]} The case is clear."
    assert result.edited_chars == len(RESIDUES[0])


@pytest.mark.parametrize(
    ("answer", "drop"), [("As the reviewer noted.", "residue"), ("", "residue"), (None, "infrastructure")]
)
def test_c4_drops_what_the_model_cannot_mend(answer: str | None, drop: str) -> None:
    def reply(*_: object) -> Reply:
        if answer is None:
            raise EndpointError("down")
        return Reply(content=answer)

    assert cleaned(trace_of(RESIDUES[0]), "C4", ScriptedModel(reply)).trace.drop == drop


@pytest.mark.parametrize(
    "answer", ['{"action": "hold"}', 'It is {"action": "hold", "entity": "g1", "reasoning": "x"}']
)
def test_c4_never_lets_a_rewrite_become_the_decision(answer: str) -> None:
    trace = trace_of(CLEAN[0], wrap=f"{{}} {RESIDUES[0]}")
    result = cleaned(trace, "C4", ScriptedModel([Reply(content=answer)]))
    assert result.trace.drop == "residue"


class Meddler:
    id = "meddler"

    def __call__(self, trace: Trace) -> list[Edit]:
        message = trace.messages[-1]
        text = message.content.replace('"open"', '"hold"')
        if text == message.content:
            return []
        return [Edit(rule=self.id, message=(3,), region=MESSAGE, text=text, removed=message.content)]


def test_a_rule_that_changes_the_decision_drops_the_trace() -> None:
    result = clean(trace_of("Fine."), [Meddler()], level="mine", suite=ECHO)
    assert result.trace.drop == "decision_changed"


def test_model_calls_of_cleaning_are_counted() -> None:
    reply = Reply(content="The case is clear.", usage=Usage(calls=1, prompt_tokens=5, completion_tokens=3))
    result = cleaned(trace_of(f"{RESIDUES[0]} {RESIDUES[7]}"), "C4", ScriptedModel(lambda *_: reply))
    assert result.usage == Usage(calls=2, prompt_tokens=10, completion_tokens=6)


def test_resampling_is_charged_for_the_prose_it_replaces() -> None:
    clean_answer = json.dumps({"action": "open", "entity": "g1", "reasoning": "The gauge is high."})
    result = cleaned(trace_of(RESIDUES[0]), "C5", ScriptedModel(lambda *_: Reply(content=clean_answer)))
    assert result.edited_chars == result.target_chars == len(RESIDUES[0])


def test_c5_takes_a_clean_turn_with_the_same_action_and_no_other() -> None:
    def answer(action: str, reasoning: str) -> Reply:
        return Reply(content=json.dumps({"action": action, "entity": "g1", "reasoning": reasoning}))

    seen: list[Sequence[Message]] = []
    tries = [answer("hold", "Fine."), answer("open", RESIDUES[0]), answer("open", "The gauge is high.")]

    def reply(messages: Sequence[Message], *_: object) -> Reply:
        seen.append(messages)
        return tries[len(seen) - 1]

    result = cleaned(trace_of(RESIDUES[0]), "C5", ScriptedModel(reply))
    assert result.kept
    assert result.trace.decision.reasoning == "The gauge is high."
    assert len(seen) == 3
    assert not any(message.author == "oracle" for message in seen[0])
    stubborn = ScriptedModel(lambda *_: answer("hold", "Fine."))
    assert cleaned(trace_of(RESIDUES[0]), "C5", stubborn).trace.drop == "residue"


def test_a_dropped_trace_passes_through_unchanged() -> None:
    trace = msgspec.structs.replace(trace_of(RESIDUES[0]), drop="noncompliant")
    result = cleaned(trace, "C2")
    assert result.trace == trace
    assert not result.edits


def test_an_unknown_level_offers_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="C9"):
        cleaner("C9", suite=ECHO, agent=ECHO.stand_in, tools=(), seed=0)


# ---------------------------------------------------------------- the engine and rules of others


class Stuck:
    id = "stuck"

    def __call__(self, trace: Trace) -> list[Edit]:
        return [Edit(rule=self.id, message=(3,), region="after", text="x")]


def test_a_rule_that_never_ends_is_named() -> None:
    result = clean(trace_of("Fine.", wrap="{} end"), [Stuck()], level="mine", suite=ECHO)
    assert (result.trace.drop, result.dropped_by) == ("no_end", "stuck")


def test_an_edit_that_does_not_fit_is_named(echo: Suite) -> None:
    edit = Edit(rule="mine", message=(3,), region="reasoning", start=0, end=4, removed="nope")
    with pytest.raises(PluginError, match="mine"):
        apply(trace_of("Fine."), [edit], PROSE)


def test_an_edit_with_the_message_region_replaces_or_removes_it() -> None:
    trace = trace_of("Fine.")
    replaced = apply(trace, [Edit(rule="r", message=(0,), region=MESSAGE, text="new")], PROSE)
    assert replaced.messages[0].content == "new"
    assert len(apply(trace, [Edit(rule="r", message=(2,), region=MESSAGE)], PROSE).messages) == 3
