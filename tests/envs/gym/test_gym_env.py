"""The ad account as a Gymnasium environment: its contract, its texts, its rewards."""

from __future__ import annotations

import json
import warnings
from functools import lru_cache
from itertools import product
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.errors import UsageError
from opoi.protocols import Env
from opoi.rollout import rollout
from opoi.types import Fact
from opoi.wire import answer_action, call_action
from opoi_envs.ads import HARD, HELD_OUT, suite
from opoi_envs.ads.gym.env import ACTION_LENGTH, OBSERVATION_LENGTH, SUITES, AdAccountEnv
from opoi_envs.ads.gym.registration import ID, register
from opoi_envs.ads.gym.spaces import CHARACTERS
from opoi_envs.ads.rows import PRESETS
from opoi_envs.ads.tools import TOOLS
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.truth.utility import ACTIONS
from opoi_envs.ads.world.world import World


def decision(entity: str, action: str) -> str:
    body = {"action": action, "entity": entity, "new_daily_budget": 0, "reasoning": "So.", "citations": []}
    return answer_action(json.dumps(body))


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize(("name", "render_mode"), [*product(SUITES, ["ansi"]), ("ads", "rgb_array")])
def test_the_checker_of_gymnasium_finds_nothing_to_warn_about(name: str, render_mode: str) -> None:
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(ID, suite=name, render_mode=render_mode)
        check_env(env.unwrapped)
        env.close()


def test_it_satisfies_the_environment_protocol_of_the_harness() -> None:
    assert isinstance(AdAccountEnv(), Env)


def test_a_rollout_of_the_harness_plays_it_with_the_same_trace_as_the_suites_own_environment() -> None:
    class Fixed(AdAccountEnv):
        def reset(self, **_: object) -> tuple[str, dict[str, object]]:
            return super().reset(seed=0)  # the harness passes the seed of the scenario's world

    class Wrapped:
        def __getattr__(self, name: str) -> object:
            return getattr(suite, name)

        def env(self, scenario: object) -> Fixed:
            return Fixed(turns=100)

    scenario = next(suite.scenarios(1, 0))
    stand_in = suite.stand_in()
    there = rollout(scenario, Wrapped(), stand_in, arm="base", run=0, seed=1)
    assert there == rollout(scenario, suite, stand_in, arm="base", run=0, seed=1)


@given(seed=st.integers(0, 2**31 - 1), index=st.integers(0, 2))
@settings(max_examples=8, deadline=None)
def test_scenarios_depend_on_seed_and_place_alone(seed: int, index: int) -> None:
    one, other = AdAccountEnv(), AdAccountEnv()
    one.reset(seed=seed)
    for _ in range(index):
        one.reset()
    other.reset(seed=99)
    start = other.reset(seed=seed, options={"index": index})
    assert one.scenario == other.scenario == list(suite.scenarios(index + 1, seed))[index]
    assert start[0] == one.scenario.task
    assert start[1]["index"] == index


def test_going_back_and_forth_in_a_sequence_gives_the_same_scenarios() -> None:
    env = AdAccountEnv()
    env.reset(seed=4)
    wanted = [each.id for each in suite.scenarios(4, 4)]
    for index in (2, 2, 0, 3, 1, 1, 0):
        _, info = env.reset(options={"index": index})
        assert (info["scenario"], info["index"]) == (wanted[index], index)
    assert env.reset()[1]["scenario"] == wanted[1]


def test_the_suite_can_be_chosen_when_made_and_when_reset() -> None:
    env = AdAccountEnv("ads-hard")
    env.reset(seed=1)
    assert env.scenario == next(HARD.scenarios(1, 1))
    env.reset(options={"suite": "ads-held-out"})
    assert env.scenario == next(HELD_OUT.scenarios(1, 1))
    assert env.scenario.seed % 2 == 1
    env.reset()
    assert env.scenario == list(HELD_OUT.scenarios(2, 1))[1]


@pytest.mark.parametrize(
    "options",
    [
        *({"index": -1}, {"index": 1.0}, {"index": True}, {"suite": "add"}, {"place": 1}),
        *({"suite": 5}, {"suite": ["ads"]}, {5: 1}, [], 0, "index", [("index", 1)]),
    ],
)
def test_options_that_mean_nothing_are_refused(options: Any) -> None:
    env = AdAccountEnv()
    with pytest.raises(UsageError):
        env.reset(options=options)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        *[({"turns": turns}, "whole number") for turns in (0, -1, True, 1.0, 2.5, "12", None, [])],
        *[({"reward": reward}, "share, usd") for reward in ("eur", None, 1, ["usd"])],
        *[({"render_mode": mode}, "ansi, rgb_array") for mode in ("human", 1, True, ["ansi"], "")],
        *[({"suite": name}, "ads-held-out") for name in ("x", None, 5, ["ads"])],
    ],
)
def test_settings_that_mean_nothing_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        AdAccountEnv(**setting)


