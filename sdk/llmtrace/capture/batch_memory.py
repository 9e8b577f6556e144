"""What a process knows of the batches that it asked about, and of the results that it has recorded.

Written on the delivery thread only, but for the count of bytes; it belongs to one delivery worker.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.delivery import DeliverySettings, DeliveryWorker

from .overflow_file import OverflowFile

_BATCHES: Final = 4096
_RESULTS: Final = 65_536
_TAILS: Final = 16
_TAIL_BYTES: Final = 2**20
_SHARED_BYTES: Final = 256 * 2**20

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class KnownBatch:
    """What the answer to a poll said. ended_at: seconds since 1970."""

    batch_id: str
    endpoint: str
    model: str
    ended_at: float | None


class BatchMemory:
    """Bounded: of what is forgotten, the collector knows that it was counted."""

    def __init__(self, disk: DeliverySettings | None) -> None:
        self.overflow = OverflowFile(disk)
        self.process = os.getpid()
        self._batches: OrderedDict[str, KnownBatch] = OrderedDict()
        self._recorded: set[int] = set()
        self._formerly_recorded: set[int] = set()
        self._tails: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._shared = 0

    def note_batch(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Note what an answer said of a batch, under its id and those of its files."""
        texts = {key: value for key, value in attributes.items() if isinstance(value, str)}
        ended_at = attributes.get(semconv.BATCH_ENDED_AT)
        batch = KnownBatch(
            texts.get(semconv.BATCH_ID, ""),
            texts.get(semconv.BATCH_ENDPOINT, ""),
            texts.get(semconv.REQUEST_MODEL, ""),
            ended_at if isinstance(ended_at, float) else None,
        )
        for key in (semconv.BATCH_ID, semconv.BATCH_OUTPUT_FILE, semconv.BATCH_ERROR_FILE):
            if name := texts.get(key):
                _put(self._batches, name, batch, _BATCHES)

    def batch(self, *names: AttributeValue | None) -> KnownBatch | None:
        """What is known under the first of some ids that is known."""
        known = (self._batches.get(name) for name in names if isinstance(name, str))
        return next(filter(None, known), None)

    def is_new(self, span_id: int) -> bool:
        """Whether a result was not recorded yet, by the id of its span; it is then."""
        if span_id in self._recorded or span_id in self._formerly_recorded:
            return False
        self._recorded.add(span_id)
        if len(self._recorded) >= _RESULTS:
            self._recorded, self._formerly_recorded = set(), self._recorded
        return True

    def keep_tail(self, address: str, offset: int, tail: bytes) -> None:
        """The beginning of a line whose end may come by another request, for what follows `offset`."""
        if len(tail) <= _TAIL_BYTES:
            _put(self._tails, (address, offset), tail, _TAILS)

    def take_tail(self, address: str, offset: int) -> bytes:
        """What was kept for there."""
        return self._tails.pop((address, offset), b"")

    def may_share(self, size: int) -> bool:
        """Whether so many bytes of what the program holds itself may wait, beyond the queue's bound.

        Called on the caller's path; `release` says that they wait no longer.
        """
        with self._lock:
            if self._shared + size > _SHARED_BYTES:
                return False
            self._shared += size
            return True

    def release(self, size: int) -> None:
        """See `may_share`."""
        with self._lock:
            self._shared -= size


def _put(entries: OrderedDict[KeyT, ValueT], key: KeyT, value: ValueT, most: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > most:
        entries.popitem(last=False)


_memories: WeakKeyDictionary[DeliveryWorker, BatchMemory] = WeakKeyDictionary()


def memory_of(worker: DeliveryWorker) -> BatchMemory:
    """The memory that belongs to a delivery worker, and in a forked child to that process."""
    memory = _memories.get(worker)
    if memory is None or memory.process != os.getpid():
        memory = _memories[worker] = BatchMemory(worker.disk)
    return memory
