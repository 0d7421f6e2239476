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


coverage, nulls = script("coverage"), script("nulls")


@pytest.mark.parametrize("persona", ["strong", "inventive"])
def test_intervals_of_figures_with_a_dial_cover_what_was_planted(persona: str) -> None:
    found = coverage.coverage(8, 40, personas=(persona,))
    assert len(found) > 15
    assert min(row.adjusted for row in found) > 0.001
    hits, looked = sum(row.hits for row in found), sum(row.seeds for row in found)
    assert hits / looked > 0.88


def test_truths_are_probabilities_that_the_dials_move() -> None:
    every = {name: coverage.truths(dials) for name, dials in coverage.PERSONAS.items()}
    for truths in every.values():
        assert all(-1e-12 <= value <= 5 or value != value for value in truths.values())
    assert every["mild"]["base", "accuracy_observable"] > every["strong"]["base", "accuracy_observable"]


def test_arms_that_differ_in_draws_alone_are_not_found_to_differ() -> None:
    found = [nulls.p_values("corrector", 30, seed) for seed in range(10)]
    small = sum(p <= 0.05 for run in found for p in run.values())
    assert small / sum(map(len, found)) < 0.15
    assert stats.binomtest(sum(run["consensus_pair"] <= 0.05 for run in found), 10, 0.05).pvalue > 0.001
