"""Provenance under every spelling: what is copied stays legal, what is hidden is found, and reasons hold."""

import json
import random
import re
from datetime import date, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from opoi.leakage.grounding import Grounding
from opoi.leakage.known import Known
from opoi.passages import passages
from opoi.provenance.claims import find_claims, number_of
from opoi.provenance.compared import SOME_CHANCE, Comparisons
from opoi.provenance.dates import find_dates
from opoi.provenance.derived import Derived
from opoi.provenance.points import Points
from opoi.provenance.privileged import Provenance, Secret
from opoi.provenance.tracing import LEGAL, SECRET, trace_claims
from opoi.provenance.words import find_words
from opoi.types import (
    Claim,
    Decision,
    Fact,
    Hidden,
    Injection,
    Message,
    Scenario,
    ToolCall,
    Trace,
    Truth,
    Verdict,
)

AS_OF = "2025-03-14"
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
GERMAN = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
]
SPANISH = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
]


def world(*hidden):
    truth = Truth(expected={}, realised={}, observable_actions=(), hindsight_actions=(), hidden=tuple(hidden))
    return Scenario(
        id="s", suite="t", seed=0, kind="k", as_of=AS_OF, task="Decide.", entity="c2", truth=truth
    )


def hide(value, unit="USD", channel="outcome", metric="later"):
    return Hidden(fact=Fact("c2", metric, "", value, unit), channel=channel)


def verdict(*claims, outcome=""):
    return Verdict(
        expert="e",
        kind="correct",
        action="hold",
        phrase="hold",
        feedback="Hold.",
        claims=claims,
        outcome=outcome,
    )


def said(text, *, facts=(), tool="", before=(), **more):
    """Return a trace that looks once and then says a text."""
    look = Message(role="tool", author="env", content=tool, facts=tuple(facts))
    answer = Message(role="assistant", author="student", content=text)
    return Trace(
        id="s/x/0",
        scenario_id="s",
        arm="x",
        run=0,
        as_of=AS_OF,
        messages=(*before, look, answer),
        **more,
    )


def sources(trace, scenario=None, review=None):
    return [each.source for each in trace_claims(trace, Provenance(scenario, review))]


# ---------------------------------------------------------------- spellings


