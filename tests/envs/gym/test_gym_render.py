"""What `render` shows: the account on the decision day, and nothing later."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from opoi.wire import answer_action, call_action
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.gym.env import AdAccountEnv
from opoi_envs.ads.gym.picture import draw
from opoi_envs.ads.world.archetypes import ARCHETYPES
from opoi_envs.ads.world.world import World


def test_the_table_shows_what_the_tools_print() -> None:
    env = AdAccountEnv(render_mode="ansi")
    env.reset(seed=5)
    assert "agent:" not in env.render()
    listed = json.loads(env.step(call_action("get_campaigns", "{}"))[0])["campaigns"]
    for campaign in listed:
        action = call_action("get_insights", json.dumps({"campaign_id": campaign["id"]}))
        total = json.loads(env.step(action)[0])["total"]
        (line,) = [line for line in env.render().splitlines()[4 : 4 + len(listed)] if campaign["id"] in line]
        assert line.startswith(">") == (campaign["id"] == env.scenario.entity)
        assert f"${campaign['daily_budget']:,.2f}" in line
        assert f"${total['spend']:,.0f}" in line
        if "cpa" in total:
            assert f"${total['cpa']:,.2f}" in line
    assert "get_insights" in env.render()


def test_the_table_shows_errors_and_long_texts_in_few_lines() -> None:
    env = AdAccountEnv(render_mode="ansi")
    env.reset(seed=5)
    env.step("x" * 5000)
    shown = env.render()
    assert "error:" in shown
    assert "more lines" in shown
    assert len(shown.splitlines()) < 40
    assert max(map(len, shown.splitlines())) <= 120
    env.step(answer_action("?"))
    assert "maintain" in env.render().splitlines()[0]


def test_the_picture_is_an_array_that_the_same_account_gives_again() -> None:
    env = AdAccountEnv(render_mode="rgb_array")
    env.reset(seed=5)
    first = env.render()
    assert isinstance(first, np.ndarray)
    assert (first.shape, first.dtype) == ((720, 1280, 3), np.uint8)
    assert 0.02 < (first < 250).any(axis=2).mean() < 0.6
    assert (env.render() == first).all()
    env.step(answer_action("?"))
    assert (env.render() != first).any()


def test_without_a_render_mode_nothing_is_shown() -> None:
    env = AdAccountEnv()
    env.reset(seed=5)
    assert env.render() is None


def words(figure: Figure) -> list[str]:
    notes = [*figure.texts, *(note for axes in figure.axes for note in axes.texts)]
    return [note.get_text() for note in notes]


def seed_of(archetype: str) -> int:
    return next(seed for seed in range(0, 4000, 2) if World(seed).focus.archetype.name == archetype)


@pytest.mark.parametrize("archetype", [each.name for each in ARCHETYPES])
def test_every_kind_of_account_can_be_drawn_and_no_later_day_is(archetype: str) -> None:
    world = World(seed_of(archetype))
    view = View(Account(world))
    figure = draw(view, f"cmp_{world.focus.id}", "pause")
    assert "decision: pause" in words(figure)
    assert f"cmp_{world.focus.id}" in " ".join(words(figure))
    assert not any(re.search(r"nan|inf\b", text) for text in words(figure))
    today = world.as_of - 719163  # days since 1970
    for axes in figure.axes:
        for line in axes.lines:
            days = [float(day) for day in line.get_xdata() if float(day) > 1000]
            assert max(days, default=0) <= today
        for bar in axes.patches:
            assert bar.get_x() + bar.get_width() <= today + 0.5
    lines = figure.axes[2].lines[0]
    week = view.daily(view.account.node(world.focus.id))[:, -7:].sum(axis=1)
    if week[7]:
        assert np.asarray(lines.get_ydata())[-1] <= week[3] / week[7] / 100 + 1e-9


def test_what_is_shown_is_the_account_that_the_tools_look_at() -> None:
    env = AdAccountEnv(render_mode="ansi")
    env.reset(seed=5)
    before = env.render()
    node = env.account.node(env.scenario.entity.removeprefix("cmp_"))
    env.account.change(node, name="Renamed here")
    assert "Renamed here" in env.step(call_action("get_campaigns", "{}"))[0]
    shown = env.render()
    assert "Renamed here" in shown
    env.reset(seed=5)
    assert env.render() == before
