"""Same inputs, same bytes: whatever the concurrency, the hash seed, and however often it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opoi.cli import main
from opoi.seeds import Stream

Files = Callable[[Path], dict[str, bytes]]

SLOW_MODEL = """
import itertools, os, signal, time
from opoi_envs.ads import suite

class Slow:
    name = "slow"
    def __init__(self):
        self.inner = suite.stand_in()
        self.calls = itertools.count(1)
        self.last = int(os.environ.get("DIE_AT_CALL", "0"))
    def complete(self, messages, tools, *, seed):
        time.sleep(0.002)
        if next(self.calls) == self.last:
            os.kill(os.getpid(), getattr(signal, os.environ.get("SIGNAL", "SIGKILL")))
        return self.inner.complete(messages, tools, seed=seed)

# background jobs of a shell inherit that it is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
model = Slow()
"""


def opoi(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from opoi.cli import main; main()", *words]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_two_runs_with_the_same_seed_are_byte_identical(tmp_path: Path, files_of: Files) -> None:
    for name in ("a", "b"):
        main(["run", "-q", "--n", "6", "--runs", "2", "--resamples", "200", "--out", str(tmp_path / name)])
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    main(
        [
            "run",
            "-q",
            "--n",
            "6",
            "--runs",
            "2",
            "--resamples",
            "200",
            "--seed",
            "1",
            "--out",
            str(tmp_path / "c"),
        ]
    )
    assert files_of(tmp_path / "a")["rollouts.jsonl"] != files_of(tmp_path / "c")["rollouts.jsonl"]


def test_concurrency_changes_nothing_but_its_own_line_in_the_manifest(
    tmp_path: Path, files_of: Files
) -> None:
    for count in ("1", "16"):
        out = str(tmp_path / count)
        main(
            [
                "run",
                "-q",
                "--n",
                "12",
                "--runs",
                "2",
                "--resamples",
                "200",
                "--concurrency",
                count,
                "--out",
                out,
            ]
        )
    one, many = files_of(tmp_path / "1"), files_of(tmp_path / "16")
    manifests = [files.pop("manifest.json").decode().splitlines() for files in (one, many)]
    assert one == many
    differing = [pair for pair in zip(*manifests, strict=True) if pair[0] != pair[1]]
    assert [line.split(":")[0].strip() for line, _ in differing] == ['"concurrency"']


def test_the_hash_seed_changes_nothing(tmp_path: Path, files_of: Files) -> None:
    for seed in ("0", "4242"):
        out = str(tmp_path / seed)
        done = opoi(
            "run", "-q", "--n", "6", "--runs", "2", "--resamples", "200", "--out", out, PYTHONHASHSEED=seed
        )
        assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "0") == files_of(tmp_path / "4242")


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_a_run_killed_ten_times_and_resumed_gives_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, files_of: Files, concurrency: str
) -> None:
    (tmp_path / "slow.py").write_text(SLOW_MODEL)
    options = [
        *("--model", f"{tmp_path}/slow.py:model", "--n", "10", "--runs", "2", "--resamples", "200"),
        *("--concurrency", concurrency, "-q"),
    ]
    begun = time.monotonic()
    done = opoi("run", *options, "--out", str(tmp_path / "calm"))
    lasted = time.monotonic() - begun
    assert done.returncode == 0, done.stderr

    stormy, draws = tmp_path / "stormy", Stream(7, "kills", concurrency)

    def resume(**env: str) -> subprocess.Popen[bytes]:
        taken_up = ["--resume"] if (stormy / "manifest.json").exists() else []
        command = [sys.executable, "-c", "from opoi.cli import main; main()", "run", *taken_up, *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*command, "--out", str(stormy)], env={**os.environ, **env}, **quiet)

    for kill in range(10):  # in the middle of the work: at a drawn call of the model
        process = resume(DIE_AT_CALL=str(2 + draws.below(16, "call", kill)))
        assert process.wait(60) == -signal.SIGKILL
    for kill in range(4):  # at any moment at all, also where no model is asked
        process = resume()
        try:
            assert process.wait(draws.between(0.2, lasted, "moment", kill)) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    done = opoi("run", "--resume", *options, "--out", str(stormy))
    assert done.returncode == 0, done.stderr
    assert files_of(stormy) == files_of(tmp_path / "calm")


def test_an_interrupt_ends_in_order_and_the_run_goes_on(tmp_path: Path, files_of: Files) -> None:
    (tmp_path / "slow.py").write_text(SLOW_MODEL)
    options = ["--model", f"{tmp_path}/slow.py:model", "--n", "10", "--runs", "2", "--resamples", "200", "-q"]
    out = ("--out", str(tmp_path / "a"))
    stopped = opoi("run", *options, *out, SIGNAL="SIGINT", DIE_AT_CALL="40")
    assert stopped.returncode == 130
    assert "--resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert (tmp_path / "a/rollouts.jsonl.part").stat().st_size
    assert opoi("run", "--resume", "-q", *out).returncode == 0
    assert opoi("run", *options, "--out", str(tmp_path / "b")).returncode == 0
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
