"""The command: one line when it listens, a clean end, and plain words where it cannot start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from opoi_envs.ads.graph.cli import main
from opoi_envs.ads.graph.faults import read_faults
from opoi_envs.ads.graph.server import bound

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-W", "error", "-c", "from opoi_envs.ads.graph.cli import main; main()", "serve"]


def started(*options: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT / "harness"), str(ROOT / "envs")])
    return subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OPOI_ADS_TOKEN": "from-env"},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_cleanly(number: signal.Signals) -> None:
    with started("--port", "0", "--seed", "7", "--campaigns", "2") as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert sorted(line) == ["account_id", "base_url"]
        answer = httpx.get(
            f"{line['base_url']}/v26.0/{line['account_id']}/campaigns",
            params={"access_token": "from-env"},
            trust_env=False,
        )
        assert len(answer.json()["data"]) == 2
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_in_use_is_one_plain_line() -> None:
    with bound(0) as taken:
        taken.listen()
        with started("--port", str(taken.getsockname()[1])) as process:
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert err.count("\n") == 1
    assert "cannot listen on 127.0.0.1:" in err
    assert "--port" in err


def test_options_are_checked() -> None:
    runner = CliRunner(env={"OPOI_ADS_TOKEN": ""})
    for options, words in (
        ([], "OPOI_ADS_TOKEN"),
        (["--token", "t", "--faults", "sun=0.5"], "'sun' is no failure"),
        (["--token", "t", "--faults", "transient=2"], "a number from 0 to 1"),
        (["--token", "t", "--faults", "transient=nan"], "a number from 0 to 1"),
        (["--token", "t", "--seed", "-1"], "--seed"),
        (["--token", "t", "--port", "70000"], "--port"),
        (["--token", "t", "--host", "0.0.0.0"], "No such option"),
    ):
        result = runner.invoke(main, ["serve", *options])
        assert (result.exit_code, words in result.output) == (2, True), result.output
    assert "--faults" in runner.invoke(main, ["serve", "--help"]).output


def test_a_plan_of_faults_is_read_from_text() -> None:
    plan = read_faults("transient=0.05, slow=.1,delay=0.5,limit=0.2,7=token_expired", 3)
    assert plan.rates == {"transient": 0.05, "slow": 0.1, "insights_limit": 0.2}
    assert (plan.at, plan.delay, plan.seed) == ({7: "token_expired"}, 0.5, 3)
    assert not read_faults("", 3).on
    with pytest.raises(ValueError, match="more than 1"):
        read_faults("transient=0.6,slow=0.6", 1)
