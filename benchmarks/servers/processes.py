"""Server processes: started in a group of their own, waited for, and stopped whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

__all__ = ["Running", "StartError", "end_on_sigterm", "free_port", "running", "tail"]

PATIENCE = 10.0
"""Seconds that a server has to end when asked, before it is killed."""


class StartError(RuntimeError):
    """A server ended, or was not ready in time; the message ends with the end of its log."""


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        ready: Seconds from its start to its first good answer.
        log: Where it writes what it has to say.
    """

    ready: float
    log: Path


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(log: Path, lines: int = 30) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def end_on_sigterm() -> None:
    """Let SIGTERM end this process, and with it its servers, as Ctrl-C does."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@contextmanager
def running(
    command: Sequence[str], *, environ: Mapping[str, str], ready_url: str, key: str, limit: float, log: Path
) -> Iterator[Running]:
    """Start a server, wait until `ready_url` answers 200, and end its whole process group at the end.

    Raises:
        StartError: It ended, or did not answer within `limit` seconds.
    """
    start = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            list(command),
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, ready_url, key, start + limit, log)
        yield Running(ready=round(time.monotonic() - start, 1), log=log)
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, key: str, end: float, log: Path) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    while time.monotonic() < end:
        if process.poll() is not None:
            raise StartError(f"the server ended with status {process.returncode}; its log ends:\n{tail(log)}")
        try:
            if httpx.get(url, headers=headers, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    raise StartError(f"the server does not answer at {url}; its log ends:\n{tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group: ask first, then do not ask. Children that outlive the leader are ended too."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
