"""The columns of FOCUS (FinOps Open Cost and Usage Specification) that an export has, and what they must be.

By the published columns of the dataset Cost and Usage, versions 1.2 and 1.4. Between them 1.3 named the
service's and the host's provider apart, and 1.4 took the columns for provider and publisher away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, get_args

import pandas as pd

Version = Literal["1.2", "1.4"]
VERSIONS: Final[tuple[Version, ...]] = get_args(Version)

_OF_ALL: Final = (
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
    "ServiceCategory",
    "ServiceName",
)

#: The mandatory columns of each version, in the order of the alphabet.
MANDATORY: Final[Mapping[Version, tuple[str, ...]]] = MappingProxyType(
    {
        "1.2": tuple(sorted((*_OF_ALL, "ProviderName", "PublisherName"))),
        "1.4": tuple(sorted((*_OF_ALL, "HostProviderName", "ServiceProviderName"))),
    }
)

#: Columns that both versions have for prices by the unit, in another currency than the one that is billed
#: too, for measured usage, subaccounts, invoices and kinds of services.
CONDITIONAL: Final = (
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "InvoiceId",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
)

#: Columns of our own, named as the specification wants such columns to be.
CUSTOM: Final = (
    "x_Model",
    "x_PriceSource",
    "x_Project",
    "x_Provider",
    "x_ServiceTier",
    "x_TimeZone",
    "x_TokenKind",
)

COSTS: Final = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")

#: Each subcategory that an export has, with the category that it belongs to.
SUBCATEGORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Generative AI": "AI and Machine Learning",
        "Other (AI and Machine Learning)": "AI and Machine Learning",
        "Virtual Machines": "Compute",
        "Other (Compute)": "Compute",
        "Other (Other)": "Other",
    }
)

_NULLABLE: Final = frozenset({"ChargeClass", "BillingAccountName", "PricingQuantity", "PricingUnit"})
_TIMES: Final = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
_UNIT_PRICES: Final = ("ListUnitPrice", "ContractedUnitPrice")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_UNIT: Final = re.compile(r"([1-9]\d* )?[A-Z]\w*(-[A-Z]\w*)?")
_CATEGORIES: Final = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
_FREQUENCIES: Final = ("One-Time", "Recurring", "Usage-Based")
_PRICING: Final = ("Standard", "Dynamic", "Committed", "Other")
_CLOSE: Final = 1e-9
"""Of a product of price and quantity, relative."""


def columns(version: Version) -> list[str]:
    """The columns of an export in their order: the specification's by the alphabet, then our own."""
    return [*sorted((*MANDATORY[version], *CONDITIONAL)), *CUSTOM]


def violations(data: pd.DataFrame, version: Version = "1.2") -> list[str]:
    """What in the frame breaks the specification's rules for its columns; empty when nothing does."""
    missing = [f"column {name} is missing" for name in MANDATORY[version] if name not in data]
    if missing:
        return missing
    known = {*MANDATORY[version], *CONDITIONAL}
    problems = [
        f"{name} is null in {int(data[name].isna().sum())} rows"
        for name in MANDATORY[version]
        if name not in _NULLABLE and data[name].isna().any()
    ]
    problems += [
        f"column {name} must begin with x_: it is not the specification's"
        for name in data
        if name not in known and not re.fullmatch(r"x_[A-Z][A-Za-z0-9]*", str(name))
    ]
    for names, rule, requirement in _RULES:
        for name in names:
            wrong = [value for value in data.get(name, pd.Series(dtype=object)).dropna() if not rule(value)]
            if wrong:
                problems.append(f"{name} {requirement}, not {wrong[0]!r}")
    return problems + [problem for check in _CHECKS for problem in check(data)]


def _periods(data: pd.DataFrame) -> list[str]:
    problems = [
        f"{start} must be before {end}"
        for start, end in (_TIMES[:2], _TIMES[2:])
        if (data[start] >= data[end]).any()
    ]
    early = data["ChargePeriodStart"] < data["BillingPeriodStart"]
    late = data["ChargePeriodEnd"] > data["BillingPeriodEnd"]
    return problems + (["the charge period must lie in the billing period"] if (early | late).any() else [])


def _nulls(data: pd.DataFrame) -> list[str]:
    """Which columns a charge must have by its category, and which go together."""
    problems = []
    measured = data["ChargeCategory"].isin(["Usage", "Purchase"]) & data["ChargeClass"].isna()
    needed = ("PricingQuantity", "PricingUnit", "PricingCategory", "SkuId", "SkuPriceId")
    priced = [name for name in needed if name in data]
    if data.loc[measured, priced].isna().any(axis=None):
        problems.append(f"usage and purchases need {', '.join(priced)}")
    together = [("PricingUnit", "PricingQuantity"), ("ConsumedUnit", "ConsumedQuantity")]
    together += [("SubAccountName", "SubAccountId"), ("SkuMeter", "SkuId")]
    problems += [
        f"{name} and {other} must be null together"
        for name, other in together
        if name in data and other in data and (data[name].isna() != data[other].isna()).any()
    ]
    if "ConsumedQuantity" in data:
        used = data["ChargeCategory"] == "Usage"
        if data.loc[~used, "ConsumedQuantity"].notna().any():
            problems.append("ConsumedQuantity must be null where nothing is used")
        if data.loc[used & measured, "ConsumedQuantity"].isna().any():
            problems.append("usage needs ConsumedQuantity")
    return problems


