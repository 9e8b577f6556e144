"""Who is asking: API keys to callers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.settings import InferenceSettings, KeySettings


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key. `name` tells callers apart and is safe to show; `limits` None: no bounds."""

    name: str
    limits: KeySettings | None = None
    owner: str = "anybody"
    """Whose files and batches these are, the same after a restart with other keys beside this one."""
    priority: int = 0
    """Added to that of its requests; lower goes first."""


ANYBODY = Caller("anybody")


def _callers(settings: InferenceSettings) -> list[tuple[Caller, SecretStr]]:
    callers = [
        # Its place in the list may change, and would then show another's files.
        (Caller(f"key-{i}", owner=f"key:{_digest(key)}"), key)
        for i, key in enumerate(settings.api_keys, 1)
    ]
    for limits in settings.keys:
        caller = Caller(limits.name, limits, owner=f"name:{limits.name}", priority=limits.priority)
        callers.append((caller, limits.key))
    return callers


def caller_of(owner: str, settings: InferenceSettings) -> Caller | None:
    """The caller with this `owner`; None where its key is no longer accepted."""
    callers = [caller for caller, _ in _callers(settings)] or [ANYBODY]
    return next((caller for caller in callers if caller.owner == owner), None)


def authenticate(headers: Mapping[str, str], settings: InferenceSettings) -> Caller:
    """The caller of a request with these headers. Raises ApiError 401."""
    callers = _callers(settings)
    if not callers:
        return ANYBODY
    token = bearer(headers)
    # Every key is compared, so that the time taken says nothing about which one matched.
    matches = [caller for caller, key in callers if _same(token, key)]
    if matches:
        return matches[0]
    raise ApiError(
        401, "a valid API key is needed: send 'Authorization: Bearer <key>'", code="invalid_api_key"
    )


def require_admin(headers: Mapping[str, str], admin_key: SecretStr | None) -> str:
    """Who asks, as the audit calls them: the holder of the admin key.

    Raises ApiError 403 where none is set, 401 for another key.
    """
    if admin_key is None:
        raise ApiError(
            403, "this service has no admin_key: set one to use its admin endpoints", code="admin_disabled"
        )
    if not _same(bearer(headers), admin_key):
        raise ApiError(
            401, "the admin key is needed: send 'Authorization: Bearer <key>'", code="invalid_api_key"
        )
    return "admin_key"


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token of a request; "" without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _same(token: str, key: SecretStr) -> bool:
    return hmac.compare_digest(token.encode(), key.get_secret_value().encode())


def _digest(key: SecretStr) -> str:
    return hashlib.sha256(key.get_secret_value().encode()).hexdigest()[:32]
