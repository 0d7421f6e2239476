"""Conditional expectations: against a slow enumeration, an exact small world, and the real generator."""

from __future__ import annotations

import itertools
import json
import math
from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from scipy import special, stats

from opoi.types import Fact
from opoi_envs.ads import suite, tools
from opoi_envs.ads.account.account import Account
from opoi_envs.ads.account.view import COLUMNS, View
from opoi_envs.ads.truth.belief import MIXED, Prior, expected, posterior
from opoi_envs.ads.truth.evidence import Evidence, complete, evidence_in
from opoi_envs.ads.truth.outcomes import realised
from opoi_envs.ads.truth.truth import observable
from opoi_envs.ads.world.archetypes import ARCHETYPES, archetype_of
from opoi_envs.ads.world.calendar import PLAIN_WEEKS, WEEKEND_WEEK
from opoi_envs.ads.world.shapes import RESPONSES, Difficulty
from opoi_envs.ads.world.world import World, budget_chance

pytestmark = pytest.mark.xdist_group("belief")  # one worker builds what they share

MULTIPLE = {"scale_up": 1.2, "maintain": 1.0, "scale_down": 0.8, "pause": 0.0}
BLACK_FRIDAYS = {2024: date(2024, 11, 29), 2025: date(2025, 11, 28), 2026: date(2026, 11, 27)}
SEEN_AFTER = {0: 0.55, 1: 0.72, 2: 0.80, 3: 0.87, 4: 0.90, 5: 0.925, 6: 0.95, 7: 0.975, 14: 0.99, 28: 1.0}
SHARE_SEEN = [SEEN_AFTER[max(day for day in SEEN_AFTER if day <= age)] for age in range(200)]
_PURCHASES = COLUMNS.index("purchases")


# ---------------------------------------------------------------- the same, slowly


def _cheapness(day: date) -> float:
    """Conversions per dollar of a day against the usual day, from the specification's season."""
    friday = BLACK_FRIDAYS[day.year]
    if friday - timedelta(6) <= day <= friday + timedelta(3):
        return 1.6 / 1.35
    if day.month == 11 or (day.month == 12 and day.day <= 24):
        return 1 / 1.18
    if day.month == 12 or (day.month == 1 and day.day <= 15):
        return 0.9 / 0.85
    return 1.0


def _reply(multiple, k):
    return multiple * (1 + k) / (1 + k * multiple)


def _on(shape, age):
    """Budget, price, fading and quality of an archetype on a day of the past."""
    if shape.launched and age > shape.launched:
        budget = 0.0
    else:
        budget = min([before for since, before in shape.raised if age > since], default=1.0)
    price = shape.surge[1] if shape.surge[0] and age <= shape.surge[0] else 1.0
    fading = 1 - shape.fade * max(0, 15 - age)
    bent = dict(shape.bends).get(min((since for since, _ in shape.bends if age <= since), default=0), 1.0)
    return budget, price, fading, bent * fading


def _courses(shape, windows):
    """Mean budget, price and fading over each window, the last two against the latest window."""
    rows = []
    for first, last in windows:
        days = [_on(shape, age)[:3] for age in range(last, first + 1)]
        rows.append([math.fsum(column) / len(days) for column in zip(*days, strict=True)])
    return [[row[0], row[1] / rows[0][1], row[2] / rows[0][2]] for row in rows]


def _shows(shape, campaign, evidence):
    """Whether an archetype shows what was seen, counts and funnel apart."""
    true = campaign.archetype
    marks = []
    if evidence.goal:
        marks.append((shape.goal, true.goal))
    if evidence.delivery:
        marks.append((_learns(shape), _learns(true)))
    if evidence.log:
        marks.append(
            ((shape.raised, shape.launched, shape.refreshed), (true.raised, true.launched, true.refreshed))
        )
    if evidence.look:
        marks.append((shape.frequency, true.frequency))
    if any(one != other for one, other in marks):
        return False
    return _steps(shape, evidence.windows) == _steps(true, evidence.windows)


def _steps(shape, windows):
    """What the course of each window is to the nearest 12 percent."""
    return [[math.floor(value / 0.12 + 0.5) for value in row] for row in _courses(shape, windows)]


