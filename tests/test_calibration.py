"""The figures of docs/cleaning.md come from the script, and the detectors are held to them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from scipy.stats import binomtest

from opoi.lab.calibrate import ALL, calibrate
from opoi.leakage.detectors import DETECTORS
from opoi.registry import load_suite

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("make_calibration", ROOT / "fixtures/make_calibration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where msgspec looks up the names of its annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_document_shows_the_tables_of_the_kept_figures(maker: ModuleType) -> None:
    kept = msgspec.json.decode(maker.KEPT.read_bytes(), type=maker.Measured)
    text = maker.DOCUMENT.read_text("utf-8")
    assert maker.written(text, maker.tables(kept)) == text


@pytest.mark.slow
def test_detectors_find_as_much_as_the_document_says_and_flag_nothing_more(maker: ModuleType) -> None:
    kept = msgspec.json.decode(maker.KEPT.read_bytes(), type=maker.Measured).detectors
    now = calibrate(DETECTORS, suite=load_suite("ads-held-out"), seed=kept.seed, n=12)
    assert set(now.detectors) == set(kept.detectors)
    for score in now.scores:
        if score.difficulty != ALL or not score.planted:
            continue
        before = kept.score(score.detector, score.kind)
        assert before.recall.value is not None
        chance = binomtest(score.found, score.planted, before.recall.value, alternative="less").pvalue
        assert chance > 0.001, f"{score.detector}, {score.kind}: {score.found} of {score.planted}"
    for wording in ("plain", "honest"):
        everything = now.clean_score(ALL, wording)
        likely = kept.clean_score(ALL, wording).false_positives.high
        assert likely is not None
        chance = binomtest(everything.flagged, everything.traces, likely, alternative="greater").pvalue
        assert chance > 0.001, wording


def test_what_is_decidable_from_the_ledger_is_found(maker: ModuleType) -> None:
    kept = msgspec.json.decode(maker.KEPT.read_bytes(), type=maker.Measured).detectors
    for kind in ("nonce", "canary", "date", "entity"):
        score = kept.score(ALL, kind)
        assert score.recall.value is not None
        assert score.recall.value > 0.95, kind
        assert score.precision.value is not None
        assert score.precision.value > 0.95, kind


def test_built_in_rules_break_nothing_that_cleaning_has_to_keep(maker: ModuleType) -> None:
    kept = msgspec.json.decode(maker.KEPT.read_bytes(), type=maker.Measured)
    for name, each in kept.rules.items():
        assert each.kept == each.asked, name
        assert all(each.asked.values()), name