def _products(data: pd.DataFrame) -> list[str]:
    """Costs are the products of unit prices and quantities."""
    problems = []
    for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        if price in data:
            whole = data[[cost, price, "PricingQuantity"]].dropna().astype(float)
            differences = (whole[cost] - whole[price] * whole["PricingQuantity"]).abs()
            if (differences > _CLOSE * whole[cost].abs() + 1e-15).any():
                problems.append(f"{cost} must be {price} times PricingQuantity")
    return problems


def _relations(data: pd.DataFrame) -> list[str]:
    """What names and ids have one of."""
    single = (
        ("ServiceName", "ServiceCategory"),
        ("ServiceName", "ServiceSubcategory"),
        ("SkuPriceId", "SkuId"),
        ("SkuPriceId", "SkuPriceDetails"),
        ("SkuPriceId", "PricingUnit"),
        ("SkuId", "SkuMeter"),
    )
    problems = [
        f"one {of} must have one {name}"
        for of, name in single
        if of in data and name in data and (data.groupby(of)[name].nunique(dropna=False) > 1).any()
    ]
    if "ServiceSubcategory" in data:
        parents = data["ServiceSubcategory"].map(SUBCATEGORIES)
        if (parents != data["ServiceCategory"]).any():
            problems.append("ServiceSubcategory must belong to ServiceCategory")
    if "SkuPriceDetails" in data and data.loc[data["SkuPriceId"].isna(), "SkuPriceDetails"].notna().any():
        problems.append("SkuPriceDetails must be null without SkuPriceId")
    return problems


def _order(data: pd.DataFrame) -> list[str]:
    names = [str(name) for name in data]
    wanted = sorted(names, key=lambda name: (name.startswith("x_"), name))
    return [] if names == wanted else ["columns must be in the order of the alphabet, custom ones last"]


_CHECKS: Final[tuple[Callable[[pd.DataFrame], list[str]], ...]] = (
    _periods,
    _nulls,
    _products,
    _relations,
    _order,
)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _is_details(value: object) -> bool:
    """Whether it is a JSON object of single values under names of our own."""
    try:
        details = json.loads(str(value))
    except ValueError:
        return False
    return isinstance(details, dict) and all(
        re.fullmatch(r"x_[A-Z]\w*", key) and isinstance(item, str | int | float | bool)
        for key, item in details.items()
    )


def _one_of(*words: str) -> tuple[Callable[[object], bool], str]:
    return (lambda value: value in words), f"must be one of {sorted(words)}"


_TEXTS: Final = (
    "BillingAccountId",
    "ChargeDescription",
    "HostProviderName",
    "InvoiceIssuerName",
    "ProviderName",
    "PublisherName",
    "ServiceName",
    "ServiceProviderName",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
)

_RULES: Final[Sequence[tuple[tuple[str, ...], Callable[[object], bool], str]]] = (
    ((*COSTS, "PricingCurrencyEffectiveCost"), _finite, "must be a number"),
    (("PricingQuantity", "ConsumedQuantity"), _finite, "must be a number"),
    (
        (*_UNIT_PRICES, "PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice"),
        lambda value: _finite(value) and float(str(value)) >= 0,
        "must be a number, 0 or more",
    ),
    (_TIMES, lambda value: bool(_TIME.fullmatch(str(value))), "must be UTC as YYYY-MM-DDTHH:MM:SSZ"),
    (
        ("BillingCurrency", "PricingCurrency"),
        lambda value: bool(re.fullmatch(r"[A-Z]{3}", str(value))),
        "must be ISO 4217",
    ),
    (
        ("PricingUnit", "ConsumedUnit"),
        lambda value: bool(_UNIT.fullmatch(str(value))),
        "must be a unit such as 1000000 Tokens",
    ),
    (("ChargeCategory",), *_one_of(*_CATEGORIES)),
    (("ChargeFrequency",), *_one_of(*_FREQUENCIES)),
    (("PricingCategory",), *_one_of(*_PRICING)),
    (("ServiceSubcategory",), *_one_of(*SUBCATEGORIES)),
    (("ServiceCategory",), *_one_of(*set(SUBCATEGORIES.values()))),
    (("ChargeClass",), lambda value: value == "Correction", "must be null or Correction"),
    (("SkuPriceDetails",), _is_details, "must be a JSON object with keys that begin with x_"),
    (_TEXTS, lambda value: isinstance(value, str) and value == value.strip() != "", "must be a text"),
)
