"""Interval plots as inline SVG: a dot for the estimate, a line for its 95 % interval, a row per arm."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape
from msgspec import Struct

from opoi.report.tables import MISSING

__all__ = ["Dot", "interval_plot"]

WIDTH = 640
_LEFT, _RIGHT, _TOP, _ROW = 150, 24, 8, 26


class Dot(Struct, frozen=True):
    """One row of a plot. Values are shares in [0, 1].

    Attributes:
        label: Name of the row.
        value: Estimate, None where there is none.
        low: Lower end of the interval, None where there is none.
        high: Upper end.
        text: The figure in words, for the tooltip.
        faint: Whether the row is a reference only.
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    faint: bool = False


def interval_plot(title: str, dots: Sequence[Dot]) -> Markup:
    """Return a plot with an axis from 0 to 100 %. Colours come from the page's style sheet.

    Args:
        title: Name of the figure, for screen readers.
        dots: Rows from top to bottom.
    """
    height = _TOP + _ROW * len(dots) + 28
    bottom = _TOP + _ROW * len(dots)
    parts = [
        Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, height, title
        )
    ]
    for tick in range(0, 101, 25):
        x = _x(tick / 100)
        parts.append(
            Markup('<line class="grid" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(x, _TOP, bottom)
            + Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{} %</text>').format(
                x, bottom + 18, tick
            )
        )
    parts += [_row(dot, _TOP + _ROW * index + _ROW // 2) for index, dot in enumerate(dots)]
    return Markup("").join([*parts, Markup("</svg>")])


def _x(share: float) -> str:
    return f"{_LEFT + (WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, share)):.1f}"


def _row(dot: Dot, y: int) -> Markup:
    shape = Markup("")
    if dot.low is not None and dot.high is not None:
        shape += Markup('<line class="whisker" x1="{}" y1="{y}" x2="{}" y2="{y}"/>').format(
            _x(dot.low), _x(dot.high), y=y
        )
    if dot.value is not None:
        shape += Markup('<circle class="dot" cx="{}" cy="{}" r="5"/>').format(_x(dot.value), y)
    else:
        shape += Markup('<text class="tick" x="{}" y="{}">{}</text>').format(_x(0.01), y + 4, MISSING)
    label = dot.label if len(dot.label) <= 18 else dot.label[:17] + "\u2026"
    name = Markup('<text class="label" x="{}" y="{}" text-anchor="end">{}</text>').format(
        _LEFT - 10, y + 4, label
    )
    return Markup('<g class="{}"><title>{}: {}</title>{}{}</g>').format(
        "row faint" if dot.faint else "row", escape(dot.label), dot.text, name, shape
    )
