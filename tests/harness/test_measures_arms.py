"""Accuracy, consensus, profile, residue, policies and `measure_all`, against counts by hand."""

from collections import Counter
from itertools import combinations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.errors import PluginError, UsageError
from opoi.measures import Results, figure, measure_all, null_arm, random_arm, standard_metrics
from opoi.measures.define import UNITS
from opoi.protocols import Metric
from opoi.seeds import Stream
from opoi.types import (
    Arm,
    Cleaned,
    Decision,
    Edit,
    Fact,
    Group,
    Measure,
    Message,
    Scenario,
    StopReason,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

ACTIONS = ("up", "hold", "down")


class Suite:
    name = "tiny"
    actions = ACTIONS
    null_action = "hold"
    decision_schema = {}  # noqa: RUF012  # a stand-in for the protocol
    prose = ("reasoning",)
    experts = {}  # noqa: RUF012  # a stand-in for the protocol

    def expected(self, scenario, facts):
        return scenario.truth.expected


METRICS = {metric.name: metric for metric in standard_metrics(Suite())}
TRUTH = Truth(
    expected={"up": 3.0, "hold": 1.0, "down": -2.0},
    realised={"up": -1.0, "hold": 0.5, "down": 4.0},
    observable_actions=("up",),
    hindsight_actions=("down",),
)


def scenario(name):
    return Scenario(
        id=name, suite="tiny", seed=0, kind="k", as_of="2025-03-14", task="decide", entity="c1", truth=TRUTH
    )


def cleaned(
    action="up",
    run=0,
    stop=StopReason.ANSWERED,
    drop="",
    problems=(),
    text="",
    messages=(),
    name="s",
    entity="c1",
    **more,
):
    trace = Trace(
        id=f"{name}/x/{run}",
        scenario_id=name,
        arm="x",
        run=run,
        as_of="2025-03-14",
        messages=tuple(messages),
        decision=Decision(
            action="" if problems else action, entity=entity, problems=tuple(problems), reasoning=text
        ),
        stop=stop,
        drop=drop,
    )
    return Cleaned(trace=trace, level="C2", **more)


def group(name, *entries, verdict="down"):
    return Group(
        scenario=scenario(name),
        verdict=Verdict(expert="e", kind="correct", action=verdict, phrase=verdict, feedback="")
        if verdict
        else None,
        cleaned=entries,
    )


def arm(*groups, name="x", base=None):
    return Arm(name, lambda: iter(groups), base=base)


def value(metric, *groups):
    return METRICS[metric](arm(*groups), resamples=50).value


def numbered(*actions):
    return [cleaned(action, run) for run, action in enumerate(actions)]


# ---------------------------------------------------------------- accuracy


def test_accuracy_has_three_references_and_counts_failures_and_invalid_json_as_wrong():
    one = group(
        "s",
        cleaned("up", 0),
        cleaned("down", 1),
        cleaned("down", 2, drop="noncompliant"),
        cleaned("up", 3, stop=StopReason.TURN_BUDGET),
        cleaned("up", 4, problems=("no object",)),
        cleaned("up", 5, stop=StopReason.ENDPOINT),
    )
    assert value("accuracy_expert", one) == 0.4
    assert value("accuracy_observable", one) == 0.2
    assert value("accuracy_hindsight", one) == 0.4
    assert value("schema_valid", one) == 0.6
    assert value("agent_failures", one) == round(1 / 6, 12)
    assert value("infrastructure_failures", one) == round(1 / 6, 12)


def test_a_scenario_without_review_counts_only_against_the_truth():
    one = group("s", cleaned("up"), verdict="")
    assert value("accuracy_expert", one) is None
    assert value("accuracy_observable", one) == 1


def test_regret_is_the_utility_lost_and_an_unreadable_decision_changes_nothing():
    one = group("s", cleaned("down", 0), cleaned("hold", 1), cleaned("up", 2, problems=("no object",)))
    assert value("regret_observable", one) == 3.0  # (5 + 2 + 2) / 3
    assert value("regret_hindsight", one) == pytest.approx((0 + 3.5 + 3.5) / 3)


def test_a_decision_about_another_entity_is_wrong_and_changes_nothing_but_fits_the_schema():
    one = group("s", cleaned("up", 0), cleaned("up", 1, entity="c9"), verdict="up")
    for name in ("accuracy_expert", "accuracy_observable"):
        assert value(name, one) == 0.5
    assert value("accuracy_hindsight", group("s", cleaned("down", entity="c9"))) == 0
    assert value("accuracy_majority", group("s", *(cleaned("down", i, entity="c9") for i in range(2)))) == 0
    assert value("unreachable_targets", one) == 0.5
    assert value("schema_valid", one) == 1
    assert value("regret_observable", group("s", cleaned("up", entity="c9"))) == 2  # what "hold" loses
    assert value("accuracy_observable", group("s", cleaned("up", entity=""))) == 1


def test_an_action_on_another_entity_is_a_choice_of_its_own():
    one = group("s", cleaned("up", 0), cleaned("up", 1), cleaned("up", 2, entity="c9"))
    assert value("consensus", one) == pytest.approx(2 / 3)
    assert value("consensus_pair", one) == pytest.approx(1 / 3)
    assert value("consensus_unanimous", one) == 0
    invalid = group("s", cleaned("up", 0, entity="c9"), cleaned(run=1, problems=("no object",)))
    assert value("consensus", invalid) == 0.5


def test_an_action_without_utility_is_the_suites_fault():
    with pytest.raises(PluginError, match="no utility for 'sideways'"):
        value("regret_observable", group("s", cleaned("sideways")))


def test_a_tie_of_the_majority_shares_the_credit():
    assert value("accuracy_majority", group("s", *numbered("down", "up"))) == 0.5
    assert value("accuracy_majority", group("s", *numbered("down", "up", "down"))) == 1


def test_unreachable_targets_are_kept_actions_that_observation_does_not_support():
    one = group("s", cleaned("up", 0), cleaned("down", 1), cleaned("down", 2, drop="residue"))
    assert value("unreachable_targets", one) == 0.5


# ---------------------------------------------------------------- consensus

answers = st.lists(st.sampled_from([*ACTIONS, ""]), min_size=2, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(answers, min_size=1, max_size=5))
def test_consensus_equals_brute_force_over_runs_and_pairs(scenarios):
    groups = [
        group(f"s{i}", *(cleaned(a or "up", r, problems=() if a else ("bad",)) for r, a in enumerate(row)))
        for i, row in enumerate(scenarios)
    ]
    count = len(scenarios)
    majority = sum(max(Counter(row).values()) / len(row) for row in scenarios) / count
    pairs = sum(
        sum(a == b for a, b in combinations(row, 2)) / len(list(combinations(row, 2))) for row in scenarios
    )
    assert value("consensus", *groups) == pytest.approx(majority)
    assert value("consensus_pair", *groups) == pytest.approx(pairs / count)
    assert value("consensus_unanimous", *groups) == pytest.approx(
        sum(len({*row}) == 1 for row in scenarios) / count
    )


@pytest.mark.parametrize(("labels", "chance"), [(2, 0.750), (3, 0.630), (4, 0.563), (5, 0.520)])
def test_consensus_of_three_uniform_runs_has_the_chance_level_of_the_specification(labels, chance):
    cells = [(a, b, c) for a in range(labels) for b in range(labels) for c in range(labels)]
    groups = [group(f"s{i}", *numbered(*(f"a{x}" for x in cell))) for i, cell in enumerate(cells)]
    assert value("consensus", *groups) == pytest.approx(chance, abs=5e-4)


def test_two_live_actions_and_three_runs_keep_the_identities_of_the_specification():
    rows = [("up", "up", "up"), ("up", "up", "down"), ("down", "up", "down"), ("up", "down", "up")]
    groups = [group(f"s{i}", *numbered(*row)) for i, row in enumerate(rows)]
    majority = value("consensus", *groups)
    assert value("consensus_unanimous", *groups) == pytest.approx(1 - 3 * (1 - majority))
    assert value("consensus_pair", *groups) == pytest.approx(1 - 2 * (1 - majority))


def test_infrastructure_failures_and_single_runs_say_nothing_about_consensus():
    lone = group("s", cleaned("up", 0), cleaned("down", 1, stop=StopReason.ENDPOINT))
    assert value("consensus", lone) is None
    assert value("consensus", lone, group("t", *numbered("up", "up"))) == 1


# ---------------------------------------------------------------- profile and residue

CALL = ToolCall(id="call_0", name="look", arguments="{}")


def test_tool_calls_are_counted_per_kept_trace_and_nested_ones_apart():
    inner = (Message(role="assistant", author="student", tool_calls=(CALL, CALL)),)
    outer = (
        Message(role="assistant", author="student", tool_calls=(CALL,)),
        Message(role="tool", author="env", tool_call_id="call_0", sub=inner),
    )
    one = group("s", cleaned(messages=outer), cleaned(run=1), cleaned(run=2, messages=outer, drop="residue"))
    assert value("tool_calls", one) == 0.5
    assert value("nested_tool_calls", one) == 1.0
    assert value("no_tool_calls", one) == 0.5


def test_edited_share_is_by_characters():
    one = group(
        "s", cleaned(target_chars=300, edited_chars=30), cleaned(run=1, target_chars=100, edited_chars=0)
    )
    assert value("edited_share", one) == 0.075


@pytest.mark.parametrize(
    ("window", "late"),
    [
        ("2025-03-13", 0),
        ("2025-03-14", 0),
        ("2025-03-15", 1),
        ("2025-03-01..2025-03-13", 0),
        ("2025-03-08..2025-03-15", 1),
        ("", 0),
    ],
)
def test_a_fact_from_after_the_decision_day_is_an_as_of_violation(window, late):
    nested = Message(role="tool", author="env", facts=(Fact("c1", "cpa", window, 1.0, "USD"),))
    tool = Message(role="tool", author="env", sub=(nested,))
    assert value("as_of_violations", group("s", cleaned(messages=[tool]))) == late


@pytest.mark.parametrize("rule", ["residue/told", "rewrite/told", "resample"])
def test_residue_is_over_kept_traces_and_before_cleaning_over_attempted_ones(rule):
    edit = Edit(rule=rule, message=(0,), removed="I was told")
    one = group(
        "s",
        cleaned(run=0, edits=(edit,)),
        cleaned(run=1, edits=(Edit(rule="space/collapse", message=(0,)),)),
        cleaned(run=2, residue=("nonce",), drop="residue"),
        cleaned(run=3, residue=("nonce",)),
    )
    assert value("residue", one) == round(1 / 3, 12)
    assert value("residue_before", one) == 0.75


# ---------------------------------------------------------------- policies


def test_policies_decide_as_often_as_the_base_arm_and_never_see_a_trace():
    base = arm(group("s", *numbered("up", "up")), group("t", *numbered("up", "down", "down")), name="base")
    for policy in (null_arm(base, Suite()), random_arm(base, Suite(), 7)):
        groups = list(policy.groups())
        assert policy.kind == "policy"
        assert [len(one.cleaned) for one in groups] == [2, 3]
        assert [one.verdict for one in groups] == [one.verdict for one in base.groups()]
        assert not any(entry.trace.messages for one in groups for entry in one.cleaned)


def test_the_random_policy_depends_on_scenario_and_run_alone_and_is_even():
    groups = [group(f"s{i:03d}", *numbered("up", "up", "up")) for i in range(300)]
    forward = {
        entry.trace.id: entry.trace.decision.action
        for one in random_arm(arm(*groups), Suite(), 7).groups()
        for entry in one.cleaned
    }
    backward = {
        entry.trace.id: entry.trace.decision.action
        for one in random_arm(arm(*groups[::-1]), Suite(), 7).groups()
        for entry in one.cleaned
    }
    assert forward == backward
    assert all(abs(times - 300) < 60 for times in Counter(forward.values()).values())


# ---------------------------------------------------------------- measure_all

entries = st.builds(
    cleaned,
    action=st.sampled_from(ACTIONS),
    run=st.integers(0, 3),
    stop=st.sampled_from(StopReason),
    drop=st.sampled_from(["", "", "noncompliant", "residue"]),
    problems=st.sampled_from([(), (), ("bad",)]),
    text=st.sampled_from(["", "CPA of c1 rose to $47.13", "hold for 3 days"]),
)
contents = st.lists(st.lists(entries, max_size=3), min_size=1, max_size=5)


def groups_of(rows):
    return [group(f"s{i}", *row) for i, row in enumerate(rows)]


def measured(*arms, **more):
    return measure_all(arms, suite=Suite(), seed=3, resamples=60, **more)


@settings(max_examples=25, deadline=None)
@given(contents, contents)
def test_every_attempted_trace_is_kept_or_has_a_reason(first, second):
    base = arm(*groups_of(first), name="base")
    results = measured(base, arm(*groups_of(second), name="other", base=base))
    for one in results.arms:
        assert one.kept + sum(one.drops.values()) == one.attempted
        assert list(one.drops) == sorted(one.drops)
        assert list(one.measures) == list(results.definitions)
    assert results.arms[0].attempted == sum(map(len, first))


@settings(max_examples=25, deadline=None)
@given(contents)
def test_a_copy_of_the_base_arm_gets_the_same_figures(rows):
    base = arm(*groups_of(rows), name="base")
    first, copy = measured(base, arm(*groups_of(rows), name="copy", base=base)).arms[:2]
    for name in first.measures:
        if name != "oov_rate":  # the base arm is compared with itself by parts
            assert first.measures[name] == copy.measures[name], name
    assert copy.measures["oov_rate"].value in (0.0, None)
    assert copy.measures["js_excess"].value in (0.0, None)


@settings(max_examples=15, deadline=None)
@given(contents, st.randoms(use_true_random=False))
def test_neither_the_order_of_scenarios_nor_that_of_arms_changes_a_figure(rows, rng):
    base = arm(*groups_of(rows), name="base")
    shuffled = groups_of(rows)
    rng.shuffle(shuffled)
    turned = arm(*shuffled, name="base")
    other = [("x", base), ("y", base)], [("y", turned), ("x", turned)]
    one, two = (
        measured(first, *(arm(*groups_of(rows), name=name, base=of) for name, of in rest))
        for first, rest in ((base, other[0]), (turned, other[1]))
    )
    assert {a.name: a for a in one.arms} == {a.name: a for a in two.arms}


def test_a_figure_called_alone_equals_the_same_figure_in_the_batch():
    rows = [[cleaned(Stream(1, i, r).choice(ACTIONS), r) for r in range(3)] for i in range(12)]
    base = arm(*groups_of(rows), name="base")
    results = measure_all([base], suite=Suite(), seed=5, resamples=200)
    for name, metric in METRICS.items():
        assert metric(base, seed=5, resamples=200) == results.arms[0].measures[name], name


def test_results_survive_json_and_repeat_byte_for_byte():
    rows = [[cleaned(run=r, text="CPA of c1 rose to $47.13") for r in range(2)] for _ in range(5)]
    base = arm(*groups_of(rows), name="base")
    once, again = (msgspec.json.encode(measured(base)) for _ in range(2))
    assert once == again
    assert msgspec.json.decode(once, type=Results) == measured(base)


def test_accuracy_on_common_scenarios_looks_only_where_every_data_arm_kept_a_trace():
    base = arm(group("s", cleaned("up")), group("t", cleaned("down")), name="base")
    picky = arm(
        group("s", cleaned("up"), cleaned("down", 1, drop="noncompliant")),
        group("t", cleaned("up", drop="noncompliant")),
        name="picky",
        base=base,
    )
    results = measured(base, picky)
    assert results.common == 1
    assert [one.measures["accuracy_observable_common"].value for one in results.arms[:2]] == [1.0, 1.0]
    assert [one.measures["accuracy_observable_common"].n for one in results.arms] == [1, 1, 1, 1]
    assert results.arms[0].measures["accuracy_observable"].value == 0.5


def test_policy_rows_have_decisions_but_no_text():
    results = measured(arm(group("s", *numbered("up", "up")), name="base"))
    null = results.arms[1]
    assert (null.name, null.kind) == ("null", "policy")
    assert null.measures["consensus"].value == 1
    for name in ("hindsight_claims", "js_excess", "residue", "tool_calls", "citation_precision"):
        assert null.measures[name] == Measure(value=None, note="no text")


def test_a_data_arm_without_a_base_says_so():
    results = measured(arm(group("s", cleaned()), name="base"), arm(group("s", cleaned()), name="orphan"))
    assert "base" in results.arms[1].measures["js_excess"].note
    assert results.arms[1].measures["accuracy_observable"].value == 1


def test_figures_of_your_own_stand_behind_the_standard_ones():
    @figure("runs")
    def runs(seen):
        """Runs per scenario.

        Unit: count
        """
        return len(seen.cleaned), 1

    class Constant:
        name, title, unit, doc = "constant", "constant", "count", "Always 7."

        def __call__(self, _arm):
            return Measure(value=7.0)

    assert isinstance(Constant(), Metric)
    results = measured(arm(group("s", *numbered("up", "up")), name="base"), metrics=[runs, Constant()])
    assert list(results.definitions)[-2:] == ["runs", "constant"]
    assert results.arms[0].measures["runs"].value == 2
    assert results.arms[0].measures["constant"].value == 7
    assert results.arms[1].measures["constant"].value is None


@pytest.mark.parametrize("names", [[], ["base", "base"], ["null"]])
def test_arms_need_names_of_their_own(names):
    with pytest.raises(UsageError):
        measured(*(arm(name=name) for name in names))


def test_every_figure_satisfies_the_contract_and_says_what_it_is():
    for metric in METRICS.values():
        assert isinstance(metric, Metric)
        told = metric.definition
        assert told.doc.endswith(".")
        assert told.unit in UNITS
        assert all((told.formula, told.range, told.source, told.avoid)), metric.name


def test_what_a_docstring_cannot_mean_is_refused():
    with pytest.raises(PluginError, match="'furlongs'"):

        @figure("speed")
        def speed(seen):
            """How fast.

            Unit: furlongs
            """
            return 1, 1


def test_progress_is_told_about_every_arm():
    told = []
    measured(arm(group("s", cleaned()), name="base"), progress=told.append)
    assert any("base" in line for line in told)


@pytest.mark.parametrize(
    "name", ["accuracy_expert", "accuracy_observable", "accuracy_hindsight", "schema_valid"]
)
def test_definitions_say_that_what_the_endpoint_failed_is_left_out(name):
    assert "attempts that the endpoint did not fail" in METRICS[name].definition.formula
