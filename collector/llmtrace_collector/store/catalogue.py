"""What the schema has, in order of dependence: the one list that the store, its guard, its cluster, its
policies and its backups read. The statement of each stands in `schema/sql/tables/<name>.sql` or
`schema/sql/views/<name>.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What a statement of the schema makes."""

    TABLE = "table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"


#: The condition by which most tables tell a project's own rows; `{project}` stands for the project's literal.
_OWN = "Project = {project}"

#: The prices of what a project used: other projects' models are theirs to know.
_OWN_MODELS = (
    "(Provider, Model, ResponseModel) IN "
    "(SELECT Provider, Model, ResponseModel FROM models_used WHERE Project = {project})"
)

#: Nothing of it is any one project's.
NOBODYS = "0 = 1"

#: What says nothing of any project.
_EVERYONES = "1 = 1"


@dataclass(frozen=True)
class Entry:
    """One table or view."""

    name: str
    kind: Kind
    #: The condition that picks a project's own rows, with `{project}` for its literal; None: no reader may
    #: name it.
    rows: str | None = None
    #: The same where views read rows that no reader may name: the engine's access control goes by it.
    behind: str | None = None
    #: Spread over a cluster's shards; else every node has it whole.
    of_shard: bool = False
    #: Only on a server: others write to it there.
    server_only: bool = False
    #: The table that a materialized view fills.
    target: str = ""
    #: Its rows carry the days that they are kept, in `RetentionDays`.
    retained: bool = False
    #: What comes in is decoded here; nothing stays.
    inlet: bool = False

    @property
    def file(self) -> str:
        """The template of its statement."""
        return f"{'tables' if self.kind is Kind.TABLE else 'views'}/{self.name}.sql"

    @property
    def filter(self) -> str | None:
        """The condition that picks the rows which the engine lets out for one project, by whatever way they
        are read; None: it lets none out, for no reader.
        """
        return self.rows if self.behind is None else self.behind

    @property
    def read_everywhere(self) -> bool:
        """Whether a cluster has a table over all shards' rows of it."""
        return self.of_shard and not self.inlet and self.kind is not Kind.MATERIALIZED_VIEW

    @property
    def stores(self) -> bool:
        """Whether rows lie in it."""
        return self.kind is Kind.TABLE and not self.inlet


def _spans(name: str, rows: str | None = _OWN, *, retained: bool = False) -> Entry:
    """A table of spans or of what is made from them: each shard's own."""
    return Entry(name, Kind.TABLE, rows, of_shard=True, retained=retained)


def _behind(name: str, *, of_shard: bool = True, retained: bool = False) -> Entry:
    """A table that no reader names and whose rows views show."""
    return Entry(name, Kind.TABLE, behind=_OWN, of_shard=of_shard, retained=retained)


def _inlet(name: str, *, server_only: bool = False) -> Entry:
    return Entry(name, Kind.TABLE, of_shard=True, server_only=server_only, inlet=True)


def _small(name: str, rows: str | None = None) -> Entry:
    """A table that people write, which every node has whole."""
    return Entry(name, Kind.TABLE, rows)


def _view(name: str, rows: str = _OWN) -> Entry:
    return Entry(name, Kind.VIEW, rows)


def _shard_view(name: str) -> Entry:
    """A view that each shard computes of its own rows."""
    return Entry(name, Kind.VIEW, _OWN, of_shard=True)


def _fills(name: str, target: str, *, server_only: bool = False) -> Entry:
    return Entry(name, Kind.MATERIALIZED_VIEW, of_shard=True, target=target, server_only=server_only)


