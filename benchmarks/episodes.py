"""What does one episode cost, in process and through the client?

    python benchmarks/episodes.py [--suite ads] [--episodes 300]

An episode is one unsteered rollout of the suite's stand-in: every model turn, every tool call, until the
answer. It is measured in one process and one thread, CPU by `time.process_time`, best of three rounds:

- *worlds*: making the environments alone (`Suite.env` and `reset`), by far the dearest part of some suites;
- *in process*: the loop with the stand-in, on worlds made before, and the sum of both;
- *through the client*: the same rollouts with `EndpointModel`, that is the `openai` client on an
  `httpx.MockTransport` whose handler runs the code of `opoi.models.served` (reading the request, asking the
  stand-in, writing the completion) without sockets; the handler's share is counted apart.

The traces of both ways are compared: they have to be equal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx
import msgspec

from opoi.models.endpoint.model import connect
from opoi.models.served.chat import complete, read_request
from opoi.protocols import Env, Model, Suite
from opoi.registry import load_suite
from opoi.rollout import rollout
from opoi.types import Message, Reply, Scenario, ToolSpec, Trace

T = TypeVar("T")

ROUNDS = 3
NAME = "stand-in/default"


class Prebuilt:
    """A suite whose environments were made before; everything else is the suite's own."""

    def __init__(self, suite: Suite, scenarios: Sequence[Scenario]) -> None:
        self._suite = suite
        self._envs = {scenario.id: suite.env(scenario) for scenario in scenarios}

    def env(self, scenario: Scenario) -> Env:
        """Hand out the scenario's environment, once."""
        return self._envs.pop(scenario.id)

    def __getattr__(self, name: str) -> object:
        return getattr(self._suite, name)


class Watch:
    """Counts calls, and the CPU seconds spent inside them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def per_call(self) -> float:
        """Return CPU milliseconds of one call."""
        return self.seconds / self.calls * 1e3

    def run(self, work: Callable[[], T]) -> T:
        """Do the work, counted."""
        start = time.process_time()
        result = work()
        self.seconds += time.process_time() - start
        self.calls += 1
        return result


class Watched:
    """A model with a watch."""

    def __init__(self, model: Model, watch: Watch) -> None:
        self.name = model.name
        self._model = model
        self._watch = watch

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        """Answer, counted."""
        return self._watch.run(lambda: self._model.complete(messages, tools, seed=seed))


class Handler:
    """The server's code without the sockets, with a watch."""

    def __init__(self, model: Model, watch: Watch) -> None:
        self._model = model
        self._watch = watch
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body = self._watch.run(lambda: self._answer(request.content))
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})

    def _answer(self, body: bytes) -> bytes:
        return self._encode(complete(self._model, read_request(body, NAME), NAME))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def play(suite: Suite, scenarios: Sequence[Scenario], model: Model) -> list[Trace]:
    return [rollout(scenario, suite, model, arm="base", run=0, seed=1) for scenario in scenarios]


def best(rounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(cpu for cpu, _ in rounds), min(wall for _, wall in rounds)


def measure_worlds(suite: Suite, scenarios: Sequence[Scenario]) -> tuple[float, float]:
    """Return CPU and wall seconds of making all environments and starting their episodes."""

    def build() -> None:
        for scenario in scenarios:
            suite.env(scenario).reset(seed=scenario.seed)

    return best([timed(build) for _ in range(ROUNDS)])


def measure_play(
    suite: Suite, scenarios: Sequence[Scenario], model: Model
) -> tuple[float, float, list[Trace]]:
    """Return CPU and wall seconds of all rollouts on prebuilt worlds, and the traces."""
    rounds, traces = [], []
    for _ in range(ROUNDS):
        prebuilt = Prebuilt(suite, scenarios)
        played: list[Trace] = []
        rounds.append(timed(lambda: played.extend(play(prebuilt, scenarios, model))))  # noqa: B023 - called at once
        traces = played
    return *best(rounds), traces


def measure_client(
    suite: Suite,
    scenarios: Sequence[Scenario],
    model: Model,
    outer: Watch | None = None,
    inner: Watch | None = None,
) -> tuple[float, float, list[Trace]]:
    """Do the same through the client. The watches see the whole call and the server's part of it."""
    with httpx.Client(transport=httpx.MockTransport(Handler(model, inner or Watch()))) as client:
        remote: Model = connect(
            "http://127.0.0.1/v1", NAME, api_key="none", max_tokens=None, http_client=client
        )
        play(suite, scenarios[:5], remote)
        return measure_play(suite, scenarios, Watched(remote, outer) if outer else remote)


def print_split(suite: Suite, scenarios: Sequence[Scenario], model: Model) -> None:
    """Print where the CPU of one model call through the client goes."""
    whole, server, stand_in = Watch(), Watch(), Watch()
    measure_client(suite, scenarios, Watched(model, stand_in), whole, server)
    parts = {
        "client (openai, httpx, our encoding)": whole.per_call() - server.per_call(),
        "server (reading, writing)": server.per_call() - stand_in.per_call(),
        "stand-in": stand_in.per_call(),
    }
    print("\none model call through the client, CPU ms")
    for title, cost in parts.items():
        print(f"{title:38}{cost:15.3f}")


def tool_calls(trace: Trace) -> int:
    return sum(len(message.tool_calls) for turn in trace.messages for message in (turn, *turn.sub))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="ads")
    parser.add_argument("--episodes", type=int, default=300)
    options = parser.parse_args()

    suite = load_suite(options.suite)
    count: int = options.episodes
    scenarios: list[Scenario] = []
    making, _ = timed(lambda: scenarios.extend(suite.scenarios(count, 1)))
    stand_in = suite.stand_in()
    play(suite, scenarios[:5], stand_in)

    worlds_cpu, worlds_wall = measure_worlds(suite, scenarios)
    direct_cpu, direct_wall, direct = measure_play(suite, scenarios, stand_in)
    client_cpu, client_wall, remote = measure_client(suite, scenarios, stand_in)
    same = sum(a == b for a, b in zip(direct, remote, strict=True))

    rows = [
        ("worlds alone", worlds_cpu, worlds_wall),
        ("in process", direct_cpu, direct_wall),
        ("in process, worlds included", direct_cpu + worlds_cpu, direct_wall + worlds_wall),
        ("through the client", client_cpu, client_wall),
        ("through the client, worlds included", client_cpu + worlds_cpu, client_wall + worlds_wall),
    ]
    calls = sum(trace.usage.calls for trace in direct)
    tools = sum(tool_calls(trace) for trace in direct)
    print(f"suite {suite.name}, {count} episodes, best of {ROUNDS} rounds")
    print(f"making a scenario takes {making / count * 1e3:.2f} ms of CPU")
    print(f"model calls per episode {calls / count:.2f}, tool calls per episode {tools / count:.2f}\n")
    print(f"{'':38}{'CPU ms/episode':>15}{'episodes/s':>12}{'ratio':>8}")
    for title, cpu, wall in rows:
        print(f"{title:38}{cpu / count * 1e3:15.3f}{count / wall:12.0f}{cpu / direct_cpu:8.2f}")
    print_split(suite, scenarios, stand_in)
    print(f"equal traces: {same} of {count}")
    if same != count:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
