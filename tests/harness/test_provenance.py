"""Claims, provenance and citations: planted positives and clean negatives."""

import json
import random
from datetime import date, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.cleaning.levels import cleaner
from opoi.measures.figures import grounding
from opoi.measures.figures.citations import citation_precision, citation_rate, citations_in_context, supports
from opoi.passages import rebuild
from opoi.protocols import Cast
from opoi.provenance.claims import find_claims, find_ids, id_shapes, number_of
from opoi.provenance.derived import Derived
from opoi.provenance.privileged import Provenance
from opoi.provenance.sources import Values
from opoi.provenance.texts import rationale
from opoi.provenance.tracing import distinct, trace_claims
from opoi.rollout import rollout
from opoi.strategies.opoi import OPOI
from opoi.types import (
    Arm,
    Case,
    Citation,
    Claim,
    Cleaned,
    Decision,
    Fact,
    Group,
    Hidden,
    Injection,
    Message,
    Scenario,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

SEEN = (
    Fact("c2", "cpa", "2025-03-13", 52.1, "USD"),
    Fact("c2", "cpa", "2025-03-12", 40.0, "USD"),
    Fact("c2", "cpa", "2025-03-11", 43.3, "USD"),
    Fact("c2", "spend", "2025-03-13", 312.6, "USD"),
    Fact("c2", "purchases", "2025-03-13", 6, "count"),
    Fact("c2", "ctr", "2025-03-13", 1.84, "%"),
    Fact("c2", "roas", "2025-03-13", 2.13, "x"),
    Fact("c2", "status", "", "ACTIVE", ""),
    Fact("c1", "impressions", "2025-03-13", 48210, "count"),
)
HIDDEN = (
    Hidden(fact=Fact("c2", "cpa_matured", "2025-03-13", 47.3719, "USD"), channel="outcome"),
    Hidden(fact=Fact("c2", "margin", "", 0.2837, ""), channel="hidden"),
    Hidden(fact=Fact("c2", "stock_out", "", "2025-03-21", "day"), channel="external"),
    Hidden(fact=Fact("c2", "orders_next_week", "", 1391, "count"), channel="outcome"),
)
SCENARIO = Scenario(
    id="s",
    suite="t",
    seed=0,
    kind="lag_dip",
    as_of="2025-03-14",
    task="Decide about c2. Its target CPA is $45.00.",
    entity="c2",
    truth=Truth(
        expected={"hold": 1.0},
        realised={"hold": 1.0},
        observable_actions=("hold",),
        hindsight_actions=("hold",),
        hidden=HIDDEN,
    ),
)
VERDICT = Verdict(
    expert="e",
    kind="correct",
    action="hold",
    phrase="hold at $277.50",
    feedback="Please hold.",
    claims=(
        Claim(
            text="Margins are thin.",
            origin="observable",
            facts=(Fact("c2", "aov", "2025-03-13", 88.25, "USD"),),
        ),
        Claim(text="It made 63.91 USD per order in the end.", origin="hindsight"),
    ),
    outcome="Spend then fell by 17.4 %.",
)
TOOL = Message(role="tool", author="env", content='{"limit": 25, "rows": 9}', facts=SEEN)
LOOK = Message(role="assistant", author="student", content="Let me look.")


def trace(text, *, messages=(LOOK, TOOL), payload=None, citations=(), injections=(), prompt=()):
    answer = {"action": "hold", **(payload or {}), "reasoning": text}
    answer["citations"] = [msgspec.to_builtins(each) for each in citations]
    final = Message(role="assistant", author="student", content=json.dumps(answer))
    return Trace(
        id="s/x/0",
        scenario_id="s",
        arm="x",
        run=0,
        as_of="2025-03-14",
        prompt=prompt,
        messages=(*messages, final),
        injections=injections,
        decision=Decision(action="hold", reasoning=text, payload=payload or {}, citations=citations),
    )


def sources(text, **more):
    found = distinct(trace_claims(trace(text, **more), Provenance(SCENARIO, VERDICT)))
    return [each.source for each in found]


def texts(text):
    return [claim.text for claim in find_claims(text, as_of="2025-03-14")]


# ---------------------------------------------------------------- what is a claim


@pytest.mark.parametrize(
    ("text", "value", "unit", "digits", "step"),
    [
        ("$47.13", 47.13, "currency", 4, 0.01),
        ("47.13 USD", 47.13, "currency", 4, 0.01),
        ("USD 47", 47, "currency", 2, 1),
        ("$1,234.50", 1234.5, "currency", 6, 0.01),
        ("$1.2k", 1200, "currency", 2, 100),
        ("3.4M", 3.4e6, "", 2, 1e5),
        ("12.5 %", 12.5, "%", 3, 0.1),
        ("12 percent", 12, "%", 2, 1),
        ("2.1x", 2.1, "x", 2, 0.1),
        ("0.0213", 0.0213, "", 3, 0.0001),
        ("1500", 1500, "", 2, 1),
    ],
)
def test_a_number_is_read_with_unit_digits_and_rounding(text, value, unit, digits, step):
    claim = number_of(text)
    assert (claim.value, claim.unit, claim.digits) == (pytest.approx(value), unit, digits)
    assert claim.step == pytest.approx(step)


@pytest.mark.parametrize(
    "text",
    [
        "over the last 3 days",
        "the 7-day window",
        "a 14 day trend",
        "in 48 hours",
        "7-14 days",
        "1. first",
        "2) second",
        "Step 3: third",
        "version v2.1.3 of gpt-4o",
        "at 10:30",
        "2 of 3 signals",
        "in 2025",
        "",
    ],
)
def test_spans_markers_times_names_and_small_counts_are_no_claims(text):
    assert texts(text) == []


def test_numbers_dates_and_written_days_are_found_where_they_stand():
    assert texts("CPA rose from $40 to $52.10 (+30.3%) on 2025-03-13, not on March 12 or Mar 11th.") == [
        "2025-03-13",
        "2025-03-12",
        "2025-03-11",
        "$40",
        "$52.10",
        "30.3%",
    ]


def test_ids_are_told_by_the_shape_of_known_ones():
    shapes = id_shapes(["c2", "ad_17", "120330000000123", "account", "42"])
    found = [
        claim.text for claim in find_ids("c2 c77 ad_3 ads_3 120330000000999 12033 account 42 c2x", shapes)
    ]
    assert found == ["c2", "c77", "ad_3", "120330000000999"]


@given(st.text(max_size=200))
def test_any_text_can_be_searched(text):
    for claim in find_claims(text, as_of="2025-03-14"):
        assert claim.text.strip()
        assert claim.value >= 0


# ---------------------------------------------------------------- legal sources


@pytest.mark.parametrize(
    "text",
    [
        "CPA was $52.10",
        "CPA was 52.1",
        "CPA was about $52",
        "spend of $313",
        "spend of $0.31k",
        "CTR of 1.84%",
        "CTR of 1.8 %",
        "CTR of 0.0184",
        "ROAS 2.13x",
        "ROAS 2.1",
        "48,210 impressions",
        "48.2k impressions",
        "as of 2025-03-13",
        "on 2025-03-12",
        "the 25 rows asked for",
        "c2 and c1",
    ],
)
def test_what_a_tool_revealed_is_observed(text):
    assert {*sources(text)} == {"observed"}


def test_what_the_prompt_says_is_legal():
    rule = Message(role="system", author="suite", content="One step is at most 35% or $125.")
    assert sources("target $45.00, step 35%, cap $125", prompt=(rule,)) == ["prompt"] * 3


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("$12.10 more than the day before", "52.1 - 40"),
        ("up 30.3%", "100 * (52.1 / 40 - 1)"),
        ("1.30x", "52.1 / 40"),
        ("$46.05 on average", "(52.1 + 40) / 2"),
        ("$45.13 over three days", "(52.1 + 40 + 43.3) / 3"),
        ("15.8% above target", "100 * (52.1 / 45 - 1)"),
    ],
)
def test_whitelisted_arithmetic_on_observed_values_is_derived(text, how):
    assert sources(text) == ["derived"], how


