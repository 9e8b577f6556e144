"""A request of a library that has no type for headers of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit


class LowerCaseHeaders(dict[str, str]):
    """Headers that are looked up in any case."""

    def __init__(self, headers: Iterable[tuple[Any, Any]]) -> None:
        super().__init__((_text(name).lower(), _text(value)) for name, value in headers)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


def address_of(url: str) -> tuple[str, int]:
    """Host and port of an absolute URL, as a request to a proxy has."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class PlainRequest:
    """See `call.CapturedRequest`."""

    __slots__ = ("_address", "body", "headers", "path")

    def __init__(
        self, address: tuple[str, int], headers: Iterable[tuple[Any, Any]], path: str, body: bytes
    ) -> None:
        self._address = address
        self.headers: Mapping[str, str] = LowerCaseHeaders(headers)
        self.path = path
        self.body = body

    def address(self) -> tuple[str, int]:
        return self._address
