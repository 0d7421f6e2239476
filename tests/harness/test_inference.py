"""Tests of differences against statsmodels, scipy, brute force and simulation."""

import math
from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

from opoi.measures.paired.differences import closed_share, decide, differences
from opoi.measures.paired.inference import (
    ALPHA,
    EXACT,
    MOST_NEEDED,
    bootstrap_intervals,
    holm,
    influence,
    mcnemar_p,
    needed_scenarios,
    permutation_p,
    permutation_ps,
)
from opoi.measures.paired.pairing import Paired
from opoi.seeds import Stream

STREAM = Stream(5, "test")
quick = settings(max_examples=40, deadline=None)


def paired(rows):
    """Return a figure from rows `(above_a, below_a, above_b, below_b)`."""
    return Paired(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def reordered(figure, order):
    return Paired(figure.above_a[order], figure.below_a[order], figure.above_b[order], figure.below_b[order])


def duplicated(figure):
    return reordered(figure, np.repeat(np.arange(len(figure.below_a)), 2))


def distance(above_a, below_a, above_b, below_b):
    """Work out by loops how many standard errors two ratios of sums are apart."""
    r = [math.fsum(above_a) / math.fsum(below_a), math.fsum(above_b) / math.fsum(below_b)]
    parts = [
        (nb - r[1] * db) / math.fsum(below_b) - (na - r[0] * da) / math.fsum(below_a)
        for na, da, nb, db in zip(above_a, below_a, above_b, below_b, strict=True)
    ]
    error = math.sqrt(math.fsum(part**2 for part in parts))
    apart = abs(r[1] - r[0])
    return apart / error if error > 1e-9 * apart else (math.inf if apart > 1e-12 else 0.0)


def brute_force_p(figure):
    """Try every exchange of arms within scenarios."""
    rows = np.column_stack([figure.above_a, figure.below_a, figure.above_b, figure.below_b]).tolist()
    observed = distance(*zip(*rows, strict=True))
    far = 0
    for ways in product((False, True), repeat=len(rows)):
        turned = [(r[2], r[3], r[0], r[1]) if way else r for r, way in zip(rows, ways, strict=True)]
        found = distance(*zip(*turned, strict=True))
        far += found >= observed * (1 - 1e-7) if math.isfinite(observed) else math.isinf(found)
    return far / 2 ** len(rows)


def drawn(seed, n, *, below=lambda stream, arm: 3, chance=lambda stream, arm: 0.5):
    """Return a figure whose numerators are sums of coins."""
    rows = []
    for i in range(n):
        row = []
        for arm in "ab":
            stream = Stream(seed, arm, i)
            count = below(stream, arm)
            p = chance(Stream(seed, i), arm)
            row += [sum(stream.chance(p, "coin", k) for k in range(count)), count]
        rows.append(row)
    return paired(rows)


pair = st.integers(1, 4).flatmap(lambda below: st.tuples(st.integers(0, below), st.just(below)))
row = st.tuples(pair, pair).map(lambda both: (*both[0], *both[1]))
few = st.lists(row, min_size=1, max_size=7).map(paired)
many = st.lists(row, min_size=2, max_size=30).map(paired)


# ---------------------------------------------------------------- McNemar


@quick
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_p_equals_statsmodels_and_scipy(only_a, only_b):
    p = mcnemar_p(only_a, only_b)
    assert p == pytest.approx(mcnemar([[7, only_a], [only_b, 9]], exact=True).pvalue, abs=1e-12)
    if only_a + only_b:
        assert p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue, abs=1e-12)


def test_mcnemars_p_is_exact_for_thousands_of_scenarios():
    assert mcnemar_p(4_900, 5_100) == pytest.approx(stats.binomtest(4_900, 10_000).pvalue, rel=1e-9)
    assert mcnemar_p(0, 2_000) == 2.0**-1999 if 2.0**-1999 else mcnemar_p(0, 2_000) == 0.0


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        mcnemar_p(-1, 3)


@quick
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=11))
def test_trying_every_exchange_of_zeros_and_ones_is_mcnemars_test(values):
    figure = paired([(a, 1, b, 1) for a, b in values])
    assert figure.is_binary
    assert permutation_p(figure, STREAM, 10) == pytest.approx(mcnemar_p(*figure.discordant))


# ---------------------------------------------------------------- permutation


