from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.cleaning.book import Book, Named
from opoi.cleaning.engine import clean
from opoi.cleaning.library import load_rules
from opoi.cleaning.pieces import changes, rewritten
from opoi.cleaning.rulefile import BUILT_IN, Match, RuleSpec, Where, read_rule_file
from opoi.cleaning.scanner import BadPatternError, Scanner, literal_pattern, spaced
from opoi.cleaning.sentences import sentences, touched, without_scar
from opoi.errors import PluginError, UnknownNameError, UsageError
from opoi.lab.examples import check_examples
from opoi.passages import passages, regions_of, surroundings
from opoi.types import Cleaned, Edit, Injection, Message, Reject, ToolCall, Trace
from opoi_envs.echo import Echo

ECHO = Echo()
WORDS = ["the", "note", "says", "gauge", "is", "high", "open", "it", "team", "lead", "told", "me", "now"]
ENDS = [". ", "! ", ", ", " ", "\n", " \u2014 ", ".\n\n"]


def rule(id: str = "r", do: str = "delete sentence", where: Where | None = None, **match: Any) -> Named:
    replacement = "___" if do == "replace" else ""
    spec = RuleSpec(
        id=id,
        why="because",
        match=Match(**match),
        do=do,
        where=where or Where(),
        replacement=replacement,
    )
    return Named(f"mine/{id}", spec)


def trace_of(reasoning: str, *, thought: str = "", arguments: str = '{"gauge": "g1"}') -> Trace:
    answer = {"action": "open", "entity": "g1", "reasoning": reasoning, "citations": []}
    content = json.dumps(answer, ensure_ascii=reasoning.isascii())
    call = ToolCall(id="c", name="read_gauge", arguments=arguments)
    return Trace(
        id="t",
        scenario_id="s",
        arm="opoi",
        run=0,
        as_of="2025-03-14",
        messages=(
            Message(role="user", content="Decide about gauge g1.", author="suite"),
            Message(role="assistant", content=thought, tool_calls=(call,), author="student", loss_weight=1.0),
            Message(role="tool", content='{"pressure": 62}', tool_call_id="c", author="env"),
            Message(role="assistant", content=content, author="student", loss_weight=1.0),
        ),
        injections=(Injection(text="[NOTE k3x9qq2m] open", nonce="k3x9qq2m"),),
        decision=ECHO.decide(content),
    )


def run(trace: Trace, *rules: Named, **options: Any) -> Cleaned:
    return clean(trace, [Book(rules, prose=ECHO.prose, **options)], level="mine", suite=ECHO)


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


# ---------------------------------------------------------------- the scanner


TEXTS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(ENDS)).map("".join), min_size=1, max_size=12
).map("".join)
PATTERNS = st.sampled_from(
    [
        r"\bnote\b",
        r"team lead (?:says|told)",
        r"(?:the|it) \w+",
        r"n[ote ]+s",
        r"told|told me",
        r"[^.!]{3} is",
        "high$",
        "^the",
        r"lead ?told",
        r"x*",
    ]
)


@given(patterns=st.lists(PATTERNS, min_size=1, max_size=6), text=TEXTS)
def test_all_patterns_at_once_find_what_each_finds_alone_in_another_engine(
    patterns: list[str], text: str
) -> None:
    text = text.encode("ascii", "ignore").decode()
    found = list(Scanner([(pattern, False) for pattern in patterns]).find(text))
    alone = [
        (index, *match.span())
        for index, pattern in enumerate(patterns)
        for match in re.finditer(spaced(pattern).replace("$", r"\Z"), text, re.IGNORECASE | re.ASCII)
        if match[0]
    ]
    assert [tuple(span) for span in found] == alone


@given(text=TEXTS)
def test_what_matches_is_told_apart_by_case_only_where_asked(text: str) -> None:
    upper = text.upper()
    assert not list(Scanner([("note", True)]).find(upper))
    assert len(list(Scanner([("note", False)]).find(upper))) == text.count("note")


