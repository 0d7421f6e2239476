"""The command as a person meets it: help, mistakes, stages, endpoints that are down or talk nonsense."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from opoi.cli import cli, main
from opoi.models.served.server import running
from opoi.pipeline import STAGES
from opoi.protocols import Suite
from opoi.settings import Settings
from opoi.store import read
from opoi.types import Trace

Run = Callable[..., tuple[int, str, str]]
Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def opoi(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in an empty folder; return exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return code, said.out, said.err

    return run


SMALL = ("--suite", "echo", "--n", "4", "--runs", "2", "--resamples", "200")


def test_help_names_every_stage_in_order(opoi: Run) -> None:
    code, out, _ = opoi("--help")
    assert code == 0
    places = [out.index(f"  {name} ") for name in STAGES]
    assert places == sorted(places)
    for name in cli.commands:
        assert opoi(name, "--help")[0] == 0


def test_every_setting_is_an_option_of_run(opoi: Run) -> None:
    _, out, _ = opoi("run", "--help")
    for name in set(Settings.__struct_fields__) - {"endpoint", "strategy"}:
        assert f"--{name.replace('_', '-')}" in out
    assert "--resume" in out
    assert "--config" in out


def test_a_run_ends_with_tables_and_says_where_everything_is(opoi: Run, tmp_path: Path) -> None:
    code, out, err = opoi("run", *SMALL)
    assert code == 0
    for word in ("Simulated model", "base", "opoi", "opcd", "null", "random", "report.txt", "report.html"):
        assert word in out
    assert "rollouts: 8/8" in err
    assert (tmp_path / "runs/echo-n4-seed0/report.html").is_file()
    opoi("run", *SMALL)
    assert (tmp_path / "runs/echo-n4-seed0-2/report.html").is_file()


def test_stage_by_stage_gives_the_bytes_of_one_run(opoi: Run, tmp_path: Path, files_of: Files) -> None:
    assert opoi("run", *SMALL, "--out", "whole")[0] == 0
    assert opoi("scenarios", "parts", *SMALL[:4])[0] == 0
    assert opoi("rollout", "parts", "--runs", "2")[0] == 0
    for stage in ("review", "generate", "clean", "export"):
        assert opoi(stage, "parts")[0] == 0
    assert opoi("measure", "parts", "--resamples", "200")[0] == 0
    code, out, _ = opoi("report", "parts")
    assert code == 0
    assert "opcd" in out
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "parts")


def test_a_stage_with_another_setting_keeps_the_manifest_true(opoi: Run, tmp_path: Path) -> None:
    opoi("run", *SMALL, "--out", "r")
    assert opoi("clean", "r", "--clean", "C3")[0] == 0
    assert json.loads((tmp_path / "r/manifest.json").read_text())["settings"]["clean"] == "C3"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "--n", "zero"], 2, "zero"),
        (["run", "--n", "0"], 2, "0 is not in the range"),
        (["run", "--nn", "3"], 2, "No such option"),
        (["rum"], 2, "No such command"),
        (["run", "--suite", "adds"], 2, "did you mean 'ads'"),
        (["run", "--suite", "no.such:thing"], 2, "no module"),
        (["run", "--strategies", "opoi,opdc"], 2, "did you mean 'opcd'"),
        (["run", "--suite", "echo", "--expert", "carefull"], 2, "did you mean 'careful'"),
        (["run", "--clean", "C9"], 2, "C9"),
        (["run", "--resume"], 2, "--out"),
        (["run", "--resume", "--out", "nowhere"], 1, "no run in nowhere"),
        (["run", "--config", "none.toml"], 2, "cannot be read"),
        (["clean", "nowhere"], 2, "no file nowhere"),
        (["run", "--model", "gpt"], 2, "does not name a model"),
        (["run", "--model", "stand-in:nobody"], 2, "nobody"),
        (["run", "--model", "stand-in:none.toml"], 2, "none.toml"),
        (["run", "--corrector-model", "name"], 2, "not an endpoint"),
        (["serve", "--suite", "adds"], 2, "did you mean 'ads'"),
        (["serve", "--persona", "nobody"], 2, "nobody"),
    ],
)
def test_a_mistake_is_answered_with_what_why_and_a_mend(
    opoi: Run, words: list[str], code: int, says: str
) -> None:
    got, out, err = opoi(*words)
    assert got == code, err
    assert says in err
    assert not out


def test_a_mistake_in_the_strategies_is_found_before_any_model_is_asked(opoi: Run, tmp_path: Path) -> None:
    opoi("run", *SMALL, "--strategies", "opoi,opdc", "--out", "r")
    assert not (tmp_path / "r").exists()
    opoi("run", *SMALL, "--out", "r")
    manifest = (tmp_path / "r/manifest.json").read_bytes()
    assert opoi("run", "--resume", "--out", "r", "--strategies", "opdc")[0] == 2
    assert (tmp_path / "r/manifest.json").read_bytes() == manifest


def test_a_folder_that_cannot_be_written_is_named(opoi: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = opoi("run", *SMALL, "--out", "file/r")
    assert code == 1
    assert "file" in err


def test_a_damaged_artefact_is_named_by_line(opoi: Run, tmp_path: Path) -> None:
    opoi("run", *SMALL, "--out", "r")
    path = tmp_path / "r/rollouts.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"run":1', b'"run":"x"', 1))
    code, _, err = opoi("run", "--resume", "--out", "r")
    assert code == 1
    assert "rollouts.jsonl, line" in err


# ---------------------------------------------------------------- endpoints


def test_the_same_bytes_come_over_http_as_in_process(
    opoi: Run, tmp_path: Path, files_of: Files, ads: Suite
) -> None:
    small = ("--n", "3", "--runs", "2", "--resamples", "200")
    assert opoi("run", *small, "--out", "here")[0] == 0
    model = ads.stand_in()
    with running(model, name=model.name) as url:
        words = ("--model", url, "--logprobs", "off", "--scorers", "none")
        code, out, _ = opoi("run", *small, *words, "--out", "there")
    assert code == 0
    assert "Simulated model" in out
    assert json.loads((tmp_path / "there/manifest.json").read_text())["settings"]["model_name"] == model.name
    here, there = files_of(tmp_path / "here"), files_of(tmp_path / "there")
    for name in ("rollouts.jsonl", "traces/opoi.jsonl", "traces/opcd.jsonl", "datasets/opoi.openai.jsonl"):
        assert here[name] == there[name]


def test_an_endpoint_that_is_down_is_said_so_before_any_work(opoi: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, _, err = opoi(
        "run", *SMALL, "--model", f"http://127.0.0.1:{port}/v1", "--model-name", "m", "--retries", "0"
    )
    assert code == 1
    assert "connect" in err


class Nonsense(BaseHTTPRequestHandler):
    """Answers as its server says."""

    disable_nagle_algorithm = True  # else each answer waits for 40 ms
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.count += 1
        status, body = self.server.answer(self.server.count)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # else connections wait for a second
    daemon_threads = True


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[int], tuple[int, bytes]]], str]]:
    servers = []

    def start(answer: Callable[[int], tuple[int, bytes]]) -> str:
        made = Server(("127.0.0.1", 0), Nonsense)
        made.answer, made.count = answer, 0
        servers.append(made)
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{made.server_address[1]}/v1"

    yield start
    for made in servers:
        made.shutdown()
        made.server_close()


def completion(**message: object) -> bytes:
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>hello</html>", "not a chat completion"),
        (200, b'{"choices": []}', "choices"),
        (404, b'{"error": {"message": "no model m"}}', "no model m"),
        (401, b'{"error": {"message": "bad key"}}', "key"),
        (500, b"boom", "500"),
    ],
)
def test_an_endpoint_that_talks_nonsense_ends_the_run_with_a_message(
    opoi: Run, server: Callable[..., str], status: int, body: bytes, says: str
) -> None:
    url = server(lambda _: (status, body))
    code, _, err = opoi("run", *SMALL, "--model", url, "--model-name", "m", "--retries", "0")
    assert code == 1
    assert says in err


@pytest.mark.parametrize(
    "message",
    [
        {"content": "I do not use tools."},
        {"content": None},
        {"content": '{"action": "open", "entity"'},
        {"content": '{"action": "fly", "entity": "g", "reasoning": "r"}'},
        {"content": "", "tool_calls": [{"id": "a", "function": {"name": "invented", "arguments": "{}"}}]},
        {"content": "", "tool_calls": [{"id": "a", "function": {"name": "read_gauge", "arguments": "{bro"}}]},
    ],
    ids=["never calls a tool", "null", "broken JSON", "unknown action", "invents tools", "broken arguments"],
)
def test_a_model_that_cannot_do_the_task_still_gives_a_report_with_every_scenario(
    opoi: Run, server: Callable[..., str], tmp_path: Path, message: dict[str, object]
) -> None:
    url = server(lambda _: (200, completion(**message)))
    code, out, _ = opoi("run", *SMALL, "--turns", "3", "--model", url, "--model-name", "m", "--out", "r")
    assert code == 0
    assert "Simulated model" not in out
    traces = list(read(tmp_path / "r/rollouts.jsonl", Trace))
    assert len(traces) == 8
    for arm in ("opoi", "opcd"):
        made = list(read(tmp_path / f"r/traces/{arm}.jsonl", Trace))
        assert len(made) == 8
        assert all(trace.drop for trace in made)


def test_an_endpoint_that_fails_now_and_then_loses_no_scenario(
    opoi: Run, server: Callable[..., str], tmp_path: Path
) -> None:
    good = completion(content='{"action": "open", "entity": "g", "reasoning": "high"}')
    url = server(lambda count: (503, b"{}") if count % 5 == 0 else (200, good))
    options = ("--model", url, "--model-name", "m", "--retries", "0", "--concurrency", "1", "--out", "r")
    code, _, err = opoi("run", *SMALL, *options)
    assert code == 0
    assert "tries only these again" in err
    for name in ("rollouts", "traces/opoi", "traces/opcd"):
        assert len(list(read(tmp_path / f"r/{name}.jsonl", Trace))) == 8


def test_none_leaves_a_sampling_setting_out_of_the_request(
    opoi: Run, server: Callable[..., str], tmp_path: Path
) -> None:
    url = server(lambda _: (200, completion(content="x")))
    options = (
        "--model",
        url,
        "--model-name",
        "m",
        "--temperature",
        "none",
        "--max-tokens",
        "7",
        "--out",
        "r",
    )
    assert opoi("run", *SMALL, *options)[0] == 0
    settings = json.loads((tmp_path / "r/manifest.json").read_text())["settings"]["endpoint"]
    assert (settings["temperature"], settings["max_tokens"]) == (None, 7)
    assert opoi("run", *SMALL, "--temperature", "warm")[0] == 2


def test_one_changed_endpoint_option_leaves_the_others_and_the_work_alone(
    opoi: Run, server: Callable[..., str], tmp_path: Path
) -> None:
    good = completion(content='{"action": "open", "entity": "g", "reasoning": "high"}')
    url = server(lambda _: (200, good))
    assert (
        opoi("run", *SMALL, "--model", url, "--model-name", "m", "--temperature", "0", "--out", "r")[0] == 0
    )
    before = (tmp_path / "r/rollouts.jsonl").read_bytes()
    _, _, err = opoi("run", "--resume", "--out", "r", "--timeout", "300")
    assert "rollouts.jsonl is up to date" in err
    settings = json.loads((tmp_path / "r/manifest.json").read_text())["settings"]["endpoint"]
    assert (settings["temperature"], settings["timeout"]) == (0, 300)
    assert (tmp_path / "r/rollouts.jsonl").read_bytes() == before


def test_results_of_another_model_are_not_mixed_in(opoi: Run, tmp_path: Path, echo: Suite) -> None:
    assert opoi("scenarios", "r", "--suite", "echo", "--n", "2")[0] == 0
    with running(echo.stand_in(), name="one") as url:
        assert opoi("rollout", "r", "--model", url, "--runs", "1")[0] == 0
    assert json.loads((tmp_path / "r/manifest.json").read_text())["settings"]["model_name"] == "one"
    with running(echo.stand_in(), name="two") as url:
        code, _, err = opoi("run", "--resume", "--out", "r", "--n", "3", "--model", url)
    assert code == 1
    assert "'one'" in err


def test_a_change_to_an_endpoint_that_is_down_leaves_the_manifest(opoi: Run, tmp_path: Path) -> None:
    opoi("run", *SMALL, "--out", "r")
    manifest = (tmp_path / "r/manifest.json").read_bytes()
    dead = ("--model", "http://127.0.0.1:9/v1", "--model-name", "m", "--retries", "0")
    assert opoi("rollout", "r", *dead)[0] == 1
    assert opoi("run", "--resume", "--out", "r", *dead)[0] == 1
    assert (tmp_path / "r/manifest.json").read_bytes() == manifest


def test_an_edited_persona_is_noticed_and_the_manifest_tells_its_dials(opoi: Run, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("obedience = 1.0\n")
    options = (*SMALL, "--model", "stand-in:p.toml", "--out", "r")
    assert opoi("run", *options)[0] == 0
    resolved = json.loads((tmp_path / "r/manifest.json").read_text())["resolved"]
    assert resolved["agent"][1]["obedience"] == 1.0
    assert resolved["strategies"]["opoi"]["position"] == "system_tail"
    assert resolved["expert"] == "reviewer"
    (tmp_path / "p.toml").write_text("obedience = 0.0\n")
    _, _, err = opoi("run", "--resume", "--out", "r")
    assert "traces opoi: opoi.jsonl is up to date" not in err


def test_the_page_shows_the_settings_of_its_run(opoi: Run, tmp_path: Path, files_of: Files) -> None:
    opoi("run", *SMALL, "--out", "r")
    opoi("run", "--resume", "--out", "r", "--export", "all")
    opoi("run", *SMALL, "--export", "all", "--out", "s")
    assert files_of(tmp_path / "r") == files_of(tmp_path / "s")


def test_a_refused_change_writes_nothing_down(opoi: Run, tmp_path: Path) -> None:
    opoi("run", *SMALL, "--out", "r")
    manifest = (tmp_path / "r/manifest.json").read_bytes()
    url = "http://user:s3cret@127.0.0.1:1/v1"
    assert opoi("rollout", "r", "--model", url)[0] == 2
    assert opoi("run", "--resume", "--out", "r", "--model", url, "--model-name", "m")[0] == 2
    assert opoi("run", "--resume", "--out", "r", "--timeout", "inf")[0] == 2
    assert opoi("run", "--resume", "--out", "r", "--api-key-env", "sk-secret-1234")[0] == 2
    assert opoi("run", "--model", "http://[::1/v1", "--out", "s")[0] == 2
    assert (tmp_path / "r/manifest.json").read_bytes() == manifest
    assert not (tmp_path / "s").exists()


def test_two_processes_do_not_work_on_one_run(opoi: Run, tmp_path: Path) -> None:
    opoi("run", *SMALL, "--out", "r")
    with (tmp_path / "r/.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = opoi("run", "--resume", "--out", "r")
    assert code == 2
    assert "another opoi works on r" in err
    assert opoi("run", "--resume", "--out", "r")[0] == 0


def test_half_a_character_costs_its_own_scenario_and_no_other(
    opoi: Run, server: Callable[..., str], tmp_path: Path
) -> None:
    cut = completion(
        content='{"action": "open", "entity": "g", "reasoning": "As the reviewer \\ud83d noted."}'
    )
    good = completion(content='{"action": "open", "entity": "g", "reasoning": "high"}')
    url = server(lambda count: (200, cut if count % 2 else good))
    code, _, err = opoi(
        "run", *SMALL, "--model", url, "--model-name", "m", "--concurrency", "1", "--out", "r"
    )
    assert code == 0, err
    traces = list(read(tmp_path / "r/rollouts.jsonl", Trace))
    assert [trace.decision.valid for trace in traces[:4]].count(False) >= 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_cannot_show_every_sign_gets_the_table_all_the_same(
    tmp_path: Path, encoding: str
) -> None:
    command = [
        sys.executable,
        "-c",
        "from opoi.cli import main; main()",
        "run",
        *SMALL,
        "--out",
        str(tmp_path / "r"),
    ]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"report.html" in done.stdout


def test_the_key_is_kept_nowhere(
    opoi: Run, server: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-canary-1234567890"
    monkeypatch.setenv("MY_KEY", key)
    for answer in (
        (200, completion(content="x")),
        (401, json.dumps({"error": {"message": f"bad {key}"}}).encode()),
    ):
        url = server(lambda _, answer=answer: answer)
        _, out, err = opoi(
            "run", *SMALL, "--model", url, "--model-name", "m", "--api-key-env", "MY_KEY", "--retries", "0"
        )
        assert key not in out + err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path
