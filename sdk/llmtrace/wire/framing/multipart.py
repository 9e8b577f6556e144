"""Multipart forms: the fields of a request that uploads a file, as if they had come as JSON.

A text is a text, a file a `Json` object: `filename`, `content_type`, `data` (its bytes; None where part of
them was left out) and `size`. A field that is there several times, or whose name ends with `[]`, is a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from llmtrace.wire.format import Json

#: Headers of a part, and texts, are read up to here.
_MAX_HEADERS: Final = 8 * 1024
_MAX_TEXT: Final = 1024 * 1024
_MAX_PARTS: Final = 512
_MAX_BOUNDARY: Final = 256
#: The interpreter's lock is let go between windows, so that a long search keeps no other thread waiting.
_WINDOW: Final = 1024 * 1024
_PARAMETER: Final = re.compile(rb';\s*(name|filename)="((?:[^"\\]|\\.)*)"|;\s*(name|filename)=([^\s;"]+)')
_DISPOSITION: Final = re.compile(rb"^content-disposition:\s*form-data(.*)$", re.IGNORECASE | re.MULTILINE)
_TYPE: Final = re.compile(rb"^content-type:\s*([\w.+/-]+)", re.IGNORECASE | re.MULTILINE)


class CutBody(bytes):
    """A body without its middle: `left_out` bytes are missing at `cut_at`."""

    cut_at: int = 0
    left_out: int = 0


def is_form(body: bytes) -> bool:
    """Whether a body is a form, by its first line and the header that each part has."""
    if not body.startswith(b"--"):
        return False
    return b"form-data" in body[: _MAX_BOUNDARY + _MAX_HEADERS]


def has_field(body: bytes, *names: bytes) -> bool:
    """Whether a field of one of these names stands at the beginning of a form: no upload is read for it."""
    head = body[: 64 * 1024]
    return any(b'name="' + name in head or b"name=" + name in head for name in names)


def fields(body: bytes) -> dict[str, Json] | None:
    """The fields of a form; None where it is none. A torn form gives what is whole."""
    if not is_form(body):
        return None
    decoded: dict[str, Json] = {}
    for name, value in _parts(body):
        if name.endswith("[]"):
            decoded.setdefault(name, []).append(value)
        elif name in decoded:
            previous = decoded[name]
            decoded[name] = [*previous, value] if isinstance(previous, list) else [previous, value]
        else:
            decoded[name] = value
    return {name.removesuffix("[]"): value for name, value in decoded.items()}


def files(value: Json) -> list[dict[str, Any]]:
    """The files of a field: one, several, or none."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, dict) and "size" in item]


def _parts(body: bytes) -> Iterator[tuple[str, Json]]:
    end = body.find(b"\r\n", 0, _MAX_BOUNDARY)
    if end < 0:
        return
    mark = b"\r\n" + body[:end]
    at = end
    for _ in range(_MAX_PARTS):
        head_end = body.find(b"\r\n\r\n", at, at + _MAX_HEADERS)
        if head_end < 0:
            return
        end = _find(body, mark, head_end + 2)
        if end < 0:
            return
        part = _part(body, at, head_end, end)
        if part is not None:
            yield part
        at = end + len(mark)
        if body[at : at + 2] == b"--":
            return


def _part(body: bytes, at: int, head_end: int, end: int) -> tuple[str, Json] | None:
    head = body[at:head_end].replace(b"\r\n", b"\n")
    disposition = _DISPOSITION.search(head)
    if disposition is None:
        return None
    parameters = {
        (match[1] or match[3]).decode(): (match[2] if match[1] else match[4]).decode("utf-8", "replace")
        for match in _PARAMETER.finditer(disposition[1])
    }
    if "name" not in parameters:
        return None
    start = head_end + 4
    if "filename" not in parameters:
        return parameters["name"], body[start : min(end, start + _MAX_TEXT)].decode("utf-8", "replace")
    declared = _TYPE.search(head)
    cut = isinstance(body, CutBody) and start <= body.cut_at <= end
    return parameters["name"], {
        "filename": parameters["filename"],
        "content_type": declared[1].decode() if declared else None,
        "data": None if cut else bytes(body[start:end]),
        "size": end - start + (body.left_out if isinstance(body, CutBody) and cut else 0),
    }


def _find(body: bytes, mark: bytes, at: int) -> int:
    while at < len(body):
        place = body.find(mark, at, at + _WINDOW + len(mark))
        if place >= 0:
            return place
        at += _WINDOW
    return -1