CATALOGUE: tuple[Entry, ...] = (
    _small("store_versions"),
    # Spans, log records and metrics.
    _spans("otel_traces", retained=True),
    _spans("otel_traces_trace_id_ts"),
    _spans("otel_logs", retained=True),
    _spans("otel_metrics_gauge", retained=True),
    _spans("otel_metrics_sum", retained=True),
    _spans("otel_metrics_histogram", retained=True),
    _spans("scores"),
    _spans("attachments", retained=True),
    # What is made of them.
    _spans("usage_10s"),
    _behind("usage_hour_closed"),
    _behind("steps_10s"),
    _behind("trace_rows", retained=True),
    _spans("call_evidence", retained=True),
    # No project's: it says how far the work is.
    _spans("rollup_passes", _EVERYONES),
    _behind("completeness_counts"),
    _spans("row_adjustments", None),
    _spans("usage_stale", None),
    _spans("ledger_passes", None),
    # What people and the collector write.
    _behind("incident_versions", of_shard=False),
    _small("incident_history", _OWN),
    _behind("delivery_log", of_shard=False),
    _small("api_keys"),
    _small("audit_log", _OWN),
    # Of keys that nobody has, and of addresses: for keys of every project.
    _small("security_events", NOBODYS),
    # No project's: it says how far the work is.
    _small("watch_reports", _EVERYONES),
    _behind("models_used", of_shard=False),
    _small("price_book", _OWN_MODELS),
    # Who chose a book, and why, is for keys of every project; the views of cost need to know which it is.
    _small("price_books", NOBODYS),
    _small("books_in_effect", _EVERYONES),
    _small("own_prices", "Model IN (SELECT Model FROM models_used WHERE Project = {project})"),
    _small("own_discounts", _OWN),
    _small("discount_book", _OWN),
    _small("fixed_costs", _OWN),
    _small("cost_closed", _OWN),
    # Where requests go in.
    _inlet("otlp_traces_in"),
    _inlet("otlp_foreign_in"),
    _inlet("otlp_plain_in"),
    _inlet("otlp_logs_in"),
    _inlet("otlp_metrics_in"),
    _inlet("landing_traces", server_only=True),
    # What fills tables at an insert: those that follow others come first, so that no row escapes them.
    Entry("books_in_effect_mv", Kind.MATERIALIZED_VIEW, target="books_in_effect"),
    _fills("usage_10s_mv", "usage_10s"),
    _fills("scores_mv", "scores"),
    _fills("completeness_otel_traces_mv", "completeness_counts"),
    _fills("completeness_otel_logs_mv", "completeness_counts"),
    _fills("completeness_otel_metrics_gauge_mv", "completeness_counts"),
    _fills("completeness_otel_metrics_sum_mv", "completeness_counts"),
    _fills("completeness_otel_metrics_histogram_mv", "completeness_counts"),
    _fills("otlp_traces_mv", "otel_traces"),
    _fills("otlp_foreign_mv", "otel_traces"),
    _fills("otlp_plain_mv", "otel_traces"),
    _fills("otlp_logs_mv", "otel_logs"),
    _fills("attachments_mv", "attachments"),
    _fills("otlp_metrics_gauge_mv", "otel_metrics_gauge"),
    _fills("otlp_metrics_sum_mv", "otel_metrics_sum"),
    _fills("otlp_metrics_histogram_mv", "otel_metrics_histogram"),
    _fills("landing_traces_mv", "otel_traces", server_only=True),
    _fills("landing_traces_foreign_mv", "otel_traces", server_only=True),
    # What is computed when it is read.
    _shard_view("usage_hour"),
    _shard_view("steps"),
    _shard_view("traces"),
    _shard_view("trace_times"),
    _view("incidents"),
    _view("webhook_deliveries"),
    _view("span_messages"),
    _view("span_texts"),
    _view("sdk_reports"),
    _view("sdk_processes"),
    _view("completeness"),
    _view("price_now", _OWN_MODELS),
    _view("discount_now"),
    _view("prices", _OWN_MODELS),
    _view("cost_hour"),
    _view("call_cost"),
    _view("attempt_cost"),
    _view("usage_cost"),
    _view("span_cost"),
)

BY_NAME: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in CATALOGUE})

#: Tables and views that may be read, by everyone who may read at all, each with the condition for one
#: project.
READABLE: Mapping[str, str] = MappingProxyType(
    {entry.name: entry.rows for entry in CATALOGUE if entry.rows is not None}
)

#: Those that live in each shard of a cluster.
SHARDED: frozenset[str] = frozenset(entry.name for entry in CATALOGUE if entry.of_shard)
