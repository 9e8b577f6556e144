"""The ledger as rows of FOCUS (FinOps Open Cost and Usage Specification): priced usage, and fixed lines."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace.common.providers import TITLES
from llmtrace.common.time_zones import month_of, start_of
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.attributes.names import MODEL_MAKERS
from llmtrace_collector.pricing import charges
from llmtrace_collector.pricing.currencies import ExchangeRate

from . import fixed_costs
from .currency import USD, rates_of
from .focus_columns import COSTS, Version, columns
from .priced_usage import expressions, priced


@dataclass(frozen=True)
class _Units:
    """How an export counts what a bucket charges for: by the unit that is used, and the one with a price."""

    consumed: str
    priced: str
    per_price: float = 1.0


_OF_UNITS: Final[Mapping[str, _Units]] = MappingProxyType(
    {
        "token": _Units("Tokens", "1000000 Tokens", 1e6),
        "search": _Units("Searches", "Searches"),
        "second": _Units("Seconds", "Hours", 3600),
        "character": _Units("Characters", "1000000 Characters", 1e6),
        "token-hour": _Units("Token-Hours", "1000000 Token-Hours", 1e6),
        "request": _Units("Requests", "Requests"),
    }
)

#: Kinds of fixed lines: category, subcategory and name of the service.
_OF_LINES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "reserved": ("AI and Machine Learning", "Other (AI and Machine Learning)", "reserved capacity"),
        "gpu": ("Compute", "Virtual Machines", "GPU capacity"),
        "hosting": ("Compute", "Other (Compute)", "hosting"),
        "cache_storage": (
            "AI and Machine Learning",
            "Other (AI and Machine Learning)",
            "prompt cache storage",
        ),
        "other": ("Other", "Other (Other)", "fixed costs"),
    }
)

#: What a fixed line's price is for.
_OF_PERIODS: Final[Mapping[str, str]] = MappingProxyType(
    {"hour": "Unit-Hours", "month": "Unit-Months", "total": "Units"}
)

#: Calls whose cost is stated have one line: nobody says what of it is for which tokens.
_STATED = charges.Bucket("Stated", ("Calls",), unit="request", part="stated")

# By place, as the buckets stand in their table: a name for each sum would make too long a query.
_SUMS = ",\n    ".join(
    f"[{', '.join(f'sum(ifNull({bucket.name}{kind}, 0))' for bucket in charges.BUCKETS)}] AS {name}"
    for name, kind in (("quantities", "Quantity"), ("listed", "List"), ("paid", "Cost"))
)

_DAILY = expressions(["day", "project", "provider", "model", "tier", "stated_by", "estimated"])

_SOURCE = priced("usage_hour", _DAILY, of_price=("Currency", "Source"), quantities=True)

_CHARGES = f"""SELECT
    day,
    project,
    provider,
    model,
    tier,
    if(any(charges.Currency) = '', 'USD', any(charges.Currency)) AS currency,
    multiIf(
        Stated, concat('stated by ', stated_by),
        estimated = '', any(charges.Source),
        concat(any(charges.Source), ', tokens estimated')
    ) AS source,
    Stated AS stated,
    sum(charges.Calls) AS calls,
    ifNull(sum(charges.ListCost), 0) AS list_cost,
    ifNull(sum(charges.Cost), 0) AS cost,
    {_SUMS}
