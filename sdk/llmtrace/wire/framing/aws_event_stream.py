"""The framing of AWS event streams (`application/vnd.amazon.eventstream`) to JSON.

A message is `total length, headers length, CRC of these (4 bytes each) | headers | payload | CRC`; checksums
are the transport's business, and looked at only to find a message again.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from llmtrace.wire.format import Json, mapping

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
PIECE: Final = "PayloadPart"
_PRELUDE: Final = struct.Struct(">III")
_LENGTH: Final = struct.Struct(">H")
_TRAILER: Final = 4
_MOST_SKIPPED: Final = 128 * 1024
_STRING: Final = 7
# Bytes of the value of a header, by the number of its type; None: two bytes say how many follow.
_SIZES: Final[tuple[int | None, ...]] = (0, 0, 1, 2, 4, 8, None, None, 8, 16)


def events(body: bytes) -> list[Json]:
    """The events, in order; a torn last message is left out.

    An event is `{name: payload}`; the payload of a `chunk` (of InvokeModel) is the model's own JSON, given
    as it is, and where it is none (of InvokeAgent) its text in place of the `bytes`. That of a `PayloadPart`
    (of SageMaker) is any piece of a body, as Latin-1: a character a byte. An exception is
    `{"error": {"type", "message"}}`.
    """
    return [event for _, headers, payload in _messages(body) for event in _event(headers, payload)]


def positioned(body: bytes) -> list[tuple[int, list[Json]]]:
    """(where its last byte stands, the events) of each message, in order."""
    return [(end - 1, list(_event(headers, payload))) for end, headers, payload in _messages(body)]


def _messages(body: bytes) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """(where it ends, headers, payload) of each whole message."""
    at = 0
    while at + _PRELUDE.size + _TRAILER <= len(body):
        total, headers_size, _ = _PRELUDE.unpack_from(body, at)
        start = at + _PRELUDE.size + headers_size
        end = at + total - _TRAILER
        if end + _TRAILER > len(body) or start > end:
            at = _resumed(body, at + 1)
            continue
        yield at + total, _headers(body[at + _PRELUDE.size : start]), body[start:end]
        at += total


def _resumed(body: bytes, at: int) -> int:
    """Where the next message begins after what is none, by the checksum of its lengths; else the end.

    The middle of a long stream is left out, and its end has the usage.
    """
    for start in range(at, min(len(body) - _PRELUDE.size, at + _MOST_SKIPPED) + 1):
        _, _, checksum = _PRELUDE.unpack_from(body, start)
        if checksum and zlib.crc32(body[start : start + 8]) == checksum:
            return start
    return len(body)


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            value_at = at + 1 + data[at]
            name, kind = data[at + 1 : value_at].decode("utf-8", "replace"), data[value_at]
            value_at += 1
            size = _SIZES[kind]
            if size is None:
                (size,) = _LENGTH.unpack_from(data, value_at)
                value_at += _LENGTH.size
            at = value_at + size
            if kind == _STRING:
                headers[name] = data[value_at:at].decode("utf-8", "replace")
    except (IndexError, struct.error):
        return headers  # not as AWS writes them: what was read so far
    return headers


def _event(headers: dict[str, str], payload: bytes) -> Iterator[Json]:
    if headers.get(":event-type") == PIECE:
        yield {PIECE: payload.decode("latin-1")}
        return
    value: Json = None
    with suppress(ValueError):
        value = json.loads(payload)
    if headers.get(":message-type") in {"exception", "error"}:
        kind = headers.get(":exception-type") or headers.get(":error-code")
        message = mapping(value).get("message") or headers.get(":error-message")
        yield {"error": {"type": kind, "message": message}}
        return
    if value is None:
        return
    encoded = mapping(value).get("bytes")
    if not isinstance(encoded, str):
        yield {headers.get(":event-type", ""): value}
        return
    try:
        data = base64.b64decode(encoded)
    except (ValueError, binascii.Error):
        return
    try:
        yield json.loads(data)
    except ValueError:
        yield {headers.get(":event-type", ""): {**value, "bytes": data.decode("utf-8", "replace")}}