def cardinal(number):
    """Return a whole number in English words, by a rule of its own."""
    small = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    if number < 20:
        return small[number]
    if number < 100:
        return tens[number // 10 - 2] + (f"-{small[number % 10]}" if number % 10 else "")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            joint = " and " if rest < 100 else " "
            return f"{cardinal(number // size)} {name}" + (f"{joint}{cardinal(rest)}" if rest else "")
    raise AssertionError(number)


def continental(text):
    return text.translate(str.maketrans(",.", ".,"))


MONEY = {
    "plain": lambda v: f"${v:,.2f}",
    "behind": lambda v: f"{v:.2f} USD",
    "euro": lambda v: f"{v:.2f} \u20ac",
    "bare": lambda v: f"{v:.2f}",
    "one digit": lambda v: f"${v:,.1f}",
    "whole": lambda v: f"${v:,.0f}",
    "cents": lambda v: f"{v * 100:.0f} cents",
    "bare cents": lambda v: f"{v * 100:.0f}",
    "thousands": lambda v: f"${v / 1000:.4f}k",
    "thousand": lambda v: f"{v / 1000:.4f} thousand dollars",
    "millions": lambda v: f"{v / 1e6:.7f}M",
    "comma": lambda v: continental(f"{v:,.2f}") + " Euro",
    "apostrophe": lambda v: f"{v:,.2f}".replace(",", "\u2019"),
    "narrow blank": lambda v: f"{v:,.2f}".replace(",", "\u202f").replace(".", ","),
    "full width": lambda v: "".join(
        chr(ord(c) + 0xFEE0) if c.isdigit() or c == "." else c for c in f"{v:.2f}"
    ),
    "zero width": lambda v: "\u200b".join(f"{v:.2f}"),
    "words": lambda v: f"{cardinal(round(v))} dollars",
    "words and cents": lambda v: (
        f"{cardinal(round(v * 100) // 100)} dollars and {cardinal(round(v * 100) % 100)} cents"
    ),
}
SHARE = {
    "percent": lambda v: f"{v:.2f}%",
    "spoken": lambda v: f"{v:.2f} percent",
    "german": lambda v: f"{v:.2f} Prozent".replace(".", ","),
    "points": lambda v: f"{v * 100:.0f} basis points",
    "mille": lambda v: f"{v * 10:.1f} \u2030",
    "of one": lambda v: f"{v / 100:.4f}",
    "factor": lambda v: f"{v / 100:.4f}x",
    "one digit": lambda v: f"{v:.1f} %",
}


@pytest.mark.parametrize("how", MONEY)
@given(cents=st.integers(100_001, 999_999))
@example(cents=483_037)
def test_money_is_legal_when_it_was_shown_and_secret_when_it_was_hidden(how, cents):
    assume(cents % 10)  # a round number of cents has few digits to go by
    value = cents / 100
    text = f"It came to {MONEY[how](value)} then."
    shown = said(text, facts=[Fact("c2", "later", "", value, "USD")])
    assert sources(shown, world(hide(value))) == ["observed"]
    found = sources(said(text), world(hide(value)))
    digits = len(str(round(value)).rstrip("0"))
    if how in ("whole", "words") and digits == 1:
        assert found == ["ambiguous"]
    else:
        assert found == ["hindsight"]


@pytest.mark.parametrize("how", SHARE)
@given(hundredths=st.integers(1_001, 9_899))
def test_a_share_is_legal_when_it_was_shown_and_secret_when_it_was_hidden(how, hundredths):
    assume(hundredths % 10)
    value = hundredths / 100
    text = f"It was {SHARE[how](value)} off."
    shown = said(text, facts=[Fact("c2", "later", "", value, "%")])
    assert sources(shown, world(hide(value, "%"))) == ["observed"]
    assert sources(said(text), world(hide(value, "%", "external"))) == ["external"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("forty-eight hundred", 4800),
        ("four thousand eight hundred and thirty", 4830),
        ("achtundvierzighundert", 4800),
        ("viertausendachthundert", 4800),
        ("cuatro mil ochocientos", 4800),
        ("treinta y cinco", 35),
        ("one hundred and twenty-three", 123),
        ("four point eight three thousand", 4830),
        ("eighteen point five seven", 18.57),
    ],
)
def test_numbers_in_words_are_read(text, value):
    assert [each.value for each in find_words(f"about {text} of it")] == [pytest.approx(value)]


@given(st.integers(10, 999_999))
def test_every_number_in_words_is_read_back(number):
    text = f"They sold {cardinal(number)} pieces."
    found = list(find_words(text))
    assert [each.value for each in found] == [number]
    assert text[found[0].start : found[0].end] == cardinal(number)


@pytest.mark.parametrize(
    "text",
    [
        "one of them",
        "two signals",
        "seven days",
        "a third signal",
        "thousands of views",
        "fourteen days",
        "a half",
    ],
)
def test_words_that_count_little_or_time_are_no_claims(text):
    assert list(find_claims(f"There were {text}.", as_of=AS_OF)) == []


@pytest.mark.parametrize("text", ["about five thousand dollars", "$5k", "by a third", "nearly a third"])
def test_what_leaves_nearly_everything_open_is_at_most_ambiguous(text):
    hidden = world(hide(4830.37), hide(33.1, "%"))
    assert sources(said(f"It moved {text}."), hidden) == ["ambiguous"]


def test_a_fraction_in_words_without_any_source_claims_nothing():
    assert sources(said("It fell by a third."), world(hide(4830.37))) == []


def test_a_round_number_is_secret_only_where_nothing_legal_is_near():
    hidden = world(hide(4830.37))
    assert sources(said("It made about $4,800."), hidden) == ["hindsight"]
    assert sources(said("It made about $4,800.", facts=[Fact("c2", "sum", "", 4811.0, "USD")]), hidden) == [
        "observed"
    ]


# ---------------------------------------------------------------- days