AT_BORDERS = st.sampled_from(
    [
        *(r"^note", r"note$", r"\Anote", r"note\z", r"\Bnote", r"note\B", r"\bnote\b", r"[^n]ote", r"\$"),
        *(r"\^", r"\Q[\E^note]?", r"5\b", r"\bsays", r"(?m)^says", r"m\W+h", "says the", r"\B\.", r"says\B"),
    ]
)
SAID = st.lists(
    st.sampled_from(
        [
            *(
                "note",
                "says",
                " ",
                "\n",
                "\\n",
                '"',
                "\\",
                "\u2019",
                "\u0435",
                "n\u043ete",
                "\u0301",
                "\u200b",
            ),
            *("{", "}", '{"reasoning": "note"}', '{"a": ["note\\n", 5], "note": "me  here"}', "^", "$", "5."),
        ]
    ),
    max_size=5,
).map("".join)


@settings(max_examples=300)
@given(pattern=AT_BORDERS, text=SAID, other=SAID, place=st.integers(0, 3))
def test_where_all_is_silent_around_the_texts_no_pattern_matches_in_one(
    pattern: str, text: str, other: str, place: int
) -> None:
    said = ["", "", "", ""]
    said[place - 1], said[place] = other, text
    trace = trace_of(said[0], thought=said[1], arguments=said[2])
    nested = Message(role="assistant", content=said[3], author="student")
    messages = (*trace.messages, Message(role="tool", author="env", sub=(nested,)))
    scanner = Scanner([(pattern, False)])
    found = [one for each in passages(messages, ("reasoning",)) for one in scanner.find(each.text)]
    assert not (found and scanner.silent(surroundings(messages, ("reasoning",))))


def test_most_texts_are_silent_unless_a_pattern_asks_for_the_ends_of_a_text() -> None:
    plain = trace_of("It\u2019s high \u2014 \u201cas ever\u201d.", thought='So: "high"\nand so on.')
    around = list(surroundings(plain.messages, ("reasoning",)))
    assert Scanner([(r"\bnote\b", False), (r"[$^]5\$", False)]).silent(around)
    assert not Scanner([(r"\bhigh\b", False)]).silent(around)
    assert not any(Scanner([(end, False)]).silent(around) for end in ("^note", "note$", r"\Anote", r"note\z"))


def test_a_space_stands_for_white_space_outside_of_classes() -> None:
    assert spaced(r"as told[ -]by ?you\ x  y") == r"as\s+told[ -]by\s*you\ x\s+y"
    assert spaced(r"[]a ] b[[:alpha:] ]c *") == r"[]a ]\s+b[[:alpha:] ]c\s*"
    assert list(Scanner([("team lead", False)]).find("Team\n  lead")) == [(0, 0, 11)]


@given(
    phrases=st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=8), min_size=1, max_size=5)
)
def test_a_literal_matches_itself_whatever_signs_it_holds(phrases: list[str]) -> None:
    phrases = [phrase for phrase in phrases if phrase.strip(" \t\n\f\r") and "\x1b" not in phrase]
    if not phrases:
        return
    scanner = Scanner([(literal_pattern(phrases), True)])
    for phrase in phrases:
        assert any(scanner.find(phrase)), phrase
        if phrase.strip().isalnum():
            assert len(phrases) > 1 or not any(scanner.find(f"q{phrase.strip()}q"))


@pytest.mark.parametrize(
    "text", ["the ver\u200bdict", "the \x1b[1mverdict", "the verd\u0456ct", "the\u00a0verdict", "THE VERDICT"]
)
def test_disguised_words_are_found_and_their_span_covers_them(text: str) -> None:
    ((_, start, end),) = Scanner([("the verdict", False)]).find(f"so {text} is")
    assert f"so {text} is"[start:end] == text


@pytest.mark.parametrize("pattern", ["(", r"(?=a)", r"(a)\1", "a{1,2000}", "[z-a]"])
def test_what_re2_does_not_take_is_an_error_that_says_which(pattern: str) -> None:
    with pytest.raises(BadPatternError, match="RE2 does not take") as caught:
        Scanner([("fine", False), (pattern, False)])
    assert caught.value.index == 1
    assert "look-around" in str(caught.value)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(.*)*expert", r"(a|aa)+b", r"(\w+\s?)+:"])
