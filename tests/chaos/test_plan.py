"""What strikes depends on seed, request and try, and on nothing else; and as often as was asked for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.models.served.chaos.plan import CALM, IN_STREAMS, Fault, Lasting, Passing, Plan

ALL: list[Fault] = [*Passing, *Lasting]
RATES = st.dictionaries(st.sampled_from(ALL), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
TRIES = st.lists(st.tuples(st.text(), st.integers(0, 5), st.booleans()), max_size=8)


@given(seed=st.integers(), rates=RATES, tries=TRIES, order=st.randoms())
def test_a_plan_does_not_depend_on_the_order_of_requests(
    seed: int, rates: dict[Fault, float], tries: list[tuple[str, int, bool]], order: object
) -> None:
    def struck(asked: list[tuple[str, int, bool]]) -> dict[tuple[str, int, bool], tuple[object, object]]:
        plan = Plan(seed, rates)
        met = {key: plan.strike(key[0], key[1], streamed=key[2]) for key in asked}
        return {key: (found.passing, found.lasting) for key, found in met.items()}

    mixed = list(tries)
    order.shuffle(mixed)  # type: ignore[attr-defined]  # a Random of hypothesis
    assert struck(mixed) == struck(tries)


@given(seed=st.integers(), rates=RATES, request=st.text(), streamed=st.booleans())
def test_what_lasts_strikes_every_try_alike(
    seed: int, rates: dict[Fault, float], request: str, streamed: bool
) -> None:
    plan = Plan(seed, rates)
    assert len({plan.strike(request, number, streamed=streamed).lasting for number in range(5)}) == 1


@given(seed=st.integers(), request=st.text(), number=st.integers(0, 9), streamed=st.booleans())
def test_a_fault_strikes_always_at_rate_one_and_never_at_rate_zero(
    seed: int, request: str, number: int, streamed: bool
) -> None:
    for fault in ALL:
        struck = Plan(seed, {fault: 1.0}).strike(request, number, streamed=streamed)
        expected = fault if streamed or fault not in IN_STREAMS else None
        assert {struck.passing, struck.lasting} == {expected, None}
        assert struck.answered == (struck.passing in (None, Passing.NO_DONE))
    calm = CALM.strike(request, number, streamed=streamed)
    assert (calm.passing, calm.lasting) == (None, None)


def test_each_fault_strikes_at_its_rate() -> None:
    """Of 1,000 tries 5 % are 50, give or take four standard deviations."""
    for fault in ALL:
        plan = Plan(3, {fault: 0.05})
        met = [plan.strike(f"request {index}", 0, streamed=True) for index in range(1000)]
        assert 23 <= sum(fault in (struck.passing, struck.lasting) for struck in met) <= 77, fault


def test_where_several_strike_each_is_seen_as_often_as_the_others() -> None:
    plan = Plan(3, dict.fromkeys(ALL, 0.05))
    met = [plan.strike(f"request {index}", 0, streamed=True) for index in range(4000)]
    for family in (Passing, Lasting):
        seen = Counter(struck.passing if family is Passing else struck.lasting for struck in met)
        calm = 4000 * 0.95 ** len(family)
        assert abs(seen.pop(None) - calm) < 4 * (calm * (1 - calm / 4000)) ** 0.5
        mean = (4000 - calm) / len(family)
        assert set(seen) == set(family)
        assert all(abs(count - mean) < 4.5 * mean**0.5 for count in seen.values())


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        Plan(0, {Passing.TIMEOUT: rate})
