"""MAUVE-lite: vectors and clusters against scikit-learn, the frontier against brute force."""

import itertools
import math
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfTransformer

from opoi.measures.words.clusters import DIMENSIONS, k_means, tf_idf
from opoi.measures.words.mauve import frontier_area, mauve_lite_of
from opoi.seeds import Stream

WORDS = [f"word{i}" for i in range(300)]


def texts(label, count=60, topics=4, length=25):
    """Texts of a few topics, each with words of its own and some that all share."""
    stream = Stream(3, "texts", label)
    found = {}
    for i in range(count):
        topic = stream.below(topics, i, "topic")
        words = [
            stream.below(40, i, j)
            if stream.chance(0.4, i, j, "shared")
            else 40 + 30 * topic + stream.below(30, i, j)
            for j in range(length)
        ]
        found[f"s{i:03d}"] = np.array(words)
    return found


# ---------------------------------------------------------------- vectors


def test_vectors_are_those_of_scikit_learn_on_hashed_counts():
    rows = list(texts("a").values())
    counts = np.zeros((len(rows), DIMENSIONS))
    for row, text in zip(counts, rows, strict=True):
        for word in text:
            row[crc32(WORDS[word].encode()) % DIMENSIONS] += 1
    expected = TfidfTransformer().fit_transform(counts).toarray()
    assert tf_idf(rows, WORDS) == pytest.approx(expected, abs=1e-4)


def test_an_empty_text_is_the_origin():
    assert not tf_idf([np.array([], dtype=int), np.array([1])], WORDS)[0].any()


# ---------------------------------------------------------------- clusters


def objective(points, labels):
    return sum(
        ((points[labels == label] - points[labels == label].mean(axis=0)) ** 2).sum() for label in set(labels)
    )


@pytest.mark.parametrize(("clusters", "topics"), [(4, 4), (6, 4), (12, 7), (25, 5)])
def test_clusters_are_at_most_a_few_percent_worse_than_those_of_scikit_learn(clusters, topics):
    points = tf_idf(list(texts("a", 150, topics).values()), WORDS)
    theirs = KMeans(clusters, n_init=10, random_state=0).fit(points).inertia_
    assert objective(points, k_means(points, clusters, Stream(1, "k"))) <= 1.03 * theirs


def test_well_separated_topics_are_found():
    found = texts("a", 80, topics=3)
    topic = [int(np.bincount((text[text >= 40] - 40) // 30).argmax()) for text in found.values()]
    labels = k_means(tf_idf(list(found.values()), WORDS), 3, Stream(1, "k"))
    assert len(set(zip(topic, labels.tolist(), strict=True))) == 3


def test_there_are_no_more_clusters_than_distinct_points():
    points = tf_idf([np.array([1, 2]), np.array([3])] * 10, WORDS)
    assert len(set(k_means(points, 5, Stream(1, "k")).tolist())) == 2


def test_the_order_of_dimensions_does_not_move_a_point():
    points = tf_idf(list(texts("a", 100).values()), WORDS)
    turned = np.asfortranarray(points[:, ::-1])
    assert (k_means(points, 8, Stream(1, "k")) == k_means(turned, 8, Stream(1, "k"))).all()


# ---------------------------------------------------------------- the frontier

histograms = st.lists(st.integers(0, 20), min_size=2, max_size=6)


def brute(p, q):
    """The area by its definition, point by point."""

    def kl(one, other):
        return sum(a * math.log(a / b) for a, b in zip(one, other, strict=True) if a > 0)

    points = [(1.0, 0.0)]
    for step in range(1, 26):
        share = step / 26
        middle = [share * a + (1 - share) * b for a, b in zip(p, q, strict=True)]
        points.append((math.exp(-5 * kl(q, middle)), math.exp(-5 * kl(p, middle))))
    points.append((0.0, 1.0))
    points.sort(key=lambda point: (point[0], -point[1]))
    return sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in itertools.pairwise(points))


@given(histograms, st.data())
def test_the_area_is_that_of_its_definition(left, data):
    right = data.draw(st.lists(st.integers(0, 20), min_size=len(left), max_size=len(left)))
    if sum(left) and sum(right):
        p, q = np.array(left) / sum(left), np.array(right) / sum(right)
        assert frontier_area(p, q).value == pytest.approx(brute(p, q), abs=1e-9)
        assert frontier_area(q, p).value == pytest.approx(frontier_area(p, q).value, abs=1e-9)


def test_equal_histograms_have_area_one_and_disjoint_ones_nearly_none():
    one, other = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])
    assert frontier_area(one, one).value == pytest.approx(1)
    assert 0 < frontier_area(one, other).value < 0.01


