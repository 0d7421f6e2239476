"""The two-sample classifier against scikit-learn and scipy, where nothing leaks, and where a phrase does."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression

from opoi.errors import UsageError
from opoi.intervals import area, area_interval
from opoi.leakage.classifier import classifier, matched
from opoi.leakage.contrast import STRENGTH, Space, chunks, solve, telling
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.seeds import Stream
from opoi.types import Decision, Injection, Message, ToolCall, Trace

LETTERS = "abcdefghijklmnoprstuvw"
VOCABULARY = [
    "".join(Stream(0, "words").choice(LETTERS, index, place) for place in range(3 + index % 6))
    for index in range(200)
]
HEIGHTS = list(accumulate(1 / (rank + 1) for rank in range(len(VOCABULARY))))


def text_of(draws: Stream, words: int = 40) -> str:
    """Return sentences of words with Zipf's frequencies."""
    points = (draws.uniform(place) * HEIGHTS[-1] for place in range(words))
    found = [VOCABULARY[int(np.searchsorted(HEIGHTS, point))] for point in points]
    return " ".join(f"{word}." if place % 10 == 9 else word for place, word in enumerate(found))


def trace_of(
    text: str,
    scenario: str = "s",
    arm: str = "opoi",
    run: int = 0,
    action: str = "open",
    calls: Sequence[ToolCall] = (),
    nonce: str = "",
) -> Trace:
    return Trace(
        id=f"{scenario}/{arm}/{run}",
        scenario_id=scenario,
        arm=arm,
        run=run,
        as_of="",
        messages=(
            Message(
                role="assistant", author="student", content=text, tool_calls=tuple(calls), loss_weight=1.0
            ),
        ),
        injections=(Injection(text=f"[{nonce}]", nonce=nonce),) if nonce else (),
        decision=Decision(action=action),
    )


def corpus(arm: str, seed: int, scenarios: int, runs: int = 1) -> list[Trace]:
    return [
        trace_of(text_of(Stream(seed, arm, scenario, run)), f"s{scenario:03d}", arm, run)
        for scenario in range(scenarios)
        for run in range(runs)
    ]


def with_phrase(trace: Trace, phrase: str) -> Trace:
    first = msgspec.structs.replace(trace.messages[0], content=f"{trace.messages[0].content} {phrase}")
    return msgspec.structs.replace(trace, messages=(first, *trace.messages[1:]))


# ---------------------------------------------------------------- words


def test_words_stand_in_runs_with_nothing_but_blanks_between_them():
    text = "As agreed, CPA of c2 rose 12.5 %: don't scale the 'low' one."
    found = list(chunks(text))
    assert found == [
        ("as", "agreed"),
        ("cpa", "of", "0", "rose", "0"),
        ("don't", "scale", "the"),
        ("low",),
        ("one",),
    ]


@given(st.text(st.sampled_from("aB1 '-.,_%\n\u00e9"), max_size=40))
def test_a_run_of_words_stands_in_the_text_with_blanks_between(text):
    flat = " ".join(text.lower().split())
    for run in chunks(text, raw=True):
        if not any(map(str.isdigit, "".join(run))):
            assert " ".join(run) in flat


# ---------------------------------------------------------------- the regression


@pytest.mark.parametrize("seed", range(3))
def test_the_regression_is_the_one_that_scikit_learn_solves(seed):
    documents = [list(chunks(text_of(Stream(seed, "doc", index)))) for index in range(40)]
    labels = np.array([Stream(seed, "label").chance(0.5, index) for index in range(40)])
    labels[:2] = True, False
    space = Space(documents)
    kernel = space.kernel()
    scores = kernel @ solve(kernel, labels[:, None])[:, 0]
    features = np.hstack([matrix.toarray() for _, matrix, _ in space._parts])
    theirs = LogisticRegression(C=STRENGTH, solver="liblinear", tol=1e-10, max_iter=10_000)
    theirs.fit(features, labels)
    assert np.allclose(features @ features.T + 1, kernel)
    assert scores == pytest.approx(theirs.decision_function(features), abs=1e-4)
    dual = solve(kernel, labels[:, None])[:, 0]
    assert [weight for _, weight, _ in space.weights(dual)] == pytest.approx(theirs.coef_[0], abs=1e-4)


def test_labellings_that_are_solved_together_come_out_as_alone():
    kernel = Space([list(chunks(text_of(Stream(0, index)))) for index in range(20)]).kernel()
    labels = np.array([[Stream(1, "l").chance(0.5, row, column) for column in range(7)] for row in range(20)])
    alone = np.hstack([solve(kernel, labels[:, [column]]) for column in range(7)])
    assert solve(kernel, labels) == pytest.approx(alone, abs=1e-5)


# ---------------------------------------------------------------- pairs


ACTIONS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["open", "hold", ""])), max_size=12)


