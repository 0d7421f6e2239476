"""The limit of calls under way: what it finds at simulated endpoints, and that places are shared fairly."""

from __future__ import annotations

import gc
import heapq
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, pairwise
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opoi.halting import Halt, HaltedError
from opoi.models.endpoint.limiter import Limiter
from opoi.models.endpoint.pace import ELASTICITY, Pace
from opoi.seeds import Stream

MOST = 128

# ---------------------------------------------------------------- simulated endpoints, in virtual time


@dataclass
class Slots:
    """Answers `places` calls at once; the others queue. `grown` is (when, places from then on)."""

    places: int
    seed: int = 1
    spread: float = 1.0  # 0: each call takes 1 s; 1: 0.5 s to 1.5 s
    grown: tuple[float, int] | None = None
    free: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draws = Stream(self.seed, "endpoint")
        self.free = [0.0] * self.places

    def seconds(self, call: int) -> float:
        return 1.0 + self.spread * (self.draws.uniform(call) - 0.5)

    def answer(self, now: float, call: int, under_way: int) -> tuple[float, bool]:
        """Return when the call ends, and whether it is refused."""
        if self.grown is not None and now >= self.grown[0]:
            self.free += [now] * (self.grown[1] - len(self.free))
            self.grown = None
            heapq.heapify(self.free)
        end = max(now, self.free[0]) + self.seconds(call)
        heapq.heapreplace(self.free, end)
        return end, False


@dataclass
class Slowing(Slots):
    """Each call takes longer by one share in `places` for every call beside it."""

    def answer(self, now: float, call: int, under_way: int) -> tuple[float, bool]:
        return now + self.seconds(call) * (1 + under_way / self.places), False


@dataclass
class Metered(Slots):
    """Takes `places` calls a second (a token bucket of as many), and refuses the others at once."""

    tokens: float = 0.0
    seen: float = 0.0

    def answer(self, now: float, call: int, under_way: int) -> tuple[float, bool]:
        self.tokens = min(self.places, self.tokens + (now - self.seen) * self.places)
        self.seen = now
        if self.tokens < 1:
            return now + 0.02, True
        self.tokens -= 1
        return now + self.seconds(call), False


@dataclass
class Course:
    """What became of a simulated run."""

    ends: list[float]
    limits: list[int]
    refused: int

    @property
    def rate(self) -> float:
        """Calls per second in the second half."""
        half = len(self.ends) // 2
        return (len(self.ends) - half) / (self.ends[-1] - self.ends[half])

    @property
    def limit(self) -> float:
        """Mean limit in the second half."""
        return fmean(self.limits[len(self.limits) // 2 :])


def run(endpoint: Slots, calls: int, *, fixed: int = 0, wanted: int = 10**6) -> Course:
    """Keep the endpoint as busy as the limit allows, or as busy as `wanted`, until `calls` succeeded."""
    pace = Pace(MOST)
    course = Course([], [], 0)
    under_way: list[tuple[float, int, float, bool]] = []
    now, numbers = 0.0, count()
    while len(course.ends) < calls:
        limit = fixed or pace.limit
        while len(under_way) < min(limit, wanted):
            number = next(numbers)
            end, refused = endpoint.answer(now, number, len(under_way))
            heapq.heappush(under_way, (end, number, now, refused))
        full = len(under_way) >= limit
        now, _, begun, refused = heapq.heappop(under_way)
        pace.finished(begun, now, congested=refused, full=full)
        course.limits.append(limit)
        if refused:
            course.refused += 1
        else:
            course.ends.append(now)
    return course


@pytest.mark.parametrize(("spread", "over"), [(0.0, 4.0), (0.2, 2.5), (1.0, 2.5)])
@pytest.mark.parametrize("places", [1, 2, 4, 7, 12, 20, 48])
def test_the_limit_settles_near_the_places_and_nothing_is_lost(
    places: int, spread: float, over: float
) -> None:
    courses = [run(Slots(places, seed, spread), 2000) for seed in (1, 2, 3)]
    best = run(Slots(places, 1, spread), 1000, fixed=2 * places).rate
    assert best == pytest.approx(places, rel=0.05)
    assert fmean(course.rate for course in courses) > 0.95 * best
    limit = fmean(course.limit for course in courses)
    assert 0.9 * places <= limit <= over * places  # calls in lockstep (no spread) are hard to tell apart


def test_an_endpoint_without_bounds_is_used_in_full_and_soon() -> None:
    course = run(Slots(10_000), 2000)
    assert course.rate > 0.95 * MOST
    reached = course.limits.index(MOST)
    assert course.ends[reached] < 15  # seconds; from 4 to 128 in 5 doublings of about one call's time each


def test_a_place_more_than_needed_is_not_asked_for() -> None:
    course = run(Slots(10_000), 2000, wanted=3)
    assert set(course.limits) == {4}
    assert max(run(Slots(10_000), 2000, wanted=20).limits) <= 32


@pytest.mark.parametrize("places", [4, 16])
def test_where_calls_slow_each_other_most_of_what_can_be_had_is_had(places: int) -> None:
    best = max(run(Slowing(places), 1000, fixed=fixed).rate for fixed in (places, 4 * places, MOST))
    for seed in (1, 2):
        assert run(Slowing(places, seed), 3000).rate > 0.75 * best


@pytest.mark.parametrize("allowed", [5, 20, 60])
def test_a_metered_endpoint_is_used_without_storms_of_refusals(allowed: int) -> None:
    best = max(
        run(Metered(allowed), 1000, fixed=fixed).rate for fixed in (allowed // 2, allowed * 3 // 4, allowed)
    )
    for seed in (1, 2):
        course = run(Metered(allowed, seed), 2000)
        assert course.rate > 0.75 * best
        assert course.refused < 0.05 * len(course.ends)
    assert run(Metered(allowed), 1000, fixed=2 * allowed).refused > 1000  # what it was spared


def test_an_endpoint_that_grows_is_noticed() -> None:
    course = run(Slots(8, grown=(60.0, 64)), 6000)
    assert course.rate > 0.9 * 64
    before = [limit for limit, end in zip(course.limits, course.ends, strict=True) if 40 < end < 60]
    assert fmean(before) < 24


# ---------------------------------------------------------------- properties of the pace

ENDINGS = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0.001, 5), st.integers(0, 9), st.booleans()), max_size=300
)


