"""From the claims of a login to a person with a role and projects, or to the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from llmtrace_dashboard.settings import Role, RoleRule

#: From the least to the most; whoever has a role may do what those before it may.
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "admin")

#: How far a provider's clock may be ahead of ours, in seconds.
_SKEW_SECONDS = 300.0

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Person:
    """Who looks at the pages. `name` is empty where nobody signs in; `projects` empty: every project."""

    name: str
    role: Role
    projects: tuple[str, ...] = ()

    def may(self, role: Role) -> bool:
        """Whether what needs `role` is allowed."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Stranger:
    """Somebody who sees nothing, and why; `name` where it is known, `detail` what to mend."""

    reason: Literal["signed_out", "too_old", "no_role", "unnamed", "roles_unreadable"]
    name: str = ""
    detail: str = ""


#: Whoever reaches a dashboard that asks for no login, which only this machine can.
ANYBODY: Final = Person("", "admin")


def login_problem(claims: Mapping[str, Any], login_hours: float, now: float | None = None) -> Stranger | None:
    """Why these claims of a provider are no login at this moment; None when they are one."""
    if claims.get("is_logged_in") is not True or not claims.get("sub"):
        return Stranger("signed_out")
    issued, moment = claims.get("iat"), time.time() if now is None else now
    # Without a date nobody can tell how old it is.
    if isinstance(issued, bool) or not isinstance(issued, (int, float)):
        return Stranger("too_old", name_of(claims))
    if not moment - login_hours * 3600 < issued < moment + _SKEW_SECONDS:
        return Stranger("too_old", name_of(claims))
    return None


def name_of(claims: Mapping[str, Any]) -> str:
    """What a person is called in histories: the e-mail address, else the subject; printable, bounded."""
    for claim in ("email", "preferred_username", "sub"):
        values = list(_values(claims, claim))
        name = "".join(c for c in (values or [""])[0] if c.isprintable()).strip()[:_LONGEST_NAME]
        if name:
            return name
    return ""


def person_of(claims: Mapping[str, Any], rules: Sequence[RoleRule]) -> Person | Stranger:
    """The person behind these claims: the first rule that fits decides."""
    name = name_of(claims)
    for rule in rules:
        presented = {_comparable(rule.claim, value) for value in _values(claims, rule.claim)}
        if presented & {_comparable(rule.claim, value) for value in rule.values}:
            return Person(name, rule.role, rule.projects or ())
    return Stranger("no_role", name)


def _values(claims: Mapping[str, Any], claim: str) -> Iterator[str]:
    """The texts of a claim; none of an address that the provider has not verified."""
    if claim == "email" and str(claims.get("email_verified", True)).lower() != "true":
        return
    value_or_values: Any = claims.get(claim)
    if value_or_values is None:
        value_or_values = claims
        for step in claim.split("."):
            inner = value_or_values
            value_or_values = inner.get(step) if isinstance(inner, Mapping) else None
    for value in value_or_values if isinstance(value_or_values, (list, tuple)) else [value_or_values]:
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value)


def _comparable(claim: str, value: str) -> str:
    """Addresses of mail are written in either case. Other alphabets have letters that fold into ours."""
    return value.lower() if claim == "email" and value.isascii() else value
