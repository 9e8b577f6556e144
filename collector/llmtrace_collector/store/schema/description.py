"""The schema as it should be: every statement of the catalogue, rendered for a store's settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from llmtrace_collector.attributes.counts import COUNTS, TRACE_COUNTS
from llmtrace_collector.attributes.operations import FREE_OPERATIONS
from llmtrace_collector.pricing import charges
from llmtrace_collector.pricing.contained import contained
from llmtrace_collector.sql_values import literals
from llmtrace_collector.store.catalogue import BY_NAME, CATALOGUE, Entry, Kind
from llmtrace_collector.store.cluster import TOKEN_SECONDS, Cluster

from . import decoding, sql_text, templates
from .redaction import NOTHING, Redaction


@dataclass(frozen=True)
class SchemaSettings:
    """What of the settings stands in the schema: the days that rows are kept, by project where they have
    days of their own, and what is left out of every text.
    """

    retention_days: int = 30
    retention: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    redaction: Redaction = NOTHING

    @property
    def longest(self) -> int:
        """The most days that any row is kept."""
        return max(self.retention_days, *self.retention.values()) if self.retention else self.retention_days

    @property
    def days(self) -> str:
        """SQL of the days that a row of the column `Project` is kept."""
        if not self.retention:
            return str(self.retention_days)
        days = ", ".join(str(value) for value in self.retention.values())
        return f"transform(Project, [{literals(self.retention)}], [{days}], {self.retention_days})"


@dataclass(frozen=True)
class Statement:
    """The statement that makes one entry of the catalogue; no name in it has a database."""

    entry: Entry
    sql: str

    @property
    def body(self) -> str:
        """What follows the name of what is made."""
        return self.sql.removeprefix(_head(self.entry))

    @property
    def reads(self) -> frozenset[str]:
        """The tables and views that a view reads."""
        known = () if self.entry.kind is Kind.TABLE else BY_NAME
        return frozenset(sql_text.tables_read(self.sql, known))

    def create(self, database: str = "", *, replace: bool = False, everywhere: str = "") -> str:
        """The statement for an object in `database`, which reads others from there; made unless it is there,
        or in its place. `everywhere` is a cluster's ON CLUSTER.
        """
        kind = self.entry.kind.value.upper()
        head = f"CREATE OR REPLACE {kind}" if replace else f"CREATE {kind} IF NOT EXISTS"
        place = f"{database}." if database else ""
        return f"{head} {place}{self.entry.name}{everywhere}{self._placed(database)}"

    def select(self, database: str = "") -> str:
        """The SELECT of a view, over what is in `database`."""
        return self._placed(database).partition(" AS\n")[2]

    def _placed(self, database: str) -> str:
        if not database or self.entry.kind is Kind.TABLE:
            return self.body
        body = sql_text.qualified(self.body, lambda name: database, BY_NAME)
        target = self.entry.target
        return body.replace(f" TO {target} ", f" TO {database}.{target} ", 1) if target else body


def _head(entry: Entry) -> str:
    """How the statement of an entry begins in its file."""
    return f"CREATE {entry.kind.value.upper()} {entry.name}"


@dataclass(frozen=True)
class Described:
    """A column that a bucket of charges brings: its name and what it holds."""

    name: str
    comment: str


#: Whether the cost of a single call can be told.
_KNOWN = "price.Priced AND usage.UnknownUsage = 0"


@dataclass(frozen=True)
class _Charges:
    """The formula of cost, for templates of the views of cost."""

    rates: str
    unit_prices: str
    of_rows: str
    of_calls: str
    cost_of_calls: str
    priced: Callable[[str], str]


@dataclass(frozen=True)
class Description:
    """The whole schema in order of dependence, functions first."""

    functions: tuple[str, ...]
    statements: tuple[Statement, ...]

    @property
    def function_names(self) -> list[str]:
        """The names of the functions, in the order in which they are made."""
        return [text.partition(" AS ")[0].split()[-1] for text in self.functions]

    def create_functions(self, everywhere: str = "") -> list[str]:
        """The statements that make the functions; `everywhere` is a cluster's ON CLUSTER."""
        parts = (text.partition(" AS ") for text in self.functions)
        return [f"{head}{everywhere} AS {body}" for head, _, body in parts]

    @property
    def digest(self) -> str:
        """SHA-256 of all its text: equal digests mean equal schemas."""
        text = "\0".join([*self.functions, *(statement.sql for statement in self.statements)])
        return hashlib.sha256(text.encode()).hexdigest()


