"""The schema on a cluster: the same SQL files, every statement ON CLUSTER, between two databases.

Spans and what is derived from them are spread over the shards. They live in `DATABASE_shard`, Replicated,
with the tables that requests go into and the materialized views, all under their usual names: what a
collector inserts, rebuilds or erases is its own shard's, by the same statements as on one machine. `DATABASE`
is what is read: a Distributed table of the same name over each of those tables, the views, and the small
tables that people write (keys, prices, incidents), which every node has whole.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

#: How long a segment's token is remembered (seconds): longer than a store is unavailable.
TOKEN_SECONDS = 7 * 86_400


@dataclass(frozen=True)
class Cluster:
    """A cluster as the server's `remote_servers` names it, and the database that is read.

    The servers need the macros `shard` and `replica`, and a Keeper. `sharded` are the tables and views that
    live in each shard.
    """

    name: str
    database: str
    sharded: Collection[str] = ()

    @property
    def shard_database(self) -> str:
        """The database of a shard's own tables."""
        return f"{self.database}_shard"

    @property
    def everywhere(self) -> str:
        """What a statement says after the name of its object to run on every node."""
        return f" ON CLUSTER {self.name}"

    def databases(self) -> list[str]:
        """Statements that make both databases."""
        names = (self.database, self.shard_database)
        return [f"CREATE DATABASE IF NOT EXISTS {name}{self.everywhere}" for name in names]

    def place(self, name: str) -> str:
        """The database in which a table or view lives, and where rows of it are inserted."""
        return self.shard_database if name in self.sharded else self.database

    def engine(self, name: str, engine: str, arguments: str = "") -> str:
        """The engine of a table of which nodes have copies: a shard's replicas, or all nodes."""
        part, replica = ("{shard}", "{replica}") if name in self.sharded else ("all", "{shard}-{replica}")
        path = f"'/clickhouse/tables/{self.database}/{part}/{name}', '{replica}'"
        return f"Replicated{engine}({path}{', ' if arguments else ''}{arguments})"

    def distributed(self, name: str, head: str = "CREATE TABLE IF NOT EXISTS") -> str:
        """The statement of the table by which all shards' rows of `name` are read at once."""
        return (
            f"{head} {self.database}.{name}{self.everywhere} AS {self.shard_database}.{name} "
            f"ENGINE = Distributed({self.name}, {self.shard_database}, {name})"
        )
