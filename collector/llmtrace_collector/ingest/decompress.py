"""Request bodies as they travel: decompressed within a limit."""

from __future__ import annotations

import sys
import zlib
from typing import Any

from llmtrace.common.http_limits.refusal import Refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Largest window of a zstd frame, as a power of two: a frame that asks for more memory is refused.
_ZSTD_WINDOW = 25

#: Members or frames of one body. Compressors in use write one; those that write blocks, one for a megabyte.
MAX_MEMBERS = 64

ENCODINGS = ("gzip", "deflate", "zstd")


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The plain body. Raises Refusal for unknown encodings, broken streams and results beyond `limit` bytes;
    a compression bomb stops at the limit. Several members or frames in a row, MAX_MEMBERS at most, are one
    body.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ENCODINGS:
        raise Refusal(415, f"content encoding {encoding[:40]}: send gzip, deflate, zstd or none")
    plain: list[bytes] = []
    size = 0
    rest = body
    while rest or not plain:
        if len(plain) == MAX_MEMBERS:
            raise Refusal(
                400, f"the body has more than {MAX_MEMBERS} {encoding} members: compress it at once"
            )
        decoder = _decoder(encoding)
        try:
            part = decoder.decompress(rest, limit - size + 1)
        except (zlib.error, zstd.ZstdError) as error:
            raise Refusal(400, f"the body is not valid {encoding}") from error
        plain.append(part)
        size += len(part)
        if size > limit:
            raise Refusal(
                413, f"the body is larger than {limit} bytes when decompressed: send smaller batches"
            )
        if not decoder.eof:
            raise Refusal(400, f"the {encoding} body ends early")
        rest = decoder.unused_data
    return b"".join(plain)


def _decoder(encoding: str) -> Any:
    if encoding == "zstd":
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})
    # 32 added to the window size accepts both gzip's and zlib's header.
    return zlib.decompressobj(zlib.MAX_WBITS | 32)


def decompress_small(body: bytes, encoding: str, most: int) -> bytes | None:
    """The plain body when it has at most `most` bytes, else None. Raises Refusal as `decompress`."""
    if len(body) > most:
        return None
    try:
        return decompress(body, encoding, most)
    except Refusal as refusal:
        if refusal.status != 413:
            raise
        return None
