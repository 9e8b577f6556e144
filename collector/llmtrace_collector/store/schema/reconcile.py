"""A store opened: made where there is none, left alone where nothing changed, else brought up to date."""

from __future__ import annotations

from llmtrace_collector.store.cluster import Cluster
from llmtrace_collector.store.engine import StoreEngine, StoreError, StoreMismatch, StoreUnavailable

from . import former, versions
from .description import Description, SchemaSettings, describe
from .home import FORMER_DATABASE, Home, digest
from .redaction import check_patterns
from .upgrade import refusal, upgrade
from .upgrade_lock import upgrade_lock


def bring_up_to_date(engine: StoreEngine, settings: SchemaSettings) -> int:
    """Bring the schema up to date and return its number.

    Raises ValueError where the engine cannot run a pattern of the settings' redaction, StoreMismatch for a
    store that this release cannot use.
    """
    check_patterns(engine, settings.redaction.patterns)
    home = Home(engine)
    description = describe(settings, embedded=home.embedded, cluster=engine.cluster)
    try:
        if not _is_current(home, description):
            with upgrade_lock(home) as held:
                # Another collector may have done it while this one waited.
                if not _is_current(held, description):
                    _change(held, settings, description)
        _restore_functions(engine, description)
    except (StoreUnavailable, StoreMismatch):
        raise
    except StoreError as error:
        raise refusal(error, "what was begun goes on at the next start") from error
    return versions.SCHEMA_NUMBER


def _is_current(home: Home, description: Description) -> bool:
    """Whether there is nothing to do. Raises StoreMismatch for a store that this release cannot use."""
    existing = home.existing()
    version = versions.current(home, existing)
    versions.demand_fitting(version)
    return version is not None and (version.number, version.digest, version.state) == (
        versions.SCHEMA_NUMBER,
        description.digest,
        digest(existing),
    )


def _change(home: Home, settings: SchemaSettings, description: Description) -> None:
    """Make a store where there is none, else bring it up to date."""
    version = versions.current(home, home.existing())
    if version is None:
        for statement in creations(settings, embedded=home.embedded, cluster=home.cluster):
            home.run(statement)
    else:
        plain = describe(settings, embedded=home.embedded) if home.cluster else description
        upgrade(home, description, plain, version.origin)
    versions.record(home, description.digest, digest(home.existing()))


def _restore_functions(engine: StoreEngine, description: Description) -> None:
    """Make the functions again where one is missing: a backup has the tables and views of a store, in which
    functions are written out, but not those that are called by name.
    """
    has = engine.execute("SELECT name FROM system.functions WHERE origin = 'SQLUserDefined'").decode().split()
    if not set(description.function_names) <= set(has):
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
