"""What the engine holds of tables and views, read from its own books in its own words."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.engine import StoreEngine

from . import sql_text


@dataclass(frozen=True)
class Column:
    """A column as the engine describes it; texts that it has not are ''."""

    name: str
    type: str
    default_kind: str
    default_expression: str
    comment: str
    compression_codec: str

    @property
    def definition(self) -> str:
        """The column in a CREATE or an ALTER."""
        parts = [f"`{self.name}`", self.type]
        if self.default_kind:
            parts += [self.default_kind, self.default_expression]
        if self.comment:
            parts += ["COMMENT", literal(self.comment)]
        if self.compression_codec:
            parts.append(self.compression_codec)
        return " ".join(parts)

    @property
    def stored(self) -> bool:
        """Whether its values lie on disk."""
        return self.default_kind not in ("ALIAS", "EPHEMERAL")


@dataclass(frozen=True)
class Index:
    """A skipping index."""

    name: str
    type_full: str
    expr: str
    granularity: int

    @property
    def definition(self) -> str:
        """The index in an ALTER."""
        return f"`{self.name}` {self.expr} TYPE {self.type_full} GRANULARITY {self.granularity}"


@dataclass(frozen=True)
class Projection:
    """A projection."""

    name: str
    query: str

    @property
    def definition(self) -> str:
        """The projection in an ALTER."""
        return f"`{self.name}` ({self.query})"


@dataclass(frozen=True)
class State:
    """One table or view as it is."""

    database: str
    name: str
    engine: str
    #: The engine's arguments but those of its replicas.
    arguments: str = ""
    partition_key: str = ""
    sorting_key: str = ""
    primary_key: str = ""
    sampling_key: str = ""
    ttl: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    comment: str = ""
    select: str = ""
    target: str = ""
    columns: tuple[Column, ...] = ()
    indexes: tuple[Index, ...] = ()
    projections: tuple[Projection, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """What no ALTER can change."""
        keys = (self.partition_key, self.sorting_key, self.primary_key, self.sampling_key)
        return (self.engine, self.arguments, *keys)

    @property
    def place(self) -> str:
        """Its name with its database."""
        return f"{self.database}.{self.name}"

    @property
    def keeps_rows(self) -> bool:
        """Whether it is a table with rows on disk."""
        return self.engine.endswith("MergeTree")

    def create(self, place: str) -> str:
        """The statement that makes an empty table like it, without replicas."""
        arguments = f"({self.arguments})" if self.arguments else ""
        items = [column.definition for column in self.columns]
        items += [f"INDEX {index.definition}" for index in self.indexes]
        items += [f"PROJECTION {projection.definition}" for projection in self.projections]
        return f"CREATE TABLE {place} ({', '.join(items)}) ENGINE = {self.engine}{arguments}{self.clauses}"

    @property
    def clauses(self) -> str:
        """What follows the engine in its statement."""
        parts = [
            f" {word} ({text})" if word.endswith(("BY", "KEY")) else f" {word} {text}"
            for word, text in (
                ("PARTITION BY", self.partition_key),
                ("PRIMARY KEY", self.primary_key if self.primary_key != self.sorting_key else ""),
                ("ORDER BY", self.sorting_key or ("tuple()" if self.keeps_rows else "")),
                ("SAMPLE BY", self.sampling_key),
                ("TTL", self.ttl),
                ("SETTINGS", ", ".join(f"{name} = {value}" for name, value in self.settings.items())),
                ("COMMENT", literal(self.comment) if self.comment else ""),
            )
            if text
        ]
        return "".join(parts)

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


_TABLES = """SELECT name, engine, engine_full, partition_key, sorting_key, primary_key, sampling_key, comment,
    as_select, if(engine = 'MaterializedView', create_table_query, '') AS text
FROM system.tables WHERE database = {place} AND name IN ({names}) ORDER BY name FORMAT JSONEachRow"""

_COLUMNS = """SELECT table, name, type, default_kind, default_expression, comment, compression_codec
FROM system.columns WHERE database = {place} AND table IN ({names}) ORDER BY table, position
FORMAT JSONEachRow"""

_INDEXES = """SELECT table, name, type_full, expr, toUInt32(granularity) AS granularity
FROM system.data_skipping_indices WHERE database = {place} AND table IN ({names}) ORDER BY table
FORMAT JSONEachRow"""

_PROJECTIONS = """SELECT table, name, query
FROM system.projections WHERE database = {place} AND table IN ({names}) ORDER BY table FORMAT JSONEachRow"""


def read(engine: StoreEngine, database: str, names: Collection[str]) -> dict[str, State]:
    """Those of the tables and views `names` that are in `database`, by name."""
    values = {"place": literal(database), "names": literals(sorted(names))}
    columns = _by_table(_rows(engine, _COLUMNS, values), Column)
    indexes = _by_table(_rows(engine, _INDEXES, values), Index)
    projections = _by_table(_rows(engine, _PROJECTIONS, values), Projection)
    return {
        row["name"]: _state(
            database,
            row,
            columns=columns.get(row["name"], ()),
            indexes=indexes.get(row["name"], ()),
            projections=projections.get(row["name"], ()),
        )
        for row in _rows(engine, _TABLES, values)
    }


def fingerprint(engine: StoreEngine, places: Mapping[str, Collection[str]], *, text: str) -> dict[str, str]:
    """Which of the names are in each database: `DATABASE.NAME` → `text`, an expression over system.tables
    that changes when they do.
    """
    texts = {}
    for database, names in sorted(places.items()):
        rows = engine.execute(
            f"SELECT name, {text} FROM system.tables "  # noqa: S608, quoted or ours
            f"WHERE database = {literal(database)} AND name IN ({literals(sorted(names))}) ORDER BY name"
        )
        for line in rows.decode().splitlines():
            name, _, value = line.partition("\t")
            texts[f"{database}.{name}"] = value
    return texts


def _rows(engine: StoreEngine, query: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in engine.execute(query.format(**values)).splitlines()]


def _by_table(rows: Iterable[dict[str, Any]], kind: Any) -> dict[str, tuple[Any, ...]]:
    """Rows, which are in order of their tables, as what they are, by table."""
    return {
        table: tuple(
            kind(**{name: value for name, value in row.items() if name != "table"}) for row in members
        )
        for table, members in groupby(rows, key=lambda row: str(row["table"]))
    }


def _state(database: str, row: Mapping[str, Any], **parts: Any) -> State:
    name, engine = str(row["name"]), str(row["engine"])
    clauses = sql_text.clauses(row["engine_full"]) if engine.endswith("MergeTree") else {}
    arguments = sql_text.arguments(clauses.get("", ""))
    if engine.startswith("Replicated"):
        arguments = arguments[2:]
    # A materialized view's text goes on from its own name with TO and its table.
    _, _, target = str(row["text"]).partition(f"{database}.{name} TO ")
    return State(
        database=database,
        name=name,
        engine=engine.removeprefix("Replicated"),
        arguments=", ".join(arguments),
        partition_key=row["partition_key"],
        sorting_key=row["sorting_key"],
        primary_key=row["primary_key"],
        sampling_key=row["sampling_key"],
        ttl=clauses.get("TTL", ""),
        settings=MappingProxyType(_settings(clauses.get("SETTINGS", ""))),
        comment=row["comment"],
        select=row["as_select"],
        target=target.split(" ", 1)[0],
        **parts,
    )


def _settings(text: str) -> dict[str, str]:
    """A SETTINGS clause by name."""
    pairs = (item.partition(" = ") for item in sql_text.items(text))
    return {name: value for name, _, value in pairs}
