"""Bootstrap, Wilson interval and ratio figures against scipy, brute force and simulation."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from opoi.errors import ArtefactError
from opoi.intervals import rounded, t_quantile, wilson
from opoi.measures import figure
from opoi.measures.statistics import (
    affordable,
    bootstrap_sums,
    on_grid,
    percentile_interval,
    ratio_measure,
    share_interval,
    weights,
)
from opoi.protocols import Metric
from opoi.seeds import Stream
from opoi.types import Arm, Cleaned, Decision, Group, Scenario, Trace, Truth

TRUTH = Truth(expected={"a": 1.0}, realised={"a": 1.0}, observable_actions=("a",), hindsight_actions=("a",))


def group(name, runs=1, actions=None):
    scenario = Scenario(
        id=name, suite="t", seed=0, kind="k", as_of="2025-03-14", task="decide", entity="c1", truth=TRUTH
    )
    traces = [
        Trace(
            id=f"{name}/x/{run}",
            scenario_id=name,
            arm="x",
            run=run,
            as_of=scenario.as_of,
            decision=Decision(action=action),
        )
        for run, action in enumerate(actions or ["a"] * runs)
    ]
    return Group(scenario=scenario, cleaned=tuple(Cleaned(trace=trace, level="none") for trace in traces))


def arm(groups, name="x"):
    return Arm(name, lambda: iter(groups))


@figure("a", policies=True)
def share_a(one):
    """Share of runs that take a."""
    return sum(c.trace.decision.action == "a" for c in one.cleaned), len(one.cleaned)


@figure("as", policies=True)
def count_a(one):
    """Runs that take a, per scenario.

    Unit: count
    """
    return sum(c.trace.decision.action == "a" for c in one.cleaned), 1


# ---------------------------------------------------------------- Wilson


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 59, 299, 998, 999, 1000, 1001, 20_000])
def test_students_quantile_equals_scipy(freedom):
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-8)


@given(st.integers(1, 5000), st.data())
def test_wilson_equals_scipy(count, data):
    successes = data.draw(st.integers(0, count))
    expected = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert wilson(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "count"), [(1, 0), (-1, 5), (6, 5), (math.nan, 5)])
def test_wilson_refuses_what_is_no_share(successes, count):
    with pytest.raises(ValueError, match="wilson"):
        wilson(successes, count)


# ---------------------------------------------------------------- draws


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**31))
def test_every_resample_has_as_many_scenarios_as_the_sample(scenarios, resamples, seed):
    rows = np.concatenate(list(weights(Stream(seed, "t"), scenarios, resamples)))
    assert rows.shape == (resamples, scenarios)
    assert (rows.sum(axis=1) == scenarios).all()
    assert (rows >= 0).all()


def test_draws_are_even_over_scenarios():
    total = np.concatenate(list(weights(Stream(3, "t"), 10, 20_000))).sum(axis=0)
    assert stats.chisquare(total).pvalue > 0.001


def test_draws_are_the_same_in_one_chunk_and_in_many(monkeypatch):
    monkeypatch.setattr("opoi.measures.statistics.CHUNK_DRAWS", 50)
    few = np.concatenate(list(weights(Stream(3, "t"), 7, 30)))
    again = np.concatenate(list(weights(Stream(3, "t"), 7, 23)))
    assert (few[:23] == again).all()


@pytest.mark.parametrize(
    ("asked", "scenarios", "made"),
    [
        (10_000, 300, 10_000),
        (10_000, 20_000, 2_000),
        (10_000, 10**6, 1_000),
        (50, 10**6, 50),
        (10_000, 0, 10_000),
    ],
)
def test_resamples_are_capped_for_many_scenarios_but_not_below_a_thousand(asked, scenarios, made):
    assert affordable(asked, scenarios) == made


# ---------------------------------------------------------------- exact sums


floats = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(floats, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_sums_on_the_grid_do_not_depend_on_the_order(values, rng):
    column = on_grid(np.array(values)[:, None])[:, 0]
    shuffled = list(column)
    rng.shuffle(shuffled)
    total = 0.0
    for value in shuffled:
        total += value
    assert total == column.sum() == math.fsum(column)


@given(st.lists(floats, min_size=1, max_size=60))
def test_the_grid_moves_values_by_next_to_nothing(values):
    before = np.array(values)[:, None]
    assert np.allclose(
        on_grid(before), before, rtol=0, atol=1e-300 + np.abs(before).max() * len(before) * 2.0**-51
    )


def test_whole_numbers_stay_on_the_grid():
    column = np.arange(1000.0)[:, None]
    assert (on_grid(column) == column).all()


def test_bootstrap_sums_equal_a_loop():
    columns = on_grid(np.array([[Stream(1, "v").uniform(i, j) for j in range(3)] for i in range(12)]))
    rows = np.concatenate(list(weights(Stream(2, "t"), 12, 40)))
    expected = [
        [math.fsum(columns[i, j] for i in range(12) for _ in range(int(row[i]))) for j in range(3)]
        for row in rows
    ]
    assert (bootstrap_sums(columns, Stream(2, "t"), 40) == np.array(expected)).all()


# ---------------------------------------------------------------- intervals


def test_the_interval_of_many_scenarios_agrees_with_scipys_bca():
    stream = Stream(4, "v")
    above = on_grid(np.array([float(stream.below(4, "a", i)) ** 4 for i in range(300)])[:, None])
    below = on_grid(np.array([float(1 + stream.below(4, "b", i)) for i in range(300)])[:, None])
    sums = bootstrap_sums(np.hstack([above, below]), Stream(9, "t"), 10_000)
    ours = ratio_measure(above[:, 0], below[:, 0], (sums[:, 0], sums[:, 1]), unit="count")
    theirs = stats.bootstrap(
        (above[:, 0], below[:, 0]),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(above.sum() / below.sum())
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)
    assert ours.n == 300


skewed = (
    st.sampled_from([4, 5, 8, 10])
    .flatmap(lambda n: st.lists(st.integers(0, 6).map(lambda power: 3**power), min_size=n, max_size=n))
    .filter(lambda values: len({*values}) > 1)
)
"""Few scenarios, few of them much above the others, with a mean of few digits."""


def scipys_bca(statistic, parts, samples):
    """Return what scipy makes of the very same resamples, at the levels that Student's t widens them to."""
    n = len(parts[0])
    reach = math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)
    found = stats.bootstrap(
        parts,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=samples),
        method="BCa",
        confidence_level=1 - 2 * stats.norm.cdf(-reach),
    )
    return found.confidence_interval