def day_spellings(day):
    number, month, year = day.day, day.month, day.year
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number not in (11, 12, 13) else 0, "th")
    week = day.isocalendar()
    return {
        "iso": day.isoformat(),
        "us": f"{MONTHS[month - 1]} {number}, {year}",
        "us short": f"{MONTHS[month - 1][:3]} {number}{ending}",
        "british": f"{number} {MONTHS[month - 1]} {year}",
        "ordinal": f"the {number}{ending} of {MONTHS[month - 1]}",
        "slashes": f"{number:02d}/{month:02d}/{year}",
        "american": f"{month}/{number}/{year}",
        "dots": f"{number}.{month}.{year}",
        "year first": f"{year}/{month:02d}/{number:02d}",
        "german": f"{number}. {GERMAN[month - 1]} {year}",
        "spanish": f"{number} de {SPANISH[month - 1]} de {year}",
        "week": f"{week.year}-W{week.week:02d}-{week.weekday}",
        "weekday": f"{day:%A} the {number}{ending}",
    }


@given(st.integers(-100, 100))
def test_a_day_is_found_in_every_spelling(offset):
    day = date.fromisoformat(AS_OF) + timedelta(days=offset)
    for name, text in day_spellings(day).items():
        whole = f"It was on {text}, they say."
        found = list(find_dates(whole, as_of=AS_OF))
        assert len(found) == 1, (name, text, found)
        assert day.isoformat() in found[0].days, (name, text, found)
        assert whole[found[0].start : found[0].end] in text, name


@given(st.integers(20, 60), st.sampled_from(["hindsight", "external"]))
def test_a_hidden_day_is_secret_and_a_shown_one_legal_in_every_spelling(offset, channel):
    day = date.fromisoformat(AS_OF) + timedelta(days=offset)
    hidden = world(hide(day.isoformat(), "day", "external" if channel == "external" else "hidden"))
    for name, text in day_spellings(day).items():
        whole = f"Wait for {text}."
        assert sources(said(whole), hidden) == [channel], name
        shown = said(whole, facts=[Fact("c2", "end", "", day.isoformat(), "day")])
        assert sources(shown, hidden) == ["observed"], name


def test_a_month_that_is_a_word_is_none():
    assert list(find_dates("it may 5 times, we march 3 times", as_of=AS_OF)) == []


def test_a_year_that_is_said_counts():
    assert [each.days for each in find_dates("on March 7, 2024", as_of=AS_OF)] == [("2024-03-07",)]
    assert [each.days for each in find_dates("on January 3", as_of="2025-12-20")] == [
        ("2025-01-03", "2026-01-03")
    ]


# ---------------------------------------------------------------- reasons that hold


def evaluate(expression):
    """Return the value of an expression, in exact fractions, by a reader of its own."""
    tokens = re.findall(r"\d+(?:\.\d+)?|[-+*/()]", expression)
    assert "".join(tokens) == expression.replace(" ", "")

    def total():
        value = product()
        while tokens and tokens[0] in "+-":
            sign = 1 if tokens.pop(0) == "+" else -1
            value += sign * product()
        return value

    def product():
        value = atom()
        while tokens and tokens[0] in "*/":
            value = value * atom() if tokens.pop(0) == "*" else value / atom()
        return value

    def atom():
        token = tokens.pop(0)
        if token != "(":
            return Fraction(token)
        value = total()
        assert tokens.pop(0) == ")"
        return value

    value = total()
    assert not tokens
    return value


def holds(found, claim):
    """Return whether the arithmetic comes to the claim within its rounding."""
    scale = 100 if found.unit == "%" else 1
    value = abs(evaluate(found.expression)) * scale
    exact = any(
        abs(value * Fraction(factor) - Fraction(str(claim.value)))
        <= Fraction(str(claim.step)) / 2 * Fraction("1.00001")
        for factor in ((1, "0.01") if not claim.unit else (1,))
    )
    return exact and float(value) == pytest.approx(found.value)


ROWS = st.lists(
    st.tuples(st.integers(100, 99_999), st.integers(1, 900), st.integers(100, 99_999)), min_size=2, max_size=6
)


