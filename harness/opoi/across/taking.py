"""Taking over what was generated in one run folder into another, so that it need not be paid for twice.

An artefact is copied with its receipt and the keys of its items: the other run then takes it for its own, and
whatever grows out of it looks its results up in it. What a person edited in the copy is kept, as a stage
would keep it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from opoi.errors import ArtefactError
from opoi.store import Receipt, digest, load_receipt, publish, receipt_path, write_atomic

__all__ = ["take_over"]

_CHUNK = 1 << 20


def take_over(source: Path, target: Path, name: str) -> bool:
    """Make an artefact of one run folder one of another, unless it is there already.

    A kill at any moment leaves the copy as it was or as it is to be, never as an edit of nobody.

    Args:
        source: The run folder in which it was made.
        target: The other run folder.
        name: Path of the artefact in a run folder.

    Returns:
        Whether the copy was edited by hand, and kept.

    Raises:
        ArtefactError: It was edited by hand, and what it was copied from has changed since; or it is missing.
    """
    origin, copy = source / name, target / name
    if not origin.is_file():
        raise ArtefactError(
            f"{origin} is missing", why="it was to be taken over", fix=f"opoi run --resume --out {source}"
        )
    receipt = load_receipt(origin)
    there, here = digest(origin), digest(copy) if copy.exists() else ""
    taken = _taken(copy)
    if here and here != there and not _as_made(copy, here, taken):
        if there in taken:
            return True
        raise ArtefactError(
            f"{copy} was edited by hand, and what it was copied from has changed since",
            why=f"it was copied from {origin}",
            fix="keep a copy of it elsewhere and delete it, then run the same command again",
        )
    if here != there:
        _note(copy, sorted({*taken, there}))
        _copy(origin, copy, receipt)
    if load_receipt(copy) != receipt:
        _copy_receipt(copy, receipt)
    _copy_keys(origin, copy, receipt)
    if _taken(copy) != [there]:
        _note(copy, [there])
    return False


def _as_made(copy: Path, here: str, taken: list[str]) -> bool:
    """Whether a copy is as it was taken over, or as a stage of its own run sealed it."""
    receipt = load_receipt(copy)
    return here in taken or (receipt is not None and receipt.sha256 == here)


def _copy(origin: Path, copy: Path, receipt: Receipt | None) -> None:
    if receipt is None:
        write_atomic(copy, _chunks(origin))
    else:
        publish(copy, _chunks(origin), lambda _: receipt)


def _copy_receipt(copy: Path, receipt: Receipt | None) -> None:
    if receipt is None:
        receipt_path(copy).unlink(missing_ok=True)
    else:
        publish(copy, _chunks(copy), lambda _: receipt)


def _copy_keys(origin: Path, copy: Path, receipt: Receipt | None) -> None:
    """Copy what names the items of an artefact; older ones are deleted."""
    keys = receipt_path(origin, f".{receipt.sha256[:16]}.keys").name if receipt is not None else ""
    for old in receipt_path(copy).parent.glob(f"{copy.name}.*.keys"):
        if old.name != keys:
            old.unlink()
    made = receipt_path(origin).parent / keys
    if keys and made.exists():
        write_atomic(receipt_path(copy).parent / keys, _chunks(made))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


# ---------------------------------------------------------------- what was taken over


def _place(copy: Path) -> Path:
    return receipt_path(copy, ".taken.json")


def _taken(copy: Path) -> list[str]:
    """Return the digests of which the copy may be without anybody having edited it."""
    try:
        return msgspec.json.decode(_place(copy).read_bytes(), type=list[str])
    except FileNotFoundError:
        return []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{_place(copy)} cannot be read", why=str(error), fix=f"delete it and {copy}"
        ) from error


def _note(copy: Path, digests: list[str]) -> None:
    write_atomic(_place(copy), [msgspec.json.encode(digests)])
