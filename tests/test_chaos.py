"""A server that misbehaves in every way at once: nothing is lost, doubled or paid for twice.

What passes (time-outs, resets, refusals, torn answers) is drawn by request and try; what lasts (a model's
bad answers) by request alone. So three comparisons are exact, byte for byte:

- a run in the storm, taken up again until nothing is failed, is the run that met only what lasts;
- so is one that was killed at any moments and taken up again;
- two runs that meet the same storm are one, at any concurrency, as long as no clock has a say: without
  time-outs, and with a budget of retries that is never spent.

`OPOI_CHAOS_SCENARIOS` and `OPOI_CHAOS_KILLS` make the storm longer (`make chaos`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import msgspec
import pytest

from opoi.errors import EndpointError
from opoi.halting import Halt
from opoi.measures import Results
from opoi.models.endpoint.capabilities import Capabilities
from opoi.models.endpoint.limiter import Limiter
from opoi.models.endpoint.patience import Budget
from opoi.models.meter import Meter
from opoi.models.served.chaos.plan import CALM, IN_STREAMS, Fault, Lasting, Passing, Plan
from opoi.models.served.chaos.server import Asked, Chaos, Moment, chaotic
from opoi.models.session import Session
from opoi.pipeline import STAGES, carry_out, run_all
from opoi.preflight import settle
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.run import Run
from opoi.seeds import Stream
from opoi.settings import Settings, merge
from opoi.store import encode, read
from opoi.types import Cleaned, Outcome, Scenario, Trace

pytestmark = pytest.mark.slow

SCENARIOS = int(os.environ.get("OPOI_CHAOS_SCENARIOS", "60"))
KILLS = int(os.environ.get("OPOI_CHAOS_KILLS", "4"))

ARMS = ("base", "opoi", "opcd")
WORK = 777  # most tokens of an answer: by it the server tells the work from probes and checks

RATES: dict[Fault, float] = {
    **dict.fromkeys([*Passing, *Lasting], 0.05),
    Lasting.HUGE: 0.005,  # 1 MB each, in four files and in every later request of the conversation
}
STORM = Plan(5, RATES)
UNTIMED = Plan(5, {**RATES, Passing.TIMEOUT: 0.0})
LASTING = Plan(5, {fault: rate for fault, rate in RATES.items() if isinstance(fault, Lasting)})


class NoWait(Halt):
    """Waits for nothing."""

    def pause(self, seconds: float) -> None:
        self.check()


@pytest.fixture(scope="module")
def server(echo: Suite) -> Iterator[Chaos]:
    with chaotic(echo.stand_in(), name="tiny", plan=CALM, strikes=is_work) as chaos:
        yield chaos


@pytest.fixture(autouse=True)
def calm(server: Chaos) -> None:
    server.plan = CALM
    server.watch = lambda *_: None
    server.forget()


def is_work(request: dict[str, object]) -> bool:
    return request.get("max_tokens") == WORK


def settings_of(server: Chaos, n: int, **endpoint: object) -> Settings:
    return merge(
        {"endpoint": {"max_tokens": WORK, "retries": 3, "timeout": 60.0, **endpoint}},
        {
            "suite": "echo",
            "n": n,
            "runs": 1,
            "strategies": ["opoi", "opcd"],
            "model": server.url,
            "model_name": "tiny",
            "concurrency": 16,
            "resamples": 100,
            "scorers": ["none"],  # only work is struck
        },
    )


def hasten(run: Run, settings: Settings, *, spendthrift: bool, record: Path | None = None) -> Run:
    """Let a run wait for nothing between tries, and spend as many retries as it likes.

    Without a clock and without a budget of all calls together, what becomes of a call depends on it alone.
    """
    run.session = Session(most=16, meter=Meter(NoWait()), record=record)
    if spendthrift:
        shared = SimpleNamespace(limiter=Limiter(16), budget=Budget(1.0, 1_000_000))
        run.session._shared[settings.model] = shared
    run.settings = settings
    return run


@pytest.fixture(scope="module")
def known(server: Chaos, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Capabilities]:
    """Probe the server once, in calm weather."""
    run = Run.create(tmp_path_factory.mktemp("probe") / "r", settings_of(server, 1))
    with closing(run.session):
        settle(run)
    return run.endpoints


def carried_out(
    folder: Path,
    settings: Settings,
    known: dict[str, Capabilities],
    *,
    spendthrift: bool = True,
    stages: Collection[str] = tuple(STAGES),
) -> Run:
    """Carry out stages of a run, by default all; take it up where there is one."""
    if (folder / "manifest.json").exists():
        run = Run.open(folder)
    else:
        run = Run.create(folder, settings, endpoints=known)
    hasten(run, settings, spendthrift=spendthrift)
    with closing(run.session):
        carry_out(run, stages)
    return run


# ---------------------------------------------------------------- what has to hold


def artefacts(folder: Path, *without: str) -> dict[str, bytes]:
    """Read what a run made; clocks and costs are its own."""
    aside = {"timings.jsonl", "spending.json", *without}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in aside
    }


def files_of_arm(folder: Path, arm: str) -> tuple[Path, Path]:
    made = folder / "rollouts.jsonl" if arm == "base" else folder / "traces" / f"{arm}.jsonl"
    return made, folder / "cleaned" / f"{arm}.jsonl"


def failed_in(folder: Path) -> int:
    """Count the traces that the endpoint owes."""
    made = (trace for arm in ARMS for trace in read(files_of_arm(folder, arm)[0], Trace))
    return sum(trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE for trace in made)


def fates(folder: Path) -> dict[str, Counter[str]]:
    """Return how every scenario ended in each arm, and hold that each did, once, and with a reason."""
    started = [scenario.id for scenario in read(folder / "scenarios.jsonl", Scenario)]
    found = {}
    for arm in ARMS:
        made, cleaned = files_of_arm(folder, arm)
        traces = {trace.id: trace for trace in read(made, Trace)}
        ends = list(read(cleaned, Cleaned))
        assert [end.trace.id for end in ends] == list(traces) == [f"{name}/{arm}/0" for name in started]
        found[arm] = Counter(_fate(traces[end.trace.id], end) for end in ends)
        assert sum(found[arm].values()) == len(started)
    return found


def _fate(trace: Trace, end: Cleaned) -> str:
    assert end.kept == (not end.trace.drop)
    if trace.stop.outcome is Outcome.INFRASTRUCTURE_FAILURE:
        assert trace.failure
        assert trace.drop == end.trace.drop == "infrastructure"
        return "failed"
    if trace.stop.outcome is Outcome.AGENT_FAILURE:
        assert trace.failure
        assert not end.kept
    return "kept" if end.kept else "dropped"


def assert_told(folder: Path, ends: dict[str, Counter[str]]) -> None:
    """Hold that measures and report say what the files say."""
    results = msgspec.json.decode((folder / "measures.json").read_bytes(), type=Results)
    figures = {arm.name: arm for arm in results.arms}
    text = (folder / "report.txt").read_text()
    for arm, counts in ends.items():
        figure = figures[arm]
        assert figure.attempted == figure.kept + sum(figure.drops.values()) == sum(counts.values())
        assert (figure.kept, figure.drops.get("infrastructure", 0)) == (counts["kept"], counts["failed"])
        for reason, count in figure.drops.items():
            assert any({reason, str(count)} <= set(line.split()) for line in text.splitlines()), reason
    assert (folder / "report.html").stat().st_size > 10_000


def paid(server: Chaos, since: int = 0) -> Counter[str]:
    return Counter(entry.request for entry in server.tries[since:] if entry.paid)


# ---------------------------------------------------------------- the storm


@pytest.mark.parametrize(
    ("streamed", "n"), [(False, SCENARIOS), (True, max(40, SCENARIOS // 4))], ids=["whole", "streamed"]
)
def test_in_a_storm_every_scenario_has_an_end_and_what_failed_is_made_up_for(
    streamed: bool, n: int, server: Chaos, known: dict[str, Capabilities], tmp_path: Path, echo: Suite
) -> None:
    hasty = settings_of(server, n, stream=streamed, timeout=0.15)
    patient = settings_of(server, n, stream=streamed)
    server.plan = STORM
    folder = tmp_path / "stormy"
    carried_out(folder, hasty, known)
    ends = fates(folder)
    assert_told(folder, ends)
    assert all(sum(ends.values(), Counter())[fate] for fate in ("kept", "dropped", "failed"))
    assert {entry.passing for entry in server.tries} >= set(Passing) - (set() if streamed else IN_STREAMS)
    assert {entry.lasting for entry in server.tries} >= set(Lasting) - {Lasting.HUGE}

    server.plan = LASTING
    carried_out(folder, patient, known)
    assert failed_in(folder) == 0
    made_up = fates(folder)
    assert_told(folder, made_up)

    server.forget()
    calm = tmp_path / "calm"
    carried_out(calm, patient, known)
    assert artefacts(folder) == artefacts(calm)
    assert_like_the_model(calm, server, patient, echo)


def assert_like_the_model(folder: Path, server: Chaos, settings: Settings, echo: Suite) -> None:
    """Hold that a rollout with no bad answer is that of the model in this process, and that others differ."""
    bad = {entry.seed for entry in server.tries if entry.lasting is not None}
    scenarios = {scenario.id: scenario for scenario in read(folder / "scenarios.jsonl", Scenario)}
    same = 0
    for trace in read(folder / "rollouts.jsonl", Trace):
        scenario = scenarios[trace.scenario_id]
        alone = rollout(scenario, echo, echo.stand_in(), arm="base", run=0, seed=settings.seed)
        draws = Stream(settings.seed, "rollout", scenario.id, "base", 0, 0)
        if not bad & {draws.seed31(turn) for turn in range(settings.turns)}:
            bare = tuple(msgspec.structs.replace(each, logprobs=()) for each in trace.messages)
            told = msgspec.structs.replace(trace, messages=bare)
            assert encode(msgspec.structs.replace(alone, model="tiny")) == encode(told)
            same += 1
    assert 0 < same < len(scenarios)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_same_storm_gives_the_same_bytes_at_any_concurrency(
    streamed: bool, server: Chaos, known: dict[str, Capabilities], tmp_path: Path
) -> None:
    server.plan = UNTIMED
    made, asked = [], []
    for concurrency in (1, 16):
        server.forget()
        settings = settings_of(server, 30, stream=streamed)
        folder = tmp_path / str(concurrency)
        carried_out(folder, msgspec.structs.replace(settings, concurrency=concurrency), known)
        assert failed_in(folder)
        asked.append(Counter(server.tries))
        made.append(
            {
                name: data
                for name, data in artefacts(folder, "manifest.json").items()
                if not name.startswith(".journal/")  # answers in the order in which they came
            }
        )
    assert made[0] == made[1]
    assert asked[0] == asked[1]


def test_with_a_budget_of_retries_the_storm_costs_few_and_loses_nothing(
    server: Chaos, known: dict[str, Capabilities], tmp_path: Path
) -> None:
    own = [fault for fault in Passing if not fault.startswith("http_")]  # those name a time to come back
    server.plan = Plan(5, {**dict.fromkeys(own, 0.06), Passing.TIMEOUT: 0.0, **LASTING.rates})
    settings, folder = settings_of(server, 40), tmp_path / "r"
    run = carried_out(folder, settings, known, spendthrift=False)
    ends = fates(folder)
    assert_told(folder, ends)
    owed = [trace.failure for arm in ARMS for trace in read(files_of_arm(folder, arm)[0], Trace)]
    assert any("too many calls needed another try" in failure for failure in owed)
    before: dict[str, str] = {}
    retries = 0  # those that the server did not ask for by naming a time to come back
    for entry in server.tries:
        retries += entry.number > 0 and not before[entry.request].startswith("http_")
        before[entry.request] = str(entry.passing)
    assert 0 < retries <= 10 + 0.2 * sum(paid(server).values())
    booked = [
        spent
        for stage, models in run.session.meter.spending.items()
        if stage.startswith(("rollouts", "traces"))
        for spent in models.values()
    ]
    assert sum(spent.calls for spent in booked) == len(server.tries)
    assert sum(spent.failed for spent in booked) == sum(not entry.paid for entry in server.tries)
    for _ in range(30):
        if not failed_in(folder):
            break
        carried_out(folder, settings, known, spendthrift=False, stages=("rollout", "review", "generate"))
    carried_out(folder, settings, known, spendthrift=False)
    assert failed_in(folder) == 0
    assert max(paid(server).values()) == 1
    server.plan = LASTING
    carried_out(tmp_path / "calm", settings, known)
    assert artefacts(folder) == artefacts(tmp_path / "calm")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("tools", ["native", "text"])
def test_a_storm_on_tape_is_the_same_storm_without_a_server(
    streamed: bool, tools: str, server: Chaos, known: dict[str, Capabilities], tmp_path: Path
) -> None:
    server.plan = UNTIMED
    settings = settings_of(server, 12, stream=streamed, tools=tools)
    run = Run.create(tmp_path / "recorded", settings, endpoints=known)
    hasten(run, settings, spendthrift=True, record=tmp_path / "tape")
    with closing(run.session):
        run_all(run)
    assert failed_in(run.path)
    sent = len(server.tries)
    again = Run.create(tmp_path / "replayed", settings, endpoints=known, replay=tmp_path / "tape")
    with closing(again.session):
        run_all(again)
    assert len(server.tries) == sent
    made = [
        {name: data for name, data in artefacts(folder).items() if not name.startswith(".journal/")}
        for folder in (run.path, again.path)
    ]
    assert made[0] == made[1]


def test_a_storm_over_probes_and_checks_too_ends_in_a_run_or_in_words(echo: Suite, tmp_path: Path) -> None:
    ended = Counter[bool]()
    with chaotic(echo.stand_in(), name="tiny", plan=CALM) as everywhere:
        for seed in range(8):
            everywhere.plan = Plan(seed, UNTIMED.rates)
            settings = settings_of(everywhere, 3, stream=bool(seed % 2), retries=2)
            run = Run.create(tmp_path / str(seed), settings)
            hasten(run, settings, spendthrift=bool(seed % 3))
            with closing(run.session):
                error = _error_of(run)
            if error is None:
                fates(run.path)
            else:
                assert error.why
                assert error.fix
            ended[error is None] += 1
    assert ended[True]
    assert ended[False]


def _error_of(run: Run) -> EndpointError | None:
    try:
        run_all(run)
    except EndpointError as error:
        return error
    return None


# ---------------------------------------------------------------- kill -9

WORKERS = 8


class Killer:
    """Kills a process with SIGKILL: at a moment of a call, or while a file is being written.

    Args:
        process: It.
        moment: At which moment of a call; None for the writing of a file.
        count: At which call, or at which file, from 1; 0 for never.
        folder: Where files are written.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], moment: Moment | None, count: int, folder: Path
    ) -> None:
        self._process = process
        self._moment = moment
        self._left = count
        self._folder = folder
        self._lock = threading.Lock()

    def watch(self, _: Asked, moment: Moment) -> None:
        """Count calls down, as the watcher of a server."""
        if moment == self._moment:
            self._count()

    def wait(self) -> bool:
        """Wait for the end of the process; return whether it was killed."""
        seen: set[int] = set()
        deadline = time.monotonic() + 120
        while self._process.poll() is None:
            assert time.monotonic() < deadline, "the process does not end"
            if self._moment is None:
                self._look(seen)
            time.sleep(0.001 if self._moment is None else 0.02)
        return self._process.returncode == -signal.SIGKILL

    def _look(self, seen: set[int]) -> None:
        """Count files that are half written."""
        for path in self._folder.rglob("*.tmp"):
            with suppress(FileNotFoundError):  # it is whole by now
                number = path.stat().st_ino
                if number not in seen:
                    seen.add(number)
                    self._count()

    def _count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._process.kill()


