from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opoi.errors import EndpointError, PluginError, UsageError
from opoi.executor import Result, work_through
from opoi.halting import Halt
from opoi.store import Log, item_key


def items(count: int) -> Iterator[tuple[bytes, int]]:
    return ((item_key(index), index) for index in range(count))


def record(index: int) -> Result:
    return Result((b"%d" % index,))


@pytest.mark.parametrize("concurrency", [1, 4, 16])
def test_every_item_is_worked_on_once_and_sealed_in_order(tmp_path: Path, concurrency: int) -> None:
    calls: list[int] = []

    def work(index: int) -> Result:
        calls.append(index)
        time.sleep((index * 7 % 5) / 1000)
        return record(index)

    with Log(tmp_path / "a.jsonl") as log:
        order = work_through(items(40), work, log, concurrency=concurrency, seen=lambda _: None)
        log.seal(order, "x", {})
    assert sorted(calls) == list(range(40))
    assert (tmp_path / "a.jsonl").read_text().split() == [str(index) for index in range(40)]


def test_no_more_than_the_asked_number_run_at_once(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(index: int) -> Result:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1
        return record(index)

    with Log(tmp_path / "a.jsonl") as log:
        work_through(items(60), work, log, concurrency=5, seen=lambda _: None)
    assert most == 5


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_endpoint_that_stays_down_stops_the_stage_and_keeps_the_rest(
    tmp_path: Path, concurrency: int
) -> None:
    def work(index: int) -> Result:
        return record(index) if index < 5 else Result((b"x",), failure="refused")

    with Log(tmp_path / "a.jsonl") as log, pytest.raises(EndpointError, match="times in a row") as error:
        work_through(items(500), work, log, concurrency=concurrency, seen=lambda _: None)
    assert "refused" in str(error.value)
    assert len(log) == 5


def test_failures_with_successes_between_do_not_stop_it(tmp_path: Path) -> None:
    def work(index: int) -> Result:
        return Result((b"x",), failure="flaky" if index % 3 else "")

    with Log(tmp_path / "a.jsonl") as log:
        assert len(work_through(items(90), work, log, concurrency=1, seen=lambda _: None)) == 90


def test_an_endpoint_that_worked_and_answers_a_probe_is_not_given_up(tmp_path: Path) -> None:
    probes: list[int] = []

    def work(index: int) -> Result:
        return Result((b"x",), failure="too long" if 5 <= index < 40 else "")

    with Log(tmp_path / "a.jsonl") as log:
        done = work_through(
            items(60), work, log, concurrency=1, seen=lambda _: None, probe=lambda: probes.append(1)
        )
    assert len(done) == 60
    assert len(probes) == 3


def test_a_probe_that_fails_ends_the_stage(tmp_path: Path) -> None:
    def dead() -> None:
        raise EndpointError("gone")

    def work(index: int) -> Result:
        return Result((b"x",), failure="refused" if index else "")

    with Log(tmp_path / "a.jsonl") as log, pytest.raises(EndpointError, match="gone"):
        work_through(items(60), work, log, concurrency=1, seen=lambda _: None, probe=dead)


@pytest.fixture
def interrupts() -> Iterator[Callable[[float], None]]:
    """Sends this process a real Ctrl-C after some seconds, also where a parent has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timers: list[threading.Timer] = []

    def after(seconds: float) -> None:
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()

    yield after
    for timer in timers:
        timer.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_does_not_wait_for_what_is_under_way(
    tmp_path: Path, interrupts: Callable[[float], None]
) -> None:
    release = threading.Event()
    said: list[str] = []

    def work(index: int) -> Result:
        release.wait(20)
        return record(index)

    interrupts(0.1)
    interrupts(0.3)
    begun = time.monotonic()
    with Log(tmp_path / "a.jsonl") as log, pytest.raises(KeyboardInterrupt):
        work_through(items(100), work, log, concurrency=2, seen=lambda _: None, say=said.append)
    assert 0.25 < time.monotonic() - begun < 5
    assert len(said) == 1
    assert "Ctrl-C again" in said[0]
    release.set()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_interrupt_while_the_last_items_are_finished_is_not_lost(
    tmp_path: Path, concurrency: int, interrupts: Callable[[float], None]
) -> None:
    def work(index: int) -> Result:
        time.sleep(0.3)
        return record(index)

    interrupts(0.1)
    with Log(tmp_path / "a.jsonl") as log:
        with pytest.raises(KeyboardInterrupt):
            work_through(
                items(concurrency), work, log, concurrency=concurrency, seen=lambda _: None, halt=Halt()
            )
        assert len(log) == concurrency


def test_no_interrupt_at_whatever_moment_leaves_threads_that_wait_for_ever(tmp_path: Path) -> None:
    """The kernel's timer stands for Ctrl-C, since other threads of Python would choose the moment."""
    script = tmp_path / "stops.py"
    script.write_text(STOPS)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped 300 times\n"), done.stderr


STOPS = """
import faulthandler
import random
import signal
import time

import opoi.halting
from opoi.executor import Result, work_through

opoi.halting._TOGETHER = 0.0
shots = []


def shoot(number, frame):
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler and shots:  # once the threads are there
        shots.pop()
        handler(signal.SIGINT, frame)
    if not shots:
        signal.setitimer(signal.ITIMER_REAL, 0)


signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, shoot)


class Kept(dict):
    failed_before = frozenset()

    def append(self, key, records, *, failed):
        self[key] = records


def endless():
    index = 0
    while True:
        index += 1
        yield b"%d" % index, index


def work(index):
    time.sleep(0.00001)
    return Result((b"x",))


moments, stopped, done = random.Random(0), 0, 0
faulthandler.dump_traceback_later(60, exit=True)
for round in range(300):
    kept = Kept()
    try:
        shots[:] = [1] * (1 + round % 2)
        between = moments.choice([0.0001, 0.0003, 0.001])
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.001, 0.01), between)
        work_through(endless(), work, kept, concurrency=6, seen=lambda _: None)
    except KeyboardInterrupt:
        shots.clear()
        stopped += 1
    done += len(kept)
assert done
print(f"stopped {stopped} times")
"""


def test_an_interrupt_is_heard_while_what_is_there_already_is_passed_over(
    tmp_path: Path, interrupts: Callable[[float], None]
) -> None:
    def slowly() -> Iterator[tuple[bytes, int]]:
        for key, index in items(400):
            time.sleep(0.01)
            yield key, index

    with Log(tmp_path / "a.jsonl") as log:
        for key, index in items(400):
            log.append(key, (b"%d" % index,), failed=False)
        interrupts(0.1)
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            work_through(slowly(), record, log, concurrency=4, seen=lambda _: None)
        assert time.monotonic() - begun < 2


def test_signals_that_come_together_are_one(tmp_path: Path, interrupts: Callable[[float], None]) -> None:
    def work(index: int) -> Result:
        time.sleep(0.4)
        return record(index)

    interrupts(0.1)
    interrupts(0.12)
    with Log(tmp_path / "a.jsonl") as log:
        with pytest.raises(KeyboardInterrupt):
            work_through(items(50), work, log, concurrency=2, seen=lambda _: None)
        assert len(log) == 2


def test_items_that_were_not_asked_about_do_not_stop_it(tmp_path: Path) -> None:
    def work(_: int) -> Result:
        return Result((b"x",), failure="no review", asked=False)

    with Log(tmp_path / "a.jsonl") as log:
        assert len(work_through(items(40), work, log, concurrency=1, seen=lambda _: None)) == 40


def test_what_failed_before_may_fail_again_without_stopping_it(tmp_path: Path) -> None:
    def work(index: int) -> Result:
        return Result((b"x",), failure="flaky" if index % 2 else "")

    for _ in range(2):
        with Log(tmp_path / "a.jsonl") as log:
            order = work_through(items(60), work, log, concurrency=1, seen=lambda _: None)
            assert log.seal(order, "x", {}).failures == 30


@pytest.mark.parametrize("concurrency", [1, 4])
def test_what_a_plugin_raises_becomes_one_message(tmp_path: Path, concurrency: int) -> None:
    def work(index: int) -> Result:
        if index == 7:
            raise KeyError("oops")
        return record(index)

    with Log(tmp_path / "a.jsonl") as log, pytest.raises(PluginError, match="KeyError: 'oops'"):
        work_through(items(50), work, log, concurrency=concurrency, seen=lambda _: None)
    assert len(log) >= 7 if concurrency == 1 else log is not None


def test_an_error_for_people_goes_on_as_it_is(tmp_path: Path) -> None:
    def work(_: int) -> Result:
        raise UsageError("wrong")

    with Log(tmp_path / "a.jsonl") as log, pytest.raises(UsageError, match="wrong"):
        work_through(items(3), work, log, concurrency=2, seen=lambda _: None)


def test_an_interrupt_finishes_and_writes_what_is_under_way(tmp_path: Path) -> None:
    started: list[int] = []

    def work(index: int) -> Result:
        started.append(index)
        time.sleep(0.05)
        return record(index)

    def interrupted() -> Iterator[tuple[bytes, int]]:
        for key, index in items(100):
            if index == 6:
                time.sleep(0.02)
                raise KeyboardInterrupt
            yield key, index

    with Log(tmp_path / "a.jsonl") as log:
        with pytest.raises(KeyboardInterrupt):
            work_through(interrupted(), work, log, concurrency=4, seen=lambda _: None)
        assert {item_key(index) for index in started} == {
            item_key(i) for i in range(100) if item_key(i) in log
        }
    assert len(started) >= 4
