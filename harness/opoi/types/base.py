"""The base of all values."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Value"]


class Value(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all values: frozen, compact JSON, strict on reading."""
