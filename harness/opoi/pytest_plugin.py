"""A pytest plugin: models whose answers lie on a tape beside the test.

    def test_my_agent(opoi_tape):
        model = opoi_tape.model("https://models.example/v1", "large")
        ...

`pytest --opoi-record=once` asks the endpoint and records; from then on `pytest` replays: no network, no key,
the same bytes each time. A request that is not on the tape fails the test with a diff. The tape of a test
lies in `tapes/MODULE/TEST.jsonl` beside its module, to be kept with the code; no key is ever on it.

Nothing but pytest is imported before a model is made.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from opoi.models.session import Session
    from opoi.models.tape import Tape
    from opoi.protocols import Model

__all__ = ["OpoiTape", "StaleTapeWarning", "opoi_tape"]

_OPTION = "--opoi-record"

_PASSED = pytest.StashKey[bool]()
"""Whether the test itself passed; absent where it was interrupted."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._\[\]=,+-]")

_LONGEST = 120
"""Most characters of a test's name in a file name."""


class StaleTapeWarning(UserWarning):
    """A tape holds requests that its test, which passed, did not make."""


class OpoiTape:
    """Models of one test, and the tape that stands for their endpoints.

    Attributes:
        path: The tape.
        recording: Whether endpoints are asked, and a new tape is made.
    """

    def __init__(self, path: Path, *, recording: bool) -> None:
        self.path = path
        self.recording = recording
        self._part = path.with_name(path.name + ".part")
        self._session: Session | None = None
        self._tape: Tape | None = None

    def model(self, url: str, name: str = "", **settings: object) -> Model:
        """Return a model at an endpoint, or from the tape.

        Args:
            url: Base URL; part of what is recorded, so the same each time.
            name: Name of the model on the server; `""` takes the only one that it lists.
            **settings: As in `opoi.models.resolve.ModelSettings`: temperature, max_tokens, api_key_env ...

        Raises:
            UsageError: The URL, the key or a setting cannot be used.
            ArtefactError: The tape is damaged.
        """
        import msgspec

        from opoi.errors import UsageError
        from opoi.models.endpoint.model import EndpointModel
        from opoi.models.resolve import ModelSettings, resolve_model
        from opoi.models.tape import ReplayLine
        from opoi.models.urls import checked_url

        try:
            chosen = msgspec.convert({"name": name, **settings}, ModelSettings)
        except msgspec.ValidationError as error:
            raise UsageError("these are no settings of a model", why=str(error)) from None
        model = resolve_model(checked_url(url), suite=None, settings=chosen, session=self._opened())
        if isinstance(model, EndpointModel) and isinstance(model.line, ReplayLine):
            self._tape = model.line.tape
        return model

    def _opened(self) -> Session:
        """Return the session of the test, which the first model opens."""
        from opoi.models.session import Session

        if self._session is None and self.recording:
            self._part.unlink(missing_ok=True)
            self._session = Session(record=self._part, stops=False)
        elif self._session is None:
            if not self.path.exists():
                pytest.fail(
                    f"there is no tape for this test: {self.path}\n"
                    f"  fix: record one where the endpoint is in reach: pytest {_OPTION}=once",
                    pytrace=False,
                )
            self._session = Session(replay=self.path, stops=False)
        return self._session

    def _close(self, passed: bool | None) -> None:
        """Keep the recording, or tell what the tape and the test do not share."""
        if self._session is None:
            return
        missed = self._tape.missed if self._tape else None
        stale = len(self._tape.unplayed()) if self._tape and passed else 0
        self._session.close()
        if self.recording:
            self._keep(passed)
        elif missed and passed:
            pytest.fail(f"the test went on after a request failed:\n{missed}", pytrace=False)
        elif stale:
            warnings.warn(
                f"{self.path} holds {stale} request(s) that the test did not make; "
                f"record anew with {_OPTION}=all",
                StaleTapeWarning,
                stacklevel=1,
            )

    def _keep(self, passed: bool | None) -> None:
        """Put the new tape in its place.

        That of a test that was interrupted, or failed with a failed call, is not kept: its failure would
        be there for good.
        """
        from opoi.models.tape import Tape

        with Tape.open(self._part, write=False) as tape:
            good = passed or (passed is not None and all(entry.fault is None for entry in tape))
        if good:
            self._part.replace(self.path)
        else:
            self._part.unlink()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("opoi", "models on tape").addoption(
        _OPTION,
        choices=("none", "once", "all"),
        default="none",
        help="what tests with the fixture opoi_tape record: nothing, so that all is replayed (default); "
        "once: where there is no tape yet; all: anew",
    )


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note whether a test passed, for the fixture's end."""
    if call.when == "call":
        item.stash[_PASSED] = call.excinfo is None


@pytest.fixture
def opoi_tape(request: pytest.FixtureRequest) -> Iterator[OpoiTape]:
    """Models whose answers lie on a tape beside the test: `opoi_tape.model(url, name)`."""
    path = _tape_path(request.node)
    mode = request.config.getoption(_OPTION)
    tape = OpoiTape(path, recording=mode == "all" or (mode == "once" and not path.exists()))
    yield tape
    tape._close(request.node.stash.get(_PASSED, None))


def _tape_path(item: pytest.Item) -> Path:
    """Return where the tape of a test lies. A name that no file may have gets a digest of what it was."""
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    name = ".".join([*classes, item.name])
    safe = _UNSAFE.sub("_", name)[:_LONGEST]
    if safe != name:
        safe = f"{safe}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return item.path.parent / "tapes" / item.path.stem / f"{safe}.jsonl"
