"""The suites as a whole: contract, determinism, splits, decisions."""

from __future__ import annotations

import hashlib
import itertools
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
from opoi_envs.ads import EASY, HARD, HELD_OUT, suite
from opoi_envs.ads.world.archetypes import ARCHETYPES
from opoi_envs.ads.world.world import World

pytestmark = pytest.mark.xdist_group("suite")  # one worker builds what they share

ROOT = Path(__file__).parents[2]
SUITES = {each.name: each for each in (suite, EASY, HARD, HELD_OUT)}
VALID = {
    "action": "scale_down",
    "entity": "cmp_1",
    "new_daily_budget": 210,
    "reasoning": "CPA is high.",
    "citations": [{"metric": "cpa", "entity": "cmp_1", "window": "2025-01-01", "value": 47.1}],
}
every_suite = pytest.mark.parametrize("which", SUITES.values(), ids=SUITES)


@every_suite
def test_it_satisfies_the_contract(which):
    assert isinstance(which, Suite)
    scenario = next(which.scenarios(1, 0))
    env = which.env(scenario)
    assert isinstance(env, Env)
    task, info = env.reset(seed=3)
    assert task == scenario.task
    assert isinstance(info, dict)
    assert which.null_action in which.actions
    assert set(which.prose) <= set(which.decision_schema["properties"])
    assert set(scenario.truth.expected) == set(scenario.truth.realised) == set(which.actions)
    assert set(which.expected(scenario, ())) == set(which.actions)
    assert scenario.suite == which.name


def test_the_suites_have_the_names_that_they_are_registered_under():
    assert set(SUITES) == {"ads", "ads-easy", "ads-hard", "ads-held-out"}


@given(which=st.sampled_from(list(SUITES.values())), count=st.integers(1, 6), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=15, deadline=None)
def test_the_nth_scenario_depends_on_seed_and_n_alone(which, count, seed):
    longer = list(which.scenarios(count + 2, seed))
    assert longer[:count] == list(which.scenarios(count, seed))
    assert [scenario.id for scenario in longer] == sorted({scenario.id for scenario in longer})
    for scenario in longer:
        assert 0 <= scenario.seed < 2**31
        assert scenario.entity in scenario.task
        assert scenario.as_of in scenario.task


@every_suite
def test_one_scenario_can_be_had_without_the_others_being_worked_out(which):
    assert next(itertools.islice(which.scenarios(9, 4), 8, None)) == list(which.scenarios(9, 4))[8]
    assert list(which.scenarios(0, 4)) == []


def test_training_and_held_out_worlds_never_meet():
    """Parity keeps them apart whatever the seeds are."""
    for seed in range(6):
        assert all(scenario.seed % 2 == 1 for scenario in HELD_OUT.scenarios(10, seed))
        for which in (suite, EASY, HARD):
            assert all(scenario.seed % 2 == 0 for scenario in which.scenarios(10, seed))


@pytest.mark.parametrize(("which", "name"), [(EASY, "easy"), (HARD, "hard")], ids=["easy", "hard"])
def test_a_suite_of_one_difficulty_holds_no_other(which, name):
    assert {World(s.seed).focus.difficulty.name for s in which.scenarios(40, 2)} == {name}


def test_the_mixed_suites_hold_every_difficulty():
    for which in (suite, HELD_OUT):
        assert len({World(s.seed).focus.difficulty.name for s in which.scenarios(40, 2)}) == 3


def test_other_seeds_give_other_worlds():
    seeds = [scenario.seed for seed in range(8) for scenario in suite.scenarios(20, seed)]
    assert len(set(seeds)) == len(seeds)


@pytest.fixture(scope="module")
def many():
    return list(suite.scenarios(400, 1))


def test_a_mixed_suite_holds_every_archetype(many):
    kinds = [scenario.kind for scenario in many]
    assert set(kinds) == {shape.name for shape in ARCHETYPES}
    assert max(kinds.count(kind) for kind in kinds) < 0.25 * len(kinds)


def test_scenarios_survive_a_round_trip_through_json(many):
    for scenario in many[:40]:
        text = msgspec.json.encode(scenario)
        assert text.isascii()
        assert msgspec.json.decode(text, type=type(scenario)) == scenario


def test_the_task_tells_nothing_of_what_is_hidden(many):
    words = {cause.name for shape in ARCHETYPES for cause in shape.causes if "_" in cause.name}
    words |= {shape.name for shape in ARCHETYPES if "_" in shape.name}
    for scenario in many:
        assert not any(word in scenario.task for word in words)
        assert scenario.task.isascii()
        world = World(scenario.seed)
        assert f"${world.focus.budget_cents / 100:.2f}" in scenario.task


_SCRIPT = """
import hashlib, msgspec
from opoi_envs.ads import EASY, suite
from opoi.wire import call_action

seen = hashlib.sha256()
for scenario in [*suite.scenarios(6, 9), *EASY.scenarios(2, 9)]:
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
    assert 2500 <= len(env.system_prompt) <= 6000
    assert env.system_prompt.isascii()
    _, _, example = env.system_prompt.partition('"citations": [')
    assert {f'"{key}": ' for key in VALID["citations"][0]} <= set(re.findall(r'"\w+": ', example))
    assert not re.search(r"\d", example)
    assert not re.search(r"\d{4}-\d\d-\d\d|cmp_\d", env.system_prompt)
    digest = hashlib.sha256(env.system_prompt.encode()).hexdigest()
    assert digest == hashlib.sha256(suite.env(next(suite.scenarios(1, 8))).system_prompt.encode()).hexdigest()


def test_the_prompt_names_the_tools_that_it_tells_the_agent_to_use():
    env = suite.env(next(suite.scenarios(1, 0)))
    names = {tool.name for tool in env.tools}
    told = set(re.findall(r"\b(?:get|compare|analyse)_\w+", env.system_prompt))
    assert told == names
