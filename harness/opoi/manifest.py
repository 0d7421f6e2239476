"""The manifest of a run: every setting in full, what those come down to, and what made the run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct, field

from opoi.errors import ArtefactError
from opoi.models.endpoint.capabilities import Capabilities
from opoi.settings import Settings
from opoi.store import encode, write_atomic

__all__ = ["SCHEMA", "Manifest", "versions"]

SCHEMA = "opoi.manifest/1"
"""Name and version of the format."""

_NAME = "manifest.json"

_LIBRARIES = ("opoi", "numpy", "msgspec", "openai", "httpx", "google-re2", "sentencex")


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What `manifest.json` holds.

    Attributes:
        schema: Name and version of this format.
        settings: Every setting in full, as a settings file could hold it.
        resolved: What those that name something come down to, defaults of strategies and models included.
        versions: What made the run.
        endpoints: What each endpoint can do, by `opoi.casting.endpoint_key`.
    """

    schema: str
    settings: Settings
    resolved: dict[str, Any]
    versions: dict[str, str]
    endpoints: dict[str, Capabilities] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the manifest of the run in a folder.

        Raises:
            ArtefactError: There is no run in the folder, or its manifest cannot be read.
        """
        place = folder / _NAME
        try:
            return msgspec.json.decode(place.read_bytes(), type=cls)
        except FileNotFoundError as error:
            raise ArtefactError(
                f"there is no run in {folder}",
                why="it holds no manifest.json",
                fix="start one with: opoi run --out DIR, or opoi scenarios DIR",
            ) from error
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArtefactError(f"{place} cannot be read", why=str(error), fix="undo the edit") from error

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        write_atomic(folder / _NAME, [msgspec.json.format(encode(self), indent=2), b"\n"])


def versions() -> dict[str, str]:
    """Return the versions of what decides about bytes."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