def test_before_the_start_there_is_nothing_to_look_at() -> None:
    env = AdAccountEnv(render_mode="ansi")
    for name in ("scenario", "world", "account"):
        with pytest.raises(UsageError, match="no episode yet"):
            getattr(env, name)
    with pytest.raises(UsageError, match="no episode yet"):
        env.render()


def test_no_step_is_possible_before_the_start_and_after_the_end() -> None:
    env = AdAccountEnv()
    with pytest.raises(UsageError, match="no episode"):
        env.step("{}")
    env.reset(seed=1)
    env.step(answer_action("I do not know."))
    with pytest.raises(UsageError, match="no episode"):
        env.step("{}")


def test_tools_are_told_as_json_schemas_anew_each_time() -> None:
    env = AdAccountEnv()
    _, info = env.reset(seed=1)
    assert [tool["function"]["name"] for tool in info["tools"]] == [spec.name for spec in TOOLS]
    assert all(tool["function"]["parameters"]["type"] == "object" for tool in info["tools"])
    info["tools"].clear()
    assert len(env.reset()[1]["tools"]) == len(TOOLS)


# ---------------------------------------------------------------- texts


@lru_cache(maxsize=1)
def endless() -> AdAccountEnv:
    env = AdAccountEnv(turns=10**9)
    env.reset(seed=2)
    return env


ANY_TEXT = st.text(st.characters(exclude_categories=()))
VALID_TEXT = st.text(st.characters(codec="utf-8"))
NAMES = st.one_of(VALID_TEXT, st.sampled_from([spec.name for spec in TOOLS]))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    VALID_TEXT,
    st.sampled_from([*PRESETS, "day", "last_3d"]),
)
KEYS = st.one_of(
    VALID_TEXT, st.sampled_from(["campaign_id", "date_preset", "time_increment", "days", "question"])
)
ARGUMENTS = st.one_of(VALID_TEXT, st.dictionaries(KEYS, VALUES).map(json.dumps))
CALLS = st.builds(call_action, NAMES, ARGUMENTS)
QUESTIONS = st.builds(
    lambda question: call_action(
        "analyse_campaign",
        json.dumps({"campaign_id": endless().scenario.entity, "question": question}, ensure_ascii=False),
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=500),
)


@given(action=st.one_of(ANY_TEXT, CALLS, QUESTIONS, VALID_TEXT.map(answer_action)))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_legal_action_and_gets_an_observation_of_the_space(action: str) -> None:
    env = endless()
    text, reward, terminated, truncated, info = env.step(action)
    assert env.observation_space.contains(text)
    assert not truncated
    assert terminated or reward == 0
    assert isinstance(info["error"], bool)
    if terminated:
        env.reset()
    elif info["error"]:
        assert json.loads(text)["error"]["message"]


@pytest.mark.parametrize("name", ["x", "\x00", "\x7f", "é", "\U0001f600", '"', "\n"])
@pytest.mark.parametrize("repeat", [1, 1_300, 100_000])
def test_errors_about_huge_or_odd_actions_stay_within_the_space(name: str, repeat: int) -> None:
    env = endless()
    for action in (call_action(name * repeat, "{}"), call_action("get_funnel", name * repeat), name * repeat):
        text, _, _, _, info = env.step(action)
        assert info["error"]
        assert env.observation_space.contains(text)
        assert json.loads(text)["error"]["message"]


def test_a_question_to_the_sub_agent_keeps_its_words_in_ascii() -> None:
    env = endless()
    arguments = json.dumps({"campaign_id": env.scenario.entity, "question": "\U0001f600\té" + "a" * 490})
    text, _, _, _, info = env.step(call_action("analyse_campaign", arguments))
    assert not info["error"]
    assert "\\ud83d\\ude00\\u0009\\u00e9aaa" in text
    assert set(text) <= set(CHARACTERS)


def test_every_answer_of_every_tool_takes_less_than_half_of_the_space() -> None:
    longest = 0
    env = AdAccountEnv(turns=10**9)
    for index in range(4):
        env.reset(seed=7, options={"index": index})
        listed = json.loads(env.step(call_action("get_campaigns", "{}"))[0])["campaigns"]
        calls: list[tuple[str, dict[str, object]]] = [("get_account", {}), ("get_campaigns", {})]
        for name in [each["id"] for each in listed]:
            calls += [(tool, {"campaign_id": name}) for tool in ("get_adsets", "get_activity_log")]
            calls += [
                ("get_insights", {"campaign_id": name, "date_preset": preset, "time_increment": increment})
                for preset, increment in product(PRESETS, ("day", "all_days"))
            ]
            calls += [
                (tool, {"campaign_id": name, "days": days})
                for tool, days in product(("compare_performance", "get_funnel"), (1, 7, 14))
            ]
        for tool, arguments in calls:
            text = env.step(call_action(tool, json.dumps(arguments)))[0]
            longest = max(longest, len(text))
    question = {"campaign_id": env.scenario.entity, "question": "\U0001f600" * 500}
    asked = env.step(call_action("analyse_campaign", json.dumps(question)))[0]
    print(f"longest answer {longest}, longest question {len(asked)}, space {OBSERVATION_LENGTH}")
    assert max(longest, len(asked)) < OBSERVATION_LENGTH / 2


