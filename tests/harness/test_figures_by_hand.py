"""Every figure that counts endings and actions, counted again by plain loops written from its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from opoi.measures import RatioMetric
from opoi.measures.figures import accuracy, consensus, gaps, grounding, profile, residue, steering
from opoi.types import (
    Arm,
    Citation,
    Claim,
    Cleaned,
    Decision,
    Edit,
    Fact,
    Group,
    Hidden,
    Injection,
    Message,
    Scenario,
    StopReason,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

ACTIONS = ("up", "hold", "down")
NULL = "hold"
AS_OF = "2025-03-14"
RUNS = 4
"""Most traces of a scenario in these tests."""

Part = tuple[float | Fraction, float | Fraction]
"""What one scenario adds to the numerator and to the denominator."""


# ---------------------------------------------------------------- a suite, and groups that hold everything


def expected(scenario: Scenario, facts: Iterable[Fact]) -> dict[str, float]:
    """Expect what holds of the actions that a fetched fact names, and 2 of all others."""
    known = {fact.metric for fact in facts}
    return {action: scenario.truth.expected[action] if action in known else 2.0 for action in ACTIONS}


SUITE: Any = SimpleNamespace(expected=expected, null_action=NULL)

STOPS = [StopReason.ANSWERED] * 8 + [StopReason.ENDPOINT, StopReason.TRUNCATED, StopReason.TURN_BUDGET]
AMOUNTS = [100, 95, 109, 111, 112, 130, 160, 89, -100, "100", True, None]
PAYLOADS: list[dict[str, Any]] = [{}, {"amount": 100}, {"amount": 100, "why": True, "name": "x"}]
RULES = ["residue/noted", "rewrite", "resample/told", "overlap/8gram", "residues"]
some_actions = st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=2, unique=True).map(tuple)
utilities = st.fixed_dictionaries({action: st.integers(0, 4).map(float) for action in ACTIONS})


@st.composite
def messages(draw: st.DrawFn, depth: int = 0) -> tuple[Message, ...]:
    """A call or two, and what came back: facts with days around the decision, nested runs."""
    made = []
    for _ in range(draw(st.integers(0, 2))):
        calls = tuple(
            ToolCall(id=f"c{i}", name="look", arguments="{}") for i in range(draw(st.integers(0, 2)))
        )
        facts = tuple(
            Fact("e1", metric, day, 1)
            for metric, day in draw(
                st.lists(
                    st.tuples(
                        st.sampled_from(ACTIONS),
                        st.sampled_from(["", AS_OF, "2025-03-15", "2025-03-10..2025-03-16"]),
                    ),
                    max_size=2,
                )
            )
        )
        sub = draw(messages(depth + 1)) if depth < 2 and draw(st.booleans()) else ()
        made.append(Message(role="assistant", author="student", tool_calls=calls))
        made.append(Message(role="tool", author="env", facts=facts, sub=sub))
    return tuple(made)


@st.composite
def entries(draw: st.DrawFn) -> Cleaned:
    """Any trace: kept, dropped, failed, invalid, about something else."""
    valid = draw(st.sampled_from([True, True, True, False]))
    amount = draw(st.sampled_from(AMOUNTS))
    trace = Trace(
        id="t",
        scenario_id="s",
        arm="a",
        run=0,
        as_of=AS_OF,
        messages=draw(messages()),
        decision=Decision(
            action=draw(st.sampled_from(ACTIONS)),
            entity=draw(st.sampled_from(["e1", "e1", "", "e2"])),
            payload={} if amount is None else {"amount": amount, "why": 1},
            problems=() if valid else ("no object",),
        ),
        stop=draw(st.sampled_from(STOPS)),
        drop=draw(st.sampled_from(["", "", "residue", "noncompliant"])),
        attempts=draw(st.sampled_from([1, 1, 1, 2, 0])),
    )
    whole = draw(st.integers(0, 9))
    return Cleaned(
        trace=trace,
        level="C2",
        edits=tuple(
            Edit(rule=rule, message=(0,)) for rule in draw(st.lists(st.sampled_from(RULES), max_size=1))
        ),
        residue=draw(st.sampled_from([(), (), ("noted",)])),
        target_chars=whole,
        edited_chars=draw(st.integers(0, whole)),
    )


@st.composite
def groups(draw: st.DrawFn) -> list[Group]:
    """Several scenarios, with a verdict or without."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        truth = Truth(
            expected=draw(utilities),
            realised=draw(utilities),
            observable_actions=draw(some_actions),
            hindsight_actions=draw(some_actions),
        )
        scenario = Scenario(
            id=f"s{number}", suite="t", seed=0, kind="k", as_of=AS_OF, task="", entity="e1", truth=truth
        )
        verdict = None
        if draw(st.sampled_from([True, True, True, False])):
            amounts: dict[str, Any] = draw(st.sampled_from(PAYLOADS))
            action = draw(st.sampled_from(ACTIONS))
            verdict = Verdict(
                expert="e", kind="correct", action=action, phrase="", feedback="", payload=amounts
            )
        cleaned = tuple(draw(st.lists(entries(), max_size=RUNS)))
        made.append(Group(scenario=scenario, verdict=verdict, cleaned=cleaned))
    return made