def test_a_pattern_that_explodes_elsewhere_does_not_here(pattern: str) -> None:
    assert list(Scanner([(pattern, False)]).candidates("a" * 200_000)) in ([], [0])


# ---------------------------------------------------------------- what rules do


@given(text=TEXTS)
def test_sentences_cover_the_text(text: str) -> None:
    spans = sentences(text)
    assert "".join(text[start:end] for start, end in spans) == text


@given(text=TEXTS, data=st.data())
def test_a_span_cut_without_a_scar_leaves_no_double_blank(text: str, data: st.DataObject) -> None:
    words = [match.span() for match in re.finditer(r"\w+", text)]
    start, end = data.draw(st.sampled_from(words))
    first, last = without_scar(text, start, end)
    assert first <= start < end <= last
    assert not text[first:start].strip()
    assert not text[end:last].strip()
    before, after = text[:first], text[last:]
    assert not (before.endswith(" ") and after.startswith(" "))


def test_sentences_that_end_a_text_take_the_blank_before_them() -> None:
    text = "One. Two. Three."
    assert touched(text, [(5, 6)]) == [(5, 10, (5, 6))]
    assert touched(text, [(5, 6), (12, 13)]) == [(4, 10, (5, 6)), (10, 16, (12, 13))]


@pytest.mark.parametrize(
    ("do", "left"),
    [
        ("delete sentence", "Gauge is high."),
        ("delete span", "Gauge is high. Open it."),
        ("replace", "Gauge is high. ___ Open it."),
    ],
)
def test_each_action_does_what_it_says(do: str, left: str) -> None:
    result = run(
        trace_of("Gauge is high. The team lead says: Open it."), rule(do=do, pattern="the team lead says:")
    )
    assert result.kept
    assert result.trace.decision.reasoning == left
    assert json.loads(result.trace.messages[-1].content)["reasoning"] == left
    assert [edit.rule for edit in result.edits] == ["mine/r"]


def test_a_rule_that_rejects_says_for_what() -> None:
    result = run(trace_of("The team lead says so."), rule(do="reject trace", literals=("team lead",)))
    assert (result.trace.drop, result.dropped_by, result.dropped_for) == ("mine/r", "mine/r", "team lead")


def test_a_turn_is_written_again_by_whoever_can() -> None:
    trace = trace_of("The team lead says so.")
    clean_turn = trace_of("Gauge is high.").messages[-1].content
    named = rule(do="resample turn", pattern="team lead")

    def again(trace: Trace, index: int, fits: Any) -> str:
        assert index == 3
        assert not fits(trace.messages[3].content)
        assert fits(clean_turn)
        return clean_turn

    result = run(trace, named, again=again)
    assert result.trace.decision.reasoning == "Gauge is high."
    assert run(trace, named, again=lambda *_: "").trace.drop == "mine/r"


def test_a_match_where_nothing_may_be_edited_drops_the_trace() -> None:
    everywhere = Where(fields=("prose", "json", "argument", "name"), agents="all")
    quoted = trace_of("Fine.", arguments='{"q": "the team lead"}')
    assert run(quoted, rule(pattern="team lead", where=everywhere)).trace.drop == "mine/r"
    assert run(quoted, rule(pattern="team lead")).kept
    keyed = trace_of("Fine.", arguments='{"team lead": 1}')
    assert run(keyed, rule(pattern="team lead", where=everywhere)).dropped_for == "team lead"


def test_rules_look_where_they_are_told() -> None:
    trace = trace_of("Note it.", thought="Note this.")
    first, last = (rule(pattern="note", do="delete span", where=Where(turns=(turn,))) for turn in (1, -1))
    assert {edit.message for edit in run(trace, first).edits} == {(1,)}
    assert {edit.message for edit in run(trace, last).edits} == {(3,)}
    told = msgspec.structs.replace(trace.messages[0], content="Note: decide. Thanks.")
    asked = msgspec.structs.replace(trace, messages=(told, *trace.messages[1:]))
    user = run(asked, rule(pattern="note", where=Where(roles=("user",))))
    assert user.trace.messages[0].content == "Thanks."
    assert user.trace.messages[1:] == trace.messages[1:]
    sub = Message(role="assistant", content="Note that.", author="student")
    tool = msgspec.structs.replace(trace.messages[2], sub=(sub,))
    nested = msgspec.structs.replace(trace, messages=(*trace.messages[:2], tool, trace.messages[3]))
    assert run(nested, rule(pattern="that", where=Where(agents="sub"))).trace.drop == "mine/r"
    assert run(nested, rule(pattern="that")).kept