def begin(folder: Path, server: Chaos) -> subprocess.Popen[bytes]:
    """Start `opoi run`, or take the run up."""
    options = ["--suite", "echo", "--n", "8", "--runs", "1", "--resamples", "100", "--model", server.url]
    options += ["--model-name", "tiny", "--max-tokens", str(WORK), "--concurrency", str(WORKERS)]
    taken_up = ["--resume"] if (folder / "manifest.json").exists() else []
    command = [sys.executable, "-c", "from opoi.cli import main; main()", "run", "-q", *taken_up, *options]
    with folder.with_suffix(".log").open("ab") as log:
        return subprocess.Popen([*command, "--out", str(folder)], stdout=log, stderr=log)


def sitting(folder: Path, server: Chaos, kill: Stream | None) -> Moment | Literal["writing", ""]:
    """Let a run go on until it ends, or is killed as the draws will have it; return at what it was killed."""
    moment: Moment | None = "asked"
    count = 0
    if kill is not None:
        moment = kill.choice(("asked", "amid", "answered", None, None), "moment")
        count = 1 + kill.below(20 if moment else 8, "count")
    killer = Killer(begin(folder, server), moment, count, folder)
    server.watch = killer.watch
    try:
        return (moment or "writing") if killer.wait() else ""
    finally:
        server.watch = lambda *_: None


