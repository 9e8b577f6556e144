"""Who is asking: API keys to callers."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from llmtrace_inference.errors import ApiError
from llmtrace_inference.settings import InferenceSettings, KeySettings


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key. `name` tells callers apart and is safe to show; `limits` None: no bounds."""

    name: str
    limits: KeySettings | None = None


ANYBODY = Caller("anybody")


def authenticate(headers: Mapping[str, str], settings: InferenceSettings) -> Caller:
    """The caller of a request with these headers. Raises ApiError 401."""
    callers = [(Caller(f"key-{i}"), key) for i, key in enumerate(settings.api_keys, 1)]
    callers += [(Caller(limits.name, limits), limits.key) for limits in settings.keys]
    if not callers:
        return ANYBODY
    given = bearer(headers)
    # Every key is compared, so that the time taken says nothing about which one matched.
    matches = [caller for caller, key in callers if _same(given, key)]
    if matches:
        return matches[0]
    raise ApiError(
        401, "a valid API key is needed: send 'Authorization: Bearer <key>'", code="invalid_api_key"
    )


def require_admin(headers: Mapping[str, str], admin_key: SecretStr | None) -> None:
    """Pass the holder of the admin key. Raises ApiError 403 where none is set, 401 for another key."""
    if admin_key is None:
        raise ApiError(
            403, "this service has no admin_key: set one to use its admin endpoints", code="admin_disabled"
        )
    if not _same(bearer(headers), admin_key):
        raise ApiError(
            401, "the admin key is needed: send 'Authorization: Bearer <key>'", code="invalid_api_key"
        )


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token of a request; "" without one."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _same(given: str, key: SecretStr) -> bool:
    return hmac.compare_digest(given.encode(), key.get_secret_value().encode())
