"""API keys: made here, shown once, kept as hashes in the store."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from llmtrace.common.token_bucket import TokenBucket
from llmtrace_collector.store.store import Store

Role = Literal["ingest", "read", "admin"]


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

    def create(self, project: str, role: Role, name: str, requests_per_minute: int) -> tuple[Key, str]:
        """A new key and its secret, which is shown this once."""
        secret = f"llmt_{role}_{secrets.token_urlsafe(32)}"
        key = Key(f"key_{uuid.uuid4().hex[:12]}", name, project, role, requests_per_minute, _now())
        self._save(key, hashed(secret))
        self.refresh()
        return key, secret

    def revoke(self, key_id: str) -> Key | None:
        """End a key; None when there is none of that id. A revoked key stays in the list."""
        for row in self._rows():
            if row["KeyId"] == key_id:
                key = _key(row)
                if key.revoked_at is None:
                    key = _key({**row, "RevokedAt": _now()})
                    self._save(key, row["Hash"])
                    self.refresh()
                return key
        return None

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        return [_key(row) for row in self._rows()]

    def find(self, secret: str) -> Key | None:
        """The live key of a secret. It is looked up by its hash, so that time tells nothing of the secret."""
        return self._live.get(hashed(secret))

    def has_key_for(self, role: Role) -> bool:
        """Whether a live key allows what `role` does."""
        return any(key.role in (role, "admin") for key in self._live.values())

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
    """Requests of each key within its minute. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, TokenBucket] = {}

    def wait(self, key: Key) -> float:
        """Take one request of the key's allowance; the seconds until the next when none is left, else 0."""
        if not key.requests_per_minute:
            return 0.0
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.get(key.key_id)
            if bucket is None or bucket.limit != key.requests_per_minute:
                bucket = self._buckets[key.key_id] = TokenBucket(key.requests_per_minute, now)
            seconds = bucket.seconds_until(1, now)
            if not seconds:
                bucket.take(1)
            return seconds