def test_cost_per_purchase_follows_from_spend_and_purchases():
    facts = (
        Fact("c2", "spend", "2025-03-13", 312.6, "USD"),
        Fact("c2", "purchases", "2025-03-13", 7, "count"),
    )
    tool = Message(role="tool", author="env", facts=facts)
    assert sources("$44.66 per purchase", messages=(LOOK, tool)) == ["derived"]


def test_arithmetic_does_not_mix_entities():
    facts = (Fact("c1", "cpa", "", 81.57, "USD"), Fact("c3", "cpa", "", 30.02, "USD"))
    tool = Message(role="tool", author="env", facts=facts)
    assert sources("$51.55 apart", messages=(tool,)) == ["none"]


def test_numbers_of_the_decision_itself_are_its_own():
    assert sources("set the budget to $233.35", payload={"new_daily_budget": 233.35}) == ["decided"]
    assert sources("evidence of $71.77", payload={"evidence": [{"value": 71.77}]}) == ["none"]


def test_a_value_counts_only_from_the_message_on_that_revealed_it():
    early = Message(role="assistant", author="student", content="CPA is $52.10.")
    assert sources("CPA is $52.10.", messages=(early, TOOL)) == ["none"]
    assert sources("CPA is $52.10.", messages=(LOOK, TOOL)) == ["observed"]


