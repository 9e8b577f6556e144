"""Who may do what: keys for sending, reading and administration, compared in constant time."""

from __future__ import annotations

import asyncio
import base64
import hmac
import math
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from llmtrace.common.admin_key import (
    DASHBOARD_FILE,
    FILE,
    AdminKeyMissing,
    find_admin_key,
    find_dashboard_key,
)
from llmtrace.common.durable_files import make_directory, write_durably
from llmtrace.common.loopback import is_loopback
from llmtrace_collector.settings import CollectorSettings

from .api_keys import ALLOWS, ApiKeyStore, RateLimit, Role
from .client_address import ClientAddresses
from .identity import Denied, Identity
from .security_events import SecurityEvents, mark_of

if TYPE_CHECKING:  # cryptography is slow to import: only collectors with issuers pay
    from .tokens import Tokens

__all__ = ["Authenticator", "ConfiguredKeys", "Denied", "Identity", "UnsafeBind", "load_keys"]

#: Characters of a key in a file, at least.
_SHORTEST_KEY = 16

#: How long a request with a token of an unknown key waits for the provider's keys.
_REFRESH_SECONDS = 3.0


class UnsafeBind(ValueError):
    """The settings would serve other machines without keys."""


@dataclass(frozen=True)
class ConfiguredKeys:
    """The collector's keys; None: no key is configured, which only loopback binds may have."""

    ingest: str | None
    read: str | None
    admin: str
    service: str | None = None
    dashboard: str | None = None

    def of(self, role: Role) -> str | None:
        """The configured key of a role."""
        keys: dict[Role, str | None] = {
            "ingest": self.ingest,
            "read": self.read,
            "service": self.service,
            "dashboard": self.dashboard,
            "admin": self.admin,
        }
        return keys[role]

    def role_of(self, secret: str, wanted: tuple[Role, ...]) -> Role | None:
        """The role of the configured key that `secret` is, where it allows one of those wanted."""
        roles = (role for role in ALLOWS if not ALLOWS[role].isdisjoint(wanted))
        return next((role for role in roles if _same(secret, self.of(role))), None)


