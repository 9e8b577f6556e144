"""The frame of one acknowledged request in the log.

A segment is a run of length-prefixed protobuf messages (see store/schema/sql/otlp.proto), which is also what
the engine reads. The checksum is a field of the message that the engine does not know and skips, so that one
file, with one sync, is log and insert at once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_PROJECT = b"\x0a"  # field 1, bytes
_RECEIVED = b"\x11"  # field 2, fixed64
_REQUEST = b"\x1a"  # field 3, bytes
_CHECKSUM = b"\x7d"  # field 15, fixed32


@dataclass(frozen=True)
class Frame:
    """One request: `received` in Unix nanoseconds, `body` the OTLP request message."""

    project: str
    received: int
    body: bytes


def encode(frame: Frame) -> list[bytes]:
    """The frame as buffers for one `writev`; the body is not copied."""
    project = frame.project.encode()
    head = b"".join(
        (
            _PROJECT,
            varint(len(project)),
            project,
            _RECEIVED,
            struct.pack("<Q", frame.received),
            _REQUEST,
            varint(len(frame.body)),
        )
    )
    checksum = zlib.crc32(frame.body, zlib.crc32(head))
    length = len(_CHECKSUM) + 4 + len(head) + len(frame.body)
    return [varint(length) + _CHECKSUM + struct.pack("<I", checksum) + head, frame.body]


def decode(data: bytes) -> Iterator[tuple[Frame, int]]:
    """The frames at the start of `data`, each with the offset at which it ends.

    Stops before the first byte that is not part of a whole frame with a good checksum.
    """
    offset = 0
    while offset < len(data):
        decoded = _frame_at(data, offset)
        if decoded is None:
            return
        yield decoded
        offset = decoded[1]


def varint(number: int) -> bytes:
    """A non-negative integer as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _frame_at(data: bytes, offset: int) -> tuple[Frame, int] | None:
    try:
        length, start = _read_varint(data, offset)
        end = start + length
        if end > len(data) or data[start : start + 1] != _CHECKSUM:
            return None
        (checksum,) = struct.unpack_from("<I", data, start + 1)
        head = start + 5
        if zlib.crc32(memoryview(data)[head:end]) != checksum or data[head : head + 1] != _PROJECT:
            return None
        size, at = _read_varint(data, head + 1)
        project = data[at : at + size].decode()
        at += size
        (received,) = struct.unpack_from("<Q", data, at + 1)
        size, at = _read_varint(data, at + 10)
        return Frame(project, received, data[at : at + size]), end
    except (IndexError, struct.error, UnicodeDecodeError):
        return None


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, offset
        shift += 7
        if shift > 63:
            raise IndexError("varint is too long")
