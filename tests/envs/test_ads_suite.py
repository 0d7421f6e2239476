"""The suite as a whole: contract, determinism, decisions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.protocols import Env, Suite
from opoi_envs.ads import suite

ROOT = Path(__file__).parents[2]
VALID = {
    "action": "scale_down",
    "entity": "cmp_1",
    "new_daily_budget": 210,
    "reasoning": "CPA is high.",
    "citations": [{"metric": "cpa", "entity": "cmp_1", "window": "2025-01-01", "value": 47.1}],
}


def test_it_satisfies_the_contract():
    assert isinstance(suite, Suite)
    scenario = next(suite.scenarios(1, 0))
    env = suite.env(scenario)
    assert isinstance(env, Env)
    task, info = env.reset(seed=3)
    assert task == scenario.task
    assert isinstance(info, dict)
    assert suite.null_action in suite.actions
    assert set(suite.prose) <= set(suite.decision_schema["properties"])
    assert set(scenario.truth.expected) == set(scenario.truth.realised) == set(suite.actions)


@given(count=st.integers(1, 12), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_the_nth_scenario_depends_on_seed_and_n_alone(count, seed):
    longer = list(suite.scenarios(count + 3, seed))
    assert longer[:count] == list(suite.scenarios(count, seed))
    assert [scenario.id for scenario in longer] == sorted({scenario.id for scenario in longer})
    for scenario in longer:
        assert 0 <= scenario.seed < 2**31
        assert scenario.entity in scenario.task
        assert scenario.as_of in scenario.task


def test_scenarios_survive_a_round_trip_through_json():
    for scenario in suite.scenarios(20, 4):
        text = msgspec.json.encode(scenario)
        assert text.isascii()
        assert msgspec.json.decode(text, type=type(scenario)) == scenario


_SCRIPT = """
import hashlib, msgspec
from opoi_envs.ads import suite
from opoi.wire import call_action
seen = hashlib.sha256()
model = suite.stand_in()
for scenario in suite.scenarios(6, 9):
    seen.update(msgspec.json.encode(scenario))
    env = suite.env(scenario)
    arguments = '{"campaign_id":"%s","time_increment":"day"}' % scenario.entity
    text = env.step(call_action("get_insights", arguments))[0]
    seen.update(text.encode())
print(seen.hexdigest())
"""


def test_the_same_bytes_come_out_under_any_hash_seed():
    digests = set()
    for hash_seed in ("1", "2"):
        path = os.pathsep.join(str(ROOT / part) for part in ("harness", "envs"))
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT], env=env, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_kinds_are_spread_over_nine_archetypes():
    kinds = [scenario.kind for scenario in suite.scenarios(400, 1)]
    assert len(set(kinds)) == 9
    assert all(kinds.count(kind) >= 8 for kind in set(kinds))


# ---------------------------------------------------------------- decisions


def test_a_valid_answer_is_read_whatever_stands_around_it():
    for text in (json.dumps(VALID), f"Here it is:\n```json\n{json.dumps(VALID, indent=1)}\n```"):
        decision = suite.decide(text)
        assert decision.valid
        assert (decision.action, decision.entity, decision.payload) == ("scale_down", "cmp_1", VALID)
        assert decision.citations[0].value == 47.1


@pytest.mark.parametrize(
    "change",
    [
        {"action": "increase"},
        {"action": 1},
        {"entity": 7},
        {"entity": ""},
        {"new_daily_budget": -1},
        {"new_daily_budget": "210"},
        {"new_daily_budget": True},
        {"reasoning": ""},
        {"citations": None},
        {"citations": [{"metric": "cpa"}]},
        {"citations": [{"metric": "cpa", "entity": "c", "window": "", "value": True}]},
        {"citations": [{"metric": "cpa", "entity": "c", "window": "", "value": 1, "why": ""}]},
        {"confidence": 0.9},
    ],
)
def test_whatever_does_not_fit_the_schema_is_a_problem(change):
    decision = suite.decide(json.dumps({**VALID, **change}))
    assert not decision.valid
    assert decision.action == ""
    assert all("\n" not in problem for problem in decision.problems)


@pytest.mark.parametrize("key", sorted(VALID))
def test_a_missing_key_is_a_problem(key):
    body = {name: value for name, value in VALID.items() if name != key}
    assert not suite.decide(json.dumps(body)).valid


@given(text=st.text(max_size=200))
def test_reading_never_raises(text):
    suite.decide(text)
    suite.decide('{"action": "pause", ' + text)


def test_a_not_a_number_budget_is_a_problem():
    assert not suite.decide(json.dumps({**VALID, "new_daily_budget": float("nan")})).valid


def test_the_prompt_is_of_a_workable_size_and_its_example_is_well_formed():
    env = suite.env(next(suite.scenarios(1, 0)))
    assert 2500 <= len(env.system_prompt) <= 4000
    assert env.system_prompt.isascii()
    _, _, example = env.system_prompt.partition('"citations": [')
    assert {f'"{key}": ' for key in VALID["citations"][0]} <= set(re.findall(r'"\w+": ', example))
    assert not re.search(r"\d", example)
    assert not re.search(r"\d{4}-\d\d-\d\d|cmp_\d", env.system_prompt)
    digest = hashlib.sha256(env.system_prompt.encode()).hexdigest()
    assert digest == hashlib.sha256(suite.env(next(suite.scenarios(1, 8))).system_prompt.encode()).hexdigest()
