"""What cleaning did to many traces, as one HTML page to browse and filter. It asks for nothing.

The page carries a content security policy that allows its own style sheets and its own script, by hash, and
nothing else. The script only hides and shows; without it the page shows everything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from opoi.cleaning.pieces import Change
from opoi.report.tables import Table, visible
from opoi.types import Cleaned

__all__ = ["Shown", "render_diffs"]


class Shown(Struct, frozen=True):
    """One trace of the page.

    Attributes:
        label: Where it stands, e.g. `file.jsonl:12`.
        cleaned: What came of it.
        changes: What was changed, text by text.
    """

    label: str
    cleaned: Cleaned
    changes: tuple[Change, ...] = ()

    @property
    def outcome(self) -> str:
        """`dropped`, `changed` or `kept`."""
        if self.cleaned.trace.drop:
            return "dropped"
        return "changed" if self.changes else "kept"

    @property
    def rules(self) -> list[str]:
        """Ids of the rules that did anything to it, sorted."""
        return sorted({edit.rule for edit in self.cleaned.edits} | {self.cleaned.dropped_by} - {""})


def render_diffs(shown: Sequence[Shown], *, title: str, tables: Iterable[Table], left_out: int = 0) -> str:
    """Return the page.

    Args:
        shown: Traces in the order of the page.
        title: What was cleaned with what.
        tables: Shown above the traces.
        left_out: How many more traces were changed or dropped than are shown.

    Returns:
        A whole document, to be written as UTF-8.
    """
    folder = files("opoi.report")
    style = (folder / "style.css").read_text(encoding="utf-8") + (folder / "diff_page.css").read_text("utf-8")
    script = (folder / "diff_page.js").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.filters["visible"] = visible
    return environment.from_string((folder / "diff_page.html.j2").read_text(encoding="utf-8")).render(
        style=Markup(style),  # noqa: S704  # our own file; the policy's hash is of these very bytes
        style_hash=_hash(style),
        script=Markup(script),  # noqa: S704  # our own file; the policy's hash is of these very bytes
        script_hash=_hash(script),
        title=visible(title),
        tables=list(tables),
        shown=shown,
        left_out=left_out,
        rules=sorted({rule for one in shown for rule in one.rules}),
        reasons=sorted({one.cleaned.trace.drop for one in shown} - {""}),
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
