"""How many worlds, tool calls and steps a second does the ad account serve on one core?

    python benchmarks/environment.py [--seconds 3] [--profile]

Each figure is CPU time of one process and one thread (`time.process_time`), the best of three rounds. Next
to each stands reference work measured in the same run, so that figures of different machines can be
compared by their ratio:

- *worlds*: `World(seed, campaigns=20).play()`, 20 campaigns over 126 days, everything drawn; against numpy
  drawing as many numbers as the world has cells from its own generator (normals for plain columns, Poisson
  counts for the columns by delay). Aim: 200 a second.
- *tool calls*: `AdsEnv.step` with `get_insights`, day by day, over 7 and 14 days, for every campaign of
  several accounts in turn; against msgspec encoding the bodies of the same answers. Aim: 20,000 a second.
- *steps*: the same calls through `AdAccountEnv`, bare and with the wrappers of `gymnasium.make`.
- *episodes*: reset (a new scenario with its truth) and an answer at once, through `AdAccountEnv`.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import gymnasium
import msgspec
import numpy as np

from opoi.wire import answer_action, call_action
from opoi_envs.ads import suite
from opoi_envs.ads.env import AdsEnv
from opoi_envs.ads.gym.env import AdAccountEnv
from opoi_envs.ads.gym.registration import ID, register
from opoi_envs.ads.world.campaign import HISTORY
from opoi_envs.ads.world.delivery import DELAYS
from opoi_envs.ads.world.world import World

ROUNDS = 3
CAMPAIGNS = 20
ACCOUNTS = 12
PLAIN_COLUMNS, DELAYED_COLUMNS = 7, 2

T = TypeVar("T")
Work = Callable[[], object]


def rate(work: Work, seconds: float) -> float:
    """Return how often the work can be done in a CPU second."""
    work()
    best = 0.0
    for _ in range(ROUNDS):
        count, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds / ROUNDS:
            work()
            count += 1
        best = max(best, count / spent)
    return best


def in_turn(work: Callable[[T], object], things: Iterable[T]) -> Work:
    """Return work that is done with one of the things at each call, one after the other."""
    turns = itertools.cycle(list(things))
    return lambda: work(next(turns))


# ---------------------------------------------------------------- worlds


def play_worlds() -> Work:
    seeds = itertools.count(0, 2)
    return lambda: World(next(seeds), campaigns=CAMPAIGNS).play()


def draw_cells() -> tuple[Work, int]:
    """Return numpy's work for as many cells as a world has on average, and how many these are."""
    worlds = [World(seed, campaigns=CAMPAIGNS) for seed in range(0, 40, 2)]
    ads = round(sum(len(campaign.ads) for world in worlds for campaign in world.campaigns) / len(worlds))
    generator = np.random.default_rng(1)

    def draw() -> None:
        generator.standard_normal((PLAIN_COLUMNS, ads, HISTORY))
        generator.poisson(1.0, (DELAYED_COLUMNS, ads, HISTORY, len(DELAYS)))

    return draw, ads * HISTORY * (PLAIN_COLUMNS + DELAYED_COLUMNS * len(DELAYS))


# ---------------------------------------------------------------- calls


def calls_about(world: World) -> list[str]:
    names = [f"cmp_{campaign.id}" for campaign in world.campaigns]
    return [
        call_action(
            "get_insights",
            f'{{"campaign_id": "{name}", "date_preset": "{preset}", "time_increment": "day"}}',
        )
        for name in names
        for preset in ("last_7d", "last_14d")
    ]


def call_tools() -> tuple[Work, Work, float]:
    """Return tool calls through `AdsEnv`, the encoding of their answers, and their mean length."""
    calls: list[tuple[AdsEnv, str]] = []
    bodies: list[object] = []
    lengths = []
    for scenario in suite.scenarios(ACCOUNTS, 1):
        env = AdsEnv(scenario)
        env.reset()
        for action in calls_about(World(scenario.seed)):
            text = env.step(action)[0]
            calls.append((env, action))
            bodies.append(msgspec.json.decode(text))
            lengths.append(len(text))
    encode = msgspec.json.Encoder().encode
    work = (
        in_turn(lambda call: call[0].step(call[1]), calls),
        in_turn(lambda body: encode(body).decode(), bodies),
    )
    return *work, sum(lengths) / len(lengths)


def steps(env: gymnasium.Env[str, str]) -> Work:
    env.reset(seed=1)
    bare = env.unwrapped
    assert isinstance(bare, AdAccountEnv)
    return in_turn(env.step, calls_about(bare.world))


def episodes() -> Work:
    env, answer = AdAccountEnv(), answer_action("?")
    env.reset(seed=1)

    def episode() -> None:
        env.step(answer)
        env.reset()

    return episode


# ---------------------------------------------------------------- output


def show(name: str, value: float, aim: str = "", against: tuple[str, float] | None = None) -> None:
    ratio = f"{against[1] / value:6.1f} x the time of {against[0]}" if against else ""
    print(f"{name:44}{value:11,.0f} /s  {aim:14} {ratio}")


def profile(title: str, work: Work, times: int) -> None:
    print(f"\n{title}: where the time goes, {times} times")
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(times):
        work()
    profiler.disable()
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU seconds for each figure")
    parser.add_argument("--profile", action="store_true", help="also show which functions cost most")
    options = parser.parse_args()
    register()

    draw, cells = draw_cells()
    call, encode, length = call_tools()
    worlds = rate(play_worlds(), options.seconds)
    reference = f"numpy drawing {cells:,} numbers"
    show(
        f"worlds of {CAMPAIGNS} campaigns x {HISTORY} days",
        worlds,
        "aim 200",
        (reference, rate(draw, options.seconds)),
    )
    encoding = ("encoding the answer", rate(encode, options.seconds))
    answers = f"answers of {length / 1000:.1f} kB"
    show(f"tool calls, {answers}", rate(call, options.seconds), "aim 20,000", encoding)
    bare = AdAccountEnv(turns=1 << 60)
    show("the same through AdAccountEnv", rate(steps(bare), options.seconds), "", encoding)
    made = gymnasium.make(ID, turns=1 << 60)
    show("the same through gymnasium.make", rate(steps(made), options.seconds), "", encoding)
    show("episodes: a new scenario and an answer", rate(episodes(), options.seconds))
    if options.profile:
        profile("worlds", play_worlds(), 50)
        profile("tool calls", call, 5000)


if __name__ == "__main__":
    main()
