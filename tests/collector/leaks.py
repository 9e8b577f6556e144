"""Looks for texts in everything that a collector leaves on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtrace_collector.store.store import Store, open_store


@contextmanager
def uncompressed(data_dir: Path) -> Iterator[Store]:
    """A store in `data_dir` whose every column is written as it is, so that its files can be searched."""
    store = open_store(f"chdb://{data_dir.absolute()}/store")
    try:
        for table in _tables(store):
            names = store.engine.execute(
                "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {t:String} "
                # Not those that say which row of a key holds: the engine refuses, and they hold no text.
                "AND default_kind NOT IN ('ALIAS', 'EPHEMERAL') AND name NOT IN ('Version', 'IsDeleted')",
                {"t": table},
            )
            changes = [f"MODIFY COLUMN `{name}` CODEC(NONE)" for name in names.decode().split("\n") if name]
            store.engine.execute(f"ALTER TABLE {table} {', '.join(changes)}")
        yield store
    finally:
        store.close()


def _tables(store: Store) -> list[str]:
    # The owner asks: readers are told of no tables.
    names = store.engine.execute(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    return names.decode().split()


def texts_in_tables(store: Store, texts: Iterable[bytes]) -> set[bytes]:
    """Those of `texts` that some row of some table holds."""
    wanted = set(texts)
    matches: set[bytes] = set()
    for table in _tables(store):
        rows = store.engine.execute(f"SELECT * FROM {table} FORMAT RowBinary")
        matches |= {text for text in wanted if text in rows}
    return matches


def texts_in_files(folder: Path, texts: Iterable[bytes]) -> set[bytes]:
    """Those of `texts` that a file below `folder` holds or is named by; not the log's segments."""
    wanted = set(texts)
    matches: set[bytes] = set()
    for file in folder.rglob("*"):
        matches |= {text for text in wanted if text in file.name.encode()}
        if file.suffix == ".seg" and file.parent.name in ("wal", "split"):
            continue
        try:
            data = file.read_bytes() if file.is_file() else b""
        except FileNotFoundError:  # merged away meanwhile
            continue
        matches |= {text for text in wanted if text in data}
    return matches
