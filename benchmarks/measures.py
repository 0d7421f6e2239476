"""Time and memory of all figures on 10,000 traces.

    python benchmarks/measures.py [--traces 10000] [--keep DIR]

Makes a run of the ads suite up to its cleaned traces (three arms, three runs of a scenario), then works
out all figures and intervals in a process of its own, as `opoi measure` does, with 10,000 resamples, and
prints seconds and peak memory. The aim is under 60 s and 1 GB on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS, ARMS = 3, 3

MEASURE = """
import json, resource, sys, time
from pathlib import Path
from opoi.pipeline import carry_out
from opoi.run import Run
from opoi.stages.common import count_lines
from opoi.stages.counting import processes
begun = time.monotonic()
run = Run.open(Path(sys.argv[1]), force=True)
carry_out(run, ["measure"])
parts = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "wall": time.monotonic() - begun,
    "cpu": sum(part.ru_utime + part.ru_stime for part in parts),
    "peak": parts[0].ru_maxrss / 1024,
    "each": parts[1].ru_maxrss / 1024,
    "processes": processes(count_lines(run.file("scenarios.jsonl"))),
}))
"""


def make(folder: Path, traces: int) -> None:
    """Make the run whose traces are measured."""
    words = ["--n", str(-(-traces // (RUNS * ARMS))), "--runs", str(RUNS), "--resamples", "10000"]
    opoi = [str(Path(sys.executable).with_name("opoi"))]
    subprocess.run([*opoi, "scenarios", str(folder), *words[:2], "-q"], check=True)
    subprocess.run([*opoi, "rollout", str(folder), "--runs", str(RUNS), "-q"], check=True)
    for stage in ("review", "generate", "clean"):
        subprocess.run([*opoi, stage, str(folder), "-q"], check=True)


def main() -> None:
    """Print one line per question."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="keep the run in this folder, and take it if it is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch) / "run"
        if not (folder / "cleaned").exists():
            begun = time.monotonic()
            make(folder, given.traces)
            print(f"made in {time.monotonic() - begun:.0f} s")
        files = sorted((folder / "cleaned").glob("*.jsonl"))
        lines = sum(1 for file in files for _ in file.open("rb"))
        size = sum(file.stat().st_size for file in files)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(folder)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{lines} traces of {size / lines / 1000:.1f} kB")
        print(f"{found['wall']:.1f} s ({found['cpu']:.1f} s of CPU)")
        others = f"up to {found['each']:.0f} MB in each of {found['processes']} processes"
        print(f"{found['peak']:.0f} MB, and {others}")


if __name__ == "__main__":
    main()