def _learns(shape):
    """Whether it was launched, or raised by more than a fifth, within the last week."""
    steps = [before for _, before in shape.raised] + [1.0]
    large = [
        since for (since, before), after in zip(shape.raised, steps[1:], strict=True) if after > 1.21 * before
    ]
    return any(age <= 7 for age in [*large, *([shape.launched] if shape.launched else [])])


def _slowly(campaign, evidence, prior):
    """Expected utility of each action in USD, hypothesis by hypothesis."""
    today = date.fromordinal(campaign.as_of)
    margin = campaign.budget_cents * 0.95 / campaign.break_even_cpa
    past = {age: _cheapness(today - timedelta(age)) for age in range(1, 91)}
    ahead = [_cheapness(today + timedelta(day)) for day in range(14)]
    counts = np.array([sold for _, _, sold in evidence.segments])
    logs, worths = [], []
    for shape in prior.archetypes:
        if not _shows(shape, campaign, evidence):
            continue
        causes = [c for c in shape.causes if not evidence.funnel or c.funnel == campaign.cause.funnel]
        if not causes:
            continue
        if shape.weekend:
            weeks = {WEEKEND_WEEK: 1.0} if today.weekday() == 0 else {}
        else:
            weeks = dict.fromkeys(PLAIN_WEEKS, 1 / 49)  # Monday is one day of seven
        days = {age: _on(shape, age) for age in range(1, 91)}
        for (week, chance), k in itertools.product(weeks.items(), RESPONSES):
            unit = np.array(
                [
                    math.fsum(
                        _reply(days[age][0], k) * days[age][3] * SHARE_SEEN[age] * week[-age % 7] * past[age]
                        for age in range(last, first + 1)
                    )
                    for first, last, _ in evidence.segments
                ]
            )
            worth = _worths(causes, shape.overlays, week, ahead, k)
            for difficulty in prior.difficulties:
                odds = shape.weight * difficulty.probability * chance
                odds *= budget_chance(campaign.budget_cents, difficulty) / 24
                if not odds:
                    continue
                r = np.array(shape.levels(difficulty))
                likely = stats.poisson.logpmf(counts, np.outer(r * margin, np.maximum(unit, 1e-12)))
                logs.append(np.log(odds) + likely.sum(axis=1))
                worths.append([_linear(worth, each) for each in r])
    weight = np.concatenate(logs)
    weight = np.exp(weight - weight.max())
    worth = np.concatenate(worths)
    spend = 14 * 0.95 * campaign.budget_cents / 100
    share = (weight[:, None] * worth).sum(axis=0) / (weight * worth[:, 4]).sum()
    return {action: spend * share[place] for place, action in enumerate(MULTIPLE)}


def _worths(causes, overlays, week, ahead, k):
    """Sums over causes and overlays: probability, probability times gain, probability times cost."""
    chance = gain = cost = 0.0
    for cause, overlay in itertools.product(causes, overlays):
        odds = cause.probability * overlay.probability
        lifts = [overlay.lift if day >= overlay.start else 1.0 for day in range(14)]
        level = math.fsum(lifts[day] * ahead[day] * week[day % 7] for day in range(14)) / 14
        chance += odds
        gain += odds * cause.quality * level
        cost += odds * overlay.cost
    return chance, gain, cost, k


def _linear(worth, r):
    """Utility of each action, as a share of the spend, times the chance of the funnel; and that chance."""
    chance, gain, cost, k = worth
    values = [
        r * gain * _reply(multiple, k) - cost * multiple - (0.0 if multiple == 1.0 else 0.02) * chance
        for multiple in MULTIPLE.values()
    ]
    return [*values, chance]


def _calls(entity):
    """Every call that bears on a campaign, and the two about the account."""
    about = {"campaign_id": entity}
    calls = [("get_account", {}), ("get_campaigns", {}), ("get_activity_log", about)]
    calls += [("compare_performance", {**about, "days": days}) for days in range(1, 15)]
    calls += [("get_funnel", {**about, "days": days}) for days in range(1, 15)]
    for preset in ("yesterday", "last_3d", "last_7d", "last_14d", "last_28d", "last_90d"):
        calls.append(("get_insights", {**about, "date_preset": preset}))
        if preset != "last_90d":
            calls.append(("get_insights", {**about, "date_preset": preset, "time_increment": "day"}))
    return calls


