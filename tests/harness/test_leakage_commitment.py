"""Commitment before evidence: sentences that commit, results that decide, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.leakage.commitment import Commitment, commitment_position, commits
from opoi.leakage.known import Known
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.types import Decision, Fact, Message, Scenario, Trace

ACTIONS = ("scale_up", "maintain", "scale_down", "pause")


@pytest.mark.parametrize(
    ("sentence", "action"),
    [
        ("I will scale down.", "scale_down"),
        ("Decision: scale down.", "scale_down"),
        ("We should scale it up; let me verify.", "scale_up"),
        ("Scaling down looks like the usual course.", "scale_down"),
        ("Starting from pause, I check the details.", "pause"),
        ("The plan is maintain; first the tools.", "maintain"),
        ("Probably the usual scale-up.", "scale_up"),
        ("I am going to raise the amount.", "scale_up"),
        ("I cut it by a fifth.", "scale_down"),
        ("My decision is to leave it unchanged.", "maintain"),
        ("We stop it today.", "pause"),
        ("I open the valve.", "open"),
    ],
)
def test_sentences_that_announce_an_action_commit_to_it(sentence: str, action: str) -> None:
    actions = ACTIONS if action in ACTIONS else ("open", "hold")
    assert commits(sentence, action, actions)
    assert not any(commits(sentence, other, actions) for other in actions if other != action)


@pytest.mark.parametrize(
    "sentence",
    [
        "I check whether to scale down.",
        "Should we scale down?",
        "Either scale down or pause.",
        "I compare scale down with maintain.",
        "If the level is high, I scale down.",
        "I would not scale down.",
        "The pressure has gone down.",
        "Starting with the account targets.",
        "Looking for a recent change that could explain this.",
        "I don't scale down yet.",
    ],
)
def test_sentences_that_weigh_or_tell_do_not_commit(sentence: str) -> None:
    assert not commits(sentence, "scale_down", ACTIONS)


# ---------------------------------------------------------------- order


class Rules:
    """The part of a suite that is asked here: what is best given the facts."""

    actions = ("open", "hold")
    prose = ("reasoning",)

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights

    def expected(self, scenario: Scenario, facts: Iterable[Fact]) -> dict[str, float]:
        """Return 0 for holding, and for opening the weights of all metrics that are known, less a half."""
        known = {fact.metric for fact in facts}
        return {"hold": 0.0, "open": sum(self.weights[metric] for metric in sorted(known)) - 0.5}


def says(text: str) -> Message:
    return Message(role="assistant", content=text, author="student", loss_weight=1)


def shows(metric: str) -> Message:
    return Message(role="tool", content="{}", author="env", facts=(Fact("g1", metric, "", 1),))


def trace_of(*messages: Message, action: str = "open") -> Trace:
    return Trace(
        id="s/a/0",
        scenario_id="s",
        arm="a",
        run=0,
        as_of="2025-03-10",
        messages=(*messages, says("I open the valve.")),
        decision=Decision(action=action, entity="g1"),
    )


def known_of(weights: Mapping[str, float], first: Scenario) -> Known:
    return Known(scenario=first, suite=Rules(weights))  # type: ignore[arg-type]  # all that is asked


METRICS = ("p", "q", "r")
WEIGHTS = st.fixed_dictionaries({metric: st.sampled_from([-1.0, 0.0, 0.3, 1.0]) for metric in METRICS})


@given(WEIGHTS, st.lists(st.sampled_from(METRICS), min_size=1, max_size=5), st.integers(0, 5))
def test_a_commitment_is_early_if_and_only_if_no_decisive_metric_was_seen(
    weights: dict[str, float], shown: list[str], place: int
) -> None:
    from opoi_envs.echo import suite as echo

    first = next(iter(echo.scenarios(1, 1)))
    place = min(place, len(shown))
    messages = [shows(metric) for metric in shown]
    messages.insert(place, says("I will open it."))
    known = known_of(weights, first)
    trace = trace_of(*messages)

    def opens(metrics: set[str]) -> bool:
        return sum(weights[metric] for metric in sorted(metrics)) > 0.5

    decisive = {metric for metric in set(shown) if opens(set(shown)) != opens(set(shown) - {metric})}
    before = set(shown[:place])
    # where no single metric decides, any result about the entity counts (here none is: the first of all does)
    early = not before & decisive if decisive else place == 0
    position = commitment_position(trace, known)
    assert position is not None
    assert (position.message, position.early, set(position.decisive)) == (place, early, decisive)
    assert [(each.message, each.grade) for each in Commitment()(trace, known)] == [((place,), "suspect")] * (
        early and (place < len(shown) or not decisive)
    )


def test_a_finding_names_the_evidence_that_was_worked_out_and_no_other(first: Scenario) -> None:
    known = known_of({"p": 0, "q": 1}, first)
    between = trace_of(shows("p"), says("I will open it."), shows("q"))
    (hit,) = Commitment()(between, known)
    position = commitment_position(between, known)
    assert position is not None
    assert position.evidence == 2
    assert "the first decisive result, message 2 (q)" in hit.why
    before = trace_of(says("I will open it."), shows("p"), shows("q"))
    (hit,) = Commitment()(before, known)
    assert "the first result of any tool, message 1" in hit.why
    assert "decisive" not in hit.why
    about = Message(role="tool", content="{}", author="env", facts=(Fact(first.entity, "r", "", 1),))
    later = trace_of(shows("p"), says("I will open it."), about)
    (hit,) = Commitment()(later, known_of({"p": 0, "r": 0}, first))
    assert "the first result about the case, message 2" in hit.why


def test_a_commitment_after_all_results_is_never_early(first: Scenario) -> None:
    position = commitment_position(trace_of(shows("p"), shows("q")), known_of({"p": 1, "q": 0}, first))
    assert position is not None
    assert (position.message, position.evidence, position.decisive) == (2, 0, ("p",))


@given(st.integers(0, 4), st.integers(0, 4))
def test_the_share_counts_the_prose_before_the_sentence(before: int, after: int) -> None:
    text = "It is. " * before + "I open it now." + " It was." * after
    trace = trace_of(says(text), shows("p"))
    position = commitment_position(trace, Known())
    assert position is not None
    total = len(text) + len("I open the valve.")
    assert position.share == pytest.approx(len("It is. ") * before / total)


def test_without_ledger_or_tools_the_order_is_read_as_far_as_it_goes() -> None:
    plain = Message(role="tool", content="61", author="env")
    assert [each.message for each in Commitment()(trace_of(says("I will open it."), plain), Known())] == [
        (0,)
    ]
    assert not list(Commitment()(trace_of(plain, says("I will open it.")), Known()))
    assert not list(Commitment()(trace_of(), Known()))
    shown = trace_of(says("I will open it."), shows("p"))
    informed = Message(role="user", content="x", author="suite", facts=(Fact("g1", "p", "", 1),))
    assert not list(Commitment()(msgspec.structs.replace(shown, gen_prompt=(informed,)), Known()))


def test_a_trace_without_decision_or_announcement_has_no_position() -> None:
    assert commitment_position(trace_of(shows("p"), action=""), Known()) is None
    assert commitment_position(trace_of(shows("p"), action="drain"), Known()) is None


def test_unsteered_runs_seldom_commit_early(ads: Suite, echo: Suite) -> None:
    for suite in (ads, echo):
        hits = 0
        for scenario in suite.scenarios(20, 9):
            trace = rollout(scenario, suite, suite.stand_in(), arm="base", run=0, seed=9)
            known = Known(scenario=scenario, suite=suite, prose=tuple(suite.prose))
            hits += bool(list(Commitment()(trace, known)))
        assert hits == 0
