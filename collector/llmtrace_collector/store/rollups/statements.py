"""Statements of the rollups, from the files in `schema/sql/rollups`, and how they run."""

from __future__ import annotations

from collections.abc import Mapping

from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.description import render_rollup

#: What one pass writes of a day is one block: it is seen as a whole.
WRITE_SETTINGS: Mapping[str, str] = {
    "max_insert_block_size": "1048576000",
    "min_insert_block_size_rows": "1048576000",
    "min_insert_block_size_bytes": "1073741824",
    "max_insert_threads": "1",
    "max_partitions_per_insert_block": "0",
    "async_insert": "0",
    # What a pass repeats replaces what it wrote: no token has to be remembered.
    "insert_deduplicate": "0",
    # A pass makes each key once: there is nothing to merge in a block, row by row and column by column.
    "optimize_on_insert": "0",
    # Between two passes the spans have priority.
    "max_threads": "1",
    "max_memory_usage": str(2 << 30),
    "max_bytes_before_external_group_by": str(512 << 20),
    "max_bytes_before_external_sort": str(512 << 20),
}


def run_rollup(engine: StoreEngine, name: str, **values: object) -> None:
    """Run the INSERT in `rollups/<name>.sql`.

    Its rows' version is a time before the spans are read: of two passes at once, the rows of the one that
    knows less give way, or its next pass has to come to what it did not know.
    """
    version = int(engine.execute("SELECT toUnixTimestamp64Nano(now64(9))"))
    engine.execute(render_rollup(name, **values, version=version), settings=WRITE_SETTINGS)


def ask_rollup(engine: StoreEngine, name: str, **values: object) -> list[list[str]]:
    """The rows of the SELECT in `rollups/<name>.sql`, as texts."""
    return [line.split("\t") for line in engine.execute(render_rollup(name, **values)).decode().splitlines()]
