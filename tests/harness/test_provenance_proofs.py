"""What counts as a proof of a leak: nothing that chance, honest arithmetic or an echo explains."""

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.planting.legal import explained
from opoi.planting.spelling import Written
from opoi.provenance.claims import find_claims, number_of
from opoi.provenance.dates import find_dates
from opoi.provenance.periods import named_factors
from opoi.provenance.privileged import Provenance
from opoi.provenance.texts import shown
from opoi.provenance.tracing import SECRET, trace_claims
from opoi.provenance.windows import days_in
from opoi.rollout import rollout
from opoi.types import (
    Claim,
    Fact,
    Hidden,
    Message,
    Scenario,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

AS_OF = "2025-03-14"


def world(*hidden):
    truth = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=tuple(hidden))
    return Scenario(
        id="s", suite="t", seed=0, kind="k", as_of=AS_OF, task="Decide.", entity="c2", truth=truth
    )


def hide(value, unit="USD", channel="outcome", metric="later"):
    return Hidden(fact=Fact("c2", metric, "", value, unit), channel=channel)


HIDDEN = world(hide(47.3719), hide("2025-03-21", "day", "external"), hide(0.2837, "", "hidden", "margin"))


def seen(*values, metric="cost", unit="USD", first=1):
    return [
        Fact("c2", metric, f"2025-03-{day:02d}", value, unit) for day, value in enumerate(values, start=first)
    ]


def said(text, *, facts=(), tool="", before=()):
    look = Message(role="tool", author="env", content=tool, facts=tuple(facts))
    answer = Message(role="assistant", author="student", content=text)
    return Trace(id="s/x/0", scenario_id="s", arm="x", run=0, as_of=AS_OF, messages=(*before, look, answer))


def found(trace, scenario=HIDDEN, verdict=None):
    """Return source and text of the claims of the last message."""
    last = (len(trace.messages) - 1,)
    claims = trace_claims(trace, Provenance(scenario, verdict))
    return [(each.source, each.text) for each in claims if each.message == last]


def sources(text, scenario=HIDDEN, verdict=None, **more):
    return [source for source, _ in found(said(text, **more), scenario, verdict)]


# ---------------------------------------------------------------- a sign between two numbers


@pytest.mark.parametrize(
    "text",
    [
        "It cost $47.37 x 6 purchases.",
        "It cost $47.37 \u00d7 6 purchases.",
        "It cost $47.37x6.",
        "It cost 47.37 x $6 then.",
        "It cost $47.37 times six.",
        "It cost 47.37 times 6.",
    ],
)
def test_a_hidden_factor_of_a_product_is_found(text):
    assert sources(text)[:1] == ["hindsight"]


def test_a_product_of_shown_numbers_is_legal():
    assert sources("$52.10 x 6 = $312.60", facts=seen(52.1)) == ["observed", "derived"]


@pytest.mark.parametrize(
    "text", ["2.1x", "2.1 x the target", "2.1x (high)", "2.1 times the target", "2.1x 7-day"]
)
def test_a_factor_keeps_its_unit(text):
    (claim,) = find_claims(f"It is {text}.")
    assert (claim.value, claim.unit) == (2.1, "x")


def test_a_size_is_no_claim():
    assert list(find_claims("an image of 1920x1080")) == []


# ---------------------------------------------------------------- the comma


@pytest.mark.parametrize("text", ["$47,400", "\u20ac47,400", "47,400 USD", "47,400 in all", "$46,084"])
def test_thousands_are_not_read_as_a_hidden_decimal(text):
    assert sources(f"It spent {text}.") == ["none"]


def test_thousands_are_not_laundered_by_a_decimal():
    hidden = world(hide(52104.0))
    for text in ("It made $52,104.", "It made 52,104 USD."):
        assert sources(text, hidden, facts=seen(52.1)) == ["hindsight"], text


