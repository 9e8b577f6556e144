"""The public keys by which a provider's tokens are checked: fetched, kept, and followed when they change."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import httpx
import jwt

from llmtrace.common.tls import TlsFiles
from llmtrace_collector.issuer_settings import TokenIssuer, demand_secure

logger = logging.getLogger(__name__)

#: How old the keys may be before they are asked for again, and how old while the provider does not answer.
_FRESH_SECONDS, _STALE_SECONDS = 300.0, 86_400.0

#: A token with an unknown key asks the provider again, all tokens together once in so long.
_AGAIN_SECONDS = 10.0

#: Of one answer of the provider: time, bytes, keys.
_SECONDS, _MAX_BYTES, _MAX_KEYS = 5.0, 256 << 10, 100

#: Of an RSA key: less is not safe, more costs too much to check.
_RSA_BITS = range(2048, 8193)

#: Algorithm → what a key for it says of itself.
_SHAPES: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

_Keys = Mapping[tuple[str | None, str], jwt.PyJWK]


class KeysUnavailable(Exception):
    """The provider's keys cannot be had; the text says why and names the address."""


class SigningKeys:
    """The keys of one provider. Any thread may ask; `executor` fetches.

    Keys that the provider no longer names are gone with the next fetch. While it does not answer, the last
    ones hold for a day.
    """

    def __init__(self, issuer: TokenIssuer, executor: Executor) -> None:
        self._issuer = issuer
        self._executor = executor
        self._lock = threading.Lock()
        self._keys: _Keys = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._under_way: Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether there are keys that are not too old."""
        return self._fetched_at is not None and time.monotonic() - self._fetched_at < _STALE_SECONDS

    def get(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of this id for this algorithm; without an id the only one for it."""
        return self._keys.get((kid, algorithm)) if self.usable else None

    def holds(self, key: jwt.PyJWK) -> bool:
        """Whether a key that `get` gave is still one."""
        return self.get(key.key_id, key.algorithm_name) is key

    def refresh(self) -> Future[None]:
        """Ask the provider again, in the background; done at once when it was asked a moment ago.

        The future never fails: whoever waits for it looks for the key again.
        """
        with self._lock:
            now = time.monotonic()
            if self._under_way is not None:
                return self._under_way
            if self._tried_at is not None and now - self._tried_at < _AGAIN_SECONDS:
                nothing: Future[None] = Future()
                nothing.set_result(None)
                return nothing
            self._tried_at = now
            self._under_way = self._executor.submit(self._refresh_quietly)
            return self._under_way

    def refresh_when_due(self) -> None:
        """Ask the provider where the keys are no longer fresh. Raises KeysUnavailable."""
        if self._fetched_at is not None and time.monotonic() - self._fetched_at < _FRESH_SECONDS:
            return
        self._refresh()

    def _refresh_quietly(self) -> None:
        try:
            self._refresh()
        except KeysUnavailable as error:
            logger.warning("%s", error)
        finally:
            with self._lock:
                self._under_way = None
                self._tried_at = time.monotonic()

    def _refresh(self) -> None:
        try:
            keys = _read_keys(self._fetch(), self._issuer.algorithms)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            raise KeysUnavailable(
                f"the keys of issuer {self._issuer.name} cannot be had, and the known ones hold for a day: "
                f"{str(error)[:500] or type(error).__name__}"
            ) from error
        # A key that stays the same stays the same object: what it signed needs no second check.
        self._keys = {name: self._same(name, key) for name, key in keys.items()}
        self._fetched_at = time.monotonic()

    def _same(self, name: tuple[str | None, str], key: jwt.PyJWK) -> jwt.PyJWK:
        known = self._keys.get(name)
        return known if known is not None and known.key == key.key else key

    def _fetch(self) -> Any:
        if self._issuer.jwks and not self._issuer.jwks.startswith(("http://", "https://")):
            path = Path(self._issuer.jwks)
            if path.stat().st_size > _MAX_BYTES:
                raise ValueError(f"{path} is larger than {_MAX_BYTES} bytes")
            return json.loads(path.read_bytes())
        verify = TlsFiles(self._issuer.certificate).context()
        with httpx.Client(verify=verify, timeout=_SECONDS, follow_redirects=False) as client:
            url = self._issuer.jwks
            if not url:
                where = f"{self._issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
                described = self._get(client, where)
                if not isinstance(described, dict) or described.get("issuer") != self._issuer.issuer:
                    raise ValueError(f"{where} describes another issuer than {self._issuer.issuer!r}")
                url = str(described.get("jwks_uri"))
                demand_secure(url, f"jwks_uri of {where}")
            return self._get(client, url)

    def _get(self, client: httpx.Client, url: str) -> Any:
        """The JSON at an address. No redirect is followed: keys come from where they are said to be."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._issuer.token_file is not None:
            headers["Authorization"] = f"Bearer {self._issuer.token_file.read_text().strip()}"
        deadline = time.monotonic() + _SECONDS
        body = b""
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != 200:
                raise ValueError(f"{url} answers {answer.status_code}")
            for piece in answer.iter_raw():
                body += piece
                if len(body) > _MAX_BYTES:
                    raise ValueError(f"{url} answers more than {_MAX_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise ValueError(f"{url} takes longer than {_SECONDS:g} s")
        return json.loads(body)


def _read_keys(document: Any, algorithms: tuple[str, ...]) -> _Keys:
    """(id, algorithm) → key, of those keys that can be used with these algorithms; the first of each.

    Under the id None is the key of an algorithm that has only one. Raises ValueError when there is none.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise ValueError(f"it is no list of at most {_MAX_KEYS} keys")
    keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid", ""), str):
            continue
        for algorithm in algorithms:
            key = _usable(entry, algorithm)
            if key is not None:
                keys.setdefault((entry.get("kid"), algorithm), key)
    if not keys:
        raise ValueError(f"none of its keys is for {', '.join(algorithms)}")
    for algorithm in algorithms:
        fitting = [key for (_, of), key in keys.items() if of == algorithm]
        if len(fitting) == 1:
            keys.setdefault((None, algorithm), fitting[0])
    return keys


def _usable(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The public key of an entry for an algorithm; None: it is for something else, or unfit."""
    kind, curve = _SHAPES[algorithm]
    if entry.get("kty") != kind or (curve is not None and entry.get("crv") != curve):
        return None
    if entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        return None
    # A private part is nobody's to publish, and nothing here may depend on it.
    public: dict[str, Any] = {
        name: entry[name] for name in ("kty", "kid", "crv", "n", "e", "x", "y") if name in entry
    }
    try:
        key = jwt.PyJWK(public, algorithm)
        bits = getattr(key.key, "key_size", None)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if kind == "RSA" and bits not in _RSA_BITS else key
