"""Receipts: what each artefact was made from, so that a stage knows whether it has to run.

An artefact and its receipt change together as far as anyone can see: the new receipt lies ready beside the
old one before the artefact is put in place, and whichever of the two fits the artefact's bytes counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from opoi.errors import ArtefactError
from opoi.store.files import digest, encode, write_aside, write_atomic

__all__ = ["Receipt", "load_receipt", "publish", "receipt_path"]


class Receipt(Struct, frozen=True, forbid_unknown_fields=True):
    """What an artefact was made from.

    Attributes:
        made_from: Fingerprint of the stage's inputs and settings.
        inputs: SHA-256 of each input by its path in the run folder.
        sha256: Digest of the artefact.
        items: Number of items worked on.
        records: Number of lines.
        failures: Items that ended in an infrastructure failure and can be tried again.
    """

    made_from: str
    inputs: dict[str, str]
    sha256: str
    items: int = 0
    records: int = 0
    failures: int = 0


def receipt_path(path: Path, suffix: str = ".json") -> Path:
    """Return where the receipt of an artefact lies, or another file that goes with it."""
    return path.parent / ".receipts" / (path.name + suffix)


def publish(path: Path, chunks: Iterable[bytes], receipt: Callable[[str], Receipt]) -> Receipt:
    """Put an artefact and its receipt in place, so that a kill at any moment leaves a pair that fits.

    Args:
        path: The artefact.
        chunks: Its bytes.
        receipt: Called with their SHA-256, once all are written.
    """
    temporary, sha256 = write_aside(path, chunks)
    made = receipt(sha256)
    ready = receipt_path(path, ".next.json")
    write_atomic(ready, [msgspec.json.format(encode(made), indent=2) + b"\n"])
    temporary.replace(path)
    ready.replace(receipt_path(path))
    return made


def load_receipt(path: Path) -> Receipt | None:
    """Return the receipt of an artefact, None where there is none.

    Raises:
        ArtefactError: It cannot be read.
    """
    if not path.exists():
        return None
    ready = receipt_path(path, ".next.json")
    if ready.exists():
        made = _read(ready)
        if made is not None and made.sha256 == digest(path):
            ready.replace(receipt_path(path))
            return made
    return _read(receipt_path(path))


def _read(place: Path) -> Receipt | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=Receipt)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{place} cannot be read", why=str(error), fix="run the stage again with --force"
        ) from error
