"""The same inputs give the bytes they gave when the fixtures were made, on every machine and version.

Where a change is meant: `python fixtures/make_golden.py`, and look at what changed.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"


def maker() -> object:
    spec = importlib.util.spec_from_file_location("make_golden", FIXTURES / "make_golden.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("suite", ["ads", "echo"])
def test_a_small_run_gives_the_bytes_of_the_fixtures(suite: str, tmp_path: Path) -> None:
    digests = maker().make(suite, tmp_path / "run")  # type: ignore[attr-defined]
    golden = FIXTURES / "golden" / suite
    assert (tmp_path / "run/scenarios.jsonl").read_text() == (golden / "scenarios.jsonl").read_text()
    assert digests == json.loads((golden / "digests.json").read_text())


def test_an_account_after_writes_says_what_it_said() -> None:
    digests = maker().account()  # type: ignore[attr-defined]
    assert digests == json.loads((FIXTURES / "golden/ads/account.json").read_text())
    assert len(set(digests.values())) == len(digests)
