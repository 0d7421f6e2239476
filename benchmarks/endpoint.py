"""What does our client cost beside the bare `openai` client?

    python benchmarks/endpoint.py [--rounds 3] [--quick]

A server in a process of its own (`fixed_server.py`) answers every request with the same completion, after a
given delay. It is called from N threads, each calling again as soon as it has an answer:

- *bare*: `openai.OpenAI(max_retries=0).chat.completions.create`;
- *post*: that client's `post` with the HTTP response as the result, so without checks of requests and without
  the reading of answers;
- *ours*: `Session(most=N).line` and `EndpointModel.complete` as in a run: with the journal, the meter, and a
  limit of calls under way that starts at 4 and is found out;
- *fixed*: ours with that limit at N from the start;
- *streamed*: both sides with answers as streams (this and the one before at N = 64).

Clients are made anew for each round, and rounds are interleaved (bare, post, ours, bare ...). `calls/s`
counts the calls that ended within a window after a warm-up (3 s each at 200 ms), `whole` those from the first
one to the end of that window, so that the ramp is in it. `CPU ms` is `time.process_time` of this process over
the window, by its calls; `core` the share of one core that this is. All figures are medians over rounds;
ratios and differences are taken within a round, and shown with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import openai
from fixed_server import NAME, TEXT, serving

from opoi.models.endpoint.dialect import Dialect
from opoi.models.endpoint.limiter import Limiter
from opoi.models.endpoint.line import HttpLine
from opoi.models.endpoint.model import EndpointModel
from opoi.models.journal import Journal, JournalLine, Shelf
from opoi.models.session import Session
from opoi.types import Message

WIDTHS = (1, 16, 64, 256)
DELAYS = (0, 200)
SHORT, LONG = 1_300, 68_000

KEY = "a-key-as-long-as-those-of-hosted-endpoints-are"

CALLS_AIM = 0.95
"""Share of N / latency calls a second, at 64 and 200 ms."""

CPU_AIM = 0.3
"""Milliseconds a call above the bare client."""


@dataclass(frozen=True)
class Setting:
    """What is measured side by side.

    Attributes:
        delay: Of the server, milliseconds.
        width: Threads that call, N.
        size: Of the prompt, characters.
        kinds: Clients.
        seconds: Of the warm-up, and of the window.
    """

    delay: int
    width: int
    size: int
    kinds: tuple[str, ...]
    seconds: tuple[float, float]


# ---------------------------------------------------------------- the clients

Call = Callable[[int], str]
"""One call, to what was answered; the number tells it from others."""


def prompt(size: int) -> list[Message]:
    """Return a conversation of about so many characters: a system message, and turns of 1,000."""
    told = ("It rained in the morning, and " * 40)[: min(1_000, size - 300)]
    system = Message(role="system", content="You are brief. " * 20, author="suite")
    turns = [Message(role="user", content=told, author="suite")] * round((size - 300) / len(told))
    return [system, *turns]


@contextmanager
def bare(kind: str, url: str, setting: Setting) -> Iterator[Call]:
    """Make the bare client, and the request that ours would send."""
    fields: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in prompt(setting.size)],
        "model": NAME,
        "temperature": 0.7,
        "max_tokens": 1024,
    }
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=30) as client:
        create: Any = client.chat.completions.create

        def read(seed: int) -> str:
            return str(create(**fields, seed=seed).choices[0].message.content)

        def post(seed: int) -> str:
            body = {**fields, "seed": seed}
            return client.post("/chat/completions", cast_to=httpx.Response, body=body).text

        def stream(seed: int) -> str:
            usage = {"include_usage": True}
            events = create(**fields, seed=seed, stream=True, stream_options=usage)
            return "".join(event.choices[0].delta.content or "" for event in events if event.choices)

        yield {"bare": read, "post": post, "bare streamed": stream}[kind]


@contextmanager
def ours(kind: str, url: str, setting: Setting) -> Iterator[Call]:
    """Make a model as in a run."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        line: Any
        if kind == "fixed":
            shelf = Shelf()
            shelf.journal = stack.enter_context(Journal(folder / "journal"))
            limiter = Limiter(setting.width, start=setting.width)
            line = JournalLine(HttpLine(url, NAME, api_key=KEY, timeout=30, limiter=limiter), shelf)
            stack.callback(line.close)
        else:
            session = Session(most=setting.width)
            stack.callback(session.close)
            stack.enter_context(session.stage("bench", folder / "journal"))
            line = session.line(url, NAME, key=KEY, timeout=30, retries=2)
        model = EndpointModel(line, NAME, dialect=Dialect(stream=kind == "ours streamed"))
        messages = prompt(setting.size)
        yield lambda seed: model.complete(messages, (), seed=seed).content


