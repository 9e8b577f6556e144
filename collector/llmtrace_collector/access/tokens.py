"""Tokens that stand for keys: JWTs of the providers of [[collector.issuers]], checked and mapped to what they
may do.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jwt

from llmtrace_collector.issuer_settings import EVERY_PROJECT, TokenIssuer

from .api_keys import ALLOWS, Role
from .identity import Denied
from .signing_keys import KeysUnavailable, SigningKeys

#: Longer tokens are nobody's honest ones; headers have to hold them.
_MAX_TOKEN = 8192

#: Checked tokens that are remembered.
_MOST_TOKENS = 4096

_MAX_SUBJECT = 200

#: When to come again while the provider's keys cannot be had.
_LATER_SECONDS = 10

#: base64url of `{"`, with which every header of a token begins.
_FORM = re.compile(r"ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

_PROJECT = re.compile(r"[A-Za-z0-9_.:@/-]{1,128}")

#: Claims of OAuth whose text is a list.
_LISTS = frozenset({"scope", "scp"})


@dataclass(frozen=True)
class Grant:
    """What a token may do, as whom. `project` empty: every project."""

    key_id: str
    project: str
    roles: frozenset[Role]
    requests_per_minute: int

    @property
    def allows(self) -> frozenset[Role]:
        """The roles that endpoints may ask for."""
        return frozenset(allowed for role in self.roles for allowed in ALLOWS[role])


@dataclass(frozen=True)
class _Checked:
    grant: Grant
    signers: SigningKeys
    signer: jwt.PyJWK
    until: float

    @property
    def holds(self) -> bool:
        return time.time() < self.until and self.signers.holds(self.signer)


@dataclass(frozen=True)
class _Unchecked:
    """What a token says of itself, before anything of it is believed."""

    issuer: str
    algorithm: str
    kid: str | None


class Tokens:
    """Checks tokens. Any thread may ask; one that was checked is remembered until it ends, or until its key
    is the provider's no longer.
    """

    def __init__(self, issuers: Sequence[TokenIssuer]) -> None:
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="llmtrace-issuers")
        # Tables of one provider, with audiences or claims of their own, share its keys.
        shared: dict[tuple[object, ...], SigningKeys] = {}
        self._issuers: dict[str, list[tuple[TokenIssuer, SigningKeys]]] = {}
        for issuer in issuers:
            place = (issuer.issuer, issuer.jwks, issuer.algorithms, issuer.certificate, issuer.token_file)
            keys = shared.setdefault(place, SigningKeys(issuer, self._executor))
            self._issuers.setdefault(issuer.issuer, []).append((issuer, keys))
        self._signers = tuple(shared.values())
        self._roles = frozenset(
            allowed for issuer in issuers for role in issuer.grants for allowed in ALLOWS[role]
        )
        self._lock = threading.Lock()
        self._checked: dict[bytes, _Checked] = {}

    def grants(self, role: Role) -> bool:
        """Whether some token may do what `role` does."""
        return role in self._roles

    def find(self, token: str) -> Grant | None:
        """What a token may do; None: it is of no provider here. Raises Denied, whose text says why and quotes
        nothing of the token, with 503 where the provider's keys cannot be had."""
        checked = self._known(token)
        if checked is not None:
            return checked.grant
        if not _has_form_of_token(token):
            return None
        unchecked = _unchecked(token)
        issuers = self._issuers.get(unchecked.issuer, ()) if unchecked is not None else ()
        refused: Denied | None = None
        for issuer, keys in issuers:
            try:
                checked = _check(token, unchecked, issuer, keys)
            except Denied as error:
                refused = refused or error
            else:
                self._remember(token, checked)
                return checked.grant
        if refused is not None:
            raise refused
        return None

    def signers_to_ask(self, token: str) -> Iterable[SigningKeys]:
        """The keys that `find` would need and does not have."""
        if self._known(token) is not None or not _has_form_of_token(token):
            return ()
        unchecked = _unchecked(token)
        if unchecked is None:
            return ()
        issuers = self._issuers.get(unchecked.issuer, ())
        missing = (
            keys
            for issuer, keys in issuers
            if unchecked.algorithm in issuer.algorithms
            and keys.get(unchecked.kid, unchecked.algorithm) is None
        )
        return tuple(dict.fromkeys(missing))

    def refresh(self) -> None:
        """Ask the providers whose keys are no longer fresh. Raises KeysUnavailable, after asking all."""
        failures = []
        for keys in self._signers:
            try:
                keys.refresh_when_due()
            except KeysUnavailable as error:
                failures.append(str(error))
        if failures:
            raise KeysUnavailable("; ".join(failures))

    def close(self) -> None:
        """Stop asking."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _known(self, token: str) -> _Checked | None:
        """A token that was checked before, and still holds."""
        if not token.startswith("ey"):
            return None
        checked = self._checked.get(_digest(token))
        return checked if checked is not None and checked.holds else None

    def _remember(self, token: str, checked: _Checked) -> None:
        with self._lock:
            while len(self._checked) >= _MOST_TOKENS:
                del self._checked[next(iter(self._checked))]
            self._checked[_digest(token)] = checked


def _has_form_of_token(text: str) -> bool:
    return text.startswith("ey") and len(text) <= _MAX_TOKEN and _FORM.fullmatch(text) is not None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _unchecked(token: str) -> _Unchecked | None:
    """None: it cannot be read in one way alone, or says less than a token must."""
    try:
        header, claims = (_json(part) for part in token.split(".")[:2])
    except (ValueError, RecursionError):
        return None
    issuer, algorithm, kid = claims.get("iss"), header.get("alg"), header.get("kid")
    # What `crit` names would have to be understood; `jku`, `x5u`, `jwk` and `x5c` name keys of the sender's.
    if "crit" in header or not isinstance(issuer, str) or not isinstance(algorithm, str):
        return None
    return _Unchecked(issuer, algorithm, kid) if kid is None or isinstance(kid, str) else None


def _json(part: str) -> dict[str, Any]:
    """The object in a part of a token. Raises ValueError, also for a name that is there twice: the two sides
    of a connection may differ in which holds."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    value = json.loads(data, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - of the text, not of an argument
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is there twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _check(token: str, unchecked: _Unchecked | None, issuer: TokenIssuer, keys: SigningKeys) -> _Checked:
    """Raises Denied."""
    if unchecked is None or unchecked.algorithm not in issuer.algorithms:
        raise Denied(401, f"the token of {issuer.name} is not signed by {' or '.join(issuer.algorithms)}")
    signer = keys.get(unchecked.kid, unchecked.algorithm)
    if signer is None:
        if keys.usable:
            raise Denied(
                401, f"the token of {issuer.name} is signed by a key that its provider does not name"
            )
        raise Denied(503, f"the keys of issuer {issuer.name} cannot be had at the moment", _LATER_SECONDS)
    try:
        claims = jwt.decode(
            token,
            signer,
            algorithms=[unchecked.algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway_seconds,
            options={"require": ["exp", "iat", "sub"]},
        )
        expires, issued = _time(claims, "exp"), _time(claims, "iat")
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        reason = _REASONS.get(type(error), "it is not as it should be")
        raise Denied(401, f"the token of {issuer.name} is refused: {reason}") from error
    if expires - issued > issuer.max_lifetime_seconds:
        raise Denied(
            401,
            f"the token of {issuer.name} is made for longer than {issuer.max_lifetime_seconds} seconds "
            "(max_lifetime_seconds)",
        )
    return _Checked(_grant(claims, issuer), keys, signer, expires + issuer.leeway_seconds)


_REASONS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidAudienceError: "it is made for another audience",
    jwt.MissingRequiredClaimError: "it lacks exp, iat, sub or aud",
    jwt.InvalidSignatureError: "its signature is wrong",
}


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is no time")
    return float(value)


