"""What is worth watching at the endpoints: refused keys, keys in new places, denied reads.

Kept in memory, written every few seconds into the table `security_events`: what repeats from one place
within that time is one row, and a burst from many places is at most `_MOST` rows, so that no attacker fills
the disk.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.store import Store

from .client_address import network_of

#: What callers record. `key_used` and `key_new_address` follow from `used`.
Kind = Literal["key_refused", "read_denied", "cross_site", "body_too_large", "key_used", "key_new_address"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Rows of one flush, and what is remembered of uses: places beyond share a row of their kind.
_MOST, _MOST_USES = 200, 10_000

_DETAIL = 200

_SALT = secrets.token_bytes(32)

_DAY_SECONDS = 86_400

_PLACES = """SELECT DISTINCT KeyId, Address FROM security_events
WHERE Kind IN ('key_used', 'key_new_address') AND KeyId IN {keys:Array(String)}"""

_LAST_USES = """SELECT KeyId, toString(max(Timestamp)) AS At, argMax(Address, Timestamp) AS Address
FROM security_events WHERE Kind IN ('key_used', 'key_new_address') GROUP BY KeyId"""


@dataclass(frozen=True)
class _Place:
    kind: Kind
    key_id: str = ""
    address: str = ""
    project: str = ""


@dataclass
class _Burst:
    began: float
    detail: str
    count: int = 0


class SecurityEvents:
    """Any thread may record; `flush` is the background task's. Nothing recorded ever holds a secret."""

    def __init__(self, store: Store, metrics: CollectorMetrics) -> None:
        self._store = store
        self._counters = {kind: metrics.security_events.labels(kind) for kind in KINDS}
        self._lock = threading.Lock()
        self._bursts: dict[_Place, _Burst] = {}
        #: (key, place) → the day of its last use that is known here.
        self._days: dict[tuple[str, str], int] = {}
        self._uses: dict[tuple[str, str], tuple[float, str]] = {}

    def record(
        self, kind: Kind, *, key_id: str = "", address: str = "", project: str = "", detail: str = ""
    ) -> None:
        """Something happened, now. `address` is the client's, `detail` one short line without secrets."""
        self._counters[kind].inc()
        self._add(_Place(kind, key_id[:256], network_of(address), project[:128]), time.time(), _line(detail))

    def used(self, key_id: str, address: str, project: str = "") -> None:
        """A key was used from `address`. Costs two look-ups but for the first time of a day."""
        use = (key_id, address)
        now = time.time()
        day = int(now // _DAY_SECONDS)
        if self._days.get(use) == day:
            return
        with self._lock:
            if len(self._days) >= _MOST_USES:
                self._days.clear()
            self._days[use] = day
            if len(self._uses) < _MOST_USES:
                self._uses[key_id, network_of(address)] = (now, project)

    def flush(self) -> None:
        """Write what was recorded since the last time. Raises StoreError, and keeps it for the next time."""
        with self._lock:
            uses, self._uses = self._uses, {}
        try:
            self._place(uses)
        except BaseException:
            with self._lock:
                self._uses = {**uses, **self._uses}
            raise
        with self._lock:
            bursts, self._bursts = self._bursts, {}
        try:
            self._store.insert_rows("security_events", [_row(*item) for item in bursts.items()])
        except BaseException:
            for place, burst in bursts.items():
                self._add(place, burst.began, burst.detail, burst.count)
            raise

    def last_uses(self) -> dict[str, dict[str, str]]:
        """Key id → `last_used_at` (the first use of its last day) and `last_address`. Raises StoreError."""
        return {
            row["KeyId"]: {"last_used_at": row["At"], "last_address": row["Address"]}
            for row in self._store.rows(_LAST_USES)
        }

    def _place(self, uses: dict[tuple[str, str], tuple[float, str]]) -> None:
        """Record uses: of a key that is known from other places as from a new one."""
        if not uses:
            return
        keys = sorted({key_id for key_id, _ in uses})
        known = {(row["KeyId"], row["Address"]) for row in self._store.rows(_PLACES, {"keys": keys})}
        seen_before = {key_id for key_id, _ in known}
        for (key_id, address), (at, project) in uses.items():
            is_new = key_id in seen_before and (key_id, address) not in known
            kind: Kind = "key_new_address" if is_new else "key_used"
            self._counters[kind].inc()
            self._add(_Place(kind, key_id, address, project), at, "")
            seen_before.add(key_id)
            known.add((key_id, address))

    def _add(self, place: _Place, at: float, detail: str, count: int = 1) -> None:
        with self._lock:
            burst = self._bursts.get(place)
            if burst is None:
                if len(self._bursts) >= _MOST:
                    place, detail = _Place(place.kind), "from more places than are kept apart"
                burst = self._bursts.setdefault(place, _Burst(at, detail))
            burst.count += count


def mark_of(secret: str) -> str:
    """By which repeated attempts with one secret are known while this process lives; no guess of the secret
    can be checked against it.
    """
    return hmac.digest(_SALT, secret.encode(errors="surrogateescape"), "sha256").hex()[:8]


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:_DETAIL])


def _row(place: _Place, burst: _Burst) -> dict[str, Any]:
    return {
        "Timestamp": f"{burst.began:.3f}",
        "Kind": place.kind,
        "KeyId": place.key_id,
        "Address": place.address,
        "Project": place.project,
        "Detail": burst.detail,
        "Count": burst.count,
    }
