"""Which schema a store has, which this program makes, and whether the two fit."""

from __future__ import annotations

#: Raised with every change of the description (see tests/collector/snapshots/schema).
SCHEMA_NUMBER = 100

#: The table by which programs before this one knew what a store had. What is left of it makes them stop.
FORMER_TABLE = "schema_versions"