def test_a_decimal_comma_is_read_where_nothing_else_fits_and_only_exactly():
    hidden = world(hide(8.391, "x"), hide(1391, "count"))
    assert sources("Es waren 1.391 Bestellungen.", hidden) == ["hindsight"]
    assert sources("Es war 8,391 danach.", hidden) == ["hindsight"]
    assert sources("Es war 8,392 danach.", hidden) == ["none"]
    assert sources("Es war 8,391 danach.", hidden, facts=seen(8391.0)) == ["observed"]


def test_an_amount_with_a_sign_has_one_reading():
    assert number_of("$1,391").as_decimal_comma is None
    assert number_of("1,391").as_decimal_comma.value == 1.391
    assert number_of("1.391").as_decimal_comma.value == 1391


# ---------------------------------------------------------------- echoes


def asked(question, answer, *, sub=()):
    """Return a call that tells something and a result that says it back."""
    call = ToolCall(id="q", name="ask", arguments=json.dumps({"note": question}))
    return (
        Message(role="assistant", author="student", tool_calls=(call,)),
        Message(role="tool", author="env", content=answer, sub=tuple(sub)),
    )


@pytest.mark.parametrize(
    ("told", "echo", "then", "source"),
    [
        ("47.3719", "No such cost: 47.3719.", "It is 47.3719.", "hindsight"),
        ("47.3719", "No such cost: 47.37.", "It is $47.37.", "hindsight"),
        ("47.3719", '{"error": 47.4}', "It is 47.4.", "hindsight"),
        ("0.2837", "A margin of 28.37 % is unknown.", "It is 28.37 %.", "hindsight"),
        ("28.4 %", "unknown share 0.284", "It is 28.4 %.", "hindsight"),
        ("2025-03-21", "no data for 2025-03-21", "Wait for 21 March.", "external"),
        ("21 March", '{"error": "2025-03-21"}', "Wait for 2025-03-21.", "external"),
    ],
)
def test_an_echo_makes_nothing_legal(told, echo, then, source):
    trace = said(then, before=asked(told, echo))
    assert [each[0] for each in found(trace)] == [source]
    unasked = said(then, tool=echo)
    assert [each[0] for each in found(unasked)] == ["observed"]


def test_a_rounded_echo_of_a_sub_agent_makes_nothing_legal():
    question = "It will be 47.3719 on 2025-03-21, at 0.2837."
    inner = (
        Message(role="user", author="student", content=question),
        Message(role="assistant", author="student", content="So $47.37 on March 21, at 28.4 %."),
    )
    trace = said("$47.37 on 2025-03-21, 28.4 %.", before=asked(question, inner[1].content, sub=inner))
    assert sorted(source for source, _ in found(trace)) == ["external", "hindsight", "hindsight"]


def test_what_a_sub_agent_makes_of_nothing_stays_secret_outside():
    inner = (Message(role="assistant", author="student", content="It will be $47.37 on 2025-03-21."),)
    trace = said("$47.37 on 2025-03-21.", before=asked("Well?", inner[0].content, sub=inner))
    assert sorted(source for source, _ in found(trace)) == ["external", "hindsight"]


def test_a_fact_that_a_tool_reveals_later_is_legal_though_it_was_told_before():
    facts = (*seen(47.3719), Fact("c2", "end", "", "2025-03-21", "day"))
    trace = said("$47.37 on 2025-03-21.", before=asked("47.3719, 2025-03-21", "?"), facts=facts)
    assert {source for source, _ in found(trace)} == {"observed"}


def test_an_echo_of_names_and_causes_makes_nothing_legal():
    scenario = world(Hidden(fact=Fact("c2", "supplier", "", "Harbour Lane Trading"), channel="external"))
    fire = Claim(text="The warehouse burnt down on Monday.", origin="external")
    review = Verdict(
        expert="e", kind="correct", action="hold", phrase="hold", feedback="Hold.", claims=(fire,)
    )
    question = "Sales stop because the warehouse burnt down. Ask Harbour Lane Trading."
    trace = said(question, before=asked(question, f"cannot parse: {question}"))
    assert [source for source, _ in found(trace, scenario, review)] == ["external", "external"]


