"""The messages that led to a response, as a format of a dialect gets them: one JSON array.

What is not on the wire as a message stands among them as a message of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from llmtrace.wire.format import Json, items, mapping, word

CONNECTION: Final = "llmtrace.connection"
"""The handshake: `query` has the fields of its query; `serial` tells the responses of a process apart."""
MEDIA: Final = "llmtrace.media"
"""Media that were sent in pieces: `size` in bytes, `modality`."""


def connection_frame(serial: int, query: Mapping[str, str]) -> bytes:
    """The first of them."""
    return json.dumps({"type": CONNECTION, "serial": serial, "query": dict(query)}).encode()


def media_frame(modality: str, size: int) -> bytes:
    """Stands where media were sent whose bytes nobody kept."""
    return json.dumps({"type": MEDIA, "modality": modality, "size": size}).encode()


class Frames:
    """The same, decoded: `query`, and all messages in order."""

    def __init__(self, body: Json) -> None:
        self.messages: list[Any] = [mapping(message) for message in items(body)]
        connection: Any = next((frame for frame in self.messages if word(frame, "type") == CONNECTION), {})
        self.query: Any = mapping(connection.get("query"))

    def last(self, *kinds: str) -> Any:
        """The last of these kinds, or an empty one."""
        return next((frame for frame in reversed(self.messages) if word(frame, "type") in kinds), {})
