"""The export for FinOps tools: rows of FOCUS 1.2 and 1.4 in any zone and currency."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from llmtrace_analysis.cost import fixed_costs, focus
from llmtrace_analysis.cost.focus_columns import COSTS, MANDATORY, VERSIONS, Version, columns, violations
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.pricing.charges import BUCKETS
from llmtrace_collector.pricing.currencies import ExchangeRate

_PLACES = {bucket.name: place for place, bucket in enumerate(BUCKETS)}


def charge(
    provider: str, model: str, amounts: dict[str, tuple[float, float, float]], **fields: object
) -> dict[str, object]:
    """A day's charges as the ledger's query gives them; amounts: quantity, list cost and cost by bucket."""
    columns = [[amounts.get(name, (0, 0, 0))[kind] for name in _PLACES] for kind in range(3)]
    return {
        "day": "2026-12-31", "project": "", "provider": provider, "model": model, "tier": "",
        "currency": "USD", "source": "genai-prices", "stated": False, "calls": 0,
        "list_cost": 0.0, "cost": 0.0,
        **dict(zip(("quantities", "listed", "paid"), columns, strict=True)),
        **fields,
    }  # fmt: skip


CHARGES = pd.DataFrame(
    [
        charge(
            "openai",
            "gpt-4o",
            {
                "Input": (600, 0.0015, 0.0012),
                "CacheRead": (400, 0.0005, 0.0004),
                "Output": (100, 0.001, 0.0008),
                "Request": (3, 0, 0),
            },
            project="default",
            tier="flex",
        ),
        charge("azure.ai.openai", "gpt-4o", {"Reasoning": (2_000_000, 20.0, 20.0)}),
        charge("openrouter", "x/y", {}, stated=True, calls=7, list_cost=0.7, cost=0.7, source="stated by it"),
        charge("our-server", "m", {"Input": (10, 0, 0), "WebSearch": (2, 0.02, 0.02)}),
    ]
)

LINES = pd.DataFrame(
    [
        {"id": "ptu", "kind": "reserved", "name": "PTU East", "project": "shop",
         "provider": "azure.ai.openai", "model": "gpt-4o", "units": 50.0, "price": 1.0,
         "currency": "USD", "period": "hour"},
        {"id": "gpus", "kind": "gpu", "name": "2 x H200", "project": "", "provider": "",
         "model": "", "units": 2.0, "price": 3100.0, "currency": "USD", "period": "month"},
        {"id": "year", "kind": "other", "name": "a year", "project": "", "provider": "acme",
         "model": "", "units": 1.0, "price": 3650.0, "currency": "USD", "period": "total"},
    ]
).assign(start=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
         end=int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()))  # fmt: skip

DAY = Scope(datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
NO_LINES = fixed_costs.amortised(LINES.iloc[:0], DAY)

#: The mandatory columns, written out again so that ours cannot lose one unseen.
_OF_BOTH = (
    "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart "
    "ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost "
    "EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ServiceCategory ServiceName "
).split()
PUBLISHED = {
    "1.2": {*_OF_BOTH, "ProviderName", "PublisherName"},
    "1.4": {*_OF_BOTH, "ServiceProviderName", "HostProviderName"},
}


def rows(version: Version = "1.2", zone: str = "UTC") -> pd.DataFrame:
    lines = fixed_costs.amortised(LINES, DAY)
    return focus.rows(CHARGES, lines, focus.Account("acct-1", "Research"), version, zone)


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_have_every_mandatory_column_and_keep_the_rules(version: Version) -> None:
    data = rows(version)
    assert set(MANDATORY[version]) == PUBLISHED[version]
    assert set(MANDATORY[version]) <= set(data.columns)
    # Columns that the version does not have are not there.
    assert not (PUBLISHED["1.2"] ^ PUBLISHED["1.4"]) - PUBLISHED[version] & set(data.columns)
    assert violations(data, version) == []
    assert violations(focus.rows(CHARGES.iloc[:0], NO_LINES, focus.Account(), version, "UTC"), version) == []


def test_tokens_are_counted_one_by_one_and_priced_by_the_million() -> None:
    data = rows().head(3)
    assert data["x_TokenKind"].to_list() == ["input", "cache read", "output"]
    assert data["ListCost"].sum() == pytest.approx(0.003)
    for column in ("BilledCost", "EffectiveCost", "ContractedCost"):
        assert data[column].sum() == pytest.approx(0.0024)
    assert data["ConsumedQuantity"].to_list() == [600, 400, 100]
    assert set(data["ConsumedUnit"]) == {"Tokens"}
    assert data["PricingQuantity"].to_list() == pytest.approx([0.0006, 0.0004, 0.0001])
    assert set(data["PricingUnit"]) == {"1000000 Tokens"}
    assert data["ListUnitPrice"].to_list() == pytest.approx([2.5, 1.25, 10.0])
    assert data["ContractedUnitPrice"].to_list() == pytest.approx([2.0, 1.0, 8.0])
    first = data.iloc[0]
    assert (first["BillingPeriodStart"], first["BillingPeriodEnd"]) == (
        "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z",
    )  # fmt: skip
    assert first["ChargePeriodEnd"] == "2027-01-01T00:00:00Z"
    assert first["ChargeDescription"] == "gpt-4o input tokens, flex tier"


def test_what_is_no_token_is_counted_by_its_own_unit() -> None:
    data = rows().set_index("x_TokenKind")
    assert data.loc["web search", "PricingUnit"] == "Searches"
    assert data.loc["stated", "ConsumedQuantity"] == 7
    assert data.loc["stated", "ConsumedUnit"] == "Requests"
    assert data.loc["stated", "ListUnitPrice"] == pytest.approx(0.1)


def test_details_name_the_model_and_its_meter() -> None:
    data = rows()
    details = [json.loads(text) for text in data["SkuPriceDetails"]]
    assert details[1] == {
        "x_Model": "gpt-4o", "x_Provider": "openai", "x_TokenKind": "cache read",
        "x_ModelDeveloper": "OpenAI", "x_TokenDirection": "Input", "x_TokenCacheAction": "Read",
        "x_ServiceTier": "flex",
    }  # fmt: skip
    assert details[3]["x_TokenDirection"] == "Output"
    assert data["SkuPriceId"].to_list()[1] == "openai/gpt-4o/cache-read/flex"


def test_who_sells_and_who_made_it() -> None:
    azure = rows().iloc[3]
    assert (azure["ProviderName"], azure["PublisherName"]) == ("Microsoft", "OpenAI")
    azure = rows("1.4").iloc[3]
    assert (azure["ServiceProviderName"], azure["HostProviderName"]) == ("Microsoft", "Microsoft")
    assert set(rows("1.4")["ServiceProviderName"]) == {
        "OpenAI", "Microsoft", "OpenRouter", "our-server", "unknown", "acme",
    }  # fmt: skip


def test_fixed_lines_have_a_row_for_each_day() -> None:
    data = rows("1.4")
    lines = data[data["ChargeFrequency"] == "Recurring"].set_index("x_PriceSource")
    assert len(lines) == 3
    assert lines["ConsumedQuantity"].to_list() == [48, 1200, 24]
    assert set(lines["ConsumedUnit"]) == {"Unit-Hours"}
    ptu = lines.loc["fixed: PTU East"]
    assert (ptu["PricingQuantity"], ptu["PricingUnit"], ptu["ListUnitPrice"]) == (1200, "Unit-Hours", 1.0)
    assert (ptu["BilledCost"], ptu["SubAccountId"]) == (1200, "shop")
    gpus = lines.loc["fixed: 2 x H200"]
    assert gpus["BilledCost"] == pytest.approx(200)
    assert (gpus["PricingUnit"], gpus["ServiceCategory"]) == ("Unit-Months", "Compute")
    assert gpus["ListUnitPrice"] == pytest.approx(3100)
    assert lines.loc["fixed: a year", "BilledCost"] == pytest.approx(10)


def test_days_and_months_are_those_of_the_zone() -> None:
    data = rows("1.4", "Asia/Shanghai")
    assert violations(data, "1.4") == []
    first = data.iloc[0]
    assert first["ChargePeriodStart"] == "2026-12-30T16:00:00Z"
    assert first["ChargePeriodEnd"] == "2026-12-31T16:00:00Z"
    assert first["BillingPeriodStart"] == "2026-11-30T16:00:00Z"
    assert set(data["x_TimeZone"]) == {"Asia/Shanghai"}


def test_what_is_billed_in_another_currency_has_its_price_beside_it() -> None:
    rates = [ExchangeRate(currency="CNY", per_usd=7.0, since=date(2026, 1, 1)),
             ExchangeRate(currency="CNY", per_usd=8.0, since=date(2026, 12, 31))]  # fmt: skip
    lines = fixed_costs.amortised(LINES, DAY)
    data = focus.rows(CHARGES, lines, focus.Account(), "1.4", "UTC", currency="CNY", rates=rates)
    usd = rows("1.4")
    assert violations(data, "1.4") == []
    assert [*data] == columns("1.4")
    assert set(data["BillingCurrency"]) == {"CNY"}
    assert set(data["PricingCurrency"]) == {"USD"}
    for name in (*COSTS, "ListUnitPrice"):
        assert data[name].to_list() == pytest.approx((usd[name] * 8).to_list())
    assert data["PricingCurrencyEffectiveCost"].to_list() == usd["EffectiveCost"].to_list()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("BillingCurrency", "usd", "must be ISO 4217"),
        ("ChargeCategory", "Tokens", "must be one of"),
        ("ChargeClass", "Fix", "null or Correction"),
        ("ChargeFrequency", "Daily", "must be one of"),
        ("BilledCost", float("nan"), "BilledCost is null"),
        ("ListCost", float("inf"), "must be a number"),
        ("ListCost", 1.0, "ListCost must be ListUnitPrice times PricingQuantity"),
        ("ListUnitPrice", -1.0, "0 or more"),
        ("ChargePeriodStart", "2026-12-31", "must be UTC"),
        ("ChargePeriodEnd", "2026-12-30T00:00:00Z", "ChargePeriodStart must be before"),
        ("ChargePeriodEnd", "2027-02-01T00:00:00Z", "must lie in the billing period"),
        ("ServiceProviderName", " ", "must be a text"),
        ("HostProviderName", None, "HostProviderName is null"),
        ("PricingUnit", None, "usage and purchases need PricingQuantity, PricingUnit"),
        ("PricingUnit", "per million tokens", "must be a unit"),
        ("PricingCategory", None, "usage and purchases need"),
        ("SkuPriceId", None, "SkuPriceDetails must be null"),
        ("SkuPriceId", "one", "one SkuPriceId must have one SkuId"),
        ("SkuPriceDetails", '{"Model": "m"}', "keys that begin with x_"),
        ("SkuPriceDetails", "[]", "must be a JSON object"),
        ("ChargeCategory", "Purchase", "must be null where nothing is used"),
        ("ConsumedQuantity", None, "usage needs ConsumedQuantity"),
        ("ServiceSubcategory", "Other (Other)", "must belong to ServiceCategory"),
        ("SubAccountName", None, "must be null together"),
    ],
)
def test_what_breaks_a_rule_is_noticed(column: str, value: object, message: str) -> None:
    data = rows("1.4")
    data[column] = pd.Series([value] * len(data), dtype="object")
    assert any(message in violation for violation in violations(data, "1.4")), violations(data, "1.4")


def test_columns_that_are_not_the_specifications_are_noticed() -> None:
    data = rows("1.4")
    assert violations(data.drop(columns="ListCost"), "1.4") == ["column ListCost is missing"]
    assert any("x_" in violation for violation in violations(data.assign(Model="m"), "1.4"))
    of_before = violations(data.assign(ProviderName="OpenAI"), "1.4")
    assert any("ProviderName must begin with x_" in violation for violation in of_before)
    assert violations(rows("1.2"), "1.4")[0] == "column HostProviderName is missing"
    assert any("alphabet" in violation for violation in violations(data[[*reversed([*data])]], "1.4"))