MAKERS = {
    "bare": bare,
    "post": bare,
    "ours": ours,
    "fixed": ours,
    "bare streamed": bare,
    "ours streamed": ours,
}
BASE = {kind: "bare streamed" if "streamed" in kind else "bare" for kind in MAKERS}


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Seen:
    """One round: calls per second in the window and from the start, CPU milliseconds a call."""

    rate: float
    whole: float
    cpu: float

    @property
    def core(self) -> float:
        """Share of one core that the client took."""
        return self.rate * self.cpu / 1e3


def within(ends: Sequence[float], begin: float, end: float, latency: float) -> float:
    """Return how many calls fell into a window, by the moments at which calls ended.

    Each is spread evenly over the latency before its end: calls that begin together end together, and a
    window that just misses 64 ends is not 64 calls slower.
    """
    if not latency:
        return float(sum(begin <= ended < end for ended in ends))
    return sum(max(0.0, min(ended, end) - max(ended - latency, begin)) for ended in ends) / latency


def measure(call: Call, setting: Setting) -> Seen:
    """Call from all threads; look at the clocks at the start, after the warm-up and at the end."""
    numbers = count()
    ends: list[float] = []
    stop = threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        try:
            while not stop.is_set():
                call(next(numbers))
                ends.append(time.perf_counter())
        except Exception as failure:  # noqa: BLE001 - raised again in the main thread
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(setting.width)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(setting.seconds[0])
    warm, cpu = time.perf_counter(), time.process_time()
    time.sleep(setting.seconds[1])
    end, cpu = time.perf_counter(), time.process_time() - cpu
    stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    latency = setting.delay / 1e3
    calls = within(ends, warm, end, latency)
    return Seen(
        rate=calls / (end - warm),
        whole=within(ends, start, end, latency) / (end - start),
        cpu=cpu / max(1.0, calls) * 1e3,
    )


def rounds(setting: Setting, port: int, number: int) -> dict[str, list[Seen]]:
    """Measure every client of a setting in turn, several times."""
    url = f"http://127.0.0.1:{port}/{setting.delay}/v1"
    seen: dict[str, list[Seen]] = {kind: [] for kind in setting.kinds}
    for _ in range(number):
        for kind, found in seen.items():
            with MAKERS[kind](kind, url, setting) as call:
                if TEXT not in call(-1):
                    raise SystemExit(f"{kind} reads something else than the server says")
                found.append(measure(call, setting))
    return seen


# ---------------------------------------------------------------- telling

HEAD = (
    f"{'latency':>7} {'prompt':>7} {'N':>4}  {'client':14}{'calls/s':>8}{'whole':>8}{'of N/latency':>14}"
    f"{'CPU ms':>8}{'core':>6}   {'calls/s against bare':24}{'CPU ms above bare':24}"
)


def spread(values: Sequence[float], form: str) -> str:
    """Return the median, and lowest and highest in brackets."""
    low, mid, high = (format(value, form) for value in (min(values), median(values), max(values)))
    return f"{mid} ({low} .. {high})"


