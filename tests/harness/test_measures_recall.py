"""Metrics that are named, and whether those that decide are among them; what a real run shows."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.cli import main
from opoi.measures.figures import citations, form, profile, recall, vocabulary
from opoi.provenance.decisive import decisive_metrics
from opoi.run import Run
from opoi.stages.measure import arms_of
from opoi.types import Arm, Citation, Cleaned, Decision, Fact, Group, Message, Scenario, Trace, Truth

TRUTH = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=())
CPA = Fact("c1", "target_cpa", "", 54.0, "USD")


def group(name, *traces):
    scenario = Scenario(
        id=name, suite="t", seed=0, kind="k", as_of="2025-03-14", task="decide", entity="c1", truth=TRUTH
    )
    return Group(scenario=scenario, cleaned=tuple(Cleaned(trace=trace, level="none") for trace in traces))


def trace(text="", *, facts=(), cited=(), name="s/x/0", drop=""):
    return Trace(
        id=name,
        scenario_id="s",
        arm="x",
        run=0,
        as_of="2025-03-14",
        messages=(Message(role="tool", author="env", content="{}", facts=tuple(facts)),),
        decision=Decision(
            action="a",
            reasoning=text,
            citations=tuple(Citation(metric=metric, entity="c1", window="", value=1) for metric in cited),
        ),
        drop=drop,
    )


def measure(figure, groups, suite=None, base=None):
    reference = Arm("base", lambda: iter(base)) if base is not None else None
    return figure.of(suite)(Arm("x", lambda: iter(groups), base=reference), resamples=100)


# ---------------------------------------------------------------- metrics with a value


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("The target CPA is $54.00.", 1),
        ("A target_cpa of 54 is set.", 1),
        ("It costs $54.00. The target CPA is not met.", 0),
        ("The target CPA held since 2025-03-07.", 0),
        ("The ROAS is 1.3.", 0),
        ("I hold.", 0),
    ],
)
def test_a_sentence_names_a_metric_with_a_value_where_it_holds_both(text, share):
    assert measure(citations.metric_citations, [group("s", trace(text, facts=[CPA]))]).value == share


def test_a_citation_is_enough_and_names_can_come_from_the_base_arm():
    seen = [group("s", trace(cited=["anything"]), trace("The target CPA is 54."), trace("Nothing."))]
    assert measure(citations.metric_citations, seen).value == pytest.approx(1 / 3)
    base = [group("s", trace(facts=[CPA]))]
    assert measure(citations.metric_citations, seen, base=base).value == pytest.approx(2 / 3)


cited = st.lists(st.tuples(st.sampled_from("uvw"), st.integers(1, 3)), max_size=4)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("uvw"), st.integers(1, 3)), cited), min_size=1, max_size=5
    ),
    st.randoms(use_true_random=False),
)
def test_figures_of_citations_are_counts_that_order_names_and_copies_do_not_change(rows, rng):
    def groups(name, copies=1, shuffled=False):
        order = [(i, copy) for i in range(len(rows)) for copy in range(copies)]
        if shuffled:
            rng.shuffle(order)
        return [group(name.format(i, copy), with_citations(*rows[i])) for i, copy in order]

    def with_citations(shown, stated):
        told = tuple(Citation(metric=metric, entity="c1", window="", value=value) for metric, value in stated)
        seen = trace(facts=[Fact("c1", metric, "", value) for metric, value in shown.items()])
        return msgspec.structs.replace(seen, decision=Decision(action="a", citations=told))

    right = [[shown.get(metric) == value for metric, value in stated] for shown, stated in rows]
    by_hand = {
        "citation_precision": (sum(map(sum, right)), sum(map(len, right))),
        "citations_in_context": (sum(map(sum, right)), sum(map(len, right))),
        "citation_rate": (sum(map(any, right)), len(right)),
        "metric_citations": (sum(map(bool, right)), len(right)),
    }
    for name, (above, below) in by_hand.items():
        figure = getattr(citations, name)
        expected = pytest.approx(above / below) if below else None
        for case in (groups("s{}-{}"), groups("s{}-{}", 1, True), groups("c{:03d}{}"), groups("s{}-{}", 2)):
            assert measure(figure, case).value == expected


# ---------------------------------------------------------------- what decides


class Votes:
    """A suite in which every metric votes for an action with its value; actions can have other names."""

    def __init__(self, actions=("hold", "open")):
        self.actions = actions
        self.calls = 0

    def expected(self, scenario, facts):
        self.calls += 1
        total = sum(fact.value for fact in facts)
        return {self.actions[0]: 0.0, self.actions[1]: float(total)}


votes = st.dictionaries(st.sampled_from("uvwxyz"), st.integers(-4, 5), max_size=5)


def facts_of(weights):
    return [Fact("c1", metric, "", value) for metric, value in weights.items()]


@given(votes)
def test_a_metric_decides_where_the_sign_of_the_sum_changes_without_it(weights):
    scenario = group("s").scenario
    by_hand = [
        metric
        for metric, value in sorted(weights.items())
        if (sum(weights.values()) > 0) != (sum(weights.values()) - value > 0)
    ]
    suite = Votes()
    assert list(decisive_metrics(suite, scenario, facts_of(weights))) == by_hand
    assert suite.calls == 1 + len(weights)
    # other names of the actions, in the same order, decide the same
    assert list(decisive_metrics(Votes(("a", "b")), scenario, facts_of(weights))) == by_hand


def asked(count):
    """Names of the first scenarios that are sampled."""
    return [name for name in (f"s{i:04d}" for i in range(200)) if recall.sampled(name)][:count]


def test_about_one_scenario_in_ten_is_sampled():
    share = sum(recall.sampled(f"ads-{i:05d}") for i in range(4_000)) / 4_000
    assert share == pytest.approx(1 / recall.ONE_IN, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(votes, st.sets(st.sampled_from("UVwxyz"))), min_size=1, max_size=5))
def test_recall_is_cited_decisive_metrics_over_decisive_ones_by_hand(rows):
    groups, above, below = [], 0, 0
    for name, (weights, cited) in zip(asked(5), rows, strict=False):
        groups.append(
            group(name, trace(drop="residue"), trace(facts=facts_of(weights), cited=cited), trace(cited="u"))
        )
        total = sum(weights.values())
        decisive = [metric for metric, value in weights.items() if (total > 0) != (total - value > 0)]
        above += sum(metric in {each.lower() for each in cited} for metric in decisive)
        below += len(decisive)
    found = measure(citations.citation_recall, groups, Votes())
    assert found.value == (pytest.approx(above / below) if below else None)
    turned = measure(citations.citation_recall, groups[::-1], Votes(("a", "b")))
    assert turned.value == (None if found.value is None else pytest.approx(found.value))


def test_a_decisive_metric_can_be_named_in_a_sentence_with_a_number():
    facts = facts_of({"u": 1})
    for text, share in (("The u is 1.", 1), ("The u. It is 1.", 0), ("The v is 1.", 0)):
        groups = [group(asked(1)[0], trace(text, facts=facts))]
        assert measure(citations.citation_recall, groups, Votes()).value == share


def test_scenarios_that_are_not_sampled_cost_nothing():
    suite = Votes()
    name = next(name for name in (f"s{i}" for i in range(50)) if not recall.sampled(name))
    assert (
        measure(citations.citation_recall, [group(name, trace(facts=facts_of({"u": 1})))], suite).value
        is None
    )
    assert suite.calls == 0


def test_of_a_sampled_scenario_one_trace_is_asked_about():
    suite = Votes()
    both = [trace(facts=facts_of({"u": 1, "v": 2}))] * 3
    measure(citations.citation_recall, [group(asked(1)[0], *both)], suite)
    assert suite.calls == 3


# ---------------------------------------------------------------- a real run


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory):
    """Arms of a small run of all three methods, by name."""
    folder: Path = tmp_path_factory.mktemp("runs") / "r"
    strategies = "opoi,opcd,opcd-informed"
    main(
        [
            "run",
            "-q",
            "--n",
            "30",
            "--runs",
            "2",
            "--strategies",
            strategies,
            "--resamples",
            "100",
            "--out",
            str(folder),
        ]
    )
    run = Run.open(folder)
    return {arm.name: arm for arm in arms_of(run)}, run.suite


@pytest.mark.parametrize("name", ["js_excess", "bigram_js_excess", "oov_rate", "oov_types"])
def test_the_agent_s_own_words_are_near_and_a_corrector_s_far_the_farther_the_less_it_saw(arms, name):
    found = {arm: getattr(vocabulary, name)(each, resamples=100) for arm, each in arms[0].items()}
    assert found["opoi"].low <= found["base"].high  # OPOI, cleaned, is about where the base is
    assert found["opoi"].high < found["opcd-informed"].low
    assert found["opcd-informed"].value < found["opcd"].value


def test_the_corrector_s_texts_are_told_from_the_agent_s_by_every_test(arms):
    for name in ("js_excess", "bigram_js_excess", "tool_js_excess"):
        figure = getattr(vocabulary, name)
        assert figure(arms[0]["opcd"], resamples=100).p < 0.01
        assert figure(arms[0]["base"], resamples=100).p == 1


def test_citations_of_the_agent_are_right_and_those_of_a_corrector_without_data_are_not(arms):
    found = {
        name: citations.citation_precision.of(arms[1])(each, resamples=100) for name, each in arms[0].items()
    }
    assert found["opoi"].low > 0.8
    assert found["opcd-informed"].low > 0.8  # it was shown the data
    assert found["opcd"].high < 0.5


def test_the_answers_of_all_arms_have_the_agent_s_form_and_only_correctors_call_no_tool(arms):
    for name, each in arms[0].items():
        for figure in (form.json_valid, form.enum_valid, form.keys_in_order):
            assert figure.of(arms[1])(each, resamples=100).value > 0.9
        share = profile.no_tool_calls(each, resamples=100).value
        assert share == 1 if name.startswith("opcd") else share < 0.1
