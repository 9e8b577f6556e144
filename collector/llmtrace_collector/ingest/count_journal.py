"""Counts of segments on disk, from when they leave the log until they are in the store.

What a segment held is written here before its file leaves the log, and holds only once it has: a process
that is killed anywhere counts each row once. A segment that goes back from the quarantine takes its counts
with it in the same way.

Each segment is noted here as well from when it is opened until it leaves: one that is noted and whose file is
not there was taken away by somebody else.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llmtrace.common.durable_files import sync_directory
from llmtrace.common.sealed_files import EncryptionKeys, seal, unseal

from .sqlite_damage import is_damage
from .validate import ServiceRows
from .wal_frame import Frame

logger = logging.getLogger(__name__)

_FILE = "counts.sqlite"

#: What SQLite keeps next to a file that is open.
_RESTS = ("-wal", "-shm")

_MINUTE = 60_000_000_000


class Arrival(NamedTuple):
    """Whose rows came when: `minute` in Unix seconds."""

    project: str
    service: str
    minute: int


@dataclass(frozen=True)
class JournalRow:
    """Rows of a signal that left the log since the last batch."""

    signal: str
    arrival: Arrival
    received: int
    quarantined: int


@dataclass(frozen=True)
class JournalBatch:
    """What is added to the store at once, always the same under one name."""

    name: str
    rows: tuple[JournalRow, ...]


@dataclass(frozen=True)
class NotedSegment:
    """What is known of a segment that should be in the log: so many requests, and whose rows. Where it was
    not closed when that was noted it may have held more.
    """

    file: str
    requests: int = 0
    arrivals: Mapping[Arrival, int] = field(default_factory=dict)
    is_closed: bool = False


class CountJournal:
    """The journal of the log in `folder`, which holds names of senders: encrypted where there are `keys`.
    Safe to call from any thread. A damaged file is set aside with a warning: it holds the counts of the last
    seconds.

    It lies next to the folder, not in it: who deletes the log does not delete what is known of it.
    """

    def __init__(self, folder: Path, keys: EncryptionKeys | None = None) -> None:
        self._folder = folder
        self._file = folder.parent / _FILE
        self._keys = keys
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        _move_out(folder / _FILE, self._file)
        try:
            self._database = _open(self._file)
        except sqlite3.DatabaseError as error:
            if not is_damage(error, self._file):
                raise
            aside = self._file.with_name(f"{_FILE}.damaged-{uuid.uuid4().hex[:8]}")
            self._file.rename(aside)
            for rest in _RESTS:
                self._file.with_name(f"{_FILE}{rest}").unlink(missing_ok=True)
            logger.warning(
                "%s is damaged (%s) and was set aside as %s: what was received in the last seconds before "
                "the last stop may be missing in `completeness`",
                self._file,
                error,
                aside.name,
            )
            self._database = _open(self._file)

    def note(
        self,
        file: Path,
        signal: str,
        received: Mapping[Arrival, int],
        quarantined: Mapping[Arrival, int],
        *,
        back: bool = False,
    ) -> None:
        """Write down what leaves with `file`, which is within the folder: it counts once that is not there
        any more, in place of what was written of it before. `back`: it goes back to the log, and its counts
        are taken away. On disk when this returns; raises sqlite3.Error.
        """
        name, sign = str(file.relative_to(self._folder)), -1 if back else 1
        rows = [
            (signal, *arrival, sign * received.get(arrival, 0), sign * quarantined.get(arrival, 0))
            for arrival in sorted(received.keys() | quarantined.keys())
        ]
        sealed = self._sealed(rows)
        with self._lock, self._database:
            self._database.execute("DELETE FROM counts WHERE file = ? AND batch = ''", (name,))
            self._database.execute("INSERT INTO counts VALUES (?, ?, '')", (name, sealed))
            self._database.execute("DELETE FROM segments WHERE file = ?", (name,))

    def note_opened(self, files: Sequence[str]) -> None:
        """Note segments by the names of their files, which are in the folder by now. On disk when this
        returns; raises sqlite3.Error.
        """
        with self._lock, self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO segments VALUES (?, x'')", [(name,) for name in files]
            )

    def note_held(self, segments: Iterable[NotedSegment]) -> None:
        """Note what segments hold that are noted still. Raises sqlite3.Error."""
        values = [
            (
                self._sealed([item.requests, item.is_closed, [(*of, n) for of, n in item.arrivals.items()]]),
                item.file,
            )
            for item in segments
        ]
        if values:
            with self._lock, self._database:
                self._database.executemany("UPDATE segments SET held = ? WHERE file = ?", values)

    def is_pending(self, file: Path) -> bool:
        """Whether what left with `file` (within the folder) is not counted yet. Raises sqlite3.Error."""
        name = str(file.relative_to(self._folder))
        with self._lock:
            row = self._database.execute("SELECT 1 FROM counts WHERE file = ? AND batch = ''", (name,))
            return row.fetchone() is not None

    def forget(self, file: str) -> None:
        """Take back that a segment was opened: nothing was acknowledged of it. Raises sqlite3.Error."""
        with self._lock, self._database:
            self._database.execute("DELETE FROM segments WHERE file = ?", (file,))

    def noted_segments(self) -> list[NotedSegment]:
        """All segments that should be in the log. Raises sqlite3.Error."""
        with self._lock:
            rows = self._database.execute("SELECT file, held FROM segments ORDER BY file").fetchall()
        return [self._noted(str(name), held) for name, held in rows]

    def _noted(self, name: str, held: bytes) -> NotedSegment:
        try:
            requests, is_closed, owners = json.loads(unseal(held, self._keys)) if held else (0, False, [])
            arrivals = {Arrival(*owner[:3]): int(owner[3]) for owner in owners}
        except (TypeError, ValueError) as error:  # it was there, and that is known all the same
            logger.warning("what %s held cannot be read in %s: %s", name, self._file, error)
            return NotedSegment(name)
        return NotedSegment(name, int(requests), arrivals, bool(is_closed))

    def _sealed(self, value: object) -> bytes:
        text = json.dumps(value).encode()
        return text if self._keys is None else seal(text, self._keys)

    def batches(self) -> list[JournalBatch]:
        """What is to be added to the store, as batches that stay what they are until they are `done`.

        Raises sqlite3.Error, OSError, SealBroken.
        """
        with self._lock:
            files = self._database.execute("SELECT DISTINCT file FROM counts WHERE batch = ''").fetchall()
            gone = [(name,) for (name,) in files if not (self._folder / name).exists()]
            if gone:
                # What a power cut brings back would be counted twice.
                for folder in {(self._folder / name).parent for (name,) in gone}:
                    sync_directory(folder if folder.is_dir() else self._folder.parent)
                batch = uuid.uuid4().hex
                with self._database:
                    self._database.executemany(
                        "UPDATE counts SET batch = ? WHERE file = ? AND batch = ''",
                        [(batch, name) for (name,) in gone],
                    )
            batches: dict[str, list[bytes]] = {}
            for batch, sealed in self._database.execute(
                "SELECT batch, rows FROM counts WHERE batch != '' ORDER BY batch"
            ):
                batches.setdefault(batch, []).append(sealed)
        return [JournalBatch(name, self._summed(texts)) for name, texts in batches.items()]

    def _summed(self, texts: Iterable[bytes]) -> tuple[JournalRow, ...]:
        received: Counter[tuple[str, Arrival]] = Counter()
        quarantined: Counter[tuple[str, Arrival]] = Counter()
        for text in texts:
            for signal, project, service, minute, came, set_aside in json.loads(unseal(text, self._keys)):
                owner = (signal, Arrival(project, service, minute))
                received[owner] += came
                quarantined[owner] += set_aside
        return tuple(JournalRow(*owner, received[owner], quarantined[owner]) for owner in sorted(received))

    def rename(self, batch: JournalBatch) -> None:
        """Give a batch another name, and so other rows. Raises sqlite3.Error."""
        with self._lock, self._database:
            self._database.execute(
                "UPDATE counts SET batch = ? WHERE batch = ?", (uuid.uuid4().hex, batch.name)
            )

    def done(self, batches: Iterable[JournalBatch]) -> None:
        """Forget batches that are in the store, to the last byte: names may be what redaction replaces there.
        Raises sqlite3.Error.
        """
        with self._lock:
            with self._database:
                self._database.executemany(
                    "DELETE FROM counts WHERE batch = ?", [(batch.name,) for batch in batches]
                )
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()


def _move_out(before: Path, file: Path) -> None:
    """Earlier releases had the journal in the log's folder."""
    if not before.exists() or file.exists():
        return
    try:
        _open(before).close()  # which brings what lies next to it into it
    except sqlite3.DatabaseError as error:
        logger.warning("%s cannot be read, and is moved as it is: %s", before, error)
    before.rename(file)
    for rest in _RESTS:
        before.with_name(f"{_FILE}{rest}").unlink(missing_ok=True)
    sync_directory(before.parent)
    sync_directory(file.parent)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        database.execute(
            "CREATE TABLE IF NOT EXISTS counts (file TEXT NOT NULL, rows BLOB NOT NULL, batch TEXT NOT NULL)"
        )
        database.execute("CREATE TABLE IF NOT EXISTS segments (file TEXT PRIMARY KEY, held BLOB NOT NULL)")
        (answer,) = database.execute("PRAGMA quick_check").fetchone()
    except BaseException as error:
        database.close()
        if isinstance(error, UnicodeDecodeError):  # the schema, or what SQLite quotes of it
            raise sqlite3.DatabaseError(f"it holds no text: {error}") from error
        raise
    if answer != "ok":
        database.close()
        raise sqlite3.DatabaseError(answer)
    return database


def arrivals_of(frame: Frame, services: Iterable[ServiceRows]) -> Counter[Arrival]:
    """Whose rows came with a frame."""
    arrivals: Counter[Arrival] = Counter()
    minute = frame.received // _MINUTE * 60
    for rows in services:
        if rows.accepted:
            project = frame.project or rows.project or "default"
            arrivals[Arrival(project, rows.service, minute)] += rows.accepted
    return arrivals
