"""The table of the source (Katz, Zenodo 20502390), and which of its percentages follow from it.

Printed: action accuracy, consensus of three runs, mean log-probability of a token ("avgLogprob", nats), the
log-likelihood ratio of base and fine-tuned model, for the base model and two fine-tuned ones; and the
percentages 16 %, 37 %, 37 %, 49 % and +3 %. Each is worked out here from the printed values under every
definition that it can have, with the range that the rounding of the printed values leaves.
"""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from opoi.measures.changes import (
    loss_cut,
    perplexity_change,
    points,
    printed_range,
    probability_change,
    relative_change,
)
from opoi.measures.logprobs.confidence import share_of_gap_closed

ACCURACY = {"base": 0.697, "opcd": 0.719, "opoi": 0.727}
CONSENSUS = {"base": 0.919, "opcd": 0.854, "opoi": 0.894}
LOGPROB = {"base": -0.56, "opcd": -0.352, "opoi": -0.294}
RATIO = {"opcd": -0.202, "opoi": -0.277}

DECIMALS = {-0.56: 2}
"""All others were printed to three decimals."""

REPOSITORY = Path(__file__).resolve().parents[1]


def gap_log(base, after):
    return share_of_gap_closed(base, after, "log")


def gap_probability(base, after):
    return share_of_gap_closed(base, after, "probability")


def ratio_of_base(base, ratio):
    """Share of the gap by the printed ratio: base's log-probability less the tuned one's."""
    return ratio / base


def stronger(weaker, shift):
    return shift / weaker - 1


A, L, Q = ACCURACY, LOGPROB, RATIO
SHIFTS = {name: L["base"] - L[name] for name in ("opcd", "opoi")}

# claim, definition, function, printed arguments, value in %, range in % by rounding, printed %, reproduces
CLAIMS = [
    ("16 %", "loss cut", loss_cut, (L["opcd"], L["opoi"]), 16.5, (16.2, 16.7), 16, True),
    ("16 %", "probability", probability_change, (L["opcd"], L["opoi"]), 6.0, (5.9, 6.1), 16, False),
    ("16 %", "perplexity", perplexity_change, (L["opcd"], L["opoi"]), -5.6, (-5.7, -5.5), 16, False),
    ("37 % shift", "ratio row", stronger, (Q["opcd"], Q["opoi"]), 37.1, (36.5, 37.7), 37, True),
    ("37 % of gap", "gap, log", gap_log, (L["base"], L["opcd"]), 37.1, (36.5, 37.8), 37, True),
    ("37 % of gap", "gap, ratio", ratio_of_base, (L["base"], Q["opcd"]), 36.1, (35.7, 36.5), 37, False),
    ("37 % of gap", "gap, prob.", gap_probability, (L["base"], L["opcd"]), 30.8, (30.3, 31.3), 37, False),
    ("49 % of gap", "gap, log", gap_log, (L["base"], L["opoi"]), 47.5, (46.9, 48.1), 49, False),
    ("49 % of gap", "gap, ratio", ratio_of_base, (L["base"], Q["opoi"]), 49.5, (48.9, 50.0), 49, True),
    ("49 % of gap", "gap, prob.", gap_probability, (L["base"], L["opoi"]), 40.6, (40.1, 41.1), 49, False),
    ("+3 % OPOI", "points", points, (A["base"], A["opoi"]), 3.0, (2.9, 3.1), 3, True),
    ("+3 % OPOI", "relative", relative_change, (A["base"], A["opoi"]), 4.3, (4.2, 4.5), 3, False),
    ("+3 % OPCD", "points", points, (A["base"], A["opcd"]), 2.2, (2.1, 2.3), 3, False),
    ("+3 % OPCD", "relative", relative_change, (A["base"], A["opcd"]), 3.2, (3.0, 3.3), 3, True),
]  # fmt: skip


def decimals(values):
    return [DECIMALS.get(value, 3) for value in values]


def could_be(span, printed):
    """Whether a percentage in this span can have been printed as a whole number."""
    return span[0] < printed + 0.5 and span[1] >= printed - 0.5


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim[0]} as {claim[1]}")
def test_a_published_percentage_reproduces_under_this_definition_or_does_not(claim):
    _, _, function, values, percent, span, printed, reproduces = claim
    assert 100 * function(*values) == pytest.approx(percent, abs=0.06)
    low, high = printed_range(function, values, decimals(values))
    assert (100 * low, 100 * high) == pytest.approx(span, abs=0.06)
    assert could_be((100 * low, 100 * high), printed) is reproduces


def test_the_range_that_rounding_leaves_equals_that_of_a_fine_grid():
    for _, _, function, values, *_ in CLAIMS:
        axes = [
            np.linspace(value - 0.5 * 10.0**-places, value + 0.5 * 10.0**-places, 21)
            for value, places in zip(values, decimals(values), strict=True)
        ]
        grid = [function(*map(float, point)) for point in product(*axes)]
        assert printed_range(function, values, decimals(values)) == pytest.approx(
            (min(grid), max(grid)), abs=1e-12
        )


