"""Fixtures for all tests. Nothing here reaches beyond this machine: other addresses are refused."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from opoi.cli import main
from opoi.protocols import Suite
from opoi.registry import load_suite
from opoi.types import Case, Scenario

REAL_CONNECT = socket.socket.connect


SPREAD = ("docs", "endpoints", "chaos", "determinism", "secrets", "cli", "probe", "leaderboard")
"""Files whose tests take long and share nothing."""


@pytest.hookimpl(tryfirst=True)  # before the plug-in that reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker do a whole file, so that what its tests share is made once."""
    for item in items:
        if item.path.stem.removeprefix("test_") not in SPREAD and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


def pytest_collection_finish() -> None:
    """Look for cycles among what tests make alone, not among what was imported."""
    gc.freeze()


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else str(address)
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address!r}")
        REAL_CONNECT(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def nothing_to_collect() -> None:
    """Collect what earlier tests left: where a test goes to the limit of recursion, no finalizer can run."""
    gc.collect()


@pytest.fixture(scope="session")
def echo() -> Suite:
    return load_suite("echo")


@pytest.fixture(scope="session")
def ads() -> Suite:
    return load_suite("ads")


@pytest.fixture
def case_of(echo: Suite) -> Callable[..., Case]:
    """Make a reviewed case of the echo suite."""
    from opoi.rollout import rollout

    def make(index: int = 0, *, expert: str = "reviewer", seed: int = 1) -> Case:
        scenario = list(echo.scenarios(index + 1, seed))[index]
        base = rollout(scenario, echo, echo.stand_in(), arm="base", run=0, seed=seed)
        return Case(scenario=scenario, base=base, verdict=echo.experts[expert](scenario, base))

    return make


@pytest.fixture(scope="session")
def leaky_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small run whose agent speaks of the note; for reading only."""
    folder = tmp_path_factory.mktemp("runs") / "r"
    main(["run", "-q", "--n", "12", "--runs", "2", "--resamples", "100", "--out", str(folder)])
    return folder


@pytest.fixture
def opoi(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Call the command in this process; return its exit status and everything that it said."""

    def call(*words: object) -> tuple[int, str]:
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        seen = capsys.readouterr()
        return code, seen.out + seen.err

    return call


@pytest.fixture
def first(echo: Suite) -> Scenario:
    return next(echo.scenarios(1, 1))


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """Read every artefact of a run folder; the side file with timings is not one."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "timings.jsonl"
        }

    return read
