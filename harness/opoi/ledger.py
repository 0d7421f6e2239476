"""The ledger of a run folder: what its calls cost, and the journals of stages that are under way.

`spending.json` says what was spent, by stage and model. It is written when a stage ends, however it ends.
What a kill leaves out is counted when the run is taken up again: requests from `.journal/sent`, which holds a
line for each that is about to be sent, tokens from the journal of the stage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import field

from opoi.errors import ArtefactError
from opoi.models.meter import Spending, Spent
from opoi.store import encode, write_atomic
from opoi.types.base import Value

__all__ = ["Ledger"]

_FOLDER = ".journal"


class _Book(Value, frozen=True, kw_only=True):
    """What `spending.json` holds.

    Attributes:
        stages: What was spent, by stage and model.
        journalled: How many entries of each journal are counted in it, by name of the artefact.
        sent: How many bytes of `.journal/sent` are counted in it.
    """

    stages: dict[str, dict[str, Spent]] = field(default_factory=dict)
    journalled: dict[str, int] = field(default_factory=dict)
    sent: int = 0


class Ledger:
    """The costs and journals of one run.

    Args:
        folder: The run folder; it need not exist yet.

    Attributes:
        spending: What was spent in earlier sittings, tokens of journals aside.

    Raises:
        ArtefactError: `spending.json` cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / "spending.json"
        self._sent = folder / _FOLDER / "sent"
        self._descriptor = -1
        self._book = self._read()
        self.spending: Spending = self._with_sent()

    def _read(self) -> _Book:
        try:
            return msgspec.json.decode(self._place.read_bytes(), type=_Book)
        except FileNotFoundError:
            return _Book()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArtefactError(
                f"{self._place} cannot be read",
                why=str(error),
                fix="undo the edit, or delete the file: then nothing counts as spent so far",
            ) from error

    def _with_sent(self) -> dict[str, dict[str, Spent]]:
        """Return the spending with the requests that a kill left out of it."""
        stages = {stage: dict(models) for stage, models in self._book.stages.items()}
        try:
            noted = self._sent.read_bytes()[self._book.sent :]
        except FileNotFoundError:
            return stages
        for line in noted.splitlines(keepends=True):
            stage, _, model = line.decode("utf-8", "replace").rstrip("\n").partition("\t")
            if line.endswith(b"\n"):
                models = stages.setdefault(stage, {})
                models[model] = models.get(model, Spent()) + Spent(calls=1)
        return stages

    def note(self, stage: str, model: str) -> None:
        """Note that a request is about to be sent; in one write."""
        if self._descriptor < 0:
            if not self._folder.exists():  # a probe before the run is begun: `save` counts it
                return
            self._sent.parent.mkdir(exist_ok=True)
            self._descriptor = os.open(self._sent, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(self._descriptor, f"{stage}\t{' '.join(model.split())}\n".encode("utf-8", "replace"))

    def journal(self, output: Path) -> Path:
        """Return the place of the journal of the stage that writes an artefact."""
        return self._folder / _FOLDER / self._name(output).replace("/", ".")

    def counted(self, output: Path) -> int:
        """Return how many entries of that journal are counted in the spending."""
        return self._book.journalled.get(self._name(output), 0)

    def save(self, spending: Spending, output: Path | None = None, entries: int = 0) -> None:
        """Write down what was spent.

        Args:
            spending: By stage and model.
            output: The artefact of the stage that ends, finished or not; None between stages.
            entries: How many entries of its journal are counted in the spending.
        """
        journalled = dict(self._book.journalled)
        if output is not None:
            journalled[self._name(output)] = entries
        self._write(spending, journalled)

    def drop_journal(self, output: Path) -> None:
        """Delete the journal of a stage that is done."""
        name = self._name(output)
        self.journal(output).unlink(missing_ok=True)
        if name not in self._book.journalled:
            return
        journalled = {key: count for key, count in self._book.journalled.items() if key != name}
        self._write(self._book.stages, journalled)
        if not journalled:
            self.close()
            self._sent.unlink(missing_ok=True)
            self._write(self._book.stages, journalled)
            with suppress(OSError):  # another process may have put something there
                self._sent.parent.rmdir()

    def _name(self, output: Path) -> str:
        return output.relative_to(self._folder).as_posix()

    def _write(self, spending: Spending, journalled: Mapping[str, int]) -> None:
        sent = self._sent.stat().st_size if self._sent.exists() else 0
        stages = {stage: dict(models) for stage, models in spending.items() if models}
        self._book = _Book(stages=stages, journalled=dict(journalled), sent=sent)
        write_atomic(self._place, [msgspec.json.format(encode(self._book), indent=2), b"\n"])

    def close(self) -> None:
        """Close the file of requests; what was noted stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