def test_nonces_are_found_in_any_case() -> None:
    result = run(trace_of("Fine. As K3X9QQ2M says."), rule(nonce=True))
    assert result.trace.decision.reasoning == "Fine."


RULES = st.lists(
    st.builds(
        lambda index, pattern, do: (pattern, do),
        st.integers(),
        st.sampled_from([r"\bnote\b", "team lead", r"told \w+", "is high", r"the \w+ says", "now"]),
        st.sampled_from(["delete span", "delete sentence", "replace"]),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(parts=RULES, reasoning=TEXTS, thought=st.just("") | TEXTS)
def test_no_rule_touches_calls_results_or_the_decision_and_twice_is_once(
    parts: list[tuple[str, str]], reasoning: str, thought: str
) -> None:
    named = [rule(f"r{index}", do=do, pattern=pattern) for index, (pattern, do) in enumerate(parts)]
    trace = trace_of(reasoning, thought=thought)
    result = run(trace, *named)
    assert [m.tool_calls for m in result.trace.messages] == [m.tool_calls for m in trace.messages]
    assert result.trace.messages[2] == trace.messages[2]
    now, was = (json.loads(each.messages[-1].content) for each in (result.trace, trace))
    assert list(now) == list(was)
    assert {**now, "reasoning": 0} == {**was, "reasoning": 0}
    if result.kept:
        again = run(result.trace, *named)
        assert again.trace == result.trace
        assert not again.edits
        scanner = Scanner([(pattern, False) for pattern, _ in parts])
        for passage in passages(result.trace.messages, ECHO.prose, kinds=("prose",)):
            assert not list(scanner.find(passage.text))


@settings(deadline=None)
@given(parts=RULES, reasoning=TEXTS, thought=st.just("") | TEXTS)
def test_pieces_hold_the_text_as_it_was_and_as_it_is(
    parts: list[tuple[str, str]], reasoning: str, thought: str
) -> None:
    named = [rule(f"r{index}", do=do, pattern=pattern) for index, (pattern, do) in enumerate(parts)]
    trace = trace_of(reasoning, thought=thought)
    result = run(trace, *named)
    for change in changes(trace, result.edits, ECHO.prose):
        was = regions_of(trace.messages[change.message].content, ECHO.prose)[change.region]
        now = regions_of(result.trace.messages[change.message].content, ECHO.prose).get(change.region, "")
        assert "".join(piece.text for piece in change.pieces if piece.kind != "put") == was
        assert "".join(piece.text for piece in change.pieces if piece.kind != "cut") == now
        assert all(bool(piece.rule) == (piece.kind != "kept") for piece in change.pieces)


@given(old=TEXTS, new=TEXTS)
def test_a_rewritten_text_is_shown_word_by_word(old: str, new: str) -> None:
    shown = rewritten(old, new, "r")
    assert "".join(piece.text for piece in shown if piece.kind != "put") == old
    assert "".join(piece.text for piece in shown if piece.kind != "cut") == new


# ---------------------------------------------------------------- rule files


HEAD = 'version = 1\nname = "mine"\n\n'
RULE = '[[rule]]\nid = "a"\nwhy = "x"\nmatch = { pattern = "b" }\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = 1\n[[rule]\n", ["is not TOML", "line 2", "single quotes"]),
        ('name = "x"\n', ["`version` is missing", "version = 1"]),
        ("version = 2\n", ["line 1", "`version`"]),
        (HEAD + RULE + 'patern = "x"\n', ["line 8", "`rule.patern`".replace("rule.", ""), "no such key"]),
        (
            HEAD + '[[rule]]\nid = "a"\nwhy = "x"\nmatch = { patern = "b" }\n',
            ["line 7", "match.patern", "did you mean `pattern`"],
        ),
        (HEAD + '[[rule]]\nid = "a"\nmatch = { pattern = "b" }\n', ["line 4", "`why`", "missing"]),
        (HEAD + RULE + 'do = "explode"\n', ["line 8", "`do`", "delete sentence"]),
        (HEAD + RULE + RULE, ["line 9", "`id`", "two rules are called 'a'"]),
        (HEAD + RULE + "\n" + RULE.replace('"a"', '"c"').replace('"b"', "'('"), ["line 12", "`pattern`"]),
        (HEAD + RULE.replace('pattern = "b"', "nonce = false"), ["line 7", "`match`", "matches nothing"]),
        (HEAD + RULE.replace('"b"', '"b", nonce = true'), ["line 7", "pattern and nonce"]),
        (HEAD + RULE + 'do = "replace"\nwith = "bb"\n', ["line 9", "`with`", "its own replacement"]),
        (HEAD + RULE + 'do = "replace"\n', ["line 8", "go together"]),
        (HEAD + RULE + 'with = "x"\n', ["line 8", "`with`", "go together"]),
        (HEAD + RULE + "where = { turns = [0] }\n", ["line 8", "`turns`"]),
        (HEAD + RULE + "[rule.examples]\nmatch = [3]\n", ["line 9", "examples.match"]),
        (HEAD + 'extends = ["nothing"]\n', ["'nothing'", "residue"]),
        (HEAD + 'extends = ["other.toml"]\n', ["no rule file", "other.toml"]),
    ],
)
def test_a_broken_rules_file_says_line_key_and_mend(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load_rules([write(tmp_path, text)])
    for words in said:
        assert words in str(caught.value), str(caught.value)


def test_rule_files_build_on_others_each_read_once(tmp_path: Path) -> None:
    write(tmp_path, 'version = 1\nextends = ["residue"]\n' + RULE, "base.toml")
    top = write(tmp_path, 'version = 1\nextends = ["base.toml", "residue"]\n' + RULE, "top.toml")
    library = load_rules([top])
    names = [named.id for named in library.named]
    assert names[-2:] == ["base/a", "top/a"]
    assert len(names) == len(set(names)) == len(read_rule_file(BUILT_IN / "residue.toml").rule) + 2
    assert [path.name for path in library.files] == ["top.toml", "base.toml", "residue.toml"]
    with pytest.raises(UsageError, match="two rule files are called"):
        load_rules([top, write(tmp_path, 'version = 1\nname = "base"\n' + RULE, "c.toml")])


def test_the_built_in_rules_do_what_their_examples_say() -> None:
    checked = list(check_examples(load_rules(["residue"])))
    assert not [one for one in checked if not one.right]
    assert {one.rule for one in checked} == {named.id for named in load_rules(["residue"]).named}


def test_a_detector_that_does_not_exist_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + RULE.replace('pattern = "b"', 'detector = "residu"'))
    with pytest.raises(UnknownNameError, match="mine/a") as caught:
        list(check_examples(load_rules([path])))
    assert "residue" in caught.value.fix