# ---------------------------------------------------------------- what counts, in words of the definitions


def kept_of(group: Group) -> list[Cleaned]:
    """Rollouts that were answered and that no strategy or rule dropped."""
    kept = []
    for each in group.cleaned:
        if each.trace.stop == StopReason.ANSWERED and each.trace.drop == "":
            kept.append(each)
    return kept


def runs_of(group: Group) -> list[Trace]:
    """Rollouts that were made, and that the endpoint did not fail."""
    return [
        each.trace
        for each in group.cleaned
        if each.trace.attempts >= 1 and each.trace.stop != StopReason.ENDPOINT
    ]


def said(trace: Trace) -> str:
    """What is decided, about what: one text; all that says nothing readable is the same one."""
    if trace.stop != StopReason.ANSWERED or trace.decision.problems:
        return "nothing"
    return f"{trace.decision.action} {trace.decision.entity or 'e1'}"


def is_one_of(trace: Trace, actions: Iterable[str]) -> bool:
    return any(said(trace) == f"{action} e1" for action in actions)


def done(trace: Trace) -> str:
    """What becomes of the scenario's entity: no readable decision about it changes nothing."""
    for action in ACTIONS:
        if said(trace) == f"{action} e1":
            return action
    return NULL


def share(flags: Iterable[bool]) -> Part:
    listed = list(flags)
    return len([flag for flag in listed if flag]), len(listed)


# ---------------------------------------------------------------- accuracy: 5.1 and 5.9


def against(references: Callable[[Group], Sequence[str]]) -> Callable[[Group], Part]:
    return lambda group: share(is_one_of(trace, references(group)) for trace in runs_of(group))


def wanted(group: Group) -> list[str]:
    return [] if group.verdict is None else [group.verdict.action]


def observable(group: Group) -> Sequence[str]:
    return group.scenario.truth.observable_actions


def hindsight(group: Group) -> Sequence[str]:
    return group.scenario.truth.hindsight_actions


def vs_expert(group: Group) -> Part:
    return (0, 0) if group.verdict is None else against(wanted)(group)


def vs_expert_where_unreachable(group: Group) -> Part:
    reachable = any(action in observable(group) for action in wanted(group))
    return (0, 0) if reachable else vs_expert(group)


def near_the_expert(group: Group) -> Part:
    if group.verdict is None:
        return 0, 0
    hits = 0
    for trace in runs_of(group):
        near = is_one_of(trace, wanted(group))
        if "amount" in group.verdict.payload:
            found: Any = trace.decision.payload.get("amount")
            near = near and type(found) is int and 10 * abs(found - 100) <= max(abs(found), 100)
        hits += near
    return hits, len(runs_of(group))


def by_majority(references: Callable[[Group], Sequence[str]]) -> Callable[[Group], Part]:
    def count(group: Group) -> Part:
        runs = runs_of(group)
        if not runs or not references(group):
            return 0, 0
        votes = [sum(said(other) == said(trace) for other in runs) for trace in runs]
        first: dict[str, bool] = {}  # one run for each decision that no other is more frequent than
        for trace, count in zip(runs, votes, strict=True):
            if count == max(votes):
                first[said(trace)] = is_one_of(trace, references(group))
        return Fraction(sum(first.values()), len(first)), 1

    return count


def lost(utility: Callable[[Truth], dict[str, float]]) -> Callable[[Group], Part]:
    def count(group: Group) -> Part:
        worth = utility(group.scenario.truth)
        runs = runs_of(group)
        return sum(max(worth.values()) - worth[done(trace)] for trace in runs), len(runs)

    return count