def table(rows):
    facts = [Fact("c1", "target_cost", "", 40.0, "USD")]
    for day, (spend, orders, cost) in enumerate(rows, start=1):
        window = f"2025-03-{day:02d}"
        facts += [
            Fact("c1", "spend", window, spend / 100, "USD"),
            Fact("c1", "orders", window, orders, "count"),
            Fact("c1", "cost", window, cost / 100, "USD"),
        ]
    return facts


@given(
    ROWS,
    st.lists(st.floats(0.1, 2000), min_size=1, max_size=20),
    st.sampled_from(["$%.2f", "%.1f%%", "%.2fx"]),
)
def test_every_expression_comes_to_the_claim(rows, values, form):
    derived = Derived(table(rows))
    for value in values:
        claim = number_of(form % value)
        found = derived.restates(claim)
        assert found is None or holds(found, claim), (claim, found)


@given(ROWS, st.data())
def test_neither_facts_nor_their_order_change_what_is_derived(rows, data):
    facts = table(rows)
    shuffled = data.draw(st.permutations(facts))
    first, second = Derived(facts), Derived([*shuffled, *shuffled])
    for _ in range(10):
        value = data.draw(st.floats(0.1, 2000))
        for form in ("$%.2f", "%.1f%%", "%.2fx", "%.1f"):
            claim = number_of(form % value)
            assert first.restates(claim) == second.restates(claim)


@given(ROWS, st.data())
def test_the_order_of_facts_changes_no_source(rows, data):
    facts = table(rows)
    text = " ".join(
        f"${data.draw(st.floats(1, 999)):.2f} and {data.draw(st.floats(1, 99)):.1f}%" for _ in range(4)
    )
    shuffled = said(text, facts=data.draw(st.permutations(facts)))
    hidden = world(hide(71.37), hide(18.3, "%"))
    assert sources(said(text, facts=facts), hidden) == sources(shuffled, hidden)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("It cost $52.10.", "c1 cost 2025-03-02 = 52.1 USD"),
        ("It cost 30.3% more.", "(52.1 - 40) / 40 = 30.25 % from c1 cost 2025-03-02, c1 cost 2025-03-01"),
        ("It cost $46.05 on average.", "(40 + 52.1) / 2 = 46.05 USD from c1 cost 2025-03-01..2025-03-02"),
        ("It will be $47.37.", "restates hidden (outcome): c2 later = 47.3719 USD"),
    ],
)
def test_a_source_says_why(text, why):
    facts = [Fact("c1", "cost", "2025-03-01", 40, "USD"), Fact("c1", "cost", "2025-03-02", 52.1, "USD")]
    found = trace_claims(said(text, facts=facts), Provenance(world(hide(47.3719)), None))
    assert [each.why for each in found] == [why]


# ---------------------------------------------------------------- derived from what is hidden


def comparisons(hidden, facts):
    secrets = {each: Secret("hindsight", "hidden", each) for each in hidden}
    return Comparisons(Points(facts, hidden=secrets), secrets)


@given(st.integers(1_000, 99_999), st.integers(1_000, 99_999), st.booleans())
def test_a_difference_to_a_hidden_value_is_found_with_arithmetic_that_holds(seen, later, negative):
    assume(abs(seen - later) > 1_000)
    hidden = Fact("c2", "cost_later", "", (-later if negative else later) / 100, "USD")
    facts = [Fact("c2", "cost", "2025-03-10..2025-03-13", seen / 100, "USD")]
    claim = number_of(f"${abs(seen / 100 - hidden.value):.2f}")
    found = comparisons([hidden], facts).find(claim)
    assert found is not None
    assert found.chance < 0.01
    assert holds(found.derivation, claim)


def test_made_up_numbers_seldom_follow_from_a_hidden_one():
    draws = random.Random(4)
    hits = wrong = total = 0
    for _ in range(150):
        facts = [
            Fact("c2", name, f"2025-03-{day:02d}", round(draws.uniform(10, 400), 2), "USD")
            for name in ("cost", "spend", "price")
            for day in range(1, 8)
        ]
        hidden = [Fact("c2", f"later_{n}", "", round(draws.uniform(20, 400), 2), "USD") for n in range(4)]
        compare = comparisons(hidden, facts)
        for _ in range(10):
            made_up = (
                f"${draws.uniform(5, 300):.2f}",
                f"{draws.uniform(5, 95):.1f}%",
                f"{draws.uniform(1, 9):.2f}x",
            )
            for text in made_up:
                found = compare.find(number_of(text))
                total += 1
                wrong += found is not None and found.chance < 0.01
                hits += found is not None
    assert total == 4500
    assert wrong / total < 0.01
    assert hits / total < SOME_CHANCE