def test_the_shift_does_not_reproduce_from_the_row_of_log_probabilities():
    assert SHIFTS["opoi"] / SHIFTS["opcd"] - 1 == pytest.approx(0.279, abs=5e-4)

    def shift(base, opcd, opoi):
        return (base - opoi) / (base - opcd) - 1

    low, high = printed_range(shift, (L["base"], L["opcd"], L["opoi"]), (2, 3, 3))
    assert not could_be((100 * low, 100 * high), 37)


def test_on_the_scale_of_the_base_the_lead_in_confidence_is_ten_percent():
    assert (L["opoi"] - L["opcd"]) / abs(L["base"]) == pytest.approx(0.104, abs=5e-4)


def test_no_one_definition_gives_49_and_37_percent_of_the_gap():
    both = {
        name: [
            could_be([100 * end for end in printed_range(function, values, decimals(values))], printed)
            for function, values, printed in rows
        ]
        for name, rows in {
            "log": [(gap_log, (L["base"], L["opcd"]), 37), (gap_log, (L["base"], L["opoi"]), 49)],
            "ratio": [
                (ratio_of_base, (L["base"], Q["opcd"]), 37),
                (ratio_of_base, (L["base"], Q["opoi"]), 49),
            ],
            "probability": [
                (gap_probability, (L["base"], L["opcd"]), 37),
                (gap_probability, (L["base"], L["opoi"]), 49),
            ],
        }.items()
    }
    assert both == {"log": [True, False], "ratio": [False, True], "probability": [False, False]}


def test_the_row_of_ratios_is_not_the_difference_of_the_rows_of_log_probabilities():
    implied = {name: Q[name] + L[name] for name in Q}  # what the base's log-probability would have to be
    assert implied == {"opcd": pytest.approx(-0.554), "opoi": pytest.approx(-0.571)}
    spans = {
        name: printed_range(lambda base, tuned: base - tuned, (L["base"], L[name]), (2, 3)) for name in Q
    }
    assert spans["opcd"] == pytest.approx((-0.2135, -0.2025))
    assert spans["opoi"] == pytest.approx((-0.2715, -0.2605))
    assert spans["opcd"][1] == pytest.approx(Q["opcd"] - 0.0005)  # the very edge of rounding
    assert Q["opoi"] + 0.0005 < spans["opoi"][0]  # out of reach


def test_no_one_definition_gives_plus_three_percent_for_both_models():
    for function in (points, relative_change):
        found = [
            could_be(
                [100 * end for end in printed_range(function, (ACCURACY["base"], ACCURACY[name]), (3, 3))], 3
            )
            for name in ("opoi", "opcd")
        ]
        assert found.count(True) == 1


def test_the_base_is_the_most_consistent_and_tuning_costs_the_two_models_differently():
    lost = {name: CONSENSUS["base"] - CONSENSUS[name] for name in ("opoi", "opcd")}
    assert lost == {"opoi": pytest.approx(0.025), "opcd": pytest.approx(0.065)}
    assert lost["opcd"] / lost["opoi"] == pytest.approx(2.6)


def test_with_two_live_actions_the_consensus_means_that_share_of_unanimous_scenarios():
    unanimous = {name: 1 - 3 * (1 - value) for name, value in CONSENSUS.items()}
    assert unanimous == {
        "base": pytest.approx(0.757, abs=5e-4),
        "opoi": pytest.approx(0.682, abs=5e-4),
        "opcd": pytest.approx(0.562, abs=5e-4),
    }


def reachable(value, runs):
    """Whether some whole number of runs out of `runs` is printed as this share."""
    return any(round(hits / runs, 3) == value for hits in (math.floor(value * runs), math.ceil(value * runs)))


def test_fewer_than_198_prompts_cannot_give_all_six_shares():
    """With three runs each, accuracy and consensus are both whole thirds of the number of prompts."""
    values = [*ACCURACY.values(), *CONSENSUS.values()]
    possible = [n for n in range(10, 400) if all(reachable(value, 3 * n) for value in values)]
    assert possible[0] == 198


def test_the_documentation_states_the_same_figures():
    text = (REPOSITORY / "docs" / "measures.md").read_text(encoding="utf-8")
    for name, definition, _, _, percent, span, _, reproduces in CLAIMS:
        verdict = "yes" if reproduces else "no"
        found = f"{percent:.1f} % ({span[0]:.1f} to {span[1]:.1f})"
        row = rf"\| {re.escape(name)} \| {re.escape(definition)} \|.*\| {re.escape(found)} \| {verdict}"
        assert re.search(row, text), (name, definition)
