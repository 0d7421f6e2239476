"""The formats by name, and what tells one from another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from opoi.formats.chat import read_openai, read_trl
from opoi.formats.conversion import Reader
from opoi.formats.inspect_log import read_inspect
from opoi.formats.own import read_opoi
from opoi.formats.sharegpt import read_sharegpt

__all__ = ["FORMATS", "READERS", "format_of", "members_of"]

READERS: Final[Mapping[str, Reader]] = {
    "opoi": read_opoi,
    "openai": read_openai,
    "trl": read_trl,
    "sharegpt": read_sharegpt,
    "inspect": read_inspect,
}

FORMATS: Final = tuple(READERS)
"""Names of the formats that can be read: `opoi` (traces or cleaned traces of a run), `openai` (fine-tuning),
`trl` (TRL/HF conversational), `sharegpt`, `inspect` (Inspect AI evaluation log)."""

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_OBJECT_ARGUMENTS: Final = re.compile(rb'"arguments"\s*:\s*\{')
_OF_TRACE: Final = {"id", "scenario_id", "arm", "run", "as_of"}


def members_of(raw: bytes) -> dict[str, Raw] | None:
    """Return the members of a JSON object, None where it is no JSON object."""
    try:
        return _decode_members(raw)
    except (ValueError, RecursionError):
        return None


def format_of(members: Mapping[str, Raw]) -> str:
    """Return the name of the format that a record with these members has, `""` where it has none.

    A conversation without tools and marks is the same in `openai` and `trl`; it counts as `openai`.
    """
    if members.keys() >= _OF_TRACE or members.keys() >= {"trace", "level"}:
        return "opoi"
    lists = {key for key, raw in members.items() if bytes(raw)[:1] == b"["}
    if "conversations" in lists:
        return "sharegpt"
    if "messages" in lists:
        if "epoch" in members and "id" in members:
            return "inspect"
        return "trl" if _looks_like_trl(members) else "openai"
    return "trl" if {"prompt", "completion"} <= lists else ""


def _looks_like_trl(members: Mapping[str, Raw]) -> bool:
    if "message_loss_mask" in members:
        return True
    tools = members.get("tools")
    if tools is not None and bytes(tools)[:1] == b'"':
        return True
    return _OBJECT_ARGUMENTS.search(bytes(members["messages"])) is not None
