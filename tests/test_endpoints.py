"""Whole runs over real sockets: text tools, quirks, tapes, limits, stops. As a user types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opoi.models.endpoint import textcalls
from opoi.models.served.quirks import PROFILES, Quirks
from opoi.models.served.server import running
from opoi.protocols import Model, Suite
from opoi.types import Message, Reply, ToolSpec

Command = Callable[..., tuple[int, str]]
Files = Callable[[Path], dict[str, bytes]]
SMALL = ("--suite", "echo", "--n", 6, "--runs", 2, "--resamples", 200, "-q")
SIDE = ("manifest.json", "spending.json", "report.html", ".receipts/report.html.json")
"""Files that say how a run was carried out; the page shows the settings."""


class Heard:
    """A model that remembers what it was asked; slow on request."""

    def __init__(self, inner: Model, *, seconds: float = 0.0) -> None:
        self.name = inner.name
        self.asked: Counter[str] = Counter()
        self._inner = inner
        self._seconds = seconds
        self._lock = threading.Lock()

    @property
    def agents(self) -> int:
        """How many requests were not of a probe or a check."""
        return sum(count for key, count in self.asked.items() if "Decide" in key or "correct" in key)

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        time.sleep(self._seconds)
        key = f"{seed} {msgspec.json.encode([message.content for message in messages]).decode()}"
        with self._lock:
            self.asked[key] += 1
        return self._inner.complete(messages, tools, seed=seed)


class SpeaksText:
    """The echo stand-in behind a server without tools: it understands tools that are described in text."""

    name = "text"

    def __init__(self, inner: Model, tools: Sequence[ToolSpec]) -> None:
        self._inner = inner
        self._tools = tools
        self._described = textcalls.describe(tools)

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        offered = self._tools if self._described in messages[0].content else tools
        reply = self._inner.complete(list(self._structured(messages)), offered, seed=seed)
        return Reply(content=textcalls.render(reply.content, reply.tool_calls), finish_reason="stop")

    def _structured(self, messages: Sequence[Message]) -> Iterator[Message]:
        for message in messages:
            if message.content.startswith("<tool_response>"):
                for line in message.content.splitlines():
                    said = json.loads(line.removeprefix("<tool_response>").removesuffix("</tool_response>"))
                    yield Message(role="tool", content=said["content"], tool_call_id=said["id"], author="env")
                continue
            content = message.content.removesuffix(self._described).rstrip()
            read = textcalls.read(content) if message.role == "assistant" else None
            yield msgspec.structs.replace(
                message,
                content=read.content if read else content,
                tool_calls=read.calls if read else (),
            )


@pytest.fixture
def heard(echo: Suite) -> Heard:
    return Heard(echo.stand_in())


def without_costs(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return artefacts without what tokens they cost and which model it was."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key not in ("usage", "model")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return {
        name: msgspec.json.encode([plain(json.loads(line)) for line in body.splitlines()])
        for name, body in files.items()
        if name.endswith(".jsonl") and not name.startswith(".")
    }


# ---------------------------------------------------------------- tools as text


@pytest.mark.parametrize("tools", ["auto", "text"])
def test_tools_as_text_give_the_traces_of_native_tools(
    tools: str, echo: Suite, tmp_path: Path, opoi: Command, files_of: Files
) -> None:
    scenario = next(echo.scenarios(1, 0))
    model = SpeaksText(echo.stand_in(), echo.env(scenario).tools)
    assert opoi("run", *SMALL, "--out", tmp_path / "native")[0] == 0
    with running(model, name="text", quirks=Quirks(tools="ignored")) as url:
        words = ("--model", url, "--tools", tools, "--logprobs", "off", "--scorers", "none")
        code, said = opoi("run", *SMALL, *words, "--out", tmp_path / "text")
    assert code == 0, said
    assert without_costs(files_of(tmp_path / "text")) == without_costs(files_of(tmp_path / "native"))
    manifest = json.loads((tmp_path / "text/manifest.json").read_text())
    assert manifest["resolved"]["agent"][-1] == "text"
    assert [found["tools"] for found in manifest["endpoints"].values()] == ["ignored"]


def test_a_malformed_call_ends_the_rollout_with_the_problem_named(
    echo: Suite, tmp_path: Path, opoi: Command
) -> None:
    class Sloppy:
        name = "sloppy"

        def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
            return Reply(content='<tool_call>{"name": "read_gauge", "arguments": {},}</tool_call>')

    with running(Sloppy(), name="sloppy", quirks=Quirks(tools="refused")) as url:
        code, said = opoi("run", *SMALL, "--model", url, "--out", tmp_path / "r")
    assert code == 0, said
    for line in (tmp_path / "r/rollouts.jsonl").read_text().splitlines():
        trace = json.loads(line)
        assert trace["stop"] == "unreadable"
        assert "tool call 1" in trace["failure"]
        assert '"arguments": {},}' in trace["messages"][-1]["content"]


# ---------------------------------------------------------------- real servers' quirks


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_loop_ends_with_a_report_on_every_kind_of_server(
    profile: str, stream: str, heard: Heard, tmp_path: Path, opoi: Command
) -> None:
    with running(heard, name="m", quirks=PROFILES[profile]) as url:
        named = ("--model-name", "m")  # not every server lists its models
        code, said = opoi("run", *SMALL, "--n", 3, "--model", url, *named, stream, "--out", tmp_path / "r")
    assert code == 0, said
    measures = json.loads((tmp_path / "r/measures.json").read_text())
    for arm in measures["arms"][:3]:
        assert arm["attempted"] == 6
        assert arm["kept"] + sum(arm["drops"].values()) == 6
        assert arm["drops"].get("infrastructure", 0) == 0
    assert (tmp_path / "r/report.html").exists()


# ---------------------------------------------------------------- before anything is paid for


def test_what_an_endpoint_can_do_is_in_the_manifest_and_not_asked_twice(
    heard: Heard, tmp_path: Path, opoi: Command
) -> None:
    with running(heard, name="m") as url:
        assert opoi("run", *SMALL, "--model", url, "--out", tmp_path / "r")[0] == 0
        first = json.loads((tmp_path / "r/spending.json").read_text())["stages"]["probe"]
        assert opoi("run", "--resume", "--out", tmp_path / "r", "--n", 7, "-q")[0] == 0
        again = json.loads((tmp_path / "r/spending.json").read_text())["stages"]["probe"]
    found = json.loads((tmp_path / "r/manifest.json").read_text())["endpoints"]
    assert list(found) == [f"m at {url}"]
    assert first["m"]["calls"] == found[f"m at {url}"]["calls"]  # the list of models costs nothing
    assert again["m"]["calls"] <= first["m"]["calls"] + 1


NEEDY = """from opoi.strategies.opoi import OPOI
from opoi.types import Tier