# ---------------------------------------------------------------- names and reasons


def test_a_name_that_only_the_expert_knows_is_external():
    fact = Fact("c2", "supplier", "", "Harbour Lane Trading")
    scenario = world(Hidden(fact=fact, channel="external"))
    for text in ("We wait for harbour  lane trading.", "We rely on Harbour."):
        assert sources(said(text), scenario) == ["external"], text
    for legal in ("Harbour Lane Trading delivers.",):
        assert sources(said("We wait for Harbour Lane Trading.", tool=legal), scenario) == []


def test_an_id_that_only_the_expert_knows_is_external():
    scenario = world(Hidden(fact=Fact("c2", "partner", "", "loc-93648"), channel="external"))
    assert sources(said("It depends on loc-93648."), scenario) == ["external"]
    assert sources(said("It depends on loc-93648.", tool='{"at": "loc-93648"}'), scenario) == ["observed"]


FIRE = Claim(text="The warehouse burnt down on Monday.", origin="external")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Sales stop because the warehouse burnt down.", "external"),
        ("Sales stop because of the warehouse.", "external"),
        ("Sales may stop because of the warehouse.", "ambiguous"),
        ("The warehouse has burnt, there is nothing to sell.", "external"),
        ("Sales look fine after all.", None),
        ("The warehouse is large.", None),
    ],
)
def test_a_cause_that_only_the_expert_knows_is_external_with_its_sentence(text, source):
    found = trace_claims(said(f"I looked. {text} So I hold."), Provenance(world(), verdict(FIRE)))
    assert [each.source for each in found] == ([source] if source else [])
    assert all(each.text == text for each in found)


def test_a_cause_that_a_tool_told_is_legal():
    told = said("Sales stop because the warehouse burnt down.", tool="Log: the warehouse burnt down.")
    assert sources(told, world(), verdict(FIRE)) == []


# ---------------------------------------------------------------- sub-agents


def nested(question, reply, *, facts=()):
    """Return a call of a sub-agent and its result."""
    call = ToolCall(id="q", name="ask", arguments=json.dumps({"question": question}))
    inner = (
        Message(role="system", author="suite", content="Answer with numbers. Cap $125."),
        Message(role="user", author="student", content=f"Question: {question}"),
        Message(role="tool", author="env", facts=tuple(facts)),
        Message(role="assistant", author="student", content=reply),
    )
    return (
        Message(role="assistant", author="student", tool_calls=(call,)),
        Message(role="tool", author="env", content=reply, sub=inner),
    )


def places(trace, scenario):
    return [(each.message, each.source) for each in trace_claims(trace, Provenance(scenario, None))]


def test_what_the_agent_tells_its_sub_agent_is_read_and_does_not_become_legal_by_the_answer():
    messages = nested("It will be $47.37. Which numbers fit?", "The cost of $47.37 fits.")
    found = places(said("The assistant says $47.37.", before=messages), world(hide(47.3719)))
    assert found == [((0,), "hindsight"), ((1, 1), "hindsight"), ((1, 3), "prompt"), ((3,), "hindsight")]


def test_a_sub_agent_may_say_what_its_own_tools_prompt_and_the_trace_before_showed():
    facts = [Fact("c2", "cost", "", 52.1, "USD")]
    seen = Message(role="tool", author="env", facts=(Fact("c2", "spend", "", 312.6, "USD"),))
    messages = (seen, *nested("Is it high?", "It costs $52.10, within $125, of $312.60.", facts=facts))
    found = places(said("It costs $52.10.", before=messages), world())
    assert {source for _, source in found} == {"observed", "prompt"}
    assert sorted(place for place, _ in found) == [(2, 3)] * 3 + [(4,)]


