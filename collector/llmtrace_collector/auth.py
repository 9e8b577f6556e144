"""Who may do what: keys for sending, reading and administration, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.datastructures import Headers

from .settings import CollectorSettings


class UnsafeBind(ValueError):
    """The settings would serve other machines without keys."""


@dataclass(frozen=True)
class Keys:
    """The collector's keys; None means that the door is open, which only loopback binds may have."""

    ingest: str | None
    read: str | None
    admin: str

    def may_ingest(self, headers: Headers) -> bool:
        """Whether the request may send telemetry."""
        return self.ingest is None or _matches(headers, self.ingest) or _matches(headers, self.admin)

    def may_read(self, headers: Headers) -> bool:
        """Whether the request may read."""
        return self.read is None or _matches(headers, self.read) or _matches(headers, self.admin)

    def may_administer(self, headers: Headers) -> bool:
        """Whether the request may write incidents and the like."""
        return _matches(headers, self.admin)


def administrator(keys: Keys) -> Callable[[Request], None]:
    """A dependency of routes that only the admin key opens."""

    def check(request: Request) -> None:
        if not keys.may_administer(request.headers):
            raise HTTPException(
                401,
                "the admin key is needed: send it as 'Authorization: Bearer KEY' (it is in admin.key of the "
                "collector's data directory)",
            )

    return check


def load_keys(settings: CollectorSettings) -> Keys:
    """The keys of the settings; the admin key is made at the first start, readable by its owner alone.

    Raises UnsafeBind when the host is reachable from elsewhere and a key is missing.
    """
    ingest = settings.ingest_key.get_secret_value() if settings.ingest_key else None
    read = settings.read_key.get_secret_value() if settings.read_key else None
    if not is_loopback(settings.host) and not (ingest and read):
        raise UnsafeBind(
            f"collector.host = {settings.host!r} can be reached from other machines, so keys are needed: set "
            "collector.ingest_key and collector.read_key (or LLMTRACE_COLLECTOR__INGEST_KEY and "
            "LLMTRACE_COLLECTOR__READ_KEY), or bind 127.0.0.1."
        )
    admin = settings.admin_key.get_secret_value() if settings.admin_key else None
    return Keys(ingest or None, read or None, admin or admin_key(settings.data_dir))


def admin_key(data_dir: Path) -> str:
    """The admin key of a data directory: the environment's, else the file's, made when absent."""
    given = os.environ.get("LLMTRACE_ADMIN_KEY")
    if given:
        return given
    path = data_dir / "admin.key"
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        key = secrets.token_urlsafe(32)
        file.write(key + "\n")
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(headers: Headers, key: str) -> bool:
    return any(hmac.compare_digest(given.encode(), key.encode()) for given in _given(headers))


def _given(headers: Headers) -> list[str]:
    """Every key that the request carries: Bearer, Basic's password, x-api-key, ClickHouse's header."""
    found = [headers[name] for name in ("x-api-key", "x-clickhouse-key") if name in headers]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found.append(value.strip())
    elif scheme.lower() == "basic":
        try:
            found.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return found
    return found
