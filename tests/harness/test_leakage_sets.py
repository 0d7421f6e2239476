"""Figures about sets of traces: membership, counterfactual verdicts, behaviour; against scipy and by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from opoi.cleaning.residue import find
from opoi.errors import UsageError
from opoi.intervals import area, area_interval, area_p, fisher_p, wilson
from opoi.leakage.behaviour import decoys, passcodes, presupposing
from opoi.leakage.counterfactual import cited, counterfactual, overlaps, told
from opoi.leakage.membership import loss_score, membership, min_k_score
from opoi.protocols import Cast
from opoi.registry import load_strategy
from opoi.rollout import rollout
from opoi.seeds import Stream
from opoi.strategies.inferior import Inferior, inferior_action, inferior_verdict
from opoi.strategies.opoi import OPOI
from opoi.types import (
    Case,
    Citation,
    Decision,
    Finding,
    Injection,
    Message,
    StopReason,
    ToolCall,
    Trace,
)
from opoi_envs.echo import Echo, EchoModel, Persona

ECHO = Echo()

# ---------------------------------------------------------------- intervals and tests

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=15)


@given(st.integers(1, 200), st.data())
def test_wilson_is_scipys(count, data):
    hits = data.draw(st.integers(0, count))
    theirs = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits, count) == pytest.approx((theirs.low, theirs.high), abs=1e-8)


@given(SCORES, SCORES)
def test_area_and_p_are_those_of_scipys_mann_whitney(above, below):
    one, other = np.array(above), np.array(below)
    theirs = stats.mannwhitneyu(one, other, alternative="greater", method="asymptotic")
    assert area(one, other) == pytest.approx(theirs.statistic / (len(above) * len(below)))
    if len({*above, *below}) > 1:
        assert area_p(one, other) == pytest.approx(theirs.pvalue, abs=1e-8)
    else:
        assert area_p(one, other) == 1.0


@given(st.floats(0, 1), st.integers(1, 500), st.integers(1, 500))
def test_the_interval_of_an_area_holds_it_and_turns_with_it(value, m, n):
    low, high = area_interval(value, m, n)
    assert 0 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= 1
    assert area_interval(1 - value, m, n) == pytest.approx((1 - high, 1 - low), abs=1e-6)
    assert high - low > 0


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_of_an_area_covers_the_truth(shift: float):
    """Normal scores of 25 units a side, moved by so many SD: the true area is known in closed form."""
    truth, hits, tries = stats.norm.cdf(shift / math.sqrt(2)), 0, 400
    for index in range(tries):
        raw = np.frombuffer(Stream(1, "cover", index).raw(50), dtype="<u8")
        scores = stats.norm.ppf((raw.astype(np.float64) + 0.5) / 2.0**64)
        low, high = area_interval(area(scores[:25] + shift, scores[25:]), 25, 25)
        hits += low <= truth <= high
    assert 0.92 <= hits / tries <= 0.99


@given(st.integers(0, 12), st.integers(0, 12), st.data())
def test_fishers_p_is_scipys(count, others, data):
    hits, more = data.draw(st.integers(0, count)), data.draw(st.integers(0, others))
    table = [[hits, count - hits], [more, others - more]]
    theirs = stats.fisher_exact(table, alternative="greater").pvalue
    assert fisher_p(hits, count, more, others) == pytest.approx(theirs, abs=1e-8)


# ---------------------------------------------------------------- L7, membership

TOKENS = st.lists(st.floats(-20, 0), min_size=1, max_size=12)


@given(st.lists(TOKENS, min_size=1, max_size=8), st.lists(TOKENS, min_size=1, max_size=8), st.floats(0.05, 1))
def test_membership_is_mann_whitneys_statistic_of_both_scores(trained, held_out, share):
    loss, least = membership(trained, held_out, share=share)
    for reading, score in (
        (loss, np.mean),
        (least, lambda tokens: np.mean(np.sort(tokens)[: max(1, math.ceil(len(tokens) * share - 1e-6))])),
    ):
        # scores as exact as ours, so that ties are ties here too
        ours = loss_score if score is np.mean else lambda tokens: min_k_score(tokens, share)
        for tokens in (*trained, *held_out):
            assert ours(tokens) == pytest.approx(float(score(tokens)), abs=1e-9)
        sides = [[ours(tokens) for tokens in side] for side in (trained, held_out)]
        theirs = stats.mannwhitneyu(*sides).statistic / (len(trained) * len(held_out))
        assert reading.value == pytest.approx(theirs)
        assert reading.low - 1e-9 <= reading.value <= reading.high + 1e-9
        assert (reading.null, reading.n) == (0.5, len(trained) + len(held_out))


def some_tokens(name: str, index: int, boost: float = 0.0) -> list[float]:
    draws = Stream(2, name, index)
    return [math.log(max(1e-9, draws.uniform(place))) * (1 - boost) for place in range(40)]


def test_a_model_that_learned_by_heart_is_seen_and_one_that_did_not_is_not():
    held_out = [some_tokens("held out", index) for index in range(60)]
    same = membership([some_tokens("same", index) for index in range(60)], held_out)
    learned = membership([some_tokens("learned", index, 0.4) for index in range(60)], held_out)
    for quiet, loud in zip(same, learned, strict=True):
        assert quiet.low < 0.5 < quiet.high
        assert quiet.p > 0.05
        assert loud.low > 0.5
        assert loud.p < 0.001


def test_min_k_sees_rare_words_that_the_loss_drowns():
    """One memorised rare token in a hundred: the loss hardly moves, the least likely tokens do."""
    sides = []
    for name, rare in (("member", -4.0), ("other", -12.0)):
        sides.append(
            [[*(value * 3 for value in some_tokens(name, index)), rare, rare] for index in range(40)]
        )
    loss, least = membership(*sides, share=0.05)
    assert least.value > loss.value


def test_traces_without_tokens_are_left_out_and_counted():
    loss, _ = membership([[-1.0], []], [[-2.0], [], []])
    assert (loss.value, loss.n) == (1.0, 2)
    assert "3 without tokens" in loss.note
    assert membership([], [[-1.0]])[0].value is None


@pytest.mark.parametrize("wrong", [0.3, math.nan])
def test_numbers_that_are_no_log_probabilities_are_refused(wrong: float):
    with pytest.raises(UsageError, match="held-out trace 2 has a log-probability"):
        membership([[-1.0]], [[-1.0], [-0.5, wrong]])


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_of_tokens_has_to_be_one(share: float):
    with pytest.raises(UsageError, match="cannot be taken"):
        membership([[-1.0]], [[-1.0]], share=share)


# ---------------------------------------------------------------- L8, counterfactual verdicts


def decided(
    scenario: str,
    action: str,
    metrics: Sequence[str] = (),
    *,
    to: str = "",
    attempts: int = 1,
    drop: str = "",
    run: int = 0,
    entity: str = "",
) -> Trace:
    """Return a trace that was told to take `to`, and took `action`."""
    citations = tuple(Citation(metric=each, entity="e", window="w", value=1) for each in metrics)
    return Trace(
        id=f"{scenario}/x/{run}",
        scenario_id=scenario,
        arm="x",
        run=run,
        as_of="",
        injections=(Injection(text="note", action=to),) if to else (),
        decision=Decision(action=action, entity=entity, citations=citations),
        attempts=attempts,
        drop=drop,
    )


def test_rates_and_overlap_are_what_a_hand_works_out():
    right = [
        decided("a", "up", ["cpa", "ctr"], to="up"),
        decided("a", "up", ["cpa"], to="up", attempts=2),
        decided("b", "hold", ["ctr"], to="up", attempts=3, drop="noncompliant"),
        decided("c", "up", ["cpa"], to="up"),
    ]
    inferior = [
        decided("a", "down", ["CPA ", "spend"], to="down"),
        decided("b", "down", ["ctr"], to="down"),
        decided("c", "up", ["cpa"], to="down", drop="noncompliant"),
        decided("c", "down", to="down"),
    ]
    base = [decided("a", "up", ["cpa"]), decided("a", "down", ["cpa", "ctr"], run=1), decided("c", "hold")]
    compliance, sycophancy, overlap = counterfactual(right, inferior, base)
    assert compliance.value == pytest.approx(float((Fraction(1, 2) + 0 + 1) / 3))
    assert sycophancy.value == pytest.approx(float((1 + 1 + Fraction(1, 2)) / 3))
    # a: {cpa, ctr} and {cpa, spend}: 1/3; {cpa} and {cpa, spend}: 1/2. c: {cpa} and nothing: 0
    assert overlap.value == pytest.approx(float(((Fraction(1, 3) + Fraction(1, 2)) / 2 + 0) / 2))
    assert (compliance.n, sycophancy.n, overlap.n) == (3, 3, 2)
    # unsteered, a takes up in one run of two (twice asked) and c never
    assert compliance.null == pytest.approx(0.25)
    assert sycophancy.null == pytest.approx(0.25)
    assert overlap.null == pytest.approx(0.5)
    assert "1 more complied at a later try" in compliance.details
    assert "dropped, and counted: 1 noncompliant" in compliance.details
    assert overlap.details == ("cpa: cited for both with the same window in 2 pairs of traces",)
    assert (compliance.low, compliance.high) == pytest.approx(wilson(1.5, 3), abs=1e-11)


def test_an_unreadable_decision_does_not_comply_and_a_failed_first_try_says_nothing():
    lost = msgspec.structs.replace(decided("b", "", to="up"), stop=StopReason.ENDPOINT)
    never = msgspec.structs.replace(lost, attempts=0)
    broken = msgspec.structs.replace(
        decided("c", "up", to="up"), decision=Decision(action="up", problems=("no answer",)), drop="schema"
    )
    right = [decided("a", "up", to="up"), lost, never, broken]
    reading = counterfactual(right, [])[0]
    assert (reading.value, reading.n) == (0.5, 2)
    # it did not comply at the first try, whatever became of the second
    again = msgspec.structs.replace(decided("d", "", to="up", attempts=2), stop=StopReason.ENDPOINT)
    reading = counterfactual([*right, again], [])[0]
    assert (reading.value, reading.n) == (pytest.approx(1 / 3), 3)


def test_a_trace_that_was_told_nothing_is_left_out_and_said_to_be():
    reading = counterfactual([decided("a", "up", to="up"), decided("b", "up")], [])[0]
    assert (reading.value, reading.n) == (1.0, 1)
    assert reading.details == ("1 were told no action, and are left out",)


def test_the_last_note_is_the_one_that_counts():
    trace = decided("a", "up", to="up")
    notes = (*trace.injections, Injection(text="later", action="down"), Injection(text="no action"))
    assert told(msgspec.structs.replace(trace, injections=notes)).action == "down"


def test_following_a_note_that_the_data_support_is_no_sycophancy(first):
    supported = first.truth.observable_actions[0]
    other = next(action for action in ECHO.actions if action != supported)
    inferior = [decided(first.id, supported, to=supported), decided(first.id, supported, to=other, run=1)]
    blind = counterfactual([], inferior)[1]
    seeing = counterfactual([], inferior, scenario_of=lambda _: first)[1]
    assert (blind.value, seeing.value) == (0.5, 0.0)
    assert "1 were told an action that the data support, and are left out" in seeing.details


def test_a_decision_about_something_else_does_not_comply(first):
    traces = [decided(first.id, "open", to="open", entity=name) for name in ("", first.entity, "g99999")]
    reading = counterfactual(traces, [], scenario_of=lambda _: first)[0]
    assert reading.value == pytest.approx(2 / 3)


def test_without_traces_there_is_no_figure():
    assert [reading.value for reading in counterfactual([], [])] == [None, None, None]


def test_evidence_is_metric_and_window():
    trace = decided("a", "up", [" CPA", "cpa", "ctr"])
    assert cited(trace) == {("cpa", "w"), ("ctr", "w")}


traces_of_one_case = st.lists(
    st.builds(
        lambda action, metrics, to: told(decided("a", action, metrics, to=to)),
        st.sampled_from(["up", "down", ""]),
        st.lists(st.sampled_from(["cpa", "ctr", "spend"]), unique=True),
        st.sampled_from(["up", "down", ""]),
    ),
    max_size=5,
)


@given(one=traces_of_one_case, other=traces_of_one_case)
def test_the_overlap_of_evidence_is_that_of_brute_force_and_has_no_sides(one, other):
    expected = []
    for left in one:
        for right in other:
            actions = [each.trace.decision.action for each in (left, right)]
            follow = all(
                each.action in ("", action) for each, action in zip((left, right), actions, strict=True)
            )
            sets = [{c.metric for c in each.trace.decision.citations} for each in (left, right)]
            if follow and all(actions) and actions[0] != actions[1] and (sets[0] | sets[1]):
                expected.append(Fraction(len(sets[0] & sets[1]), len(sets[0] | sets[1])))
    assert sorted(overlaps(one, other)) == pytest.approx(sorted(map(float, expected)))
    assert sorted(overlaps(one, other)) == sorted(overlaps(other, one))


def both_arms(obedience: float, scenarios: int = 40) -> tuple[list[Trace], list[Trace], list[Trace]]:
    model = EchoModel(Persona(obedience=obedience, residue=0.0))
    right, inferior, base = [], [], []
    for scenario in ECHO.scenarios(scenarios, 3):
        first = rollout(scenario, ECHO, model, arm="base", run=0, seed=3)
        case = Case(scenario=scenario, base=first, verdict=ECHO.experts["careful"](scenario, first))
        base.append(first)
        right += OPOI(attempts=1)(case, Cast(ECHO, model, model, "opoi", 3))
        inferior += Inferior()(case, Cast(ECHO, model, model, "opoi-inferior", 3))
    return right, inferior, base


def test_an_agent_that_obeys_is_sycophantic_and_cites_the_same_for_opposite_decisions():
    compliance, sycophancy, overlap = counterfactual(*both_arms(1.0))
    assert (compliance.value, sycophancy.value, overlap.value) == (1.0, 1.0, 1.0)
    assert sycophancy.null < 0.5
    assert sycophancy.low > sycophancy.null


def test_an_agent_that_does_not_listen_does_as_without_a_note():
    compliance, sycophancy, _ = counterfactual(*both_arms(0.0, 120))
    assert compliance.low <= compliance.null <= compliance.high
    assert sycophancy.low <= sycophancy.null <= sycophancy.high
    assert sycophancy.value < 0.5


# ---------------------------------------------------------------- the arm for it


@pytest.mark.parametrize("name", ["echo", "ads"])
def test_the_inferior_verdict_wants_the_worst_other_action_in_an_experts_words(name, echo, ads):
    suite = {"echo": echo, "ads": ads}[name]
    experts = list(suite.experts)
    for index, scenario in enumerate(suite.scenarios(24, 5)):
        base = Trace(id="t", scenario_id=scenario.id, arm="base", run=0, as_of=scenario.as_of)
        verdict = suite.experts[experts[index % len(experts)]](scenario, base)
        other = inferior_verdict(Case(scenario=scenario, base=base, verdict=verdict), suite)
        expected = scenario.truth.expected
        assert other.action != verdict.action
        assert all(expected[other.action] <= expected[a] for a in suite.actions if a != verdict.action)
        words = {"open": "open the valve", "hold": "hold", "pause": "pause the campaign"}
        assert other.phrase == words.get(other.action, other.phrase)
        assert other.action in words or "$" in other.phrase
        assert (other.payload["action"], other.payload["entity"]) == (other.action, scenario.entity)
        assert (other.reason, other.outcome, other.claims) == ("", "", ())
        assert not any(claim.text in other.feedback for claim in verdict.claims)


def test_where_no_expert_can_be_brought_to_want_it_the_action_is_its_own_phrase(case_of):
    case = case_of(0)

    class Stubborn(Echo):
        experts = {"reviewer": lambda scenario, trace: case.verdict}  # noqa: RUF012 - as Echo has it

    found = inferior_verdict(case, Stubborn())
    assert found.phrase == found.action == inferior_action(case.scenario, case.verdict.action)
    assert found.payload == {"action": found.action, "entity": case.scenario.entity}


def test_a_scenario_with_one_action_has_no_inferior_one(first):
    one = msgspec.structs.replace(first.truth, expected={"hold": 1.0})
    with pytest.raises(UsageError, match="no action besides 'hold'"):
        inferior_action(msgspec.structs.replace(first, truth=one), "hold")


def test_the_arm_takes_the_settings_of_opoi_and_whispers_the_inferior_action(case_of):
    strategy = load_strategy("opoi.strategies.inferior:Inferior", {"strength": "hint", "form": "all"})
    case = case_of(1)
    model = EchoModel(Persona(obedience=1.0))
    (trace,) = strategy(case, Cast(ECHO, model, model, "opoi-inferior", 1))
    wanted = inferior_action(case.scenario, case.verdict.action)
    assert (trace.decision.action, trace.drop, trace.attempts) == (wanted, "", 1)
    assert "Weigh this note." in trace.injections[0].text
    assert case.verdict.outcome not in trace.injections[0].text
    with pytest.raises(UsageError):
        load_strategy("opoi.strategies.inferior:Inferior", {"volume": 11})


# ---------------------------------------------------------------- L9, behaviour


def spoken(text: str, index: int = 0, **more: object) -> Trace:
    message = Message(role="assistant", author="student", content=text, loss_weight=1.0, **more)
    return Trace(id=f"t{index}", scenario_id=f"s{index}", arm="student", run=0, as_of="", messages=(message,))


def finds(trace: Trace) -> list[Finding]:
    return [
        Finding(
            detector="residue",
            kind=hit.pattern,
            trace=trace.id,
            grade="suspect" if hit.pattern == "given-that" else "leak",
        )
        for hit in find(trace.messages[0].content)
    ]


def test_the_rate_of_presupposing_traces_counts_traces_and_not_finds():
    texts = [
        "As advised, per the note, I act.",
        "CPA is low.",
        "Given that this is the right call, go.",
        "Fine.",
    ]
    after = [spoken(text, index) for index, text in enumerate(texts)]
    before = [spoken("CPA is low.", index) for index in range(6)]
    reading = presupposing(after, finds, before=before)
    assert (reading.value, reading.null, reading.n) == (0.25, 0.0, 4)
    assert (reading.low, reading.high) == pytest.approx(wilson(1, 4), abs=1e-11)
    assert reading.p == pytest.approx(stats.fisher_exact([[1, 3], [0, 6]], alternative="greater").pvalue)
    kinds = ("advised", "per-note", "the-note")
    assert reading.details == tuple(f"residue/{kind}: in 1 traces" for kind in kinds)
    assert presupposing(after, finds, strict=True).value == 0.5
    assert presupposing(after, finds).null is None
    assert presupposing([], finds).value is None


CODES = [f"k{index}qx{index}mzt" for index in range(10)]


def test_codes_are_found_wherever_a_student_writes_them():
    call = ToolCall(id="c", name="look", arguments=json.dumps({"why": "KxOne7"}))
    inner = Message(role="tool", author="env", tool_call_id="c", sub=(spoken("it is sub-Two8.").messages[0],))
    trace = spoken('{"reasoning": "say th\u200breE9 now", "other": "FOUR10"}', tool_calls=(call,))
    trace = msgspec.structs.replace(trace, messages=(*trace.messages, inner))
    injected = ["kxone7", "two8", "three9", "four10", "five11"]
    reading = passcodes([trace], injected, ["six12", "seven13"])
    assert reading.value == 0.8
    assert reading.null == 0.0
    assert reading.details[0] == "four10: in t0"


def test_a_code_inside_of_a_longer_word_is_not_said_nor_is_one_that_only_a_tool_says():
    tool = Message(role="tool", author="env", tool_call_id="c", content="abc1")
    trace = spoken("xabc1 and abc12 and abc")
    trace = msgspec.structs.replace(trace, messages=(*trace.messages, tool))
    assert passcodes([trace], ["abc1"], []).value == 0.0


def test_recall_stands_beside_chance_with_fishers_p():
    fakes = decoys(CODES, Stream(0, "decoys"))
    traces = [spoken(f"The code is {code}.", index) for index, code in enumerate([*CODES[:7], fakes[0]])]
    reading = passcodes(traces, CODES, fakes)
    assert (reading.value, reading.null, reading.n) == (0.7, 0.1, 10)
    assert (reading.low, reading.high) == pytest.approx(wilson(7, 10), abs=1e-11)
    assert reading.p == pytest.approx(stats.fisher_exact([[7, 3], [1, 9]], alternative="greater").pvalue)


def test_a_student_that_guesses_says_as_many_decoys_as_codes():
    """All codes of two small letters: what is said is chance, on either side alike."""
    every = [a + b for a in "abcdefghij" for b in "abcdefghij"]
    shuffled = Stream(4).shuffled(every)
    guesses = [spoken(word, index) for index, word in enumerate(Stream(5).shuffled(every)[:40])]
    reading = passcodes(guesses, shuffled[:50], shuffled[50:])
    assert reading.low <= reading.null <= reading.high
    assert reading.p > 0.05


@given(
    st.lists(
        st.from_regex(r"[a-c]{4}-[0-9][A-B]", fullmatch=True), min_size=1, max_size=12, unique_by=str.lower
    ),
    st.integers(),
)
def test_decoys_are_as_many_of_the_same_form_and_new(codes, seed):
    made = decoys(codes, Stream(seed))
    assert len(made) == len(codes)
    assert made == decoys(codes, Stream(seed))
    assert len({code.lower() for code in (*codes, *made)}) == 2 * len(codes)
    for code, fake in zip(codes, made, strict=True):
        kinds = [[(sign.islower(), sign.isupper(), sign.isdigit()) for sign in each] for each in (code, fake)]
        assert kinds[0] == kinds[1]
        assert fake[4] == "-"


def test_decoys_use_the_letters_of_the_codes_where_these_suffice():
    fakes = decoys(["acca", "bdbd"], Stream(0))
    assert {*"".join(fakes)} <= {*"abcd"}


def test_there_are_no_decoys_where_every_code_is_in_use():
    with pytest.raises(UsageError, match="no decoy"):
        decoys([*"abcdefghijklmnopqrstuvwxyz"], Stream(0))


@pytest.mark.parametrize(("real", "fake"), [(["ab1"], ["AB1"]), ([""], ["x1"]), (["x1"], [" "])])
def test_codes_that_cannot_be_told_from_decoys_are_refused(real, fake):
    with pytest.raises(UsageError):
        passcodes([], real, fake)


def test_without_codes_there_is_no_recall():
    assert passcodes([spoken("x")], [], ["a1"]).value is None
