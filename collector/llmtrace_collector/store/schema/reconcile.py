"""A store brought to what the description says."""

from __future__ import annotations

from llmtrace_collector.store.cluster import Cluster
from llmtrace_collector.store.engine import EmbeddedEngine, StoreEngine

from .description import SchemaSettings, describe
from .redaction import check_patterns
from .versions import SCHEMA_NUMBER


def bring_up_to_date(engine: StoreEngine, settings: SchemaSettings) -> int:
    """Bring the schema up to date and return its number.

    Raises ValueError where the engine cannot run a pattern of the settings' redaction.
    """
    check_patterns(engine, settings.redaction.patterns)
    embedded = isinstance(engine, EmbeddedEngine)
    for statement in creations(settings, embedded=embedded, cluster=engine.cluster):
        engine.execute(statement)
    return SCHEMA_NUMBER


def creations(
    settings: SchemaSettings, *, embedded: bool = False, cluster: Cluster | None = None
) -> list[str]:
    """The statements that make a fresh store."""
    description = describe(settings, embedded=embedded, cluster=cluster)
    if cluster is None:
        return [*description.functions, *(statement.create() for statement in description.statements)]
    statements = []
    for statement in description.statements:
        name = statement.entry.name
        statements.append(statement.create(cluster.place(name), everywhere=cluster.everywhere))
        if statement.entry.read_everywhere:
            statements.append(cluster.distributed(name))
    return statements
