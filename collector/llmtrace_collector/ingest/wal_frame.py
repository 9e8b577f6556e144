"""The frame of one acknowledged request in the log.

A segment is a run of length-prefixed protobuf messages (see store/schema/sql/otlp.proto), which is also what
the engine reads. Checksum and trailer are fields of the message that the engine does not know and skips, so
that one file, with one sync, is log and insert at once.

The trailer says how many requests and rows the segment holds up to the frame's end, so that what a damaged
place held can be counted, and ends in a marker that no sender can know: where a length is damaged, the next
frame begins behind it. Logs of before have no trailers: in them the next frame is where the length says.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

_PROJECT = b"\x0a"  # field 1, bytes
_RECEIVED = b"\x11"  # field 2, fixed64
_REQUEST = b"\x1a"  # field 3, bytes
_CHECKSUM = b"\x7d"  # field 15, fixed32

#: Fields 12 and 13, fixed32, and 14, fixed64, each after its tag.
_TRAILER = struct.Struct("<cIcIc8s")
_REQUESTS, _ROWS, _MARKER = b"\x65", b"\x6d", b"\x71"

#: Bytes of the length in front of a frame, at most.
_LENGTH_BYTES = 5

#: Checksums that are tried to find a frame's start from its end.
_TRIES = 16


@dataclass(frozen=True)
class Frame:
    """One request: `received` in Unix nanoseconds, `body` the OTLP request message. `requests` and `rows` are
    what its segment holds up to its end; 0 where that is not known.
    """

    project: str
    received: int
    body: bytes
    requests: int = field(default=0, compare=False, kw_only=True)
    rows: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True)
class Stretch:
    """The bytes [start, end) of a log: a frame, or None where they are damaged. `requests` is how many they
    held, None where nothing tells; 0 of the start of a frame whose rest is not there, as a crash leaves one
    that was never acknowledged.
    """

    start: int
    end: int
    frame: Frame | None
    requests: int | None = 1


def marker_of(token: str) -> bytes:
    """The marker (8 bytes) at the end of each frame of the segment `token`."""
    return hashlib.blake2b(token.encode(), digest_size=8).digest()


def encode(frame: Frame, marker: bytes = b"") -> list[bytes]:
    """The frame as buffers for one `writev`; the body is not copied. With a marker it has a trailer."""
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
    trailer = marker and _TRAILER.pack(_REQUESTS, frame.requests, _ROWS, frame.rows, _MARKER, marker)
    checksum = zlib.crc32(trailer, zlib.crc32(frame.body, zlib.crc32(head)))
    length = len(_CHECKSUM) + 4 + len(head) + len(frame.body) + len(trailer)
    return [varint(length) + _CHECKSUM + struct.pack("<I", checksum) + head, frame.body, trailer]


def decode(data: bytes) -> Iterator[tuple[Frame, int]]:
    """The frames at the start of `data`, each with the offset at which it ends.

    Stops before the first byte that is not part of a whole frame with a good checksum.
    """
    offset = 0
    while offset < len(data):
        end = _end_at(data, offset)
        frame = _frame_in(data, offset, end)
        if frame is None or end is None:
            return
        yield frame, end
        offset = end


def scan(data: bytes, marker: bytes) -> Iterator[Stretch]:
    """All of a log's bytes, frame by frame, those that are damaged as well.

    Takes time in proportion to their number, whatever they are: each is looked into once or twice.
    """
    offset = marked = 0
    while offset < len(data):
        if marked <= offset:  # where the frame at `offset` ends at the latest
            at = data.find(marker, offset)
            marked = len(data) if at < 0 else at + len(marker)
        end = _end_at(data, offset)
        if end is not None and end <= marked and (frame := _frame_in(data, offset, end)) is not None:
            yield Stretch(offset, end, frame)
            offset = end
            continue
        damage_end = _end_of_damage(data, end, marked, marker)
        requests: int | None = 1
        if damage_end == len(data) != end and not data.endswith(marker):
            requests = 0 if end is not None and end > len(data) else None
        frame = _frame_in(data, offset, damage_end)  # where the length alone is damaged
        if frame is None and damage_end == marked:
            begin = _start_before(data, offset + 1, marked)
            if begin is not None:
                yield Stretch(offset, begin, None, requests)
                offset, frame = begin, _frame_in(data, begin, marked)
        yield Stretch(offset, damage_end, frame, requests)
        offset = damage_end


def totals_at(data: bytes, end: int, marker: bytes) -> tuple[int, int] | None:
    """Requests and rows that the trailer before `end` says, though its frame is damaged; None where there is
    no such trailer.
    """
    if end < _TRAILER.size:
        return None
    tag, requests, rows_tag, rows, marker_tag, own = _TRAILER.unpack_from(data, end - _TRAILER.size)
    is_whole = (tag, rows_tag, marker_tag, own) == (_REQUESTS, _ROWS, _MARKER, marker)
    return (requests, rows) if is_whole else None


def salvage(data: bytes, start: int, end: int) -> Frame | None:
    """What can be read of a damaged frame, to tell whose it was; not to be stored."""
    return _frame_in(data, start, end, checked=False)


def varint(number: int) -> bytes:
    """A non-negative integer as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _end_at(data: bytes, offset: int) -> int | None:
    """Where the frame at `offset` ends by its length, which may be behind the end of `data`."""
    try:
        length, start = _read_varint(data, offset)
    except IndexError:
        return len(data) + 1 if len(data) - offset < _LENGTH_BYTES else None  # cut within the length
    return start + length if length else None


