"""Who may do what: keys for sending, reading and administration, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.datastructures import Headers

from llmtrace.common.admin_key import FILE, AdminKeyMissing, find_admin_key
from llmtrace.common.durable_files import write_durably
from llmtrace.common.loopback import is_loopback
from llmtrace_collector.settings import CollectorSettings

from .api_keys import ALLOWS, ApiKeyStore, RateLimit, Role


class UnsafeBind(ValueError):
    """The settings would serve other machines without keys."""


@dataclass(frozen=True)
class ConfiguredKeys:
    """The collector's keys; None: no key is configured, which only loopback binds may have."""

    ingest: str | None
    read: str | None
    admin: str
    service: str | None = None

    def of(self, role: Role) -> str | None:
        """The configured key of a role."""
        keys: dict[Role, str | None] = {
            "ingest": self.ingest,
            "read": self.read,
            "service": self.service,
            "admin": self.admin,
        }
        return keys[role]

    def role_of(self, secret: str, wanted: Role) -> Role | None:
        """The role of the configured key that `secret` is, where it allows what is wanted."""
        roles = (role for role in ALLOWS if wanted in ALLOWS[role])
        return next((role for role in roles if _same(secret, self.of(role))), None)


@dataclass(frozen=True)
class Identity:
    """Whose request it is. `project` empty: not confined; `key_id` empty: no key was needed."""

    key_id: str
    project: str = ""


class Denied(Exception):
    """A request that may not pass: HTTP status (401, 429), what is wrong, when to try again (seconds)."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Authenticator:
    """Decides who passes: the keys of the settings are for every project, API keys for their own.

    A role without any key is everybody's, unless `locked`; the first key made for it, or for a role that it
    includes, ends that.
    """

    def __init__(self, keys: ConfiguredKeys, api_keys: ApiKeyStore, *, locked: bool = False) -> None:
        self.keys = keys
        self._api_keys = api_keys
        self._locked = locked
        self._limit = RateLimit()

    def admit(self, headers: Headers, role: Role) -> Identity:
        """The identity behind a request that needs `role`. Raises Denied."""
        for secret in _presented_keys(headers):
            configured = self.keys.role_of(secret, role)
            if configured is not None:
                return Identity(f"{configured}_key")
            key = self._api_keys.find(secret)
            if key is not None and role in ALLOWS[key.role]:
                wait = self._limit.wait(key)
                if wait:
                    raise Denied(
                        429,
                        f"key {key.key_id} is limited to {key.requests_per_minute} requests a minute",
                        math.ceil(wait),
                    )
                return Identity(key.key_id, key.project)
        if self._is_open(role):
            return Identity("")
        raise Denied(401, f"a valid {role} key is needed: send it as 'Authorization: Bearer KEY'")

    def _is_open(self, role: Role) -> bool:
        """Whether no key is needed: there is none for this role, nor for what it may do besides."""
        if self._locked:
            return False
        return not any(
            self.keys.of(allowed) is not None or self._api_keys.has_key_for(allowed)
            for allowed in ALLOWS[role]
        )


def require_admin(authenticator: Authenticator) -> Callable[[Request], None]:
    """A dependency of routes that admin keys open; the identity is then in `request.state.identity`."""

    def check(request: Request) -> None:
        try:
            request.state.identity = authenticator.admit(request.headers, "admin")
        except Denied as denied:
            headers = {} if denied.retry_after is None else {"Retry-After": str(denied.retry_after)}
            message = (
                str(denied)
                if denied.status != 401
                else "the admin key is needed: send it as 'Authorization: Bearer KEY' (it is in admin.key of "
                "the collector's data directory)"
            )
            raise HTTPException(denied.status, message, headers) from denied

    return check


def require_unscoped_key(authenticator: Authenticator) -> Callable[[Request], None]:
    """A dependency of routes that touch every project: a project's own admin key does not open them."""
    check_admin = require_admin(authenticator)

    def check(request: Request) -> None:
        check_admin(request)
        if request.state.identity.project:
            raise HTTPException(403, "this needs an admin key of every project, not of one")

    return check


def require_project(request: Request, project: str) -> None:
    """Raise HTTPException 403 when the request's key is of another project."""
    own = request.state.identity.project
    if own and own != project:
        raise HTTPException(403, f"this key is of project {own!r} and may not write into {project!r}")


def load_keys(settings: CollectorSettings) -> ConfiguredKeys:
    """The keys of the settings; the admin key is made at the first start, readable by its owner alone.

    Raises UnsafeBind when the host is reachable from elsewhere and a key is missing.
    """
    ingest = settings.ingest_key.get_secret_value() if settings.ingest_key else None
    read = settings.read_key.get_secret_value() if settings.read_key else None
    service = settings.service_key.get_secret_value() if settings.service_key else None
    if not is_loopback(settings.host) and not (ingest and read) and not settings.require_keys:
        raise UnsafeBind(
            f"collector.host = {settings.host!r} can be reached from other machines, so keys are needed: set "
            "collector.ingest_key and collector.read_key (or LLMTRACE_COLLECTOR__INGEST_KEY and "
            "LLMTRACE_COLLECTOR__READ_KEY), or collector.require_keys = true and make keys by `llmtrace keys "
            "create`, or bind 127.0.0.1."
        )
    admin = settings.admin_key.get_secret_value() if settings.admin_key else None
    return ConfiguredKeys(
        ingest or None, read or None, admin or admin_key(settings.data_dir), service or None
    )


def admin_key(data_dir: Path) -> str:
    """The admin key of a data directory: the environment's, else the file's, made when absent.

    Raises ValueError when the file is there and holds no key.
    """
    with suppress(AdminKeyMissing):
        return find_admin_key(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # another process has made one at this moment, or it holds none
        new = f"{secrets.token_urlsafe(32)}\n".encode()
        write_durably(data_dir / FILE, new, mode=0o600, exclusive=True)
    try:
        return find_admin_key(data_dir)
    except AdminKeyMissing as missing:
        # An empty key would be everybody's.
        raise ValueError(f"{missing}, or remove it: the next start makes a new one") from None


def _same(secret: str, key: str | None) -> bool:
    return key is not None and hmac.compare_digest(secret.encode(errors="surrogateescape"), key.encode())


def _presented_keys(headers: Headers) -> list[str]:
    """Every key that the request carries: Bearer, Basic's password, x-api-key, ClickHouse's header."""
    presented = [headers[name] for name in ("x-api-key", "x-clickhouse-key") if name in headers]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        presented.append(value.strip())
    elif scheme.lower() == "basic":
        try:
            presented.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return presented
    return presented
