"""Days, moments, presets and periods by the account's clock.

A range may reach into days that have not happened yet. An answer repeats the days that were asked
(`date_start`, `date_stop`), as the public API does; what it adds up never comes from a day after yesterday,
and no row stands for a period that begins after today.
"""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta, timezone

from opoi_envs.ads.graph.errors import invalid

__all__ = [
    "OFFSET_HOURS",
    "PRESETS",
    "ZONE_ID",
    "ZONE_NAME",
    "Period",
    "day_of",
    "minus_months",
    "moment",
    "periods",
    "preset",
    "read_moment",
    "unix",
    "unix_of",
]

Period = tuple[int, int]
"""First and last day, both included, as ordinals."""

ZONE_NAME, ZONE_ID, OFFSET_HOURS = "America/Phoenix", 5, -7
"""The account's time zone: one that knows no summer time, so that a day always has 24 hours."""

_ZONE = timezone(timedelta(hours=OFFSET_HOURS))

PRESETS: tuple[str, ...] = (
    "today",
    "yesterday",
    "this_month",
    "last_month",
    "this_quarter",
    "maximum",
    "data_maximum",
    "last_3d",
    "last_7d",
    "last_14d",
    "last_28d",
    "last_30d",
    "last_90d",
    "last_week_mon_sun",
    "last_week_sun_sat",
    "last_quarter",
    "last_year",
    "this_week_mon_today",
    "this_week_sun_today",
    "this_year",
)


def day_of(text: object, name: str) -> int:
    """Return the ordinal of an ISO day.

    Raises:
        ApiError: It is none.
    """
    try:
        if not isinstance(text, str) or len(text) != 10:
            raise ValueError(text)
        return date.fromisoformat(text).toordinal()
    except ValueError:
        raise invalid(f"{name} must be a valid date of the form YYYY-MM-DD", name) from None


def moment(day: int, seconds: int = 0) -> str:
    """Return a moment in the account's time zone, e.g. `2025-04-01T09:00:00-0700`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    offset = f"{'-' if OFFSET_HOURS < 0 else '+'}{abs(OFFSET_HOURS):02d}00"
    return f"{date.fromordinal(day).isoformat()}T{hours:02d}:{minutes:02d}:{left:02d}{offset}"


def unix(day: int, seconds: int = 0) -> int:
    """Return a moment in seconds since 1970 UTC."""
    return (day - date(1970, 1, 1).toordinal()) * 86400 + seconds - OFFSET_HOURS * 3600


def unix_of(text: str) -> int:
    """Return a moment, as `moment` writes it, in seconds since 1970 UTC."""
    return int(datetime.fromisoformat(text).timestamp())


def read_moment(text: str, name: str) -> str:
    """Return a moment, given as Unix time or ISO text, in the form in which the API shows it.

    Raises:
        ApiError: It is neither.
    """
    given = text.strip()
    try:
        if given.isascii() and given.isdigit():
            when = datetime.fromtimestamp(int(given), tz=_ZONE)
        else:
            when = datetime.fromisoformat(given)
            when = when.astimezone(_ZONE) if when.tzinfo else when.replace(tzinfo=_ZONE)
    except (ValueError, OverflowError, OSError):
        raise invalid(f"Param {name} must be a valid datetime.", name) from None
    seconds = when.hour * 3600 + when.minute * 60 + when.second
    return moment(when.date().toordinal(), seconds)


def minus_months(day: int, months: int) -> int:
    """Return the same day so many months earlier, or the last day of that month."""
    when = date.fromordinal(day)
    index = when.year * 12 + when.month - 1 - months
    year, month = divmod(index, 12)
    if year < MINYEAR:
        return 1
    return min(date(year, month + 1, 1).toordinal() + when.day - 1, _month_end(date(year, month + 1, 1)))


def preset(name: str, today: int, first: int) -> Period:
    """Return the days of a preset.

    Args:
        name: One of `PRESETS`.
        today: Ordinal of the account's today, which has not happened yet.
        first: Ordinal of the first day with facts.
    """
    now = date.fromordinal(today)
    monday, sunday = today - now.weekday(), today - now.isoweekday() % 7
    month = now.replace(day=1).toordinal()
    quarter = date(now.year, 3 * ((now.month - 1) // 3) + 1, 1).toordinal()
    year = date(now.year, 1, 1).toordinal()
    if name.startswith("last_") and name.endswith("d"):
        return today - int(name[5:-1]), today - 1
    table: dict[str, Period] = {
        "today": (today, today),
        "yesterday": (today - 1, today - 1),
        "this_week_mon_today": (monday, today),
        "this_week_sun_today": (sunday, today),
        "last_week_mon_sun": (monday - 7, monday - 1),
        "last_week_sun_sat": (sunday - 7, sunday - 1),
        "this_month": (month, today),
        "last_month": (minus_months(month, 1), month - 1),
        "this_quarter": (quarter, today),
        "last_quarter": (minus_months(quarter, 3), quarter - 1),
        "this_year": (year, today),
        "last_year": (minus_months(year, 12), year - 1),
        "maximum": (first, today),
        "data_maximum": (first, today),
    }
    return table[name]


def periods(span: Period, increment: int | str, today: int) -> list[Period]:
    """Cut a range into the periods of `time_increment`, oldest first; none that begins after today.

    Args:
        span: The range.
        increment: Days, `monthly` or `all_days`.
        today: Ordinal of the account's today.
    """
    first, last = span
    if increment == "all_days":
        return [span]
    result = []
    while first <= min(last, today):
        end = first + increment - 1 if isinstance(increment, int) else _month_end(date.fromordinal(first))
        result.append((first, min(end, last)))
        first = end + 1
    return result


def _month_end(when: date) -> int:
    if (when.year, when.month) == (MAXYEAR, 12):
        return date(MAXYEAR, 12, 31).toordinal()
    following = date(when.year + when.month // 12, when.month % 12 + 1, 1)
    return following.toordinal() - 1
