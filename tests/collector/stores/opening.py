"""Stores of before, unpacked and opened, and what tests compare of them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.engine import EmbeddedEngine
from llmtrace_collector.store.store import Store, open_store

from . import make

#: What the last release before stores described themselves wrote.
SCHEMA_60 = Path(__file__).parent / "schema_60.tar.xz"

#: The days that the fixture's rows are kept.
DAYS = 3650


class Killed(BaseException):
    """The process ended here."""


def unpack(folder: Path, fixture: Path = SCHEMA_60) -> Path:
    """The fixture's store in `folder`."""
    with tarfile.open(fixture) as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


def opened(folder: Path) -> Store:
    """The store in `folder`, brought up to date."""
    return open_store(f"chdb://{folder}", DAYS)


def statements(store: Store) -> Mapping[str, str]:
    """The statement of every table and view of a store, as the engine has it."""
    rows = store.engine.execute(
        "SELECT concat(database, '.', name) AS name, create_table_query AS text FROM system.tables "
        "WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') "
        "ORDER BY name FORMAT JSONEachRow"
    )
    return {row["name"]: row["text"] for row in map(json.loads, rows.splitlines())}


def columns(store: Store) -> list[dict[str, Any]]:
    """Every column of every table and view, views' among them."""
    rows = store.engine.execute(
        "SELECT database, table, name, position, type, default_kind, default_expression, comment, "
        "compression_codec, is_in_sorting_key FROM system.columns WHERE database = 'llmtrace' "
        "ORDER BY table, position FORMAT JSONEachRow"
    )
    return [json.loads(line) for line in rows.splitlines()]


def insert(store: Store, folder: Path, first: int) -> None:
    """Store the fixture's spans again as others."""
    file = folder / f"traces-{first}.seg"
    frame = Frame("", make.BEGIN, make.spans(first).SerializeToString())
    file.write_bytes(b"".join(encode(frame)))
    store.insert_segment("traces", file, f"after-{first}")


def killed_at(monkeypatch: pytest.MonkeyPatch, folder: Path, kills: Callable[[str, int], bool]) -> bool:
    """Open the store as a process that ends before the statement for which `kills` of its text and number
    holds; whether it came so far. What reads, is only tried, or makes a function
    again is no such statement.
    """
    number = 0
    execute = EmbeddedEngine.execute

    def counting(self: EmbeddedEngine, sql: str, *arguments: Any, **named: Any) -> bytes:
        nonlocal number
        word = sql.split(None, 1)[0]
        is_function = sql.startswith("CREATE OR REPLACE FUNCTION")
        if word not in ("SELECT", "SHOW", "WITH") and "_scratch_" not in sql and not is_function:
            number += 1
            if kills(sql, number):
                raise Killed(sql)
        return execute(self, sql, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedEngine, "execute", counting)
        try:
            opened(folder).close()
        except Killed:
            return True
    return False