@quick
@given(few)
def test_p_of_few_scenarios_equals_brute_force(figure):
    assert permutation_p(figure, STREAM, 10) == pytest.approx(brute_force_p(figure))


@quick
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=10))
def test_p_of_a_mean_equals_scipys_permutation_of_the_plain_difference(values):
    a, b = np.array(values, dtype=np.float64).T
    figure = paired([(x, 1, y, 1) for x, y in values])
    found = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.abs(y.mean(axis=axis) - x.mean(axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert permutation_p(figure, STREAM, 10) == pytest.approx(found.pvalue)


def test_a_drawn_p_agrees_with_the_exact_one(monkeypatch):
    figure = drawn(8, 12, chance=lambda stream, arm: 0.35 if arm == "a" else 0.6)
    assert 0 < figure.differing <= EXACT
    exact = permutation_p(figure, STREAM, 10)
    monkeypatch.setattr("opoi.measures.paired.inference.EXACT", 0)
    p = permutation_p(figure, STREAM, 20_000)
    assert p != exact
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))


def test_a_drawn_p_agrees_with_scipys_for_ratios_of_sums():
    figure = drawn(
        3,
        40,
        below=lambda stream, arm: 2 + stream.below(5, "n"),
        chance=lambda stream, arm: 0.4 + 0.1 * (arm == "b"),
    )
    above = np.concatenate([figure.above_a, figure.above_b])
    below = np.concatenate([figure.below_a, figure.below_b])

    def statistic(x, y):
        x, y = x.astype(int), y.astype(int)
        return distance(above[x], below[x], above[y], below[y])

    theirs = stats.permutation_test(
        (np.arange(40.0), np.arange(40.0, 80.0)),
        statistic,
        permutation_type="samples",
        alternative="greater",
        vectorized=False,
        n_resamples=2_000,
        rng=np.random.default_rng(0),
    ).pvalue
    assert permutation_p(figure, STREAM, 10_000) == pytest.approx(theirs, abs=0.04)


def test_p_is_never_0_and_reaches_its_least_value():
    figure = paired([(0, 3, 2 + i % 2, 3) for i in range(40)])
    assert permutation_p(figure, STREAM, 999) == 1 / 1000


@quick
@given(many, st.randoms(use_true_random=False))
def test_neither_order_nor_names_of_scenarios_matter(figure, rng):
    order = list(range(len(figure.below_a)))
    rng.shuffle(order)
    assert permutation_p(figure, STREAM, 200) == permutation_p(reordered(figure, order), STREAM, 200)


@quick
@given(many)
def test_swapping_the_arms_keeps_p_and_turns_the_difference(figure):
    ours, theirs = differences({"f": figure, "g": figure.swapped}, seed=1, resamples=100).values()
    assert (theirs.a, theirs.b, theirs.p) == (ours.b, ours.a, ours.p)
    assert theirs.difference == -ours.difference
    if ours.low is not None:
        assert (theirs.low, theirs.high) == pytest.approx((-ours.high, -ours.low), abs=1e-9)


@quick
@given(many)
def test_duplicating_every_scenario_does_not_move_the_estimate(figure):
    once, twice = (differences({"f": f}, seed=1, resamples=50)["f"] for f in (figure, duplicated(figure)))
    assert (once.a, once.b, once.difference) == (twice.a, twice.b, twice.difference)
    assert twice.n == 2 * once.n


@quick
@given(many, st.integers(1, 4))
def test_scenarios_to_which_neither_arm_contributes_change_no_p_of_few(figure, empty):
    figure = reordered(figure, np.arange(min(8, len(figure.below_a))))
    more = paired(
        [
            *zip(figure.above_a, figure.below_a, figure.above_b, figure.below_b, strict=True),
            *[(0, 0, 0, 0)] * empty,
        ]
    )
    assert permutation_p(figure, STREAM, 10) == pytest.approx(permutation_p(more, STREAM, 10))


@quick
@given(few)
def test_other_units_change_no_p(figure):
    scaled = Paired(figure.above_a * 1e4, figure.below_a, figure.above_b * 1e4, figure.below_b)
    assert permutation_p(scaled, STREAM, 10) == permutation_p(figure, STREAM, 10)


@quick
@given(few)
def test_the_same_added_to_every_figure_changes_no_p(figure):
    far = Paired(
        figure.above_a + 1e7 * figure.below_a,
        figure.below_a,
        figure.above_b + 1e7 * figure.below_b,
        figure.below_b,
    )
    assert permutation_p(far, STREAM, 10) == permutation_p(figure, STREAM, 10)