def test_an_action_of_the_longest_length_is_read_and_a_longer_one_is_not() -> None:
    env = AdAccountEnv()
    env.reset(seed=1)
    room = ACTION_LENGTH - len(answer_action(""))
    _, _, terminated, _, info = env.step(answer_action("x" * (room + 1)))
    assert info["error"]
    assert not terminated
    assert env.step(answer_action("x" * room))[2]


# ---------------------------------------------------------------- rewards and info


@pytest.mark.parametrize("action", ACTIONS)
def test_the_reward_is_the_realised_utility_and_its_parts_add_up_to_it(action: str) -> None:
    usd, share = AdAccountEnv(), AdAccountEnv(reward="share")
    for index in range(12):
        for env in (usd, share):
            env.reset(seed=11, options={"index": index})
        scenario = usd.scenario
        text, reward, terminated, truncated, info = usd.step(decision(scenario.entity, action))
        assert (text, terminated, truncated, info["action"]) == ("", True, False, action)
        assert reward == scenario.truth.realised[action]
        truth = info["truth"]
        parts = {name: round(100 * value) for name, value in truth["components"].items()}
        rest = parts["contribution"] - parts["ad_spend"] - parts["financing"] - parts["switching"]
        assert rest == round(100 * reward)
        future = realised(World(scenario.seed))[action]
        assert (parts["revenue"], parts["ad_spend"]) == (future.revenue_cents, future.spend_cents)
        assert truth["regret_realised"] == pytest.approx(max(truth["realised"].values()) - reward, abs=0.005)
        assert truth["regret_expected"] >= 0
        assert (truth["regret_expected"] == 0) == (action == max(ACTIONS, key=truth["expected"].__getitem__))
        budget = World(scenario.seed).focus.budget_cents / 100
        assert truth["usual_spend"] == pytest.approx(14 * 0.95 * budget)
        assert share.step(decision(scenario.entity, action))[1] == pytest.approx(
            reward / truth["usual_spend"]
        )


@pytest.mark.parametrize("answer", ["Hold it.", "{}", '{"action": "pause"}'])
def test_an_invalid_answer_earns_what_changing_nothing_earns(answer: str) -> None:
    env = AdAccountEnv()
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step(answer_action(answer))
    assert (terminated, info["error"], info["action"]) == (True, True, "maintain")
    assert reward == env.scenario.truth.realised["maintain"]


def test_a_decision_about_another_campaign_changes_nothing() -> None:
    env = AdAccountEnv()
    env.reset(seed=1)
    _, reward, _, _, info = env.step(decision("cmp_1", "pause"))
    assert info["action"] == "maintain"
    assert reward == env.scenario.truth.realised["maintain"]


def test_running_out_of_turns_truncates_and_changes_nothing() -> None:
    env = AdAccountEnv(turns=3)
    env.reset(seed=1)
    ends = [env.step(call_action("get_account", "{}")) for _ in range(3)]
    assert [end[2] for end in ends] == [False] * 3
    assert [end[3] for end in ends] == [False, False, True]
    assert [end[4]["turns"] for end in ends] == [2, 1, 0]
    assert [end[1] for end in ends[:2]] == [0, 0]
    assert ends[2][1] == env.scenario.truth.realised["maintain"]
    env.reset(seed=1)
    env.step("nonsense")
    env.step("nonsense")
    _, _, terminated, truncated, _ = env.step(decision(env.scenario.entity, "pause"))
    assert (terminated, truncated) == (True, False)


def test_nothing_of_the_truth_is_told_before_the_end() -> None:
    env = AdAccountEnv()
    _, start = env.reset(seed=3)
    steps = [env.step(call_action(tool, "{}"))[4] for tool in ("get_account", "get_campaigns", "nothing")]
    told = json.dumps([start, *steps], default=str)
    truth = env.scenario.truth
    assert not {"truth", "action", "kind"} & {key for info in (start, *steps) for key in info}
    for value in (*truth.realised.values(), *(each.fact.value for each in truth.hidden)):
        if abs(float(value)) > 1000:  # smaller ones may stand there by chance
            assert str(value) not in told
    assert [info["error"] for info in steps] == [False, False, True]
    assert all(isinstance(fact, Fact) for info in steps for fact in info["facts"])
    assert steps[0]["facts"][0].id.endswith(":target_cpa:")