@given(most=st.integers(1, 40), start=st.integers(1, 50), endings=ENDINGS)
def test_the_limit_stays_in_its_bounds_and_moves_by_its_rules(
    most: int, start: int, endings: list[tuple[float, float, int, bool]]
) -> None:
    pace = Pace(most, start)
    now = last_cut = 0.0
    highest = pace.limit
    assert pace.limit == min(most, start)
    for gap, length, kind, full in endings:
        now += gap
        before, begun = pace.limit, now - length
        pace.finished(begun, now, congested=kind == 0, full=full)
        assert 1 <= pace.limit <= most
        if kind == 0:
            halved = begun >= last_cut or pace.limit != before
            assert pace.limit == (max(1, before // 2) if halved else before)
            if halved:
                last_cut = now
        elif pace.limit > highest:
            assert full
            assert pace.limit == before + 1
        highest = max(highest, pace.limit)


@given(most=st.integers(1, 300), times=st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_slow_start_doubles_in_the_time_of_one_call(most: int, times: list[float]) -> None:
    pace = Pace(most)
    now, length = 0.0, times[0]
    for doubling in range(6):
        assert pace.limit == min(most, 4 * 2 ** max(0, doubling - 1))
        for _ in range(pace.limit):
            pace.finished(now, now + length, congested=False)
        now += length


@given(limit=st.integers(1, 200), flock=st.integers(1, 300))
def test_calls_that_failed_together_halve_the_limit_once(limit: int, flock: int) -> None:
    pace = Pace(400, limit)
    for number in range(flock):
        pace.finished(0.0, 1.0 + number / 1000, congested=True)
    assert pace.limit == max(1, limit // 2)
    pace.finished(2.0, 3.0, congested=True)
    assert pace.limit == max(1, max(1, limit // 2) // 2)


def test_after_congestion_a_round_of_calls_adds_one() -> None:
    pace = Pace(100, 20)
    pace.finished(0.0, 1.0, congested=True)
    limits = []
    for now in range(2, 9):
        for _ in range(pace.limit):
            pace.finished(float(now), now + 1.0, congested=False)
        limits.append(pace.limit)
    assert limits[0] == 10
    steps = [after - before for before, after in pairwise(limits)]
    assert set(steps) <= {0, 1}
    assert sum(steps) >= len(steps) - 1


@pytest.mark.parametrize(("most", "start"), [(0, 1), (1, 0), (-3, 4)])
def test_a_limit_below_one_is_refused(most: int, start: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Pace(most, start)


def test_the_documented_share_is_that_of_the_elasticity() -> None:
    assert math.isclose(2**ELASTICITY, 1.11, abs_tol=0.005)


# ---------------------------------------------------------------- threads


def start(jobs: Iterable[Callable[[], object]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive(), "deadlock"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


@settings(max_examples=10, deadline=None)
@given(most=st.integers(1, 12), threads=st.integers(1, 20), seed=st.integers(0, 99))
def test_no_more_calls_are_under_way_than_the_limit_and_all_get_done(
    most: int, threads: int, seed: int
) -> None:
    limiter, halt, draws = Limiter(most, 3), Halt(), Stream(seed, "work")
    inside, peak, done = 0, 0, [0] * threads
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, peak
        for turn in range(10):
            with limiter.slot(halt) as slot:
                with lock:
                    inside += 1
                    peak = max(peak, inside)
                    assert inside <= most
                if draws.chance(0.5, number, turn):
                    time.sleep(0.0005)
                if draws.chance(0.1, number, turn, "congested"):
                    slot.congested()
                with lock:
                    inside -= 1
                    done[number] += 1

    join(start(lambda number=number: work(number) for number in range(threads)))
    assert done == [10] * threads
    assert 1 <= peak <= most
    assert limiter.in_use == 0


def test_a_lowered_limit_is_kept_once_the_calls_above_it_have_ended() -> None:
    limiter, halt = Limiter(8, 8), Halt()
    slots = [limiter.slot(halt) for _ in range(8)]
    for slot in slots:
        slot.__enter__()
    slots[0].congested()
    slots[0].__exit__(None, None, None)
    assert (limiter.limit, limiter.in_use) == (4, 7)
    entered = threading.Event()

    def wait() -> None:
        with limiter.slot(halt):
            entered.set()

    threads = start([wait])
    for slot in slots[1:4]:
        slot.__exit__(None, None, None)
    assert limiter.in_use == 4
    assert not entered.wait(0.05)
    slots[4].__exit__(None, None, None)
    join(threads)
    assert entered.is_set()
    for slot in slots[5:]:
        slot.__exit__(None, None, None)
    assert limiter.in_use == 0


def test_places_go_to_those_who_have_waited_longest() -> None:
    limiter, halt, order = Limiter(1), Halt(), []

    def work(number: int) -> None:
        with limiter.slot(halt):
            order.append(number)

    threads = []
    with limiter.slot(halt):
        for number in range(12):
            threads += start([lambda number=number: work(number)])
            until(lambda number=number: limiter.waiting == number + 1)
    join(threads)
    assert order == list(range(12))


def test_one_who_has_just_ended_queues_behind_those_who_wait() -> None:
    limiter, halt, order = Limiter(1), Halt(), []

    def work() -> None:
        with limiter.slot(halt):
            order.append("other")

    with limiter.slot(halt):
        threads = start([work])
        until(lambda: limiter.waiting == 1)
    with limiter.slot(halt):
        order.append("again")
    join(threads)
    assert order == ["other", "again"]


def test_who_waits_is_told_promptly_that_the_run_stops_and_no_place_is_lost() -> None:
    limiter, halt, told = Limiter(1), Halt(), []

    def work() -> None:
        try:
            with limiter.slot(halt):
                told.append("got in")
        except HaltedError:
            told.append("halted")

    with limiter.slot(halt):
        threads = start([work] * 6)
        until(lambda: limiter.waiting == 6)
        halt.set()
        began = time.monotonic()
        join(threads)
        assert time.monotonic() - began < 1
    assert told == ["halted"] * 6
    assert (limiter.waiting, limiter.in_use) == (0, 0)
    with limiter.slot(Halt()):
        assert limiter.in_use == 1


def test_a_stopped_run_gets_no_place_even_where_one_is_free() -> None:
    limiter, halt = Limiter(4), Halt()
    halt.set()
    with pytest.raises(HaltedError), limiter.slot(halt):
        raise AssertionError("it got a place")
    assert limiter.in_use == 0


def test_a_place_that_is_handed_over_as_the_run_stops_is_given_back() -> None:
    limiter, halt, told = Limiter(1), Halt(), []

    def work() -> None:
        try:
            with limiter.slot(halt):
                told.append("got in")
        except HaltedError:
            told.append("halted")

    with limiter.slot(halt):
        threads = start([work])
        until(lambda: limiter.waiting == 1)
        halt.set()
    join(threads)
    assert told == ["halted"]
    assert limiter.in_use == 0


def test_a_call_that_raises_gives_its_place_back_and_teaches_nothing_unless_marked() -> None:
    clock = count()
    limiter = Limiter(8, 1, clock=lambda: float(next(clock)))
    for _ in range(50):
        with pytest.raises(KeyError), limiter.slot(Halt()):
            raise KeyError
    assert (limiter.limit, limiter.in_use) == (1, 0)
    for _ in range(50):
        with limiter.slot(Halt()):
            pass
    risen = limiter.limit
    assert risen > 1

    def refused() -> None:
        with limiter.slot(Halt()) as slot:
            slot.congested()
            raise KeyError

    with pytest.raises(KeyError):
        refused()
    assert limiter.limit == risen // 2


def test_a_place_costs_little_cpu() -> None:
    limiter, halt = Limiter(1), Halt()

    def seconds() -> float:
        began = time.process_time()
        for _ in range(2000):
            with limiter.slot(halt):
                pass
        return (time.process_time() - began) / 2000

    gc.collect()
    assert min(seconds() for _ in range(5)) < 40e-6  # about 5 us; other tests may share the core
