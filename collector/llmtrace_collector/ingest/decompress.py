"""Request bodies as they travel: decompressed within a limit."""

from __future__ import annotations

import sys
import zlib
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Largest window of a zstd frame, as a power of two: a frame that asks for more memory is refused.
_ZSTD_WINDOW = 26

ENCODINGS = ("gzip", "deflate", "zstd")


class Refused(Exception):
    """A request answered with an error: HTTP status, what is wrong, and when to try again (seconds)."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The plain body. Raises Refused for unknown encodings, broken streams and results beyond `limit` bytes;
    a compression bomb stops at the limit. Several members or frames in a row are one body.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ENCODINGS:
        raise Refused(415, f"content encoding {encoding[:40]}: send gzip, deflate, zstd or none")
    plain: list[bytes] = []
    size = 0
    rest = body
    while rest or not plain:
        decoder = _decoder(encoding)
        try:
            part = decoder.decompress(rest, limit - size + 1)
        except (zlib.error, zstd.ZstdError) as error:
            raise Refused(400, f"the body is not valid {encoding}") from error
        plain.append(part)
        size += len(part)
        if size > limit:
            raise Refused(
                413, f"the body is larger than {limit} bytes when decompressed: send smaller batches"
            )
        if not decoder.eof:
            raise Refused(400, f"the {encoding} body ends early")
        rest = decoder.unused_data
    return b"".join(plain)


def _decoder(encoding: str) -> Any:
    if encoding == "zstd":
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})
    # 32 added to the window size accepts both gzip's and zlib's header.
    return zlib.decompressobj(zlib.MAX_WBITS | 32)