def assert_scipys_bca(values, seed):
    """Compare the interval of a mean; there the acceleration by linearisation is that of the jackknife."""
    above = np.array(values, dtype=float)
    below = np.ones_like(above)
    sums = bootstrap_sums(np.column_stack([above, below]), Stream(seed, "t"), 2_000)
    ours = ratio_measure(above, below, (sums[:, 0], sums[:, 1]), unit="count")
    theirs = scipys_bca(np.mean, (above,), sums[:, 0] / sums[:, 1])
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(skewed, st.integers(0, 2**31))
def test_the_interval_of_a_few_skewed_scenarios_is_scipys_bca_of_the_same_resamples(values, seed):
    assert_scipys_bca(values, seed)


@pytest.mark.parametrize("values", [(1, 1, 1, 1, 1, 3), (0, 0, 0, 1, 2, 1, 9), (1, 2, 10)])
def test_resamples_that_equal_an_estimate_of_many_digits_count_as_equal(values):
    """Half of them lie below it, as for every other estimate: here it is 4/3, 13/7 and 13/3."""
    assert_scipys_bca(values, 0)


def test_the_interval_of_a_skewed_ratio_of_few_scenarios_is_near_scipys_bca_of_the_same_resamples():
    above = np.array([0.0, 1.0, 0.0, 2.0, 1.0, 0.0, 40.0, 1.0, 0.0, 3.0, 0.0, 1.0])
    below = np.array([2.0, 3.0, 2.0, 3.0, 1.0, 2.0, 4.0, 3.0, 2.0, 3.0, 1.0, 2.0])
    sums = bootstrap_sums(np.column_stack([above, below]), Stream(5, "t"), 20_000)
    ours = ratio_measure(above, below, (sums[:, 0], sums[:, 1]), unit="count")
    samples = sums[:, 0] / sums[:, 1]
    theirs = scipys_bca(lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis), (above, below), samples)
    plain = percentile_interval(samples, len(above))
    assert ours.low == pytest.approx(theirs.low, abs=0.2 * (theirs.low - plain[0]))
    assert ours.high == pytest.approx(theirs.high, abs=0.2 * (theirs.high - plain[1]))


def test_the_interval_covers_the_true_share_about_95_times_in_100():
    hits = 0
    for trial in range(100):
        drawn = np.array([float(Stream(trial, "b").chance(0.3, i)) for i in range(60)])[:, None]
        sums = bootstrap_sums(drawn, Stream(trial, "t"), 400)
        low, high = percentile_interval(sums[:, 0] / 60, 60)
        hits += low <= 0.3 <= high
    assert 89 <= hits <= 99


def columns_of(rows):
    """Return hits and runs of each scenario as arrays."""
    return np.array([float(sum(row)) for row in rows]), np.array([float(len(row)) for row in rows])


clusters = st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=2, max_size=25)


@given(clusters)
def test_the_interval_of_a_share_is_wilsons_with_the_trials_that_the_clusters_are_worth(rows):
    above, below = columns_of(rows)
    share, count = above.sum() / below.sum(), len(rows)
    low, high = share_interval(above, below)
    assert 0 <= low <= share <= high <= 1
    spread = sum((hits - share * runs) ** 2 for hits, runs in zip(above, below, strict=True))
    variance = spread * count / (count - 1) / below.sum() ** 2
    t = stats.t.ppf(0.975, count - 1)
    trials = share * (1 - share) / variance if variance > 1e-18 else count
    for end in (low, high):  # Wilson's ends are where the score test just rejects
        if 0 < end < 1:
            assert (share - end) ** 2 == pytest.approx(t**2 * end * (1 - end) / trials, rel=1e-6)


