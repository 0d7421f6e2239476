"""The proofs of `make proofs` in small: intervals cover what was planted, tests find nothing that is not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from scipy import stats

FOLDER = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    """Import one of the scripts; they import each other by name, as scripts in a folder do."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


coverage, nulls, planted = script("coverage"), script("nulls"), script("planted_truths")


@pytest.mark.parametrize("persona", ["strong", "inventive"])
def test_intervals_of_figures_with_a_dial_cover_what_was_planted(persona: str) -> None:
    found = coverage.coverage(2, 40, personas=(persona,))
    assert len(found) > 100
    assert min(row.adjusted for row in found) > 0.001
    usual = [row for row in found if not row.few and not row.certain]
    hits, looked = sum(row.hits for row in usual), sum(row.seeds for row in usual)
    assert hits / looked > 0.8
    assert all(row.hits == row.seeds for row in found if row.certain)


def test_truths_are_probabilities_that_the_dials_move() -> None:
    every = {name: planted.truths(dials) for name, dials in coverage.PERSONAS.items()}
    for truths in every.values():
        for (arm, name), value in truths.items():
            metric = coverage.METRICS[name]
            least = -1 if metric.unit == "utility" or name in planted.SIGNED else 0
            most = 5 if metric.unit == "count" else 1
            assert least - 1e-12 <= value <= most + 1e-12, (arm, name)
    assert every["mild"]["base", "accuracy_observable"] > every["strong"]["base", "accuracy_observable"]


def test_an_agent_that_never_errs_and_a_deaf_one_are_what_they_should_be() -> None:
    flawless = planted.truths(planted.Persona(flip=0.0, residue=0.0, obedience=1.0))
    assert flawless["base", "accuracy_observable"] == flawless["base", "consensus"] == 1
    assert flawless["inferior", "sycophancy"] == flawless["opoi C3", "yield"] == 1
    deaf = planted.truths(planted.Persona(flip=0.2, obedience=0.0))
    same = ("accuracy_observable", "regret_hindsight", "gap_decision", "consensus_pair")
    assert all(abs(deaf["told", name] - deaf["base", name]) < 1e-12 for name in same)


def row(hits: int, *, few: bool, figure: str = "yield", certain: bool = False) -> object:
    """Return what coverage makes of 200 seeds with so many hits."""
    fourths = 1.0 if few else 0.001
    truth = 1.0 if certain else 0.5
    looks = [coverage.Look(0.5, index < hits, 1.0, fourths) for index in range(200)]
    return coverage._row("mild", ("opoi", figure), truth, looks)


def test_covering_too_often_counts_but_for_rare_things() -> None:
    assert row(200, few=False).p < 0.001  # type: ignore[attr-defined]  # scripts have no types here
    assert row(200, few=True).p == 1  # type: ignore[attr-defined]  # scripts have no types here
    assert row(170, few=True).p < 0.001  # type: ignore[attr-defined]  # scripts have no types here
    assert row(199, few=False, certain=True).p == 0  # type: ignore[attr-defined]  # scripts have no types here


def test_arms_that_differ_in_draws_alone_are_not_found_to_differ() -> None:
    for pair in nulls.PAIRS:
        found = [nulls.p_values(pair, 20, seed) for seed in range(3)]
        small = sum(p <= 0.05 for run in found for p in run.values())
        assert small / sum(map(len, found)) < 0.15
        hits = sum(run["schema_valid"] <= 0.05 for run in found)
        assert stats.binomtest(hits, 3, 0.05).pvalue > 0.0001
        assert {"keys_in_order", "justification_overlap"} <= found[0].keys()


def test_sides_of_the_pair_corrector_are_written_by_two_models() -> None:
    _, made = nulls.sides_of("corrector", 2, 0)
    writers = {
        arm: {each.trace.model for group in groups for each in group.cleaned} for arm, groups in made.items()
    }
    assert writers == {"own": {"stand-in/corrector"}, "agent": {"stand-in/default"}}


def test_words_of_arms_that_differ_in_draws_alone_have_a_p() -> None:
    _, made = nulls.sides_of("seeds", 60, 1)
    found = nulls.word_ps(made, 1)
    names = ("js_excess", "bigram_js_excess", "tool_js_excess", "mauve_lite")
    assert found.keys() == {f"p beside {name}" for name in names}
    assert all(0 < p <= 1 for p in found.values())
    assert min(found.values()) > 0.001


def test_the_page_says_how_many_figures_are_left_out() -> None:
    null = nulls.Null("seat", "yield", 2, (0.0,) * 5, 1.0, 1.0)
    lines = list(nulls.page(nulls.Nulls([null], {"seeds": ["residue"], "seat": [], "corrector": ["a", "b"]})))
    assert lines[2].startswith("| `yield` | - / 0.0 / - % |")
    assert lines[-1].endswith("1 / 0 / 2 figures.")