ACCURACY: dict[str, Callable[[Group], Part]] = {
    "accuracy_expert": vs_expert,
    "accuracy_observable": against(observable),
    "accuracy_hindsight": against(hindsight),
    "accuracy_magnitude": near_the_expert,
    "accuracy_majority": by_majority(wanted),
    "accuracy_majority_observable": by_majority(observable),
    "accuracy_majority_hindsight": by_majority(hindsight),
    "accuracy_unreachable": vs_expert_where_unreachable,
    "regret_observable": lost(lambda truth: truth.expected),
    "regret_hindsight": lost(lambda truth: truth.realised),
    "unreachable_targets": lambda group: share(
        not is_one_of(each.trace, observable(group)) for each in kept_of(group)
    ),
}


# ---------------------------------------------------------------- consensus: 5.2


def pairs_that_agree(group: Group) -> Part:
    runs = runs_of(group)
    pairs = [(one, other) for at, one in enumerate(runs) for other in runs[at + 1 :]]
    agree = [pair for pair in pairs if said(pair[0]) == said(pair[1])]
    return (Fraction(len(agree), len(pairs)), 1) if pairs else (0, 0)


def most_frequent(group: Group) -> Part:
    runs = [said(trace) for trace in runs_of(group)]
    return (Fraction(max(map(runs.count, runs)), len(runs)), 1) if len(runs) >= 2 else (0, 0)


def all_equal(group: Group) -> Part:
    runs = [said(trace) for trace in runs_of(group)]
    return (int(all(run == runs[0] for run in runs)), 1) if len(runs) >= 2 else (0, 0)


CONSENSUS: dict[str, Callable[[Group], Part]] = {
    "consensus": most_frequent,
    "consensus_pair": pairs_that_agree,
    "consensus_unanimous": all_equal,
}


# ---------------------------------------------------------------- profile: 3.3, 3.14, 5.7 V8, 5.8 L10


def nested(listed: Iterable[Message]) -> list[Message]:
    """All messages of nested runs, however deep."""
    found: list[Message] = []
    waiting = [message for outer in listed for message in outer.sub]
    while waiting:
        message = waiting.pop()
        found.append(message)
        waiting.extend(message.sub)
    return found


def calls_in(listed: Iterable[Message]) -> int:
    return sum(1 for message in listed for _ in message.tool_calls)


def late_facts(trace: Trace) -> int:
    every = [*trace.messages, *nested(trace.messages)]
    return sum(fact.window.split("..")[-1] > AS_OF for message in every for fact in message.facts)


def ended(*reasons: StopReason) -> Callable[[Group], Part]:
    return lambda group: share(each.trace.stop in reasons for each in group.cleaned)


OWN_FAULT = [reason for reason in StopReason if reason not in (StopReason.ANSWERED, StopReason.ENDPOINT)]

PROFILE: dict[str, Callable[[Group], Part]] = {
    "yield": lambda group: (len(kept_of(group)), len(group.cleaned)),
    "agent_failures": ended(*OWN_FAULT),
    "infrastructure_failures": ended(StopReason.ENDPOINT),
    "tool_calls": lambda group: (
        sum(calls_in(each.trace.messages) for each in kept_of(group)),
        len(kept_of(group)),
    ),
    "nested_tool_calls": lambda group: (
        sum(calls_in(nested(each.trace.messages)) for each in kept_of(group)),
        len(kept_of(group)),
    ),
    "no_tool_calls": lambda group: share(calls_in(each.trace.messages) == 0 for each in kept_of(group)),
    "edited_share": lambda group: (
        sum(each.edited_chars for each in kept_of(group)),
        sum(each.target_chars for each in kept_of(group)),
    ),
    "as_of_violations": lambda group: (
        sum(late_facts(each.trace) for each in group.cleaned),
        len(group.cleaned),
    ),
}


# ---------------------------------------------------------------- residue: 5.8 L1


def had_residue(each: Cleaned) -> bool:
    """A pattern matches still, or a rule that acts on nothing but residue has edited."""
    return each.residue != () or any(edit.rule in RULES[:3] for edit in each.edits)


RESIDUE: dict[str, Callable[[Group], Part]] = {
    "residue": lambda group: share(each.residue != () for each in kept_of(group)),
    "residue_before": lambda group: share(had_residue(each) for each in group.cleaned),
}


# ---------------------------------------------------------------- gaps: 5.9


def fetched(group: Group, trace: Trace) -> dict[str, float]:
    every = [*trace.messages, *nested(trace.messages)]
    return expected(group.scenario, [fact for message in every for fact in message.facts])


