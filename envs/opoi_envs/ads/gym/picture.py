"""A picture of the account: the campaign in focus day by day, and every campaign against its target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from opoi_envs.ads import rows
from opoi_envs.ads.account.nodes import Event, Node
from opoi_envs.ads.account.view import COLUMNS, View
from opoi_envs.ads.gym.missing import missing
from opoi_envs.ads.world.noise import Floats

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise missing("the picture of the account", error) from error

__all__ = ["draw", "picture"]

_WIDTH, _HEIGHT, _DPI = 12.8, 7.2, 100
_INK, _GREY, _FAINT = "#1f2933", "#7b8794", "#e4e7eb"
_SPEND, _SALES, _LATE = "#9fb3c8", "#3e7cb1", "#c6d9ea"
_GOOD, _BAD, _LINE = "#2f9e6e", "#c8503c", "#243b53"
_WEEK = 7
_SEEN_FOR_SURE = 7
"""Days after which so few purchases are still to arrive that a bar is drawn in full colour."""

_RECENT = 56
"""Days in the pictures of all campaigns."""

_EPOCH = date(1970, 1, 1).toordinal()
_PER_IMPRESSION = ("impressions", "link_clicks", "spend_cents")
_LEFT, _MIDDLE = 0.055, 0.605

_TILES = (
    ("spend", "Spend", "${:,.0f}"),
    ("purchases", "Purchases", "{:,}"),
    ("cpa", "CPA", "${:.2f}"),
    ("roas", "ROAS", "{:.2f}"),
    ("ctr", "CTR", "{:.2f} %"),
    ("frequency", "Frequency", "{:.2f}"),
)

_EVENTS = {
    "launched": "launched",
    "budget_change": "budget",
    "creative_added": "creative",
    "status_change": "status",
}


def picture(view: View, focus: str, taken: str = "") -> npt.NDArray[np.uint8]:
    """Return the picture as an array.

    Args:
        view: The account on the decision day: nothing else is shown.
        focus: Printed id of the campaign that the decision is about.
        taken: The action that was decided on, `""` while it is open.

    Returns:
        Shape (720, 1280, 3).
    """
    canvas = FigureCanvasAgg(draw(view, focus, taken))
    canvas.draw()  # type: ignore[no-untyped-call]  # has no types
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]  # has no types
    return np.array(pixels, dtype=np.uint8)[:, :, :3].copy()


def draw(view: View, focus: str, taken: str = "") -> Figure:
    """Return the picture as a figure, e.g. for `savefig`; arguments as `picture`."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, facecolor="white")
    node = rows.named(view, focus)
    campaigns = view.account.of_kind("campaign")
    _headline(figure, view, node, taken)
    _tiles(figure, view, node)
    left = GridSpec(4, 1, figure, left=_LEFT, right=_MIDDLE, top=0.735, bottom=0.05, hspace=0.26)
    left.set_height_ratios((1.0, 1.0, 1.25, 0.8))
    top = figure.add_subplot(left[0])
    panels = [top, *(figure.add_subplot(left[row], sharex=top) for row in (1, 2, 3))]
    for panel, paint in zip(panels, (_spend, _purchases, _cost, _clicks), strict=True):
        paint(panel, view, node)
        panel.tick_params(labelbottom=panel is panels[-1])
    _marks(panels, view, node)
    tall = max(3, (len(campaigns) + 1) // 2)
    right = GridSpec(
        tall, 2, figure, left=0.665, right=0.985, top=0.775, bottom=0.05, hspace=0.62, wspace=0.2
    )
    _write(
        figure,
        0.665,
        0.85,
        "All campaigns: 7-day CPA against target",
        fontsize=10.5,
        color=_INK,
        weight="bold",
    )
    for place, each in enumerate(campaigns):
        _small(figure.add_subplot(right[place // 2, place % 2]), view, each, each.id == node.id)
    return figure


# ---------------------------------------------------------------- parts


def _headline(figure: Figure, view: View, node: Node, taken: str) -> None:
    advertiser = view.account.world.advertiser
    _write(figure, _LEFT, 0.945, advertiser.name, fontsize=17, color=_INK, weight="bold")
    settings = (
        f"{advertiser.id}   ·   target CPA ${_target(view):.0f}   ·   an order earns ${_worth(view):.2f}   "
        f"·   {view.day(0)}"
    )
    _write(figure, _LEFT, 0.912, settings, fontsize=10, color=_GREY)
    state = f"decision: {taken.replace('_', ' ')}" if taken else "decision open"
    _write(figure, 0.985, 0.945, state, fontsize=13, color=_INK, weight="bold", ha="right")
    learning = "   learning" if view.account.learning(node) else ""
    budget = f"${view.account.daily_budget(node) / 100:,.0f} a day"
    title = f"{node.name}   {rows.label(node)}   {budget}{learning}"
    _write(figure, _MIDDLE, 0.85, "7 days, and against the 7 before", fontsize=8, color=_GREY, ha="right")
    _write(figure, _LEFT, 0.85, title, fontsize=10.5, color=_INK, weight="bold")


def _tiles(figure: Figure, view: View, node: Node) -> None:
    """Write the figures of the last week, and their change against the week before."""
    now, before = rows.row(view, node, 7, 1), rows.row(view, node, 14, 8)
    step = (_MIDDLE - _LEFT) / len(_TILES)
    for place, (metric, title, form) in enumerate(_TILES):
        x, value, old = _LEFT + step * place, now.get(metric), before.get(metric)
        change = f" ({_percent(value / old - 1)})" if value is not None and old else ""
        _write(figure, x, 0.818, title + change, fontsize=8, color=_GREY)
        _write(figure, x, 0.784, "-" if value is None else form.format(value), fontsize=13, color=_INK)


def _spend(axes: Axes, view: View, node: Node) -> None:
    spend = _column(view, node, "spend_cents") / 100
    axes.bar(_days(view), spend, width=0.85, color=_SPEND)
    _dress(axes, "Spend a day", "$")


def _purchases(axes: Axes, view: View, node: Node) -> None:
    sold = _column(view, node, "purchases")
    late = [_LATE if age <= _SEEN_FOR_SURE else _SALES for age in range(len(sold), 0, -1)]
    axes.bar(_days(view), sold, width=0.85, color=late)
    axes.plot(_days(view), _rolling(sold, _WEEK) / _WEEK, color=_LINE, linewidth=1.4)
    _dress(axes, "Purchases a day, 7-day mean (pale: some have not arrived yet)", "")


def _cost(axes: Axes, view: View, node: Node) -> None:
    days, target, worth = _days(view), _target(view), _worth(view)
    daily, week = _cpa(view, node, 1), _cpa(view, node, _WEEK)
    top = _ceiling([target, worth], week)
    axes.scatter(days, np.minimum(daily, top), s=7, color=_GREY, alpha=0.55, linewidths=0)
    axes.plot(days, np.minimum(week, top), color=_LINE, linewidth=1.8)
    _against(axes, days, week, target, top)
    axes.axhline(worth, color=_BAD, linewidth=1, linestyle=(0, (1, 2)))
    _beside(axes, "break-even", worth, _BAD)
    _beside(axes, "target", target, _GOOD)
    axes.set_ylim(0, top)
    _dress(axes, "CPA: 7 days (line), single days (dots)", "$")


def _clicks(axes: Axes, view: View, node: Node) -> None:
    """Click-through rate and CPM, each against its mean: fatigue and dearer auctions show here."""
    shown, clicks, spend = (_rolling(_column(view, node, name), _WEEK) for name in _PER_IMPRESSION)
    for label, values, colour in (("CTR", clicks, _SALES), ("CPM", spend, _BAD)):
        rate = np.full(len(shown), np.nan)
        np.divide(values, shown, out=rate, where=shown > 0)
        known = rate[~np.isnan(rate)]
        if not known.size:
            continue
        change = 100 * (rate / known.mean() - 1)
        axes.plot(_days(view), change, color=colour, linewidth=1.4, label=label)
    axes.axhline(0, color=_GREY, linewidth=0.7)
    axes.margins(y=0.25)
    _legend(axes)
    _dress(axes, "CTR and CPM against their mean, 7 days, %", "")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _small(axes: Axes, view: View, node: Node, focus: bool) -> None:
    days, target, week = _days(view)[-_RECENT:], _target(view), _cpa(view, node, _WEEK)[-_RECENT:]
    top = _ceiling([target], week)
    axes.plot(days, np.minimum(week, top), color=_LINE, linewidth=1.3)
    _against(axes, days, week, target, top)
    axes.set_ylim(0, top)
    axes.set_xlim(float(days[0]), float(days[-1]))
    budget = view.account.daily_budget(node) / 100
    state = "" if node.status == "ACTIVE" else "paused, "
    cost = (
        "no purchases" if np.isnan(week[-1]) else f"CPA ${week[-1]:.0f} ({_percent(week[-1] / target - 1)})"
    )
    weight = "bold" if focus else "normal"
    _note(axes, node.name.replace(" - ", ", "), (0, 1.13), fontsize=7.6, color=_INK, weight=weight)
    _note(axes, f"{state}${budget:,.0f} a day, {cost}", (0, 1.03), fontsize=7.5, color=_GREY)
    _dress(axes, "", "$")
    _date_axis(axes, 2, 4)
    if focus:
        for side in ("left", "bottom"):
            axes.spines[side].set(color=_INK, linewidth=1.4)


def _against(axes: Axes, days: Floats, week: Floats, target: float, top: float) -> None:
    """Colour the room between a line and the target: green below it, red above."""
    line = np.minimum(week, top)
    axes.axhline(target, color=_GOOD, linewidth=1, linestyle=(0, (4, 2)))
    known = ~np.isnan(line)
    filled = np.where(known, line, target)
    for where, colour in ((filled <= target, _GOOD), (filled >= target, _BAD)):
        axes.fill_between(
            days,
            filled,
            target,
            where=(where & known).tolist(),
            interpolate=True,
            color=colour,
            alpha=0.16,
            linewidth=0,
        )


def _marks(panels: Sequence[Axes], view: View, node: Node) -> None:
    """Mark the days that are not complete, past changes, and the decision day."""
    first, today = _day(view.account.first_day), _day(view.today)
    for panel in panels:
        panel.axvspan(today - _WEEK, today, color=_FAINT, alpha=0.55, linewidth=0, zorder=0)
        panel.axvline(today, color=_INK, linewidth=1)
        panel.set_xlim(first - 0.5, today + 0.5)
    for event in view.account.log(node):
        day = _day(event.day)
        if day < first:
            continue
        for panel in panels:
            panel.axvline(day, color=_GREY, linewidth=0.8, linestyle=(0, (2, 2)))
        _note(
            panels[0],
            _said(event),
            (day, 1.04),
            xycoords=("data", "axes fraction"),
            fontsize=7.5,
            color=_GREY,
            ha="center",
        )


def _said(event: Event) -> str:
    name = _EVENTS.get(event.kind, event.kind)
    if isinstance(event.old, int) and isinstance(event.new, int):
        return f"{name} {_percent(event.new / event.old - 1)}" if event.old else name
    return f"{event.new}".lower() if event.new is not None else name


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    figure.text(x, y, text, parse_math=False, **style)


def _note(
    axes: Axes,
    text: str,
    place: tuple[Any, float],
    xycoords: str | tuple[str, str] = "axes fraction",
    **style: Any,
) -> None:
    axes.annotate(text, place, xycoords=xycoords, annotation_clip=False, parse_math=False, **style)


def _beside(axes: Axes, text: str, y: float, colour: str) -> None:
    """Name a line at its right end."""
    _note(axes, text, (1.008, y), ("axes fraction", "data"), fontsize=7.5, color=colour, va="center")


def _dress(axes: Axes, title: str, unit: str) -> None:
    """Give a panel its quiet frame."""
    if title:
        _note(axes, title, (0, 1.04), fontsize=8.5, color=_GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=_FAINT, linewidth=0.7)
    axes.tick_params(colors=_GREY, labelsize=7.5, length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{unit}{value:,.0f}"))
    _date_axis(axes, 4, 8)


def _legend(axes: Axes) -> None:
    """Name the lines at the right of a panel, the higher one first."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    lines.sort(key=lambda line: -float(np.asarray(line.get_ydata())[-1]))
    for place, line in enumerate(lines):
        height = 0.62 - 0.24 * place
        _note(axes, str(line.get_label()), (1.008, height), fontsize=7.5, color=line.get_color())


def _date_axis(axes: Axes, least: int, most: int) -> None:
    locator = AutoDateLocator(minticks=least, maxticks=most)  # type: ignore[no-untyped-call]  # has no types
    form = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]  # has no types
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(form)


# ---------------------------------------------------------------- numbers


def _day(ordinal: int) -> float:
    """Return a day as matplotlib counts them."""
    return float(ordinal - _EPOCH)


def _days(view: View) -> Floats:
    return np.arange(_day(view.account.first_day), _day(view.today))


def _column(view: View, node: Node, name: str) -> Floats:
    values: Floats = view.daily(node)[COLUMNS.index(name)].astype(np.float64)
    return values


def _rolling(values: Floats, length: int) -> Floats:
    """Return sums over the last days; NaN until there are so many."""
    running = np.concatenate(([0.0], np.cumsum(values)))
    sums = np.full(len(values), np.nan)
    sums[length - 1 :] = running[length:] - running[:-length]
    return sums


def _cpa(view: View, node: Node, length: int) -> Floats:
    """Return cost per purchase in USD over the last days of each day; NaN without purchases."""
    spend, sold = (_rolling(_column(view, node, name), length) for name in ("spend_cents", "purchases"))
    result = np.full(len(spend), np.nan)
    np.divide(spend / 100, sold, out=result, where=sold > 0)
    return result


def _target(view: View) -> float:
    return view.account.world.advertiser.target_cpa_cents / 100


def _worth(view: View) -> float:
    return view.account.world.advertiser.break_even_cpa / 100


def _percent(share: float) -> str:
    """Write a change in whole percent with its sign; none is "+0 %"."""
    return f"{int(np.floor(100 * share + 0.5)):+d} %"


def _ceiling(marks: Sequence[float], line: Floats) -> float:
    """Return the top of a CPA axis: outliers beyond it are drawn at its edge."""
    known = line[~np.isnan(line)]
    usual = float(np.quantile(known, 0.97)) if known.size else 0.0
    return 1.2 * min(max([*marks, usual]), 3 * max(marks))
