"""Waits between tries and the budget of tries: what the server asks for, bounds, and no storm of tries."""

from __future__ import annotations

import email.utils
import math
import threading
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import FinalRequestOptions

from opoi.models.endpoint.patience import (
    LONGEST_ASKED,
    LONGEST_OWN,
    Budget,
    TooLongError,
    asked_wait,
    wait_of,
)

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
DRAWS = st.floats(0, 1, exclude_max=True)
WAITS = st.floats(1e-3, LONGEST_ASKED)


@given(attempt=st.integers(0, 2000), draw=DRAWS)
def test_waits_of_our_own_double_up_to_a_most_less_at_most_a_quarter(attempt: int, draw: float) -> None:
    full = LONGEST_OWN if attempt >= 4 else (0.5, 1.0, 2.0, 4.0)[attempt]
    assert 0.75 * full <= wait_of(attempt, {}, draw, NOW) <= full
    assert wait_of(attempt, {}, 0.0, NOW) == full


def test_waits_of_our_own_are_those_of_the_official_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai.OpenAI(api_key="x", base_url="http://127.0.0.1:9", max_retries=20) as client:
        for draw in (0.0, 0.3, 0.999):
            monkeypatch.setattr("openai._base_client.random", lambda draw=draw: draw)
            for attempt in range(12):
                options = FinalRequestOptions(method="post", url="/")
                theirs = client._calculate_retry_timeout(20 - attempt, options, None)
                assert wait_of(attempt, {}, draw, NOW) == pytest.approx(theirs)


@given(
    asked=WAITS, draw=DRAWS, attempt=st.integers(0, 9), name=st.sampled_from(["retry-after", "Retry-After"])
)
def test_a_wait_that_was_asked_for_is_kept_and_spread(
    asked: float, draw: float, attempt: int, name: str
) -> None:
    assert asked <= wait_of(attempt, {name: f" {asked!r}"}, draw, NOW) <= 1.1 * asked
    assert wait_of(attempt, {name + "-ms": repr(asked * 1000)}, 0.0, NOW) == pytest.approx(asked)


@given(
    seconds=st.integers(1, 600), zone=st.integers(-12, 14), form=st.sampled_from(["gmt", "zone", "asctime"])
)
def test_a_date_is_a_wait(seconds: int, zone: int, form: str) -> None:
    date = NOW + timedelta(seconds=seconds)
    text = {
        "gmt": email.utils.format_datetime(date, usegmt=True),
        "zone": email.utils.format_datetime(date.astimezone(timezone(timedelta(hours=zone)))),
        "asctime": date.strftime("%a %b %d %H:%M:%S %Y"),
    }[form]
    assert asked_wait({"Retry-After": text}, NOW) == seconds


@given(asked=st.floats(LONGEST_ASKED, 1e300, exclude_min=True) | st.just(math.inf), draw=DRAWS)
def test_a_wait_beyond_reason_is_refused_with_its_length(asked: float, draw: float) -> None:
    with pytest.raises(TooLongError, match="the server asks to wait") as caught:
        wait_of(0, {"retry-after": repr(asked)}, draw, NOW)
    assert caught.value.seconds == asked


@given(
    text=st.text(max_size=30)
    | st.sampled_from(["nan", "-1", "-inf", "0", "", "soon", "Sat, 99 Nov 2026 25:00:00 GMT"]),
    attempt=st.integers(0, 9),
)
def test_any_header_gives_a_wait_in_range_or_is_refused(text: str, attempt: int) -> None:
    for name in ("retry-after", "retry-after-ms"):
        asked = asked_wait({name: text}, NOW)
        if asked is not None and asked > LONGEST_ASKED:
            with pytest.raises(TooLongError):
                wait_of(attempt, {name: text}, 0.5, NOW)
        else:
            assert 0 < wait_of(attempt, {name: text}, 0.5, NOW) <= 1.1 * LONGEST_ASKED


@pytest.mark.parametrize(
    "text",
    ["nan", "-1", "-inf", "0", "", "soon", "Sat, 99 Nov 2026 25:00:00 GMT", "Sat, 21 Nov 2026 10:29:59 GMT"],
)
def test_what_says_nothing_counts_as_not_said(text: str) -> None:
    assert asked_wait({"retry-after": text}, NOW) is None
    assert wait_of(1, {"retry-after": text}, 0.0, NOW) == 1.0


def test_milliseconds_are_believed_before_seconds() -> None:
    assert asked_wait({"retry-after": "7", "retry-after-ms": "1500"}, NOW) == 1.5
    assert asked_wait({"retry-after": "7", "retry-after-ms": "?"}, NOW) == 7


def test_there_is_no_attempt_before_the_first() -> None:
    with pytest.raises(ValueError, match="-1"):
        wait_of(-1, {}, 0.0, NOW)


# ---------------------------------------------------------------- budget


@given(
    share=st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]),
    burst=st.integers(10, 15),
    steps=st.lists(st.booleans(), max_size=200),
)
def test_tries_never_exceed_burst_and_share_of_calls(share: float, burst: int, steps: list[bool]) -> None:
    budget = Budget(share, burst)
    saved, exact = Fraction(burst), Fraction(round(share * 2**20), 2**20)  # the same in other numbers
    calls = tries = 0
    for call in steps:
        if call:
            budget.earn()
            calls += 1
            saved = min(Fraction(burst), saved + exact)
        else:
            paid = budget.take()
            assert paid == (saved >= 1)
            tries += paid
            saved -= paid
        assert budget.left == int(saved)
    assert tries <= burst + share * calls + 1e-3


def test_five_calls_pay_for_a_try() -> None:
    budget = Budget(0.2, 10)
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(4):
        budget.earn()
    assert not budget.take()
    budget.earn()
    budget.earn()
    assert (budget.take(), budget.take()) == (True, False)


def test_threads_cannot_overdraw() -> None:
    budget = Budget(0.0, 500)
    paid: list[bool] = []
    threads = [
        threading.Thread(target=lambda: paid.extend(budget.take() for _ in range(200))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(paid) == 500


@pytest.mark.parametrize(("share", "burst"), [(-0.1, 10), (1.1, 10), (math.nan, 10), (0.2, 9)])
def test_a_budget_out_of_range_is_refused(share: float, burst: int) -> None:
    with pytest.raises(ValueError, match="share must be"):
        Budget(share, burst)
