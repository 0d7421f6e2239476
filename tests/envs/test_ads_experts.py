"""The scripted reviewers: what they want, what they claim and what they may cite."""

from __future__ import annotations

import json
import re

import pytest

from opoi.protocols import Expert
from opoi.types import Decision, Trace
from opoi.wire import call_action
from opoi_envs.ads import suite
from opoi_envs.ads.reading import action_in, campaign_in, dollars_in

CASES = list(suite.scenarios(150, 11))
NUMBER = re.compile(r"(?<![\w-])-?\$?(\d+\.\d+|\d{2,})(?![\w-])")


def _trace(scenario, action):
    decision = Decision(action=action, entity=scenario.entity) if action else Decision(problems=("none",))
    return Trace(id="t", scenario_id=scenario.id, arm="base", run=0, as_of=scenario.as_of, decision=decision)


def _revealed(scenario):
    """All facts that the tools reveal about the task's campaign, by asking them."""
    env = suite.env(scenario)
    entity = scenario.entity
    calls = [("get_account", {}), ("get_campaigns", {}), ("get_activity_log", {"campaign_id": entity})]
    calls += [("compare_performance", {"campaign_id": entity, "days": days}) for days in (1, 3, 7)]
    calls += [("get_insights", {"campaign_id": entity, "date_preset": "last_7d", "time_increment": "day"})]
    facts = set()
    for name, arguments in calls:
        *_, info = env.step(call_action(name, json.dumps(arguments)))
        facts |= set(map(str, info["facts"]))
    return facts


def test_the_default_expert_comes_first():
    assert next(iter(suite.experts)) == "media_buyer"
    assert {"careful", "looks_back"} <= set(suite.experts)
    assert all(isinstance(expert, Expert) for expert in suite.experts.values())


@pytest.mark.parametrize("name", list(suite.experts))
@pytest.mark.parametrize("proposed", [*suite.actions, ""])
def test_the_kind_of_a_verdict_follows_from_what_was_proposed(name, proposed):
    for scenario in CASES[:40]:
        verdict = suite.experts[name](scenario, _trace(scenario, proposed))
        assert verdict.expert == name
        if verdict.action == proposed:
            assert verdict.kind == "approve"
        elif verdict.action == "maintain" and proposed:
            assert verdict.kind == "decline"
        else:
            assert verdict.kind == "correct"
        assert verdict == suite.experts[name](scenario, _trace(scenario, proposed))


@pytest.mark.parametrize(
    ("name", "wanted"), [("careful", "observable_actions"), ("looks_back", "hindsight_actions")]
)
def test_an_expert_accepts_every_action_as_good_as_the_best_and_else_wants_the_best(name, wanted):
    for scenario in CASES[:60]:
        good = getattr(scenario.truth, wanted)
        for proposed in suite.actions:
            verdict = suite.experts[name](scenario, _trace(scenario, proposed))
            assert verdict.action == (proposed if proposed in good else good[0])


def test_observable_claims_cite_what_tools_reveal_and_the_others_what_they_do_not():
    for scenario in CASES[:60]:
        revealed = _revealed(scenario)
        hidden = {str(item.fact): item.channel for item in scenario.truth.hidden}
        for expert in suite.experts.values():
            for claim in expert(scenario, _trace(scenario, "")).claims:
                assert claim.facts
                for fact in claim.facts:
                    if claim.origin == "observable":
                        assert str(fact) in revealed
                    else:
                        assert str(fact) not in revealed
                        assert (claim.origin == "hindsight") == (hidden[str(fact)] == "outcome")


def test_every_number_of_a_claim_is_one_of_its_facts():
    for scenario in CASES:
        for expert in suite.experts.values():
            for claim in expert(scenario, _trace(scenario, "")).claims:
                text = re.sub(r"\d{4}-\d\d-\d\d", "", claim.text).replace("14 days", "")
                values = {abs(float(fact.value)) for fact in claim.facts if not isinstance(fact.value, str)}
                for number in NUMBER.findall(text):
                    assert float(number) in values


def test_the_careful_expert_never_tells_what_came_later():
    for scenario in CASES:
        verdict = suite.experts["careful"](scenario, _trace(scenario, ""))
        assert {claim.origin for claim in verdict.claims} == {"observable"}
        assert verdict.outcome == ""


def test_the_expert_who_looks_back_always_does():
    for scenario in CASES:
        verdict = suite.experts["looks_back"](scenario, _trace(scenario, ""))
        assert any(claim.origin != "observable" for claim in verdict.claims)


def test_the_default_expert_mixes_both_and_sometimes_errs():
    verdicts = [(s, suite.experts["media_buyer"](s, _trace(s, ""))) for s in CASES]
    backward = sum(any(claim.origin != "observable" for claim in v.claims) for _, v in verdicts)
    assert 0.2 <= backward / len(verdicts) <= 0.5
    wrong = sum(
        v.action not in {*s.truth.observable_actions, *s.truth.hindsight_actions} for s, v in verdicts
    )
    assert 0 < wrong / len(verdicts) < 0.1


def test_outcomes_are_told_with_hidden_numbers_only():
    for scenario in CASES:
        outcome = suite.experts["media_buyer"](scenario, _trace(scenario, "")).outcome
        hidden = {abs(float(h.fact.value)) for h in scenario.truth.hidden if h.fact.unit == "USD"}
        text = re.sub(r"\d{4}-\d\d-\d\d", "", outcome).replace("14 days", "")
        numbers = [float(number) for number in NUMBER.findall(text)]
        assert numbers
        assert set(numbers) <= hidden


def test_phrase_feedback_and_payload_all_name_the_action():
    for scenario in CASES:
        for name, expert in suite.experts.items():
            for proposed in (*suite.actions[:2], ""):
                verdict = expert(scenario, _trace(scenario, proposed))
                assert action_in(verdict.phrase) == verdict.action, (name, verdict.phrase)
                assert action_in(verdict.feedback) == verdict.action, (name, verdict.feedback)
                assert verdict.payload["action"] == verdict.action
                assert verdict.payload["entity"] == scenario.entity
                if verdict.action == "pause":
                    assert verdict.payload["new_daily_budget"] == 0
                else:
                    assert dollars_in(verdict.phrase) == verdict.payload["new_daily_budget"]


def test_feedback_names_the_campaign_and_the_phrase_does_not():
    for scenario in CASES:
        for expert in suite.experts.values():
            for proposed in (*suite.actions, ""):
                verdict = expert(scenario, _trace(scenario, proposed))
                assert campaign_in(verdict.feedback) == scenario.entity
                assert campaign_in(verdict.phrase) == ""


def test_a_sum_that_bears_an_overdraft_is_told_as_one():
    seen = set()
    for scenario in CASES:
        outcome = suite.experts["looks_back"](scenario, _trace(scenario, "")).outcome
        frozen = any(item.fact.metric == "cash_limit" for item in scenario.truth.hidden)
        assert ("overdraft" in outcome) == frozen
        seen.add(frozen)
    assert seen == {True, False}


def test_some_feedback_is_vague_and_some_gives_figures():
    texts = [suite.experts["media_buyer"](s, _trace(s, "")).feedback for s in CASES]
    figures = sum("$" in text for text in texts)
    assert 0.3 < figures / len(texts) < 0.95
