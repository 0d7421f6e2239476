"""Divergence, its null, interval and p, against scipy, brute force and simulated texts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, kstest
from scipy.stats import t as student

from opoi.measures.paired.differences import differences
from opoi.measures.paired.pairing import Paired
from opoi.measures.words.contrast import PERMUTATIONS, contrast, permutation_p
from opoi.measures.words.divergence import excess, js_divergence, js_swing
from opoi.measures.words.novelty import novelty
from opoi.measures.words.pairs import SPLITS, paired
from opoi.measures.words.views import flat, units
from opoi.seeds import Stream


def zipf(stream, count, types=400, exponent=1.0):
    """Draw word numbers with probability proportional to rank ** -exponent."""
    bounds = np.cumsum(np.arange(1, types + 1, dtype=float) ** -exponent)
    draws = np.frombuffer(stream.raw(count), dtype="<u8") / 2.0**64
    return np.searchsorted(bounds, draws * bounds[-1]).astype(np.int64)


def corpus(label, scenarios=40, tokens=60, shift=0, types=400, exponent=1.0):
    stream = Stream(11, "corpus", label)
    return {f"s{i:03d}": zipf(stream.at(i), tokens, types, exponent) + shift for i in range(scenarios)}


def blend(label, share, other=380, **options):
    """Texts of which a share of the tokens comes from a shifted vocabulary."""
    one, two = corpus(label, **options), corpus(label + "'", shift=other, **options)
    cut = {name: int(share * len(text)) for name, text in one.items()}
    return {name: np.concatenate([two[name][: cut[name]], text[cut[name] :]]) for name, text in one.items()}


def shares(text, types):
    return np.bincount(text, minlength=types) / len(text)


# ---------------------------------------------------------------- the distance

counts = st.lists(st.integers(0, 50), min_size=2, max_size=12)


def normal(row):
    return np.array(row) / sum(row)


@given(counts, st.data())
def test_divergence_equals_scipy(left, data):
    right = data.draw(st.lists(st.integers(0, 50), min_size=len(left), max_size=len(left)))
    if sum(left) and sum(right):
        ours = js_divergence(normal(left), normal(right)).value
        assert ours == pytest.approx(np.nan_to_num(jensenshannon(left, right, base=2)) ** 2, abs=1e-9)


@given(counts)
def test_divergence_is_zero_on_itself_and_one_on_disjoint_words(left):
    if sum(left):
        row, other = normal(left + [0] * len(left)), normal([0] * len(left) + left)
        assert js_divergence(row, row).value == 0
        assert js_divergence(row, other).value == pytest.approx(1)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=8), st.data())
def test_its_derivatives_are_those_of_finite_differences(left, data):
    right = data.draw(st.lists(st.integers(1, 50), min_size=len(left), max_size=len(left)))
    p, q = normal(left), normal(right)
    step = 1e-6 * (np.eye(len(p))[0] - np.eye(len(p))[1])
    found = js_divergence(p, q)
    by_left = (js_divergence(p + step, q).value - js_divergence(p - step, q).value) / 2e-6
    by_right = (js_divergence(p, q + step).value - js_divergence(p, q - step).value) / 2e-6
    assert found.left[0] - found.left[1] == pytest.approx(by_left, abs=1e-5)
    assert found.right[0] - found.right[1] == pytest.approx(by_right, abs=1e-5)


# ---------------------------------------------------------------- the contrast


def test_the_estimate_is_the_mean_over_splits_by_brute_force():
    base, other = corpus("a", scenarios=9, tokens=20), corpus("b", scenarios=9, tokens=20)
    found = excess(base, other, Stream(5, "t"))
    pairs = paired(base, other, Stream(5, "t"))
    ids, crossed, null = sorted(base), [], []
    for first, second in zip(pairs.halves, pairs.rest, strict=True):
        assert first.sum() == second.sum() == 4
        assert not (first & second).any()
        one, two, three = (
            shares(
                np.concatenate([source[name] for name, flag in zip(ids, chosen, strict=True) if flag]), 400
            )
            for source, chosen in ((base, first), (other, second), (base, second))
        )
        crossed.append(jensenshannon(one, two, base=2) ** 2)
        null.append(jensenshannon(one, three, base=2) ** 2)
    assert len(null) == SPLITS
    assert found.null.value == pytest.approx(np.mean(null))
    assert found.excess.value == pytest.approx(np.mean(crossed) - np.mean(null))


def test_the_longer_text_of_a_scenario_is_cut_by_chance_to_the_shorter_one():
    long, short = corpus("a", tokens=50), corpus("b", tokens=20)
    pairs = paired(long, short, Stream(1, "t"))
    assert (pairs.sizes == 20).all()
    everyone = np.ones(40, dtype=bool)
    assert pairs.base.total(everyone).sum() == pairs.arm.total(everyone).sum() == 800
    left = np.sort(pairs.base.total(everyone))[::-1]
    whole = np.sort(np.bincount(np.concatenate(list(long.values()))))[::-1]
    held = np.count_nonzero(left)
    assert held <= np.count_nonzero(whole)
    left, whole = left[:held], whole[:held]
    assert (left <= whole).all()  # nothing stands there more often than before


def test_the_first_tokens_of_a_text_are_not_preferred_by_the_cut():
    long = {f"s{i:03d}": np.arange(20) for i in range(300)}
    short = {name: text[:5] for name, text in long.items()}
    pairs = paired(long, short, Stream(2, "t"))
    found = pairs.base.total(np.ones(300, dtype=bool))
    assert len(found) == 20
    assert (abs(found - 75) < 5 * np.sqrt(300 * 0.25 * 0.75)).all()


def test_shares_of_scenarios_are_those_of_a_numerical_derivative():
    base, other = corpus("a", scenarios=8), blend("b", 0.3, scenarios=8)
    pairs = paired(base, other, Stream(3, "t"))
    found = contrast(pairs, js_divergence)
    ids = sorted(base)

    def estimate(weight):
        total = 0.0
        for first, second in zip(pairs.halves, pairs.rest, strict=True):
            bags = [
                normal(
                    sum(
                        weight[i] * np.bincount(source[ids[i]], minlength=800) for i in np.flatnonzero(chosen)
                    )
                )
                for source, chosen in ((base, first), (other, second), (base, second))
            ]
            total += (
                jensenshannon(bags[0], bags[1], base=2) ** 2 - jensenshannon(bags[0], bags[2], base=2) ** 2
            )
        return total / len(pairs.halves)

    slopes = []
    for index in range(8):
        step = 1e-4 * np.eye(8)[index]
        slopes.append((estimate(1 + step) - estimate(1 - step)) / 2e-4)
    error = np.sqrt(np.sum(np.square(slopes)) * 8 / 7) * 2.3646243
    assert found.excess.value == pytest.approx(estimate(np.ones(8)))
    assert found.excess.high - found.excess.value == pytest.approx(error, rel=1e-3)


def test_the_parts_of_scenarios_are_what_the_value_is_with_each_twice_and_without():
    """By brute force, and most words stand in few scenarios; the mean of the parts is the value itself."""
    base, other = corpus("a", scenarios=80), blend("b", 0.3, scenarios=80)
    pairs = paired(base, other, Stream(3, "t"))
    found = contrast(pairs, js_divergence, js_swing)
    parts = np.array([above for above, _ in found.parts.values()])
    assert [*found.parts] == sorted(base)
    assert {below for _, below in found.parts.values()} == {1.0}
    assert parts.mean() == pytest.approx(found.excess.value, abs=1e-9)
    error = parts.std(ddof=1) / np.sqrt(80) * student.ppf(0.975, 79)
    assert found.excess.high - found.excess.value == pytest.approx(error, rel=1e-6)

    bags = [np.array([np.bincount(text, minlength=800) for text in each.values()]) for each in (base, other)]

    def estimate(weight):
        total = 0.0
        for first, second in zip(pairs.halves, pairs.rest, strict=True):
            left, right, null = (
                normal((weight * half) @ bag)
                for bag, half in zip((*bags, bags[0]), (first, second, second), strict=True)
            )
            total += jensenshannon(left, right, base=2) ** 2 - jensenshannon(left, null, base=2) ** 2
        return total / len(pairs.halves)

    one = np.eye(80)
    swings = np.array([estimate(1 + one[i]) - estimate(1 - one[i]) for i in range(80)]) / 2
    assert np.corrcoef(parts, swings)[0, 1] > 0.999
    assert (parts - parts.mean()).std() == pytest.approx(80 * swings.std(), rel=0.02)


def mixed(label, share, scenarios=60, tokens=40):
    """Texts of which a share of the words is foreign: another one in each scenario, the same in every arm."""
    stream, found = Stream(17, label), {}
    for index in range(scenarios):
        count = tokens + (index * 13) % 20
        here = share + 0.3 * ((index * 37) % 11 / 10 - 0.5)
        foreign = np.frombuffer(stream.at("which", index).raw(count), dtype="<u8") / 2.0**64 < here
        own, other = (zipf(stream.at(name, index), count) for name in ("own", "other"))
        found[f"s{index:03d}"] = np.where(foreign, other + 380, own)
    return found


def compared_by_parts(trial, share, other_share):
    """Compare two arms with the same base, as `opoi compare` does."""
    base = mixed(f"base{trial}", 0.0)
    parts = [
        contrast(paired(base, arm, Stream(trial, "v")), js_divergence, js_swing).parts
        for arm in (mixed(f"a{trial}", share), mixed(f"b{trial}", other_share))
    ]
    columns = [np.array([one[name] for name in sorted(base)]).T for one in parts]
    figures = {"js": Paired(*columns[0], *columns[1])}
    return differences(figures, seed=trial, resamples=500)["js"]


@pytest.mark.slow
def test_arms_as_far_from_their_base_are_told_apart_no_more_often_than_declared():
    found = [compared_by_parts(trial, 0.3, 0.3) for trial in range(200)]
    for level in (0.01, 0.05, 0.1, 0.25, 0.5):
        hits = sum(one.p <= level for one in found)
        assert binomtest(hits, len(found), level, alternative="greater").pvalue > 0.01, level
    covered = sum(one.low <= 0 <= one.high for one in found)
    assert binomtest(covered, len(found), 0.95, alternative="less").pvalue > 0.01


def test_an_arm_that_is_farther_from_its_base_is_found():
    found = [compared_by_parts(trial, 0.3, 0.4) for trial in range(10)]
    assert all(one.p <= 0.01 and one.difference > 0 for one in found)


def test_the_interval_covers_the_mean_of_many_runs():
    def run(trial):
        pairs = paired(corpus(f"a{trial}"), blend(f"b{trial}", 0.2), Stream(trial, "t"))
        return contrast(pairs, js_divergence).excess

    runs = [run(trial) for trial in range(120)]
    truth = np.mean([one.value for one in runs])
    hits = sum(one.low <= truth <= one.high for one in runs)
    assert binomtest(hits, len(runs), 0.95, alternative="less").pvalue > 0.01
    assert np.mean([one.high - one.low for one in runs]) < 8 * np.std([one.value for one in runs])


def test_the_same_words_from_other_scenarios_have_no_excess():
    cases = [paired(corpus(f"a{trial}"), corpus(f"b{trial}"), Stream(trial, "t")) for trial in range(60)]
    runs = [contrast(case, js_divergence) for case in cases]
    values = [run.excess.value for run in runs]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert sum(run.excess.low <= 0 <= run.excess.high for run in runs) >= 53


def test_other_words_have_an_excess_far_above_chance_and_unequal_length_does_not():
    base = corpus("a")
    shorter = {name: text[:15] for name, text in corpus("b").items()}
    other = excess(base, corpus("c", shift=380), Stream(1, "t")).excess
    assert other.low > 0.2
    assert other.p == 1 / (1 + PERMUTATIONS)
    short = excess(base, shorter, Stream(1, "t")).excess
    assert short.low < 0.02
    assert short.p > 0.01


def test_a_copy_has_no_excess_at_all_and_a_p_of_one():
    base = corpus("a")
    found = excess(base, dict(reversed(base.items())), Stream(1, "t")).excess
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_too_few_scenarios_give_no_value():
    base = corpus("a", scenarios=3)
    found = excess(base, base, Stream(1, "t")).excess
    assert (found.value, found.n) == (None, 3)
    assert "fewer than 4" in found.note


# ---------------------------------------------------------------- the permutation test


def test_p_is_uniform_where_both_arms_are_the_same_writer():
    found = []
    for trial in range(120):
        lengths = {name: 10 + Stream(trial, "n").below(30, name) for name in corpus("a", scenarios=12)}
        one, two = (
            {name: text[: lengths[name]] for name, text in corpus(f"{side}{trial}", scenarios=12).items()}
            for side in "ab"
        )
        found.append(excess(one, two, Stream(trial, "t")).excess.p)
    assert kstest(found, "uniform").pvalue > 0.01


def test_unequal_lengths_alone_do_not_make_p_small():
    ps = []
    for trial in range(60):
        short = {name: text[:15] for name, text in corpus(f"b{trial}", scenarios=16).items()}
        ps.append(excess(corpus(f"a{trial}", scenarios=16), short, Stream(trial, "t")).excess.p)
    assert kstest(ps, "uniform", alternative="greater").pvalue > 0.01


def test_p_is_the_share_of_all_relabellings_by_brute_force():
    base, other = corpus("a", scenarios=6, tokens=30), blend("b", 0.2, scenarios=6, tokens=30)
    ids, found = sorted(base), []
    for labels in range(2**6):
        sides = (
            [(base, other)[labels >> i & 1] for i in range(6)],
            [(other, base)[labels >> i & 1] for i in range(6)],
        )
        left, right = (
            shares(np.concatenate([source[name] for source, name in zip(side, ids, strict=True)]), 800)
            for side in sides
        )
        found.append(jensenshannon(left, right, base=2) ** 2)
    exact = np.mean(np.array(found) >= found[0] - 1e-12)
    p = excess(base, other, Stream(4, "t")).excess.p
    assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / PERMUTATIONS) + 0.01


def test_more_permutations_give_smaller_steps():
    pairs = paired(corpus("a"), corpus("b", shift=300), Stream(1, "t"))
    for count in (19, 99):
        p = permutation_p(pairs, lambda left, right: float(abs(left - right).sum()), Stream(1, "p"), count)
        assert p == 1 / (count + 1)


# ---------------------------------------------------------------- the specification's table of nulls

TABLE = {2_000: 0.228, 10_000: 0.081, 50_000: 0.015}
"""Tokens on each side: divergence of two halves of one writer with a Zipf vocabulary of 2,000 words."""


def null_of(tokens, exponent, trials=4):
    """The mean null of texts of so many tokens in each half."""
    found = []
    for trial in range(trials):
        base = corpus(f"null{trial}", scenarios=20, tokens=tokens // 10, types=2_000, exponent=exponent)
        found.append(excess(base, base, Stream(trial, "t")).null.value)
    return np.mean(found)


@pytest.mark.parametrize("tokens", TABLE)
def test_the_table_of_nulls_comes_out_for_exponent_1_and_that_many_tokens_on_each_side(tokens):
    trials, wide = (10, 0.005) if tokens == 2_000 else (3, 0.001)
    assert null_of(tokens, 1.0, trials) == pytest.approx(TABLE[tokens], abs=wide)


@pytest.mark.parametrize("exponent", [0.9, 1.1])
def test_the_table_of_nulls_does_not_come_out_for_other_exponents(exponent):
    assert abs(null_of(2_000, exponent) - TABLE[2_000]) > 0.02


def test_the_table_of_nulls_does_not_come_out_where_the_tokens_are_those_of_both_halves():
    assert null_of(1_000, 1.0) > TABLE[2_000] + 0.05


# ---------------------------------------------------------------- new words


def test_new_distinct_words_are_counted_as_by_sets():
    base, other = corpus("a", scenarios=9), blend("b", 0.3, scenarios=9)
    found = novelty(base, other, Stream(5, "t"))
    pairs = paired(base, other, Stream(5, "t"))
    ids = sorted(base)
    for measure, source in ((found.share, other), (found.null, base)):
        new = distinct = 0
        for first, second in zip(pairs.halves, pairs.rest, strict=True):
            known = {word for name, flag in zip(ids, first, strict=True) if flag for word in base[name]}
            said = {word for name, flag in zip(ids, second, strict=True) if flag for word in source[name]}
            new += len(said - known)
            distinct += len(said)
        assert measure.value == pytest.approx(new / distinct)


def test_the_interval_of_new_words_covers_the_mean_of_many_runs():
    runs = [novelty(corpus(f"a{t}"), blend(f"b{t}", 0.2), Stream(t, "t")).share for t in range(120)]
    truth = np.mean([one.value for one in runs])
    hits = sum(one.low <= truth <= one.high for one in runs)
    assert binomtest(hits, len(runs), 0.95, alternative="less").pvalue > 0.01
    assert np.mean([one.high - one.low for one in runs]) < 8 * np.std([one.value for one in runs])


def test_a_longer_text_of_the_same_writer_has_no_more_new_words():
    shorter = {name: text[:15] for name, text in corpus("b").items()}
    found = novelty(corpus("a"), shorter, Stream(1, "t"))
    assert found.share.low < found.null.value < found.share.high


# ---------------------------------------------------------------- metamorphic

rows = st.lists(
    st.tuples(
        st.lists(st.integers(0, 12), min_size=1, max_size=8),
        st.lists(st.integers(0, 12), min_size=1, max_size=8),
    ),
    min_size=4,
    max_size=7,
)


def both(pairs, name="s{:02d}".format):
    return [{name(i): np.array(row[side]) for i, row in enumerate(pairs)} for side in (0, 1)]


@settings(max_examples=25, deadline=None)
@given(rows, st.permutations(range(13)), st.randoms(use_true_random=False))
def test_order_names_and_numbers_of_words_do_not_matter(pairs, numbers, rng):
    base, arm = both(pairs)
    shuffled = list(arm.items())
    rng.shuffle(shuffled)
    renamed = both(
        [tuple([numbers[word] for word in text] for text in row) for row in pairs], "scenario-{:05d}".format
    )
    plain = excess(base, arm, Stream(1, "t"))
    assert excess(base, dict(shuffled), Stream(1, "t")) == plain
    other = excess(*renamed, Stream(1, "t"))
    for one, two in ((plain.excess, other.excess), (plain.null, other.null)):
        assert (one.value, one.low, one.high, one.p) == pytest.approx(
            (two.value, two.low, two.high, two.p), abs=1e-8
        )
    assert novelty(*renamed, Stream(1, "t")).share.value == pytest.approx(
        novelty(base, arm, Stream(1, "t")).share.value
    )


@settings(max_examples=15, deadline=None)
@given(rows, st.integers(2, 4))
def test_saying_everything_several_times_changes_no_divergence_of_texts_of_equal_length(pairs, times):
    level = [(one[: min(len(one), len(two))], two[: min(len(one), len(two))]) for one, two in pairs]
    plain, often = (
        excess(*both(texts), Stream(1, "t"))
        for texts in (level, [(one * times, two * times) for one, two in level])
    )
    assert often.excess.value == pytest.approx(plain.excess.value, abs=1e-8)
    assert often.null.value == pytest.approx(plain.null.value, abs=1e-8)


# ---------------------------------------------------------------- units

sequences = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=4)


@given(sequences)
def test_pairs_never_reach_over_the_end_of_a_sequence(texts):
    joined = flat(texts)
    assert units(joined, 1).tolist() == [word for text in texts for word in text]
    by_hand = [(one, two) for text in texts for one, two in pairwise(text)]
    assert [(pair >> 31, pair & (2**31 - 1)) for pair in units(joined, 2).tolist()] == by_hand
