"""The bytes of images and audio in messages, by their digests."""

from __future__ import annotations

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from .scope import rows

#: Bytes that one page shows.
MOST_BYTES = 24 << 20

_SIZES = """SELECT Sha256 AS sha256, any(Size) AS size
FROM attachments
WHERE TraceId = {trace_id:String} AND Sha256 IN {digests:Array(String)}
GROUP BY sha256"""

_CONTENTS = """SELECT Sha256 AS sha256, base64Encode(any(Content)) AS content
FROM attachments
WHERE TraceId = {trace_id:String} AND Sha256 IN {digests:Array(String)}
GROUP BY sha256"""


def attachments(client: Client, trace_id: str, digests: Sequence[str]) -> dict[str, str]:
    """Base64 of those of the digests (64 hexadecimal digits) that the trace's project has, in their order, as
    many as `MOST_BYTES` hold.
    """
    of_trace = {"trace_id": trace_id}
    sizes = {
        _text(row["sha256"]): row["size"]
        for row in rows(client, _SIZES, {**of_trace, "digests": list(digests)})
    }
    chosen: list[str] = []
    left = MOST_BYTES
    for digest in digests:
        left -= sizes.get(digest, 0)
        if digest in sizes and left >= 0:
            chosen.append(digest)
    if not chosen:
        return {}
    contents = {
        _text(row["sha256"]): row["content"]
        for row in rows(client, _CONTENTS, {**of_trace, "digests": chosen})
    }
    return {digest: contents[digest] for digest in chosen if digest in contents}


def _text(value: str | bytes) -> str:
    """A FixedString comes as bytes."""
    return value.decode() if isinstance(value, bytes) else value