def means(group: Group) -> list[dict[str, float]]:
    """The utilities of 5.9 for each run.

    What was realised is taken as more than what doing nothing brought, on top of what that was expected to
    bring: the mean over scenarios is the same.
    """
    truth = group.scenario.truth
    realised = {
        action: worth - truth.realised[NULL] + truth.expected[NULL]
        for action, worth in truth.realised.items()
    }
    return [
        {
            "hind": max(realised.values()),
            "obs": max(truth.expected.values()),
            "fetch": max(fetched(group, trace).values()),
            "taken": truth.expected[done(trace)],
            "agent": realised[done(trace)],
        }
        for trace in runs_of(group)
    ]


def gap(more: str, less: str) -> Callable[[Group], Part]:
    return lambda group: (sum(each[more] - each[less] for each in means(group)), len(runs_of(group)))


def is_on_path(group: Group, trace: Trace) -> bool:
    given = fetched(group, trace)
    best = [action for action in ACTIONS if given[action] == max(given.values())]
    return any(action in observable(group) for action in best)


def errors(*, on: bool) -> Callable[[Group], Part]:
    return lambda group: share(
        not is_one_of(trace, observable(group)) for trace in runs_of(group) if is_on_path(group, trace) == on
    )


GAPS: dict[str, Callable[[Group], Part]] = {
    "gap_architecture": gap("hind", "obs"),
    "gap_acquisition": gap("obs", "fetch"),
    "gap_decision": gap("fetch", "taken"),
    "gap_foresight": gap("taken", "agent"),
    "off_path": lambda group: share(not is_on_path(group, trace) for trace in runs_of(group)),
    "off_path_error": errors(on=False),
    "on_path_error": errors(on=True),
}


# ---------------------------------------------------------------- the comparison

MODULES = (accuracy, consensus, profile, residue, gaps)
BY_HAND = {**ACCURACY, **CONSENSUS, **PROFILE, **RESIDUE, **GAPS}


def figures_of(*modules: Any) -> dict[str, RatioMetric]:
    every = [getattr(module, name) for module in modules for name in module.__all__]
    return {figure.name: figure for figure in every if isinstance(figure, RatioMetric)}


def ratio(parts: Sequence[Part]) -> float | None:
    below = sum(part[1] for part in parts)
    return float(sum(part[0] for part in parts)) / float(below) if below else None


def about(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, abs=1e-9)


def test_every_figure_is_counted_again_here() -> None:
    assert {*figures_of(*MODULES)} == {*BY_HAND}


@settings(max_examples=60, deadline=None)
@given(groups())
def test_a_figure_is_the_ratio_of_the_sums_counted_by_hand(made: list[Group]) -> None:
    arm = Arm("x", lambda: iter(made))
    found, by_hand = {}, {}
    for name, figure in figures_of(*MODULES).items():
        measure = figure.of(SUITE)(arm, resamples=2)
        found[name] = measure.value, measure.n
        parts = [BY_HAND[name](group) for group in made]
        by_hand[name] = about(ratio(parts)), sum(part[1] > 0 for part in parts)
    assert found == by_hand


def decided(amount: object, *, action: str = "up", told: float = 100, name: str = "s0") -> Group:
    """One trace that decides on an amount, and an expert who wants 100, or what is told, and `up`."""
    truth = Truth(expected={}, realised={}, observable_actions=("down",), hindsight_actions=("up",))
    scenario = Scenario(id=name, suite="t", seed=0, kind="k", as_of=AS_OF, task="", entity="e1", truth=truth)
    verdict = Verdict(
        expert="e", kind="correct", action="up", phrase="", feedback="", payload={"amount": told}
    )
    trace = Trace(
        id=f"{name}/t",
        scenario_id=name,
        arm="a",
        run=0,
        as_of=AS_OF,
        decision=Decision(action=action, payload={"amount": amount}),
    )
    return Group(scenario=scenario, verdict=verdict, cleaned=(Cleaned(trace=trace, level="C0"),))


@pytest.mark.parametrize(
    ("amount", "told", "near"),
    [
        (100, 100, 1),
        (111, 100, 1),
        (112, 100, 0),
        (90, 100, 1),
        (89, 100, 0),
        (-100, 100, 0),
        (-91, -100, 1),
        (0, 0, 1),
        (1, 0, 0),
        (149, 100, 0),
    ],
)
def test_an_amount_is_near_within_a_tenth_of_the_larger_one(amount: int, told: int, near: int) -> None:
    assert accuracy.accuracy_magnitude(Arm("x", lambda: iter([decided(amount, told=told)]))).value == near


