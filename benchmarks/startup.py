"""CPU time that the command takes to answer `--help`, against an interpreter that does nothing.

    python benchmarks/startup.py

Prints the median of 15 runs of each. The aim is under 0.3 s for `opoi --help`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import click": ["-c", "import click"],
    "opoi --help": ["-c", "from opoi.cli import main; main(['--help'])"],
    "opoi run --help": ["-c", "from opoi.cli import main; main(['run', '--help'])"],
    "opoi list": ["-c", "from opoi.cli import main; main(['list'])"],
}


def cpu_of(words: list[str]) -> float:
    """Return the CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print one line per command."""
    for name, words in COMMANDS.items():
        seconds = statistics.median(cpu_of(words) for _ in range(15))
        print(f"{name:<18} {seconds:6.3f} s CPU")


if __name__ == "__main__":
    main()
