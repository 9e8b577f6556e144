"""The statements of a checkout's schema and of one insert: `schema.py STORE_DIRECTORY SEGMENT
REDACTION_AS_JSON`.

Prints one JSON object: the database of the spans, the CREATE statement of each of its tables and views, and
what the store sends to the engine to insert the segment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chdb

from llmtrace_collector.store.schema.redaction import Redaction
from llmtrace_collector.store.store import open_store

_connect: Callable[..., Any] = chdb.connect
_statements: list[str] = []


class _Recording:
    """A handle on the engine that notes what is asked of it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def query(self, sql: str, *arguments: Any, **named: Any) -> Any:
        """Note a statement and run it."""
        _statements.append(sql)
        return self._handle.query(sql, *arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


def main() -> None:
    """Open a new store, insert the segment, print what happened."""
    chdb.connect = lambda *arguments, **named: _Recording(_connect(*arguments, **named))
    sets, drop_content = json.loads(sys.argv[3])
    store = open_store(f"chdb://{sys.argv[1]}", redaction=Redaction(tuple(sets), (), drop_content))
    _statements.clear()
    store.insert_segment("traces", Path(sys.argv[2]), "benchmark")
    inserts = list(_statements)
    rows = store.engine.execute(
        "SELECT database, name, create_table_query FROM system.tables WHERE database IN "
        "(SELECT database FROM system.tables WHERE name = 'otel_traces') FORMAT JSONEachRow"
    )
    tables = [json.loads(line) for line in rows.decode().splitlines()]
    creates = {table["name"]: table["create_table_query"] for table in tables if table["name"][0] != "."}
    print(json.dumps({"database": tables[0]["database"], "creates": creates, "inserts": inserts}), flush=True)
    sys.stdin.read()  # the store's directory holds a file that the statements name
    store.close()


if __name__ == "__main__":
    main()
