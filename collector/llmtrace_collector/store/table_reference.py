"""docs/tables.md, from the store itself: every table and view that readers may name, with its columns."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmtrace_collector.attributes.field import Field
from llmtrace_collector.attributes.fields import COUNTED_KEY, DERIVED, FIELDS, SENDER_COUNTS, TEXTS
from llmtrace_collector.attributes.messages import INDEXED
from llmtrace_collector.pricing.charges import BUCKETS

from .catalogue import BY_NAME, CATALOGUE, NOBODYS, Entry, Kind
from .schema import sql_text
from .schema.description import SchemaSettings, describe
from .store import Store, open_store

_HEAD = """\
# Tables and columns

<!-- Made by `llmtrace store reference > docs/tables.md`; a test keeps the two equal. -->

What may be named in a query at `/clickhouse` ([collector.md](collector.md#reading)). Types are ClickHouse's,
times are UTC. NULL: the sender did not say; 0: it said 0. With a key of a project every table shows the rows
of that project alone.

Rows of a rollup are parts of sums: read `SimpleAggregateFunction(sum, …)` by `sum(…)`, digests by
`quantilesTDigestMerge(…)`.

*Source* is the attribute that fills a column: a key of the OpenTelemetry GenAI conventions, or one of ours.
The keys of other instrumentations, in the order in which they are tried, are
[at the end](#attributes-by-column).
"""

#: A meaning begins with its unit, where it has one.
_UNITS = {
    "Nanoseconds": "ns",
    "Milliseconds": "ms",
    "Seconds": "s",
    "Days": "days",
    "USD": "USD",
    "Tokens": "tokens",
    "Token-hours": "token-hours",
    "Images": "images",
    "Bytes": "bytes",
    "Characters": "characters",
    "Calls": "calls",
    "Counted": "calls",
    "Steps": "steps",
    "Spans": "spans",
    "Searches": "searches",
    "Rows": "rows",
}

#: Columns that views compute, by name or by view and name: those of tables have a comment in the schema.
_COMPUTED: Mapping[str, str] = {
    "PriceSource": "Where the price comes from: a list and its version, or a price of one's own",
    "ListCost": "USD by the list, before discounts, else as stated; NULL where neither is known",
    "Stated": "Whether Cost is what was stated: by a biller, or by another where no own price holds",
    "ComputedCost": "USD by the price book, with discounts; NULL where the price or the tokens are unknown",
    "Cost": "USD as stated, else as computed; NULL where neither is known",
    **{
        f"{view}.Priced": "Whether a cost is known: a price, or what was stated"
        for view in ("cost_hour", "usage_cost", "call_cost", "attempt_cost", "span_cost")
    },
    "CacheWritePremium": "USD that input cost beyond its price because it was written to a cache",
    "CacheSavings": "USD that were saved because input was read from a cache, less CacheWritePremium",
    "UnpricedParts": "What was used at no price of its own: audio at the price of text, searches at none",
    "Abandoned": "Whether the caller left the stream before its end",
    "SdkGenerated": "Spans, or log records (the SDKs' own reports too), that SDKs say they made",
    "SdkDropped": "Spans, or log records, that SDKs say they lost",
    "SdkLost": "Spans that were in the memory of processes that were killed",
    "completeness.EndBeforeStart": "Spans that end before they start, kept with a duration of 0",
    **{f"{view}.Book": "Book that the price is in" for view in ("cost_hour", "call_cost", "attempt_cost")},
    "steps.Errors": "Steps whose status is error",
    "traces.Version": "When the row was made, Unix nanoseconds; 0 for a trace that is not quiet yet",
    "UsageRepeated": "Calls whose usage repeats that of the calls inside",
    "UsageToldTwice": "Calls that another span reported too",
    "Instance": "Process that reports, as `service.instance.id` names it",
    "Generated": "Spans that the process made since its start",
    "Sent": "Spans of it that a collector acknowledged",
    "Spooled": "Spans of it that wait on its disk",
    "Dropped": "Spans of it that are lost",
    "Pending": "Spans of it that wait in memory",
    "Logs": "Of Generated, scores and log records",
    "NewLogs": "Of NewGenerated, scores and log records",
    "NewLogsDropped": "Of NewDropped, scores and log records",
    "NewGenerated": "Spans made since the report before",
    "NewDropped": "Spans lost since the report before",
    "Lost": "Spans that were in its memory when it was killed; another process tells of them",
    "NewLost": "Those of them that the report before does not have",
    "Host": "Machine or container that the process runs on",
    "ProcessId": "Process id there",
    "Ended": "Whether the process says goodbye with the report",
    "Killed": "Whether the process was killed; another process says so",
    "Relayed": "Whether another process sent the report, for one that is dead",
    "sdk_processes.Generated": "Spans that the process made",
    "FirstReport": "When it reported first; 1970 where another process alone tells of it",
    "LastReport": "When it reported last by itself; 1970 where another process alone tells of it",
    "LastHeard": "When anybody reported of it last",
    "sdk_processes.State": "`running`; `ended`: it said goodbye; `killed`: another process found it dead "
    "without; `silent`: no report for 11 minutes and no goodbye, so that it was killed, or is frozen or "
    "cut off",
    **{
        bucket.cost: f"USD of the bucket {bucket.label}; NULL where Cost is stated, or not known"
        for bucket in BUCKETS
    },
}


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    comment: str


class _Schema:
    """What the engine says of a fresh store."""

    def __init__(self, store: Store) -> None:
        self._tables = {
            row["name"]: row
            for row in store.rows(
                "SELECT name, comment, sorting_key, partition_key FROM system.tables "
                "WHERE database = currentDatabase()"
            )
        }
        self._views = {
            statement.entry.name: statement.sql
            for statement in describe(SchemaSettings(), embedded=True).statements
            if statement.entry.kind is Kind.VIEW
        }
        self.columns: dict[str, list[_Column]] = {entry.name: [] for entry in CATALOGUE}
        for row in store.rows(
            "SELECT table, name, type, comment FROM system.columns "
            "WHERE database = currentDatabase() ORDER BY table, position"
        ):
            column = _Column(row["name"], row["type"], row["comment"])
            if row["table"] in self.columns:
                self.columns[row["table"]].append(column)

    def comment(self, table: str) -> str:
        return str(self._tables[table]["comment"])

    def layout(self, table: str) -> str:
        """How rows lie on disk, in a sentence; empty for a view."""
        sorting, partition = (self._tables[table][key] for key in ("sorting_key", "partition_key"))
        if not sorting:
            return ""
        return f"Sorted by `{sorting}`" + (f", a partition for each `{partition}`." if partition else ".")

    def meaning(self, table: str, column: _Column) -> str:
        """What a column holds. A view's column is what the one of that name is where it comes from. Raises
        ValueError when nothing is said.
        """
        computed = _COMPUTED.get(f"{table}.{column.name}") or _COMPUTED.get(column.name)
        text = column.comment or computed or ""
        for source in () if text else [*self._sources(table), *self.columns]:
            text = text or next(
                (item.comment for item in self.columns[source] if item.name == column.name), ""
            )
        if not text:
            raise ValueError(f"nothing says what {table}.{column.name} holds")
        return text

    def _sources(self, view: str) -> Iterator[str]:
        """The tables and views that a view reads, in the order of its text, each followed by those that it
        reads.
        """
        for name in sql_text.tables_read(self._views.get(view, ""), BY_NAME):
            yield name
            yield from self._sources(name)


def reference() -> str:
    """The page. Opens a store in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"chdb://{Path(folder) / 'store'}")
        try:
            return reference_of(store)
        finally:
            store.close()


def reference_of(store: Store) -> str:
    """The page of an open store."""
    return "\n".join(_lines(_Schema(store)))


def _lines(schema: _Schema) -> Iterator[str]:
    readable = [entry for entry in CATALOGUE if entry.rows is not None]
    yield _HEAD
    yield "| name | is | holds |"
    yield "|---|---|---|"
    for entry in readable:
        kind = "table" if entry.kind is Kind.TABLE else "view"
        yield f"| [`{entry.name}`](#{entry.name}) | {kind} | {_cell(schema.comment(entry.name))} |"
    for entry in readable:
        yield from _section(schema, entry)
    yield from _attributes()


def _section(schema: _Schema, entry: Entry) -> Iterator[str]:
    sources = _sources_of_spans() if entry.name == "otel_traces" else {}
    yield from ("", f"## {entry.name}", "", f"{schema.comment(entry.name)}.", "")
    if layout := schema.layout(entry.name):
        yield from (layout, "")
    if entry.rows == NOBODYS:
        yield from ("Keys of a project see nothing of it.", "")
    yield "| column | type | unit | meaning |" + (" source |" if sources else "")
    yield "|---|---|---|---|" + ("---|" if sources else "")
    for column in schema.columns[entry.name]:
        meaning = schema.meaning(entry.name, column)
        cells = [f"`{column.name}`", f"`{column.type}`", _unit(column.type, meaning), meaning]
        if sources:
            cells.append(sources.get(column.name, ""))
        yield "| " + " | ".join(map(_cell, cells)) + " |"


def _unit(column_type: str, meaning: str) -> str:
    """The unit that a meaning begins with; times are UTC."""
    word = re.split(r"\W", meaning, maxsplit=1)[0]
    return "UTC" if "Date" in column_type else _UNITS.get(word, "")


def _sources_of_spans() -> dict[str, str]:
    """Column of spans → the attributes that fill it, or the columns that it is computed from."""
    sources = {field.name: _quoted((field.keys[0], *field.also)) for field in (*FIELDS, *TEXTS)}
    for field in FIELDS:
        if field.of_resource:
            sources[field.name] += f"; of the resource: {_quoted(field.of_resource)}"
    for column in DERIVED:
        origins = (COUNTED_KEY if name == SENDER_COUNTS else name for name in column.of)
        sources[column.name] = f"computed from {_quoted(origins)}"
    return sources


def _attributes() -> Iterator[str]:
    """Where each dialect keeps what fills a column."""
    yield from ("", "## Attributes by column", "")
    yield (
        "The first of these keys that a span carries fills the column; values are never added together. "
        "`a>b` is the member `b` of the JSON text in `a`, `a.{i}` stands for keys that are numbered."
    )
    yield from ("", "| column of `otel_traces` | keys |", "|---|---|")
    for field in (*FIELDS, *TEXTS):
        yield f"| `{field.name}` | {_cell(_quoted(_keys(field)))} |"


def _keys(field: Field) -> tuple[str, ...]:
    numbered = tuple(f"{prefix}.{{i}}" for prefix in INDEXED.get(field.name, ()))
    return (*field.sources, *numbered, *field.also, *field.of_resource)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _cell(text: str) -> str:
    """A cell of a Markdown table."""
    return text.replace("|", "\\|")
