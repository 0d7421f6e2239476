"""What a figure says, read from the docstring of the function that works it out.

The docstring is the only place where a figure is described: the report, `opoi figures` and the tests read it
from there. After one or two sentences it holds lines of the form `Key: text`, which may go on, indented, on
the lines below:

    Formula:  how it is worked out (printed beside the figure)
    Unit:     `share`, `count`, `bits`, `nats`, `x` or `utility`
    Range:    what values it can take
    Source:   where the definition comes from
    Needs:    the tier of access to a model, `T0` to `T3`
    Not for:  when not to use it
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from opoi.errors import PluginError
from opoi.measures.definition import Definition
from opoi.types import Tier

__all__ = ["KEYS", "UNITS", "Described", "define"]

KEYS = ("Formula", "Unit", "Range", "Source", "Needs", "Not for")
"""What the docstring of a figure tells, in this order."""

UNITS = ("share", "count", "bits", "nats", "x", "utility")

_ENDS = ("Args:", "Returns:", "Raises:")
_LINE = re.compile(rf"^({'|'.join(KEYS)}):\s*(.*)$")


class Described(Struct, frozen=True, eq=False):
    """What every figure is, however it is worked out; the face of `opoi.protocols.Metric`.

    Attributes:
        name: Key in the results.
        definition: What the figure says.
    """

    name: str
    definition: Definition

    @property
    def title(self) -> str:
        """Column head."""
        return self.definition.title

    @property
    def unit(self) -> str:
        """Unit, see `Definition`."""
        return self.definition.unit

    @property
    def doc(self) -> str:
        """What the figure says."""
        return self.definition.doc

    @property
    def needs(self) -> Tier:
        """What it asks of the model's endpoint."""
        return self.definition.needs


def define(function: Callable[..., Any], title: str, *, parts: bool = False) -> Definition:
    """Return what the docstring of a figure says.

    Args:
        function: Works the figure out. A missing docstring, or line of it, leaves the field empty; a figure
            without `Unit:` is a share.
        title: Column head.
        parts: It is a ratio of sums over scenarios.

    Raises:
        PluginError: The unit or the tier is none.
    """
    told = _sections(inspect.getdoc(function) or "")
    unit, needs = told.get("Unit", "share"), told.get("Needs", "T0")
    if unit not in UNITS or needs not in list(Tier):
        wrong, known = (unit, UNITS) if unit not in UNITS else (needs, tuple(Tier))
        raise PluginError(
            f"the figure {title!r} has {wrong!r} in its docstring",
            why=f"known: {', '.join(known)}",
            fix="see opoi.measures.define",
        )
    return Definition(
        title=title,
        unit=unit,
        doc=told.get("", ""),
        formula=told.get("Formula", ""),
        range=told.get("Range", ""),
        source=told.get("Source", ""),
        needs=Tier(needs),
        avoid=told.get("Not for", ""),
        parts=parts,
    )


def _sections(text: str) -> dict[str, str]:
    """Return the text before the first key under `""`, and what stands behind each key."""
    found: dict[str, list[str]] = {"": []}
    key = ""
    for line in text.splitlines():
        head = _LINE.match(line)
        if line in _ENDS:
            break
        if head:
            key = head[1]
            found[key] = [head[2]]
        else:
            found[key].append(line.strip())
    return {key: " ".join(filter(None, lines)) for key, lines in found.items()}