def _fetch(world, calls):
    view = View(Account(world))
    facts = []
    for name, arguments in calls:
        result = tools.call(view, name, json.dumps(arguments))
        assert not result.error, result.text
        facts += result.facts
    return facts


def _entity(world):
    return f"cmp_{world.focus.id}"


def _agree(world, evidence, prior=MIXED):
    """Agree to the cent, and to what rounding log-likelihoods to 2**-24 can do at most."""
    found, slow = expected(world.focus, evidence, prior), _slowly(world.focus, evidence, prior)
    sold = sum(count for _, _, count in evidence.segments)
    spend = 14 * 0.95 * world.focus.budget_cents / 100
    within = 0.0051 + spend * (1e-6 + (1 + sold) * 2.0**-25)
    for action in MULTIPLE:
        assert found[action] == pytest.approx(slow[action], abs=within), action


def _world_of(kind, difficulty="", after=0):
    """Return the first world of a kind."""
    found = (World(seed) for seed in itertools.count(after))
    return next(
        w for w in found if w.focus.archetype.name == kind and difficulty in ("", w.focus.difficulty.name)
    )


@pytest.mark.parametrize("kind", [shape.name for shape in ARCHETYPES])
def test_given_everything_it_is_the_sum_over_everything_hidden(kind):
    world = _world_of(kind)
    _agree(world, observable(View(Account(world))))


@given(seed=st.integers(0, 2**31 - 1), data=st.data())
@settings(max_examples=15, deadline=None)
def test_given_what_some_calls_fetched_it_is_the_sum_over_everything_hidden(seed, data):
    world = World(seed)
    calls = data.draw(st.lists(st.sampled_from(_calls(_entity(world))), max_size=4))
    evidence = evidence_in(_fetch(world, calls), _entity(world), world.day(0))
    _agree(world, evidence)


@given(
    seed=st.integers(0, 2**31 - 1),
    marks=st.lists(st.integers(1, 90), min_size=1, max_size=6, unique=True),
    counts=st.lists(st.integers(0, 400), min_size=6, max_size=6),
    flags=st.tuples(*[st.booleans()] * 5),
    shown=st.integers(0, 6),
)
@settings(max_examples=15, deadline=None)
def test_given_evidence_that_hardly_any_world_would_show_the_sum_still_agrees(
    seed, marks, counts, flags, shown
):
    bounds = [0, *sorted(marks)]
    segments = tuple(
        (high, low + 1, min(count, 40 * (high - low)))
        for (low, high), count in zip(itertools.pairwise(bounds), counts, strict=False)
    )
    look, goal, delivery, log, funnel = flags
    windows = tuple(segment[:2] for segment in segments[:shown])
    evidence = Evidence(segments, windows, look=look, goal=goal, delivery=delivery, log=log, funnel=funnel)
    _agree(World(seed), evidence)


def test_given_nothing_it_is_the_average_over_the_prior_and_ignores_all_that_is_hidden():
    world = _world_of("loser")
    _agree(world, Evidence())
    twin = structs.replace(world.focus, archetype=archetype_of("headroom"), r=2.5, k=0.54)
    assert expected(twin, Evidence()) == expected(world.focus, Evidence())


def test_of_the_campaign_only_what_was_seen_and_the_economics_are_used():
    world = _world_of("steady")
    focus = world.focus
    evidence = Evidence(((3, 1, 40), (7, 4, 60)))
    twin = structs.replace(
        focus,
        r=9.0,
        k=0.54,
        weekly=PLAIN_WEEKS[3],
        overlay=archetype_of("stock_out").overlays[0],
        cause=archetype_of("steady").causes[1],
        audience=5,
        cpc=1.0,
        ctr=0.5,
    )
    assert expected(twin, evidence) == expected(focus, evidence)


# ---------------------------------------------------------------- a world that can be enumerated in full

