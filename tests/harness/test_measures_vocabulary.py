"""Words, divergence and its null, against scipy and simulated texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from opoi.measures.divergence import excess, js_divergence
from opoi.measures.text import words
from opoi.measures.vocabulary import vocabulary_metrics
from opoi.protocols import Metric
from opoi.provenance.texts import rationale
from opoi.seeds import Stream
from opoi.types import Arm, Cleaned, Decision, Group, Message, Scenario, Trace, Truth

METRICS = {metric.name: metric for metric in vocabulary_metrics()}
TRUTH = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=())


def group(name, *texts, drop=""):
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


def zipf(stream, count, types=400):
    """Draw word numbers with probability proportional to 1 / rank."""
    bounds = np.cumsum(1 / np.arange(1, types + 1))
    draws = np.array([stream.uniform(i) for i in range(count)]) * bounds[-1]
    return np.searchsorted(bounds, draws).astype(np.int32)


def corpus(label, scenarios=40, tokens=60, shift=0, types=400):
    stream = Stream(11, "corpus", label)
    return {f"s{i:03d}": zipf(stream.at(i), tokens, types) + shift for i in range(scenarios)}


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


# ---------------------------------------------------------------- divergence

counts = st.lists(st.integers(0, 50), min_size=2, max_size=12)


@given(counts, st.data())
def test_divergence_equals_scipy(left, data):
    right = data.draw(st.lists(st.integers(0, 50), min_size=len(left), max_size=len(left)))
    if sum(left) and sum(right):
        ours = js_divergence(np.array([left], dtype=float), np.array([right], dtype=float))[0]
        assert ours == pytest.approx(np.nan_to_num(jensenshannon(left, right, base=2)) ** 2, abs=1e-9)


@given(counts)
def test_divergence_is_zero_on_itself_and_one_on_disjoint_words(left):
    if sum(left):
        row = np.array([left + [0] * len(left)], dtype=float)
        other = np.array([[0] * len(left) + left], dtype=float)
        assert js_divergence(row, row)[0] == 0
        assert js_divergence(row, other)[0] == pytest.approx(1)
        assert js_divergence(row, other) == js_divergence(other, row)


def test_the_null_equals_the_mean_over_splits_by_brute_force():
    base, other = corpus("a", scenarios=8, tokens=20), corpus("b", scenarios=8, tokens=11)
    stream = Stream(5, "t")
    found = excess(base, other, stream)
    ids, crossed, null = sorted(base), [], []
    for index in range(20):
        order = stream.shuffled(range(8), "split", index)
        first, second = order[:4], order[4:]
        texts = [
            np.concatenate([source[ids[i]] for i in half])
            for source, half in ((base, first), (other, second), (base, second))
        ]
        length = min(map(len, texts))
        # only whole scenarios and one part: 44 tokens are 2 scenarios of 20 and 4/20 of a third
        bags = []
        for source, half in ((base, first), (other, second), (base, second)):
            left, bag = length, np.zeros(400)
            for i in half:
                text = source[ids[i]]
                take = min(left, len(text))
                share = np.ceil(take / len(text) * 4096) / 4096
                bag += share * np.bincount(text, minlength=400)
                left -= take
            bags.append(bag)
        crossed.append(jensenshannon(bags[0], bags[1], base=2) ** 2)
        null.append(jensenshannon(bags[0], bags[2], base=2) ** 2)
    assert found.null.value == pytest.approx(np.mean(null))
    assert found.excess.value == pytest.approx(np.mean(crossed) - np.mean(null))


def test_the_same_words_from_other_scenarios_have_no_excess():
    hits = 0
    for trial in range(12):
        found = excess(corpus(f"a{trial}"), corpus(f"b{trial}"), Stream(trial, "t"))
        hits += found.excess.low <= 0 <= found.excess.high
        assert abs(found.excess.value) < 0.25 * found.null.value
    assert hits >= 10


def test_other_words_have_an_excess_far_above_chance_and_unequal_length_does_not():
    base = corpus("a")
    shorter = {name: text[:15] for name, text in corpus("b").items()}
    assert excess(base, corpus("c", shift=380), Stream(1, "t")).excess.low > 0.2
    short = excess(base, shorter, Stream(1, "t")).excess
    assert short.low < 0.02


def test_the_estimate_lies_in_its_interval():
    for shift in (0, 5, 50):
        found = excess(corpus("a"), corpus("b", shift=shift), Stream(2, "t"))
        for one in (found.excess, found.null):
            assert one.low <= one.value <= one.high


def test_a_copy_has_no_excess_at_all():
    base = corpus("a")
    found = excess(base, dict(reversed(base.items())), Stream(1, "t"))
    assert (found.excess.value, found.excess.low, found.excess.high) == (0, 0, 0)


def test_too_few_scenarios_give_no_value():
    base = corpus("a", scenarios=3)
    assert excess(base, base, Stream(1, "t")).excess.value is None


# ---------------------------------------------------------------- figures of arms


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


def test_length_ratio_is_words_per_kept_trace():
    base = [group("s", "one two three four", "one two"), group("t", "a b c")]
    found = measure("length_ratio", [group("s", "one two"), group("t", "a", drop="residue")], base)
    assert found.value == pytest.approx(2 / 3)


def test_dropped_traces_have_no_words():
    found = measure("oov_rate", [group("s", "zzz", drop="residue")], [group("s", "the cpa rose")])
    assert found.value is None


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
        assert one.value == pytest.approx(two.value, abs=1e-9)
        assert one.low == pytest.approx(two.low, abs=1e-9)


def test_only_a_thousand_scenarios_are_held_and_they_are_the_same_in_every_arm(monkeypatch):
    monkeypatch.setattr("opoi.measures.vocabulary.JS_SCENARIOS", 6)
    base = [group(f"s{i}", "cpa rose and rose") for i in range(30)]
    assert measure("js_excess", base, base).n == 6


def test_every_figure_satisfies_the_contract():
    assert all(isinstance(metric, Metric) for metric in METRICS.values())
