"""Azure: Cost Management's export, one row per meter: `gpt 4o 0806 Inp glbl Tokens`, `1K`."""

from __future__ import annotations

import re

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
    },
    quantity=("quantity", "usagequantity", "consumedquantity"),
    unit=("unitofmeasure",),
    cost=("costinbillingcurrency", "cost", "pretaxcost"),
    clean_model=model_of,
)