TINY = Difficulty("tiny", 1.0, 0.0, 0.1)
PAIR = Prior(
    archetypes=tuple(
        structs.replace(archetype_of(name), low=0.7, high=3.0) for name in ("collapse", "tracking_outage")
    ),
    difficulties=(TINY,),
)
WINDOWS = ((1, 1), (3, 2))
LIMITS = (18, 30)
"""Counts beyond these have a probability under 1e-6."""


class Table:
    """The joint distribution of everything hidden and everything seen, written out."""

    def __init__(self):
        self.base = structs.replace(
            _world_of("collapse").focus,
            budget_cents=6000,
            difficulty=TINY,
            as_of=date(2025, 6, 4).toordinal(),
        )
        rows = []
        for shape in PAIR.archetypes:
            for cause, overlay, r, k, week in itertools.product(
                shape.causes, shape.overlays, shape.levels(TINY), RESPONSES, PLAIN_WEEKS
            ):
                odds = shape.weight * cause.probability * overlay.probability
                rows.append((odds / (8 * 3 * 7), shape, cause, overlay, r, k, week))
        total = math.fsum(row[0] for row in rows)
        self.chance = np.array([row[0] / total for row in rows])
        self.funnels = [row[2].funnel for row in rows]
        self.worth = np.array([self._worth(*row[3:], row[2]) for row in rows])
        self.counts = np.array([[self._mean(row, *window) for window in WINDOWS] for row in rows])
        grids = [
            stats.poisson.pmf(np.arange(limit + 1), self.counts[:, [at]]) for at, limit in enumerate(LIMITS)
        ]
        self.likely = grids[0][:, :, None] * grids[1][:, None, :]

    def _worth(self, overlay, r, k, week, cause):
        spend = 14 * 0.95 * 60.0
        sold = (
            math.fsum(week[day % 7] * (overlay.lift if day >= overlay.start else 1) for day in range(14)) / 14
        )
        return [
            spend * (r * cause.quality * sold * _reply(m, k) - m * overlay.cost - (0 if m == 1 else 0.02))
            for m in MULTIPLE.values()
        ]

    def _mean(self, row, first, last):
        _, shape, _, _, r, _, week = row
        usual = 6000 * 0.95 / self.base.break_even_cpa * r
        return usual * math.fsum(
            _on(shape, age)[3] * SHARE_SEEN[age] * week[-age % 7] for age in range(last, first + 1)
        )

    def campaign(self, funnel):
        """Return a campaign whose screen shows a funnel."""
        shape = PAIR.archetypes[funnel == "dark"]
        cause = next(cause for cause in shape.causes if cause.funnel == funnel)
        return structs.replace(self.base, archetype=shape, cause=cause)

    def outcomes(self, seen):
        """Yield (evidence, campaign, weight of each hidden row) for all that a way of looking can show."""
        if seen == "all":
            for funnel in ("whole", "site", "dark"):
                match = np.array([each == funnel for each in self.funnels])
                for one, two in itertools.product(range(LIMITS[0] + 1), range(LIMITS[1] + 1)):
                    segments = ((1, 1, one), (3, 2, two))
                    weight = self.chance * match * self.likely[:, one, two]
                    yield (
                        Evidence(segments, WINDOWS, True, True, True, True, True),
                        self.campaign(funnel),
                        weight,
                    )
        elif seen == "yesterday":
            for one in range(LIMITS[0] + 1):
                weight = self.chance * self.likely[:, one].sum(axis=1)
                yield Evidence(((1, 1, one),)), self.campaign("whole"), weight
        elif seen == "three days":
            total = np.array([self.counts.sum(axis=1)])
            for both in range(sum(LIMITS) + 1):
                weight = self.chance * stats.poisson.pmf(both, total[0])
                yield Evidence(((3, 1, both),)), self.campaign("site"), weight
        else:
            yield Evidence(), self.campaign("dark"), self.chance


@pytest.fixture(scope="module")
def table():
    return Table()