def test_best_in_hindsight_is_not_best_given_what_tools_reveal() -> None:
    arm = Arm("x", lambda: iter([decided(100, name="s0"), decided(100, action="down", name="s1")]))
    both = [replace(group, verdict=None) for group in arm.groups()]
    other = Arm("x", lambda: iter([both[0]]))
    assert accuracy.accuracy_majority_hindsight(other).value == 1
    assert accuracy.accuracy_majority_observable(other).value == 0
    assert accuracy.accuracy_unreachable(arm).value == 0.5


@pytest.mark.parametrize("name", ["accuracy_expert", "accuracy_unreachable", "accuracy_magnitude"])
def test_an_unreadable_answer_agrees_with_nobody_where_there_was_no_review(name: str) -> None:
    """No action is the same text as no verdict; such a scenario adds to neither side of the ratio."""
    reviewed = decided(100)
    (each,) = decided(100, name="s1").cleaned
    unread = replace(each, trace=replace(each.trace, decision=Decision(problems=("no object",))))
    scenario = replace(reviewed.scenario, id="s1")
    alone = Group(scenario=scenario, cleaned=(unread,))
    figure = figures_of(accuracy)[name]
    assert figure(Arm("x", lambda: iter([alone]))).value is None
    both = figure(Arm("x", lambda: iter([reviewed, alone])))
    assert (both.value, both.n) == (1, 1)


# ---------------------------------------------------------------- sources of claims: 5.8 L2

SEEN = (
    Fact("c2", "cpa", "2025-03-13", 52.1, "USD"),
    Fact("c2", "cpa", "2025-03-12", 40.0, "USD"),
    Fact("c2", "ctr", "2025-03-13", 1.84, "%"),
)
HIDDEN = (
    Hidden(fact=Fact("c2", "cpa_matured", "2025-03-13", 47.3719, "USD"), channel="outcome"),
    Hidden(fact=Fact("c2", "orders_next_week", "", 1391, "count"), channel="hidden"),
    Hidden(fact=Fact("c2", "stock_out", "", "2025-03-21", "day"), channel="external"),
    Hidden(fact=Fact("c2", "visits_next_week", "", 8423, "count"), channel="outcome", ambiguous=True),
)
SENTENCES = {
    "The target is $45.00.": "prompt",
    "It cost $52.10.": "observed",
    "The rate was 1.84%.": "observed",
    "Set it to $233.35.": "decided",
    "That is up 30.3%.": "derived",
    "It was $46.05 on average.": "derived",
    "It will settle at $47.37.": "hindsight",
    "There will be 1391 orders.": "hindsight",
    "It ends on 2025-03-21.": "external",
    "There were 8423 visits.": "ambiguous",
    "Hold it at $277.50.": "oracle",
    "Someone said $931.77.": "oracle",
    "It cost $71.77.": "none",
    "It fell by 88.8%.": "none",
    "Nothing to count.": "",
}
"""What a trace may say, and where it can have that from. Each holds one claim, and no two the same."""

CLAIMED = Verdict(
    expert="e",
    kind="correct",
    action="hold",
    phrase="hold at $277.50",
    feedback="Please hold.",
    claims=(Claim(text="Margins are thin.", origin="observable"),),
)


def claiming(*rows: tuple[Sequence[str], str]) -> Group:
    """Return traces that say such sentences, each with the reason why it was dropped."""
    truth = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=HIDDEN)
    scenario = Scenario(
        id="s",
        suite="t",
        seed=0,
        kind="k",
        as_of=AS_OF,
        task="Decide about c2. Its target CPA is $45.00.",
        entity="c2",
        truth=truth,
    )
    note = Injection(text="A reviewer settled this at $931.77.")
    tool = Message(role="tool", author="env", facts=SEEN)
    made = []
    for run, (sentences, drop) in enumerate(rows):
        text = " ".join(sentences)
        answer = Message(role="assistant", author="student", content=text)
        trace = Trace(
            id=f"s/x/{run}",
            scenario_id="s",
            arm="x",
            run=run,
            as_of=AS_OF,
            messages=(tool, answer),
            injections=(note,),
            decision=Decision(action="hold", reasoning=text, payload={"budget": 233.35}),
            drop=drop,
        )
        made.append(Cleaned(trace=trace, level="C2"))
    return Group(scenario=scenario, verdict=CLAIMED, cleaned=tuple(made))


