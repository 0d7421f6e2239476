"""How the stand-in judges the evidence: the rules of the playbook, and two systematic errors."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from opoi_envs.ads.stand_in.reading import Evidence

__all__ = ["LADDER", "Opinion", "fell", "judge", "rose"]

LADDER = ("pause", "scale_down", "maintain", "scale_up")
"""Actions from the least spend to the most."""

_FALL = 1.38
_RISE = 0.72

_SHARES = (0.72, 0.80, 0.87, 0.90, 0.92, 0.94, 0.97)
"""Share of purchases visible 1, 2, ... 7 days later, as the playbook tells it."""


class Opinion(Struct, frozen=True):
    """What the stand-in makes of the evidence.

    Attributes:
        action: What it would do.
        pattern: What struck it: `level`, `fall`, `dark`, `weekend`, `recovery`, `renewed`, `learning`,
            `fatigue`, `price`, `target`, `decline`, `yesterday` or `nothing` (no data).
    """

    action: str
    pattern: str


class _Level(Struct, frozen=True):
    """Performance over some days after allowance for late purchases."""

    cpa: float
    roas: float


def judge(evidence: Evidence, *, weekly: bool, lag_blind: bool) -> Opinion:
    """Judge the evidence.

    Args:
        evidence: What was seen.
        weekly: Trust the 7-day average even where the last days tell another story.
        lag_blind: Take yesterday's incomplete number at face value.
    """
    days = evidence.week()
    target, floor = evidence.target_cpa, evidence.break_even_roas
    if not days or target is None or floor is None:
        return Opinion("maintain", "nothing")
    week, yesterday = _level(evidence, 0, 7), days[-1].cpa
    bad = yesterday is None or yesterday > 1.5 * target
    if lag_blind and bad and _by_level(week, target, floor) != "pause":
        return Opinion("scale_down", "yesterday")
    if weekly or len(days) < 5:
        return Opinion(_by_level(week, target, floor), "level")
    return _by_pattern(evidence, week, _aim(evidence, target), floor)


def fell(evidence: Evidence) -> bool:
    """Whether the last three days look much worse than the four before."""
    return len(evidence.week()) == 7 and _level(evidence, 0, 3).cpa > _FALL * _level(evidence, 3, 7).cpa


def rose(evidence: Evidence) -> bool:
    """Whether the last three days look much better than the four before."""
    return len(evidence.week()) == 7 and _level(evidence, 0, 3).cpa < _RISE * _level(evidence, 3, 7).cpa


def _aim(evidence: Evidence, target: float) -> float:
    """Return the target, or a sensible one where the client's is above what an order earns."""
    worth = evidence.worth
    return 0.68 * worth if worth is not None and target > 0.95 * worth else target


def _by_pattern(evidence: Evidence, week: _Level, target: float, floor: float) -> Opinion:
    """Judge by what the last days tell, one rule of the playbook after the other."""
    recent, before = _level(evidence, 0, 3), _level(evidence, 3, 7)
    if evidence.delivery == "LEARNING":
        return Opinion("pause" if before.roas < 0.8 * floor else "maintain", "learning")
    if _fatigued(evidence):
        return Opinion("scale_down", "fatigue")
    if _dearer(evidence) and _by_level(week, target, floor) != "pause":
        return Opinion("maintain", "price")
    if fell(evidence):
        if _weekend(evidence):
            return Opinion(_by_level(week, target, floor), "weekend")
        if _dark(evidence):
            return Opinion("maintain", "dark")
        if _by_level(before, target, floor) == "pause":
            return Opinion("pause", "level")
        return Opinion(_after_fall(recent, target, floor), "fall")
    if rose(evidence):
        if any(day >= evidence.week()[0].date for day in evidence.fresh):
            return Opinion(_by_level(recent, target, floor), "renewed")
        return Opinion(_after_recovery(recent, target, floor), "recovery")
    if target != evidence.target_cpa:
        return Opinion(_by_level(week, target, floor), "target")
    if _declining(evidence) and week.cpa > 1.08 * target:
        action = _by_level(week, target, floor)
        return Opinion("scale_down" if action == "maintain" else action, "decline")
    return Opinion(_by_level(week, target, floor), "level")


def _dearer(evidence: Evidence) -> bool:
    """Whether CPM has jumped within the week while the click rate has not moved."""
    days = evidence.week()
    early = [row.cpm for row in days[:2] if row.cpm is not None]
    late = [row.cpm for row in days[-4:] if row.cpm is not None]
    return bool(early and late) and sum(late) / len(late) > 1.22 * sum(early) / len(early)


def _weekend(evidence: Evidence) -> bool:
    """Whether it is Monday and the fall lies on Saturday and Sunday."""
    if date.fromisoformat(evidence.week()[-1].date).weekday() != 6:
        return False
    return _level(evidence, 0, 2).cpa > 1.25 * _level(evidence, 2, 7).cpa


def _dark(evidence: Evidence) -> bool:
    """Whether landing-page views per click have fallen together with purchases."""
    if evidence.funnel is None:
        return False
    now, before = (window.landing_page_views_per_click for window in evidence.funnel)
    return now is not None and before is not None and now < 0.85 * before


def _declining(evidence: Evidence) -> bool:
    """Whether the week was dearer than the one before."""
    weeks = evidence.weeks()
    if weeks is None or weeks[0].cpa is None or weeks[1].cpa is None:
        return False
    return weeks[0].cpa > 1.12 * weeks[1].cpa


def _level(evidence: Evidence, newest: int, oldest: int) -> _Level:
    """Return the level from `newest` to before `oldest` days back, 0 being yesterday."""
    rows = evidence.week()[::-1][newest:oldest]
    spend = sum(row.spend for row in rows)
    purchases = sum(row.purchases / _SHARES[newest + index] for index, row in enumerate(rows))
    revenue = sum(row.revenue / _SHARES[newest + index] for index, row in enumerate(rows))
    return _Level(cpa=spend / purchases if purchases else 1e9, roas=revenue / spend if spend else 0.0)


def _by_level(level: _Level, target: float, floor: float) -> str:
    if level.roas < 0.9 * floor:
        return "pause"
    if level.cpa <= 0.85 * target:
        return "scale_up"
    return "maintain" if level.cpa <= 1.2 * target else "scale_down"


def _after_fall(recent: _Level, target: float, floor: float) -> str:
    """A fall costs one step at most, and nothing where the new level is still good."""
    return "maintain" if _by_level(recent, target, floor) in ("scale_up", "maintain") else "scale_down"


def _after_recovery(recent: _Level, target: float, floor: float) -> str:
    """A recovery has to prove itself: no raise yet."""
    action = _by_level(recent, target, floor)
    return "maintain" if action == "scale_up" else action


def _fatigued(evidence: Evidence) -> bool:
    """Frequency above 3 over the week, and a click rate that fell by a tenth across it."""
    days = evidence.week()
    week = evidence.windows.get(f"{days[0].date}..{days[-1].date}")
    frequency = week.frequency if week else None
    early = [row.ctr for row in days[:3] if row.ctr is not None]
    late = [row.ctr for row in days[-3:] if row.ctr is not None]
    if frequency is None or frequency <= 3 or not early or not late:
        return False
    return sum(late) / len(late) < 0.93 * sum(early) / len(early)
