"""Days of a rollup made beside the live table and swapped in as a whole, so that readers never see half
of one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.sql_text import unreplicated

#: How long another collector may be at a copy; what is older was left by one that was killed.
_ABANDONED_HOURS = 24


@contextmanager
def empty_copy(engine: StoreEngine, table: str) -> Iterator[str]:
    """The name of an empty table that partitions of `table` can be made in; on one replica alone, where
    the table itself has several. It is dropped at the end, like those that a kill left.
    """
    _drop_abandoned(engine, table)
    text = engine.execute(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String} "
        "FORMAT TSVRaw",
        {"table": table},
    ).decode()
    copy = f"{table}_rebuild_{uuid.uuid4().hex[:8]}"
    engine.execute(f"CREATE TABLE {copy} AS {table} ENGINE = {unreplicated(text.strip())}")
    try:
        yield copy
    finally:
        engine.execute(f"DROP TABLE IF EXISTS {copy} SYNC")


def replace_day(engine: StoreEngine, table: str, day: str, copy: str) -> None:
    """Put the copy's day (`YYYY-MM-DD`), which may be empty, in the place of the table's."""
    engine.execute(
        f"ALTER TABLE {table} REPLACE PARTITION {literal(day)} FROM {copy}",
        settings={"allow_replace_partition_from_empty_source": "1"},
    )


def columns(engine: StoreEngine, table: str) -> str:
    """A table's columns with commas between: their places differ between stores of different ages."""
    names = engine.execute(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "ORDER BY position FORMAT TSVRaw",
        {"table": table},
    )
    return ", ".join(names.decode().split())


def _drop_abandoned(engine: StoreEngine, table: str) -> None:
    """Drop copies of `table` that a kill left: here nobody else makes any, on a server others may be at
    theirs.
    """
    age = (
        "" if engine.alone else f"AND metadata_modification_time < now() - toIntervalHour({_ABANDONED_HOURS})"
    )
    names = engine.execute(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "  # noqa: S608 - ours
        f"AND startsWith(name, {literal(table + '_rebuild')}) {age} FORMAT TSVRaw"
    )
    for name in names.decode().split():
        engine.execute(f"DROP TABLE IF EXISTS {name} SYNC")