def test_what_a_sub_agent_knows_from_nowhere_is_found_in_it():
    found = places(said("Fine.", before=nested("Well?", "It will be $47.37.")), world(hide(47.3719)))
    assert found == [((1, 3), "hindsight")]


# ---------------------------------------------------------------- spans and the detector


TEXTS = st.lists(
    st.sampled_from(
        [
            "$47.37",
            "4\u200b7.37",
            "\uff14\uff17.37",
            "the 21st of March",
            "c88",
            "17,4 %",
            "hold",
            "\u20ac",
            "\u0441ost",
            "a",
            "_",
            "\n",
            ". ",
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


@given(TEXTS, TEXTS)
def test_spans_cover_what_is_claimed(prose, value):
    answer = json.dumps({"action": "hold", "reasoning": prose, "note_47.37": [value], "cost": 47.37})
    trace = said(f"{prose}\n{answer}", facts=[Fact("c2", "x", "", 1, "USD")])
    texts = {(each.message, each.field): each.text for each in passages(trace.messages, ("reasoning",))}
    for each in trace_claims(trace, Provenance(world(hide(47.3719)), None)):
        text = texts[each.message, each.field]
        assert each.text == text[each.start : each.end] != ""
        if each.claim.kind == "number":
            again = [found.value for found in find_claims(text[each.start : each.end].replace("_", " "))]
            plain = "\u200b" not in each.text and each.text.isascii()
            assert not plain or again == [each.claim.value]


def test_leaks_in_keys_and_values_of_json_are_found():
    answer = json.dumps({"action": "hold", "ends_at_47.37": True, "cost": 47.37, "list": [47.37]})
    trace = said(answer, decision=Decision(action="hold", payload=json.loads(answer)))
    found = trace_claims(trace, Provenance(world(hide(47.3719)), None))
    assert [(each.field, each.source) for each in found] == [
        ("json:0/ends_at_47.37#key", "hindsight"),
        ("json:0/cost", "hindsight"),
        ("json:0/list/0", "hindsight"),
    ]


def test_the_detector_grades_what_it_finds():
    scenario = world(hide(47.3719), hide(18.57, "%", "external"), hide(9000))
    note = Injection(text="Hold at $277.50.")
    trace = said(
        "$47.37, 18.57 %, $277.50, $9000 and $71.77 of $52.10", injections=(note,), tool="it is $52.10"
    )
    found = list(Grounding()(trace, Known(scenario=scenario)))
    assert [(each.text, each.kind, each.grade) for each in found] == [
        ("$47.37", "hindsight", "leak"),
        ("18.57 %", "external", "leak"),
        ("$277.50", "oracle", "leak"),
        ("$9000", "ambiguous", "suspect"),
        ("$71.77", "fabricated", "suspect"),
    ]
    assert all(each.detector == "provenance" and each.trace == trace.id and each.why for each in found)


def test_without_a_scenario_it_still_tells_what_was_seen_from_what_was_not():
    note = Injection(text="It will be $277.50.")
    trace = said(
        "$52.10, up 30.3%, not $71.77 nor $277.50",
        facts=[Fact("c1", "cost", "2025-03-01", 40, "USD"), Fact("c1", "cost", "2025-03-02", 52.1, "USD")],
        injections=(note,),
    )
    assert sources(trace) == ["observed", "derived", "none", "oracle"]
    assert [each.kind for each in Grounding()(trace, Known())] == ["fabricated", "oracle"]


@given(st.text(max_size=120), st.text(max_size=120))
def test_any_text_can_be_traced(text, tool):
    scenario = world(hide(47.3719), hide("2025-03-21", "day"), hide("North Star Ltd", ""))
    trace = said(text, tool=tool, injections=(Injection(text="Hold at $277.50."),))
    for each in trace_claims(trace, Provenance(scenario, verdict(FIRE, outcome="It fell."))):
        assert each.source in (*LEGAL, *SECRET, "ambiguous", "none")
        assert text[each.start : each.end] == each.text
    with_no_day = msgspec.structs.replace(trace, as_of="not a day")
    trace_claims(with_no_day, Provenance(scenario, None))
