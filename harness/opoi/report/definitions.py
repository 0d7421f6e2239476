"""Definitions of figures in words: for the page, for the terminal, for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opoi.errors import visible
from opoi.measures.results import Definition

__all__ = ["definition_lines", "definition_markdown", "definition_parts"]


def definition_parts(told: Definition) -> list[tuple[str, str]]:
    """Return the parts of a definition that are there, each with its label."""
    parts = (
        ("formula", told.formula),
        ("unit", told.unit),
        ("range", told.range),
        ("source", told.source),
        ("needs", told.needs.value),
        ("not for", told.avoid),
    )
    return [(label, visible(text)) for label, text in parts if text]


def definition_lines(name: str, told: Definition) -> Iterator[str]:
    """Yield a definition as lines for a terminal."""
    yield f"{visible(name)} ({visible(told.title)})"
    yield f"  {visible(told.doc)}"
    for label, text in definition_parts(told):
        yield f"  {label + ':':<9}{text}"


def definition_markdown(known: Mapping[str, Definition]) -> str:
    """Return definitions as a list in Markdown."""
    lines = []
    for name, told in known.items():
        lines.append(f"- **`{name}`** ({told.title}): {told.doc}")
        lines.append(f"  {'; '.join(f'*{label}* {_plain(text)}' for label, text in definition_parts(told))}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return a text in which Markdown finds no marks of its own."""
    for sign in "\\*_<>[]|":
        text = text.replace(sign, f"\\{sign}")
    return text
