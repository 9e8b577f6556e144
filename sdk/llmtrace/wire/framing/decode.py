"""A received body to JSON: one value, or the events of a stream in any of its framings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from llmtrace.wire.format import Json

from . import aws_event_stream, json_array, multipart, sse

_LINES: Final = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "application/stream+json",
)
_BYTES: Final = ("audio/", "image/", "video/")
_BOM: Final = b"\xef\xbb\xbf"
_MANY_BYTES: Final = 64 * 1024
_LONG_ARRAY: Final = 512


def events(
    content_type: str,
    body: bytes,
    joined: Callable[[bytes], bytes] | None = None,
    *,
    may_be_array: bool = False,
) -> list[Json] | None:
    """The events of a streamed body, in order; None where the body is one JSON value.

    joined: what a format shortens the lines of a stream by; see `WireFormat.joined`.
    may_be_array: whether an array is a stream; see `WireFormat.streams_arrays`.
    """
    kind = content_type.lstrip().lower()
    if kind.startswith(_BYTES):
        return None  # whose first bytes may be any
    if sse.is_stream(kind, body):
        return sse.events(joined(body) if joined is not None else body)
    if kind.startswith(aws_event_stream.CONTENT_TYPE):
        return aws_event_stream.events(body)
    if kind.startswith(_LINES) or _are_lines(body):
        return _lines(joined(body) if joined is not None else body)
    if may_be_array and json_array.is_array(body):
        return json_array.events(body)
    return None


def _are_lines(body: bytes) -> bool:
    """Whether a body is plainly one object a line: some servers and proxies call that plain JSON."""
    if not body.startswith(b"{"):
        return False
    end = body.find(b"\n")
    return end > 1 and body[end - 2 : end].rstrip().endswith(b"}") and body.find(b"{", end) > 0


def _lines(body: bytes) -> list[Json]:
    try:
        # All at once: a third of the time of one by one.
        parsed: list[Json] = json.loads(b"[" + b",".join(filter(None, body.splitlines())) + b"]")
    except ValueError:
        return [value for line in body.splitlines() if line and (value := decoded(line)) is not None]
    return parsed


def decoded_request(body: bytes) -> Json:
    """The JSON value, or the fields of a form; None where it is neither."""
    return multipart.fields(body) if multipart.is_form(body) else decoded(body)


def decoded(body: bytes) -> Json:
    """The JSON value, or None where it is not JSON."""
    try:
        return json.loads(body.decode())  # what bytes are encoded in is looked for at some length
    except UnicodeDecodeError:  # odd bytes in a text cost that text its characters, not the answer
        return _decoded_text(body.decode("utf-8", "replace"))
    except ValueError:
        return _decoded_text(body.removeprefix(_BOM).decode()) if body.startswith(_BOM) else None


def _decoded_text(text: str) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        return None


def without_vectors(body: bytes) -> bytes:
    """A response of embeddings with all vectors but the first emptied.

    Vectors are not recorded, and decoding megabytes of numbers would hold the interpreter, and so the
    program, for a good part of a second; finding them takes a fiftieth of it.
    """
    if len(body) < _MANY_BYTES:
        return body
    pieces: list[bytes] = []
    vector_count = at = 0
    while (end := body.find(b"]", at)) >= 0:
        start = body.rfind(b"[", at, end) + 1
        if start and end - start > _LONG_ARRAY and not any(mark in body[start:end] for mark in (b'"', b"{")):
            vector_count += 1
            if vector_count > 1:
                pieces.append(body[at:start])
                at = end
        pieces.append(body[at : end + 1])
        at = end + 1
    return b"".join((*pieces, body[at:]))
