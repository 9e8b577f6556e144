"""Content encodings of recorded bodies. A torn body (a stream left early) gives what it holds so far."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_CHUNK: Final = 64 * 1024
_ZSTD: Final = ("compression.zstd", "backports.zstd", "zstandard")
_BROTLI: Final = ("brotli", "brotlicffi")


# No JSON or event stream begins like this.
_MAGIC: Final = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def is_encoded(raw: bytes, encodings: str, *, otherwise: bool) -> bool:
    """Whether `raw` still is, by its first bytes; `otherwise` where these say nothing."""
    magic = _MAGIC.get(encodings.lower().rpartition(",")[2].strip())
    return otherwise if magic is None else raw.startswith(magic)


def decoded(raw: bytes, encodings: str) -> bytes:
    """`raw` without the encodings of a `content-encoding` header; b"" for one that cannot be undone here."""
    for name in reversed([encoding.strip() for encoding in encodings.lower().split(",")]):
        if name in {"", "identity"}:
            continue
        decode = _DECODERS.get(name)
        if decode is None:
            return b""
        raw = decode(raw)
    return raw


def _gzip(raw: bytes) -> bytes:
    return _piecewise(zlib.decompressobj(47).decompress, raw)


def _deflate(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS).decompress(raw)
    except zlib.error:  # some servers leave out the header
        return _piecewise(zlib.decompressobj(-zlib.MAX_WBITS).decompress, raw)


def _brotli(raw: bytes) -> bytes:
    module = _first(_BROTLI)
    if module is None:
        return b""
    machine = module.Decompressor()
    return _piecewise(getattr(machine, "process", None) or machine.decompress, raw)


def _zstd(raw: bytes) -> bytes:
    module = _first(_ZSTD)
    if module is None:
        return b""
    machine = module.ZstdDecompressor()
    return _piecewise(
        (machine.decompressobj() if hasattr(machine, "decompressobj") else machine).decompress, raw
    )


def _first(names: tuple[str, ...]) -> Any:
    """The client library had one of these, or it would not have asked for the encoding."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _piecewise(decompress: Callable[[bytes], bytes], raw: bytes) -> bytes:
    """As far as it goes: damage further on does not cost what came before."""
    pieces: list[bytes] = []
    with suppress(Exception):  # each library has errors of its own
        for start in range(0, len(raw), _CHUNK):
            pieces.append(decompress(raw[start : start + _CHUNK]))
    return b"".join(pieces)


_DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
