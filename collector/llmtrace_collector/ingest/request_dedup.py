"""Which requests were stored already: a sender that got no answer sends the same bytes again."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from .wal_frame import Frame

#: Days that a resend is recognised; spools replay days later.
KEPT_DAYS = 7


def digest(signal: str, frame: Frame) -> bytes:
    """What identifies a request: its signal, project and bytes."""
    head = f"{signal}\0{frame.project}\0".encode()
    return hashlib.sha256(head + frame.body).digest()


class RequestDedup:
    """Digests of requests on disk, kept `KEPT_DAYS`.

    `add` returns when they are on disk; the log calls it before it deletes a segment, whose own frames
    answer for it until then.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS seen (digest BLOB PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID"
        )
        self._forget_old()

    def __contains__(self, key: bytes) -> bool:
        with self._lock:
            return (
                self._database.execute("SELECT 1 FROM seen WHERE digest = ?", (key,)).fetchone() is not None
            )

    def add(self, keys: Iterable[bytes]) -> None:
        """Remember `keys`, on disk when this returns."""
        day = _today()
        with self._lock, self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?)", ((key, day) for key in keys)
            )

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()

    def _forget_old(self) -> None:
        with self._lock, self._database:
            self._database.execute("DELETE FROM seen WHERE day < ?", (_today() - KEPT_DAYS,))


def _today() -> int:
    return int(time.time() // 86400)
