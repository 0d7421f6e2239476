"""Asynchronous insights: a run completes after a number of polls, never by wall time."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from opoi_envs.ads.graph import dates
from opoi_envs.ads.graph.errors import CASES, ApiError, invalid
from opoi_envs.ads.graph.metrics import Row
from opoi_envs.ads.graph.params import Params
from opoi_envs.ads.graph.query import Query, read_query
from opoi_envs.ads.graph.reading import page_of_rows
from opoi_envs.ads.graph.rows import described, rows_of
from opoi_envs.ads.graph.selection import wanted
from opoi_envs.ads.graph.site import Call, Site
from opoi_envs.ads.world.calendar import iso

__all__ = ["STAGES", "Report", "Reports"]

STAGES: tuple[tuple[str, int], ...] = (
    ("Job Not Started", 0),
    ("Job Started", 0),
    ("Job Running", 60),
    ("Job Running", 100),
    ("Job Completed", 100),
)
"""Status and percentage that each poll finds; 100 % shows while the run still goes on."""

_FAILED = ("Job Failed", 0)
_EXPIRY = 30 * 86400
_MOST = 200_000
_DETAILS_SINCE = (25, 0)
_PLAIN = ("account_id", "time_ref", "async_status", "async_percent_completion", "date_start", "date_stop")
_FAILURE = ("error_code", "error_message", "error_subcode", "error_user_title", "error_user_msg")
_OTHERS = ("is_running", "time_completed", "is_bookmarked", "friendly_name", "schedule_id")
_ASKED = ("level", "breakdowns", "fields", "filtering", "time_increment", "time_range", "date_preset", "sort")


class Report(Struct):
    """One run.

    Attributes:
        id: Digits.
        query: What was asked.
        rows: The answer, as of the moment of asking.
        params: As sent.
        started: Seconds on the account's clock.
        failed: It will not complete.
        polls: How often its state was read.
    """

    id: str
    query: Query
    rows: list[Row]
    params: dict[str, str]
    started: int
    failed: bool = False
    polls: int = 0


class Reports:
    """All runs since the start or the last reset."""

    def __init__(self) -> None:
        self._runs: dict[str, Report] = {}
        self._repeats: dict[str, int] = {}

    def reset(self) -> None:
        """Forget all runs."""
        self._runs, self._repeats = {}, {}

    def all(self) -> list[Report]:
        """Return every run, oldest first."""
        return list(self._runs.values())

    def find(self, site: Site, name: str) -> Report | None:
        """Return a run by its id; None if there is none or it has expired, 30 days after its start."""
        run = self._runs.get(name)
        return run if run is not None and site.now < run.started + _EXPIRY else None

    def start(self, site: Site, call: Call, name: str, failed: bool = False) -> dict[str, Any]:
        """Answer `POST <id>/insights`; the rows are those of this moment.

        Raises:
            ApiError: A parameter is not acceptable.
        """
        node = site.node(name, call.method)
        query = read_query(site, node, call.params)
        rows = [] if failed else rows_of(site, query, _MOST)
        params = {key: text for key, text in sorted(call.params.items()) if key != "access_token"}
        key = repr((name, params, site.now))
        self._repeats[key] = self._repeats.get(key, 0) + 1
        digest = blake2b(f"{key}{self._repeats[key]}".encode("utf-8", "replace"), digest_size=6).digest()
        run = Report(f"9{int.from_bytes(digest):015d}", query, rows, params, site.now, failed)
        self._runs[run.id] = run
        return {"report_run_id": run.id}

    def poll(self, site: Site, call: Call, run: Report) -> dict[str, Any]:
        """Answer `GET /<run>/`: one step further with every poll.

        Raises:
            ApiError: A field is unknown.
        """
        asked = wanted(call.params)
        names = [each.name for each in asked] if asked else list(_PLAIN)
        details = run.failed and (call.version is None or call.version >= _DETAILS_SINCE)
        if details and not asked:
            names += _FAILURE
        for name in names:
            if name not in (*_PLAIN, *_FAILURE, *_OTHERS, *_ASKED, "id"):
                raise invalid(f"Tried accessing nonexisting field ({name}) on node type (AdReportRun)")
        values = self._values(site, run, details)
        run.polls += 1
        result = {"id": run.id}
        result.update({name: values[name] for name in names if values.get(name) is not None})
        return result

    def read(self, site: Site, call: Call, run: Report) -> dict[str, Any]:
        """Answer `GET /<run>/insights`.

        Raises:
            ApiError: The run is not completed.
        """
        if run.failed or run.polls < len(STAGES):
            raise ApiError("report_not_ready")
        params: Params = call.params
        write: Callable[[Row], dict[str, Any]] = lambda row: described(site, run.query, row)  # noqa: E731 - typed
        return page_of_rows(call, (run.id, "insights"), params, run.rows, write)

    def _values(self, site: Site, run: Report, details: bool) -> dict[str, Any]:
        status, percent = STAGES[min(run.polls, len(STAGES) - 1)]
        if run.failed and run.polls >= 2:
            status, percent = _FAILED
        day, seconds = divmod(run.started, 86400)
        done = status == "Job Completed"
        values: dict[str, Any] = {
            **{name: run.params.get(name) for name in _ASKED},
            "account_id": site.account_number,
            "time_ref": dates.unix(day, seconds),
            "time_completed": dates.unix(day, seconds) if done else None,
            "is_running": status not in ("Job Completed", "Job Failed"),
            "async_status": status,
            "async_percent_completion": percent,
            "date_start": iso(run.query.span[0]),
            "date_stop": iso(run.query.span[1]),
        }
        if details and status == "Job Failed":
            case = CASES["too_slow"]
            values |= {
                "error_code": case.code,
                "error_message": case.message,
                "error_subcode": case.subcode,
                "error_user_title": case.title,
                "error_user_msg": case.advice,
            }
        return values