def _grant(claims: Mapping[str, Any], issuer: TokenIssuer) -> Grant:
    """What a token with these claims may do. Raises Denied where a claim says nothing that is mapped."""
    subject = claims["sub"]
    if not isinstance(subject, str) or not (0 < len(subject) <= _MAX_SUBJECT and subject.isprintable()):
        raise Denied(401, f"the subject of the token of {issuer.name} is not 1 to {_MAX_SUBJECT} characters")
    for name, wanted in issuer.required.items():
        if not any(_is_like(value, text) for value in _texts(claims.get(name)) for text in wanted):
            raise Denied(401, f"the token of {issuer.name} has not the claim {name} that is required")
    return Grant(
        f"jwt:{issuer.name}:{subject}",
        _project(claims, issuer),
        _roles(claims, issuer),
        issuer.requests_per_minute,
    )


def _project(claims: Mapping[str, Any], issuer: TokenIssuer) -> str:
    """Empty: every project."""
    name = _claim(claims, issuer.project_claim) if issuer.project_claim else None
    if name is None:
        if not issuer.project:
            raise Denied(401, f"the token of {issuer.name} names no project: {_path(issuer.project_claim)}")
        return "" if issuer.project == EVERY_PROJECT else issuer.project
    if not isinstance(name, str) or not _PROJECT.fullmatch(name):
        raise Denied(
            401, f"the token of {issuer.name} names no project that may be one: {_path(issuer.project_claim)}"
        )
    return name


def _roles(claims: Mapping[str, Any], issuer: TokenIssuer) -> frozenset[Role]:
    value = _claim(claims, issuer.role_claim) if issuer.role_claim else None
    if value is None:
        if issuer.role is None:
            raise Denied(401, f"the token of {issuer.name} has no role: {_path(issuer.role_claim)}")
        return frozenset({issuer.role})
    words = value.split(" ") if isinstance(value, str) and issuer.role_claim[-1] in _LISTS else _texts(value)
    roles = frozenset(issuer.roles[word] for word in words if word in issuer.roles)
    if not roles:
        raise Denied(
            401, f"the token of {issuer.name} has no role that is mapped: {_path(issuer.role_claim)}"
        )
    return roles


_ABSENT = object()


def _claim(claims: Mapping[str, Any], path: Sequence[str]) -> Any:
    """A claim, or one within others; None when it is not there. One that is null is there: ''."""
    value: Any = claims
    for name in path:
        value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        if value is _ABSENT:
            return None
    return "" if value is None else value


def _texts(value: Any) -> list[str]:
    """A claim's text, or the texts of its list."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _is_like(value: str, pattern: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def _path(names: Sequence[str]) -> str:
    return ".".join(names) or "no claim is configured for it"
