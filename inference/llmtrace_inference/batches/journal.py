"""What a batch has answered so far: a line of JSON per answer, fsynced, read back after a crash."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llmtrace.common.durable_files import open_journal, sync_file


class AnswerJournal:
    """An append-only file. Answers that come while others are being written share one fsync."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _cut_torn_tail(path)
        self._file = open_journal(path)
        self._lock = asyncio.Lock()
        self._pending: list[bytes] = []
        self._appended = 0
        self._durable = 0

    async def append(self, record: dict[str, Any]) -> None:
        """Add one record. On disk when this returns, whatever happens to the caller meanwhile."""
        self._pending.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._appended += 1
        await asyncio.shield(asyncio.ensure_future(self._write_up_to(self._appended)))

    async def _write_up_to(self, wanted: int) -> None:
        async with self._lock:
            if self._durable >= wanted:  # went along with another one's
                return
            data, upto = b"".join(self._pending), self._appended
            self._pending.clear()
            await asyncio.to_thread(self._write, data)
            self._durable = upto

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        sync_file(self._file)

    async def close(self) -> None:
        """Write what is under way and close the file."""
        await self._write_up_to(self._appended)
        self._file.close()


def records(path: Path) -> Iterator[dict[str, Any]]:
    """All whole records of a journal, in the order they were written; none where there is no journal."""
    if path.exists():
        with path.open("rb") as file:
            for _, record in _whole(file):
                yield record


def _whole(file: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(end of the record in the file, record) of every record before the first broken one."""
    end = 0
    for raw in file:
        if not raw.endswith(b"\n"):
            return
        try:
            record = json.loads(raw)
        except ValueError:
            return
        end += len(raw)
        yield end, record


def _cut_torn_tail(path: Path) -> None:
    """Drop what a crash left of a record: it was never acknowledged, and its line is answered again."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = 0
        for end, _ in _whole(file):  # noqa: B007 - the last one counts
            pass
        file.truncate(end)
        sync_file(file)
