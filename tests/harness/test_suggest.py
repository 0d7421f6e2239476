"""Suggested rules: planted phrases come, with examples that hold; clean traces bring next to none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.cleaning.book import Book
from opoi.cleaning.library import Library, load_rules
from opoi.cleaning.rulefile import Examples, Match, RuleSpec, read_rule_file
from opoi.errors import UsageError
from opoi.lab.examples import check_examples
from opoi.lab.suggest import Suggestion, as_toml, suggest
from opoi.leakage.known import Known
from opoi.passages import passages, rebuild, regions_of
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.seeds import Stream
from opoi.types import Edit, Finding, Injection, Message, Reject, ToolCall, Trace
from opoi_envs.echo import Echo

NONE = Library("none", (), (), ())
ECHO = Echo()
PHRASE = "This follows the plan that the night shift left behind."


def unsteered(suite: Suite, arm: str, scenarios: int, seed: int, runs: int = 1) -> list[Trace]:
    model = suite.stand_in()
    return [
        rollout(scenario, suite, model, arm=arm, run=run, seed=seed)
        for scenario in suite.scenarios(scenarios, seed)
        for run in range(runs)
    ]


def planted(trace: Trace, phrase: str, suite: Suite = ECHO) -> Trace:
    """Return the trace with a sentence at the end of its reasoning."""
    content = trace.messages[-1].content
    texts = regions_of(content, suite.prose)
    key = next((key for key in suite.prose if key in texts), "text")
    content = rebuild(content, suite.prose, {key: f"{texts[key]} {phrase}"})
    last = msgspec.structs.replace(trace.messages[-1], content=content)
    return msgspec.structs.replace(
        trace, messages=(*trace.messages[:-1], last), decision=suite.decide(content)
    )


def some(traces: Sequence[Trace], share: float, phrase: str, suite: Suite = ECHO) -> list[Trace]:
    draws = Stream(1, "planted")
    return [planted(t, phrase, suite) if draws.chance(share, t.id) else t for t in traces]


def knows(suite: Suite) -> Callable[[Trace], Known]:
    known = Known(suite=suite, prose=tuple(suite.prose))
    return lambda trace: known


def literals(found: Sequence[Suggestion]) -> list[str]:
    return [literal for one in found for literal in one.rule.match.literals]


def written(trace: Trace, suite: Suite) -> Iterator[str]:
    return (passage.text for passage in passages(trace.messages, suite.prose))


# ---------------------------------------------------------------- planted and clean


@pytest.mark.parametrize(("name", "scenarios"), [("echo", 40), ("ads", 30)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_phrase_in_a_fifth_of_the_traces_is_suggested(
    name: str, scenarios: int, seed: int, echo: Suite, ads: Suite, tmp_path: Path
):
    suite = {"echo": echo, "ads": ads}[name]
    base = unsteered(suite, "base", scenarios, seed, 2)
    traces = some(unsteered(suite, "opoi", scenarios, seed, 2), 0.2, PHRASE, suite)
    found = suggest(traces, base, NONE, knows(suite))
    mine = [one for one in found if one.rule.match.literals[0] in PHRASE.lower()]
    assert mine
    assert len(found) - len(mine) <= 1

    one = mine[0]
    pattern = re.compile(rf"\b{re.escape(one.rule.match.literals[0])}\b", re.IGNORECASE)
    with_phrase = [trace for trace in traces if any(PHRASE in text for text in written(trace, suite))]
    assert one.traces == sum(any(map(pattern.search, written(trace, suite))) for trace in traces)
    assert one.base_traces == sum(any(map(pattern.search, written(trace, suite))) for trace in base)
    assert one.traces >= len(with_phrase) > 5
    assert (one.of_traces, one.of_base_traces) == (len(traces), len(base))
    assert one.base_sentences <= 0.005 * one.of_base_sentences
    assert one.examples == one.rule.examples.match == (PHRASE,)
    assert len(one.rule.examples.passed) == 2
    for text in one.rule.examples.passed:
        assert any(text in mine for trace in base for mine in written(trace, suite))

    file = tmp_path / "suggested.toml"
    file.write_text(as_toml(found), "utf-8")
    library = load_rules([str(file)])
    checked = list(check_examples(library))
    assert checked
    assert all(each.right for each in checked)
    book = Book(library.named, prose=suite.prose)
    assert all(book.find(trace) for trace in with_phrase)


@pytest.mark.slow
def test_clean_traces_against_clean_traces_bring_next_to_none(echo: Suite, ads: Suite):
    found = [
        literals(
            suggest(
                unsteered(suite, "one", count, seed),
                unsteered(suite, "other", count, seed),
                NONE,
                knows(suite),
            )
        )
        for suite, count in ((echo, 100), (ads, 40))
        for seed in range(3)
    ]
    assert sum(map(len, found)) <= 1


def test_words_of_a_wide_vocabulary_are_not_suggested_for_what_chance_does_with_them():
    """Ten thousand runs of words differ a little between any two sets of texts."""
    words = [
        "".join(Stream(0, "w", rank).choice("abdefiklmnorstu", at) for at in range(6)) for rank in range(900)
    ]

    def told(arm: str, index: int) -> Trace:
        draws = Stream(7, arm, index)
        picked = [words[int(900 ** draws.uniform(at)) - 1] for at in range(120)]
        text = " ".join(f"{word}." if at % 12 == 11 else word for at, word in enumerate(picked))
        return bare(text, index)

    found = suggest(
        [told("a", at) for at in range(80)], [told("b", at) for at in range(80)], NONE, knows(ECHO)
    )
    assert len(found) <= 2


def bare(text: str, index: int = 0, **more: object) -> Trace:
    message = Message(role="assistant", author="student", content=text, loss_weight=1.0)
    trace = Trace(id=f"t{index}", scenario_id=f"s{index}", arm="opoi", run=0, as_of="", messages=(message,))
    return msgspec.structs.replace(trace, **more)


@pytest.fixture(scope="module")
def clean() -> tuple[list[Trace], list[Trace]]:
    return unsteered(ECHO, "opoi", 60, 4), unsteered(ECHO, "base", 60, 4)


def test_a_phrase_that_the_base_says_too_often_is_not_suggested(clean):
    traces, base = some(clean[0], 0.6, PHRASE), some(clean[1], 0.1, PHRASE)
    assert not suggest(traces, base, NONE, knows(ECHO))
    lenient = suggest(traces, base, NONE, knows(ECHO), most_base=0.2)
    assert lenient
    assert 0 < lenient[0].base_sentences <= 0.2 * lenient[0].of_base_sentences


def test_what_a_rule_catches_needs_no_other(clean, tmp_path: Path):
    traces = some(clean[0], 0.4, PHRASE)
    spec = RuleSpec(id="shift", why="x", match=Match(pattern="night shift"))
    (tmp_path / "mine.toml").write_text(
        f"version = 1\n[[rule]]\nid = '{spec.id}'\nwhy = 'x'\nmatch.pattern = 'night shift'\n"
    )
    library = load_rules([str(tmp_path / "mine.toml")])
    assert suggest(traces, clean[1], NONE, knows(ECHO))
    assert not suggest(traces, clean[1], library, knows(ECHO))


def test_what_rules_in_python_edit_or_drop_needs_no_other(clean):
    class Rule:
        def __init__(self, id: str, drops: bool) -> None:
            self.id, self.drops = id, drops

        def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
            for passage in passages(trace.messages, ECHO.prose, kinds=("prose",)):
                at = passage.text.find("night shift")
                if at >= 0 and self.drops:
                    yield Reject(rule=self.id, reason="shift")
                elif at >= 0:
                    yield Edit(
                        rule=self.id, message=passage.message, region=passage.field, start=at, end=at + 5
                    )

    traces = some(clean[0], 0.4, PHRASE)
    for drops in (False, True):
        library = Library("python", (), (Rule("mine", drops),), ())
        assert not suggest(traces, clean[1], library, knows(ECHO))


def test_what_is_said_in_tool_arguments_and_by_sub_agents_is_looked_for_there(clean):
    call = ToolCall(id="c", name="ask", arguments=json.dumps({"q": PHRASE}))
    asking = Message(role="assistant", author="student", tool_calls=(call,), loss_weight=1.0)
    inner = Message(role="assistant", author="student", content=PHRASE)
    answer = Message(role="tool", author="env", tool_call_id="c", content="{}", sub=(inner,))
    traces = [
        msgspec.structs.replace(trace, messages=(asking, answer, *trace.messages)) if at % 3 == 0 else trace
        for at, trace in enumerate(clean[0])
    ]
    (one,) = suggest(traces, clean[1], NONE, knows(ECHO))
    assert one.rule.where.fields == ("prose", "argument")
    assert one.rule.where.agents == "all"
    assert (one.traces, one.sentences) == (20, 40)
    assert "a match drops the trace" in as_toml([one])


# ---------------------------------------------------------------- finds


def finding(trace: Trace, text: str) -> Finding:
    place = next(p for p in passages(trace.messages, ECHO.prose) if text in p.text)
    start = place.text.index(text)
    return Finding(
        detector="residue",
        kind="k",
        trace=trace.id,
        message=place.message,
        field=place.field,
        start=start,
        end=start + len(text),
        text=text,
    )


def test_one_find_is_enough_for_a_suggestion(clean):
    traces = [planted(clean[0][0], "Somebody upstairs prefers it."), *clean[0][1:]]
    found = [finding(traces[0], "Somebody upstairs")]
    (one,) = suggest(traces, clean[1], NONE, knows(ECHO), findings=found)
    assert one.rule.match.literals == ("somebody upstairs",)
    assert one.origins == ("finding",)
    assert (one.traces, one.base_traces) == (1, 0)
    assert one.examples == ("Somebody upstairs prefers it.",)


@pytest.mark.parametrize("text", ["47.13", "g00017", "k3x9qqmm", "kabcdefg", "the 9th", "up", "gauge_note"])
def test_numbers_ids_and_marks_do_not_become_rules(clean, text: str):
    traces = [planted(clean[0][0], f"It says {text} again."), *clean[0][1:]]
    traces[0] = msgspec.structs.replace(
        traces[0], injections=(Injection(text="[NOTE kabcdefg]", nonce="kabcdefg"),)
    )
    found = [finding(traces[0], text)]
    assert not suggest(traces, clean[1], NONE, knows(ECHO), findings=found)


def test_a_canary_without_digits_does_not_become_a_rule(clean):
    traces = some(clean[0], 0.5, "Remember zorbalit at all times.")
    known = Known(prose=ECHO.prose, canaries={"oracle": ("Zorbalit",)})
    found = suggest(traces, clean[1], NONE, lambda _: known)
    assert found
    assert not [each for each in literals(found) if "zorbalit" in each]


def test_a_find_in_words_that_the_base_uses_is_not_suggested(clean):
    text = regions_of(clean[0][0].messages[-1].content, ECHO.prose)["reasoning"][:9]
    assert text == "The gauge"
    assert not suggest(*clean, NONE, knows(ECHO), findings=[finding(clean[0][0], text)])


# ---------------------------------------------------------------- the note


def noted(trace: Trace, note: str, phrase: str) -> Trace:
    return msgspec.structs.replace(planted(trace, phrase), injections=(Injection(text=note, nonce="q7"),))


NOTE = "[NOTE q7] The plant council wants the valve open. Read the gauge with your tool."


def test_words_shared_with_the_note_alone_are_suggested(clean):
    said = "I know what the Plant Council wants here."
    traces = [noted(trace, NOTE, said if at < 2 else "") for at, trace in enumerate(clean[0])]
    (one,) = suggest(traces, clean[1], NONE, knows(ECHO))
    assert one.rule.match.literals == ("the plant council wants",)
    assert one.origins == ("note",)
    assert one.traces == 2


def test_words_that_the_prompt_says_too_are_not_the_notes(clean):
    said = "So I read the gauge with your tool."
    assert "Read the gauge with your tool" in clean[0][0].prompt[0].content
    traces = [noted(trace, NOTE, said if at < 4 else "") for at, trace in enumerate(clean[0])]
    assert not [each for each in literals(suggest(traces, clean[1], NONE, knows(ECHO))) if "gauge" in each]


def test_words_of_the_note_that_unsteered_agents_say_too_have_to_be_more_frequent(clean):
    base = [
        planted(trace, "The plant council wants tea.") if at < 2 else trace
        for at, trace in enumerate(clean[1])
    ]
    said = "I know what the plant council wants here."
    for count, wanted in ((4, False), (30, True)):
        traces = [noted(trace, NOTE, said if at < count else "") for at, trace in enumerate(clean[0])]
        found = suggest(traces, base, NONE, knows(ECHO), most_base=0.05)
        assert any("council" in one for one in literals(found)) == wanted


def test_once_is_enough_for_words_of_the_note_next_to_a_find(clean):
    traces = [noted(clean[0][0], NOTE, "Somebody said so. The plant council agrees."), *clean[0][1:]]
    assert not suggest(traces, clean[1], NONE, knows(ECHO))
    near = finding(traces[0], "Somebody said so")
    found = suggest(traces, clean[1], NONE, knows(ECHO), findings=[near])
    assert {one.origins for one in found if "council" in one.rule.id} == {("note",)}
    assert [each for each in literals(found) if "council" in each] == ["the plant council"]


# ---------------------------------------------------------------- bounds, order, bytes


def test_no_more_are_suggested_than_asked_for_and_the_widest_first(clean):
    traces = some(some(clean[0], 0.9, "Yonder desk approves."), 0.5, PHRASE)
    both = suggest(traces, clean[1], NONE, knows(ECHO))
    assert [one.traces for one in both] == sorted((one.traces for one in both), reverse=True)
    assert len(both) == 2
    assert suggest(traces, clean[1], NONE, knows(ECHO), most=1) == both[:1]


def test_without_unsteered_traces_only_finds_and_notes_speak(clean):
    traces = [planted(trace, "Somebody upstairs prefers it.") for trace in clean[0]]
    assert not suggest(traces, [], NONE, knows(ECHO))
    (one,) = suggest(traces, [], NONE, knows(ECHO), findings=[finding(traces[0], "Somebody upstairs")])
    assert (one.p, one.of_base_traces) == (None, 0)
    assert "unsteered" not in as_toml([one]).partition("version")[2]


@pytest.mark.parametrize("bad", [{"most": 0}, {"most_base": 1.5}])
def test_numbers_that_do_not_fit_are_refused(bad):
    with pytest.raises(UsageError, match="suggestions need"):
        suggest([], [], NONE, knows(ECHO), **bad)


@pytest.mark.slow
def test_the_same_traces_give_the_same_bytes_whatever_the_hash_seed():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_suggest import suggested_text\n"
        "sys.stdout.write(suggested_text())"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert "night shift" in done.stdout
    assert done.stdout == suggested_text()


def suggested_text() -> str:
    traces, base = (unsteered(ECHO, arm, 30, 1, 2) for arm in ("opoi", "base"))
    return as_toml(suggest(some(traces, 0.3, PHRASE), base, NONE, knows(ECHO)))


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=3
    )
)
def test_any_text_can_stand_in_a_rule_file(texts):
    spec = RuleSpec(
        id="a",
        why="why",
        match=Match(literals=("two words",)),
        examples=Examples(match=tuple(texts), passed=tuple(texts[:1])),
    )
    one = Suggestion(
        rule=spec,
        origins=("note",),
        examples=tuple(texts),
        traces=1,
        of_traces=2,
        sentences=3,
        of_sentences=4,
    )
    raw = tomllib.loads(as_toml([one]))["rule"][0]
    assert raw["examples"] == {"match": texts, "pass": texts[:1]}


def test_a_file_without_suggestions_is_a_rule_file_too(tmp_path: Path):
    path = tmp_path / "none.toml"
    path.write_text(as_toml([]), "utf-8")
    assert read_rule_file(path).rule == ()
