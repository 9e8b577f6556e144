"""The store: one ClickHouse schema in two homes. Readers need `open_reader` alone."""

from .reader import open_reader
from .store import Store, open_store

__all__ = ["Store", "open_reader", "open_store"]