def test_what_a_nested_run_saw_is_observed():
    inner = Message(role="tool", author="env", facts=(Fact("c2", "hook_rate", "", 23.45, "%"),))
    outer = Message(role="tool", author="env", content="done", sub=(inner,))
    assert sources("hook rate 23.45%", messages=(outer,)) == ["observed"]


@pytest.mark.parametrize("author", ["suite", "oracle"])
def test_an_injected_text_in_the_prompt_is_no_legal_source(author):
    note = Injection(text="The matured CPA is $47.37, hold at $931.77.")
    told = Message(role="system", author=author, content=f"Cap $125. {note.text}")
    found = sources("$47.37 and $931.77", prompt=(told,), injections=(note,), messages=())
    assert found == ["hindsight", "oracle"]
    capped = sources("cap $125", prompt=(told,), injections=(note,), messages=())
    assert capped == (["prompt"] if author == "suite" else ["none"])


def test_what_the_authors_prompt_showed_is_observed_from_the_start():
    shown = Message(role="user", author="suite", facts=SEEN)
    item = msgspec.structs.replace(trace("CPA was $52.10", messages=()), gen_prompt=(shown,))
    assert [each.source for each in trace_claims(item, Provenance(SCENARIO, VERDICT))] == ["observed"]


def call(arguments):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Message(
        role="assistant", author="student", tool_calls=(ToolCall(id="q", name="ask", arguments=text),)
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"question": "It later was $47.37. Which numbers fit?"}, ["hindsight"]),
        ({"budget": 1391}, ["hindsight"]),
        ({"nested": [{"margin": 0.2837}]}, ["hindsight"]),
        ('{"question": "$47.37', ["hindsight"]),
        ({"until": "2025-03-21"}, ["external"]),
        ({"note": "hold at $277.50"}, ["oracle"]),
        ({"campaign": "c2"}, ["observed"]),
        ({"campaign": "c88"}, ["none"]),
        ({"question": "Is a CPA of $52.10 high?"}, ["none"]),
        ({"target": 45.0}, ["prompt"]),
        ({"preset": "last_7d", "days": 14, "limit": 500, "all": True, "by": None}, []),
        ({"since": "2025-02-01"}, []),
    ],
)
def test_arguments_are_read_before_their_result_is_seen(arguments, expected):
    assert sources("nothing", messages=(call(arguments), TOOL)) == expected


def test_an_argument_may_repeat_what_an_earlier_tool_revealed():
    assert sources("nothing", messages=(TOOL, call({"above": 52.1}))) == ["observed"]