class Scored(OPOI, frozen=True, kw_only=True):
    needs = Tier.T2
"""


def test_a_strategy_that_needs_more_than_the_endpoint_has_is_refused_before_it_starts(
    heard: Heard, tmp_path: Path, opoi: Command
) -> None:
    (tmp_path / "mine.py").write_text(NEEDY)
    arm = f"{tmp_path / 'mine.py'}:Scored"
    with running(heard, name="m", quirks=PROFILES["transformers"]) as url:
        words = ("run", *SMALL, "--model", url, "--model-name", "m", "--strategies", arm)
        code, said = opoi(*words, "--out", tmp_path / "r")
        assert code == 2
        assert "needs T2" in said
        assert "gives T0" in said
    assert heard.agents == 0
    with running(heard, name="m") as url:
        code, said = opoi("run", *SMALL, "--model", url, "--strategies", arm, "--out", tmp_path / "s")
    assert code == 0, said


def test_an_arm_that_needs_more_is_refused_when_it_is_added_later_too(
    heard: Heard, tmp_path: Path, opoi: Command
) -> None:
    (tmp_path / "mine.py").write_text(NEEDY)
    arm = f"{tmp_path / 'mine.py'}:Scored"
    with running(heard, name="m", quirks=PROFILES["llama.cpp"]) as url:
        assert opoi("run", *SMALL, "--model", url, "--out", tmp_path / "r")[0] == 0
        for words in (("generate", tmp_path / "r", "-q"), ("run", "--resume", "-q", "--out", tmp_path / "r")):
            code, said = opoi(*words, "--strategies", arm)
            assert code == 2
            assert "needs T2" in said


def test_a_limit_on_tokens_that_nobody_counts_is_refused(heard: Heard, tmp_path: Path, opoi: Command) -> None:
    with running(heard, name="m", quirks=PROFILES["llama-cpp-python"]) as url:
        words = ("run", *SMALL, "--model", url, "--retries", 0, "--max-tokens-total", 1500)
        code, said = opoi(*words, "--stream", "--out", tmp_path / "r")
        assert code == 2
        assert "--max-calls" in said
        assert opoi(*words, "--out", tmp_path / "s")[0] == 3


@pytest.mark.parametrize("most", [5, 38])
def test_a_limit_that_is_reached_before_the_first_item_says_so(
    most: int, heard: Heard, tmp_path: Path, opoi: Command
) -> None:
    with running(heard, name="m") as url:
        code, said = opoi("run", *SMALL, "--model", url, "--max-calls", most, "--out", tmp_path / "r")
        assert code == 3
        if (tmp_path / "r").exists():
            code, said = opoi("run", "--resume", "--out", tmp_path / "r", "-q")
    assert code == 3
    assert "--max-calls" in said


# ---------------------------------------------------------------- tapes


def test_a_recorded_run_is_replayed_without_its_endpoint_byte_for_byte(
    heard: Heard, tmp_path: Path, opoi: Command, files_of: Files
) -> None:
    tape = tmp_path / "run.tape"
    with running(heard, name="m") as url:
        words = ("run", *SMALL, "--model", url, "--concurrency", 4)
        assert opoi(*words, "--out", tmp_path / "a", "--record", tape)[0] == 0
    code, said = opoi(*words, "--out", tmp_path / "b", "--replay", tape)
    assert code == 0, said
    left, right = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    left.pop("spending.json")  # a replay costs nothing
    assert left == right


def test_a_changed_request_is_a_miss_with_a_diff_and_nothing_is_asked(
    heard: Heard, tmp_path: Path, opoi: Command
) -> None:
    tape = tmp_path / "run.tape"
    with running(heard, name="m") as url:
        words = ("run", *SMALL, "--model", url)
        assert opoi(*words, "--out", tmp_path / "a", "--record", tape)[0] == 0
        asked = sum(heard.asked.values())
        code, said = opoi(*words, "--out", tmp_path / "b", "--replay", tape, "--max-tokens", 77)
        assert code == 1
        assert "77" in said
        assert "1024" in said
        assert "run.tape" in said
        assert sum(heard.asked.values()) == asked
    assert opoi(*words, "--record", tape, "--replay", tape, "--out", tmp_path / "c")[0] == 2
    code, said = opoi("run", *SMALL, "--replay", tape, "--out", tmp_path / "d")
    assert code == 2  # the models of this run would be in its process
    assert "--model URL" in said


# ---------------------------------------------------------------- costs and limits


def test_a_limit_stops_in_order_and_the_run_goes_on_where_it_was(
    heard: Heard, tmp_path: Path, opoi: Command, files_of: Files
) -> None:
    with running(heard, name="m") as url:
        words = ("run", *SMALL, "--model", url, "--scorers", "none")
        assert opoi(*words, "--out", tmp_path / "whole")[0] == 0
        calls = heard.agents
        heard.asked.clear()
        code, said = opoi(*words, "--out", tmp_path / "r", "--max-calls", 35)
        assert code == 3
        assert "35 calls" in said
        assert "--max-calls" in said
        sittings = 1
        while code == 3:
            limit = 35 + 9 * sittings
            code, said = opoi("run", "--resume", "--out", tmp_path / "r", "--max-calls", limit, "-q")
            sittings += 1
            assert sittings < 30
    assert code == 0, said
    assert sittings > 2
    assert heard.agents == calls
    assert max(count for key, count in heard.asked.items() if "Decide" in key) == 1
    left, right = files_of(tmp_path / "whole"), files_of(tmp_path / "r")
    for name in ("manifest.json", "spending.json"):
        left.pop(name), right.pop(name)
    assert left == right


def test_costs_are_told_by_stage_arm_and_model(heard: Heard, tmp_path: Path, opoi: Command) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[m]\ninput = 2.5\noutput = 10\n")
    with running(heard, name="m") as url:
        assert (
            opoi("run", *SMALL, "--model", url, "--out", tmp_path / "r", "--max-tokens-total", 10**9)[0] == 0
        )
    code, said = opoi("costs", tmp_path / "r", "--prices", prices, "--json")
    assert code == 0
    spent = json.loads(said)
    for name, path in (
        ("rollouts", "rollouts"),
        ("traces opoi", "traces/opoi"),
        ("traces opcd", "traces/opcd"),
    ):
        usages = [
            json.loads(line).get("usage", {})
            for line in (tmp_path / f"r/{path}.jsonl").read_text().splitlines()
        ]
        assert spent[name]["m"]["calls"] == sum(usage.get("calls", 0) for usage in usages)
        for field in ("prompt_tokens", "completion_tokens"):
            assert spent[name]["m"][field] == sum(usage.get(field, 0) for usage in usages)
        assert spent[name]["m"]["cost"] == pytest.approx(
            (spent[name]["m"]["prompt_tokens"] * 2.5 + spent[name]["m"]["completion_tokens"] * 10) / 1e6
        )
    table = opoi("costs", tmp_path / "r", "--prices", prices)[1]
    total = sum(
        models["m"]["prompt_tokens"] * 2.5 + models["m"]["completion_tokens"] * 10
        for models in spent.values()
    )
    assert f"{total / 1e6:,.4f}" in table
    assert "traces opcd" in table


# ---------------------------------------------------------------- stops


def started(*words: object) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own, which hears Ctrl-C even where its parent does not."""
    heard = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # also in the background
    )
    main = [sys.executable, "-c", heard + "from opoi.cli import main; main()"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*main, *map(str, words)], **quiet)