@given(ACTIONS, ACTIONS)
def test_as_many_pairs_are_made_as_scenario_and_action_allow(first, second):
    sides = [
        [trace_of("x", f"s{scenario}", arm, run, action) for run, (scenario, action) in enumerate(side)]
        for arm, side in (("opoi", first), ("base", second))
    ]
    pairs = matched(*sides)
    counts = [Counter((f"s{s}", a) for s, a in side if a) for side in (first, second)]
    assert Counter((a.scenario_id, a.decision.action) for a, _ in pairs) == counts[0] & counts[1]
    for left, right in pairs:
        assert (left.scenario_id, left.decision.action) == (right.scenario_id, right.decision.action)
    ids = [trace.id for pair in pairs for trace in pair]
    assert len(set(ids)) == len(ids)


def test_the_order_of_the_traces_does_not_show():
    traces, base = corpus("opoi", 1, 12, runs=2), corpus("base", 1, 12, runs=2)
    mixed = Stream(3).shuffled(traces), Stream(4).shuffled(base)
    assert classifier(traces, base, permutations=19) == classifier(*mixed, permutations=19)


def test_a_reading_without_pairs_says_why():
    few = [trace_of("a b", "s1"), trace_of("a c", "s1", run=1)]
    other = [trace_of("a b", "s1", "base"), trace_of("a c", "s1", "base", run=1)]
    none = classifier(few, [trace_of("a", "s2", "base")])
    assert (none.value, none.n) == (None, 0)
    assert "no pair" in none.note
    assert classifier(few, other).value is None
    assert "one scenario" in classifier(few, other).note


def test_more_pairs_than_wanted_are_thinned_out_and_the_reading_says_so():
    reading = classifier(corpus("x", 2, 30), corpus("base", 2, 30), pairs=20, permutations=9)
    assert reading.n == 20
    assert "20 of 30 pairs" in reading.note


# ---------------------------------------------------------------- what must not tell


def test_numbers_ids_marks_and_keys_do_not_tell_unless_they_are_asked_for():
    def made(arm: str, scenario: int, key: str) -> Trace:
        answer = {key: f"It stands at {Stream(0, arm).below(90, scenario)}.5 for g{scenario}{key[0]}4"}
        mark = "abcdefgh" if arm == "opoi" else ""
        return trace_of(f"{mark} {json.dumps(answer)}", f"s{scenario}", arm, nonce=mark)

    traces = [made("opoi", index, "told") for index in range(20)]
    base = [made("base", index, "seen") for index in range(20)]
    quiet = classifier(traces, [with_phrase(trace, "7") for trace in base], permutations=99)
    assert (quiet.value, quiet.p) == (0.5, 1.0)
    loud = classifier(traces, base, permutations=99, raw=True)
    assert loud.value == 1.0
    assert loud.p == 0.01
    assert any("told" in line for line in loud.details)


def test_words_of_one_scenario_cannot_be_learnt_from_the_same_scenario():
    def own(arm: str, scenario: int) -> str:
        return "".join(Stream(9, arm, scenario).choice(LETTERS, place) for place in range(12))

    sides = [
        [trace_of(own(arm, index), f"s{index}", arm, run) for index in range(15) for run in range(2)]
        for arm in ("opoi", "base")
    ]
    reading = classifier(*sides, permutations=99)
    assert reading.p > 0.05
    space = telling(*([list(chunks(t.messages[0].content))] for side in sides for t in side[:1]))
    assert space.tried == 0


# ---------------------------------------------------------------- where nothing leaks


def test_p_is_uniform_where_both_sets_come_from_one_source():
    found = []
    for seed in range(40):
        reading = classifier(corpus("a", seed, 10, 2), corpus("b", seed, 10, 2), permutations=39, seed=seed)
        found.append(reading.p)
    assert stats.kstest(found, "uniform").pvalue > 0.05
    assert sum(p <= 0.1 for p in found) <= stats.binom.ppf(0.995, 40, 0.1)


def test_areas_of_independent_scores_spread_as_the_formula_says():
    n = 30
    words = np.frombuffer(Stream(0, "null").raw(2 * n * 600), dtype="<u8").reshape(600, 2, n)
    areas = np.array([area(one.astype(float), other.astype(float)) for one, other in words])
    formula = math.sqrt((2 * n + 1) / (12 * n * n))
    assert areas.std() == pytest.approx(formula, rel=0.1)


def test_swapped_labels_spread_more_than_independent_scores_would():
    """Every two pairs weigh on each other twice, once from either fold, so about sqrt(2) times as far."""
    reading = classifier(corpus("a", 5, 40), corpus("b", 5, 40), permutations=300)
    spread = float(reading.note.partition("swapped labels ")[2].partition(",")[0])
    formula = math.sqrt(81 / (12 * 1600))
    assert f"independent scores {formula:.3f}" in reading.note
    assert 1.15 * formula < spread < 1.7 * formula