@pytest.mark.parametrize(
    ("citation", "expected"),
    [
        (("cpa_matured", "c2", "2025-03-13", 47.37), ["observed", "observed", "hindsight", "hindsight"]),
        (("cpa_matured", "", "", "$47.37"), ["hindsight", "hindsight"]),
        (("note", "", "", "hold at $277.50"), ["oracle"]),
        (("cpa", "", "2024-11-01..2024-11-07", 71.77), ["none"] * 3),
        (("stock_out", "", "2025-03-21", "soon"), ["external", "external"]),
        (("cpa", "c88", "last_7d", 52.1), ["none", "observed"]),
        (("status", "c2", "", "ACTIVE"), ["observed"]),
    ],
)
def test_citations_are_claims(citation, expected):
    metric, entity, window, value = citation
    cited = Citation(metric=metric, entity=entity, window=window, value=value)
    assert sorted(sources("nothing", citations=(cited,))) == sorted(expected)


def test_a_number_that_stands_in_prose_and_citation_is_one_claim():
    cited = Citation(metric="cpa", entity="", window="", value=71.77)
    assert sources("CPA was $71.77", citations=(cited,)) == ["none"]
    assert sources("CPA was $71.78", citations=(cited,)) == ["none", "none"]


def test_a_broken_decision_is_no_prose():
    text = 'I think: {"action": "hold", "amount": $931.77, "citations": [{"value": 71.77}], "x": '
    broken = Message(role="assistant", author="student", content=text)
    item = msgspec.structs.replace(
        trace(""), messages=(broken,), decision=Decision(problems=("no JSON object",))
    )
    assert trace_claims(item, Provenance(SCENARIO, VERDICT)) == []
    assert list(rationale(item)) == [(0, "I think: ")]


WEEK = Fact("c2", "cpa", "2025-03-01..2025-03-07", 44.4, "USD")
QUARTER = Fact("c2", "cpa", "2024-12-01..2025-02-28", 44.4, "USD")


@pytest.mark.parametrize(
    ("day", "source"),
    [
        ("2025-03-01", "observed"),
        ("2025-03-04", "observed"),
        ("2025-03-09", "none"),
        ("2025-03-14", "observed"),
        ("2024-12-01", "observed"),
        ("2025-02-28", "observed"),
        ("2025-01-15", "none"),
        ("2025-02-30", "none"),
        ("2025-02-20", "observed"),
    ],
)
def test_a_day_is_observed_inside_a_short_window_or_at_the_end_of_a_long_one(day, source):
    tool = Message(role="tool", author="env", content="edited 2025-02-20", facts=(WEEK, QUARTER))
    assert sources(f"on {day}", messages=(LOOK, tool)) == [source]


def test_a_tagged_number_of_a_tool_text_is_read_with_its_unit():
    fact = Fact("c2", "cpc", "2025-03-13", 17.3, "USD")
    tool = Message(role="tool", author="env", content='{"cpc": 17.3, "rank": 21.5}', facts=(fact,))
    assert sources("17.3 %", messages=(LOOK, tool)) == ["none"]
    assert sources("21.5 %", messages=(LOOK, tool)) == ["observed"]


def test_the_oracles_message_is_no_legal_source():
    note = Message(role="user", author="oracle", content="It will be $47.37.")
    suite = Message(role="user", author="suite", content="Mind the $66.60 cap.")
    assert sources("$47.37 within $66.60", messages=(note, suite)) == ["hindsight", "prompt"]


# ---------------------------------------------------------------- planted leaks


@pytest.mark.parametrize(
    "text",
    [
        "the matured CPA is $47.3719",
        "the matured CPA is $47.37",
        "CPA will settle at 47.4",
        "a margin of 28.37%",
        "a margin of 28.4 %",
        "a margin of 0.2837",
        "1,391 orders next week",
        "1391 orders next week",
        "it made $63.91",
        "spend then fell by 17.4%",
    ],
)
def test_a_planted_hidden_value_is_hindsight(text):
    assert sources(text) == ["hindsight"]


def test_a_hidden_value_rounded_to_two_digits_is_hindsight_where_nothing_legal_is_near():
    assert sources("CPA near $47", messages=()) == ["hindsight"]


def test_a_hidden_value_that_a_tool_also_revealed_is_observed():
    tool = Message(role="tool", author="env", facts=(Fact("c9", "cpa", "", 47.37, "USD"),))
    assert sources("CPA $47.37", messages=(tool,)) == ["observed"]


