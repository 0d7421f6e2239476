"""Tools, HTTP API and environment of one account, driven at random against a simple model of it."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opoi.wire import call_action
from opoi_envs.ads import suite
from opoi_envs.ads.env import AdsEnv
from opoi_envs.ads.graph.api import Api
from opoi_envs.ads.graph.forms import place_of
from opoi_envs.ads.graph.site import Call

TOKEN = "t"
SCENARIOS = list(suite.scenarios(4, 12))
DAY = re.compile(r"\d{4}-\d\d-\d\d")
ADDED = ("spend", "impressions", "purchases", "revenue")


class TwoFaces(RuleBasedStateMachine):
    """The model: what is set where, what each past day showed, and today."""

    @initialize(number=st.integers(0, len(SCENARIOS) - 1))
    def open(self, number: int) -> None:
        self.scenario = SCENARIOS[number]
        self.env = AdsEnv(self.scenario)
        self.env.reset()
        self.api = Api(self.env.account, TOKEN)
        self.today = date.fromisoformat(self.scenario.as_of)
        self.set: dict[str, dict[str, Any]] = {}
        for kind in ("campaigns", "adsets", "ads"):
            fields = "id,status" if kind == "ads" else "id,status,daily_budget"
            for row in self.get(f"{self.act}/{kind}", fields=fields, limit=500)["data"]:
                self.set[row["id"]] = {"kind": kind, **row}
        self.first = self.snapshot()
        self.seen: dict[tuple[str, str], dict[str, float]] = {}

    # ------------------------------------------------------------ talking to it

    @property
    def act(self) -> str:
        return self.env.account.world.advertiser.id

    def call(self, method: str, path: str, **params: Any) -> Any:
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
        place = place_of(f"/v26.0/{path}")
        call = Call(
            method=method, path=place.path, version=place.version, params=texts, root="http://x", token=TOKEN
        )
        return self.api.handle(call).body

    def get(self, path: str, **params: Any) -> Any:
        body = self.call("GET", path, **params)
        assert "error" not in body, body
        return body

    def tool(self, name: str, **arguments: Any) -> Any:
        text, reward, over, _, info = self.env.step(call_action(name, json.dumps(arguments)))
        assert (reward, over) == (0.0, False)
        for day in DAY.findall(text):
            assert day < self.today.isoformat() or name == "get_activity_log", text
        assert all(fact.last_day < self.today.isoformat() for fact in info["facts"] if fact.window)
        return json.loads(text)

    def snapshot(self) -> str:
        """Everything that a reader could see, as text."""
        state = self.api.control(Call(method="GET", path=("state",), params={}, token=TOKEN)).body
        rows = self.get(
            f"{self.act}/insights", level="ad", time_increment=1, limit=5000, fields="spend,actions"
        )
        return json.dumps([state, rows, self.tool("get_campaigns")])

    # ------------------------------------------------------------ what happens

    @rule(data=st.data(), cents=st.integers(-5000, 300_000) | st.just(10**12))
    def ask_for_a_budget(self, data: st.DataObject, cents: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.set)), "object")
        before = self.snapshot()
        owns = "daily_budget" in self.set[name]
        body = self.call("POST", name, daily_budget=str(cents))
        if owns and 100 <= cents <= 100_000_000:
            assert body == {"success": True}
            self.set[name]["daily_budget"] = str(cents)
            assert self.get(name, fields="daily_budget")["daily_budget"] == str(cents)
        else:
            assert body["error"]["code"] == 100
            assert self.snapshot() == before

    @rule(data=st.data(), status=st.sampled_from(["ACTIVE", "PAUSED", "active", "GONE"]))
    def ask_for_a_status(self, data: st.DataObject, status: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.set)), "object")
        before = self.snapshot()
        body = self.call("POST", name, status=status)
        if status in ("ACTIVE", "PAUSED"):
            self.set[name]["status"] = status
            assert self.get(name, fields="status")["status"] == status
        else:
            assert body["error"]["code"] == 100
            assert self.snapshot() == before

    @rule(data=st.data())
    def only_validate(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.set)), "object")
        before = self.snapshot()
        self.call("POST", name, status="PAUSED", execution_options=["validate_only"])
        assert self.snapshot() == before

    @precondition(lambda self: (self.today - date.fromisoformat(self.scenario.as_of)).days < 60)
    @rule(days=st.integers(1, 20))
    def days_pass(self, days: int) -> None:
        call = Call(method="POST", path=("advance",), params={"days": str(days)}, token=TOKEN)
        self.api.control(call)
        self.today += timedelta(days=days)

    @rule()
    def start_again(self) -> None:
        self.env.reset()
        assert self.snapshot() == self.first
        self.open(SCENARIOS.index(self.scenario))

    @rule(preset=st.sampled_from(["yesterday", "last_3d", "last_7d", "last_14d", "last_28d"]))
    def both_faces_show_the_same(self, preset: str) -> None:
        for name in self.campaigns():
            shown = self.tool("get_insights", campaign_id=f"cmp_{name}", date_preset=preset)["total"]
            rows = self.get(
                f"{name}/insights",
                date_preset=preset,
                fields="spend,impressions,inline_link_clicks,actions,purchase_roas",
            )["data"]
            row = rows[0] if rows else {}
            bought = [a["value"] for a in row.get("actions", ()) if a["action_type"] == "purchase"]
            assert float(row.get("spend", 0)) == shown["spend"]
            assert int(row.get("impressions", 0)) == shown["impressions"]
            assert int(row.get("inline_link_clicks", 0)) == shown["clicks"]
            assert int(bought[0] if bought else 0) == shown["purchases"]
            roas = row.get("purchase_roas")
            if roas:
                assert abs(float(roas[0]["value"]) - shown["roas"]) <= 0.00501

    @rule(data=st.data())
    def a_tool_call_changes_nothing(self, data: st.DataObject) -> None:
        before = self.snapshot()
        name = data.draw(st.sampled_from([tool.name for tool in self.env.tools]), "tool")
        arguments = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "campaign_id": st.sampled_from([f"cmp_{each}" for each in self.campaigns()] + ["cmp_0"]),
                    "days": st.integers(-1, 20),
                    "date_preset": st.sampled_from(["last_7d", "last_90d", "today", ""]),
                    "time_increment": st.sampled_from(["day", "all_days", 7]),
                    "question": st.text(max_size=9),
                },
            ),
            "arguments",
        )
        self.env.step(call_action(name, json.dumps(arguments)))
        assert self.snapshot() == before

    def campaigns(self) -> list[str]:
        return [name for name, row in self.set.items() if row["kind"] == "campaigns"]

    # ------------------------------------------------------------ what always holds

    @invariant()
    def sums_hold_and_the_past_stays(self) -> None:
        since = max(
            date.fromisoformat(self.scenario.as_of) - timedelta(days=3), self.today - timedelta(days=9)
        )
        window = {"since": since.isoformat(), "until": (self.today + timedelta(days=3)).isoformat()}
        totals: dict[str, float] = {}
        for level in ("account", "campaign", "ad"):
            rows = self.get(
                f"{self.act}/insights",
                level=level,
                time_range=window,
                time_increment=1,
                fields="spend,impressions,actions,campaign_id",
                limit=5000,
            )["data"]
            assert all(row["date_start"] < self.today.isoformat() for row in rows)
            spent = sum(round(100 * float(row["spend"])) for row in rows)
            assert totals.setdefault("spend", spent) == spent
            bought = sum(
                int(action["value"])
                for row in rows
                for action in row.get("actions", ())
                if action["action_type"] == "purchase"
            )
            assert totals.setdefault("purchases", bought) == bought
            if level == "campaign":
                self.remember(rows)

    def remember(self, rows: list[dict[str, Any]]) -> None:
        """Past spend never changes; purchases of a past day only grow."""
        for row in rows:
            key = row["campaign_id"], row["date_start"]
            bought = sum(float(a["value"]) for a in row.get("actions", ()) if a["action_type"] == "purchase")
            now = {
                "spend": float(row["spend"]),
                "impressions": float(row["impressions"]),
                "purchases": bought,
            }
            before = self.seen.setdefault(key, now)
            assert (before["spend"], before["impressions"]) == (now["spend"], now["impressions"])
            assert now["purchases"] >= before["purchases"]
            self.seen[key] = now

    @invariant()
    def what_is_set_reads_back_through_both_faces(self) -> None:
        listed = {row["id"]: row for row in self.tool("get_campaigns")["campaigns"]}
        for name in self.campaigns():
            assert listed[f"cmp_{name}"]["status"] == self.set[name]["status"]
            below = list(self.env.account.node(name).children)
            owned = self.set[name].get("daily_budget")
            cents = int(owned) if owned else sum(int(self.set[each]["daily_budget"]) for each in below)
            assert listed[f"cmp_{name}"]["daily_budget"] == cents / 100


TwoFaces.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestTwoFaces = TwoFaces.TestCase