def test_an_example_that_fails_is_told_with_its_text(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + RULE + 'examples = { match = ["no such letter"], pass = ["a b"] }\n')
    wrong = [one for one in check_examples(load_rules([path])) if not one.right]
    assert [(one.wanted, one.text, one.matched) for one in wrong] == [
        ("match", "no such letter", ()),
        ("pass", "a b", ("b",)),
    ]


PYTHON = """
from opoi.types import Edit, Reject

def shouting(trace):
    for index, message in enumerate(trace.messages):
        if message.role == "assistant" and "!!" in message.content:
            yield Reject(rule="shouting", reason="loud")

shouting.examples = {"match": ["Open it!!"], "pass": ["Open it!"]}

class Forever:
    id = "forever"
    def __call__(self, trace):
        while True:
            yield Edit(rule=self.id, message=(0,), region="text", removed="")

rules = [shouting]
number = 3
"""


def test_rules_in_python_run_in_the_same_engine(tmp_path: Path) -> None:
    write(tmp_path, PYTHON, "mine.py")
    library = load_rules([write(tmp_path, 'version = 1\npython = ["mine.py:rules"]\n' + RULE)])
    assert [rule.id for rule in library.python] == ["shouting"]
    assert [one.right for one in check_examples(library)] == [True, True]
    result = clean(trace_of("Open it!!"), library.python, level="mine", suite=ECHO)
    assert (result.trace.drop, result.dropped_by) == ("loud", "shouting")


