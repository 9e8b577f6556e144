"""The margins that labels ask for: as they are now, from the store, or as they were at any time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from clickhouse_connect.driver.client import Client

from . import store_queries
from .labels import MEMORY_SECONDS, NO_MARGIN, Labelled, Margin, margins

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


def margin_now(client: Client, fingerprint: str, now: float | None = None) -> Margin:
    """The margin of one rule and series, by its incidents' fingerprint."""
    at = time.time() if now is None else now
    return margins(store_queries.labels(client, at - MEMORY_SECONDS), at).get(fingerprint, NO_MARGIN)


class PastMargins:
    """The margins by fingerprint as they were, from labels of any time."""

    def __init__(self, labels: Sequence[Labelled]) -> None:
        self._labels = labels
        self._at = (-1, 0)
        self._margins: Mapping[str, Margin] = {}

    def at(self, moment: float) -> Mapping[str, Margin]:
        """Fingerprint → margin by what was labelled until then (Unix seconds), its decay to the hour."""
        known = sum(item.at <= moment for item in self._labels)
        if known and self._at != (int(moment) // _HOUR, known):
            self._at = (int(moment) // _HOUR, known)
            self._margins = margins(self._labels, moment)
        return self._margins if known else {}
