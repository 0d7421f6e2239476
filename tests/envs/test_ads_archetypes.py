"""Every archetype teaches what its lesson says, and the dial of difficulty turns the right way."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import View
from opoi_envs.ads.truth.belief import Prior, expected
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.truth.truth import observable
from opoi_envs.ads.truth.utility import ACTIONS, best, tolerance
from opoi_envs.ads.world.archetypes import ARCHETYPES
from opoi_envs.ads.world.shapes import DIFFICULTIES
from opoi_envs.ads.world.world import World

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("archetypes"),  # one worker builds what they share
]

LESSONS = {
    "headroom": "scale_up",
    "steady": "maintain",
    "saturated": "scale_down",
    "collapse": "scale_down",
    "tracking_outage": "maintain",
    "lag_dip": "maintain",
    "loser": "pause",
    "fatigue": "scale_down",
    "recovering": "maintain",
    "learning": "maintain",
    "weekend_dip": "maintain",
    "price_surge": "maintain",
    "stock_out": "scale_up",
    "promotion": "maintain",
    "false_economy": "scale_down",
    "hot_streak": "maintain",
    "slow_decline": "scale_down",
    "new_creative": "scale_up",
    "young": "maintain",
    "lucky_day": "maintain",
    "sale_hangover": "maintain",
}
"""What the lesson of each archetype calls right on the screen."""

WORDS = {"scale_up": ("Rais", "rais"), "maintain": ("Hold",), "scale_down": ("ne step",), "pause": ("Pause",)}
COUNT = 40


class Case:
    """One world: the action that is best on the screen, in hindsight, and what each is worth."""

    def __init__(self, world: World) -> None:
        focus, view = world.focus, View(Account(world))
        prior = Prior(difficulties=(focus.difficulty,))
        self.hopes = expected(focus, observable(view), prior)
        self.came = {action: future.utility_cents / 100 for action, future in realised(world).items()}
        within = tolerance(focus)
        self.spend = 100 * within
        self.screen, self.hindsight = best(self.hopes, within), best(self.came, within)
        ranked = sorted(self.hopes.values(), reverse=True)
        self.margin = (ranked[0] - ranked[1]) / self.spend


@pytest.fixture(scope="module")
def easy():
    """Forty easy cases of every archetype."""
    found = {shape.name: [] for shape in ARCHETYPES}
    for seed in range(40_000):
        world = World(seed)
        cases = found[world.focus.archetype.name]
        if world.focus.difficulty is DIFFICULTIES[0] and len(cases) < COUNT:
            cases.append(Case(world))
        if all(len(each) == COUNT for each in found.values()):
            break
    return found


def test_the_lessons_are_those_of_the_table():
    assert [shape.name for shape in ARCHETYPES] == list(LESSONS)
    for shape in ARCHETYPES:
        assert any(word in shape.lesson for word in WORDS[LESSONS[shape.name]]), shape.name


@pytest.mark.parametrize("kind", LESSONS)
def test_the_action_of_the_lesson_is_the_most_frequent_best_on_the_screen(easy, kind):
    counts = Counter(case.screen[0] for case in easy[kind])
    print(f"{kind:16} {dict(counts)}")
    assert len(easy[kind]) == COUNT
    assert counts.most_common(1)[0][0] == LESSONS[kind], counts


def test_who_knows_the_outside_acts_otherwise_where_the_lesson_says_so(easy):
    for kind, right in (("stock_out", {"scale_down", "pause"}), ("promotion", {"scale_up"})):
        against = [case for case in easy[kind] if case.hindsight[0] != case.screen[0]]
        wanted = Counter(case.hindsight[0] for case in easy[kind])
        assert len(against) > 0.7 * COUNT, (kind, wanted)
        assert sum(wanted[action] for action in right) > 0.7 * COUNT, (kind, wanted)


def test_hindsight_agrees_with_the_screen_more_often_than_not_in_the_other_cases(easy):
    shares = {}
    for kind, cases in easy.items():
        if kind not in ("stock_out", "promotion"):
            shares[kind] = np.mean([case.screen[0] in case.hindsight for case in cases])
    print({kind: round(float(share), 2) for kind, share in shares.items()})
    assert min(shares.values()) > 0.3
    assert np.mean(list(shares.values())) > 0.6


@pytest.fixture(scope="module")
def dialled():
    """Three hundred cases of each difficulty, as a mixed suite brings them."""
    found = {difficulty.name: [] for difficulty in DIFFICULTIES}
    for seed in range(90_000, 99_000):
        world = World(seed)
        cases = found[world.focus.difficulty.name]
        if len(cases) < 300:
            cases.append(Case(world))
        if all(len(each) == 300 for each in found.values()):
            break
    return found


def test_every_action_is_best_on_the_screen_in_a_fair_share_of_cases(dialled):
    cases = [case for each in dialled.values() for case in each]
    shares = {action: np.mean([case.screen[0] == action for case in cases]) for action in ACTIONS}
    print({action: round(float(share), 3) for action, share in shares.items()})
    assert min(shares.values()) > 0.08
    assert max(shares.values()) < 0.55


def test_hindsight_disagrees_with_the_screen_often_enough_to_matter_and_seldom_enough_to_learn(dialled):
    cases = [case for each in dialled.values() for case in each]
    assert 0.1 < np.mean([case.screen[0] not in case.hindsight for case in cases]) < 0.5


def test_the_harder_the_dial_the_fewer_cases_are_clear(dialled):
    """Clear: the best action is ahead of the next by three percent of the spend or more."""
    shares = [np.mean([case.margin >= 0.03 for case in cases]) for cases in dialled.values()]
    margins = [np.median([case.margin for case in cases]) for cases in dialled.values()]
    print("clear cases easy, medium, hard:", shares, "median margin:", margins)
    assert shares[0] > shares[1] > shares[2]
    assert margins[0] > margins[1] > margins[2]


def test_the_harder_the_dial_the_less_often_screen_and_hindsight_agree(dialled):
    shares = [np.mean([case.screen[0] in case.hindsight for case in cases]) for cases in dialled.values()]
    print("agreement of screen and hindsight, easy to hard:", shares)
    assert shares[0] > shares[2]