def _values(table, seen):
    """Return (V, E[E[U | O]]) of a way of looking, and the greatest error of the code on the way."""
    value, tower, worst = 0.0, np.zeros(4), 0.0
    for evidence, campaign, weight in table.outcomes(seen):
        chance = float(weight.sum())
        if chance < 1e-9:
            continue
        exact = weight @ table.worth / chance
        found = np.array(list(expected(campaign, evidence, PAIR).values()))
        worst = max(worst, float(np.abs(found - exact).max()))
        value += chance * float(found.max())
        tower += chance * found
    return value, tower, worst


@pytest.fixture(scope="module")
def looks(table):
    return {seen: _values(table, seen) for seen in ("all", "yesterday", "three days", "nothing")}


@pytest.mark.parametrize("seen", ["all", "yesterday", "three days", "nothing"])
def test_on_an_enumerable_world_it_is_the_conditional_expectation_of_the_joint_table(looks, seen):
    assert looks[seen][2] <= 0.006


@pytest.mark.parametrize("seen", ["all", "yesterday", "three days", "nothing"])
def test_the_expectation_of_the_conditional_expectation_is_the_expectation(looks, table, seen):
    assert looks[seen][1] == pytest.approx(table.chance @ table.worth, abs=0.006)


def test_who_sees_more_decides_better_and_who_sees_everything_hidden_best(looks, table):
    everything = float(table.chance @ table.worth.max(axis=1))
    chain = [everything, looks["all"][0], looks["three days"][0], looks["nothing"][0]]
    print("V of hidden, all, three days, nothing:", [round(value, 2) for value in chain])
    assert all(more > less + 0.05 for more, less in itertools.pairwise(chain))
    assert looks["all"][0] > looks["yesterday"][0] > looks["nothing"][0]


def test_the_posterior_is_that_of_the_joint_table(table):
    weight = table.chance * table.likely[:, 1, 2]
    places = {
        (shape.name, level, k, turn): 0.0
        for shape in PAIR.archetypes
        for level in range(8)
        for k in range(3)
        for turn in range(7)
    }
    row = iter(weight)
    for shape in PAIR.archetypes:
        for _, _, level, k, turn in itertools.product(
            shape.causes, shape.overlays, range(8), range(3), range(7)
        ):
            places[shape.name, level, k, turn] += next(row)
    exact = np.array(list(places.values())).reshape(2, 1, 8, 3, 7)
    found = posterior(table.campaign("whole"), Evidence(((1, 1, 1), (3, 2, 2))), PAIR).astype(float)
    assert found / found.sum() == pytest.approx(exact / exact.sum(), abs=1e-6)


# ---------------------------------------------------------------- the fixture of the specification


def test_two_tools_of_known_accuracy_give_the_values_of_the_specification():
    """Specification 5.9: tools right with .8 and .9, the agent looks at the first and obeys it in 90 %."""
    right = {"first": Fraction(8, 10), "second": Fraction(9, 10)}
    joint = {}
    for state, one, two in itertools.product((0, 1), repeat=3):
        odds = Fraction(1, 2)
        odds *= right["first"] if one == state else 1 - right["first"]
        odds *= right["second"] if two == state else 1 - right["second"]
        joint[state, one, two] = odds

    def value(look):
        """E[max_a E[U | O]] with U = 1 where the action is the state."""
        total = Fraction(0)
        seen = {}
        for (state, one, two), odds in joint.items():
            seen.setdefault(look(state, one, two), {0: Fraction(0), 1: Fraction(0)})[state] += odds
        for odds in seen.values():
            total += max(odds.values())
        return total

    hindsight = value(lambda state, one, two: state)
    observable_best = value(lambda state, one, two: (one, two))
    fetched = value(lambda state, one, two: one)
    agent = sum(
        odds * (Fraction(9, 10) if one == s else Fraction(1, 10)) for (s, one, _), odds in joint.items()
    )
    assert [hindsight, observable_best, fetched, agent] == [
        1,
        Fraction(9, 10),
        Fraction(8, 10),
        Fraction(74, 100),
    ]
    gaps = [hindsight - observable_best, observable_best - fetched, fetched - agent]
    assert gaps == [Fraction(1, 10), Fraction(1, 10), Fraction(6, 100)]


# ---------------------------------------------------------------- calibration through the real generator

