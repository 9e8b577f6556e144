"""A segment that the store refuses is bisected until only the bad requests are left.

Pieces have tokens of their own, made of the segment's and their place in it, so that doing it all again
after a crash adds nothing. Of a segment whose rows may be stored under tokens that the store has forgotten,
bisecting finds the requests that are not stored yet. A journal beside the segment says, before a piece is
divided, that it is: the store is not asked for it again, and what its halves have stored is not mistaken for
a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmtrace.common.durable_files import open_journal, sync_file
from llmtrace_collector.store.store import Store

from .fault import FaultFinder
from .segment import Segment


@dataclass(frozen=True)
class RefusedPiece:
    """What the store will not have of a segment, and why: the segment itself where it was not divided."""

    segment: Segment
    reason: str


def journal_path(segment: Segment) -> Path:
    """The file that says how far a segment was bisected; there is one only for those that were refused."""
    return segment.path.with_suffix(".split")


def bisect(
    store: Store, faults: FaultFinder, segment: Segment, reason: str | None, *, is_held: bool = False
) -> list[RefusedPiece]:
    """Store what is good of a segment and return the rest. `reason` is what the store said against the whole,
    None when it was not asked this time. Raises StoreError and OSError, none of which is the segment's fault:
    do it again later.

    `is_held`: rows of it are stored, and a repeat would store them again. A request of which any row is
    stored counts as stored then: one is stored in part only where it spans days or dialects.
    """
    journal = journal_path(segment)
    divided = set(journal.read_text().split()) if journal.exists() else set()
    refused: list[RefusedPiece] = []
    work = [(0, len(segment.frames()))]
    while work:
        start, end = work.pop()
        if segment.token_of(start, end) not in divided:
            piece = segment.piece(start, end)
            if is_held and store.holds_any(segment.signal, piece.row_times()):
                if end - start <= 1 or store.holds_all(segment.signal, piece.row_times()):
                    segment.delete_piece(start, end)
                    continue
                _add_line(journal, piece.token)
                work += _halves(segment, start, end)
                continue
            refusal, reason = reason or faults.try_insert(piece, segment), None
            if refusal is None:
                segment.delete_piece(start, end)
                continue
            # Of some refused pieces a part is stored: with other tokens it would be stored again.
            if end - start <= 1 or store.holds_any(segment.signal, piece.row_times()):
                refused.append(RefusedPiece(piece, refusal))
                continue
            _add_line(journal, piece.token)
        work += _halves(segment, start, end)
    return refused


def _halves(segment: Segment, start: int, end: int) -> list[tuple[int, int]]:
    """What a piece is divided into, the first to be stored last; its file is not needed any more."""
    segment.delete_piece(start, end)
    middle = (start + end) // 2
    return [(middle, end), (start, middle)]


def _add_line(journal: Path, line: str) -> None:
    with open_journal(journal) as file:
        file.write(f"{line}\n".encode())
        sync_file(file)
