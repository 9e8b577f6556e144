"""The schema on a cluster: the same SQL files, every statement ON CLUSTER, between two databases.

Spans and what is derived from them are spread over the shards. They live in `DATABASE_shard`, Replicated,
with the tables that requests go into and the materialized views, all under their usual names: what a
collector inserts, rebuilds or erases is its own shard's, by the same statements as on one machine. `DATABASE`
is what is read: a Distributed table of the same name over each of those tables, the views, and the small
tables that people write (keys, prices, incidents), which every node has whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Tables that belong to a shard although no materialized view fills them: what is left to do for its spans.
_OF_THE_SHARD = frozenset({"usage_stale", "ledger_passes"})

#: How long a segment's token is remembered (seconds): longer than a store is unavailable.
_TOKEN_SECONDS = 7 * 86_400

_NAMED = re.compile(r"\b(FROM|JOIN|INTO|TO|TABLE|VIEW|EXISTS)\s+(\w+)(?![\w.(])")
_LIKE = re.compile(r"^(CREATE TABLE (?:IF NOT EXISTS )?\S+ AS) (\w+)(?= ENGINE)")
_CREATED = re.compile(r"^CREATE (?:OR REPLACE )?(TABLE|VIEW|MATERIALIZED VIEW) (?:IF NOT EXISTS )?(\w+)")
_ALTERED = re.compile(r"^(ALTER|DROP|RENAME|TRUNCATE) (?:TABLE|VIEW) (?:IF EXISTS )?(\w+)")
_ENGINE = re.compile(r"^ENGINE = (\w*MergeTree)(?:\((.*)\))?$", re.MULTILINE)
_FILLED = re.compile(r"^CREATE MATERIALIZED VIEW (?:IF NOT EXISTS )?\w+ TO (\w+)")

#: What a Distributed table can be altered by.
_COLUMN_CHANGES = re.compile(r"^(?:ADD|DROP|RENAME) COLUMN\b", re.IGNORECASE)


@dataclass(frozen=True)
class Cluster:
    """A cluster as the server's `remote_servers` names it, and the database that is read.

    The servers need the macros `shard` and `replica`, and a Keeper.
    """

    name: str
    database: str

    @property
    def shard_database(self) -> str:
        """The database of a shard's own tables."""
        return f"{self.database}_shard"

    def databases(self) -> list[str]:
        """Statements that make both databases."""
        names = (self.database, self.shard_database)
        return [f"CREATE DATABASE IF NOT EXISTS {name} {self._everywhere}" for name in names]

    def render(self, statements: Iterable[str], names: Names) -> list[str]:
        """Statements of the SQL files as a cluster needs them, in order."""
        return [rendered for statement in statements for rendered in self._render(statement, names)]

    def table(self, name: str, names: Names) -> str:
        """Where rows of a table are inserted."""
        return f"{self.shard_database if name in names.sharded else self.database}.{name}"

    @property
    def _everywhere(self) -> str:
        return f"ON CLUSTER {self.name}"

    def _render(self, statement: str, names: Names) -> list[str]:
        created = _CREATED.match(statement)
        altered = _ALTERED.match(statement)
        match = created or altered
        if match is None:
            raise ValueError(f"a cluster cannot have this statement of the schema: {statement[:80]}")
        name = match.group(2)
        database = self.shard_database if name in names.sharded else self.database
        everywhere = self._qualified(statement, database, names)
        # The cluster is named after the object, which comes first.
        everywhere = everywhere.replace(f"{database}.{name}", f"{database}.{name} {self._everywhere}", 1)
        if created is None:
            return [everywhere, *self._altered_for_reading(statement, name, names)]
        if created.group(1) != "TABLE" or not _ENGINE.search(statement):
            return [everywhere]
        if name not in names.sharded:
            return [self._replicated(everywhere, name, "all", "{shard}-{replica}")]
        reading = (
            f"CREATE TABLE IF NOT EXISTS {self.database}.{name} {self._everywhere} "
            f"AS {self.shard_database}.{name} "
            f"ENGINE = Distributed({self.name}, {self.shard_database}, {name})"
        )
        return [self._replicated(everywhere, name, "{shard}", "{replica}"), reading]

    def _qualified(self, statement: str, database: str, names: Names) -> str:
        """Every table and view of ours with the database that this statement means."""

        def named(match: re.Match[str]) -> str:
            if match.group(2) not in names.known:
                return match.group(0)
            return f"{match.group(1)} {database}.{match.group(2)}"

        return _LIKE.sub(named, _NAMED.sub(named, statement))

    def _replicated(self, statement: str, name: str, place: str, replica: str) -> str:
        path = f"'/clickhouse/tables/{self.database}/{place}/{name}', '{replica}'"

        def engine(match: re.Match[str]) -> str:
            arguments = f", {match.group(2)}" if match.group(2) else ""
            return f"ENGINE = Replicated{match.group(1)}({path}{arguments})"

        return _ENGINE.sub(engine, statement).replace(
            "non_replicated_deduplication_window = 10000",
            "replicated_deduplication_window = 10000, "
            f"replicated_deduplication_window_seconds = {_TOKEN_SECONDS}",
        )

    def _altered_for_reading(self, statement: str, name: str, names: Names) -> list[str]:
        """A sharded table's Distributed one gains and loses the same columns."""
        head, _, commands = re.sub(r"\s+", " ", statement).partition(f" {name} ")
        if name not in names.sharded or name in names.views or head != "ALTER TABLE":
            return []
        column_changes = [command for command in _commands(commands) if _COLUMN_CHANGES.match(command)]
        if not column_changes:
            return []
        return [f"ALTER TABLE {self.database}.{name} {self._everywhere} {', '.join(column_changes)}"]


@dataclass(frozen=True)
class Names:
    """The names in a schema: all of them; those of each shard; the materialized views."""

    known: frozenset[str]
    sharded: frozenset[str]
    views: frozenset[str]


def names_of(migrations: Mapping[int, Iterable[str]]) -> Names:
    """The names that the statements of a schema make."""
    known, sharded, views = set(), set(_OF_THE_SHARD), set()
    for statements in migrations.values():
        for statement in statements:
            created = _CREATED.match(statement)
            if created is None:
                continue
            known.add(created.group(2))
            filled = _FILLED.match(statement)
            if filled is not None:
                sharded.add(filled.group(1))
                views.add(created.group(2))
            if "ENGINE = Null" in statement:
                sharded.add(created.group(2))
    return Names(frozenset(known), frozenset(sharded | views), frozenset(views))


def _commands(text: str) -> list[str]:
    """The commands of an ALTER, which commas outside of parentheses and quotes divide."""
    commands, depth, quoted, start = [], 0, False, 0
    for at, letter in enumerate(text):
        if letter == "'":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([") - (letter in ")]")
            if letter == "," and depth == 0:
                commands.append(text[start:at].strip())
                start = at + 1
    return [*commands, text[start:].strip()]
