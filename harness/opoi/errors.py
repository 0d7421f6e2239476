"""The errors of the package. Each says what happened, why, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArtefactError",
    "EndpointError",
    "OpoiError",
    "PluginError",
    "UnknownNameError",
    "UsageError",
    "visible",
]

_REORDER = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: "\u2421",
    **{code: f"\\u{code:04x}" for code in (*range(0x80, 0xA0), *_REORDER, *range(0xD800, 0xE000))},
}


def visible(text: str) -> str:
    r"""Return a text in which nothing can steer a terminal or hide: control characters become symbols.

    Line breaks and tabs stay. Lone surrogates and characters that reorder text are written as `\u....`.
    """
    return text.translate(_VISIBLE)


class OpoiError(Exception):
    """Base of every error that is meant for a person. Its text cannot steer a terminal, whatever it quotes.

    Args:
        what: What happened, as one sentence without a full stop.
        why: The reason, where it is known.
        fix: What to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    @property
    def line(self) -> str:
        """What and why on one line, for a record in an artefact."""
        return " - ".join(" ".join(part.split()) for part in (self.what, self.why) if part)

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return visible("\n".join(lines))


class UsageError(OpoiError):
    """An option, setting or combination of them cannot be used."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name is not registered. The message offers the nearest names that are.

    Args:
        kind: What was looked for, e.g. `"strategy"`.
        name: The name that was given.
        known: The names that exist.
        hint: What else would have been accepted.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
        mend = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        choices = f"known: {', '.join(names) or 'none'}"
        super().__init__(
            f"unknown {kind} {name!r}",
            why=choices,
            fix=" ".join(part for part in (mend, hint) if part),
        )


class ArtefactError(OpoiError):
    """A run folder or a file in it is missing, damaged or does not fit the others."""


class EndpointError(OpoiError):
    """A model endpoint gave no usable answer: an infrastructure failure, never a wrong answer."""


class PluginError(OpoiError):
    """A suite, strategy, expert or model broke its contract or raised while it was used."""