@pytest.mark.parametrize(
    ("sign", "stops"), [(signal.SIGINT, (9, 21)), (signal.SIGTERM, (13,))], ids=["SIGINT", "SIGTERM"]
)
def test_a_stop_finishes_calls_under_way_and_none_is_paid_for_twice(
    sign: signal.Signals, stops: tuple[int, ...], echo: Suite, tmp_path: Path, opoi: Command, files_of: Files
) -> None:
    slow = Heard(echo.stand_in(), seconds=0.02)
    with running(slow, name="m") as url:
        words = ["run", *map(str, SMALL), "--model", url, "--concurrency", "6", "--scorers", "none"]
        for stop in stops:
            process = started(*words, "--out", tmp_path / "r")
            while process.poll() is None and slow.agents < stop:
                time.sleep(0.005)
            process.send_signal(sign)
            assert process.wait(timeout=60) == 130
            words = ["run", "--resume", "-q"]
        assert opoi(*words, "--out", tmp_path / "r")[0] == 0
    paid = {key: count for key, count in slow.asked.items() if "Decide" in key or "correct" in key}
    assert max(paid.values()) == 1
    with running(Heard(echo.stand_in()), name="m") as url:
        words = ["run", *map(str, SMALL), "--model", url, "--scorers", "none"]
        assert opoi(*words, "--out", tmp_path / "s")[0] == 0
    left, right = files_of(tmp_path / "r"), files_of(tmp_path / "s")
    for name in SIDE:
        left.pop(name), right.pop(name)
    assert left == right


