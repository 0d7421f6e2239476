"""Agreement between experts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.measures.agreement import agreement, cohen_kappa, fleiss_kappa
from opoi.registry import load_suite
from opoi.report.agreement import agreement_table
from opoi.types import Trace

labels = st.sampled_from("abc")
raters = st.integers(1, 30).flatmap(
    lambda n: st.lists(st.lists(labels, min_size=n, max_size=n), min_size=2, max_size=4)
)


@given(raters)
def test_cohens_kappa_follows_from_the_table_of_counts(rated):
    one, other = rated[:2]
    table = np.array(
        [[sum(a == x and b == y for a, b in zip(one, other, strict=True)) for y in "abc"] for x in "abc"]
    )
    share = table / table.sum()
    chance = float(share.sum(axis=0) @ share.sum(axis=1))
    found = cohen_kappa(one, other)
    if math.isclose(chance, 1):
        assert found is None
    else:
        assert found == pytest.approx((np.trace(share) - chance) / (1 - chance))


@given(raters)
def test_fleiss_kappa_follows_from_the_shares_of_agreeing_pairs(rated):
    named = {str(number): ratings for number, ratings in enumerate(rated)}
    cases = list(zip(*rated, strict=True))
    agreeing = [
        np.mean([case[i] == case[j] for i in range(len(case)) for j in range(len(case)) if i != j])
        for case in cases
    ]
    shares = np.array(list(Counter(label for case in cases for label in case).values())) / (
        len(cases) * len(rated)
    )
    chance = float((shares**2).sum())
    found = fleiss_kappa(named)
    if math.isclose(chance, 1):
        assert found is None
    else:
        assert found == pytest.approx((np.mean(agreeing) - chance) / (1 - chance))


def test_kappa_is_one_for_twins_and_below_zero_for_opposites():
    assert cohen_kappa("aabb", "aabb") == 1
    assert cohen_kappa("aabb", "bbaa") == -1
    assert fleiss_kappa({"x": "ab", "y": "ab", "z": "ab"}) == 1


def test_shares_count_the_verdicts_of_the_suites_experts():
    suite = load_suite("echo")
    found = agreement(suite, 60, 2)
    reviewer, careful = (
        [
            expert(
                scenario, Trace(id="x", scenario_id=scenario.id, arm="none", run=0, as_of=scenario.as_of)
            ).action
            for scenario in suite.scenarios(60, 2)
        ]
        for expert in suite.experts.values()
    )
    same = sum(a == b for a, b in zip(reviewer, careful, strict=True)) / 60
    assert found.shares["reviewer", "careful"].value == pytest.approx(same)
    assert found.observable["careful"].value == 1.0
    assert found.hindsight["careful"].value < 1.0


def test_the_table_has_shares_above_and_kappas_below_the_diagonal():
    table = agreement_table(agreement(load_suite("echo"), 40, 0))
    assert table.columns == ("expert", "reviewer", "careful", "best observable", "best in hindsight")
    assert table.rows[0][2].text.endswith("%")
    assert float(table.rows[1][1].text) <= 1
    assert "Fleiss" in table.footnotes[1]


def test_experts_of_the_ad_account_agree_more_than_by_chance_and_less_than_always():
    found = agreement(load_suite("ads"), 120, 1)
    assert len(found.experts) >= 6
    for pair, share in found.shares.items():
        assert 0.3 < share.value < 1, pair
    assert 0.3 < found.fleiss < 0.95
    assert found.observable["careful"].value > found.observable["looks_back"].value
    assert found.hindsight["looks_back"].value == 1.0