@given(st.lists(st.integers(1, 20), min_size=3, max_size=6), st.data())
def test_its_derivatives_are_those_of_finite_differences(left, data):
    right = data.draw(st.lists(st.integers(1, 20), min_size=len(left), max_size=len(left)))
    p, q = np.array(left) / sum(left), np.array(right) / sum(right)
    step = 1e-6 * (np.eye(len(p))[0] - np.eye(len(p))[1])
    found = frontier_area(p, q)
    by_left = (frontier_area(p + step, q).value - frontier_area(p - step, q).value) / 2e-6
    by_right = (frontier_area(p, q + step).value - frontier_area(p, q - step).value) / 2e-6
    assert found.left[0] - found.left[1] == pytest.approx(by_left, rel=1e-3, abs=1e-4)
    assert found.right[0] - found.right[1] == pytest.approx(by_right, rel=1e-3, abs=1e-4)


# ---------------------------------------------------------------- the figure


def test_other_topics_are_far_away_and_the_same_writer_is_as_near_as_chance():
    same = mauve_lite_of(texts("a"), texts("b"), WORDS, Stream(1, "m"))
    other = mauve_lite_of(
        texts("a"), {name: text % 40 + 200 for name, text in texts("b").items()}, WORDS, Stream(1, "m")
    )
    assert same.area.low <= same.null.value <= same.area.high
    assert same.area.p > 0.01
    assert other.area.high < 0.2 < other.null.low
    assert other.area.p < 0.01


def mixed(trial, share):
    """Texts of the same writer, of which a share is about something else."""
    stream = Stream(trial, "mixed")
    found = texts(f"b{trial}")
    return {name: text % 40 + 200 if stream.chance(share, name) else text for name, text in found.items()}


@pytest.mark.slow
def test_the_interval_covers_the_mean_of_many_runs_and_p_is_uniform_where_the_writer_is_one():
    for share in (0.0, 0.2):
        runs = [mauve_lite_of(texts(f"a{t}"), mixed(t, share), WORDS, Stream(t, "m")) for t in range(50)]
        for found in ([run.area for run in runs], [run.null for run in runs]):
            truth = np.mean([one.value for one in found])
            hits = sum(one.low <= truth <= one.high for one in found)
            assert binomtest(hits, len(runs), 0.95, alternative="less").pvalue > 0.01
        ps = [run.area.p for run in runs]
        assert (kstest(ps, "uniform").pvalue > 0.01) == (share == 0)


def test_a_copy_is_as_near_as_its_own_halves():
    found = mauve_lite_of(texts("a"), texts("a"), WORDS, Stream(1, "m"))
    assert found.area.value == found.null.value < 1
    assert found.area.p == 1


def test_few_texts_give_no_value():
    found = mauve_lite_of(texts("a", 49), texts("b"), WORDS, Stream(1, "m"))
    assert (found.area.value, found.area.n) == (None, 49)
    assert "50 scenarios" in found.area.note


@settings(max_examples=6, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_and_names_of_scenarios_and_numbers_of_words_do_not_matter(rng):
    base, arm = texts("a", 50), texts("b", 50)
    numbers = list(range(len(WORDS)))
    rng.shuffle(numbers)
    spelled = [word for _, word in sorted(zip(numbers, WORDS, strict=True))]
    again = [
        {f"case-{name}": np.array([numbers[word] for word in text]) for name, text in source.items()}
        for source in (base, arm)
    ]
    items = list(again[1].items())
    rng.shuffle(items)
    plain = mauve_lite_of(base, arm, WORDS, Stream(1, "m"))
    other = mauve_lite_of(again[0], dict(items), spelled, Stream(1, "m"))
    assert plain.area.value == pytest.approx(other.area.value, abs=1e-8)
    assert plain.area.p == other.area.p