def test_a_second_interrupt_leaves_at_once(echo: Suite, tmp_path: Path) -> None:
    slow = _SlowOnTasks(echo.stand_in())
    with running(slow, name="m") as url:
        process = started("run", *SMALL, "--model", url, "--out", tmp_path / "r")
        while process.poll() is None and not slow.begun.wait(0.05):
            pass
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None  # the calls under way are waited for
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(timeout=20) == 130
        assert time.monotonic() - begun < 3
        slow.release.set()


class _SlowOnTasks:
    """Answers a task only when it is released."""

    name = "m"

    def __init__(self, inner: Model) -> None:
        self._inner = inner
        self.begun = threading.Event()
        self.release = threading.Event()

    def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
        if any("Decide" in message.content for message in messages):
            self.begun.set()
            self.release.wait(15)
        return self._inner.complete(messages, tools, seed=seed)


class Counted(Quirks, frozen=True, kw_only=True):
    """Counts the requests that cost something."""

    seen: list[str] = msgspec.field(default_factory=list)

    def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/completions"):
            self.seen.append(path)
        return body


def test_after_a_kill_every_request_that_was_sent_still_counts(
    echo: Suite, tmp_path: Path, opoi: Command
) -> None:
    server = Counted()
    with running(Heard(echo.stand_in(), seconds=0.02), name="m", quirks=server) as url:
        process = started("run", *SMALL, "--model", url, "--concurrency", 4, "--out", tmp_path / "r")
        journal = tmp_path / "r/.journal/rollouts.jsonl"
        while process.poll() is None and not (journal.exists() and journal.stat().st_size > 2000):
            time.sleep(0.005)
        process.kill()
        process.wait(timeout=20)
        booked = calls_of(opoi("costs", tmp_path / "r", "--json")[1])
        assert len(server.seen) <= booked <= len(server.seen) + 4
        assert opoi("run", "--resume", "--out", tmp_path / "r", "-q")[0] == 0
        again = calls_of(opoi("costs", tmp_path / "r", "--json")[1])
        assert len(server.seen) <= again <= len(server.seen) + 4
    assert not (tmp_path / "r/.journal").exists()


