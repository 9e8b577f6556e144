"""One collector at a time changes the schema of a server's store; others that start with it wait.

The lock is a table: of several collectors that make it, one does. While its holder works, it adds a row to
the table every few seconds. A holder that was killed adds none: whoever has seen none for a minute puts its
own lock in that one's place, and a holder that only slept finds its lock lost before its next statement.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreError, StoreMismatch

from .home import LOCK, Home

logger = logging.getLogger(__name__)

#: Seconds between two rows of a holder, after which it counts as dead, and between two readings of its lock.
_BEAT, _DEAD, _EVERY_SECONDS = 5.0, 60.0, 0.5

#: Seconds between two lines of the log while one waits.
_REMINDER = 30.0

#: ClickHouse's codes: the table is there already; it is not.
_EXISTS, _UNKNOWN = 57, 60

_BEGINNING = "llmtrace is brought up to date by "


@contextmanager
def upgrade_lock(home: Home) -> Iterator[Home]:
    """Wait for the lock of `home`, hold it, and give it back; what is run through the `Home` that this yields
    is refused once the lock was lost. The embedded engine has one process per directory and needs no lock.
    """
    if home.embedded:
        yield home
        return
    lock = _Lock(home)
    lock.acquire()
    beat = threading.Thread(target=lock.beat, name="llmtrace-upgrade-lock", daemon=True)
    beat.start()
    try:
        yield replace(home, demand_held=lock.demand_held)
    finally:
        lock.released.set()
        beat.join()
        lock.give_back()


@dataclass
class _Lock:
    home: Home
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    released: threading.Event = field(default_factory=threading.Event)
    #: When it was last known to be held (monotonic seconds).
    seen: float = 0.0

    @property
    def place(self) -> str:
        return f"{self.home.engine.database}.{LOCK}"

    @property
    def text(self) -> str:
        """What the table says of its holder."""
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        return f"{_BEGINNING}process {os.getpid()} on {socket.gethostname()} since {began} UTC: {self.id}"

    def acquire(self) -> None:
        """Return once the lock is this one's."""
        holder, rows, changed, logged = "", 0, time.monotonic(), -_REMINDER
        while not self._make():
            now = self._read_holder()
            if now is None:
                continue
            if now != (holder, rows):
                (holder, rows), changed = now, time.monotonic()
            elif time.monotonic() - changed > _DEAD:
                self._take_from(holder)
                continue
            if time.monotonic() - logged >= _REMINDER:
                logger.info("waiting for another collector: %s", holder)
                logged = time.monotonic()
            time.sleep(_EVERY_SECONDS)
        self.seen = time.monotonic()

    def _make(self) -> bool:
        """Make the table; False where it is there."""
        cluster = self.home.cluster
        # A path of its own: that of a table which was renamed is still in use.
        engine = cluster.engine(f"{LOCK}/{self.id}", "MergeTree") if cluster else "MergeTree"
        try:
            self.home.run(
                f"CREATE TABLE {self.place}{self.home.everywhere} (At DateTime64(6) DEFAULT now64(6)) "
                f"ENGINE = {engine} ORDER BY At COMMENT {literal(self.text)}"
            )
        except StoreError as error:
            if error.code != _EXISTS:
                raise
            return False
        return True

    def _holder(self) -> str:
        """What the table says of its holder, '' where there is none."""
        text = self.home.engine.execute(
            f"SELECT comment FROM system.tables WHERE database = {literal(self.home.engine.database)} "  # noqa: S608
            f"AND name = {literal(LOCK)} FORMAT TSVRaw"
        )
        return text.decode().rstrip("\n")

    def _read_holder(self) -> tuple[str, int] | None:
        """The holder and its number of rows; None where the lock is free."""
        holder = self._holder()
        try:
            rows = int(self.home.engine.execute(f"SELECT count() FROM {self.place}"))  # noqa: S608, ours
        except StoreError as error:
            if error.code != _UNKNOWN:
                raise
            return None
        if holder and not holder.startswith(_BEGINNING):
            raise StoreMismatch(
                f"{self.place} is in the way: while llmtrace changes its tables, it has one of that name. "
                "Rename it, or give llmtrace a database of its own"
            )
        return (holder, rows) if holder else None

    def _take_from(self, holder: str) -> None:
        """Put a dead holder's lock aside. Of several that wait one does: the second finds the name taken."""
        dead = f"{self.place}_{holder.rpartition(' ')[2]}"
        logger.warning("%s; that one has given no sign for %d s: its place is taken", holder, _DEAD)
        try:
            self.home.run(f"RENAME TABLE {self.place} TO {dead}{self.home.everywhere}")
        except StoreError as error:
            if error.code not in (_EXISTS, _UNKNOWN):
                raise

    def beat(self) -> None:
        """Show again and again that the holder lives, until the lock is given back."""
        while not self.released.wait(_BEAT):
            began = time.monotonic()
            try:
                if not self._holder().endswith(self.id):
                    self.seen = -_DEAD
                    return
                self.home.run(f"INSERT INTO {self.place} (At) VALUES (now64(6))")  # noqa: S608, ours
            except StoreError as error:
                logger.warning("the lock of the store's schema cannot be held: %s", error)
            else:
                self.seen = began

    def demand_held(self) -> None:
        """Raise StoreMismatch where another may have the lock."""
        if time.monotonic() - self.seen > _DEAD:
            raise StoreMismatch(
                "another collector has begun to bring the store up to date, since this one gave no sign for "
                "too long: start it again"
            )

    def give_back(self) -> None:
        """Drop the table, and those of dead holders, which had to stay until no one could take theirs."""
        try:
            if not self._holder().endswith(self.id):
                return
            dead = self.home.engine.execute(
                f"SELECT name FROM system.tables WHERE database = {literal(self.home.engine.database)} "  # noqa: S608
                f"AND match(name, {literal(f'^{LOCK}_[0-9a-f]{{32}}$')})"
            )
            for name in (*dead.decode().split(), LOCK):
                database = self.home.engine.database
                self.home.run(f"DROP TABLE IF EXISTS {database}.{name}{self.home.everywhere} SYNC")
        except StoreError as error:
            logger.warning("the lock of the store's schema could not be given back: %s", error)
