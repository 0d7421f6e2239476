"""Peak memory of a whole run against the number of scenarios: it should not grow with them.

    python benchmarks/memory.py [SCENARIOS ...]

Runs `opoi run` in processes of their own, 1 repetition each, and prints peak resident memory, wall time and
CPU time. The aim is under 400 MB at 20,000 scenarios.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measured(scenarios: int, folder: Path) -> tuple[float, float, float]:
    """Return peak memory in MB, wall seconds and CPU seconds of one run."""
    code = (
        "import resource, sys\n"
        "from opoi.cli import main\n"
        "main(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    words = ["run", "-q", "--n", str(scenarios), "--runs", "1", "--out", str(folder / str(scenarios))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    wall = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(done.stderr.split()[-1]) / 1024, wall, cpu


def main() -> None:
    """Print one line per number of scenarios."""
    counts = [int(word) for word in sys.argv[1:]] or [200, 2000, 20000]
    print(f"{'scenarios':>10} {'peak MB':>8} {'wall s':>8} {'CPU s':>8} {'CPU ms a scenario':>18}")
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            peak, wall, cpu = measured(count, Path(folder))
            print(
                f"{count:>10} {peak:>8.0f} {wall:>8.1f} {cpu:>8.1f} {1000 * cpu / count:>18.2f}", flush=True
            )


if __name__ == "__main__":
    main()
