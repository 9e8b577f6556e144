"""Hostile bytes: OTLP bodies that are small on the wire and large to whoever reads them."""

from __future__ import annotations

import gzip
import time
import zlib
from functools import cache

from backports import zstd


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def span(rest: bytes = b"", *, name: str = "") -> bytes:
    """A good span, named, and whatever fields follow."""
    now = time.time_ns()
    times = b"\x39" + now.to_bytes(8, "little") + b"\x41" + now.to_bytes(8, "little")
    ids = field(1, now.to_bytes(16, "big")) + field(2, b"12345678")
    return ids + (field(5, name.encode()) if name else b"") + times + rest


def request(*spans: bytes) -> bytes:
    """A request of one resource and scope."""
    return field(1, field(2, b"".join(field(2, encoded) for encoded in spans)))


@cache
def empty_resources(count: int) -> bytes:
    """So many empty resources."""
    return b"\x0a\x00" * count


@cache
def empty_scopes(count: int) -> bytes:
    """One resource of so many empty scopes."""
    return field(1, b"\x12\x00" * count)


@cache
def empty_spans(count: int) -> bytes:
    """So many empty spans."""
    return field(1, field(2, b"\x12\x00" * count))


@cache
def bad_between_good(count: int) -> bytes:
    """Bad and good spans in turn: taking them out one by one moves the list each time."""
    good = span()
    return request(*(good if number % 2 else b"" for number in range(count)))


@cache
def crowded_span(count: int, tag: int) -> bytes:
    """One span with so many empty fields of a kind: 9 attributes, 11 events, 13 links. Its empty name is not
    as an encoder writes it, so that it is taken for one with nested values.
    """
    return request(span(field(5, b"") + (varint(tag << 3 | 2) + b"\x00") * count))


@cache
def nested(levels: int) -> bytes:
    """A span whose attribute nests so deep."""
    value = field(1, b"x")
    for _ in range(levels):
        value = field(5, field(1, value))
    return request(span(field(9, field(1, b"deep") + field(2, value))))


@cache
def wide_nested(count: int) -> bytes:
    """A span with an attribute of lists of empty lists."""
    inner = field(1, field(5, b"")) * count
    return request(span(field(9, field(1, b"wide") + field(2, field(5, inner)))))


@cache
def dense(size: int) -> bytes:
    """Good spans with a thousand empty attributes each, about so many bytes: within every bound."""
    crowded = field(2, span(b"\x4a\x00" * 1000))
    return field(1, field(2, crowded * (size // len(crowded))))


@cache
def zipped(body: bytes) -> bytes:
    """In gzip."""
    return gzip.compress(body, 9)


@cache
def members(count: int, encoding: str) -> bytes:
    """So many empty members of gzip, or frames of zstd."""
    return (gzip.compress(b"") if encoding == "gzip" else zstd.compress(b"")) * count


@cache
def bomb(size: int, encoding: str) -> bytes:
    """So many zero bytes, compressed."""
    plain = bytes(size)
    if encoding == "gzip":
        return gzip.compress(plain)
    return zlib.compress(plain) if encoding == "deflate" else zstd.compress(plain)