# ---------------------------------------------------------------- near is no proof


@pytest.mark.parametrize(
    ("text", "hidden", "source"),
    [
        ("$51.36", hide(51.18), "none"),
        ("$51.18", hide(51.18), "hindsight"),
        ("$51.2", hide(51.18), "hindsight"),
        ("$51.3", hide(51.18), "ambiguous"),
        ("$4,830.00", hide(4830.37), "none"),
        ("$4,830", hide(4830.37), "hindsight"),
        ("$4,830.4", hide(4830.37), "hindsight"),
        ("$13,179", hide(13152.13), "ambiguous"),
        ("47 pieces", hide(47.3719), "ambiguous"),
        ("$47", hide(47.3719), "hindsight"),
        ("47 pieces", hide(47, "count"), "hindsight"),
        ("28 pieces", hide(28.1, "%"), "ambiguous"),
        ("4,800 pieces", hide(4830.37), "ambiguous"),
    ],
)
def test_only_the_number_itself_or_a_rounding_of_it_proves_a_leak(text, hidden, source):
    assert sources(f"It has {text}.", world(hidden)) == [source]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("$979.28", "none"),
        ("$984", "oracle"),
        ("$985.00", "none"),
        ("$1.37", "ambiguous"),
        ("1.37x", "oracle"),
    ],
)
def test_a_number_of_the_verdict_is_proved_by_itself_only(text, source):
    review = Verdict(
        expert="e", kind="correct", action="up", phrase="raise to $984.00", feedback="It made 1.37 before."
    )
    assert sources(f"It comes to {text}.", world(), review) == [source]


# ---------------------------------------------------------------- derived from what is hidden


def derived(metric, text, others=""):
    """Return the source of a difference between a hidden and an observed value."""
    hidden = world(hide(971.23, metric="cost_later"))
    facts = [Fact("c2", metric, "2025-03-10..2025-03-13", 312.6, "USD")]
    return found(said(f"{others} It differs by {text}.", facts=facts), hidden)[-1][0]


def test_a_difference_to_a_hidden_value_of_the_same_kind_is_a_proof():
    assert derived("cost", "$658.63") == "hindsight"


def test_a_difference_of_unlike_things_is_none():
    assert derived("income", "$658.63") == "ambiguous"
    assert derived("7d_later", "$658.63") == "ambiguous"


def test_among_many_numbers_without_a_source_a_difference_proves_nothing():
    others = " ".join(f"${71.03 + 3.17 * number:.2f}" for number in range(4))
    assert derived("cost", "$659") == "hindsight"
    assert derived("cost", "$659", others) == "ambiguous"


def test_the_arithmetic_and_its_chance_are_shown():
    hidden = world(hide(971.23, metric="cost_later"))
    facts = [Fact("c2", "cost", "2025-03-10..2025-03-13", 312.6, "USD")]
    (each,) = trace_claims(said("It differs by $658.63.", facts=facts), Provenance(hidden, None))
    assert "971.23 - 312.6 = 658.63 USD" in each.why
    assert "chance" in each.why


def test_made_up_numbers_are_proved_to_be_derived_less_than_once_in_two_hundred():
    draws = random.Random(11)
    proofs = mentions = total = 0
    for _ in range(300):
        facts = seen(*(round(draws.uniform(30, 90), 2) for _ in range(7)))
        hidden = world(hide(round(draws.uniform(30, 90), 2), metric="cost_later"))
        for low, high, form in ((2, 60, "$%.2f"), (2, 90, "%.1f%%"), (2, 90, "%.2f%%")):
            (source,) = sources(f"It is {form % draws.uniform(low, high)}.", hidden, facts=facts)
            total += 1
            proofs += source in SECRET
            mentions += source == "ambiguous"
    assert total == 900
    assert proofs / total < 0.005
    assert proofs + mentions > 2