class Authenticator:
    """Decides who passes: the keys of the settings are for every project, API keys for their own.

    A role without any key is everybody's, unless `locked`; the first key made for it, or for a role that it
    includes, ends that. What is refused, and keys in new places, become security events.
    """

    def __init__(
        self,
        keys: ConfiguredKeys,
        api_keys: ApiKeyStore,
        *,
        locked: bool = False,
        events: SecurityEvents | None = None,
        addresses: ClientAddresses | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self.keys = keys
        self._api_keys = api_keys
        self._locked = locked
        self._events = events
        self._addresses = addresses or ClientAddresses()
        self._tokens = tokens
        self._limit = RateLimit()

    async def identify(self, connection: HTTPConnection, *roles: Role) -> Identity:
        """The identity behind an HTTP request that needs one of `roles`. Raises Denied.

        A request is asked once: who asks for the same roles again, behind a middleware that did, has the
        first answer.
        """
        asked: dict[tuple[Role, ...], Identity] = connection.scope.setdefault("llmtrace.identities", {})
        if roles not in asked:
            asked[roles] = await self.authenticate(connection.headers, roles, _peer(connection))
        return asked[roles]

    def address_of(self, connection: HTTPConnection) -> str:
        """Where an HTTP request comes from, trusted proxies left out."""
        return self._addresses.of(connection.headers, _peer(connection))

    async def authenticate(
        self, headers: Headers, role: Role | tuple[Role, ...], address: str = ""
    ) -> Identity:
        """The identity behind a request from the peer `address` that needs `role`, or one of several. Raises
        Denied."""
        refreshes = self._refreshes(headers)
        if refreshes:
            await asyncio.wait(map(asyncio.wrap_future, refreshes), timeout=_REFRESH_SECONDS)
        return self._admit(headers, role, address)

    def admit(self, headers: Headers, role: Role | tuple[Role, ...], address: str = "") -> Identity:
        """The same for threads."""
        wait(self._refreshes(headers), timeout=_REFRESH_SECONDS)
        return self._admit(headers, role, address)

    def _refreshes(self, headers: Headers) -> list[Future[None]]:
        """Fetches of signing keys that a token of the request has to wait for: none, as a rule."""
        if self._tokens is None:
            return []
        return [
            signers.refresh()
            for secret in _presented_keys(headers)
            for signers in self._tokens.signers_to_ask(secret)
        ]

    def _admit(self, headers: Headers, role: Role | tuple[Role, ...], address: str) -> Identity:
        roles = (role,) if isinstance(role, str) else role
        address = self._addresses.of(headers, address)
        presented = _presented_keys(headers)
        try:
            identity = replace(self._identity(presented, roles).with_headers(headers), address=address)
        except Denied as denied:
            self._record_refusal(denied, presented, roles, address)
            raise
        # Tokens live for minutes and their bearers are anywhere: where they come from tells nothing.
        if self._events is not None and identity.key_id and not identity.key_id.startswith("jwt:"):
            self._events.used(identity.key_id, address, identity.project)
        return identity

    def _identity(self, presented: Sequence[str], roles: tuple[Role, ...]) -> Identity:
        """Of the first key or token presented that allows one of `roles`. Raises Denied."""
        refused: Denied | None = None
        for secret in presented:
            configured = self.keys.role_of(secret, roles)
            if configured is not None:
                return Identity(f"{configured}_key", role=configured)
            key = self._api_keys.find(secret)
            if key is not None and not ALLOWS[key.role].isdisjoint(roles):
                self._take(key.key_id, key.requests_per_minute)
                return Identity(key.key_id, key.project, key.role)
            try:
                grant = self._tokens.find(secret) if self._tokens is not None else None
            except Denied as denied:
                refused = denied
                continue
            if grant is not None and not grant.allows.isdisjoint(roles):
                self._take(grant.key_id, grant.requests_per_minute)
                return Identity(grant.key_id, grant.project)
        if any(self._is_open(role) for role in roles):
            return Identity("")
        if refused is not None:
            raise refused
        wanted = " or ".join(roles)
        raise Denied(401, f"a valid {wanted} key is needed: send it as 'Authorization: Bearer KEY'")

    def _take(self, key_id: str, requests_per_minute: int) -> None:
        wait = self._limit.wait(key_id, requests_per_minute)
        if wait:
            raise Denied(
                429, f"key {key_id} is limited to {requests_per_minute} requests a minute", math.ceil(wait)
            )

    def _record_refusal(
        self, denied: Denied, presented: Sequence[str], roles: tuple[Role, ...], address: str
    ) -> None:
        if self._events is None or denied.status == 429:
            return
        wanted = f"{' or '.join(roles)} was asked for"
        known = next((key for key in map(self._known, presented) if key is not None), None)
        if known is not None:
            kind = f"a key of the role {known.role}" if known.role else "a token"
            detail = f"{wanted} with {kind}, answered {denied.status}"
            self._events.record(
                "key_refused", key_id=known.key_id, address=address, project=known.project, detail=detail
            )
        else:
            marks = ", ".join(map(mark_of, presented[:2]))
            detail = f"{wanted} with {f'an unknown key ({marks})' if marks else 'no key'}: {denied}"
            self._events.record("key_refused", address=address, detail=detail)

    def record_denied(self, identity: Identity, detail: str) -> None:
        """Note that a known key, or the person behind it, asked for what it may not have."""
        if self._events is not None:
            self._events.record(
                "read_denied",
                key_id=identity.key_id,
                address=identity.address,
                project=identity.project,
                detail=detail,
            )

    def _known(self, secret: str) -> Identity | None:
        """Whose key it is, whatever it allows."""
        role = self.keys.role_of(secret, tuple(ALLOWS))
        if role is not None:
            return Identity(f"{role}_key", role=role)
        key = self._api_keys.find(secret)
        if key is not None:
            return Identity(key.key_id, key.project, key.role)
        try:
            grant = self._tokens.find(secret) if self._tokens is not None else None
        except Denied:
            return None
        return None if grant is None else Identity(grant.key_id, grant.project)

    def _is_open(self, role: Role) -> bool:
        """Whether no key is needed: there is none for this role, nor for what it may do besides."""
        if self._locked:
            return False
        return not any(
            self.keys.of(allowed) is not None
            or self._api_keys.has_key_for(allowed)
            or (self._tokens is not None and self._tokens.grants(allowed))
            for allowed in ALLOWS[role]
        )


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
    by_token = frozenset(
        allowed for issuer in settings.issuers for role in issuer.grants for allowed in ALLOWS[role]
    )
    has_keys = (ingest or "ingest" in by_token) and (read or "read" in by_token)
    if not is_loopback(settings.host) and not has_keys and not settings.require_keys:
        raise UnsafeBind(
            f"collector.host = {settings.host!r} can be reached from other machines, so keys are needed: set "
            "collector.ingest_key and collector.read_key (or LLMTRACE_COLLECTOR__INGEST_KEY and "
            "LLMTRACE_COLLECTOR__READ_KEY), or collector.require_keys = true and make keys by `llmtrace keys "
            "create`, or bind 127.0.0.1."
        )
    admin = settings.admin_key.get_secret_value() if settings.admin_key else None
    dashboard = settings.dashboard_key.get_secret_value() if settings.dashboard_key else None
    return ConfiguredKeys(
        ingest or None,
        read or None,
        admin or admin_key(settings.data_dir),
        service or None,
        dashboard or dashboard_key(settings.data_dir),
    )


def admin_key(data_dir: Path) -> str:
    """The admin key of a data directory: the environment's, else the file's, made when absent.

    Raises ValueError when the file is there and holds no key.
    """
    return _existing_or_new(find_admin_key, data_dir, FILE)


def dashboard_key(data_dir: Path) -> str:
    """The dashboard's key, likewise."""
    return _existing_or_new(find_dashboard_key, data_dir, DASHBOARD_FILE)


def _existing_or_new(find: Callable[[Path], str], data_dir: Path, file: str) -> str:
    with suppress(AdminKeyMissing):
        return _long_enough(find(data_dir), data_dir / file)
    make_directory(data_dir)
    with suppress(FileExistsError):  # another process has made one at this moment, or it holds none
        new = f"{secrets.token_urlsafe(32)}\n".encode()
        write_durably(data_dir / file, new, exclusive=True)
    try:
        return find(data_dir)
    except AdminKeyMissing as missing:
        # An empty key would be everybody's.
        raise ValueError(f"{missing}, or remove it: the next start makes a new one") from None


def _long_enough(key: str, file: Path) -> str:
    """Raise ValueError where the file is where the key is from and was cut."""
    with suppress(OSError, UnicodeDecodeError):
        if len(key) < _SHORTEST_KEY and file.read_text(encoding="utf-8").strip() == key:
            raise ValueError(
                f"{file} holds a key of {len(key)} characters, which is too short to be whole or safe: put "
                f"one of {_SHORTEST_KEY} or more into it, or remove it: the next start makes a new one"
            )
    return key


def _peer(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _same(secret: str, key: str | None) -> bool:
    if not key:
        return False
    return hmac.compare_digest(secret.encode(errors="surrogateescape"), key.encode())


def _presented_keys(headers: Headers) -> list[str]:
    """Every key that the request carries: Bearer, Basic's password, x-api-key, ClickHouse's header. An empty
    one is none.
    """
    presented = [headers[name] for name in ("x-api-key", "x-clickhouse-key") if name in headers]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        presented.append(value.strip())
    elif scheme.lower() == "basic":
        with suppress(ValueError):  # of Base64, or of text in it
            presented.append(base64.b64decode(value.strip(), validate=True).decode().partition(":")[2])
    return [key for key in presented if key]
