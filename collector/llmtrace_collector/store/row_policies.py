"""A server's own wall between projects: a user for reads, whom row policies confine to one project.

The query guard confines every read of a project's key by itself. On a ClickHouse server these
statements put the server's access control behind it: the collector reads for such a key as `store_reader`,
and says in the setting `SQL_llmtrace_project` for whom. Without the setting every read of that user fails. It
is a wall against mistakes of ours: who has that user's password may name any project.
"""

from __future__ import annotations

import hashlib

from llmtrace_collector.sql_values import literal

from .cluster import Cluster
from .engine import PROJECT_SETTING, READ_LIMITS
from .schema import sql_text
from .schema.catalogue import BY_NAME, NOBODYS, READABLE, SHARDED, Kind
from .schema.description import SchemaSettings, describe

ROLE = "llmtrace_project_reader"

_OWN = "Project = {project}"


def statements(database: str, user: str, password: str, cluster: str = "") -> list[str]:
    """What an administrator of the server runs, again after an upgrade: role, grants, policies, user.

    The password goes in as its SHA-256.
    """
    everywhere = f" ON CLUSTER {cluster}" if cluster else ""
    readable = sorted(_readable())
    commands = [f"CREATE ROLE IF NOT EXISTS {ROLE}{everywhere}"]
    for name in readable:
        # A grant of a Distributed table is one of the tables behind it as well.
        for place in _places(database, name, cluster):
            commands.append(f"GRANT{everywhere} SELECT ON {place}.{name} TO {ROLE}")
    for name in readable:
        if BY_NAME[name].kind is Kind.TABLE and READABLE.get(name) != NOBODYS:
            condition = _condition(name, database)
            for place in _places(database, name, cluster):
                commands.append(
                    f"CREATE ROW POLICY OR REPLACE llmtrace_project{everywhere} ON {place}.{name} "
                    f"FOR SELECT USING {condition} TO {ROLE}"
                )
    limits = ", ".join(
        f"{name} = {value if value.isdigit() else literal(value)}" for name, value in READ_LIMITS.items()
    )
    digest = hashlib.sha256(password.encode()).hexdigest()
    return [
        *commands,
        f"CREATE SETTINGS PROFILE OR REPLACE {ROLE}{everywhere} SETTINGS {limits} TO {ROLE}",
        f"CREATE USER OR REPLACE `{user}`{everywhere} IDENTIFIED WITH sha256_hash BY {literal(digest)} "
        f"DEFAULT ROLE {ROLE}",
        f"GRANT{everywhere} {ROLE} TO `{user}`",
    ]


def _readable() -> set[str]:
    """What the query guard lets readers name, and what those views read in turn."""
    views = {
        statement.entry.name: statement.reads
        for statement in describe(SchemaSettings()).statements
        if statement.entry.kind is Kind.VIEW
    }
    readable: set[str] = set()
    pending = set(READABLE)
    while pending:
        name = pending.pop()
        readable.add(name)
        pending |= views.get(name, frozenset()) - readable
    return readable


def _places(database: str, name: str, cluster: str) -> list[str]:
    if cluster and name in SHARDED:
        return [database, Cluster(cluster, database).shard_database]
    return [database]


def _condition(name: str, database: str) -> str:
    """Whose rows of a table may be seen, as the query guard has it."""
    text = READABLE.get(name, _OWN).replace("{project}", f"getSetting({literal(PROJECT_SETTING)})")
    return sql_text.qualified(text, lambda table: database, BY_NAME)
