"""Rate limits by the account's clock, and the headers that tell of them. Off unless switched on."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct, field

from opoi_envs.ads.graph.errors import ApiError
from opoi_envs.ads.graph.site import Site

__all__ = ["BUCKETS", "HOUR", "Bucket", "Limits", "Tier"]

Bucket = Literal["ads_insights", "ads_management"]
Tier = Literal["standard_access", "development_access"]
BUCKETS: tuple[Bucket, ...] = ("ads_insights", "ads_management")
HOUR = 3600
_BASE: dict[Tier, int] = {"standard_access": 100_000, "development_access": 300}
_PER_AD, _READ, _WRITE = 40, 1, 3
_BUDGETS_AN_HOUR, _WRITES_A_SECOND = 4, 100


class Limits(Struct):
    """What was spent, and what may be.

    Attributes:
        on: Requests are counted and refused.
        tier: How large the quota of an hour is: 100,000 or 300 points, and 40 for each active ad.
        spent: (second, points) of each counted request, by bucket.
        budgets: Seconds of the budget changes of each object.
        writes: Seconds of the writes.
    """

    on: bool = False
    tier: Tier = "standard_access"
    spent: dict[Bucket, list[tuple[int, int]]] = field(default_factory=dict)
    budgets: dict[str, list[int]] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)

    def reset(self) -> None:
        """Forget what was spent."""
        self.spent, self.budgets, self.writes = {}, {}, []

    def allow(self, site: Site, bucket: Bucket, write: bool) -> None:
        """Refuse a request where the quota of the hour is used up.

        Raises:
            ApiError: It is.
        """
        if not self.on:
            return
        if self._used(bucket, site.now) >= self._quota(site):
            raise ApiError("insights_limit" if bucket == "ads_insights" else "management_limit")
        if write and self.writes.count(site.now) >= _WRITES_A_SECOND:
            raise ApiError("write_limit")

    def count(self, site: Site, bucket: Bucket, write: bool) -> None:
        """Count an answered request: a read costs 1 point, a write 3."""
        if not self.on:
            return
        now = site.now
        kept = [each for each in self.spent.get(bucket, []) if each[0] > now - HOUR]
        self.spent[bucket] = [*kept, (now, _WRITE if write else _READ)]
        if write:
            self.writes = [*(second for second in self.writes if second == now), now]

    def allow_budgets(self, nodes: list[str], now: int) -> None:
        """Refuse a fifth change of a budget within an hour, and any for an hour after the fourth.

        Raises:
            ApiError: That is the case.
        """
        if not self.on:
            return
        for node in nodes:
            changes = self.budgets.get(node, [])
            four = changes[-_BUDGETS_AN_HOUR:]
            crowded = len(four) == _BUDGETS_AN_HOUR and four[-1] - four[0] < HOUR
            if crowded and now < four[-1] + HOUR:
                raise ApiError("budget_limit", blame=("daily_budget",))

    def count_budgets(self, nodes: list[str], now: int) -> None:
        """Count a change of budgets."""
        if self.on:
            for node in nodes:
                self.budgets[node] = [*self.budgets.get(node, [])[1 - _BUDGETS_AN_HOUR :], now]

    def headers(self, site: Site) -> tuple[tuple[str, str], ...]:
        """Return the usage headers of an answer."""
        shares = {bucket: self._percent(site, bucket) for bucket in BUCKETS}
        usage = [
            {
                "type": bucket,
                "call_count": int(share),
                "total_cputime": int(share),
                "total_time": int(share),
                "estimated_time_to_regain_access": self._minutes(site, bucket) if share >= 100 else 0,
                "ads_api_access_tier": self.tier,
            }
            for bucket, share in shares.items()
        ]
        most = max(shares.values())
        account = {
            "acc_id_util_pct": most,
            "reset_time_duration": self._seconds(site) if most else 0,
            "ads_api_access_tier": self.tier,
        }
        app = {"call_count": int(most), "total_cputime": int(most), "total_time": int(most)}
        insights = {
            "app_id_util_pct": shares["ads_insights"],
            "acc_id_util_pct": shares["ads_insights"],
            "ads_api_access_tier": self.tier,
        }
        return (
            ("X-Business-Use-Case-Usage", _json({site.account_number: usage})),
            ("X-Ad-Account-Usage", _json(account)),
            ("X-App-Usage", _json(app)),
            ("x-fb-ads-insights-throttle", _json(insights)),
        )

    def _quota(self, site: Site) -> int:
        active = sum(site.account.runs(ad) for ad in site.account.of_kind("ad"))
        return _BASE[self.tier] + _PER_AD * active

    def _used(self, bucket: Bucket, now: int) -> int:
        return sum(points for second, points in self.spent.get(bucket, []) if second > now - HOUR)

    def _percent(self, site: Site, bucket: Bucket) -> float:
        if not self.on:
            return 0.0
        hundredths = 10_000 * self._used(bucket, site.now) // self._quota(site)
        return min(10_000, hundredths) / 100

    def _minutes(self, site: Site, bucket: Bucket) -> int:
        """Return after how many minutes enough of the hour has passed for another request."""
        over = self._used(bucket, site.now) - self._quota(site)
        for second, points in self.spent.get(bucket, []):
            if second > site.now - HOUR:
                over -= points
                if over < 0:
                    return -(-(second + HOUR - site.now) // 60)
        return 0

    def _seconds(self, site: Site) -> int:
        """Return after how many seconds nothing of what was spent counts any more."""
        last = max((each[0] for points in self.spent.values() for each in points), default=site.now)
        return max(0, last + HOUR - site.now)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
