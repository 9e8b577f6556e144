"""The bytes of a spool's file: batches one after another, each in a frame that is good or bad by itself.

A frame is a head of 26 bytes and the batch's payload, as it is sent or encrypted. The head has checksums of
itself and of the payload, how many spans or records come before it in the file, and one byte that says
whether the batch waits or is settled; that byte alone is ever written anew, and no checksum covers it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .exporter import Batch
from .settings import SIGNALS, Signal

_MAGIC: Final = b"\xf5LTf"
#: Magic, state, number of the signal, items before, items, bytes of the payload, its checksum.
_HEAD: Final = struct.Struct("<4sBBIIII")
_CHECKSUM: Final = struct.Struct("<I")
_HEAD_BYTES: Final = _HEAD.size + _CHECKSUM.size
_WAITING, _SETTLED = 0, 1

STATE_OFFSET: Final = len(_MAGIC)
"""Where in a frame its state is; `SETTLED` is what to write there."""
SETTLED: Final = bytes([_SETTLED])


@dataclass(frozen=True, slots=True)
class Frame:
    """A batch as it lies in a file, `offset` bytes from its start."""

    offset: int
    signal: Signal
    items: int
    payload: bytes
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes of a file that hold no good frame, and how many items they cost; 0 where nobody knows."""

    offset: int
    size: int
    items: int


def framed(batch: Batch, payload: bytes, items_before: int) -> bytes:
    """The frame of a batch, whose bytes on disk are `payload`."""
    fields = (SIGNALS.index(batch.signal), items_before, batch.items, len(payload), zlib.crc32(payload))
    head = _HEAD.pack(_MAGIC, _WAITING, *fields)
    return head + _CHECKSUM.pack(zlib.crc32(head)) + payload


def frames(data: bytes) -> Iterator[Frame | Hole]:
    """What a file holds, in its order. Behind a hole it goes on at the next good head."""
    offset = counted = 0
    while offset < len(data):
        head = _head(data, offset)
        if head is None:
            following = _next_head(data, offset + 1)
            ahead = _head(data, following)
            yield Hole(offset, following - offset, max(ahead[2] - counted, 0) if ahead is not None else 0)
            offset, counted = following, ahead[2] if ahead is not None else counted
            continue
        state, signal, before, items, length, checksum = head
        if before > counted:  # whole frames are missing before it
            yield Hole(offset, 0, before - counted)
        counted = before + items
        start = offset + _HEAD_BYTES
        payload = data[start : start + length]
        if len(payload) == length and zlib.crc32(payload) == checksum:
            yield Frame(offset, SIGNALS[signal], items, payload, state == _SETTLED)
            offset = start + length
            continue
        # The length may be good and bytes of the payload missing: what follows is looked for, not reckoned.
        following = _next_head(data, start)
        yield Hole(offset, following - offset, 0 if state == _SETTLED else items)
        offset = following


def _head(data: bytes, offset: int) -> tuple[int, int, int, int, int, int] | None:
    """State, signal, items before, items, length and checksum; None where there is no good head."""
    if len(data) < offset + _HEAD_BYTES or not data.startswith(_MAGIC, offset):
        return None
    magic, state, *fields = _HEAD.unpack_from(data, offset)
    (checksum,) = _CHECKSUM.unpack_from(data, offset + _HEAD.size)
    if zlib.crc32(_HEAD.pack(magic, _WAITING, *fields)) != checksum or fields[0] >= len(SIGNALS):
        return None
    signal, before, items, length, of_payload = fields
    return state, signal, before, items, length, of_payload


def _next_head(data: bytes, offset: int) -> int:
    """Where the next good head is, or the end."""
    while (offset := data.find(_MAGIC, offset)) >= 0:
        if _head(data, offset) is not None:
            return offset
        offset += 1
    return len(data)
