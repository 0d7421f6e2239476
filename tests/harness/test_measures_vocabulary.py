"""Figures of the words and calls of an arm next to its base: counts by hand, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.measures.figures import vocabulary
from opoi.measures.text import words
from opoi.measures.words.divergence import excess
from opoi.measures.words.lexicon import Lexicon, TextColumns, vocabulary_stream
from opoi.measures.words.views import CALL_PAIRS, WORD_PAIRS, WORDS
from opoi.protocols import Metric
from opoi.provenance.texts import rationale
from opoi.types import Arm, Cleaned, Decision, Group, Message, Scenario, ToolCall, Trace, Truth

METRICS = {
    name: found
    for name in vocabulary.__all__
    if isinstance(found := getattr(vocabulary, name), vocabulary.VocabularyMetric)
}
TRUTH = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=())


def called(*names):
    """An assistant message for each call."""
    return tuple(
        Message(
            role="assistant", author="student", tool_calls=(ToolCall(id=f"c{i}", name=name, arguments="{}"),)
        )
        for i, name in enumerate(names)
    )


def group(name, *texts, drop="", calls=()):
    scenario = Scenario(
        id=name, suite="t", seed=0, kind="k", as_of="2025-03-14", task="decide", entity="c1", truth=TRUTH
    )
    traces = [
        Trace(
            id=f"{name}/x/{run}",
            scenario_id=name,
            arm="x",
            run=run,
            as_of="2025-03-14",
            messages=called(*calls),
            decision=Decision(action="a", reasoning=text),
            drop=drop,
        )
        for run, text in enumerate(texts)
    ]
    return Group(scenario=scenario, cleaned=tuple(Cleaned(trace=trace, level="none") for trace in traces))


def arm(groups, name="x", base=None):
    return Arm(name, lambda: iter(groups), base=base)


def measure(metric, groups, base=None):
    reference = arm(base, "base") if base is not None else None
    return METRICS[metric](arm(groups, base=reference), resamples=100)


# ---------------------------------------------------------------- words


def test_numbers_are_masked_and_case_is_folded():
    assert words("CPA of c2 rose 12.5% to $1,234.50: Don\u2019t scale_up.") == [
        *("cpa", "of", "c<num>", "rose", "<num>", "to", "<num>", "don't", "scale", "up"),
    ]


@given(st.text(max_size=300))
def test_any_text_has_words_without_digits_or_spaces(text):
    for word in words(text):
        assert word == word.lower() or not word.isascii()
        assert not any(char.isspace() for char in word)
        assert not any("0" <= char <= "9" for char in word)


def test_rationale_is_the_prose_of_the_assistant_and_the_reasoning_without_the_json():
    trace = Trace(
        id="s/x/0",
        scenario_id="s",
        arm="x",
        run=0,
        as_of="2025-03-14",
        messages=(
            Message(role="assistant", author="student", content="First {I look}."),
            Message(role="tool", author="env", content="never"),
            Message(role="user", author="oracle", content="never"),
            Message(
                role="assistant", author="student", content='So: {"action": "a", "reasoning": "why"} done'
            ),
        ),
        decision=Decision(action="a", reasoning="why"),
    )
    assert list(rationale(trace)) == [(0, "First {I look}."), (3, "So:  done"), (3, "why")]


def shown(view, *groups):
    """What a view shows of each scenario, with the tokens spelled out."""
    whole = arm(groups)
    columns = TextColumns(Lexicon(whole, vocabulary_stream(0)), vocabulary_stream(0))
    for one in groups:
        columns.add(one)
    spelled = columns.lexicon.spelled()
    if view.order == 1:
        return {name: [spelled[unit] for unit in text] for name, text in columns.texts(view).items()}
    return {
        name: [(spelled[unit >> 31], spelled[unit & (2**31 - 1)]) for unit in text.tolist()]
        for name, text in columns.texts(view).items()
    }


def test_views_show_words_and_pairs_of_words_and_calls_of_every_kept_trace():
    one = group("s", "the CPA rose", "hold", calls=("overview", "days", "days"))
    assert shown(WORDS, one) == {"s": ["the", "cpa", "rose", "hold"]}
    assert shown(WORD_PAIRS, one) == {"s": [("the", "cpa"), ("cpa", "rose")]}
    calls = [("<start>", "overview"), ("overview", "days"), ("days", "days"), ("days", "<end>")]
    assert shown(CALL_PAIRS, one) == {"s": calls * 2}


def test_a_trace_without_calls_goes_from_start_to_end():
    assert shown(CALL_PAIRS, group("s", "hold")) == {"s": [("<start>", "<end>")]}


def test_dropped_traces_show_nothing():
    assert shown(WORDS, group("s", "hold", drop="residue"), group("t", "open")) == {"t": ["open"]}


# ---------------------------------------------------------------- figures of arms


def test_the_three_divergences_are_those_of_their_views():
    texts = ["the cpa rose today", "we hold it", "spend fell again", "scale it up", "hold the budget"]
    base = [group(f"s{i}", text, calls=("overview", "days")) for i, text in enumerate(texts)]
    other = [group(f"s{i}", f"{text} now", calls=("days",)) for i, text in enumerate(texts)]
    for metric, null, view in (
        ("js_excess", "js_null", WORDS),
        ("bigram_js_excess", "bigram_js_null", WORD_PAIRS),
        ("tool_js_excess", "tool_js_null", CALL_PAIRS),
    ):
        units = sorted(
            {unit for one in (base, other) for text in shown(view, *one).values() for unit in text}
        )
        sides = [
            {name: np.array([units.index(unit) for unit in text]) for name, text in shown(view, *one).items()}
            for one in (base, other)
        ]
        expected = excess(*sides, vocabulary_stream(0).at(view.name))
        assert measure(metric, other, base).value == pytest.approx(expected.excess.value)
        assert measure(metric, other, base).p == expected.excess.p
        assert measure(null, other, base).value == pytest.approx(expected.null.value)


def test_other_tools_are_seen_by_the_calls_and_by_nothing_else():
    base = [group(f"s{i}", "we hold it", calls=("overview", "days")) for i in range(30)]
    other = [group(f"s{i}", "we hold it", calls=("notes", "notes")) for i in range(30)]
    assert measure("tool_js_excess", other, base).value == pytest.approx(1)
    assert measure("js_excess", other, base).value == 0
    assert measure("bigram_js_excess", other, base).value == 0


def test_the_same_words_in_another_order_are_seen_by_the_pairs_alone():
    base = [group(f"s{i}", "we hold the budget") for i in range(30)]
    other = [group(f"s{i}", "budget the hold we") for i in range(30)]
    assert measure("js_excess", other, base).value == 0
    assert measure("bigram_js_excess", other, base).value == pytest.approx(1)


def test_unknown_words_equal_the_count_by_hand():
    base = [group("s", "the cpa rose", "the cpa fell"), group("t", "hold it")]
    found = measure("oov_rate", [group("s", "the cpa soared 5%"), group("t", "hold on", "hold it")], base)
    assert found.value == pytest.approx(3 / 8)  # soared, <num>, on
    assert found.n == 2


def test_the_base_arm_is_tested_by_its_first_run_against_the_others():
    base = [group("s", "alpha beta", "alpha gamma"), group("t", "alpha delta", "delta")]
    found = measure("oov_rate", base)
    assert found.value == 0.25  # beta
    assert "run 0" in found.note


def test_a_base_arm_with_one_run_is_tested_by_halves():
    found = measure("oov_rate", [group(f"s{i}", f"same words w{'x' * i}") for i in range(20)])
    assert "half" in found.note
    assert 0 < found.value <= 0.5


def test_distinct_words_count_once_however_often_they_are_said():
    base = [group(f"s{i}", "we hold it") for i in range(8)]
    other = [group(f"s{i}", "we hold hold soared") for i in range(8)]
    # four words are cut to three: "soared" is one of the two or three distinct ones, where it is among them
    found = measure("oov_types", other, base)
    assert found.value == pytest.approx(1 / 3)
    assert measure("oov_types_null", other, base).value == 0
    assert measure("oov_types", base).value == measure("oov_types_null", base).value == 0


def test_length_ratio_is_words_per_kept_trace():
    base = [group("s", "one two three four", "one two"), group("t", "a b c")]
    found = measure("length_ratio", [group("s", "one two"), group("t", "a", drop="residue")], base)
    assert found.value == pytest.approx(2 / 3)


def test_dropped_traces_have_no_words():
    found = measure("oov_rate", [group("s", "zzz", drop="residue")], [group("s", "the cpa rose")])
    assert found.value is None


def test_mauve_lite_reads_the_first_kept_trace_of_each_scenario():
    topics = ["cpa rose over the week", "hold the budget as it is"]
    base = [group(f"s{i:02d}", topics[i % 2]) for i in range(50)]
    more = [group(f"s{i:02d}", topics[i % 2], "quite another thing") for i in range(50)]
    other = [group(f"s{i:02d}", "quite another thing", topics[i % 2]) for i in range(50)]
    assert measure("mauve_lite", more, base).value == measure("mauve_lite_null", more, base).value
    assert measure("mauve_lite", other, base).value < 0.05
    assert "MAUVE" in METRICS["mauve_lite"].doc
    assert "not comparable" in METRICS["mauve_lite"].doc


texts = st.lists(
    st.sampled_from(["cpa rose", "hold it", "spend fell 5%", "we scale up now"]), min_size=1, max_size=3
)


@settings(max_examples=6, deadline=None)
@given(st.lists(texts, min_size=4, max_size=7), st.randoms(use_true_random=False))
def test_the_order_of_scenarios_does_not_matter(rows, rng):
    base = [group(f"s{i}", *row) for i, row in enumerate(rows)]
    other = [group(f"s{i}", *row[::-1]) for i, row in enumerate(rows)]
    shuffled = list(other)
    rng.shuffle(shuffled)
    for name in METRICS:
        one, two = measure(name, other, base), measure(name, shuffled, base)
        assert one.p == two.p
        if one.value is not None:
            assert one.value == pytest.approx(two.value, abs=1e-9)
            assert one.low == pytest.approx(two.low, abs=1e-9)


@settings(max_examples=6, deadline=None)
@given(st.lists(texts, min_size=4, max_size=7))
def test_names_of_scenarios_in_the_same_order_do_not_matter(rows):
    for name in METRICS:
        found = [
            measure(
                name,
                [group(pattern.format(i), *row[::-1], calls=("days",)) for i, row in enumerate(rows)],
                [group(pattern.format(i), *row) for i, row in enumerate(rows)],
            )
            for pattern in ("s{}", "case-{:04d}")
        ]
        assert found[0].value == (found[1].value if found[0].value is None else pytest.approx(found[1].value))
        assert found[0].p == found[1].p


@settings(max_examples=6, deadline=None)
@given(st.lists(texts, min_size=2, max_size=5), st.lists(texts, min_size=2, max_size=5))
def test_twice_the_scenarios_change_no_rate_of_tokens(rows, others):
    count = min(len(rows), len(others))

    def doubled(source, times):
        return [group(f"s{i}-{copy}", *source[i]) for i in range(count) for copy in range(times)]

    for name in ("oov_rate", "length_ratio"):
        once, twice = (measure(name, doubled(others, times), doubled(rows, times)).value for times in (1, 2))
        assert once == pytest.approx(twice)


def test_only_a_thousand_scenarios_are_held_and_they_are_the_same_in_every_arm(monkeypatch):
    monkeypatch.setattr("opoi.measures.words.lexicon.JS_SCENARIOS", 6)
    base = [group(f"s{i}", "cpa rose and rose") for i in range(30)]
    assert measure("js_excess", base, base).n == 6
    assert measure("js_excess", base[::-1], base).n == 6


def test_every_figure_satisfies_the_contract_and_says_all_about_itself():
    for metric in METRICS.values():
        assert isinstance(metric, Metric)
        told = metric.definition
        assert all((told.doc, told.formula, told.range, told.source, told.avoid)), metric.name
