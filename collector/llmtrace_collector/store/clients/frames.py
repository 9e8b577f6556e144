"""Answers in the bytes that some clients insist on: compressed frames, and clickhouse-go's first block."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

#: How much of an answer one frame holds, before compression.
_FRAME_BYTES = 1 << 20

_LZ4 = 0x82

#: From this version of its protocol on, each column of a Native block has a byte that says how it is encoded.
_HAS_ENCODING = 54454


def compressed(data: bytes) -> bytes:
    """`data` as a client reads it that asked for `compress=1`: frames of LZ4, each with its checksum."""
    return b"".join(_frames(data))


def _frames(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _FRAME_BYTES):
        part = data[start : start + _FRAME_BYTES]
        packed = lz4.block.compress(part, store_size=False)
        frame = struct.pack("<BII", _LZ4, len(packed) + 9, len(part)) + packed
        yield _checksum(frame) + frame


def _checksum(frame: bytes) -> bytes:
    value = int(CityHash128(frame))
    return struct.pack("<QQ", value >> 64, value & 0xFFFFFFFFFFFFFFFF)


def hello(version: str, timezone: str, protocol: int) -> bytes:
    """The answer to clickhouse-go's first query, `SELECT displayName(), version(), revision(), timezone()`,
    in the format Native of a server that speaks `protocol`.

    The engine writes Native as for protocol 0, which is what clickhouse-go reads once `revision()` said 0;
    this one block it reads by what it speaks itself.
    """
    columns = (
        ("displayName()", "String", _text("llmtrace")),
        ("version()", "String", _text(version)),
        ("revision()", "UInt32", struct.pack("<I", 0)),
        ("timezone()", "String", _text(timezone)),
    )
    info = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00" if protocol else b""
    encoding = b"\x00" if protocol >= _HAS_ENCODING else b""
    block = info + _number(len(columns)) + _number(1)
    for name, kind, value in columns:
        block += _text(name) + _text(kind) + encoding + value
    return block


def _text(text: str) -> bytes:
    data = text.encode()
    return _number(len(data)) + data


def _number(value: int) -> bytes:
    """LEB128."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