FROM ({_SOURCE}) AS charges
WHERE Priced
GROUP BY day, project, provider, model, tier, stated_by, Stated, estimated
ORDER BY day, project, provider, model, tier, stated_by, Stated, estimated"""


@dataclass(frozen=True)
class Account:
    """Who is billed, as the export names it."""

    id: str = "llmtrace"
    name: str = "llmtrace"


def export(
    client: Client,
    scope: Scope,
    account: Account | None = None,
    version: Version = "1.2",
    *,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
) -> pd.DataFrame:
    """FOCUS rows of the scope: of priced usage one per day, project, provider, model, tier and kind of token;
    of fixed lines one per day. Days and months are those of the scope's zone, which `x_TimeZone` names.

    Costs are what answers state, one row for the calls of a day, or computed from the price book: `ListCost`
    is by the list, the other three are less the discounts that were set. Calls without a cost have no row: an
    amount of 0 would say that they were free. Costs are in `currency`, those of prices in USD beside them.
    Raises currency.NoRate.
    """
    days = frame(client, _CHARGES, scope.params())
    # A fixed line names no service and no user: who asks for those does not ask for it.
    lines = fixed_costs.lines(client).iloc[: 0 if scope.service or scope.user else None]
    lines = fixed_costs.amortised(lines, scope, rates)
    return rows(days, lines, account or Account(), version, scope.zone, currency=currency, rates=rates)


def rows(
    days: pd.DataFrame,
    lines: pd.DataFrame,
    account: Account,
    version: Version,
    zone: str,
    *,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
) -> pd.DataFrame:
    """The rows of the ledger's daily charges, as `export` reads them, and of fixed lines by day."""
    charged = [*_of_usage(days), *_of_lines(lines)]
    for row in charged:
        row |= _of_period(date.fromisoformat(row["day"]), zone)
        row |= {"BillingAccountId": account.id, "BillingAccountName": account.name, "x_TimeZone": zone}
        row |= _of_entities(row, version)
    data = pd.DataFrame(charged)
    return (_billed(data, currency, rates) if charged else data).reindex(columns=columns(version))


