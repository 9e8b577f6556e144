"""Content encodings of recorded bodies. A torn body (a stream left early) gives what it holds so far."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

_CHUNK: Final = 64 * 1024
_ZSTD: Final = ("compression.zstd", "backports.zstd", "zstandard")
_BROTLI: Final = ("brotli", "brotlicffi")


# No JSON or event stream begins like this.
_MAGIC: Final = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def is_encoded(pieces: Sequence[bytes], encodings: str, *, otherwise: bool) -> bool:
    """Whether a body still is, by its first bytes; `otherwise` where these say nothing."""
    magic = _MAGIC.get(encodings.lower().rpartition(",")[2].strip())
    return otherwise if magic is None else b"".join(pieces[: len(magic)]).startswith(magic)


def unzipped(body: bytes) -> bytes:
    """A request's body without gzip, which is all that clients compress requests with."""
    return decoded([body], "gzip")[0] if body.startswith(_MAGIC["gzip"]) else body


def decoded(pieces: Sequence[bytes], encodings: str) -> list[bytes]:
    """A body without the encodings of a `content-encoding` header: of each piece, what it brought to light.

    Empty pieces for an encoding that cannot be undone here.
    """
    listed = list(pieces)
    for name in reversed([encoding.strip() for encoding in encodings.lower().split(",")]):
        if name in {"", "identity"}:
            continue
        decode = _DECODERS.get(name)
        if decode is None:
            return [b""] * len(listed)
        listed = decode(listed)
    return listed


def decompressor(encodings: str) -> Callable[[bytes], bytes] | None:
    """What undoes the one encoding of a `content-encoding` header piece by piece, and raises where it cannot;
    None for several, and for one that cannot be undone here.
    """
    name = encodings.strip().lower()
    if name in {"gzip", "x-gzip"}:
        return zlib.decompressobj(47).decompress
    if name == "deflate":
        return zlib.decompressobj(zlib.MAX_WBITS).decompress
    return _machine(name)


def _machine(name: str) -> Callable[[bytes], bytes] | None:
    """The client library had one of these, or it would not have asked for the encoding."""
    module = _first({"br": _BROTLI, "zstd": _ZSTD}.get(name, ()))
    if module is None:
        return None
    if name == "br":
        machine = module.Decompressor()
        return getattr(machine, "process", None) or machine.decompress  # type: ignore[no-any-return]
    machine = module.ZstdDecompressor()
    machine = machine.decompressobj() if hasattr(machine, "decompressobj") else machine
    return machine.decompress  # type: ignore[no-any-return]


def _gzip(pieces: list[bytes]) -> list[bytes]:
    return _as_far_as_it_goes(zlib.decompressobj(47).decompress, pieces)


def _deflate(pieces: list[bytes]) -> list[bytes]:
    try:
        decompress = zlib.decompressobj(zlib.MAX_WBITS).decompress
        return [decompress(piece) for piece in pieces]
    except zlib.error:  # some servers leave out the header
        return _as_far_as_it_goes(zlib.decompressobj(-zlib.MAX_WBITS).decompress, pieces)


def _brotli(pieces: list[bytes]) -> list[bytes]:
    return _by_machine("br", pieces)


def _zstd(pieces: list[bytes]) -> list[bytes]:
    return _by_machine("zstd", pieces)


def _by_machine(name: str, pieces: list[bytes]) -> list[bytes]:
    machine = _machine(name)
    return [b""] * len(pieces) if machine is None else _as_far_as_it_goes(machine, pieces)


def _first(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _as_far_as_it_goes(decompress: Callable[[bytes], bytes], pieces: list[bytes]) -> list[bytes]:
    """Damage further on does not cost what came before; nor do a piece's last bytes its first."""
    results = [b""] * len(pieces)
    with suppress(Exception):  # each library has errors of its own
        for index, piece in enumerate(pieces):
            for start in range(0, len(piece), _CHUNK):
                results[index] += decompress(piece[start : start + _CHUNK])
    return results


_DECODERS: Final[dict[str, Callable[[list[bytes]], list[bytes]]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