@given(clusters, st.randoms(use_true_random=False))
def test_the_interval_of_a_share_does_not_depend_on_order_and_turns_with_the_labels(rows, rng):
    above, below = columns_of(rows)
    places = list(range(len(rows)))
    rng.shuffle(places)
    low, high = share_interval(above, below)
    assert share_interval(above[places], below[places]) == pytest.approx((low, high), abs=1e-9)
    assert share_interval(below - above, below) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(clusters)
def test_scenarios_without_a_run_do_not_move_the_interval_of_a_share(rows):
    above, below = columns_of(rows)
    more = np.append(above, 0.0), np.append(below, 0.0)
    assert share_interval(*more) == share_interval(above, below)


@pytest.mark.parametrize(("share", "scenarios", "runs", "within"), [
    (0.5, 60, 3, 0.3),
    (0.9, 60, 3, 0.5),
    (0.97, 60, 3, 0.2),
    (0.97, 300, 3, 0.8),
    (0.2, 40, 1, 0.0),
])  # fmt: skip
def test_the_interval_of_a_share_covers_the_truth_as_often_as_it_says(share, scenarios, runs, within):
    """Runs of a scenario agree by a beta-binomial: `within` is their correlation."""
    trials = 600
    rng = np.random.default_rng(int(1000 * share) + scenarios + runs)
    if within:
        size = 1 / within - 1
        chances = rng.beta(share * size, (1 - share) * size, (trials, scenarios))
    else:
        chances = np.full((trials, scenarios), share)
    hits = rng.binomial(runs, chances).astype(float)
    covered = 0
    for row in hits:
        low, high = share_interval(row, np.full(scenarios, float(runs)))
        covered += low <= share <= high
    assert stats.binomtest(covered, trials, 0.95).pvalue > 0.001 or covered > 0.95 * trials


def test_no_scenario_gives_no_value_and_says_so():
    measure = share_a(arm([]))
    assert measure.value is None
    assert measure.n == 0
    assert measure.note


def test_scenarios_that_contribute_nothing_give_no_value():
    measure = share_a(arm([Group(scenario=group("s").scenario)]))
    assert (measure.value, measure.n) == (None, 0)


def test_one_scenario_gives_a_value_without_interval_and_says_so():
    measure = share_a(arm([group("s", actions=["a", "b"])]))
    assert (measure.value, measure.low, measure.high, measure.n) == (0.5, None, None, 1)
    assert "one scenario" in measure.note


def test_a_share_without_any_hit_gets_wilsons_interval_over_scenarios():
    measure = share_a(arm([group(f"s{i}", actions=["b", "b"]) for i in range(50)]))
    assert (measure.low, measure.high) == (0.0, rounded(wilson(0, 50, t_quantile(49))[1]))


def test_a_scenario_that_stands_twice_is_an_error():
    with pytest.raises(ArtefactError, match="twice"):
        share_a(arm([group("s"), group("s")]))


def test_a_function_of_a_group_becomes_a_metric():
    assert isinstance(share_a, Metric)


# ---------------------------------------------------------------- metamorphic

runs = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=2, max_size=8)


@settings(max_examples=30)
@given(runs, st.randoms(use_true_random=False))
def test_the_order_of_scenarios_does_not_matter(actions, rng):
    groups = [group(f"s{i}", actions=item) for i, item in enumerate(actions)]
    shuffled = list(groups)
    rng.shuffle(shuffled)
    assert share_a(arm(groups), resamples=50) == share_a(arm(shuffled), resamples=50)


@settings(max_examples=30)
@given(runs)
def test_new_names_of_scenarios_in_the_same_order_change_nothing(actions):
    old = [group(f"s{i}", actions=item) for i, item in enumerate(actions)]
    new = [group(f"zz{i}", actions=item) for i, item in enumerate(actions)]
    assert share_a(arm(old), resamples=50) == share_a(arm(new), resamples=50)


@settings(max_examples=30)
@given(runs)
def test_the_value_is_the_pooled_share_and_lies_in_its_interval(actions):
    measure = share_a(arm([group(f"s{i}", actions=item) for i, item in enumerate(actions)]), resamples=200)
    pooled = [action for item in actions for action in item]
    assert measure.value == rounded(pooled.count("a") / len(pooled))
    assert 0 <= measure.low <= measure.high <= 1


def test_the_same_call_gives_the_same_interval_and_another_seed_another():
    groups = [group(f"s{i}", actions=["a", "b"] if i % 3 else ["b", "b"]) for i in range(30)]
    first, again, other = (count_a(arm(groups), seed=seed, resamples=300) for seed in (1, 1, 2))
    assert first == again
    assert first.value == other.value
    assert (first.low, first.high) != (other.low, other.high)
