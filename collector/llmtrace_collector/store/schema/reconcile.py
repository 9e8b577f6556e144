"""A store opened: made where there is none, left alone where nothing changed, else brought up to date."""

from __future__ import annotations

from llmtrace_collector.store.cluster import Cluster
from llmtrace_collector.store.engine import StoreEngine

from . import former, versions
from .description import Description, SchemaSettings, describe
from .home import FORMER_DATABASE, Home, digest
from .redaction import check_patterns
from .upgrade import upgrade


def bring_up_to_date(engine: StoreEngine, settings: SchemaSettings) -> int:
    """Bring the schema up to date and return its number.

    Raises ValueError where the engine cannot run a pattern of the settings' redaction, StoreMismatch for a
    store that this release cannot use.
    """
    check_patterns(engine, settings.redaction.patterns)
    home = Home(engine)
    existing = home.existing()
    version = versions.current(home, existing)
    versions.demand_fitting(version)
    description = describe(settings, embedded=home.embedded, cluster=engine.cluster)
    if version is not None and (version.digest, version.state) == (description.digest, digest(existing)):
        _restore_functions(engine, description)
        return version.number
    if version is None:
        for statement in creations(settings, embedded=home.embedded, cluster=engine.cluster):
            engine.execute(statement)
    else:
        plain = describe(settings, embedded=home.embedded) if engine.cluster else description
        upgrade(home, description, plain, version.number)
    versions.record(home, description.digest, digest(home.existing()))
    return versions.SCHEMA_NUMBER


def _restore_functions(engine: StoreEngine, description: Description) -> None:
    """Make the functions again where one is missing: a backup has the tables and views of a store, in which
    functions are written out, but not those that are called by name.
    """
    has = engine.execute("SELECT name FROM system.functions WHERE origin = 'SQLUserDefined'").decode().split()
    if not {statement.split()[4] for statement in description.functions} <= set(has):
        everywhere = engine.cluster.everywhere if engine.cluster else ""
        for statement in description.create_functions(everywhere):
            engine.execute(statement)


def creations(
    settings: SchemaSettings, *, embedded: bool = False, cluster: Cluster | None = None
) -> list[str]:
    """The statements that make a fresh store; names without a database are of that of the connection."""
    description = describe(settings, embedded=embedded, cluster=cluster)
    everywhere = cluster.everywhere if cluster else ""
    database = FORMER_DATABASE if embedded else cluster.database if cluster else ""
    stop = f"{database}.{former.VERSIONS}" if database else former.VERSIONS
    statements = [versions.stop_former_releases(stop, everywhere), *description.create_functions(everywhere)]
    for statement in description.statements:
        name = statement.entry.name
        statements.append(statement.create(cluster.place(name) if cluster else "", everywhere=everywhere))
        if cluster and statement.entry.read_everywhere:
            statements.append(cluster.distributed(name))
    return statements
