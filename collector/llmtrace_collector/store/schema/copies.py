"""Tables that no ALTER brings to what they should be (another sorting key, partition key or engine): made
anew next to the old one, filled partition by partition, and then put in its place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.engine import ServerEngine

from . import former
from .home import COPIES, NEXT, Home
from .state import State

logger = logging.getLogger(__name__)

#: One INSERT for each partition, however many blocks and partitions that makes.
_WHOLE = {"max_partitions_per_insert_block": "0", "insert_deduplicate": "0"}


@dataclass(frozen=True)
class Copy:
    """A table that is made anew: what it is filled from, and what it should be."""

    source: State
    wanted: State
    #: What ALTER TABLE adds to the description's table.
    additions: tuple[str, ...] = ()

    @property
    def next(self) -> str:
        """The new table's name until it takes its place."""
        return f"{self.wanted.database}.{self.wanted.name}{NEXT}"

    @property
    def target(self) -> State:
        """The new table by its name until then."""
        return replace(self.wanted, name=f"{self.wanted.name}{NEXT}")

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns that are filled, each with its expression over the source's."""
        expressions = {}
        for column in self.wanted.columns:
            successor = former.SUCCESSORS.get((self.wanted.name, column.name))
            if not column.stored:
                continue
            if self.source.column(column.name) is not None:
                expressions[column.name] = f"`{column.name}`"
            elif successor is not None and self.source.column(successor.former) is not None:
                expressions[column.name] = successor.expression
        return expressions

    def insert(self, into: str, source: str, where: str) -> str:
        """The statement that copies rows for which `where` holds."""
        names = ", ".join(f"`{name}`" for name in self.columns)
        values = ", ".join(self.columns.values())
        return f"INSERT INTO {into} ({names}) SELECT {values} FROM {source} WHERE {where}"  # noqa: S608, ours


def copy_of(source: State, wanted: State) -> Copy:
    """How `source` is made anew as `wanted`, with the columns and settings that others gave it."""
    gone = former.COLUMNS.get(source.name, frozenset())
    known = {column.name for column in wanted.columns} | gone
    extra = tuple(column for column in source.columns if column.name not in known)
    settings = {name: value for name, value in source.settings.items() if name not in wanted.settings}
    additions = [f"ADD COLUMN IF NOT EXISTS {column.definition}" for column in extra]
    if settings:
        pairs = ", ".join(f"{name} = {value}" for name, value in settings.items())
        additions.append(f"MODIFY SETTING {pairs}")
    return Copy(source, replace(wanted, columns=(*wanted.columns, *extra)), tuple(additions))


def fill(home: Home, copy: Copy, create: Iterable[str]) -> None:
    """Make the new table by the statements `create`, and copy every partition that is not there yet or has
    changed since it was copied. May be interrupted and run again.
    """
    run = home.run
    run(
        f"CREATE TABLE IF NOT EXISTS {home.engine.database}.{COPIES} (Target String, Partition String, "
        "State String, At DateTime64(6) DEFAULT now64(6)) ENGINE = MergeTree ORDER BY (Target, Partition, At)"
    )
    for statement in create:
        run(statement)
    if home.cluster:
        # What changed meanwhile in other shards is not known here: all of it begins anew.
        run(f"TRUNCATE TABLE {copy.next}{home.everywhere} SYNC")
        _fill_other_shards(home, copy)
    done = {} if home.cluster else _done(home, copy)
    partitions = _partitions(home, copy.source)
    pending = [name for name, version in partitions.items() if done.get(name) != version]
    gone = [name for name in done if name not in partitions]
    same_key = copy.source.partition_key == copy.wanted.partition_key
    if same_key:
        # What was copied and has been erased since.
        for name in _partitions(home, copy.target).keys() - partitions.keys():
            run(f"ALTER TABLE {copy.next} DROP PARTITION ID {literal(name)}")
    elif (pending or gone) and not home.cluster:
        # Which of the new partitions an old one went to is not known: all of it begins anew.
        run(f"TRUNCATE TABLE {copy.next} SYNC")
        pending = list(partitions)
    began = time.monotonic()
    for number, name in enumerate(pending, 1):
        if same_key:
            run(f"ALTER TABLE {copy.next} DROP PARTITION ID {literal(name)}")
        home.run(copy.insert(copy.next, copy.source.place, f"_partition_id = {literal(name)}"), _WHOLE)
        _mark(home, copy, name, partitions[name])
        if time.monotonic() - began > 1:
            logger.info(
                "the store is brought up to date: %s, part %d of %d", copy.source.name, number, len(pending)
            )


def other_shards(cluster: str) -> str:
    """The statement that lists the shards of which this node is none: number and an address."""
    return (
        "SELECT shard_num, concat(any(host_name), ':', toString(any(port))) FROM system.clusters "  # noqa: S608
        f"WHERE cluster = {literal(cluster)} GROUP BY shard_num HAVING max(is_local) = 0 ORDER BY shard_num"
    )


def copy_of_shard(copy: Copy, address: str, user: str, password: str) -> str:
    """The statement that copies a table of another shard there."""

    def remote(place: str) -> str:
        database, _, table = place.partition(".")
        return f"remote({literals([address, database, table, user, password])})"

    return copy.insert(f"FUNCTION {remote(copy.next)}", remote(copy.source.place), "1")


def _fill_other_shards(home: Home, copy: Copy) -> None:
    """Copy the rows of other shards, each in its place."""
    if home.cluster is None or not isinstance(home.engine, ServerEngine):
        return
    rows = _pairs(home.engine.execute(other_shards(home.cluster.name)))
    for number, address in rows.items():
        logger.info("the store is brought up to date: %s of shard %s", copy.source.name, number)
        statement = copy_of_shard(copy, address, *home.engine.credentials)
        home.run(statement, _WHOLE)


def _partitions(home: Home, table: State) -> dict[str, str]:
    """The partitions of a table, each with a text that changes with its rows."""
    rows = home.engine.execute(
        "SELECT partition_id, concat(toString(max(max_block_number)), '-', toString(max(data_version))) "  # noqa: S608
        f"FROM system.parts WHERE active AND database = {literal(table.database)} "
        f"AND table = {literal(table.name)} GROUP BY partition_id ORDER BY partition_id"
    )
    return _pairs(rows)


def _done(home: Home, copy: Copy) -> dict[str, str]:
    rows = home.engine.execute(
        f"SELECT Partition, argMax(State, At) FROM {home.engine.database}.{COPIES} "  # noqa: S608, names of ours
        f"WHERE Target = {literal(copy.next)} GROUP BY Partition"
    )
    return _pairs(rows)


def _pairs(rows: bytes) -> dict[str, str]:
    return {line.split("\t")[0]: line.split("\t")[1] for line in rows.decode().splitlines()}


def _mark(home: Home, copy: Copy, name: str, version: str) -> None:
    home.run(
        f"INSERT INTO {home.engine.database}.{COPIES} (Target, Partition, State) "  # noqa: S608, quoted
        f"VALUES ({literal(copy.next)}, {literal(name)}, {literal(version)})"
    )
