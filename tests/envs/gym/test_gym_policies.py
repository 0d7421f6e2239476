"""The policies that come along, and their order."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from opoi.seeds import Stream
from opoi.wire import parse_action
from opoi_envs.ads.gym.env import AdAccountEnv
from opoi_envs.ads.gym.policies import (
    POLICIES,
    Episode,
    Reply,
    compare,
    observable_optimal,
    play,
    random_policy,
)
from opoi_envs.ads.truth.utility import ACTIONS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("policies"),  # one worker builds what they share
]

EPISODES = 500


@pytest.fixture(scope="module")
def played() -> dict[str, list[Episode]]:
    return compare(AdAccountEnv(), POLICIES, EPISODES, seed=3)


def interval(gains: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean, by resampling scenarios."""
    bits = np.frombuffer(Stream(0, "order").raw(resamples * len(gains)), dtype="<u8")
    places = (bits % np.uint64(len(gains))).astype(np.int64).reshape(resamples, len(gains))
    low, high = np.quantile(gains[places].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def gains(worse: list[Episode], better: list[Episode], what: str) -> np.ndarray:
    """Return differences scenario by scenario, as shares of 14 days' spend."""
    pairs = zip(worse, better, strict=True)
    return np.array([(getattr(b, what) - getattr(a, what)) / a.usual_spend for a, b in pairs])


def test_all_policies_play_the_same_scenarios(played: dict[str, list[Episode]]) -> None:
    names = [[episode.scenario for episode in episodes] for episodes in played.values()]
    assert all(each == names[0] for each in names)
    assert len(set(names[0])) == EPISODES


def test_each_policy_earns_more_than_the_one_before_it(played: dict[str, list[Episode]]) -> None:
    for worse, better in pairwise(POLICIES):
        low, high = interval(gains(played[worse], played[better], "realised"))
        print(f"{better} over {worse}, realised: {100 * low:.2f} to {100 * high:.2f} % of spend")
        assert low > 0


def test_each_policy_expects_more_than_the_one_before_it_on_what_can_be_seen(
    played: dict[str, list[Episode]],
) -> None:
    for worse, better in (("random", "rule"), ("rule", "observable"), ("hindsight", "observable")):
        low, high = interval(gains(played[worse], played[better], "expected"))
        print(f"{better} over {worse}, expected: {100 * low:.2f} to {100 * high:.2f} % of spend")
        assert low > 0


def test_none_beats_the_best_in_expectation_or_in_hindsight_on_any_scenario(
    played: dict[str, list[Episode]],
) -> None:
    for episodes in played.values():
        assert gains(episodes, played["observable"], "expected").min() >= 0
        assert gains(episodes, played["hindsight"], "realised").min() >= 0


def test_rewards_are_the_realised_utilities(played: dict[str, list[Episode]]) -> None:
    assert all(episode.reward == episode.realised for episodes in played.values() for episode in episodes)
    assert not any(episode.truncated for episodes in played.values() for episode in episodes)


def test_realised_utility_is_on_average_what_was_expected(played: dict[str, list[Episode]]) -> None:
    for name in ("random", "rule", "observable"):
        surprise = [(each.realised - each.expected) / each.usual_spend for each in played[name]]
        low, high = interval(np.array(surprise))
        print(f"{name}: realised less expected {100 * low:.2f} to {100 * high:.2f} % of spend")
        assert low < 0.005
        assert high > -0.005


def test_playing_one_policy_gives_what_comparing_it_gives(played: dict[str, list[Episode]]) -> None:
    for name in POLICIES:
        assert play(AdAccountEnv(), POLICIES[name], 5, seed=3) == played[name][:5]


@pytest.mark.parametrize("suite", ["ads-hard", "ads-held-out"])
def test_the_observable_optimum_sees_all_that_bears_on_the_decision(suite: str) -> None:
    env = AdAccountEnv(suite)
    for index in range(12):
        task, info = env.reset(seed=8, options={"index": index})
        turns = observable_optimal(env, Reply(task, info))
        action, facts = next(turns), []
        while call := parse_action(action).tool:
            text, _, _, _, info = env.step(action)
            assert json.loads(text), call
            facts += info["facts"]
            action = turns.send(Reply(text, info))
        assert env.suite.expected(env.scenario, facts) == env.scenario.truth.expected


def test_the_random_policy_takes_each_action_about_as_often(played: dict[str, list[Episode]]) -> None:
    taken = [episode.action for episode in played["random"]]
    for action in ACTIONS:
        assert abs(taken.count(action) / EPISODES - 0.25) < 0.06
    assert all(episode.steps == 1 for episode in played["random"])


def test_policies_play_nothing_else() -> None:
    class Other:
        unwrapped = None

        def reset(self, **_: object) -> tuple[str, dict[str, object]]:
            return "", {}

    with pytest.raises(TypeError, match="AdAccountEnv"):
        play(Other(), random_policy, 1, seed=0)  # type: ignore[arg-type]  # on purpose