def _of_usage(days: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for charge in days.to_dict(orient="records"):
        model, tier = str(charge["model"]), str(charge["tier"])
        for bucket, quantity, listed, paid in _amounts(charge):
            units = _units(bucket)
            what = "requests" if bucket.unit == "request" else f"{bucket.label} {units.consumed.lower()}"
            provider = str(charge["provider"])
            sku = f"{provider or 'unknown'}/{model}/{bucket.label.replace(' ', '-')}"
            yield {
                "day": str(charge["day"]),
                **_of_costs(listed, paid, quantity / units.per_price),
                "BillingCurrency": str(charge["currency"]),
                "ChargeCategory": "Usage",
                "ChargeDescription": f"{model} {what}{f', {tier} tier' if tier else ''}",
                "ChargeFrequency": "Usage-Based",
                "ConsumedQuantity": quantity,
                "ConsumedUnit": units.consumed,
                "PricingUnit": units.priced,
                "ServiceCategory": "AI and Machine Learning",
                "ServiceName": f"{_title(provider)} API",
                "ServiceSubcategory": "Generative AI",
                "SkuId": sku,
                "SkuMeter": what.capitalize(),
                "SkuPriceDetails": json.dumps(_details(provider, model, tier, bucket)),
                "SkuPriceId": f"{sku}/{tier}" if tier else sku,
                **_of_project(str(charge["project"])),
                "x_Model": model,
                "x_PriceSource": str(charge["source"]),
                "x_Provider": provider,
                "x_ServiceTier": tier,
                "x_TokenKind": bucket.label,
            }


def _amounts(charge: Mapping[Hashable, Any]) -> Iterator[tuple[charges.Bucket, float, float, float]]:
    """What a day's usage is charged for: bucket, quantity, and what that costs by the list and in fact.

    What is counted and has no price is no charge, but for tokens, which have one.
    """
    if charge["stated"]:
        yield _STATED, float(charge["calls"]), float(charge["list_cost"]), float(charge["cost"])
        return
    amounts = zip(charges.BUCKETS, charge["quantities"], charge["listed"], charge["paid"], strict=True)
    for bucket, quantity, listed, paid in amounts:
        if quantity and (bucket.unit == "token" or listed or paid):
            yield bucket, float(quantity), float(listed), float(paid)


def _of_lines(lines: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for line in lines.to_dict(orient="records"):
        kind, period, provider = str(line["kind"]), str(line["period"]), str(line["provider"])
        category, subcategory, service = _OF_LINES[kind]
        sku = f"{provider or 'unknown'}/fixed/{line['id']}"
        yield {
            "day": str(line["day"]),
            **_of_costs(float(line["cost"]), float(line["cost"]), float(line["quantity"])),
            "BillingCurrency": USD,
            # A day's share, as if it were used: what is bought for later is no cost of the day.
            "ChargeCategory": "Usage",
            "ChargeDescription": f"{line['name']}, {float(line['units']):g} units, a day's share",
            "ChargeFrequency": "Recurring",
            "ConsumedQuantity": float(line["units"]) * float(line["hours"]),
            "ConsumedUnit": "Unit-Hours",
            "PricingUnit": _OF_PERIODS[period],
            "ServiceCategory": category,
            "ServiceName": f"{_title(provider)} {service}",
            "ServiceSubcategory": subcategory,
            "SkuId": sku,
            "SkuMeter": f"{kind} units".capitalize(),
            "SkuPriceDetails": json.dumps(
                {"x_Kind": kind, "x_Model": str(line["model"]), "x_Period": period}
            ),
            "SkuPriceId": f"{sku}/{period}",
            **_of_project(str(line["project"])),
            "x_Model": str(line["model"]),
            "x_PriceSource": f"fixed: {line['name']}",
            "x_Provider": provider,
            "x_ServiceTier": "",
            "x_TokenKind": "",
        }


def _units(bucket: charges.Bucket) -> _Units:
    plural = f"{bucket.unit.capitalize()}s"
    return _OF_UNITS.get(bucket.unit, _Units(plural, plural))


def _of_costs(listed: float, paid: float, quantity: float) -> dict[str, Any]:
    return {
        **dict.fromkeys(COSTS, paid),
        "ListCost": listed,
        "ChargeClass": None,
        "PricingQuantity": quantity,
        "PricingCategory": "Standard",
        "ListUnitPrice": listed / quantity,
        "ContractedUnitPrice": paid / quantity,
    }


def _of_project(project: str) -> dict[str, Any]:
    name = project or None
    return {"SubAccountId": name, "SubAccountName": name, "x_Project": project}


def _of_period(day: date, zone: str) -> dict[str, str]:
    """The day and its month, whose edges are the zone's, in UTC."""
    start, end = month_of(day, zone)
    return {
        "BillingPeriodStart": _time(start),
        "BillingPeriodEnd": _time(end),
        "ChargePeriodStart": _time(start_of(day, zone)),
        "ChargePeriodEnd": _time(start_of(day + timedelta(days=1), zone)),
    }


def _of_entities(row: Mapping[str, Any], version: Version) -> dict[str, str]:
    """Who sells, who hosts (nobody sees behind the seller) and, until 1.2, who made what is sold."""
    title = _title(row["x_Provider"])
    if version == "1.2":
        maker = _maker(row["x_Model"])
        return {"InvoiceIssuerName": title, "ProviderName": title, "PublisherName": maker or title}
    return {"InvoiceIssuerName": title, "ServiceProviderName": title, "HostProviderName": title}


def _details(provider: str, model: str, tier: str, bucket: charges.Bucket) -> dict[str, str]:
    """What of the model and its meter decides the price."""
    details = {"x_Model": model, "x_Provider": provider, "x_TokenKind": bucket.label}
    if maker := _maker(model):
        details["x_ModelDeveloper"] = maker
    if bucket.unit == "token":
        is_output = "Output" in (bucket.name, *bucket.otherwise)
        details["x_TokenDirection"] = "Output" if is_output else "Input"
        action = re.match(r"Cache(Read|Write)", bucket.name)
        if action:
            details["x_TokenCacheAction"] = action[1]
    if tier:
        details["x_ServiceTier"] = tier
    return details


def _title(provider: str) -> str:
    return TITLES.get(provider, provider or "unknown")


def _maker(model: str) -> str:
    """Who made a model, as its name says; empty where it does not."""
    makers = {maker for pattern, maker in MODEL_MAKERS.items() if re.search(pattern, model.lower())}
    return TITLES[makers.pop()] if len(makers) == 1 else ""


def _billed(data: pd.DataFrame, currency: str, rates: Sequence[ExchangeRate]) -> pd.DataFrame:
    """Rows in US dollars with what is billed in `currency`, each day's at that day's rate."""
    rate = rates_of(rates, currency, data["day"])
    unit_prices = ("ContractedUnitPrice", "ListUnitPrice")
    priced_in = {f"PricingCurrency{name}": data[name] for name in (*unit_prices, "EffectiveCost")}
    billed = {name: data[name] * rate for name in (*COSTS, *unit_prices)}
    return data.assign(
        **priced_in, **billed, PricingCurrency=data["BillingCurrency"], BillingCurrency=currency
    )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
