"""As-of: what is dated after the decision is found, nothing else."""

from __future__ import annotations

import json
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opoi.leakage.asof import AsOf
from opoi.leakage.known import Known
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.types import Fact, Finding, Message, Trace

AS_OF = date(2025, 3, 10)
DAYS = st.integers(-40, 40).map(lambda ahead: AS_OF + timedelta(days=ahead))


def trace_of(*messages: Message, prompt: str = "Decide.", as_of: str = AS_OF.isoformat()) -> Trace:
    return Trace(
        id="s/a/0",
        scenario_id="s",
        arm="a",
        run=0,
        as_of=as_of,
        prompt=(Message(role="user", content=prompt, author="suite"),),
        messages=messages,
    )


def shows(text: str, *facts: Fact, sub: tuple[Message, ...] = ()) -> Message:
    return Message(role="tool", content=text, author="env", facts=facts, sub=sub)


def found(trace: Trace) -> list[Finding]:
    return list(AsOf()(trace, Known()))


@given(DAYS, st.integers(0, 20), st.booleans(), st.booleans())
def test_a_fact_leaks_if_and_only_if_its_window_ends_later(
    last: date, length: int, nested: bool, dated: bool
) -> None:
    first = last - timedelta(days=length)
    window = f"{first}..{last}" if length else str(last)
    fact = Fact("g1", "pressure", window if dated else "", 61)
    message = shows("x", sub=(shows("y", fact),)) if nested else shows("x", fact)
    hits = found(trace_of(message))
    assert [(hit.message, hit.field, hit.grade) for hit in hits] == [
        ((0, 0) if nested else (0,), "facts", "leak")
    ] * (dated and last > AS_OF)


@given(
    DAYS,
    st.sampled_from(['{{"end": "{}"}}', "It closes on {}.", '{{"a": [{{"{}": 1}}]}}', "\u2013\u200b {}"]),
)
def test_a_day_in_the_text_is_a_suspicion_if_and_only_if_it_is_later(day: date, form: str) -> None:
    hits = found(trace_of(shows(form.format(day))))
    assert [(hit.text, hit.grade) for hit in hits] == [(str(day), "suspect")] * (day > AS_OF)


LONG, ISO_WEEK = "%B %-d, %Y", "%G-W%V"
SPELLINGS = ["%Y-%m-%dT10:00:00Z", LONG, "%-d %b %Y", "%d/%m/%Y", "%Y/%m/%d", ISO_WEEK]


@given(DAYS, st.sampled_from(SPELLINGS), st.sampled_from(['{{"updated": "{}"}}', "Seen {}, so it was."]))
def test_a_later_day_is_seen_in_every_spelling_and_an_earlier_one_in_none(
    day: date, spelling: str, form: str
) -> None:
    text = day.strftime(spelling)
    meant = {day}
    if spelling == "%d/%m/%Y" and day.day <= 12:
        meant.add(date(day.year, day.day, day.month))
    if spelling == ISO_WEEK:
        meant = {day - timedelta(days=day.weekday())}
    hits = found(trace_of(shows(form.format(text))))
    assert [hit.grade for hit in hits] == ["suspect"] * (min(meant) > AS_OF)
    assert all(hit.text in text and hit.text[:2] == text[:2] for hit in hits)
    assert not found(trace_of(shows(form.format(text)), prompt=f"The case is open until {day}."))


@given(DAYS, st.sampled_from(["closed_on", "updatedAt", "end_date", "days"]), st.booleans())
def test_eight_digits_are_a_day_under_a_key_that_speaks_of_time(day: date, key: str, number: bool) -> None:
    digits = f"{day:%Y%m%d}"
    value: object = int(digits) if number else digits
    dated = found(trace_of(shows(json.dumps({key: [value] if key == "days" else value}))))
    assert [hit.text for hit in dated] == [digits] * (day > AS_OF)
    assert found(trace_of(shows(json.dumps({"spend": value, "trend_id": value})))) == []
    assert found(trace_of(shows(f"Order {digits} came in."))) == []


def test_eight_digits_that_are_no_day_are_none() -> None:
    assert found(trace_of(shows('{"end_date": 20259999}'))) == []


@given(st.lists(DAYS, max_size=6))
def test_every_later_day_of_a_text_has_its_own_span(days: list[date]) -> None:
    text = " and ".join(map(str, days))
    hits = found(trace_of(shows(text)))
    assert [text[hit.start : hit.end] for hit in hits] == [str(day) for day in days if day > AS_OF]
    assert len({hit.start for hit in hits}) == len(hits)


def test_days_of_the_prompt_and_of_the_agent_are_no_results() -> None:
    later = Message(role="assistant", content="I look again on 2025-03-13.", author="student")
    assert found(trace_of(later)) == []
    assert found(trace_of(shows("until 2025-03-31"), prompt="The sale runs until 2025-03-31.")) == []


def test_a_trace_without_a_day_of_decision_has_no_later_ones() -> None:
    assert found(trace_of(shows("2099-01-01", Fact("g", "p", "2099-01-01", 1)), as_of="")) == []


def test_unsteered_runs_are_clean(ads: Suite, echo: Suite) -> None:
    for suite in (ads, echo):
        for scenario in suite.scenarios(10, 5):
            trace = rollout(scenario, suite, suite.stand_in(), arm="base", run=0, seed=5)
            assert found(trace) == []
