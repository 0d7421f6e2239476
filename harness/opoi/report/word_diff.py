"""What cleaning did to a trace, as a coloured word diff in a terminal, with the rule on every span."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from opoi.cleaning.pieces import Change, Piece
from opoi.report.tables import visible
from opoi.types import Cleaned

__all__ = ["diff_text", "explained"]

CONTEXT = 80
"""Most characters that are shown of an unchanged text on either side of a change, and at either end of a
long one that was cut."""


def explained(label: str, cleaned: Cleaned, changes: Sequence[Change], *, colour: bool) -> list[Text]:
    """Return the lines that tell what happened to one trace.

    Args:
        label: Where the trace stands, e.g. `file.jsonl:12`.
        cleaned: What came of it.
        changes: What was changed, text by text.
        colour: Without it, marks of plain text show what was cut `[-so-]` and put in `{+so+}`.
    """
    head = Text(visible(f"{label}  {cleaned.trace.id}"), style="bold")
    if cleaned.trace.drop:
        head.append(f"  dropped: {visible(cleaned.trace.drop)}", style="bold red" if colour else "")
        if cleaned.dropped_by:
            said = f" for {visible(cleaned.dropped_for)!r}" if cleaned.dropped_for else ""
            where = f" in {visible(cleaned.dropped_at)}" if cleaned.dropped_at else ""
            head.append(f" by {visible(cleaned.dropped_by)}{said}{where}")
    lines = [head]
    for change in changes:
        line = Text(f"  message {change.message}, {visible(change.region)}: ", style="dim")
        lines.append(line.append_text(diff_text(change.pieces, colour=colour)))
    return lines


def diff_text(pieces: Sequence[Piece], *, colour: bool) -> Text:
    """Return the pieces of one text as one line; long unchanged stretches are shortened."""
    line = Text()
    for index, piece in enumerate(pieces):
        text = visible(piece.text).replace("\n", "\u23ce")
        if piece.kind == "kept":
            line.append(_shortened(text, first=index == 0, last=index == len(pieces) - 1), style="none")
            continue
        if colour:
            line.append(_shortened(text), style="red strike" if piece.kind == "cut" else "green")
        else:
            line.append(f"[-{_shortened(text)}-]" if piece.kind == "cut" else f"{{+{_shortened(text)}+}}")
        following = pieces[index + 1] if index + 1 < len(pieces) else None
        if following is None or following.kind == "kept" or following.rule != piece.rule:
            line.append(f"<{visible(piece.rule)}>", style="cyan" if colour else "")
    return line


def _shortened(text: str, *, first: bool = False, last: bool = False) -> str:
    """Return a text with its middle (or its far end) left out where it is long."""
    if len(text) <= CONTEXT * (1 if first or last else 2):
        return text
    if first:
        return "\u2026" + text[-CONTEXT:]
    if last:
        return text[:CONTEXT] + "\u2026"
    return f"{text[:CONTEXT]}\u2026{text[-CONTEXT:]}"
