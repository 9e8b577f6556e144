"""Azure: Cost Management's export and the answers of its query API, one row per meter: `gpt 4o 0806 Inp glbl
Tokens`, `1K`. A key is never told, the resource is: it stands in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from .billed import UnreadableExport
from .columns import Export

_WORDS = re.compile(
    r"\b(inp|inpt|input|outp|opt|outpt|output|cchd|cached|cache|read|write|glbl|global|regnl|regional|dz|dzone|data|zone|batch|prty|"
    r"tokens?|\d{4})\b",
    re.IGNORECASE,
)


def model_of(meter: str) -> str:
    """`gpt 4o mini 0718 Inp glbl Tokens` → `gpt-4o-mini`."""
    return "-".join(_WORDS.sub(" ", meter.replace("-", " ")).lower().split())


EXPORT = Export(
    name="Azure",
    day=("date", "usagedate", "usagedatetime"),
    model=("metername", "meter"),
    kind=("metername", "meter"),
    kinds={
        r"\b(cchd|cached|cache)\b": "cache_read_tokens",
        r"\b(inp|inpt|input)\b": "input_tokens",
        r"\b(outp|opt|outpt|output)\b": "output_tokens",
        r"\bembed\w*\b.*\btokens?\b": "input_tokens",
    },
    quantity=("quantity", "usagequantity", "consumedquantity"),
    unit=("unitofmeasure",),
    cost=("costinusd", "costusd", "costinbillingcurrency", "cost", "pretaxcost"),
    clean_model=model_of,
    key=("resourceid", "instanceid"),
    tier=("metername", "meter"),
    tiers={r"\bbatch\b": "batch", r"\bprty\b": "priority"},
    service=("consumedservice", "metercategory", "resourceid", "instanceid"),
    services=r"cognitiveservices|cognitive services|openai|foundry|machinelearning",
)


def table_of(pages: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of answers of `Microsoft.CostManagement/query` as texts, one table.

    A query may group by two columns alone, so that one tells the resource of a meter and another its unit:
    the second's rows, which name no resource, give the first's their units. Raises UnreadableExport.
    """
    tables = [_table(page) for page in pages]
    units: dict[str, str] = {}
    rows = []
    for table in tables:
        meter = "meter" if "meter" in table else "metername"
        if "unitofmeasure" in table and "resourceid" not in table and any("resourceid" in t for t in tables):
            units |= dict(zip(table[meter], table["unitofmeasure"], strict=True))
        else:
            rows.append(table)
    data = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if "unitofmeasure" not in data and not data.empty:
        data["unitofmeasure"] = data["meter" if "meter" in data else "metername"].map(units).fillna("1")
    return data


def _table(page: Mapping[str, Any]) -> pd.DataFrame:
    properties = page.get("properties")
    if not isinstance(properties, Mapping) or "columns" not in properties:
        raise UnreadableExport("this is no answer of Azure's query API: it has no properties.columns")
    names = [str(column.get("name")).lower() for column in properties["columns"]]
    rows = [[_text(value) for value in row] for row in properties.get("rows", ())]
    return pd.DataFrame(rows, columns=names, dtype=str)


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
