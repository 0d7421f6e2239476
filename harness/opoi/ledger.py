"""The ledger of a run folder: what its calls cost, and the journals of stages that are under way.

`spending.json` says what was spent, by stage and model. It is written when a stage ends, however it ends;
what a kill leaves out is counted from the journal when the stage is taken up again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import field

from opoi.errors import ArtefactError
from opoi.models.meter import Spending, Spent
from opoi.store import encode, write_atomic
from opoi.types.base import Value

__all__ = ["Ledger"]


class _Book(Value, frozen=True, kw_only=True):
    """What `spending.json` holds.

    Attributes:
        stages: What was spent, by stage and model.
        journalled: How many entries of each journal are counted in it, by name of the artefact.
    """

    stages: dict[str, dict[str, Spent]] = field(default_factory=dict)
    journalled: dict[str, int] = field(default_factory=dict)


class Ledger:
    """The costs and journals of one run.

    Args:
        folder: The run folder.

    Raises:
        ArtefactError: `spending.json` cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / "spending.json"
        self._book = self._read()

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

    @property
    def spending(self) -> Spending:
        """What was spent, as far as it was written down."""
        return self._book.stages

    def journal(self, output: Path) -> Path:
        """Return the place of the journal of the stage that writes an artefact."""
        return self._folder / ".journal" / self._name(output).replace("/", ".")

    def counted(self, output: Path) -> int:
        """Return how many entries of that journal are counted in the spending."""
        return self._book.journalled.get(self._name(output), 0)

    def save(self, spending: Spending, output: Path, entries: int) -> None:
        """Write down what was spent.

        Args:
            spending: By stage and model.
            output: The artefact of the stage that ends, finished or not.
            entries: How many entries of its journal are counted in the spending.
        """
        self._book = _Book(
            stages={stage: dict(models) for stage, models in spending.items()},
            journalled={**self._book.journalled, self._name(output): entries},
        )
        self._write()

    def drop_journal(self, output: Path) -> None:
        """Delete the journal of a stage that is done."""
        journal = self.journal(output)
        journal.unlink(missing_ok=True)
        with suppress(OSError):  # others are in it, or it was never made
            journal.parent.rmdir()
        if self._name(output) in self._book.journalled:
            journalled = {key: n for key, n in self._book.journalled.items() if key != self._name(output)}
            self._book = msgspec.structs.replace(self._book, journalled=journalled)
            self._write()

    def _name(self, output: Path) -> str:
        return output.relative_to(self._folder).as_posix()

    def _write(self) -> None:
        write_atomic(self._place, [msgspec.json.format(encode(self._book), indent=2), b"\n"])