def test_a_hidden_value_to_four_digits_is_hindsight_even_where_arithmetic_reaches_it():
    facts = (Fact("c2", "cpa", "2025-03-12", 12.63, "USD"), Fact("c2", "cpa", "2025-03-13", 60.0, "USD"))
    tool = Message(role="tool", author="env", facts=facts)
    assert sources("CPA $47.37", messages=(tool,)) == ["hindsight"]
    assert sources("CPA $47.4", messages=(tool,)) == ["derived"]


def test_a_hidden_value_to_three_digits_is_hindsight_even_where_an_observed_one_is_near():
    tool = Message(role="tool", author="env", facts=(Fact("c2", "cpa", "", 47.5, "USD"),))
    assert sources("CPA $47.4", messages=(tool,)) == ["hindsight"]
    assert sources("CPA $47.6", messages=(tool,)) == ["observed"]


def test_a_day_to_come_is_a_plan_unless_it_is_hidden():
    assert sources("look again on 2025-03-18") == []
    assert sources("promotion ends 2025-03-21") == ["external"]


def test_what_only_the_verdict_says_is_the_oracles():
    assert sources("hold at $277.50") == ["oracle"]
    assert sources("an order value of $88.25") == ["oracle"]


def test_what_only_the_injected_note_says_is_the_oracles():
    note = Injection(text="A reviewer settled this at $931.77.")
    assert sources("settled at $931.77", injections=(note,)) == ["oracle"]
    assert sources("settled at $931.77") == ["none"]


@pytest.mark.parametrize(
    "text", ["CPA was $71.77", "a lift of 88.8%", "c88 is worse", "on 2024-11-02", "9,876,543 views"]
)
def test_what_has_no_source_is_fabricated(text):
    assert sources(text) == ["none"]


def test_a_single_digit_is_never_hindsight():
    hidden = (*SCENARIO.truth.hidden, Hidden(fact=Fact("c2", "x", "", 9000, "USD"), channel="hidden"))
    world = Scenario(
        **{
            **{f: getattr(SCENARIO, f) for f in SCENARIO.__struct_fields__},
            "truth": Truth(
                expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=hidden
            ),
        }
    )
    found = trace_claims(trace("$9000", messages=()), Provenance(world, None))
    assert [each.source for each in found] == ["ambiguous"]


def test_a_repeated_claim_counts_once():
    assert sources("$71.77, I repeat: $71.77") == ["none"]


@given(st.integers(1000, 99999))
def test_any_observed_value_is_legal_however_it_is_rounded(cents):
    value = cents / 100
    tool = Message(role="tool", author="env", facts=(Fact("c2", "cpa", "", value, "USD"),))
    for text in (f"${value}", f"${value:.1f}", f"${value:.0f}", f"{value:.2f} USD"):
        assert sources(text, messages=(tool,)) in (["observed"], ["prompt"]), text


@given(st.integers(100_000, 9_999_999))
def test_any_hidden_value_of_four_digits_and_more_is_found_among_observed_ones(cents):
    value = cents / 1000
    hidden = (Hidden(fact=Fact("c2", "secret", "", value, "USD"), channel="outcome"),)
    truth = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=hidden)
    world = Scenario(
        id="s", suite="t", seed=0, kind="k", as_of="2025-03-14", task="Decide.", entity="c2", truth=truth
    )
    found = trace_claims(trace(f"it ended at ${value:.3f}"), Provenance(world, None))
    legal = any(abs(value - fact.value) <= 0.0005 for fact in SEEN if isinstance(fact.value, int | float))
    short = len(f"{value:.3f}".replace(".", "").lstrip("0")) < 4
    assert [each.source for each in found] == ["hindsight"] or legal or short


