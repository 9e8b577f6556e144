"""A server's access control: a user for reads, whom row policies confine to one project.

They are the embedded engine's filters (access_control.py) as statements for a server. The collector reads
for a project's key as `store_reader`, and says in the setting `SQL_llmtrace_project` for whom. Without the
setting every read of that user fails. It is a wall against mistakes of ours: who has that user's password may
name any project.
"""

from __future__ import annotations

import hashlib

from llmtrace_collector.sql_values import literal

from .access_control import filtered
from .catalogue import BY_NAME, SHARDED, Kind
from .cluster import Cluster
from .engine import PROJECT_SETTING
from .read_limits import READ_LIMITS
from .schema import sql_text

ROLE = "llmtrace_project_reader"


def statements(database: str, user: str, password: str, cluster: str = "") -> list[str]:
    """What an administrator of the server runs, again after an upgrade: role, grants, policies, user.

    The password goes in as its SHA-256.
    """
    everywhere = f" ON CLUSTER {cluster}" if cluster else ""
    readable = sorted(filtered())
    commands = [f"CREATE ROLE IF NOT EXISTS {ROLE}{everywhere}"]
    for name in readable:
        # A grant of a Distributed table is one of the tables behind it as well.
        for place in _places(database, name, cluster):
            commands.append(f"GRANT{everywhere} SELECT ON {place}.{name} TO {ROLE}")
    for name in readable:
        # A server takes none for a view, which it reads as the user who asks: the tables behind it hold.
        if BY_NAME[name].kind is Kind.TABLE:
            condition = _condition(filtered()[name], database)
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


def _places(database: str, name: str, cluster: str) -> list[str]:
    if cluster and name in SHARDED:
        return [database, Cluster(cluster, database).shard_database]
    return [database]


def _condition(rows: str, database: str) -> str:
    """Whose rows of a table may be seen; it may read others."""
    text = rows.replace("{project}", f"getSetting({literal(PROJECT_SETTING)})")
    return sql_text.qualified(text, lambda table: database, BY_NAME)
