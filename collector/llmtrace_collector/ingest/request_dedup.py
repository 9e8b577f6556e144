"""Which requests were stored already: a sender that got no answer sends the same bytes again."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtrace.common.durable_files import sync_directory

from .sqlite_damage import is_damage
from .wal_frame import Frame

logger = logging.getLogger(__name__)

#: Days that a resend is recognised; spools replay days later.
KEPT_DAYS = 7


def digest(signal: str, frame: Frame) -> bytes:
    """What identifies a request: its signal, project and bytes."""
    head = f"{signal}\0{frame.project}\0".encode()
    return hashlib.sha256(head + frame.body).digest()


class RequestDedup:
    """Digests of requests on disk, kept `KEPT_DAYS`.

    `add` returns when they are on disk; the log calls it before it deletes a segment, whose own frames
    answer for it until then. A file that is damaged, whenever that is noticed, is set aside and begun anew:
    of what was stored before, a request that is sent again is then stored again.
    """

    def __init__(self, path: Path) -> None:
        """Raises ValueError, which names the file and what to do, where it cannot be opened."""
        self._path = path
        self._lock = threading.Lock()
        try:
            self._database = self._opened()
        except sqlite3.DatabaseError as error:
            if not is_damage(error, self._path):
                raise ValueError(
                    f"{path} cannot be opened ({error}): let this process's user read and write it, make "
                    "room on its disk, or move it elsewhere"
                ) from error
            self._database = self._renewed(error)

    def __contains__(self, key: bytes) -> bool:
        with self._lock, self._renewing():
            return (
                self._database.execute("SELECT 1 FROM seen WHERE digest = ?", (key,)).fetchone() is not None
            )
        return False

    def add(self, keys: Iterable[bytes]) -> None:
        """Remember `keys`, on disk when this returns."""
        rows = [(key, _today()) for key in keys]
        with self._lock:
            with self._renewing():
                self._insert(rows)
                return
            self._insert(rows)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()

    def _insert(self, rows: list[tuple[bytes, int]]) -> None:
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS seen (digest BLOB PRIMARY KEY, day INTEGER NOT NULL) "
                "WITHOUT ROWID"
            )
            with database:
                database.execute("DELETE FROM seen WHERE day < ?", (_today() - KEPT_DAYS,))
        except BaseException as error:
            database.close()
            if isinstance(error, UnicodeDecodeError):  # the schema, or what SQLite quotes of it
                raise sqlite3.DatabaseError(f"it holds no text: {error}") from error
            raise
        return database

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Begin the file anew where it shows to be damaged; what was asked of it is left undone then."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not is_damage(error, self._path):
                raise
            self._database.close()
            self._database = self._renewed(error)

    def _renewed(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
        self._path.rename(aside)
        for rest in ("-wal", "-shm"):
            self._path.with_name(self._path.name + rest).unlink(missing_ok=True)
        sync_directory(self._path.parent)
        logger.warning(
            "%s is damaged (%s): it was set aside as %s and begun anew. It held which requests of the last "
            "%d days were stored: one that is sent again, by a spool for one, is stored twice. Delete "
            "the file that was set aside once you have seen it",
            self._path,
            error,
            aside.name,
            KEPT_DAYS,
        )
        return self._opened()


def _today() -> int:
    return int(time.time() // 86400)