CALIBRATED = 2000


def _two_windows(purchases):
    """What the targets and a comparison of three days with the three before show."""
    segments = ((3, 1, sum(purchases[:3])), (6, 4, sum(purchases[3:6])))
    return Evidence(segments, ((3, 1), (6, 4)), look=True, goal=True)


class Sample:
    """Worlds of the generator: utilities realised and expected, as shares of the spend at the old budget."""

    def __init__(self):
        self.kinds, realised_, all_, short, none = [], [], [], [], []
        for seed in range(70_000, 70_000 + CALIBRATED):
            world = World(seed)
            focus, view = world.focus, View(Account(world))
            purchases = view.daily(view.account.node(focus.id))[_PURCHASES, ::-1].tolist()
            spend = 14 * 0.95 * focus.budget_cents / 100
            week = _two_windows(purchases)
            came = {action: future.utility_cents / 100 for action, future in realised(world).items()}
            for rows, values in (
                (realised_, came),
                (all_, expected(focus, complete(purchases))),
                (short, expected(focus, week)),
                (none, expected(focus, Evidence())),
            ):
                rows.append([values[action] / spend for action in MULTIPLE])
            self.kinds.append(focus.archetype.name)
        self.realised, self.everything, self.short, self.nothing = map(
            np.array, (realised_, all_, short, none)
        )


@pytest.fixture(scope="module")
def sample():
    return Sample()


def _interval(gaps):
    """Return (mean, half width of its 99.9 % interval)."""
    width = stats.t.isf(0.0005, gaps.size - 1) * gaps.std(ddof=1) / math.sqrt(gaps.size)
    return float(gaps.mean()), float(width)


def test_short_evidence_of_the_sample_is_what_two_calls_fetch():
    for seed in range(70_000, 70_020):
        world = World(seed)
        calls = [("get_account", {}), ("compare_performance", {"campaign_id": _entity(world), "days": 3})]
        found = evidence_in(_fetch(world, calls), _entity(world), world.day(0))
        daily = View(Account(world)).daily(Account(world).node(world.focus.id))[_PURCHASES, ::-1].tolist()
        assert found == _two_windows(daily)


@pytest.mark.slow
@pytest.mark.parametrize("seen", ["everything", "short", "nothing"])
def test_realised_utilities_average_to_the_expected_ones_in_every_range_of_them(sample, seen):
    hopes = getattr(sample, seen)
    print(f"\n{seen}: bin of expected utility (share of spend), mean gap, 99.9 % half width")
    for place, action in enumerate(MULTIPLE):
        gaps = sample.realised[:, place] - hopes[:, place]
        mean, width = _interval(gaps)
        assert abs(mean) <= width + 1e-4, (action, mean, width)
        if action == "pause":
            assert np.abs(gaps).max() < 1e-3  # nothing is left to chance
            continue
        edges = np.quantile(hopes[:, place], np.linspace(0, 1, 7)) if seen != "nothing" else [-9, 9]
        for low, high in itertools.pairwise(edges):
            inside = (hopes[:, place] >= low) & (hopes[:, place] <= high)
            mean, width = _interval(gaps[inside])
            print(f"  {action:10} {low:6.3f}..{high:6.3f} n={inside.sum():4d} {mean:+.4f} +-{width:.4f}")
            assert abs(mean) <= width, (action, low, high, mean, width)


@pytest.mark.parametrize("seen", ["everything"])
def test_realised_utilities_average_to_the_expected_ones_for_every_observable_look(sample, seen):
    """The kind itself is hidden, so kinds are pooled that nothing but counts can tell apart."""
    groups = {}
    for place, kind in enumerate(sample.kinds):
        shape = archetype_of(kind)
        key = (shape.goal, shape.raised, shape.launched, shape.refreshed, shape.frequency, shape.surge[0])
        groups.setdefault(key, []).append(place)
    assert len(groups) > 6
    print()
    for key, places in groups.items():
        rows = np.array(places)
        kinds = sorted({sample.kinds[row] for row in places})
        for place, action in enumerate(("scale_up", "maintain", "scale_down")):
            mean, width = _interval(sample.realised[rows, place] - sample.everything[rows, place])
            if action == "maintain":
                print(f"  {'+'.join(kinds)[:60]:60} n={rows.size:4d} {mean:+.4f} +-{width:.4f}")
            assert abs(mean) <= width, (key, kinds, action, mean, width)


