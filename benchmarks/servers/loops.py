"""The whole experiment against a server: `opoi probe`, then `opoi run` to its report, in three ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asking import Endpoint

__all__ = ["OPOI", "VARIANTS", "ended_well", "experiment", "probe", "tier_of"]

OPOI = (sys.executable, "-c", "from opoi.cli import main; main()")
"""The command `opoi` of the interpreter that runs this."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "whole answers": (),
    "streamed": ("--stream",),
    "tools as text": ("--tools", "text"),
}
"""Ways to run, and what each adds to `opoi run`."""

SIZE = (
    "--suite",
    "echo",
    "--n",
    "4",
    "--runs",
    "2",
    "--max-tokens",
    "200",
    "--temperature",
    "1",
    "--resamples",
    "500",
)
LIMIT = 900.0
"""Seconds for one run."""


def _opoi(words: Sequence[str], key: str) -> subprocess.CompletedProcess[str]:
    """Run the command; one that takes too long ends with status 124, as under `timeout`."""
    environ = {**os.environ, "OPENAI_API_KEY": key, "NO_COLOR": "1", "COLUMNS": "100"}
    command = [*OPOI, *words]
    try:
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"took over {LIMIT:g} s")


def probe(endpoint: Endpoint) -> dict[str, Any]:
    """Return what `opoi probe --json` says, or its error."""
    words = ("probe", endpoint.url, "--model-name", endpoint.model, "--json")
    start = time.monotonic()
    done = _opoi(words, endpoint.key)
    seconds = round(time.monotonic() - start, 1)
    if done.returncode != 0:
        return {"status": done.returncode, "seconds": seconds, "error": done.stderr[-1500:]}
    found: dict[str, Any] = json.loads(done.stdout)
    return {"status": 0, "seconds": seconds, "said": found}


def tier_of(said: dict[str, Any]) -> str:
    """Return the tier of access that a probe found: T2 scores given texts, T1 its own, T0 neither."""
    if any(scorer["verdict"] == "believed" for scorer in said["scorers"].values()):
        return "T2"
    return "T1" if said["logprobs"] else "T0"


def experiment(endpoint: Endpoint, variant: str, out: Path) -> dict[str, Any]:
    """Run the loop in a fresh folder and return how it ended: status, arms, endings, figures."""
    words = ["run", "--model", endpoint.url, "--model-name", endpoint.model, *SIZE, *VARIANTS[variant]]
    start = time.monotonic()
    done = _opoi([*words, "--out", str(out), "--quiet"], endpoint.key)
    found: dict[str, Any] = {
        "variant": variant,
        "status": done.returncode,
        "seconds": round(time.monotonic() - start, 1),
        "report": (out / "report.html").exists(),
    }
    if not found["report"]:
        return {**found, "error": done.stderr[-1500:]}
    measures = json.loads((out / "measures.json").read_text(encoding="utf-8"))
    found["scenarios"] = measures["scenarios"]
    found["arms"] = {arm["name"]: _arm(arm) for arm in measures["arms"] if arm["kind"] == "data"}
    traces = list(_traces(out))
    stops = Counter(trace.get("stop", "answered") for trace in traces)
    found["stops"] = dict(sorted(stops.items()))
    failures = {trace.get("failure", "").replace(endpoint.url, "the server") for trace in traces}
    found["failures"] = sorted(failures - {""})[:3]
    return found


def _arm(arm: dict[str, Any]) -> dict[str, Any]:
    """Return one arm: how its traces ended, and which figures it has."""
    figures = {name: measure["value"] for name, measure in arm["measures"].items()}
    return {
        "attempted": arm["attempted"],
        "kept": arm["kept"],
        "dropped": arm["drops"],
        "figures": sorted(name for name, value in figures.items() if value is not None),
        "nothing to measure": sorted(name for name, value in figures.items() if value is None),
    }


def _traces(out: Path) -> Iterator[dict[str, Any]]:
    """Yield all traces of a run as they were made, before cleaning."""
    for file in (out / "rollouts.jsonl", *sorted((out / "traces").glob("*.jsonl"))):
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


def ended_well(run: dict[str, Any]) -> list[str]:
    """Return what is wrong with a run: no report, or traces that are neither kept nor dropped."""
    if run["status"] != 0 or not run["report"]:
        return [f"{run['variant']}: no report (status {run['status']})"]
    return [
        f"{run['variant']}, {name}: {arm['attempted']} traces, kept {arm['kept']}, dropped {arm['dropped']}"
        for name, arm in run["arms"].items()
        if arm["kept"] + sum(arm["dropped"].values()) != arm["attempted"]
    ]
