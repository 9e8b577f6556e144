"""The ledger as FOCUS 1.2 (FinOps Open Cost and Usage Specification) rows, and the specification's rules."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace import semconv
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.pricing import charges

from .priced_usage import expressions, priced

#: The specification's mandatory columns.
MANDATORY = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
)

#: Columns of our own, named as the specification wants such columns to be.
CUSTOM = ("x_Model", "x_ServiceTier", "x_TokenKind", "x_Project", "x_PriceSource")

_CATEGORIES = frozenset({"Usage", "Purchase", "Tax", "Credit", "Adjustment"})
_NULLABLE = frozenset({"ChargeClass", "BillingAccountName", "PricingQuantity", "PricingUnit"})
_COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
_TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")

#: Providers as invoices name them, where their name in spans differs.
_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "OpenAI",
        "anthropic": "Anthropic",
        "azure.ai.openai": "Microsoft",
        "azure.ai.inference": "Microsoft",
        semconv.PROVIDER_AWS_BEDROCK: "Amazon Web Services",
        "gcp.gemini": "Google",
        "gcp.vertex_ai": "Google Cloud",
        "mistral_ai": "Mistral AI",
        "groq": "Groq",
        "cohere": "Cohere",
    }
)

#: What is charged for → how the export names its number.
_UNITS: Mapping[str, str] = MappingProxyType({"token": "Tokens", "search": "Searches", "request": "Requests"})

_SUMS = ",\n    ".join(
    f"sum({bucket.name}Quantity) AS {bucket.name}Units, "
    f"sum(charges.{bucket.name}List) AS {bucket.name}List, sum({bucket.cost}) AS {bucket.name}Paid"
    for bucket in charges.BUCKETS
)

_DAILY = expressions(["day", "project", "provider", "model", "tier"])

_SOURCE = priced("usage_hour", _DAILY, of_price=("Currency", "Source"), quantities=True)

_CHARGES = f"""SELECT
    day,
    project,
    provider,
    model,
    tier,
    any(charges.Currency) AS currency,
    any(charges.Source) AS source,
    {_SUMS}
FROM ({_SOURCE}) AS charges
WHERE Priced
GROUP BY day, project, provider, model, tier
ORDER BY day, project, provider, model, tier"""


@dataclass(frozen=True)
class Account:
    """Who is billed, as the export names it."""

    id: str = "llmtrace"
    name: str = "llmtrace"


def export(client: Client, scope: Scope, account: Account | None = None) -> pd.DataFrame:
    """FOCUS rows of the scope's priced usage: one per day, project, provider, model, tier and kind of token.

    Costs are computed from the price book, not billed by anyone: `ListCost` is by the list, the other three
    are less the discounts that were set. Calls without a price have no row: an amount of 0 would say that
    they were free.
    """
    return rows(frame(client, _CHARGES, scope.params()), account or Account())


def rows(days: pd.DataFrame, account: Account) -> pd.DataFrame:
    """The rows of a frame with the columns of the ledger's daily charges."""
    charge_rows = []
    for charge in days.to_dict(orient="records"):
        day = datetime.fromisoformat(str(charge["day"])).replace(tzinfo=UTC)
        month = day.replace(day=1)
        provider = str(charge["provider"])
        name = _PROVIDERS.get(provider, provider or "unknown")
        tier = f", {charge['tier']} tier" if charge["tier"] else ""
        for bucket in charges.BUCKETS:
            quantity, paid = float(charge[f"{bucket.name}Units"]), float(charge[f"{bucket.name}Paid"])
            listed, unit = float(charge[f"{bucket.name}List"]), _UNITS[bucket.unit]
            if not quantity or (unit != "Tokens" and not listed):
                continue
            what = unit.lower() if unit == "Requests" else f"{bucket.label} {unit.lower()}"
            charge_rows.append(
                {
                    **dict.fromkeys(_COSTS, paid),
                    "ListCost": listed,
                    "BillingAccountId": account.id,
                    "BillingAccountName": account.name,
                    "BillingCurrency": str(charge["currency"]),
                    "BillingPeriodStart": _time(month),
                    "BillingPeriodEnd": _time((month + timedelta(days=32)).replace(day=1)),
                    "ChargeCategory": "Usage",
                    "ChargeClass": None,
                    "ChargeDescription": f"{charge['model']} {what}{tier}",
                    "ChargePeriodStart": _time(day),
                    "ChargePeriodEnd": _time(day + timedelta(days=1)),
                    "InvoiceIssuerName": name,
                    "PricingQuantity": quantity,
                    "PricingUnit": unit,
                    "ProviderName": name,
                    "PublisherName": name,
                    "ServiceCategory": "AI and Machine Learning",
                    "ServiceName": f"{name} API",
                    "x_Model": str(charge["model"]),
                    "x_ServiceTier": str(charge["tier"]),
                    "x_TokenKind": bucket.label,
                    "x_Project": str(charge["project"]),
                    "x_PriceSource": str(charge["source"]),
                }
            )
    return pd.DataFrame(charge_rows, columns=[*MANDATORY, *CUSTOM])


def violations(data: pd.DataFrame) -> list[str]:
    """What in the frame breaks the specification's rules for mandatory columns; empty when nothing does."""
    missing = [f"column {name} is missing" for name in MANDATORY if name not in data]
    if missing:
        return missing
    problems = [
        f"{name} is null in {int(data[name].isna().sum())} rows"
        for name in MANDATORY
        if name not in _NULLABLE and data[name].isna().any()
    ]
    problems += [
        f"column {name} must begin with x_: it is not the specification's"
        for name in data
        if name not in MANDATORY and not str(name).startswith("x_")
    ]
    for names, rule, requirement in _RULES:
        for name in names:
            wrong = [value for value in data[name].dropna() if not rule(value)]
            if wrong:
                problems.append(f"{name} {requirement}, not {wrong[0]!r}")
    for start, end in (("BillingPeriodStart", "BillingPeriodEnd"), ("ChargePeriodStart", "ChargePeriodEnd")):
        if (data[start] >= data[end]).any():
            problems.append(f"{start} must be before {end}")
    early = data["ChargePeriodStart"] < data["BillingPeriodStart"]
    late = data["ChargePeriodEnd"] > data["BillingPeriodEnd"]
    if (early | late).any():
        problems.append("the charge period must lie in the billing period")
    usage = (data["ChargeCategory"] == "Usage") & data["ChargeClass"].isna()
    if data.loc[usage, ["PricingQuantity", "PricingUnit"]].isna().any(axis=None):
        problems.append("usage needs PricingQuantity and PricingUnit")
    return problems


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


_RULES: tuple[tuple[tuple[str, ...], Callable[[object], bool], str], ...] = (
    (_COSTS, _finite, "must be a number"),
    (("PricingQuantity",), _finite, "must be a number"),
    (_TIMES, lambda value: bool(_TIME.fullmatch(str(value))), "must be UTC as YYYY-MM-DDTHH:MM:SSZ"),
    (("BillingCurrency",), lambda value: bool(re.fullmatch(r"[A-Z]{3}", str(value))), "must be ISO 4217"),
    (("ChargeCategory",), lambda value: value in _CATEGORIES, f"must be one of {sorted(_CATEGORIES)}"),
    (("ChargeClass",), lambda value: value == "Correction", "must be null or Correction"),
    (
        (
            "BillingAccountId",
            "ChargeDescription",
            "ProviderName",
            "PublisherName",
            "ServiceName",
            "InvoiceIssuerName",
        ),
        lambda value: isinstance(value, str) and value.strip() != "",
        "must not be empty",
    ),
)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