def test_arms_of_one_ratio_everywhere_have_nothing_to_test():
    figure = paired([(0, 1 + i % 3, 0, 2 + i % 4) for i in range(60)])
    assert figure.differing == 0
    assert permutation_p(figure, STREAM, 100) == 1.0


def test_figures_tested_together_get_the_p_they_get_alone():
    figures = [drawn(seed, 30) for seed in range(3)]
    assert permutation_ps(figures, STREAM, 300) == [permutation_p(one, STREAM, 300) for one in figures]


def test_masks_in_one_chunk_and_in_many_are_as_even(monkeypatch):
    figure = drawn(4, 30, chance=lambda stream, arm: 0.4 if arm == "a" else 0.55)
    whole = permutation_p(figure, STREAM, 4_000)
    monkeypatch.setattr("opoi.measures.paired.inference.CHUNK_DRAWS", 3_000)
    assert permutation_p(figure, STREAM, 4_000) == pytest.approx(whole, abs=0.03)


def false_finds(**how):
    ps = [permutation_p(drawn(seed, 60, **how), Stream(seed, "null"), 400) for seed in range(200)]
    return sum(p <= ALPHA for p in ps), ps


def test_the_same_agent_on_both_sides_is_told_apart_as_often_as_declared():
    found, ps = false_finds(
        below=lambda stream, arm: 3 + stream.below(20, "n"),
        chance=lambda stream, arm: stream.uniform("difficulty"),
    )
    assert stats.binomtest(found, 200, ALPHA).pvalue > 0.01
    assert stats.kstest(ps, "uniform").pvalue > 0.01


def test_coarse_figures_of_the_same_agent_are_told_apart_at_most_as_often_as_declared():
    found, ps = false_finds(chance=lambda stream, arm: stream.uniform("difficulty"))
    assert stats.binomtest(found, 200, ALPHA, alternative="greater").pvalue > 0.01
    assert stats.kstest(ps, "uniform", alternative="greater").pvalue > 0.01


def test_one_ratio_with_other_denominators_is_told_apart_as_often_as_declared():
    found, _ = false_finds(below=lambda stream, arm: 2 if arm == "a" else 20, chance=lambda stream, arm: 0.3)
    assert stats.binomtest(found, 200, ALPHA).pvalue > 0.01


# ---------------------------------------------------------------- Holm

ps = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=12, deadline=None)  # statsmodels collects garbage in every call
@given(ps)
def test_holm_equals_statsmodels(values):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-11)


