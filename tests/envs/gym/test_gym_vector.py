"""Vector environments: the same seeds give the same texts wherever the environments run."""

from __future__ import annotations

import multiprocessing
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from hypothesis import given
from hypothesis import strategies as st

from opoi.wire import answer_action, call_action
from opoi_envs.ads.gym.env import AdAccountEnv
from opoi_envs.ads.gym.spaces import CHARACTERS, AsciiText, fitting

MAKERS = [AdAccountEnv, partial(AdAccountEnv, "ads-hard", reward="share")]


def transcript(env: VectorEnv[Any, Any, Any]) -> list[tuple[tuple[str, ...], list[float], list[Any]]]:
    """Play two episodes and a bit; observations, rewards and facts."""
    texts, info = env.reset(seed=[5, 6])
    told = [(tuple(texts), [0.0, 0.0], list(info["scenario"]))]
    campaigns = list(info["entity"])
    week = [call_action("get_insights", f'{{"campaign_id": "{name}"}}') for name in campaigns]
    rounds = [
        week,
        ["nonsense", call_action("get_account", "{}")],
        [answer_action("?")] * 2,
        ["", ""],
        ["", ""],
    ]
    for actions in rounds:
        texts, rewards, _, _, info = env.step(tuple(actions))
        told.append((tuple(texts), rewards.tolist(), [str(each) for each in info.get("facts", ())]))
    env.close()
    return told


@pytest.fixture(scope="module")
def expected() -> list[tuple[tuple[str, ...], list[float], list[Any]]]:
    return transcript(SyncVectorEnv(MAKERS))


def test_a_sync_vector_environment_plays_the_scenarios_that_single_ones_play(
    expected: list[tuple[tuple[str, ...], list[float], list[Any]]],
) -> None:
    first, second = (make() for make in MAKERS)
    start = (first.reset(seed=5)[0], second.reset(seed=6)[0])
    assert expected[0][0] == start
    assert expected[3][1] == [first.step(answer_action("?"))[1], second.step(answer_action("?"))[1]]
    assert expected[4][0] == (first.reset()[0], second.reset()[0])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # of fork, 3.12
@pytest.mark.parametrize(
    ("context", "shared"), [("fork", True), ("fork", False), ("spawn", True), ("forkserver", False)]
)
def test_async_vector_environments_give_the_texts_of_the_sync_one(
    context: str, shared: bool, expected: list[tuple[tuple[str, ...], list[float], list[Any]]]
) -> None:
    env = AsyncVectorEnv(MAKERS, context=context, shared_memory=shared)
    assert transcript(env) == expected


def test_resetting_in_the_same_step_works_in_processes_too() -> None:
    mode = AutoresetMode.SAME_STEP
    one, other = (
        kind(MAKERS, autoreset_mode=mode, **extra)
        for kind, extra in ((SyncVectorEnv, {}), (AsyncVectorEnv, {"context": "spawn"}))
    )
    assert transcript(one) == transcript(other)


def test_observations_handed_out_are_not_changed_by_later_steps() -> None:
    env = AsyncVectorEnv(MAKERS, context="spawn")
    before, _ = env.reset(seed=1)
    kept = tuple(before)
    after, *_ = env.step((call_action("get_account", "{}"),) * 2)
    env.close()
    assert isinstance(before, tuple)
    assert before == kept
    assert before != after


def test_truth_at_the_end_is_told_as_arrays() -> None:
    env = SyncVectorEnv(MAKERS)
    env.reset(seed=1)
    _, rewards, ends, _, info = env.step((answer_action("?"), "nonsense"))
    env.close()
    assert ends.tolist() == [True, False]
    assert info["_truth"].tolist() == [True, False]
    assert info["truth"]["realised"]["maintain"][0] == rewards[0]
    assert info["truth"]["components"]["ad_spend"].dtype == np.float64


# ---------------------------------------------------------------- the space


@given(st.lists(st.text(CHARACTERS, max_size=40), min_size=3, max_size=3))
def test_shared_memory_gives_back_what_was_written(texts: list[str]) -> None:
    space = AsciiText(40)
    memory = create_shared_memory(space, n=3, ctx=multiprocessing)
    shown = read_from_shared_memory(space, memory, n=3)
    assert tuple(shown) == ("", "", "")
    for turn in (texts, texts[::-1]):
        for index, text in enumerate(turn):
            write_to_shared_memory(space, index, text, memory)
        assert tuple(shown) == tuple(turn)
        assert shown[-1] == turn[-1]
        assert shown[:2] == tuple(turn[:2])


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_the_space_holds_exactly_the_fitting_texts(text: str) -> None:
    space = AsciiText(1000)
    assert space.contains(fitting(text))
    assert space.contains(text) == (fitting(text) == text) == all(each in CHARACTERS for each in text)


def test_samples_lie_in_the_space_and_depend_on_its_seed() -> None:
    space = AsciiText(50)
    space.seed(3)
    drawn = [space.sample() for _ in range(20)]
    space.seed(3)
    assert drawn == [space.sample() for _ in range(20)]
    assert all(space.contains(text) for text in drawn)
    assert not space.contains("x" * 51)
    assert not space.contains(3)
