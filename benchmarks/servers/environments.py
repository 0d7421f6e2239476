"""An environment of its own for each server, made once and kept in the cache folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TORCH", "Environment", "Packages", "make"]

TORCH = "torch==2.13.0"
"""PyTorch that the servers are installed with; the CPU build where pip finds one."""


@dataclass(frozen=True)
class Packages:
    """What a server is installed from.

    Attributes:
        names: Requirements, installed with all that they need.
        torch: Install PyTorch first, so that nothing else chooses another build of it.
        alone: A requirement that is installed by itself; what it needs follows, without `without`.
        without: Names of what it says it needs and does not, e.g. codecs for pictures.
        versions: Distributions whose versions are worth telling.
    """

    names: tuple[str, ...] = ()
    torch: bool = False
    alone: str = ""
    without: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def program(self, name: str) -> Path:
        """Return one of its commands."""
        return self.folder / "bin" / name

    def versions(self, names: Sequence[str]) -> dict[str, str]:
        """Return the versions of distributions, as the environment itself tells them."""
        ask = (
            "import json, sys; from importlib.metadata import version; "
            "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
        )
        answer = subprocess.run(
            [self.python, "-c", ask, *names], check=True, capture_output=True, text=True
        ).stdout
        found: dict[str, str] = json.loads(answer)
        return found


def make(folder: Path, packages: Packages, torch: str = TORCH) -> Environment:
    """Return the environment in `folder`, made anew where it is not there or was made from something else.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    environment = Environment(folder)
    stamp = folder / "made-from.json"
    wanted = json.dumps(
        [list(packages.names), packages.alone, list(packages.without), torch * packages.torch]
    )
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return environment
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    first = [torch] if packages.torch else []
    if first:
        _pip(environment, first)
    if packages.names:
        _pip(environment, [*first, *packages.names])
    if packages.alone:
        _pip(environment, ["--no-deps", packages.alone])
        _pip(environment, [*first, *_needs(environment, packages)])
    stamp.write_text(wanted, encoding="utf-8")
    return environment


def _pip(environment: Environment, words: Sequence[str]) -> None:
    print(f"  pip install {' '.join(words)[:200]}", file=sys.stderr, flush=True)
    command = [
        str(environment.python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *words,
    ]
    subprocess.run(command, check=True)


_NEEDS = """
import json, sys
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement
name, *without = sys.argv[1:]
found = [Requirement(line) for line in requires(name) or ()]
print(json.dumps([
    f"{need.name}{'[' + ','.join(sorted(need.extras)) + ']' if need.extras else ''}{need.specifier}"
    for need in found
    if need.name not in without and (need.marker is None or need.marker.evaluate({"extra": ""}))
]))
"""


def _needs(environment: Environment, packages: Packages) -> list[str]:
    """Return what the package installed alone asks for here, less what it can do without."""
    name = packages.alone.partition("=")[0].strip("<>~! ")
    command = [str(environment.python), "-c", _NEEDS, name, *packages.without]
    found: list[str] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found