def describe(
    settings: SchemaSettings, *, embedded: bool = False, cluster: Cluster | None = None
) -> Description:
    """The schema for `settings`; the `embedded` engine has no tables that others write to, and those of a
    `cluster` are replicated.
    """
    values = _values(settings)
    statements = []
    for entry in CATALOGUE:
        if embedded and entry.server_only:
            continue
        statements.append(Statement(entry, _rendered(entry, {**values, **_engine(entry, cluster)})))
    return Description(functions(settings.redaction), tuple(statements))


def _engine(entry: Entry, cluster: Cluster | None) -> dict[str, object]:
    """How a template names its table's engine, and how long that remembers the tokens of inserts."""
    window = "deduplication_window = 10000"
    if cluster is None:
        plain: Callable[..., str] = lambda name, arguments="": f"{name}({arguments})" if arguments else name  # noqa: E731
        return {"engine": plain, "deduplication_window": f"non_replicated_{window}"}
    return {
        "engine": lambda name, arguments="": cluster.engine(entry.name, name, arguments),
        "deduplication_window": f"replicated_{window}, "
        f"replicated_deduplication_window_seconds = {TOKEN_SECONDS}",
    }


def usage_select(source: str, where: str = "") -> str:
    """SELECT of rows of `usage_10s` over the counted spans of `source` for which `where` holds."""
    values = {"source": source, "where": where, "inserted": False}
    return templates.render("parts/usage_10s_select.sql", **values, **_numbers())


def render_rollup(name: str, **values: object) -> str:
    """The statement in `rollups/<name>.sql`, with what templates of rollups need."""
    return templates.render(f"rollups/{name}.sql", **values, **_numbers())


def functions(redaction: Redaction) -> tuple[str, ...]:
    """The statements that make the functions of ours, of which some leave out what `redaction` says."""
    values = decoding.values(redaction)
    return tuple(
        statement
        for name in templates.names("functions")
        for statement in templates.statements(templates.render(f"functions/{name}.sql", **values))
    )


def _rendered(entry: Entry, values: Mapping[str, object]) -> str:
    statements = templates.statements(templates.render(entry.file, **values))
    if len(statements) != 1 or not statements[0].startswith(f"{_head(entry)} "):
        raise ValueError(f"{entry.file} should hold one statement, which begins with {_head(entry)}")
    return statements[0]


def _values(settings: SchemaSettings) -> dict[str, object]:
    """What the statements are rendered with."""
    return {
        "retention_days": settings.days,
        "longest_retention_days": settings.longest,
        **decoding.values(settings.redaction),
        "charges": _Charges(
            rates=charges.rates(),
            unit_prices=charges.unit_prices(),
            of_rows=charges.columns(),
            of_calls=charges.columns(_KNOWN),
            cost_of_calls=charges.cost(_KNOWN),
            priced=charges.priced,
        ),
        "prices": [Described(bucket.price, _price_comment(bucket)) for bucket in charges.BUCKETS],
        **_numbers(),
    }


@lru_cache(maxsize=1)
def _numbers() -> Mapping[str, object]:
    """What templates of rollups need."""
    return MappingProxyType(
        {
            "counts": COUNTS,
            "trace_counts": [count for count in COUNTS if count.name in TRACE_COUNTS],
            "alone": [count for count in COUNTS if count.price is not None and count.price.alone],
            "free_operations": FREE_OPERATIONS,
            "contained": contained(_reported),
            "context_bounds": charges.CONTEXT_BOUNDS,
            "day_bounds": charges.DAY_BOUNDS,
            "response_cache": charges.RESPONSE_CACHE,
        }
    )


def _reported(name: str) -> str:
    """A count of a span, 0 where nobody told."""
    types = {count.name: count.type for count in COUNTS}
    return f"ifNull(span.{name}, 0)" if types[name].startswith("Nullable") else f"span.{name}"


def _price_comment(bucket: charges.Bucket) -> str:
    if bucket.unit == "request":
        return "USD per request"
    return f"USD per {bucket.unit}: {bucket.label}"