def _end_of_damage(data: bytes, end: int | None, marked: int, marker: bytes) -> int:
    """Where a damaged frame ends that ends at `end` by its length, and at `marked` if its marker is whole."""
    if end is None or end > marked:
        return marked
    is_boundary = end in (marked, len(data)) or _frame_in(data, end, _end_at(data, end)) is not None
    return end if is_boundary else marked


def _start_before(data: bytes, begin: int, end: int) -> int | None:
    """Where a good frame that ends at `end` starts, at `begin` or behind: damage may have taken the marker in
    front of it.
    """
    tries = _TRIES
    at = data.find(_CHECKSUM, begin, end)
    while at >= 0 and tries:
        for start in range(max(begin, at - _LENGTH_BYTES), at):
            if _end_at(data, start) == end and _read_varint(data, start)[1] == at:
                tries -= 1  # a sender may write what looks like frames
                if _frame_in(data, start, end) is not None:
                    return start
        at = data.find(_CHECKSUM, at + 1, end)
    return None


def _frame_in(data: bytes, offset: int, end: int | None, *, checked: bool = True) -> Frame | None:
    """The frame in [offset, end), whatever its length says; None where its checksum is wrong."""
    if end is None or end > len(data):
        return None
    # The length's last byte is the one in front of the checksum's tag.
    for start in range(offset + 1, min(offset + 1 + _LENGTH_BYTES, end - 5)):
        if data[start : start + 1] != _CHECKSUM:
            continue
        (checksum,) = struct.unpack_from("<I", data, start + 1)
        if not checked or zlib.crc32(memoryview(data)[start + 5 : end]) == checksum:
            return _content(data, start + 5, end)
    return None


def _content(data: bytes, head: int, end: int) -> Frame | None:
    try:
        if data[head : head + 1] != _PROJECT:
            return None
        size, at = _read_varint(data, head + 1)
        project = data[at : at + size].decode()
        at += size
        (received,) = struct.unpack_from("<Q", data, at + 1)
        size, at = _read_varint(data, at + 10)
    except (IndexError, struct.error, UnicodeDecodeError):
        return None
    body_end = at + size
    if body_end > end:
        return None
    requests = rows = 0
    if end - body_end == _TRAILER.size:
        _, requests, _, rows, _, _ = _TRAILER.unpack_from(data, body_end)
    return Frame(project, received, data[at:body_end], requests=requests, rows=rows)


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