def test_a_rule_in_python_that_never_ends_is_stopped(tmp_path: Path) -> None:
    write(tmp_path, PYTHON, "mine.py")
    (forever,) = load_rules([f"{tmp_path}/mine.py:Forever"]).python
    result = clean(trace_of("Fine."), [forever], level="mine", suite=ECHO)
    assert (result.trace.drop, result.dropped_by) == ("no_end", "forever")


def test_what_is_no_rule_is_refused(tmp_path: Path) -> None:
    write(tmp_path, PYTHON, "mine.py")
    with pytest.raises(PluginError, match="is not a rule"):
        load_rules([f"{tmp_path}/mine.py:number"])
    with pytest.raises(UnknownNameError, match="residue"):
        load_rules(["resid"])


class Undo:
    """Puts back what another rule cuts, for ever."""

    id = "undo"

    def __call__(self, trace: Trace) -> Iterator[Edit | Reject]:
        text = trace.messages[1].content
        if "note" not in text:
            yield Edit(
                rule=self.id, message=(1,), region="text", start=len(text), end=len(text), text=" note"
            )


def test_rules_that_undo_each_other_are_stopped() -> None:
    book = Book([rule(do="delete span", pattern="note")], prose=ECHO.prose)
    result = clean(trace_of("Fine.", thought="Some note here"), [book, Undo()], level="mine", suite=ECHO)
    assert result.trace.drop == "no_end"


def test_rules_that_double_a_text_are_stopped_before_it_is_long() -> None:
    pair = [rule("a", do="replace", pattern="note"), rule("b", do="replace", pattern="hint")]
    texts = {"a": "hint hint", "b": "note note"}
    named = [Named(one.id, msgspec.structs.replace(one.spec, replacement=texts[one.spec.id])) for one in pair]
    assert run(trace_of("A note here."), *named).trace.drop == "no_end"


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("['hello']", "yields what is no wish"),
        ("[Edit(rule='x', message=(999,))]", "message (999,)"),
        ("[Edit(rule='x', message=(2,), region='message', text='{}')]", "tool results"),
        ("[Edit(rule='x', message=(1,), region='message')]", "turns of the agent"),
    ],
)
def test_a_rule_in_python_that_misbehaves_is_named_with_the_trace(
    tmp_path: Path, wishes: str, said: str
) -> None:
    write(tmp_path, f"from opoi.types import Edit\n\ndef bad(trace):\n    return {wishes}\n", "bad.py")
    (bad,) = load_rules([f"{tmp_path}/bad.py:bad"]).python
    with pytest.raises(PluginError, match="'bad'") as caught:
        clean(trace_of("Fine."), [bad], level="mine", suite=ECHO)
    assert said in str(caught.value)


def test_a_rejection_without_a_reason_drops_all_the_same() -> None:
    class Reasonless:
        id = "reasonless"

        def __call__(self, trace: Trace) -> Iterator[Reject]:
            yield Reject(rule=self.id, reason="")

    result = clean(trace_of("Fine."), [Reasonless()], level="mine", suite=ECHO)
    assert result.trace.drop == "reasonless"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>\nThe note says keep it.\n</think>\n\nIt is high.", "<think></think>\n\nIt is high."),
        ("**Per the note: keep.** It is high.", "It is high."),
        ("It is high. <b>The note says so.</b>", "It is high. <b></b>"),
    ],
)
def test_sentences_go_without_breaking_the_marks_around_them(text: str, left: str) -> None:
    assert run(trace_of(text), rule(pattern="the note")).trace.decision.reasoning.strip() == left


def test_very_many_matches_in_one_trace_are_all_cut() -> None:
    result = run(trace_of("The note says it. Spend is up. " * 3_000), rule(pattern="the note"))
    assert result.kept
    assert "note" not in result.trace.decision.reasoning
