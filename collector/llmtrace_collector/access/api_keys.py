"""API keys: made here, shown once, kept as hashes in the store."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from llmtrace.common.token_bucket import TokenBucket
from llmtrace_collector.store.store import Store

Role = Literal["ingest", "read", "service", "dashboard", "admin"]

#: What each role may do, as the roles that endpoints ask for. `service` is the inference service's: it sends,
#: and writes the audit rows of its own administrators. Should the collector keep the list of who is blocked,
#: to read that belongs to this role too. `dashboard` is the dashboard's: it reads, decides what people decide
#: (incidents, prices), and says which person does.
ALLOWS: Mapping[Role, frozenset[Role]] = MappingProxyType(
    {
        "ingest": frozenset({"ingest"}),
        "read": frozenset({"read"}),
        "service": frozenset({"service", "ingest"}),
        "dashboard": frozenset({"dashboard", "read"}),
        "admin": frozenset({"admin", "dashboard", "service", "ingest", "read"}),
    }
)

#: Identities whose allowance is remembered: of tokens there are as many as the provider names.
_MOST_BUCKETS = 10_000


@dataclass(frozen=True)
class Key:
    """A key as it is remembered. `project` empty: every project; `requests_per_minute` 0: no limit."""

    key_id: str
    name: str
    project: str
    role: Role
    requests_per_minute: int = 0
    created_at: str = ""
    revoked_at: str | None = None


def new_key(project: str, role: Role, name: str, requests_per_minute: int) -> Key:
    """A key with an id of its own, made now and not saved yet."""
    return Key(f"key_{uuid.uuid4().hex[:12]}", name, project, role, requests_per_minute, _now())


def hashed(secret: str) -> str:
    """What is kept of a key. The secret has 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


class ApiKeyStore:
    """The keys in the store, and a copy in memory that requests are checked against.

    `refresh` brings the copy up to date with what other collectors on the same store did.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._live: dict[str, Key] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the keys anew. Raises StoreError."""
        with self._lock:
            self._live = {row["Hash"]: _key(row) for row in self._rows() if row["RevokedAt"] is None}

    def create(self, key: Key) -> str:
        """Save a new key; returns its secret, which is shown this once."""
        secret = f"llmt_{key.role}_{secrets.token_urlsafe(32)}"
        self._save(key, hashed(secret))
        self.refresh()
        return secret

    def revoke(self, key_id: str) -> Key:
        """End a key, which stays in the list; one that has ended already stays as it is. Raises KeyError."""
        for row in self._rows():
            if row["KeyId"] == key_id:
                key = _key(row)
                if key.revoked_at is None:
                    key = _key({**row, "RevokedAt": _now()})
                    self._save(key, row["Hash"])
                    self.refresh()
                return key
        raise KeyError(key_id)

    def get(self, key_id: str) -> Key | None:
        """A key by its id, revoked or not; None when there is none."""
        return next((key for key in self.all() if key.key_id == key_id), None)

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        return [_key(row) for row in self._rows()]

    def find(self, secret: str) -> Key | None:
        """The live key of a secret. It is looked up by its hash, so that time tells nothing of the secret."""
        return self._live.get(hashed(secret))

    def has_key_for(self, role: Role) -> bool:
        """Whether a live key allows what `role` does."""
        return any(role in ALLOWS[key.role] for key in self._live.values())

    def _rows(self) -> list[dict[str, Any]]:
        return self._store.rows("SELECT * FROM api_keys FINAL ORDER BY CreatedAt, KeyId")

    def _save(self, key: Key, digest: str) -> None:
        self._store.insert_rows(
            "api_keys",
            [
                {
                    "KeyId": key.key_id,
                    "Name": key.name,
                    "Project": key.project,
                    "Role": key.role,
                    "Hash": digest,
                    "RequestsPerMinute": key.requests_per_minute,
                    "CreatedAt": key.created_at,
                    "RevokedAt": key.revoked_at,
                    "Version": time.time_ns(),
                }
            ],
        )


def _key(row: dict[str, Any]) -> Key:
    return Key(
        row["KeyId"],
        row["Name"],
        row["Project"],
        row["Role"],
        int(row["RequestsPerMinute"]),
        row["CreatedAt"],
        row["RevokedAt"],
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


class RateLimit:
    """Requests of each identity within its minute. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, TokenBucket] = {}

    def wait(self, key_id: str, requests_per_minute: int) -> float:
        """Take one request of the allowance (0: none is set); the seconds until the next when none is left,
        else 0."""
        if not requests_per_minute:
            return 0.0
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.pop(key_id, None)
            if bucket is None or bucket.limit != requests_per_minute:
                bucket = TokenBucket(requests_per_minute, now)
            if len(self._buckets) >= _MOST_BUCKETS:  # the one that was asked for longest ago
                del self._buckets[next(iter(self._buckets))]
            self._buckets[key_id] = bucket
            seconds = bucket.seconds_until(1, now)
            if not seconds:
                bucket.take(1)
            return seconds
