"""Working through the items of a stage, several at once, with every result on disk as soon as it is there.

The order in which items finish does not matter: the log puts them in order when it is sealed. On Ctrl-C no
new item is started. Those under way are finished and written where the model is in this process; where an
endpoint is asked, the calls under way are finished (the journal of calls keeps them) and their items are left
for the next sitting. Then the interrupt goes on to the caller. A second Ctrl-C waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from msgspec import Struct

from opoi.errors import EndpointError, OpoiError, PluginError
from opoi.halting import Halt, HaltedError, interrupts
from opoi.store import Log

__all__ = ["Result", "work_through"]

T = TypeVar("T")


class Result(Struct, frozen=True):
    """What became of one item.

    Attributes:
        records: Its lines in the artefact, at least one.
        failure: What went wrong with the endpoint, `""` if nothing did; the item can be tried again.
        notes: What to count on the way, e.g. drop reasons.
        asked: Whether the endpoint was asked at all; else a failure says nothing of its state.
    """

    records: tuple[bytes, ...]
    failure: str = ""
    notes: tuple[str, ...] = ()
    asked: bool = True


class _Breaker:
    """Stops a stage when the endpoint fails many times in a row without one success between.

    An endpoint that worked before is asked once more: it may be in order, and only these items be beyond it.
    """

    def __init__(self, limit: int, *, worked: bool, probe: Callable[[], None] | None) -> None:
        self._limit = limit
        self._worked = worked
        self._probe = probe
        self._row = 0

    def see(self, result: Result) -> None:
        if not result.failure:
            self._row, self._worked = 0, True
            return
        self._row += 1
        if self._row < self._limit:
            return
        if self._worked and self._probe is not None:
            self._probe()
            self._row = 0
            return
        raise EndpointError(
            f"the endpoint failed {self._row} times in a row",
            why=result.failure,
            fix="what is finished is kept: mend the endpoint, then run the same command with --resume",
        )


def work_through(
    items: Iterable[tuple[bytes, T]],
    work: Callable[[T], Result],
    log: Log,
    *,
    concurrency: int,
    seen: Callable[[Result | None], None],
    probe: Callable[[], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    halt: Halt | None = None,
) -> list[bytes]:
    """Work on every item that the log does not have yet, and return the keys of all, in order.

    Args:
        items: Key and item, in their fixed order; walked lazily.
        work: Called from `concurrency` threads (from this one if it is 1 and there is no `halt`). An item
            that raises `HaltedError` is left undone.
        log: Where results go.
        concurrency: Items under way at once, at least 1.
        seen: Called in this thread with each result once it is on disk; None for one that was there.
        probe: Called to find out whether the endpoint is in order; raises `EndpointError` if not.
        say: Shows a line to a person.
        halt: Set to stop calls of endpoints before they begin; set here when the stage has to end early.

    Raises:
        EndpointError: The endpoint failed too often in a row, and does not answer a probe.
        OpoiError: The reason for which `halt` was set elsewhere.
        PluginError: `work` raised something that is not an `OpoiError`.
    """
    breaker = _Breaker(max(10, 2 * concurrency), worked=len(log) > 0, probe=probe)
    halted = Halt() if halt is None else halt
    order: list[bytes] = []

    def todo() -> Iterator[tuple[bytes, T]]:
        for key, item in items:
            order.append(key)
            if key in log:
                seen(None)
                halted.check()
            else:
                yield key, item

    def keep(key: bytes, result: Result) -> None:
        again = key in log.failed_before
        log.append(key, result.records, failed=bool(result.failure))
        seen(result)
        if result.asked and not again:  # what failed once may well fail again, with the endpoint in order
            breaker.see(result)

    if concurrency == 1 and halt is None:
        for key, item in todo():
            keep(key, _guarded(work, item))
    else:
        _Threads(keep, concurrency, say, halted).run(todo(), work)
    return order


class _Threads:
    """Items under way in threads, and wishes to stop."""

    def __init__(
        self, keep: Callable[[bytes, Result], None], concurrency: int, say: Callable[[str], None], halt: Halt
    ) -> None:
        self._keep = keep
        self._most = 2 * concurrency
        self._say = say
        self._halt = halt
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="opoi")
        self._under_way: dict[Future[Result], bytes] = {}
        self._finished: SimpleQueue[Future[Result] | None] = SimpleQueue()  # None: there was a wish
        self._wishes: list[None] = []

    def run(self, todo: Iterator[tuple[bytes, T]], work: Callable[[T], Result]) -> None:
        """Work through all items."""
        with interrupts(self._stop):
            try:
                for key, item in todo:
                    self._halt.check()
                    future = self._pool.submit(_guarded, work, item)
                    self._under_way[future] = key
                    future.add_done_callback(self._finished.put)
                    if len(self._under_way) >= self._most:
                        self._collect()
                while self._under_way:
                    self._collect()
            except BaseException as error:
                self._end(error)
                if isinstance(error, HaltedError):
                    raise self._halt.reason or KeyboardInterrupt from None
                raise
            finally:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _stop(self) -> None:
        """Note a wish to stop: after the first, what is under way is finished; the second leaves at once."""
        self._wishes.append(None)
        self._halt.set()
        self._finished.put(None)

    def _collect(self) -> None:
        """Wait for an item and keep what became of it."""
        future = self._finished.get()
        if future is None:
            self._halt.check()
        else:
            self._keep(self._under_way.pop(future), future.result())

    def _end(self, error: BaseException) -> None:
        """Let nothing new begin; wait for what is under way and keep it."""
        self._halt.set(error if isinstance(error, OpoiError) else None)
        for future in [future for future in self._under_way if future.cancel()]:
            self._under_way.pop(future)
        wished = isinstance(error, KeyboardInterrupt | HaltedError) and self._halt.reason is None
        if wished and self._under_way:
            with suppress(OSError):  # nobody may be there to read it
                count = len(self._under_way)
                self._say(f"finishing what is under way for {count} items; Ctrl-C again stops at once")
        while self._under_way:
            last = self._finished.get()
            if len(self._wishes) > 1:
                raise KeyboardInterrupt
            if last is None or last not in self._under_way:
                continue
            key = self._under_way.pop(last)
            if last.exception() is None:
                with suppress(EndpointError):  # the breaker again; one error is on its way already
                    self._keep(key, last.result())


def _guarded(work: Callable[[T], Result], item: T) -> Result:
    try:
        return work(item)
    except OpoiError:
        raise
    except Exception as error:  # the boundary to plug-ins: what they raise becomes one clear message
        raise PluginError(
            "a suite, strategy, expert or model raised an error",
            why=f"{type(error).__name__}: {error}",
            fix="run again with --debug to see where; what is finished is kept",
        ) from error
