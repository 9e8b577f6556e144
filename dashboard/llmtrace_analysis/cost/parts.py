"""How a sum of cost is told, in charts and in reports: by the parts of the price in the table of counts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llmtrace_collector.attributes.counts import COUNTS
from llmtrace_collector.attributes.parts import PARTS, Part, PartName
from llmtrace_collector.pricing.charges import BUCKETS


def _costs() -> dict[PartName, str]:
    """Part → SQL over charges of its cost. A bucket in no part is a KeyError: its money would be lost."""
    columns: dict[PartName, list[str]] = {name: [] for name in PARTS}
    for bucket in BUCKETS:
        columns[bucket.part].append(bucket.cost)
    columns["stated"].append("if(Stated, Cost, 0)")
    return {name: " + ".join(of_part) for name, of_part in columns.items()}


def _inner(whole: PartName) -> list[PartName]:
    """The parts that reports tell in this one."""
    return [name for name, part in PARTS.items() if part.within == whole]


def _reported() -> dict[PartName, Part]:
    labels = {
        name: ", with ".join([part.label, *(PARTS[inner].label.lower() for inner in _inner(name))])
        for name, part in PARTS.items()
        if part.within is None
    }
    return {name: Part(label, PARTS[name].note) for name, label in labels.items()}


def _reported_counts() -> dict[str, str]:
    columns: dict[str, list[str]] = {}
    prices = [(count.name, count.price) for count in COUNTS if count.price is not None]
    for part in PARTS:
        for name, price in prices:
            if price.part == part and price.reported_as:
                columns.setdefault(price.reported_as, []).append(name)
    return {name: " + ".join(counts) for name, counts in columns.items()}


_COSTS = _costs()

#: Parts of a call's cost as charts name them → SQL over charges. They add up to all of it.
CHARTED: Mapping[str, str] = MappingProxyType({part.label: _COSTS[name] for name, part in PARTS.items()})

#: Parts of a call's cost in reports, which tell fewer apart.
REPORTED: Mapping[PartName, Part] = MappingProxyType(_reported())

#: Column of reports → SQL over charges of the cost of a part. They add up to all of it.
REPORTED_COSTS: Mapping[str, str] = MappingProxyType(
    {f"{name}_cost": " + ".join(_COSTS[part] for part in (name, *_inner(name))) for name in REPORTED}
)

#: Column of reports → SQL over charges of tokens or searches.
REPORTED_COUNTS: Mapping[str, str] = MappingProxyType(_reported_counts())