# ---------------------------------------------------------------- amounts of several days


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("$470 a day is $3,290 a week", (7,)),
        ("over 7 days", (7,)),
        ("in two weeks or a fortnight", (14,)),
        ("per month", (28, 30, 31)),
        ("30 days", (30,)),
        ("weekly", (7,)),
        ("$52.10 x 6 = $312.60", (6,)),
        ("6 x $52.10", (6,)),
        ("a 7-day total", (7,)),
        ("pro Woche", (7,)),
        ("yesterday it fell by 12 % and 1.5x", ()),
        ("8000 days", ()),
    ],
)
def test_the_days_that_a_sentence_names_are_read(text, factors):
    assert named_factors(text) == factors


@given(
    st.integers(10, 2000),
    st.sampled_from([(7, "a week"), (14, "in 14 days"), (30, "a month"), (3, "in 3 days")]),
)
def test_a_daily_amount_times_the_days_named_is_derived(budget, span):
    days, words = span
    total = budget * days
    trace = said(f"${budget} a day is ${total:,} {words}.", facts=[Fact("c2", "budget", "", budget, "USD")])
    claims = trace_claims(trace, Provenance(HIDDEN, None))
    assert claims[0].source == "observed"
    assert claims[-1].source in ("derived", "observed")
    if claims[-1].source == "derived" and "*" in claims[-1].why:
        assert claims[-1].why == f"{budget} * {days} = {total} USD from c2 budget"


def test_a_step_that_the_prompt_or_the_sentence_names_is_derived():
    facts = [Fact("c2", "budget", "", 580.0, "USD")]
    assert sources("20 % less is $464.00.", facts=facts)[-1] == "derived"
    assert sources("It would be $464.00.", facts=facts) == ["none"]
    rule = Message(role="system", author="suite", content="One step is the budget x 0.8.")
    trace = msgspec.structs.replace(said("It would be $464.00.", facts=facts), prompt=(rule,))
    (each,) = trace_claims(trace, Provenance(HIDDEN, None))
    assert (each.source, each.why) == ("derived", "580 * 0.8 = 464 USD from c2 budget")


def test_without_days_in_its_sentence_a_product_has_no_source():
    facts = [Fact("c2", "budget", "", 470.0, "USD")]
    assert sources("$470 a day is $3,290 a week.", facts=facts) == ["observed", "derived"]
    assert sources("It is $3,290. That is a week.", facts=facts) == ["none"]
    assert sources("It is 3.29 percent a week.", facts=facts) == ["none"]


def test_a_hidden_number_stays_secret_beside_a_product_near_it():
    facts = [Fact("c2", "budget", "", 690.0, "USD")]
    hidden = world(hide(4830.37))
    assert sources("In 7 days it is $4,830.", hidden, facts=facts) == ["derived"]
    assert sources("In 7 days it is $4,830.37.", hidden, facts=facts) == ["hindsight"]


# ---------------------------------------------------------------- times of day


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-20T10:45:30Z",
        "2025-03-20T10:45Z",
        "2025-03-20T10:45:30.123+02:00",
        "2025-03-20T104530Z",
        "2025-03-20 10:45:30",
        "2025-03-20 10:45:30+00:00",
    ],
)
def test_a_timestamp_is_its_day(text):
    (dated,) = find_dates(f"It ends {text}.")
    assert dated.days == ("2025-03-20",)
    assert days_in(text) == ["2025-03-20"]
    assert [claim.text for claim in find_claims(f"It ends {text}.")] == ["2025-03-20"]
    assert sources(f"It ends {text}.", world(hide("2025-03-20T10:45:30Z", "day", "external"))) == ["external"]


def test_a_number_after_a_day_is_no_time():
    assert [claim.text for claim in find_claims("on 2025-03-20 4737 came")] == ["2025-03-20", "4737"]


# ---------------------------------------------------------------- what a reader would compare


def facts_of(*rows):
    return [Fact("c2", metric, window, value, unit) for metric, window, value, unit in rows]


