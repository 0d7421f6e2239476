"""What is said where a library of the extra `gym` is not installed."""

from __future__ import annotations

from opoi.errors import UsageError

__all__ = ["missing"]


def missing(wanted: str, error: ImportError) -> UsageError:
    """Return the error for a part of this package that needs a library of the extra."""
    return UsageError(f"{wanted} cannot be used", why=str(error), fix="pip install 'opoi[gym]'")
