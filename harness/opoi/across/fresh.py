"""Whether the figures of a run are those of the files that lie in its folder now, as their receipts tell.

Figures without any receipt - two files that were handed on alone - are taken as they are.
"""

from __future__ import annotations

from pathlib import Path

from opoi.errors import ArtefactError
from opoi.store import Receipt, digest, load_receipt

__all__ = ["check_fresh", "edited"]

FIGURES = ("measures.json", "units.jsonl")
"""What is read of a run, made together by one walk over its cleaned traces."""


def check_fresh(folder: Path) -> None:
    """Refuse figures that were edited, or made from other files than those that are there now.

    Args:
        folder: The run folder; both files of `FIGURES` are in it.

    Raises:
        ArtefactError: They do not fit what is there. What has no receipt, or is not there, tells nothing.
    """
    receipts = {name: receipt for name in FIGURES if (receipt := load_receipt(folder / name)) is not None}
    if not receipts:
        return
    digests = _Digests(folder)
    for name in FIGURES:
        if name not in receipts or digests.of(name) != receipts[name].sha256:
            raise ArtefactError(
                f"{folder / name} was edited by hand, or put there",
                why="its receipt does not fit it: nobody knows of which traces its figures are",
                fix=f"opoi measure {folder} --force",
            )
    for name, receipt in receipts.items():
        digests.refuse_stale(name, receipt, fix=f"opoi measure {folder}")
    measures, units = (receipts[name].inputs for name in FIGURES)
    if measures != units:
        raise ArtefactError(
            f"{' and '.join(FIGURES)} of {folder} are not of one walk",
            why="they were made from other files: a stage was stopped between the two",
            fix=f"opoi measure {folder}",
        )
    for name in measures:
        behind = load_receipt(folder / name)
        if behind is not None:
            digests.refuse_stale(name, behind, fix=f"opoi run --resume --out {folder}")


def edited(folder: Path) -> tuple[str, ...]:
    """Return which artefacts behind the figures a person edited or put there, by path, sorted.

    Args:
        folder: The run folder.

    Raises:
        ArtefactError: A receipt cannot be read.
    """
    digests = _Digests(folder)
    found, left, seen = [], [*FIGURES], {*FIGURES}
    while left:
        name = left.pop()
        if not (folder / name).exists():
            continue
        receipt = load_receipt(folder / name)
        if receipt is None or receipt.sha256 != digests.of(name):
            found.append(name)
        more = [source for source in (receipt.inputs if receipt else ()) if source not in seen]
        seen.update(more)
        left += more
    return tuple(sorted(found))


class _Digests:
    """Digests of the files of a run, each worked out once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, str] = {}

    def of(self, name: str) -> str:
        if name not in self._found:
            self._found[name] = digest(self._folder / name)
        return self._found[name]

    def refuse_stale(self, name: str, receipt: Receipt, *, fix: str) -> None:
        """Refuse an artefact that was made from another version of a file than the one that is there.

        Raises:
            ArtefactError: It was.
        """
        for source, sha256 in receipt.inputs.items():
            if (self._folder / source).exists() and self.of(source) != sha256:
                raise ArtefactError(
                    f"{self._folder / name} was made from another {source} than the one that is there now",
                    why=f"{source} was made anew or edited since: the figures of the run are not its figures",
                    fix=fix,
                )
