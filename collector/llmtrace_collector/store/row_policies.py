"""A server's own wall between projects: a user for reads, whom row policies confine to one project.

The query guard confines every read of a project's key by itself. On a ClickHouse server these
statements put the server's access control behind it: the collector reads for such a key as `store_reader`,
and says in the setting `SQL_llmtrace_project` for whom. Without the setting every read of that user fails. It
is a wall against mistakes of ours: who has that user's password may name any project.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from llmtrace_collector.sql_values import literal

from .cluster import Cluster, names_of
from .engine import PROJECT_SETTING, READ_LIMITS
from .query_guard import FILTERS, TABLES
from .schema.migrations import migrations

ROLE = "llmtrace_project_reader"

#: Hidden by the query guard from every project; views of prices read it for all of them.
_NOBODYS = "0 = 1"

_CREATED = re.compile(r"^CREATE (?:OR REPLACE )?(TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)(.*)", re.DOTALL)
_READ_BY = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")


def statements(database: str, user: str, password: str, cluster: str = "") -> list[str]:
    """What an administrator of the server runs, again after an upgrade: role, grants, policies, user.

    The password goes in as its SHA-256.
    """
    everywhere = f" ON CLUSTER {cluster}" if cluster else ""
    kinds = _kinds()
    readable = sorted(_readable(kinds))
    commands = [f"CREATE ROLE IF NOT EXISTS {ROLE}{everywhere}"]
    for name in readable:
        # A grant of a Distributed table is one of the tables behind it as well.
        for place in _places(database, name, kinds, cluster):
            commands.append(f"GRANT{everywhere} SELECT ON {place}.{name} TO {ROLE}")
    for name in readable:
        if kinds[name] != "VIEW" and FILTERS.get(name) != _NOBODYS:
            condition = _condition(name, database)
            for place in _places(database, name, kinds, cluster):
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


def _kinds() -> dict[str, str]:
    """TABLE or VIEW by name, SHARDED for tables that a cluster spreads."""
    wanted = migrations(30)
    names = names_of(wanted)
    kinds = {}
    for part in wanted.values():
        for statement in part:
            created = _CREATED.match(statement)
            if created is not None:
                name = created.group(2)
                kinds[name] = "SHARDED" if name in names.sharded else created.group(1)
    return kinds


def _readable(kinds: Mapping[str, str]) -> set[str]:
    """What the query guard lets readers name, and what those views read in turn."""
    views = {}
    for part in migrations(30).values():
        for statement in part:
            created = _CREATED.match(statement)
            if created is not None and created.group(1) == "VIEW":
                views[created.group(2)] = {
                    name for name in _READ_BY.findall(created.group(3)) if name in kinds
                }
    readable: set[str] = set()
    pending = set(TABLES)
    while pending:
        name = pending.pop()
        readable.add(name)
        pending |= views.get(name, set()) - readable
    return readable


def _places(database: str, name: str, kinds: Mapping[str, str], cluster: str) -> list[str]:
    if cluster and kinds[name] == "SHARDED":
        return [database, Cluster(cluster, database).shard_database]
    return [database]


def _condition(name: str, database: str) -> str:
    """Whose rows of a table may be seen, as the query guard has it."""
    text = FILTERS.get(name, "Project = {project}")
    text = text.replace("{project}", f"getSetting({literal(PROJECT_SETTING)})")
    return re.sub(r"\bFROM (\w+)", rf"FROM {database}.\1", text)
