"""Rows that are deleted on purpose, noted as they go, so that the counts go on adding up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmtrace_collector.store.errors import StoreError
from llmtrace_collector.store.store import Store

from .day_counts import SIGNAL_OF, removal


@contextmanager
def noted_deletion(store: Store, table: str, where: str, begin: Callable[[], object]) -> Iterator[None]:
    """Around the wait for a deletion that `begin` starts: the rows for which `where` holds are noted as taken
    away, those that are left when the block raises are not. Raises StoreError.
    """
    if table not in SIGNAL_OF or store.engine.cluster is not None:
        begin()
        yield
        return
    # No row comes between the count and the deletion, which takes those that are there when it begins.
    with store.inserts_held():
        store.engine.execute(removal(table, where))
        begin()
    try:
        yield
    except StoreError:
        store.engine.execute(removal(table, where, taken_back=True))
        raise
