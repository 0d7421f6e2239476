"""Policies to compare with: random, the playbook, the best on what can be seen, the best in hindsight.

A policy is a function that plays one episode as a generator: it gets the environment and the reply to
`reset`, yields actions and is sent the reply to each.

>>> from opoi_envs.ads.gym.env import AdAccountEnv
>>> from opoi_envs.ads.gym.policies import play, rule_based
>>> [episode.action for episode in play(AdAccountEnv(), rule_based, episodes=2, seed=1)]
['scale_down', 'scale_up']
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from opoi.seeds import Stream
from opoi.types import Fact
from opoi.wire import answer_action, call_action
from opoi_envs.ads.gym.env import AdAccountEnv
from opoi_envs.ads.gym.missing import missing
from opoi_envs.ads.stand_in.judging import judge
from opoi_envs.ads.stand_in.reading import Evidence
from opoi_envs.ads.truth.utility import ACTIONS, MULTIPLES

try:
    import gymnasium
except ImportError as error:
    raise missing("the Gymnasium environment", error) from error

__all__ = [
    "POLICIES",
    "Episode",
    "Policy",
    "Reply",
    "compare",
    "hindsight_optimal",
    "observable_optimal",
    "play",
    "random_policy",
    "rule_based",
]


class Reply(Struct, frozen=True):
    """What the environment said: the observation and the info dict."""

    text: str
    info: dict[str, Any]


Policy = Callable[[AdAccountEnv, Reply], Generator[str, Reply, None]]
"""Plays one episode: `policy(env, reply_to_reset)` yields actions and is sent replies."""


class Episode(Struct, frozen=True, kw_only=True):
    """How one episode went.

    Attributes:
        scenario: Id of the scenario; the same place of the same seed is the same scenario for every policy.
        action: What was decided.
        reward: Sum of the rewards, in the environment's unit.
        realised: Utility of the action as it came out, USD.
        expected: Utility of the action given everything that could be seen, USD.
        usual_spend: What 14 days cost at the present budget, USD.
        steps: How many actions it took.
        truncated: It ran out of turns.
    """

    scenario: str
    action: str
    reward: float
    realised: float
    expected: float
    usual_spend: float
    steps: int
    truncated: bool


def play(env: gymnasium.Env[str, str], policy: Policy, episodes: int, seed: int) -> list[Episode]:
    """Play the first scenarios of a seed.

    Args:
        env: The environment, wrapped or not.
        policy: Who plays.
        episodes: How many.
        seed: Of the sequence of scenarios.

    Returns:
        One entry an episode, in the order of the scenarios: two policies can be compared pair by pair.
    """
    return [_episode(env, policy, *env.reset(seed=None if place else seed)) for place in range(episodes)]


def compare(
    env: gymnasium.Env[str, str], policies: Mapping[str, Policy], episodes: int, seed: int
) -> dict[str, list[Episode]]:
    """Play the first scenarios of a seed with several policies; each scenario is drawn once.

    Returns:
        For each policy what `play` returns.
    """
    result: dict[str, list[Episode]] = {name: [] for name in policies}
    for index in range(episodes):
        for name, policy in policies.items():
            start = env.reset(seed=None if index or any(result.values()) else seed, options={"index": index})
            result[name].append(_episode(env, policy, *start))
    return result


def _episode(env: gymnasium.Env[str, str], policy: Policy, task: str, info: dict[str, Any]) -> Episode:
    bare = env.unwrapped
    if not isinstance(bare, AdAccountEnv):
        raise TypeError(f"the policies play AdAccountEnv, not {type(bare).__name__}")
    actions = policy(bare, Reply(task, info))
    action, total, steps, over, truncated = next(actions), 0.0, 0, False, False
    while not over:
        text, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        steps += 1
        over = terminated or truncated
        if not over:
            action = actions.send(Reply(text, info))
    actions.close()
    taken, truth = info["action"], info["truth"]
    return Episode(
        scenario=bare.scenario.id,
        action=taken,
        reward=total,
        realised=truth["realised"][taken],
        expected=truth["expected"][taken],
        usual_spend=truth["usual_spend"],
        steps=steps,
        truncated=truncated,
    )


# ---------------------------------------------------------------- the policies


def random_policy(env: AdAccountEnv, task: Reply) -> Generator[str, Reply, None]:  # noqa: ARG001 - one signature
    """Look at nothing and take any action, each with the same probability."""
    draws = Stream(task.info["seed"], "ads", "random policy", task.info["suite"], task.info["index"])
    yield _answer(task, draws.choice(ACTIONS, "action"), "A guess.")


def rule_based(env: AdAccountEnv, task: Reply) -> Generator[str, Reply, None]:  # noqa: ARG001 - one signature
    """Follow the playbook of the system prompt on the numbers that the tools print."""
    entity = task.info["entity"]
    evidence = Evidence(campaign=entity)
    for call in (
        _call("get_account"),
        _call("get_campaigns"),
        _call("get_insights", campaign_id=entity, date_preset="last_14d", time_increment="day"),
        _call("get_insights", campaign_id=entity, date_preset="last_7d"),
        _call("compare_performance", campaign_id=entity, days=7),
        _call("get_funnel", campaign_id=entity, days=3),
        _call("get_activity_log", campaign_id=entity),
    ):
        reply = yield call
        evidence.add(reply.text)
    opinion = judge(evidence, weekly=False, lag_blind=False)
    yield _answer(task, opinion.action, f"By the playbook: {opinion.pattern}.")


def observable_optimal(env: AdAccountEnv, task: Reply) -> Generator[str, Reply, None]:
    """Look at everything that bears on the decision, and take what is best in expectation given that.

    The expectation is exact: the simulator's own prior, conditioned on what the tools have revealed.
    """
    entity = task.info["entity"]
    facts: list[Fact] = []
    for call in (
        _call("get_account"),
        _call("get_campaigns"),
        _call("get_insights", campaign_id=entity, date_preset="last_28d", time_increment="day"),
        _call("get_insights", campaign_id=entity, date_preset="last_90d"),
        _call("get_funnel", campaign_id=entity, days=3),
        _call("get_activity_log", campaign_id=entity),
    ):
        reply = yield call
        facts += reply.info["facts"]
    hopes = env.suite.expected(env.scenario, facts)
    yield _answer(task, _best(hopes), "The best in expectation on all that can be seen.")


def hindsight_optimal(env: AdAccountEnv, task: Reply) -> Generator[str, Reply, None]:
    """Take what will have been best: reads the truth, which no agent may."""
    yield _answer(task, _best(env.scenario.truth.realised), "What came out best.")


POLICIES: dict[str, Policy] = {
    "random": random_policy,
    "rule": rule_based,
    "observable": observable_optimal,
    "hindsight": hindsight_optimal,
}
"""From the worst to the best."""


def _best(utilities: Mapping[str, float]) -> str:
    """Return the best action; of equal ones the first of `ACTIONS`."""
    return max(ACTIONS, key=lambda action: utilities[action])


def _call(tool: str, **arguments: str | int) -> str:
    return call_action(tool, msgspec.json.encode(arguments).decode())


_BUDGET = re.compile(r"now \$([0-9.]+?)\.?(?:\s|$)")


def _answer(task: Reply, action: str, reasoning: str) -> str:
    """Return the action text of a decision; the present budget stands in the task."""
    found = _BUDGET.search(task.text)
    budget = float(found.group(1)) if found else 0.0
    decision = {
        "action": action,
        "entity": task.info["entity"],
        "new_daily_budget": round(budget * MULTIPLES[action], 2),
        "reasoning": reasoning,
        "citations": [],
    }
    return answer_action(msgspec.json.encode(decision).decode())