def tell(setting: Setting, seen: dict[str, list[Seen]]) -> None:
    """Print the rows of a setting."""
    for kind, found in seen.items():
        base = seen[BASE[kind]]
        rate = median(one.rate for one in found)
        share = f"{100 * rate * setting.delay / 1e3 / setting.width:.1f} %" if setting.delay else ""
        row = (
            f"{setting.delay:4} ms {setting.size / 1e3:4.1f} kB {setting.width:4}  {kind:14}"
            f"{rate:8.1f}{median(one.whole for one in found):8.1f}{share:>14}"
            f"{median(one.cpu for one in found):8.2f}{median(one.core for one in found):6.0%}"
        )
        if found is not base:
            pairs = list(zip(found, base, strict=True))
            ratios = [one.rate / other.rate for one, other in pairs]
            above = [one.cpu - other.cpu for one, other in pairs]
            row += f"   {spread(ratios, '.2f'):24}{spread(above, '+.2f'):24}"
        print(row.rstrip(), flush=True)


Results = Sequence[tuple[Setting, dict[str, list[Seen]]]]


def verdicts(results: Results) -> Iterator[str]:
    """Yield a line for each aim."""
    for setting, seen in results:
        if (setting.delay, setting.width) == (200, 64):
            yield from _enough(setting, seen["ours"])
    yield _above(results, "bare", CPU_AIM)
    if all("post" in seen for _, seen in results):
        yield _above(results, "post", None)


def _enough(setting: Setting, found: Sequence[Seen]) -> Iterator[str]:
    most = setting.width / setting.delay * 1e3
    steady, whole = median(one.rate for one in found), median(one.whole for one in found)
    lost = (1 - whole / steady) * sum(setting.seconds)
    aim = f"{most:.0f} calls/s (N = {setting.width}, {setting.delay} ms)"
    yield f"{steady / most:.1%} of {aim}, after the ramp: {_met(steady >= CALLS_AIM * most)}"
    yield (
        f"{whole / most:.1%} over {sum(setting.seconds):g} s, ramp included: "
        f"{_met(whole >= CALLS_AIM * most)}; the ramp costs the calls of {lost:.1f} s"
    )


def _above(results: Results, base: str, aim: float | None) -> str:
    """Tell where ours costs most CPU above a reference."""
    above = [
        (median(one.cpu - other.cpu for one, other in zip(seen["ours"], seen[base], strict=True)), setting)
        for setting, seen in results
    ]
    cpu, worst = max(above, key=lambda pair: pair[0])
    where = f"N = {worst.width}, {worst.delay} ms, {worst.size / 1e3:.1f} kB"
    met = "" if aim is None else f": {_met(cpu <= aim)}"
    return f"at most {cpu:+.2f} ms of CPU a call above {base} ({where}){met}"


def _met(met: bool) -> str:
    return "aim met" if met else "aim missed"


def settings(*, quick: bool) -> list[Setting]:
    """Return what is measured."""
    if quick:
        return [Setting(delay, 16, SHORT, ("bare", "ours"), (2.0, 1.0)) for delay in DELAYS]
    most, plain = tuple(MAKERS), ("bare", "post", "ours")
    times = {0: (0.5, 1.5), 200: (3.0, 3.0)}
    found = [
        Setting(delay, width, SHORT, most if width == 64 else plain, times[delay])
        for delay in DELAYS
        for width in WIDTHS
    ]
    return [*found, *(Setting(delay, 16, LONG, plain, times[delay]) for delay in DELAYS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="only these N")
    parser.add_argument("--delays", type=int, nargs="+", default=DELAYS, help="only these latencies, ms")
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds")
    options = parser.parse_args()
    number = 1 if options.quick else options.rounds
    print(f"{number} rounds; processes that want to run, before: {os.getloadavg()[0]:.1f}")
    print(HEAD)
    results = []
    with serving() as port:
        for setting in settings(quick=options.quick):
            if setting.width not in options.widths or setting.delay not in options.delays:
                continue
            seen = rounds(setting, port, number)
            tell(setting, seen)
            results.append((setting, seen))
    print(f"processes that want to run, after: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(*verdicts(results), sep="\n")


if __name__ == "__main__":
    main()
