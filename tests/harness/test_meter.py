"""What calls cost is counted exactly, and limits stop a run before the next call, not after."""

from __future__ import annotations

import json
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.halting import Halt, HaltedError
from opoi.models.meter import LimitReachedError, Meter, Price, Spent, tokens_of
from opoi.report.costs import cost_of, cost_table
from opoi.report.tables import MISSING

COUNT = st.integers(0, 10**6)


def answer(read: object, written: object) -> bytes:
    return json.dumps({"usage": {"prompt_tokens": read, "completion_tokens": written}}).encode()


@given(
    calls=st.lists(
        st.tuples(st.sampled_from(["rollouts", "traces opoi"]), st.sampled_from(["a", "b"]), COUNT, COUNT),
        max_size=30,
    )
)
def test_sums_by_stage_and_model_are_those_of_a_plain_count(calls: list[tuple[str, str, int, int]]) -> None:
    meter = Meter(Halt())
    expected: Counter[tuple[str, str, str]] = Counter()
    for stage, model, read, written in calls:
        meter.stage = stage
        meter.begin(model)
        meter.book(model, answer(read, written))
        expected[stage, model, "calls"] += 1
        expected[stage, model, "read"] += read
        expected[stage, model, "written"] += written
    found = {
        (stage, model, name): count
        for stage, models in meter.spending.items()
        for model, spent in models.items()
        for name, count in (
            ("calls", spent.calls),
            ("read", spent.prompt_tokens),
            ("written", spent.completion_tokens),
        )
    }
    assert found == dict(expected)


def test_nothing_is_lost_between_threads() -> None:
    meter = Meter(Halt())

    def work() -> None:
        for _ in range(500):
            meter.begin("m")
            meter.book("m", answer(2, 3))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.spending[""]["m"] == Spent(calls=4000, prompt_tokens=8000, completion_tokens=12000)


@pytest.mark.parametrize("before", [0, 3])
def test_no_call_beyond_the_limit_is_begun(before: int) -> None:
    halt = Halt()
    meter = Meter(halt, most_calls=5, before={"probe": {"m": Spent(calls=before)}})
    for _ in range(5 - before):
        meter.begin("m")
    with pytest.raises(HaltedError):
        meter.begin("m")
    assert isinstance(halt.reason, LimitReachedError)
    assert "--max-calls" in str(halt.reason)
    assert sum(spent.calls for models in meter.spending.values() for spent in models.values()) == 5


def test_the_limit_of_tokens_stops_the_call_after_the_one_that_reached_it() -> None:
    halt = Halt()
    meter = Meter(halt, most_tokens=10)
    meter.begin("m")
    meter.book("m", answer(4, 5))
    meter.begin("m")
    meter.book("m", answer(4, 5))
    with pytest.raises(HaltedError):
        meter.begin("m")
    assert "--max-tokens-total" in str(halt.reason)
    assert "18 tokens" in str(halt.reason)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"usage": null}',
        b"\xff",
        b"[" * 5000,
        answer(None, None),
        b'{"usage": {}}',
        answer(-3, -1),
    ],
)
def test_an_answer_that_tells_nothing_costs_nothing_known(body: bytes) -> None:
    assert tokens_of(body) == Spent()


@given(read=COUNT, written=COUNT, input=st.integers(0, 100), output=st.integers(0, 100))
def test_cost_is_tokens_times_price_per_million(read: int, written: int, input: int, output: int) -> None:
    cost = cost_of(Spent(prompt_tokens=read, completion_tokens=written), Price(input, output))
    assert cost == pytest.approx((read * input + written * output) / 1e6)


def test_a_model_without_a_price_leaves_the_sum_open_and_is_named() -> None:
    spending = {"rollouts": {"a": Spent(calls=2, prompt_tokens=1_000_000), "b\x1b[31m": Spent(calls=1)}}
    table = cost_table(spending, {"a": Price(3, 0)})
    assert [row[-1].text for row in table.rows] == ["3.0000", MISSING, MISSING]
    assert "b" in table.footnotes[-1]
    assert "\x1b" not in str(table)
    assert cost_table(spending, {"a": Price(3, 0), "b\x1b[31m": Price(1, 1)}).rows[-1][-1].text == "3.0000"