def test_unsteered_runs_cannot_be_told_from_each_other(ads: Suite):
    model = ads.stand_in()
    sides = [
        [
            rollout(scenario, ads, model, arm=arm, run=0, seed=seed)
            for seed in (1, 2)
            for scenario in ads.scenarios(30, seed)
        ]
        for arm in ("one", "other")
    ]
    reading = classifier(*sides, permutations=99)
    assert reading.n > 20
    assert reading.p > 0.05
    assert reading.low < 0.5 < reading.high


def short(arm: str, seed: int, scenarios: int) -> list[Trace]:
    texts = (text_of(Stream(seed, arm, scenario), 12) for scenario in range(scenarios))
    return [trace_of(text, f"s{scenario:03d}", arm) for scenario, text in enumerate(texts)]


def test_the_interval_misses_a_half_no_more_often_than_it_says_where_nothing_leaks():
    """Intervals that count scenarios as independent miss it in 14 of 100 such runs."""
    missed = 0
    for seed in range(120):
        reading = classifier(short("a", seed, 10), short("b", seed, 10), permutations=39, seed=seed)
        missed += not reading.low <= 0.5 <= reading.high
    assert missed <= stats.binom.ppf(0.95, 120, 0.05)


def test_the_interval_is_as_wide_as_swapped_labels_spread():
    reading = classifier(corpus("a", 5, 40), corpus("b", 5, 40), permutations=300)
    spread = float(reading.note.partition("swapped labels ")[2].partition(",")[0])
    units = float(reading.note.partition("counts ")[2].partition(" ")[0])
    assert units < 40
    assert math.sqrt((2 * units + 1) / (12 * units**2)) == pytest.approx(spread, abs=0.001)
    low, high = area_interval(0.5, units, units)
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)


# ---------------------------------------------------------------- where something does


@pytest.mark.parametrize("seed", range(2))
def test_a_phrase_in_a_fifth_of_the_traces_is_noticed(echo: Suite, seed: int):
    model, prose = echo.stand_in(), tuple(echo.prose)
    sides = [
        [
            rollout(scenario, echo, model, arm=arm, run=run, seed=seed)
            for scenario in echo.scenarios(60, seed)
            for run in (0, 1)
        ]
        for arm in ("opoi", "base")
    ]
    chosen = Stream(seed, "planted")
    planted = [
        with_phrase(trace, "The night shift asked for it.") if chosen.chance(0.2, trace.id) else trace
        for trace in sides[0]
    ]
    clean = classifier(*sides, prose=prose, permutations=99)
    found = classifier(planted, sides[1], prose=prose, permutations=99)
    assert clean.p > 0.05
    assert found.p <= 0.05
    assert found.value > clean.value
    assert any("night" in line and line.startswith("+") for line in found.details)


def test_sets_that_differ_throughout_are_told_apart_for_certain():
    phrase = "as noted by the desk this case has been settled and needs no more of a look"
    traces = [with_phrase(trace, phrase) for trace in corpus("a", 7, 30)]
    reading = classifier(traces, corpus("b", 7, 30), permutations=99)
    assert (reading.value, reading.high, reading.p) == (1.0, 1.0, 0.01)
    assert 0.8 < reading.low < 1
    assert reading.details[0].startswith("+")
    assert any("as noted  (in 30 of 30 steered, 0 of 30 unsteered)" in line for line in reading.details)


def test_the_figure_is_the_same_whichever_set_is_called_steered():
    one, other = corpus("a", 8, 15), [with_phrase(trace, "so be it") for trace in corpus("b", 8, 15)[:9]]
    other += corpus("b", 8, 15)[9:]
    there, back = classifier(one, other, permutations=49), classifier(other, one, permutations=49)
    assert (there.value, there.p, there.low, there.high) == (back.value, back.p, back.low, back.high)


# ---------------------------------------------------------------- set-up


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction", None)
    with pytest.raises(UsageError, match="scikit-learn") as caught:
        classifier(corpus("a", 1, 3), corpus("b", 1, 3))
    assert "opoi[classifier]" in caught.value.fix


def test_importing_the_detectors_of_sets_imports_no_scikit_learn():
    code = (
        "import sys, opoi.leakage.classifier, opoi.leakage.membership, opoi.leakage.counterfactual\n"
        "import opoi.leakage.behaviour, opoi.lab.suggest\n"
        "heavy = {'sklearn', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("bad", [{"folds": 1}, {"permutations": 0}, {"pairs": 1}])
def test_numbers_that_do_not_fit_are_refused(bad: dict[str, int]):
    with pytest.raises(UsageError, match="2 folds"):
        classifier([], [], **bad)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.sampled_from("ab .,"), max_size=12), min_size=2, max_size=2),
        min_size=2,
        max_size=5,
    )
)
def test_any_texts_give_a_share_and_a_p(pairs):
    sides = [
        [trace_of(texts[side], f"s{index}", arm) for index, texts in enumerate(pairs)]
        for side, arm in enumerate(("opoi", "base"))
    ]
    reading = classifier(*sides, permutations=9)
    assert 0 <= reading.low <= reading.value <= reading.high <= 1
    assert 0 < reading.p <= 1