def days(values, metric="cpa", unit="USD", entity="c1"):
    return [
        Fact(entity, metric, f"2025-03-{day:02d}", value, unit) for day, value in enumerate(values, start=1)
    ]


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=12))
def test_neighbouring_windows_and_the_ends_of_a_series_can_be_compared(values):
    rounded = [round(value, 2) for value in values]
    table = Derived(days(rounded))
    pairs = [*pairwise(rounded), (rounded[0], rounded[-1])]
    for old, new in pairs:
        for claim in (f"${abs(new - old):.2f}", f"{100 * abs(new / old - 1):.1f}%", f"{new / old:.2f}x"):
            assert table.restates(number_of(claim)), (old, new, claim)


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=9), st.data())
def test_sums_and_means_of_consecutive_windows_are_derived(values, data):
    rounded = [round(value, 2) for value in values]
    start = data.draw(st.integers(0, len(rounded) - 2))
    part = rounded[start : data.draw(st.integers(start + 2, len(rounded)))]
    table = Derived(days(rounded))
    assert table.restates(number_of(f"${sum(part):.2f}"))
    assert table.restates(number_of(f"${sum(part) / len(part):.3f}"))


def test_two_metrics_of_one_unit_are_not_compared_over_time():
    facts = [*days([80.0, 80.0]), *days([10.0, 10.0], metric="cpm")]
    later = [fact for fact in facts if (fact.metric, fact.last_day[-1]) in {("cpa", "1"), ("cpm", "2")}]
    assert not Derived(later).restates(number_of("87.5%"))
    assert not Derived(later).restates(number_of("$70.00"))


def test_a_value_is_compared_with_its_target_whoever_owns_it_but_not_with_another_setting():
    target = Fact("acct", "target_cpa", "", 40.0, "USD")
    other = Fact("acct", "average_order_value", "", 80.0, "USD")
    table = Derived([*days([50.0]), target, other])
    for text in ("25%", "125%", "$10.00", "1.25x"):
        assert table.restates(number_of(text)), text
    for text in ("37.5%", "62.5%", "$30.00"):
        assert not table.restates(number_of(text)), text


def test_what_belongs_to_one_window_gives_costs_rates_and_the_size_of_a_change():
    day = "2025-03-04"
    facts = [
        Fact("c1", "spend", day, 300.0, "USD"),
        Fact("c1", "clicks", day, 400, "count"),
        Fact("c1", "purchases", day, 10, "count"),
        Fact("c1", "budget_before", day, 80.0, "USD"),
        Fact("c1", "budget_after", day, 100.0, "USD"),
        Fact("c1", "purchases", "2025-03-05", 7, "count"),
    ]
    table = Derived(facts)
    for text in ("$30.00", "$0.75", "2.5%", "25%", "$20.00"):
        assert table.restates(number_of(text)), text
    assert not table.restates(number_of("$42.857"))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 4))
def test_restating_is_rounding_to_the_printed_digits(value, other, decimals):
    values = Values()
    values.add("currency", value, "it")
    claim = number_of(f"${other:.{decimals}f}")
    far = abs(claim.value - value) - 0.5 * 10**-decimals
    if abs(far) > 1e-6 * max(1.0, value):
        assert (values.restates(claim) is not None) is (far < 0)


# ---------------------------------------------------------------- figures


def arm_of(*traces, verdict=VERDICT):
    group = Group(
        scenario=SCENARIO, verdict=verdict, cleaned=tuple(Cleaned(trace=item, level="C2") for item in traces)
    )
    return Arm("x", lambda: iter([group]))


GROUNDING = [getattr(grounding, name) for name in grounding.__all__]
CITATIONS = [citation_precision, citation_rate, citations_in_context]


def figures(metrics, arm):
    return {metric.name: metric(arm, resamples=20).value for metric in metrics}


def test_shares_of_claims_and_traces_equal_the_count_by_hand():
    found = figures(
        GROUNDING,
        arm_of(
            trace("CPA was $52.10, up 30.3%"),
            trace("CPA will settle at $47.37 and 28.37%"),
            trace("CPA was $71.77, hold at $277.50"),
            trace("nothing to count"),
        ),
    )
    assert found == {
        "hindsight_claims": 0.25,
        "ambiguous_claims": 0.0,
        "oracle_claims": 0.25,
        "ungrounded_claims": pytest.approx(1 / 6),
        "derived_claims": pytest.approx(1 / 6),
        "claims": 1.5,
    }


