"""Say of a store that a later program brought it to a schema of its own: `newer_store.py STORE`."""

from __future__ import annotations

import sys

from llmtrace_collector.store.store import open_store


def main(path: str) -> None:
    """Add a row with a greater number."""
    store = open_store(f"chdb://{path}")
    try:
        columns = "Number, Release, Digest, State"
        newest = "SELECT max(Number) + 7, '99.0.0', 'of a later program', 'of a later program'"
        store.engine.execute(f"INSERT INTO store_versions ({columns}) {newest} FROM store_versions")
    finally:
        store.close()


if __name__ == "__main__":
    main(sys.argv[1])