def test_differences_between_actions_are_calibrated_too(sample):
    """What decides is a difference of utilities; its noise is far smaller."""
    for hopes in (sample.everything, sample.short):
        for one, two in ((0, 1), (2, 1), (3, 1)):
            gaps = (sample.realised[:, one] - sample.realised[:, two]) - (hopes[:, one] - hopes[:, two])
            mean, width = _interval(gaps)
            assert abs(mean) <= width
            predicted = hopes[:, one] - hopes[:, two]
            slope = stats.linregress(predicted, predicted + gaps)
            assert abs(slope.slope - 1) < 3.3 * slope.stderr


def test_through_the_generator_who_sees_more_decides_better(sample):
    best = {
        name: getattr(sample, name).argmax(axis=1) for name in ("realised", "everything", "short", "nothing")
    }
    rows = np.arange(CALIBRATED)
    earned = {name: sample.realised[rows, chosen] for name, chosen in best.items()}
    print("\nV (share of spend):", {name: round(float(values.mean()), 4) for name, values in earned.items()})
    for more, less in itertools.pairwise(earned.values()):
        mean, width = _interval(more - less)
        assert mean > width / 3
    for name, hopes in (("everything", sample.everything), ("short", sample.short)):
        mean, width = _interval(earned[name] - hopes.max(axis=1))
        assert abs(mean) <= width  # V is what it promises to be


# ---------------------------------------------------------------- what facts say

WORLD = World(11)
ENTITY = f"cmp_{WORLD.focus.id}"
DAILY = View(Account(WORLD)).daily(Account(WORLD).node(WORLD.focus.id))[_PURCHASES, ::-1].tolist()


def _window(first, last, sold, entity=ENTITY):
    days = [(date.fromordinal(WORLD.as_of) - timedelta(age)).isoformat() for age in (first, last)]
    return Fact(entity, "purchases", days[0] if first == last else "..".join(days), sold, "count")


def _bounds(calls):
    """The boundaries that the windows of calls join, as ages; 0 is the end of yesterday."""
    lengths = {"yesterday": 1, "last_3d": 3, "last_7d": 7, "last_14d": 14, "last_28d": 28, "last_90d": 90}
    found = set()
    for name, arguments in calls:
        if name in ("compare_performance", "get_funnel"):
            found |= {0, arguments["days"], 2 * arguments["days"]}
        if name == "get_insights":
            last = lengths[arguments["date_preset"]]
            found |= set(range(last + 1)) if "time_increment" in arguments else {0, last}
    return sorted(found)


@given(calls=st.lists(st.sampled_from(_calls(ENTITY)), max_size=6), data=st.data())
@settings(max_examples=80, deadline=None)
def test_fetched_windows_come_apart_into_the_finest_disjoint_ones(calls, data):
    facts = _fetch(WORLD, calls)
    found = evidence_in(facts, ENTITY, WORLD.day(0))
    wanted = tuple((high, low + 1, sum(DAILY[low:high])) for low, high in itertools.pairwise(_bounds(calls)))
    assert found.segments == wanted
    rows = _bounds([call for call in calls if call[0] != "get_funnel"])
    assert found.windows == tuple((high, low + 1) for low, high in itertools.pairwise(rows))
    names = [name for name, _ in calls]
    assert found.look == bool({"get_insights", "compare_performance"} & set(names))
    assert found.goal == ("get_account" in names)
    assert found.delivery == ("get_campaigns" in names)
    assert found.log == ("get_activity_log" in names)
    assert found.funnel == ("get_funnel" in names)
    mixed = data.draw(st.permutations(facts)) if len(facts) < 60 else facts[::-1]
    assert evidence_in([*mixed, *facts[:5]], ENTITY, WORLD.day(0)) == found