def assert_paid_once(tries: list[list[Asked]]) -> None:
    """Hold that only what was under way at a kill was paid for again.

    Within a sitting no request is paid for twice. Of what was paid for in one sitting, at most as much is
    paid for again in later ones as calls can be under way: the answers that the kill took away.

    Args:
        tries: Of each sitting.
    """
    paid = [Counter(entry.request for entry in made if entry.paid) for made in tries]
    for index, now in enumerate(paid):
        assert not now or max(now.values()) == 1
        later = {request for counts in paid[index + 1 :] for request in counts}
        assert len(set(now) & later) <= WORKERS


def test_runs_killed_at_any_moment_and_taken_up_give_the_bytes_of_the_undisturbed_one(
    server: Chaos, tmp_path: Path
) -> None:
    """As many runs as it takes are killed again and again, each until it is done."""
    server.plan = LASTING
    assert not sitting(tmp_path / "calm", server, None)
    undisturbed = artefacts(tmp_path / "calm")
    assert len(undisturbed) > 20

    kills: Counter[str] = Counter()
    sittings = 0
    while kills.total() < KILLS:
        server.forget()
        folder, ends = tmp_path / f"storm-{sittings}", [0]
        done = False
        while not done:
            stormy = kills.total() < KILLS
            server.plan = UNTIMED if stormy else LASTING
            killed = sitting(folder, server, Stream(9, "kill", sittings) if stormy else None)
            sittings += 1
            ends.append(len(server.tries))
            kills.update([killed] if killed else [])
            done = not killed and (folder / "report.html").exists() and not failed_in(folder)
            assert stormy or done, folder.with_suffix(".log").read_text()
        assert artefacts(folder) == undisturbed
        assert_paid_once([server.tries[start:end] for start, end in pairwise(ends)])
    assert len(kills) >= 3
