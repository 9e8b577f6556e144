"""Which segments should lie in the log: one whose file somebody took away is noticed at the next start.

Its rows, as far as they were noted, count as received and as quarantined from then on, and an entry of the
quarantine tells of it until somebody deletes that, or puts the file back.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Container, Iterable
from pathlib import Path

from .count_journal import CountJournal, NotedSegment
from .log_damage import Damage
from .quarantine import Quarantine
from .segment import Segment, is_segment_name

logger = logging.getLogger(__name__)


class SegmentLedger:
    """Notes the segments of the log in `folder` in the `journal`, without one nowhere. A journal that cannot
    be written keeps no request away: what is not noted is not missed, and nothing else depends on it.
    """

    def __init__(self, folder: Path, journal: CountJournal | None, quarantine: Quarantine) -> None:
        self._folder = folder
        self._journal = journal
        self._quarantine = quarantine
        self._rows: dict[str, tuple[int, bool]] = {}

    def note_opened(self, *segments: Segment) -> None:
        """Note segments whose files are there by now, before anything of them is acknowledged."""
        if self._journal is None or not segments:
            return
        try:
            self._journal.note_opened([segment.path.name for segment in segments])
        except sqlite3.Error as error:
            logger.warning("that %s was opened is not noted: %s", segments[0].token, error)

    def note_held(self, segments: Iterable[Segment], opened: Container[str]) -> None:
        """Note what segments hold by now, where that has changed; `opened`: tokens of those that are written
        to. Raises sqlite3.Error.
        """
        if self._journal is None:
            return
        changed: list[NotedSegment] = []
        rows: dict[str, tuple[int, bool]] = {}
        for segment in segments:
            is_closed = segment.token not in opened
            arrivals = segment.arrivals.copy()
            rows[segment.token] = arrivals.total(), is_closed
            if self._rows.get(segment.token) != rows[segment.token]:
                changed.append(NotedSegment(segment.path.name, len(segment.digests), arrivals, is_closed))
        self._journal.note_held(changed)
        self._rows = rows

    def forget(self, path: Path) -> None:
        """Take back that a segment was opened of which nothing was acknowledged, before its file goes."""
        if self._journal is None:
            return
        try:
            self._journal.forget(path.name)
        except sqlite3.Error as error:
            logger.warning("that %s was empty is not noted: %s", path.name, error)

    def find_missing(self) -> None:
        """Make entries of the segments that are noted and not there. Raises OSError."""
        self._quarantine.load_missing()
        if self._journal is None:
            return
        try:
            for noted in self._journal.noted_segments():
                path = self._folder / noted.file
                if not is_segment_name(noted.file) or path.exists():
                    continue
                if (self._quarantine.folder / noted.file).exists():
                    self._journal.forget(noted.file)
                    continue
                damage = self._quarantine.add_missing(_missing(noted))
                self._journal.note(path, damage.signal, damage.arrivals, damage.arrivals)
        except sqlite3.Error as error:
            logger.warning("which segments should be in the log cannot be read: %s", error)

    def take_back(self, segment: Segment) -> None:
        """A segment that was missing is there again: delete its entry, and let it count as any other."""
        name = f"{segment.token}.at-0"
        try:
            damage = self._quarantine.damage(name)
        except ValueError as error:
            logger.warning("%s", error)
            return
        if self._journal is None or damage is None or not damage.missed_at:
            return
        try:
            if not self._journal.is_pending(segment.path):  # else its counts as missing were never added
                rows = damage.arrivals
                entry = self._quarantine.folder / f"{name}.damage"
                self._journal.note(entry, damage.signal, rows, rows, back=True)
        except sqlite3.Error as error:
            logger.warning("%s is there again, and counts twice: %s", segment.path.name, error)
        self._quarantine.delete(name)
        logger.info("%s, which was missing, is there again", segment.path.name)


def _missing(noted: NotedSegment) -> Damage:
    token = noted.file.removesuffix(".seg")
    is_known = noted.is_closed and bool(noted.arrivals)
    return Damage(
        token.split("-", 1)[0],
        token,
        0,
        0,
        noted.requests if is_known else None,
        sum(noted.arrivals.values()) if is_known else None,
        [(*owner, count) for owner, count in noted.arrivals.items()],
        int(token.split("-")[1]),
        missed_at=time.time_ns(),
    )