def test_all_that_tools_can_print_about_the_focus_is_all_that_the_truth_assumes():
    for scenario in suite.scenarios(12, 3):
        world = World(scenario.seed)
        facts = _fetch(world, _calls(scenario.entity))
        assert evidence_in(facts, scenario.entity, scenario.as_of) == observable(View(Account(world)))
        assert suite.expected(scenario, facts) == scenario.truth.expected
        few = _fetch(
            world,
            [
                ("get_account", {}),
                ("get_campaigns", {}),
                ("get_activity_log", {"campaign_id": scenario.entity}),
                ("get_funnel", {"campaign_id": scenario.entity}),
                ("get_insights", {"campaign_id": scenario.entity, "date_preset": "last_90d"}),
                (
                    "get_insights",
                    {"campaign_id": scenario.entity, "date_preset": "last_28d", "time_increment": "day"},
                ),
            ],
        )
        assert suite.expected(scenario, few) == scenario.truth.expected


def test_facts_about_others_say_nothing_about_the_focus():
    others = [campaign for campaign in WORLD.campaigns if campaign is not WORLD.focus]
    facts = []
    for campaign in others:
        facts += _fetch(
            WORLD, [c for c in _calls(f"cmp_{campaign.id}") if c[0] not in ("get_campaigns", "get_account")]
        )
    facts += _fetch(WORLD, [("get_adsets", {"campaign_id": ENTITY})])
    facts += _fetch(WORLD, [("get_insights", {"campaign_id": f"set_{WORLD.focus.ad_sets[0].id}"})])
    assert evidence_in(facts, ENTITY, WORLD.day(0)) == Evidence()


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=8), st.randoms(use_true_random=False)
)
@settings(max_examples=150, deadline=None)
def test_any_windows_at_all_come_apart_into_true_and_disjoint_ones(pairs, random):
    windows = [(max(pair), min(pair)) for pair in pairs]
    facts = [_window(first, last, sum(DAILY[last - 1 : first])) for first, last in windows]
    found = evidence_in(facts, ENTITY, WORLD.day(0)).segments
    for first, last, sold in found:
        assert sold == sum(DAILY[last - 1 : first])
    assert all(one[0] < two[1] for one, two in itertools.pairwise(found))
    random.shuffle(facts)
    assert evidence_in(facts * 2, ENTITY, WORLD.day(0)).segments == found
    if windows:
        assert found


@given(calls=st.lists(st.sampled_from(_calls(ENTITY)), max_size=5))
@settings(max_examples=25, deadline=None)
def test_what_is_seen_of_the_course_is_a_partition_of_the_archetypes(calls):
    """Otherwise E[E[U | O]] would not be E[U]: to look alike is mutual and carries over."""
    windows = evidence_in(_fetch(WORLD, calls), ENTITY, WORLD.day(0)).windows
    focus = structs.replace(_world_of("fatigue").focus, as_of=date(2025, 6, 2).toordinal())  # a Monday
    alike = {}
    for shape in ARCHETYPES:
        weights = posterior(structs.replace(focus, archetype=shape), Evidence(windows=windows))
        share = weights.sum(axis=(1, 2, 3, 4))
        alike[shape.name] = {each.name for each, weight in zip(ARCHETYPES, share, strict=True) if weight}
    for one, others in alike.items():
        assert one in others
        assert all(alike[two] == others for two in others)


def test_a_funnel_alone_does_not_tell_a_raised_budget():
    world = _world_of("saturated")
    calls = [("get_funnel", {"campaign_id": _entity(world), "days": 14})]
    facts = _fetch(world, calls)
    evidence = evidence_in(facts, _entity(world), world.day(0))
    assert not {"spend", "impressions", "ctr", "cpm"} & {fact.metric for fact in facts}
    twin = structs.replace(world.focus, archetype=archetype_of("loser"))
    assert expected(world.focus, evidence) == expected(twin, evidence)


def test_log_likelihoods_do_not_drown_in_large_counts():
    """Two months of hundreds of purchases a day: the posterior is sharp and still sums to something."""
    world = _world_of("headroom", "easy")
    weights = posterior(world.focus, observable(View(Account(world))))
    assert weights.max() == 2**40
    assert special.entr(weights / weights.sum()).sum() < 6