def test_a_hidden_value_that_tools_can_print_about_something_else_is_counted_apart():
    hidden = tuple(msgspec.structs.replace(each, ambiguous=each.fact.value == 47.3719) for each in HIDDEN)
    assert any(each.ambiguous for each in hidden)
    scenario = msgspec.structs.replace(SCENARIO, truth=msgspec.structs.replace(SCENARIO.truth, hidden=hidden))
    told = trace("CPA will settle at $47.37")
    cleaned = (Cleaned(trace=told, level="C2"),)
    for verdict in (None, VERDICT):
        found = trace_claims(told, Provenance(scenario, verdict))
        assert {each.source for each in found} == {"ambiguous"}
    group = Group(scenario=scenario, verdict=None, cleaned=cleaned)
    shares = figures(GROUNDING, Arm("x", lambda: iter([group])))
    assert (shares["ambiguous_claims"], shares["hindsight_claims"]) == (1.0, 0.0)


def test_dropped_traces_leak_nothing_into_the_data():
    leak = trace("CPA will settle at $47.37")
    dropped = Trace(**{**{f: getattr(leak, f) for f in leak.__struct_fields__}, "drop": "residue"})
    assert figures(GROUNDING, arm_of(dropped))["hindsight_claims"] is None


@pytest.mark.parametrize(
    ("citation", "right"),
    [
        (("cpa", "c2", "2025-03-13", 52.1), True),
        (("CPA", "c2", "2025-03-13", 52), True),
        (("cpa", "c2", "2025-03-13", "$52.10"), True),
        (("ctr", "c2", "2025-03-13", 1.8), True),
        (("ctr", "c2", "2025-03-13", "1.84%"), True),
        (("status", "c2", "", "active"), True),
        (("cpa", "c2", "", 52.1), True),
        (("cpa", "c2", "2025-03-13", 52.2), False),
        (("cpa", "c2", "2025-03-12", 52.1), False),
        (("cpa", "c1", "2025-03-13", 52.1), False),
        (("cpm", "c2", "2025-03-13", 52.1), False),
        (("cpa_matured", "c2", "2025-03-13", 47.37), False),
        (("status", "c2", "", "PAUSED"), False),
        (("cpa_change_pct", "c2", "2025-03-13", -15.3), True),
        (("cpa_change_pct", "c2", "2025-03-13", "-15.3 %"), True),
        (("cpa_change_pct", "c2", "2025-03-13", "\u221215.3%"), True),
        (("cpa_change_pct", "c2", "2025-03-13", 15.3), False),
        (("cpa_change_pct", "c2", "2025-03-13", "15.3 %"), False),
        (("cpa", "c2", "2025-03-13", -52.1), False),
        (("cpa", "c2", "2025-03-13", "+52.1"), True),
    ],
)
def test_a_citation_is_right_when_a_tool_revealed_it(citation, right):
    metric, entity, window, value = citation
    cited = Citation(metric=metric, entity=entity, window=window, value=value)
    change = Fact("c2", "cpa_change_pct", "2025-03-13", -15.3, "%")
    assert any(supports(fact, cited) for fact in (*SEEN, change)) is right


def test_citation_precision_and_rate_equal_the_count_by_hand():
    good = Citation(metric="cpa", entity="c2", window="2025-03-13", value=52.1)
    bad = Citation(metric="cpa", entity="c2", window="2025-03-13", value=47.37)
    found = figures(
        CITATIONS,
        arm_of(trace("", citations=(good, bad, bad)), trace("", citations=(bad,)), trace("")),
    )
    assert found == {
        "citation_precision": 0.25,
        "citation_rate": pytest.approx(1 / 3),
        "citations_in_context": 0.25,
    }


def test_a_citation_of_data_that_only_the_author_was_shown_is_right_but_not_in_the_students_context():
    good = Citation(metric="cpa", entity="c2", window="2025-03-13", value=52.1)
    shown = Message(role="user", author="suite", facts=SEEN)
    informed = msgspec.structs.replace(trace("", messages=(), citations=(good,)), gen_prompt=(shown,))
    found = figures(CITATIONS, arm_of(informed, trace("", citations=(good,))))
    assert found == {"citation_precision": 1, "citation_rate": 1, "citations_in_context": 0.5}