def calls_of(said: str) -> int:
    return sum(spent.get("calls", 0) for models in json.loads(said).values() for spent in models.values())


# ---------------------------------------------------------------- a dead endpoint


def test_an_endpoint_that_dies_stops_the_run_early_and_says_how_to_go_on(
    echo: Suite, tmp_path: Path, opoi: Command
) -> None:
    class Locks:
        """Lets some requests in, then no more."""

        name = "m"
        left = 40

        def complete(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int) -> Reply:
            return echo.stand_in().complete(messages, tools, seed=seed)

    class Closing(Quirks, frozen=True, kw_only=True):
        """Refuses the key after a while."""

        def request(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            from opoi.models.served.requests import RefusedError

            Locks.left -= 1
            if Locks.left < 0:
                raise RefusedError("this key has expired", status=401, code="invalid_api_key")
            return body

    with running(Locks(), name="m", quirks=Closing()) as url:
        code, said = opoi(
            "run", *SMALL, "--n", 40, "--concurrency", 8, "--model", url, "--out", tmp_path / "r"
        )
    assert code == 1
    assert "does not accept the key" in said
    assert "--resume" in said
    assert Locks.left > -30  # a few for each of the eight under way
    Locks.left = 10**9
    with running(Locks(), name="m") as url:
        code, said = opoi(
            "run", "--resume", "--out", tmp_path / "r", "--model", url, "-q", "--scorers", "none"
        )
    assert code == 0, said
