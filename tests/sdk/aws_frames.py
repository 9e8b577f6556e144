"""Messages of AWS event streams, as their reference describes them."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any


def frame(kind: str, payload: Any, content_type: str = "application/json") -> bytes:
    """One event; a payload of bytes is sent as it is."""
    headers = b""
    for name, value in ((":message-type", "event"), (":event-type", kind), (":content-type", content_type)):
        headers += (
            struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        )
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    head = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    head += struct.pack("!I", zlib.crc32(head))
    message = head + headers + body
    return message + struct.pack("!I", zlib.crc32(message))