def test_a_trace_that_fetched_nothing_supports_no_citation():
    good = Citation(metric="cpa", entity="c2", window="2025-03-13", value=52.1)
    assert figures(CITATIONS, arm_of(trace("", messages=(), citations=(good,))))["citation_precision"] == 0


# ---------------------------------------------------------------- the ad account


@pytest.fixture(scope="module")
def looked_at(ads):
    """Unsteered rollouts of forty scenarios, each with its verdict."""
    found = []
    for persona in ("default", "perfect"):
        model = ads.stand_in(persona)
        for world in ads.scenarios(40, 3):
            item = rollout(world, ads, model, arm="base", run=0, seed=1)
            expert = next(iter(ads.experts.values()))
            found.append((world, item, expert(world, item)))
    return found


def test_keeping_the_note_hides_no_leak(looked_at, ads):
    shares = {}
    for level in ("C0", "C1"):
        clean = cleaner(level, suite=ads, agent=ads.stand_in, tools=(), seed=1)
        leaking = 0
        for world, base, _ in looked_at[:20]:
            verdict = ads.experts["looks_back"](world, base)
            case = Case(scenario=world, base=base, verdict=verdict)
            cast = Cast(suite=ads, agent=ads.stand_in(), corrector=ads.stand_in(), arm="x", seed=1)
            for item in OPOI(form="all", attempts=1)(case, cast):
                hidden = verdict.claims[-1].text if verdict.claims else verdict.outcome
                if not item.decision.valid:
                    continue
                last = item.messages[-1]
                told = f"{item.decision.reasoning} {verdict.outcome} {hidden}"
                content = rebuild(last.content, ads.prose, {"reasoning": told})
                last = msgspec.structs.replace(last, content=content)
                steered = msgspec.structs.replace(
                    item, messages=(*item.messages[:-1], last), decision=ads.decide(content)
                )
                found = trace_claims(clean(steered).trace, Provenance(world, verdict))
                leaking += any(each.source in ("hindsight", "external") for each in found)
        shares[level] = leaking
    assert shares["C0"] >= shares["C1"] > 5


def test_unsteered_rollouts_state_nothing_that_they_cannot_know(looked_at):
    found = [
        (world.id, each.text, each.source, each.why)
        for world, item, verdict in looked_at
        for each in distinct(trace_claims(item, Provenance(world, verdict)))
    ]
    assert len(found) > 500
    assert [entry for entry in found if entry[2] in ("hindsight", "external", "oracle", "none")] == []


def planted(looked_at, write, count):
    """Return the sources of made-up numbers put into real rollouts."""
    draws, found = random.Random(3), []
    for world, item, _ in looked_at:
        for _ in range(count):
            text = write(draws, world)
            answer = Message(role="assistant", author="student", content=text)
            told = msgspec.structs.replace(item, messages=(*item.messages[:-1], answer))
            claims = trace_claims(told, Provenance(world, None))
            found += [each.source for each in claims if each.message == (len(item.messages) - 1,)]
    return found


def test_made_up_percentages_are_mostly_found(looked_at):
    found = planted(looked_at, lambda draws, _: f"It changed by {draws.uniform(1, 30):.1f}%.", 5)
    assert len(found) == 400
    assert found.count("none") / len(found) > 0.6
    assert found.count("derived") / len(found) < 0.35


def test_made_up_amounts_are_nearly_always_found(looked_at):
    found = planted(looked_at, lambda draws, _: f"It cost ${draws.uniform(20, 120):.2f}.", 5)
    assert found.count("none") / len(found) > 0.9


def test_made_up_days_of_the_past_are_found(looked_at):
    def write(draws, world):
        day = date.fromisoformat(world.as_of) - timedelta(days=draws.randint(40, 300))
        return f"It fell on {day}."

    assert {*planted(looked_at, write, 3)} == {"none"}
