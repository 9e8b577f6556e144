"""What earlier releases had, and what became of it: the only part of the schema that looks back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: The table by which the first releases knew what a store had. What is left of it makes them stop.
VERSIONS = "schema_versions"

#: Columns that are no more, by table: they are dropped. What else is there and not ours stays.
COLUMNS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "usage_10s": frozenset({"Simulated"}),
        "usage_hour": frozenset({"Simulated"}),
    }
)

#: Skipping indexes that are no more, by table.
INDEXES: Mapping[str, frozenset[str]] = MappingProxyType({})

#: Tables and views that are no more.
OBJECTS = frozenset({"decoding_views", "usage_hour_mv"})

#: Tables whose place a view took: the rows in them are worth nothing once it is there.
REPLACED = frozenset({"prices", "usage_hour"})

#: Tables that have another name now: the new one's → the former one's.
TABLES: Mapping[str, str] = MappingProxyType({"usage_hour_closed": "usage_hour"})


@dataclass(frozen=True)
class Successor:
    """How a column is made of one that a table had before, where the table is made anew."""

    former: str
    expression: str


#: Columns in the place of former ones, by table and name.
SUCCESSORS: Mapping[tuple[str, str], Successor] = MappingProxyType(
    {
        (table, "Purpose"): Successor("Simulated", "if(Simulated, 'simulated', 'product')")
        for table in ("usage_10s", "usage_hour_closed")
    }
)