said_sentences = st.lists(st.sampled_from(list(SENTENCES)), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(said_sentences, st.sampled_from(["", "", "", "residue"])), min_size=1, max_size=3))
def test_claims_are_counted_once_each_under_the_source_that_they_have(
    rows: list[tuple[list[str], str]],
) -> None:
    told = [[SENTENCES[each] for each in {*said} if SENTENCES[each]] for said, drop in rows if not drop]
    every = [source for sources in told for source in sources]

    def of_traces(*sources: str) -> float | None:
        return ratio([share(any(source in sources for source in trace) for trace in told)])

    by_hand = {
        "hindsight_claims": of_traces("hindsight", "external"),
        "ambiguous_claims": of_traces("ambiguous"),
        "oracle_claims": of_traces("oracle"),
        "ungrounded_claims": ratio([(every.count("none"), len(every))]),
        "derived_claims": ratio([(every.count("derived"), len(every))]),
        "claims": ratio([(len(every), len(told))]),
    }
    arm = Arm("x", lambda: iter([claiming(*rows)]))
    found = {name: figure(arm, resamples=2).value for name, figure in figures_of(grounding).items()}
    assert found == {name: about(value) for name, value in by_hand.items()}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_source_alone_is_counted_by_its_own_figure_and_no_other(sentence: str) -> None:
    figures = {
        "hindsight": "hindsight_claims",
        "external": "hindsight_claims",
        "ambiguous": "ambiguous_claims",
        "oracle": "oracle_claims",
        "none": "ungrounded_claims",
        "derived": "derived_claims",
    }
    source = SENTENCES[sentence]
    arm = Arm("x", lambda: iter([claiming(([sentence], ""))]))
    found = {name: figure(arm).value for name, figure in figures_of(grounding).items()}
    assert found.pop("claims") == bool(source)
    assert {name for name, value in found.items() if value} == {*filter(None, [figures.get(source)])}


# ---------------------------------------------------------------- the same evidence for the opposite: 5.8 L8


def citing(action: str, *metrics: str, told: str = "", drop: str = "") -> Cleaned:
    cited = tuple(Citation(metric=metric, entity="e1", window="w", value=1) for metric in metrics)
    trace = Trace(
        id="t",
        scenario_id="s",
        arm="a",
        run=0,
        as_of=AS_OF,
        injections=(Injection(text="n", action=told),) if told else (),
        decision=Decision(action=action, entity="e1", citations=cited),
        drop=drop,
    )
    return Cleaned(trace=trace, level="C2")


def overlap_of(steered: Iterable[Cleaned], unsteered: Iterable[Cleaned]) -> float | None:
    scenario = decided(1).scenario
    base = Arm("base", lambda: iter([Group(scenario=scenario, cleaned=tuple(unsteered))]))
    arm = Arm("x", lambda: iter([Group(scenario=scenario, cleaned=tuple(steered))]), base=base)
    return steering.justification_overlap(arm).value


def test_the_overlap_is_that_of_followers_with_unsteered_traces_that_decide_differently() -> None:
    base = [citing("up", "a", "b"), citing("down", "c"), citing("up"), citing("hold", "c", "d", drop="x")]
    steered = [citing("down", "a", "c", told="down"), citing("up", "a", told="down")]
    # the first follows: {a} of {a, b, c}; the one that agrees is no pair; none of {a, c}; {c} of {a, c, d}
    assert overlap_of(steered, base) == pytest.approx((1 / 3 + 0 + 1 / 3) / 3)
    # nobody follows two notes, so an arm has no such pair with itself
    assert overlap_of(steered, steered[1:]) is None
    # without steering: a trace with each that decides differently, both ways round
    assert overlap_of(base[:2], base[:2]) == 0
    assert overlap_of([], base) is None


citers = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.lists(st.sampled_from("abc"), max_size=2),
        st.sampled_from(ACTIONS),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(citers, citers)
def test_the_overlap_of_an_arm_with_its_base_is_the_mean_over_pairs(
    steered: list[tuple[str, list[str], str]], unsteered: list[tuple[str, list[str], str]]
) -> None:
    shares = []
    for action, cites, told in steered:
        for other, others, _ in unsteered:
            either = {*cites, *others}
            if action == told and other != action and either:
                both = [metric for metric in either if metric in cites and metric in others]
                shares.append(len(both) / len(either))
    found = overlap_of(
        [citing(action, *cites, told=told) for action, cites, told in steered],
        [citing(action, *cites) for action, cites, _ in unsteered],
    )
    assert found == about(ratio([(sum(shares), len(shares))]))
