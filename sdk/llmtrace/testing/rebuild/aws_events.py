"""The framing of AWS event streams; `llmtrace.wire.framing.aws_event_stream` reads it."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any, Final

from llmtrace.testing.replay import Answer
from llmtrace.wire.framing.aws_event_stream import CONTENT_TYPE

_STRING: Final = 7


def answer(events: Iterable[tuple[str, Any]]) -> Answer:
    """Events as (type, payload)."""
    return Answer(headers={"content-type": CONTENT_TYPE}, chunks=[_message(*event) for event in events])


def _message(kind: str, payload: Any) -> bytes:
    named = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    headers = b"".join(_header(name, value) for name, value in named.items())
    content = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(content), len(headers))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + content
    return checked + struct.pack(">I", zlib.crc32(checked))


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()
