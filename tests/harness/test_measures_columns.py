"""What is refused of figures and of scenarios, whether one process counts or several, one figure or all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.errors import ArtefactError, PluginError
from opoi.measures import figure, measure_all
from opoi.measures.figures.accuracy import accuracy_observable
from opoi.measures.ratio import Columns
from opoi.measures.run import count_part, measured
from opoi.measures.seen import Seen
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.types import Arm, Cleaned, Group

ECHO = load_suite("echo")


def group(scenario):
    """Let the stand-in decide twice."""
    runs = [rollout(scenario, ECHO, ECHO.stand_in(), arm="base", run=run, seed=run) for run in range(2)]
    return Group(scenario=scenario, cleaned=tuple(Cleaned(trace=trace, level="none") for trace in runs))


GROUPS = [group(scenario) for scenario in ECHO.scenarios(4, 1)]


def arm(groups=GROUPS, name="base"):
    return Arm(name, lambda: iter(groups))


# ---------------------------------------------------------------- shares


def counted(pairs, unit=""):
    """Make a figure of a numerator and a denominator for each scenario."""
    rows = {one.scenario.id: pair for one, pair in zip(GROUPS, pairs, strict=False)}

    def odd(seen):
        return rows.get(seen.scenario.id, (0, 0))

    odd.__doc__ = f"Something.\n\nUnit: {unit}\n" if unit else "Something."
    return figure("odd")(odd)


def alone(metric):
    return metric(arm(), resamples=100)


def beside_all_others(metric):
    found = measure_all([arm()], suite=ECHO, seed=0, resamples=100, metrics=[metric])
    return found.arms[0].measures["odd"]


ways = pytest.mark.parametrize("way", [alone, beside_all_others])


@ways
@pytest.mark.parametrize(
    "pairs",
    [
        [(2, 1), (3, 1)],
        [(-1, 1), (-2, 1)],
        [(5, 1)],
        [(2, 1), (0, 1)],  # together a share, and no share in either
        [(1, 0), (1, 1)],
        [(float("nan"), 1), (1, 1)],
        [(-1, -1), (1, 1)],
    ],
)
def test_a_figure_that_is_no_share_and_does_not_say_so_is_named(way, pairs):
    with pytest.raises(PluginError) as raised:
        way(counted(pairs))
    said = str(raised.value)
    for word in ("'odd'", "share", "0..1", "Unit: count", "Unit: x"):
        assert word in said
    assert any(one.scenario.id in said for one in GROUPS)


@ways
def test_a_figure_that_says_its_unit_may_be_above_one(way):
    for unit in ("count", "x"):
        found = way(counted([(2, 1), (4, 1)], unit))
        assert (found.value, found.n) == (3, 2)


@ways
def test_rounding_does_not_make_a_share_none(way):
    third = sum([0.1] * 3)
    assert way(counted([(third, 0.3), (third, 0.3), (0.0, 0.0)])).value == 1
    assert way(counted([(-1e-17, 0.3), (0.0, 0.3)])).value == pytest.approx(0, abs=1e-12)


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=4))
def test_a_figure_is_a_share_exactly_where_every_scenario_is(pairs):
    if all(0 <= above <= below for above, below in pairs):
        assert alone(counted(pairs)).n == sum(below > 0 for _, below in pairs)
    else:
        with pytest.raises(PluginError, match="odd"):
            alone(counted(pairs))


# ---------------------------------------------------------------- scenarios


def packed(groups):
    columns = Columns([accuracy_observable])
    for one in groups:
        columns.add(Seen(one, ECHO), where="base")
    return columns.packed()


def test_what_other_processes_counted_is_what_one_counts():
    columns = Columns([accuracy_observable])
    columns.take([packed(GROUPS[1:]), packed(GROUPS[:1])], where="base")
    ids = sorted(one.scenario.id for one in GROUPS)
    whole = Columns([accuracy_observable])
    for one in GROUPS:
        whole.add(Seen(one, ECHO), where="base")
    for ours, theirs in zip(
        columns.aligned("accuracy_observable", ids), whole.aligned("accuracy_observable", ids), strict=True
    ):
        assert ours.tolist() == theirs.tolist()
    assert columns.kept == whole.kept


def test_a_scenario_that_two_parts_counted_is_the_error_that_it_is_for_one_walk():
    twice = GROUPS[2]
    with pytest.raises(ArtefactError) as walked:
        accuracy_observable.of(ECHO)(arm([*GROUPS, twice]))
    columns = Columns([accuracy_observable])
    with pytest.raises(ArtefactError) as taken:
        columns.take([packed(GROUPS), packed([twice])], where="base")
    assert str(taken.value) == str(walked.value)
    assert "'base'" in str(taken.value)
    assert repr(twice.scenario.id) in str(taken.value)


def test_measuring_with_parts_names_the_arm_of_a_scenario_that_stands_in_two():
    parts = [count_part([arm(some)], suite=ECHO, seed=0) for some in (GROUPS[:3], GROUPS[2:])]
    apart = {name: [part[name] for part in parts] for name in parts[0]}
    with pytest.raises(ArtefactError, match=r"arm 'base' has scenario .* twice"):
        measured([arm()], suite=ECHO, seed=0, resamples=100, counted=lambda: apart)
