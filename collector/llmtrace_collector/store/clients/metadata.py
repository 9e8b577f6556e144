"""What clients see of the store when they browse it: SELECTs of fixed content in the place of `system.tables`
and its like.

They name the tables that everyone may read, each with its columns, and nothing of the server: no other table,
no count of rows or bytes, no view's text. Made once, of the schema; reading them reads no table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from types import MappingProxyType

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.catalogue import BY_NAME, READABLE, Kind
from llmtrace_collector.store.engine import DATABASE, StoreEngine
from llmtrace_collector.store.read_limits import READ_LIMITS

#: Tables of metadata that are empty here, whatever happens on the server.
_EMPTY = (
    "system.clusters",
    "system.parts",
    "system.processes",
    "system.dictionaries",
    "system.mutations",
    "system.macros",
    "system.data_skipping_indices",
    "system.projections",
)

_DATABASE = literal(DATABASE)

#: The others: what each column that says something is made of, `r` being a row of texts. Every other column
#: of the engine's table of that name is there too, and empty; those of information_schema are these alone.
_FILLED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "system.one": {},
        "system.databases": {
            "name": "r[1]",
            "database": "r[1]",
            "engine": "'Atomic'",
            "engine_full": "'Atomic'",
        },
        "system.tables": {
            "database": _DATABASE,
            "name": "r[1]",
            "table": "r[1]",
            "engine": "r[2]",
            "comment": "r[3]",
            "sorting_key": "r[4]",
            "primary_key": "r[4]",
        },
        "system.columns": {
            "database": _DATABASE,
            "table": "r[1]",
            "name": "r[2]",
            "column": "r[2]",
            "type": "r[3]",
            "comment": "r[4]",
            "position": "toUInt64(r[5])",
        },
        "system.functions": {"name": "r[1]", "is_aggregate": "toUInt8(r[2] = 'aggregates')"},
        "system.settings": {
            "name": "r[1]",
            "value": "r[2]",
            "default": "r[2]",
            "readonly": "toUInt8(r[3])",
            "type": "if(match(r[2], '^[0-9]+$'), 'UInt64', 'String')",
        },
        "system.table_engines": {"name": "r[1]"},
        "system.data_type_families": {"name": "r[1]"},
        "information_schema.schemata": {"catalog_name": "r[1]", "schema_name": "r[1]"},
        "information_schema.tables": {
            "table_catalog": _DATABASE,
            "table_schema": _DATABASE,
            "table_name": "r[1]",
            "table_type": "if(r[2] = 'View', 'VIEW', 'BASE TABLE')",
            "table_comment": "toNullable(r[3])",
            "engine": "toNullable(r[2])",
        },
        "information_schema.columns": {
            "table_catalog": _DATABASE,
            "table_schema": _DATABASE,
            "table_name": "r[1]",
            "column_name": "r[2]",
            "data_type": "r[3]",
            "column_type": "r[3]",
            "column_comment": "r[4]",
            "ordinal_position": "toUInt64(r[5])",
            "is_nullable": "if(position(r[3], 'Nullable(') > 0, 'YES', 'NO')",
            "column_default": "''",
            "character_maximum_length": "CAST(NULL, 'Nullable(UInt64)')",
            "numeric_precision": "CAST(NULL, 'Nullable(UInt64)')",
            "numeric_scale": "CAST(NULL, 'Nullable(UInt64)')",
        },
        "information_schema.views": {"table_schema": "r[1]", "table_name": "r[1]", "view_definition": "r[1]"},
        **{name: {} for name in _EMPTY},
    }
)

#: Tables of metadata that are answered, in lower case.
STAND_INS = frozenset(_FILLED)

#: What a client may want to know of settings: name → (value, whether it is read-only). clickhouse-connect
#: sends those alone that may be changed; sent, they change nothing.
_SETTINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "readonly": ("1", "1"),
        "cloud_mode": ("0", "1"),
        "session_timezone": ("", "1"),
        **{name: (value, "0") for name, value in READ_LIMITS.items()},
    }
)

_TYPES = (
    "String FixedString Bool Int8 Int16 Int32 Int64 Int128 Int256 UInt8 UInt16 UInt32 UInt64 UInt128 UInt256 "
    "Float32 Float64 Decimal Date Date32 DateTime DateTime64 UUID IPv4 IPv6 Enum8 Enum16 Array Map Tuple "
    "Nullable LowCardinality"
).split()


def stand_ins(engine: StoreEngine) -> dict[str, str]:
    """A SELECT for each of `STAND_INS`. Asks the engine what columns there are; raises StoreError."""
    rows = _rows(engine)
    columns = _columns(engine)
    return {name: _select(rows.get(name, []), filled, columns[name]) for name, filled in _FILLED.items()}


def _rows(engine: StoreEngine) -> dict[str, Sequence[Sequence[str]]]:
    """The texts of each table of metadata that has rows."""
    names = literals(sorted(READABLE))
    database = literal(engine.database)
    known = _asked(
        engine,
        f"SELECT name, comment, sorting_key FROM system.tables WHERE database = {database} "  # noqa: S608, ours
        f"AND name IN ({names}) ORDER BY name",
    )
    tables = [
        [name, "View" if BY_NAME[name].kind is Kind.VIEW else "MergeTree", comment, key]
        for name, comment, key in known
    ]
    columns = _asked(
        engine,
        f"SELECT table, name, type, comment, toString(position) FROM system.columns "  # noqa: S608, ours
        f"WHERE database = {database} AND table IN ({names}) ORDER BY table, position",
    )
    return {
        "system.one": [[]],
        "system.databases": [[DATABASE]],
        "system.tables": tables,
        "system.columns": columns,
        "system.functions": list(_functions()),
        "system.settings": [[name, *setting] for name, setting in _SETTINGS.items()],
        "system.table_engines": [["MergeTree"], ["View"]],
        "system.data_type_families": [[name] for name in _TYPES],
        "information_schema.schemata": [[DATABASE]],
        "information_schema.tables": tables,
        "information_schema.columns": columns,
    }


def _columns(engine: StoreEngine) -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns that the engine's own table of each name has."""
    rows = _asked(
        engine,
        "SELECT concat(database, '.', table) AS full, name, type FROM system.columns "  # noqa: S608, ours
        f"WHERE database = 'system' AND full IN ({literals(_FILLED)}) "
        "AND lower(name) = name ORDER BY position",
    )
    columns: dict[str, list[tuple[str, str]]] = {name: [] for name in _FILLED}
    for table, name, kind in rows:
        columns[table].append((name, kind))
    return columns


def _asked(engine: StoreEngine, sql: str) -> list[list[str]]:
    data = engine.execute(f"{sql} FORMAT JSONCompactStringsEachRow")
    return [json.loads(line) for line in data.splitlines()]


def _select(
    rows: Sequence[Sequence[str]], filled: Mapping[str, str], columns: Iterable[tuple[str, str]]
) -> str:
    empty = {name: f"defaultValueOfTypeName({literal(kind)})" for name, kind in columns}
    items = ", ".join(f"{value} AS `{name}`" for name, value in {**empty, **filled}.items())
    content = literal(json.dumps(rows, separators=(",", ":")))
    return f"SELECT {items} FROM (SELECT arrayJoin(JSONExtract({content}, 'Array(Array(String))')) AS r)"  # noqa: S608, ours


def _functions() -> Iterable[list[str]]:
    """Name and kind of each function that a query may call."""
    for line in (resources.files("llmtrace_collector.store") / "functions.txt").read_text().splitlines():
        kind, separator, words = line.partition(":")
        if separator and not line.startswith("#") and kind not in ("types", "tables"):
            yield from ([word, kind] for word in words.split())
