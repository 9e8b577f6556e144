"""The margins that labels ask for: as they are now, from the store, or as they were at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickhouse_connect.driver.client import Client

from . import store_queries
from .labels import MEMORY_SECONDS, Labelled, Margin, margins

#: A label takes effect within so many seconds.
_EVERY_SECONDS = 30.0

_HOUR = 3600


class LabelMargins:
    """The margins by fingerprint as they are now. The store is asked every half minute."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._margins: Mapping[str, Margin] = {}

    def read(self, client: Client, now: float) -> Mapping[str, Margin]:
        """Fingerprint → margin at `now` (Unix seconds). Raises what the store does."""
        if not 0 <= now - self._read_at < _EVERY_SECONDS:
            self._margins = margins(store_queries.labels(client, now - MEMORY_SECONDS), now)
            self._read_at = now
        return self._margins


class PastMargins:
    """The margins by fingerprint as they were, from labels of any time."""

    def __init__(self, labels: Sequence[Labelled]) -> None:
        self._labels = labels
        self._at = (-1, 0)
        self._margins: Mapping[str, Margin] = {}

    def at(self, time: float) -> Mapping[str, Margin]:
        """Fingerprint → margin by what was labelled until `time` (Unix seconds), its decay to the hour."""
        known = sum(item.at <= time for item in self._labels)
        if known and self._at != (int(time) // _HOUR, known):
            self._at = (int(time) // _HOUR, known)
            self._margins = margins(self._labels, time)
        return self._margins if known else {}
