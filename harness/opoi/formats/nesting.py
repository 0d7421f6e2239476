"""How deeply JSON is nested, told without decoding it."""

from __future__ import annotations

from typing import Final

__all__ = ["too_deep"]

_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")
_AND_QUOTES: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')


def too_deep(raw: bytes, limit: int) -> bool:
    """Return whether the arrays and objects of a JSON text are nested deeper than the limit.

    Brackets in strings are told from the others only where they make a difference, which is nearly never; it
    takes 20 times as long. Strings with just the right unmatched brackets can hide nesting from this; the
    decoders stop at a depth of their own, of about 1,000.
    """
    brackets = raw.translate(_ALIKE, _BRACKETS)
    if brackets.count(b"[") <= limit or _reduced(brackets, limit) == b"":
        return False
    # Outside of strings there is no backslash; inside, these pairs only hide which quote ends the string.
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_ALIKE, _AND_QUOTES)
    return b"[]" in _reduced(b"".join(plain.split(b'"')[::2]), limit)


def _reduced(brackets: bytes, times: int) -> bytes:
    """Return what is left of brackets when the innermost pairs have been taken out so many times."""
    for _ in range(times):
        left = brackets.replace(b"[]", b"")
        if len(left) == len(brackets):
            break
        brackets = left
    return brackets