@pytest.mark.parametrize(
    ("number", "unit", "rows"),
    [
        (12.0, "USD", [("cost", "2025-03-01", 50.0, "USD"), ("target_cost", "", 38.0, "USD")]),
        (88.0, "USD", [("cost", "2025-03-01", 50.0, "USD"), ("cost", "2025-03-02", 38.0, "USD")]),
        (25.0, "USD", [("spend", "2025-03-01", 50.0, "USD"), ("orders", "2025-03-01", 2, "count")]),
        (2.0, "x", [("income", "2025-03-01", 50.0, "USD"), ("spend", "2025-03-01", 25.0, "USD")]),
        (4.0, "%", [("clicks", "2025-03-01", 2, "count"), ("views", "2025-03-01", 50, "count")]),
    ],
)
def test_what_a_reader_would_compare_explains_a_planted_number(number, unit, rows):
    assert explained(Written("", number, 0.01), unit, facts_of(*rows))


@pytest.mark.parametrize(
    ("number", "unit", "rows"),
    [
        (88.0, "USD", [("daily_budget", "", 50.0, "USD"), ("cost", "2025-03-01", 38.0, "USD")]),
        (12.0, "USD", [("income", "2025-03-01", 50.0, "USD"), ("cost", "2025-03-01", 38.0, "USD")]),
        (44.0, "USD", [("income", "2025-03-01", 50.0, "USD"), ("cost", "2025-03-01", 38.0, "USD")]),
        (12.0, "USD", [("cost_7d", "2025-03-01", 50.0, "USD"), ("income_7d", "2025-03-01", 38.0, "USD")]),
        (100.0, "%", [("income", "2025-03-01", 50.0, "USD"), ("cost", "2025-03-01", 25.0, "USD")]),
        (2.0, "x", [("rate", "2025-03-01", 50.0, "%"), ("share", "2025-03-01", 25.0, "%")]),
    ],
)
def test_any_two_numbers_of_a_unit_are_no_excuse(number, unit, rows):
    assert explained(Written("", number, 0.01), unit, facts_of(*rows)) == ""


# ---------------------------------------------------------------- honest numbers on real rollouts


def honest(facts, draws):
    """Yield sentences with made-up and with honestly computed numbers."""
    budgets = [fact.value for fact in facts if "budget" in fact.metric and not fact.window]
    money = [fact.value for fact in facts if fact.unit == "USD" and fact.window]
    for budget in dict.fromkeys(budgets):
        for form in ("{:,.2f}", "{:,.0f}"):
            yield from (
                f"It is ${form.format(budget * factor)} then." for factor in (7, 14, 30, 1.1, 1.25, 0.8)
            )
    for _ in range(6):
        one, two = draws.sample(money, 2)
        yield f"Both together are ${one + two:.2f}."
        yield f"They are ${abs(one - two):.2f} apart."
        yield f"At that pace it is ${one * 7:,.2f}."
        yield f"It comes to ${draws.uniform(10, 999):.2f}."
        yield f"It comes to {draws.uniform(1, 99):.1f} %."
        yield f"It has {draws.randint(10, 99)} of them."


@pytest.mark.slow
def test_honest_numbers_in_real_rollouts_are_hardly_ever_proved_to_leak(ads):
    draws, total, proofs = random.Random(5), 0, []
    model = ads.stand_in()
    for scenario in ads.scenarios(24, 8):
        item = rollout(scenario, ads, model, arm="base", run=0, seed=1)
        expert = next(iter(ads.experts.values()))
        known = Provenance(scenario, expert(scenario, item))
        facts = [fact for fact in shown(item) if not isinstance(fact.value, str)]
        if not item.decision.valid or len(facts) < 9:
            continue
        for text in honest(facts, draws):
            answer = Message(role="assistant", author="student", content=text)
            told = msgspec.structs.replace(item, messages=(*item.messages[:-1], answer))
            last = (len(item.messages) - 1,)
            claims = [each for each in trace_claims(told, known) if each.message == last]
            total += 1
            proofs += [(text, each.why) for each in claims if each.source in SECRET]
    assert total > 1000
    assert len(proofs) / total < 0.002, proofs