@quick
@given(ps)
def test_holm_keeps_the_order_and_is_never_below_the_raw_p(values):
    adjusted = holm(values)
    assert all(new >= old - 1e-12 for new, old in zip(adjusted, values, strict=True))
    ranked = [new for _, new in sorted(zip(values, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@quick
@given(ps, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(values, rng):
    order = list(range(len(values)))
    rng.shuffle(order)
    assert [holm(values)[i] for i in order] == list(holm([values[i] for i in order]))


def test_no_test_has_no_adjusted_p():
    assert holm([]) == ()


# ---------------------------------------------------------------- intervals, scenarios needed


def test_the_interval_agrees_with_scipys_paired_bootstrap():
    figure = drawn(6, 80, below=lambda stream, arm: 1 + stream.below(5, "n"))
    ((low, high),) = bootstrap_intervals([figure], STREAM, 10_000)
    theirs = stats.bootstrap(
        (figure.above_a, figure.below_a, figure.above_b, figure.below_b),
        lambda a, b, c, d, axis: c.sum(axis=axis) / d.sum(axis=axis) - a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)


def test_the_interval_covers_a_planted_difference_about_95_times_in_100():
    hits = 0
    for seed in range(200):
        figure = drawn(
            seed, 60, chance=lambda stream, arm: 0.2 + 0.5 * stream.uniform("d") + 0.1 * (arm == "b")
        )
        ((low, high),) = bootstrap_intervals([figure], Stream(seed, "t"), 400)
        hits += low <= 0.1 <= high
    assert stats.binomtest(hits, 200, 0.95).pvalue > 0.01


@quick
@given(many)
def test_influence_is_the_slope_of_the_difference_in_the_weight_of_a_scenario(figure):
    a, b = figure.values
    found = influence(figure)
    assert abs(found.sum()) < 1e-9
    count, step = len(figure.below_a), 1e-6
    weight = np.ones(count)
    weight[0] += step
    moved = (weight @ figure.above_b) / (weight @ figure.below_b) - (weight @ figure.above_a) / (
        weight @ figure.below_a
    )
    assert (moved - (b - a)) / step * count == pytest.approx(found[0], abs=1e-3)


def test_scenarios_needed_equal_statsmodels():
    figure = drawn(2, 100, chance=lambda stream, arm: 0.5 + 0.05 * (arm == "b"))
    a, b = figure.values
    effect = (b - a) / influence(figure).std(ddof=1)
    theirs = NormalIndPower(ddof=0).solve_power(abs(effect), alpha=0.05, power=0.8, ratio=0)
    assert needed_scenarios(figure) == math.ceil(theirs)


def test_a_difference_with_so_many_scenarios_is_found_four_times_in_five():
    rows = [(1, 3), (2, 3), (0, 3), (2, 3), (3, 3), (1, 3), (2, 3), (2, 3), (1, 3), (3, 3)]
    lifts = [1, 0, 1, -1, 0, 0, 1, 0, 1, -1]
    pilot = paired([(n, d, n + lift, d) for (n, d), lift in zip(rows, lifts, strict=True)])
    needed = needed_scenarios(pilot)
    found = 0
    for seed in range(200):
        places = [Stream(seed, "draw").below(10, i) for i in range(needed)]
        found += permutation_p(reordered(pilot, places), Stream(seed, "p"), 400) <= ALPHA
    assert 0.7 <= found / 200 <= 0.9


def test_more_than_a_million_scenarios_are_not_told_apart():
    rows = [(i % 2, 1, (i + 1) % 2, 1) for i in range(5_000)]
    assert needed_scenarios(paired([*rows, (0, 1, 1, 1)])) == MOST_NEEDED + 1


def test_a_test_that_cannot_reach_its_level_needs_more_scenarios_first():
    assert needed_scenarios(paired([(0, 1, 1, 1)] * 3)) == 6
    assert needed_scenarios(paired([(0, 1, 1, 1)] * 3), alpha=0.05 / 4) == 8


def test_no_difference_needs_no_number_of_scenarios():
    assert needed_scenarios(paired([(0, 1, 1, 1), (1, 1, 0, 1)])) is None


# ---------------------------------------------------------------- verdicts


def judged(figures, primary=()):
    found = differences(figures, seed=0, resamples=500)
    (done,), tests = decide([found], [figures], primary)
    return done, tests


def test_a_clear_difference_has_its_direction():
    clear = paired([(1 + i % 2, 3, 3, 3) for i in range(40)])
    done, _ = judged({"up": clear, "down": clear.swapped})
    assert (done["up"].verdict, done["down"].verdict) == ("B higher", "A higher")
    assert done["up"].needed is None
    assert done["up"].p_adjusted is None


def test_what_is_undecided_says_how_many_scenarios_it_needs():
    done, _ = judged({"f": drawn(1, 30, chance=lambda stream, arm: 0.5 + 0.03 * (arm == "b"))})
    assert done["f"].verdict == "undecided"
    assert done["f"].needed > 30


def test_an_undecided_primary_figure_needs_scenarios_for_its_share_of_the_level():
    figure = drawn(1, 30, chance=lambda stream, arm: 0.5 + 0.03 * (arm == "b"))
    done, _ = judged({"f": figure, "g": figure, "h": figure}, ["f", "g"])
    assert done["f"].needed == needed_scenarios(figure, alpha=ALPHA / 2)
    assert done["h"].needed == needed_scenarios(figure, alpha=ALPHA) < done["f"].needed


def test_a_primary_figure_is_judged_by_its_adjusted_p():
    barely = paired([(0, 1, 1, 1)] * 6 + [(1, 1, 1, 1)] * 20)
    assert mcnemar_p(*barely.discordant) == pytest.approx(0.03125)
    alone, _ = judged({"f": barely}, ["f"])
    assert alone["f"].verdict == "B higher"
    both, tests = judged({"f": barely, "g": barely}, ["f", "g"])
    assert (both["f"].p_adjusted, both["f"].verdict, tests) == (0.0625, "undecided", 2)


def test_a_figure_that_is_alike_everywhere_counts_as_no_test():
    barely, alike = paired([(0, 1, 1, 1)] * 6), paired([(0, 2, 0, 3)] * 6)
    done, tests = judged({"f": barely, "g": alike}, ["f", "g"])
    assert tests == 1
    assert done["f"].p_adjusted == done["f"].p
    assert (done["g"].p, done["g"].p_adjusted, done["g"].low, done["g"].verdict) == (
        1.0,
        1.0,
        None,
        "undecided",
    )
    assert done["g"].most_differing == pytest.approx(1 - 0.05 ** (1 / 6))


def test_several_comparisons_share_one_family():
    barely = paired([(0, 1, 1, 1)] * 6)
    found = differences({"f": barely}, seed=0, resamples=100)
    done, tests = decide([found, found], [{"f": barely}] * 2, ["f"])
    assert tests == 2
    assert [one["f"].p_adjusted for one in done] == [0.0625, 0.0625]


def test_the_test_that_was_made_is_named():
    figures = {
        "zeros and ones": paired([(0, 1, 1, 1), (1, 1, 1, 1)] * 20),
        "few": paired([(0, 3, 1, 3), (2, 3, 3, 3), *[(2, 3, 2, 3)] * 38]),
        "many": drawn(1, 40),
    }
    done, _ = judged(figures)
    assert [one.test for one in done.values()] == ["McNemar, exact", "permutation, exact", "permutation"]


def test_an_arm_without_a_value_is_not_compared():
    done, _ = judged({"f": paired([(0, 0, 1, 3)] * 5)})
    assert (done["f"].a, done["f"].b, done["f"].p) == (None, None, None)
    assert (done["f"].n, done["f"].only_a, done["f"].only_b) == (0, 0, 5)


def test_values_in_different_scenarios_are_no_pairs_and_it_is_said():
    done, _ = judged({"f": paired([(0, 0, 1, 3), (1, 3, 0, 0)])})
    assert done["f"].p is None
    assert "no scenario" in done["f"].note


def test_scenarios_of_one_arm_alone_are_counted_and_said():
    done, _ = judged({"f": paired([(1, 3, 2, 3), (1, 3, 0, 0), (2, 3, 1, 3)])})
    assert (done["f"].n, done["f"].one_sided) == (2, 1)
    assert done["f"].note == "left out: 1 scenario in which A alone has a value"
    done, _ = judged({"f": paired([(1, 3, 2, 3), (1, 3, 0, 0), *[(0, 0, 1, 3)] * 2])})
    assert done["f"].note.endswith(
        "1 scenario in which A alone has a value and 2 scenarios in which B alone has a value"
    )


one_sided = st.lists(
    pair.flatmap(lambda own: st.sampled_from([(*own, 0, 0), (0, 0, *own)])), min_size=1, max_size=20
)


def without_count(found):
    return msgspec.structs.replace(found, low=0, high=0, one_sided=0, only_a=0, only_b=0, note="")


@quick
@given(few, one_sided)
def test_scenarios_of_one_arm_alone_change_nothing(figure, alone):
    """Values, p, scenarios needed, the closed share; the interval is drawn anew."""
    rows = [*zip(figure.above_a, figure.below_a, figure.above_b, figure.below_b, strict=True), *alone]
    more = paired(rows)
    ours, theirs = (judged({"f": one, "g": one}, ["f"])[0] for one in (figure, more))
    for name in ("f", "g"):
        assert without_count(theirs[name]) == without_count(ours[name])
        assert theirs[name].one_sided == len(alone)
    assert more.values == figure.values
    assert more.discordant == figure.discordant
    assert needed_scenarios(more) == needed_scenarios(figure)
    closed = [closed_share(one, seed=0, resamples=100).value for one in (figure, more)]
    assert closed[0] == closed[1]


def test_arms_that_are_identical_wherever_both_exist_are_not_told_apart():
    """One arm lacks the hard third: 66.7 % against 100 %, and nothing to compare in that third."""
    figure = paired([(3, 3, 3, 3)] * 40 + [(0, 3, 0, 0)] * 20)
    done, tests = judged({"f": figure, "g": drawn(3, 60)}, ["f"])
    assert (done["f"].a, done["f"].b, done["f"].verdict, tests) == (1.0, 1.0, "undecided", 0)
    assert (done["f"].n, done["f"].only_a, done["f"].only_b) == (40, 20, 0)
    mixed = paired([(i % 2, 1, i % 2, 1) for i in range(40)] + [(0, 0, 1, 1)] * 20)
    assert differences({"f": mixed}, seed=0, resamples=500)["f"].difference == 0
    assert differences({"f": mixed}, seed=0, resamples=500)["f"].p == 1


def test_an_outage_of_one_arm_moves_no_interval():
    rng = [(i % 4, 3, (i * 7 + i // 5) % 4, 3) for i in range(40)]
    whole = paired([*rng, *[(0, 0, 0, 0)] * 20])
    outage = paired([*rng, *[(3, 3, 0, 0)] * 20])
    assert bootstrap_intervals([outage], STREAM, 500) == bootstrap_intervals([whole], STREAM, 500)


def test_rare_figures_with_other_yields_are_told_apart_as_often_as_declared():
    """The arm that loses its hard cases shows higher values, but where both have one they are the same."""

    def figure(seed):
        rows = []
        for i in range(60):
            easy = Stream(seed, i).uniform("easy")
            a, b = (int(Stream(seed, arm, i).chance(easy)) for arm in "ab")
            lost = Stream(seed, i).chance(1 - easy, "lost")
            rows.append((a, 1, 0, 0) if lost else (a, 1, b, 1))
        return paired(rows)

    found = sum(
        differences({"f": figure(seed)}, seed=0, resamples=100)["f"].p <= ALPHA for seed in range(200)
    )
    assert stats.binomtest(found, 200, ALPHA, alternative="greater").pvalue > 0.01


noise = st.sampled_from([1 - 1e-14, 1 + 1e-14, 1 - 3e-10, 1.0])


@quick
@given(st.lists(st.tuples(pair, noise, noise), min_size=2, max_size=12))
def test_rounding_is_no_difference(values):
    same = paired([(n / 3 * one, d, n / 3 * other, d) for (n, d), one, other in values])
    assert same.differing == 0
    assert same.discordant == (0, 0)
    assert permutation_p(same, STREAM, 100) == 1
    assert differences({"f": same}, seed=0, resamples=100)["f"].difference == 0


@quick
@given(few, st.lists(noise, min_size=28, max_size=28))
def test_rounding_changes_neither_p_nor_what_differs(figure, factors):
    f = np.array(factors).reshape(4, -1)[:, : len(figure.below_a)]
    rounded = Paired(figure.above_a * f[0], figure.below_a, figure.above_b * f[1], figure.below_b)
    assert rounded.differing == figure.differing
    assert rounded.discordant == figure.discordant
    assert rounded.is_binary == figure.is_binary
    assert permutation_p(rounded, STREAM, 10) == permutation_p(figure, STREAM, 10)


def test_what_cancels_to_nearly_0_is_0():
    figure = paired([(100.0, 1, 100.0, 1), (0.0, 1, 1.4e-14, 1), (50.0, 1, 50.0, 1)])
    assert figure.differing == 0


def test_the_same_call_gives_the_same_and_another_seed_another_interval():
    figures = {"f": drawn(1, 40, chance=lambda stream, arm: 0.4 + 0.2 * (arm == "b"))}
    first, again, other = (differences(figures, seed=seed, resamples=300) for seed in (1, 1, 2))
    assert first == again
    assert first["f"].difference == other["f"].difference
    assert first["f"].low != other["f"].low


# ---------------------------------------------------------------- the performance gap


def test_the_closed_share_is_that_of_the_mean_utilities_and_its_interval_is_scipys():
    rng = np.random.default_rng(5)
    best, runs = rng.gamma(2.0, 50.0, 400), np.full(400, 3.0)
    before, after = (3 * best * rng.beta(a, 5, 400) for a in (2.0, 1.0))  # utility lost by three runs
    found = closed_share(Paired(before, runs, after, runs), seed=1, resamples=4_000)
    v_obs, v_before, v_after = best.mean(), (best - before / 3).mean(), (best - after / 3).mean()
    assert found.value == pytest.approx((v_after - v_before) / (v_obs - v_before))
    theirs = stats.bootstrap(
        (before, after),
        lambda a, b, axis: 1 - b.sum(axis=axis) / a.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=4_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)


def test_who_loses_nothing_leaves_no_gap_to_close():
    ones = np.ones(5)
    assert closed_share(Paired(0 * ones, ones, ones, ones), seed=0, resamples=100).value is None
    assert closed_share(Paired(ones, ones, ones, ones), seed=0, resamples=100).value == 0
