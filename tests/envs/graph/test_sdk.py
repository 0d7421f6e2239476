"""The official Python SDK, unmodified, only pointed at the local server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from facebook_business import apiconfig
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from opoi_envs.ads.account.account import Account
from opoi_envs.ads.graph import dates, objects, query, reports, writes


def values(kind: type) -> set[str]:
    return {value for name, value in vars(kind).items() if not name.startswith("_")}


@pytest.fixture
def act(url: str, token: str, account: Account) -> Iterator[AdAccount]:
    session = FacebookSession(access_token=token, timeout=30)
    session.GRAPH = url
    session.requests.trust_env = False
    api = FacebookAdsApi(session, api_version="v26.0")
    FacebookAdsApi.set_default_api(api)
    yield AdAccount(account.world.advertiser.id)
    session.requests.close()
    FacebookAdsApi.set_default_api(None)


ACCOUNT = [
    "id",
    "account_id",
    "name",
    "account_status",
    "currency",
    "timezone_name",
    "timezone_id",
    "timezone_offset_hours_utc",
    "amount_spent",
    "balance",
    "spend_cap",
    "min_daily_budget",
    "created_time",
]
CAMPAIGN = [
    "id",
    "account_id",
    "name",
    "objective",
    "status",
    "configured_status",
    "effective_status",
    "buying_type",
    "bid_strategy",
    "daily_budget",
    "lifetime_budget",
    "budget_remaining",
    "spend_cap",
    "special_ad_categories",
    "created_time",
    "updated_time",
    "start_time",
    "stop_time",
    "issues_info",
]
AD_SET = [
    "id",
    "account_id",
    "campaign_id",
    "name",
    "status",
    "configured_status",
    "effective_status",
    "optimization_goal",
    "billing_event",
    "bid_strategy",
    "bid_amount",
    "daily_budget",
    "lifetime_budget",
    "budget_remaining",
    "targeting",
    "promoted_object",
    "attribution_spec",
    "learning_stage_info",
    "start_time",
    "end_time",
    "created_time",
    "updated_time",
]
AD = [
    "id",
    "account_id",
    "campaign_id",
    "adset_id",
    "name",
    "status",
    "configured_status",
    "effective_status",
    "creative",
    "created_time",
    "updated_time",
]


def test_field_and_enum_names_are_the_sdks() -> None:
    assert objects.field_names("account") <= values(AdAccount.Field)
    assert objects.field_names("campaign") <= values(Campaign.Field)
    assert objects.field_names("adset") <= values(AdSet.Field)
    assert objects.field_names("ad") <= values(Ad.Field)
    assert values(AdsInsights.Field) >= query.INSIGHT_FIELDS
    assert set(ACCOUNT) <= objects.field_names("account")
    assert set(CAMPAIGN) <= objects.field_names("campaign")
    assert set(AD_SET) <= objects.field_names("adset")
    assert set(AD) <= objects.field_names("ad")
    assert set(dates.PRESETS) == values(AdsInsights.DatePreset)
    assert set(query.LEVELS) == values(AdsInsights.Level)
    assert set(query.BREAKDOWNS) <= values(AdsInsights.Breakdowns)
    assert set(query.WINDOWS_ASKED) <= values(AdsInsights.ActionAttributionWindows)
    assert set(objects.OBJECTIVES) <= values(Campaign.Objective)
    assert set(objects.BID_STRATEGIES) == values(Campaign.BidStrategy)
    assert set(objects.GOALS) <= values(AdSet.OptimizationGoal)
    assert set(objects.BILLING_EVENTS) <= values(AdSet.BillingEvent)
    for level, kind in (("campaign", Campaign), ("adset", AdSet), ("ad", Ad)):
        assert values(kind.EffectiveStatus) <= set(objects.EFFECTIVE[level]) | {"IN_PROCESS", "WITH_ISSUES"}
        assert set(objects.EFFECTIVE[level]) <= values(kind.EffectiveStatus)
        assert set(writes.WRITABLE[level]) <= values(kind.Field)
        assert set(writes.CREATABLE[level]) <= values(kind.Field)
    fields = {*reports._PLAIN, *reports._FAILURE, *reports._OTHERS, *reports._ASKED}
    assert fields <= values(AdReportRun.Field)


def test_the_account_is_read_with_all_its_fields(act: AdAccount) -> None:
    shown = act.api_get(fields=ACCOUNT)
    assert set(shown.export_all_data()) == set(ACCOUNT)
    assert shown["account_status"] == 1
    assert isinstance(shown["min_daily_budget"], int)
    assert isinstance(shown["amount_spent"], str)


def test_all_objects_are_read_with_all_fields(act: AdAccount, account: Account) -> None:
    campaigns = list(act.get_campaigns(fields=CAMPAIGN))
    assert {each["id"] for each in campaigns} == {node.id for node in account.of_kind("campaign")}
    for campaign in campaigns:
        for name in ("daily_budget", "budget_remaining"):
            assert isinstance(campaign.get(name, ""), str)
        assert "lifetime_budget" not in campaign
        for ad_set in campaign.get_ad_sets(fields=AD_SET):
            assert ad_set["campaign_id"] == campaign["id"]
            assert ("daily_budget" in ad_set) != ("daily_budget" in campaign)
            for ad in ad_set.get_ads(fields=AD):
                assert ad["adset_id"] == ad_set["id"]
                single = Ad(ad["id"]).api_get(fields=AD)
                assert single.export_all_data() == ad.export_all_data()
    assert list(campaigns[0])[:2] == ["id", "account_id"]
    assert dict(Campaign(campaigns[0]["id"]).api_get()) == {"id": campaigns[0]["id"]}


def test_lists_are_paged_through_and_counted(act: AdAccount, account: Account) -> None:
    cursor = act.get_ads(fields=["id"], params={"limit": 2})
    ids = [each["id"] for each in cursor]
    assert ids == [node.id for node in account.of_kind("ad")]
    assert cursor.total() == len(ids)


def test_lists_are_filtered(act: AdAccount, account: Account) -> None:
    node = account.of_kind("campaign")[1]
    Campaign(node.id).api_update(params={"status": Campaign.Status.paused})
    found = act.get_campaigns(fields=["id"], params={"effective_status": ["PAUSED"]})
    assert node.id in [each["id"] for each in found]
    filtering = [{"field": "campaign.name", "operator": "CONTAIN", "value": node.name[:8].lower()}]
    assert node.id in [each["id"] for each in act.get_campaigns(params={"filtering": filtering})]
    below = act.get_ads(fields=["campaign_id"], params={"effective_status": ["CAMPAIGN_PAUSED"]})
    assert node.id in {each["campaign_id"] for each in below}


def test_insights_take_every_option(act: AdAccount) -> None:
    fields = [
        *("account_id", "account_name", "campaign_id", "campaign_name", "adset_id", "ad_id", "impressions"),
        *("clicks", "spend", "reach", "frequency", "cpm", "cpc", "ctr", "cpp", "actions", "action_values"),
        *("cost_per_action_type", "purchase_roas", "website_purchase_roas", "outbound_clicks"),
        *("inline_link_clicks", "inline_link_click_ctr", "cost_per_inline_link_click"),
    ]
    params: dict[str, Any] = {
        "level": "campaign",
        "time_range": {"since": "2025-01-01", "until": "2025-12-31"},
        "time_increment": "monthly",
        "breakdowns": ["age", "gender"],
        "filtering": [{"field": "spend", "operator": "GREATER_THAN", "value": 0.5}],
        "sort": ["spend_descending"],
        "action_attribution_windows": ["1d_click", "7d_click"],
        "action_breakdowns": ["action_type"],
        "use_unified_attribution_setting": True,
        "action_report_time": "mixed",
        "limit": 7,
    }
    rows = list(act.get_insights(fields=fields, params=params))
    assert len(rows) > 20
    spends = [float(row["spend"]) for row in rows]
    assert spends == sorted(spends, reverse=True)
    for row in rows:
        assert isinstance(row, AdsInsights)
        assert set(row) <= {*fields, "date_start", "date_stop", "age", "gender"}
        assert "adset_id" not in row
        assert {"campaign_id", "age", "gender"} <= set(row)
    for preset in sorted(values(AdsInsights.DatePreset)):
        list(act.get_insights(params={"date_preset": preset}))


def test_a_day_by_day_answer_ascends_and_ends_yesterday(act: AdAccount, account: Account) -> None:
    rows = list(act.get_insights(params={"date_preset": "last_7d", "time_increment": 1}))
    days = [row["date_start"] for row in rows]
    assert days == sorted(days)
    assert [row["date_stop"] for row in rows] == days
    assert len(days) == 7
    from opoi_envs.ads.world.calendar import iso

    assert days[-1] == iso(account.today - 1)
    assert list(act.get_insights(params={"date_preset": "today"})) == []


def test_a_report_completes_after_some_polls(act: AdAccount) -> None:
    params = {"level": "ad", "date_preset": "last_14d", "time_increment": 1, "limit": 50}
    direct = [dict(row) for row in act.get_insights(fields=["ad_id", "spend"], params=params)]
    run = act.get_insights_async(fields=["ad_id", "spend"], params=params)
    seen = []
    with pytest.raises(FacebookRequestError):
        list(run.get_insights())
    for _ in range(20):
        run = run.api_get()
        seen.append((run["async_status"], run["async_percent_completion"]))
        if run["async_status"] == "Job Completed":
            break
    assert [status for status, _ in seen] == [status for status, _ in reports.STAGES]
    assert ("Job Running", 100) in seen
    assert [dict(row) for row in run.get_insights(params={"limit": 9})] == direct


def test_writes_are_read_back(act: AdAccount, account: Account) -> None:
    made = act.create_campaign(
        params={
            "name": "Made",
            "objective": Campaign.Objective.outcome_sales,
            "special_ad_categories": [],
            "daily_budget": 5000,
            "status": Campaign.Status.paused,
        }
    )
    shown = Campaign(made["id"]).api_get(fields=["name", "status", "special_ad_categories", "daily_budget"])
    assert shown.export_all_data() == {
        "id": made["id"],
        "name": "Made",
        "status": "PAUSED",
        "special_ad_categories": [],
        "daily_budget": "5000",
    }
    ad_set = act.create_ad_set(
        params={
            "name": "Set",
            "campaign_id": made["id"],
            "optimization_goal": AdSet.OptimizationGoal.offsite_conversions,
            "billing_event": AdSet.BillingEvent.impressions,
            "targeting": {"geo_locations": {"countries": ["US"]}},
        }
    )
    ad = act.create_ad(params={"name": "Ad", "adset_id": ad_set["id"], "creative": {"creative_id": "9"}})
    assert Ad(ad["id"]).api_get(fields=["creative"])["creative"]["id"] == "9"
    Campaign(made["id"]).api_update(params={"name": "Renamed", "daily_budget": 6000})
    assert Campaign(made["id"]).api_get(fields=["daily_budget"])["daily_budget"] == "6000"
    Campaign(made["id"]).api_delete()
    assert account.node(made["id"]).status == "DELETED"


def test_a_batch_answers_each_item(act: AdAccount, account: Account) -> None:
    campaigns = account.of_kind("campaign")
    good: list[Any] = []
    bad: list[FacebookRequestError] = []
    batch = FacebookAdsApi.get_default_api().new_batch()
    Campaign(campaigns[0].id).api_get(fields=["name"], batch=batch, success=good.append)
    Campaign(campaigns[1].id).api_update(params={"name": "Batched & more"}, batch=batch, success=good.append)
    Campaign("123").api_get(batch=batch, failure=lambda response: bad.append(response.error()))
    act.get_insights(params={"date_preset": "last_7d"}, batch=batch, success=good.append)
    assert batch.execute() is None
    assert [each.json() for each in good[:2]] == [
        {"name": campaigns[0].name, "id": campaigns[0].id},
        {"success": True},
    ]
    assert "spend" in good[2].json()["data"][0]
    assert campaigns[1].name == "Batched & more"
    assert (bad[0].api_error_code(), bad[0].api_error_subcode(), bad[0].http_status()) == (100, 33, 400)


def test_errors_reach_the_sdk_whole(act: AdAccount, account: Account) -> None:
    campaign = next(node for node in account.of_kind("campaign") if node.budget_cents is not None)
    with pytest.raises(FacebookRequestError) as caught:
        Campaign(campaign.id).api_update(params={"daily_budget": 5})
    error = caught.value
    assert (error.api_error_code(), error.api_error_subcode(), error.http_status()) == (100, 1885272, 400)
    assert error.api_error_type() == "OAuthException"
    assert error.api_blame_field_specs() == [["daily_budget"]]
    assert not error.api_transient_error()
    with pytest.raises(FacebookRequestError) as caught, pytest.warns(UserWarning, match="date_preset"):
        act.get_insights(params={"date_preset": "last_60d"})
    assert caught.value.api_error_code() == 100
    assert "date_preset must be one of the following values: today" in caught.value.api_error_message()


def test_the_wrong_token_is_refused(act: AdAccount, url: str) -> None:
    session = FacebookSession(access_token="another", app_secret="secret", timeout=30)
    session.GRAPH = url
    session.requests.trust_env = False
    with pytest.raises(FacebookRequestError) as caught:
        act.api_get(fields=["name"]) and AdAccount(
            act["id"], api=FacebookAdsApi(session, api_version="v26.0")
        ).api_get()
    session.requests.close()
    assert (caught.value.api_error_code(), caught.value.api_error_type()) == (190, "OAuthException")


def test_the_secret_proof_is_tolerated(act: AdAccount, url: str, token: str) -> None:
    session = FacebookSession(access_token=token, app_secret="secret", timeout=30)
    session.GRAPH = url
    session.requests.trust_env = False
    api = FacebookAdsApi(session, api_version="v26.0")
    assert AdAccount(act["id"], api=api).api_get(fields=["currency"])["currency"] == "USD"
    accounts = list(User("me", api=api).get_ad_accounts(fields=["name"]))
    assert [each["id"] for each in accounts] == [act["id"]]
    session.requests.close()


def test_an_older_sdk_version_and_a_path_prefix_work(url: str, token: str, account: Account) -> None:
    session = FacebookSession(access_token=token, timeout=30)
    session.GRAPH = f"{url}/graph"
    session.requests.trust_env = False
    api = FacebookAdsApi(session, api_version="v19.0")
    act = AdAccount(account.world.advertiser.id, api=api)
    assert len(list(act.get_ads(params={"limit": 1}))) == len(account.of_kind("ad"))
    session.requests.close()


def test_every_insights_field_suits_the_strict_sdk(act: AdAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(apiconfig.ads_api_config, "STRICT_MODE", True)
    fields = sorted(query.INSIGHT_FIELDS)
    for level in query.LEVELS:
        rows = list(act.get_insights(fields=fields, params={"level": level, "date_preset": "last_14d"}))
        assert rows
        for row in rows:
            assert set(row.export_all_data()) <= set(fields) - query.SILENT
            assert isinstance(row, AdsInsights)
    for name in fields:
        list(act.get_insights(fields=[name], params={"date_preset": "last_7d"}))
