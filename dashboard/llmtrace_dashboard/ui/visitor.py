"""Who looks at this page, asked anew at each run, so that a role that was taken away ends at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from llmtrace_analysis.collector_client import Caller
from llmtrace_dashboard.access.ended_logins import EndedLogins
from llmtrace_dashboard.access.people import ANYBODY, Person, Stranger, login_problem, person_of
from llmtrace_dashboard.access.role_book import RoleBook, RolesUnreadable
from llmtrace_dashboard.settings import DashboardSettings

from .current_settings import current_settings

_ended = EndedLogins()


class AccessEnded(Exception):
    """Whoever looked at this page may not do so any more."""


@lru_cache(maxsize=4)
def _role_book(settings: DashboardSettings) -> RoleBook:
    return RoleBook(settings)


@dataclass(frozen=True)
class Access:
    """What a visitor presented, and the project that was chosen: good for as long as the roles say so."""

    claims: Mapping[str, Any]
    chosen: str

    def visitor(self) -> Person | Stranger:
        """Who that is at this moment."""
        settings, claims = current_settings(), dict(self.claims)
        if not settings.asks_who:
            return ANYBODY
        if settings.trusted_header:
            # Of a proxy these headers alone are believed, whatever cookie comes with them.
            email, groups = claims.get("email"), str(claims.get("groups_text") or "")
            claims = {"email": email, "sub": email, "groups": [g.strip() for g in groups.split(",")]}
            if not email:
                return Stranger("unnamed", detail=settings.trusted_header)
        elif problem := login_problem(claims, settings.login_hours):
            return problem
        elif _ended.has(claims):
            return Stranger("signed_out")
        try:
            return person_of(claims, _role_book(settings).rules())
        except RolesUnreadable as error:
            return Stranger("roles_unreadable", detail=str(error))

    def person(self) -> Person:
        """The visitor, where that is somebody with a role. Raises AccessEnded."""
        visitor = self.visitor()
        if isinstance(visitor, Stranger):
            raise AccessEnded(visitor.reason)
        return visitor

    def confined_to(self) -> str:
        """The one project that the collector must confine this visitor to; empty: none. Raises AccessEnded.

        Of several the chosen one, where it is among them.
        """
        projects = self.person().projects
        return self.chosen if self.chosen in projects else next(iter(projects), "")

    def caller(self) -> Caller:
        """Whom requests of this visitor are for. Raises AccessEnded."""
        person = self.person()
        if not person.name:
            return Caller()
        return Caller(person.name, person.role, self.confined_to())


def access() -> Access:
    """What the visitor of this run presented."""
    settings = current_settings()
    chosen = str(st.session_state.get("project") or "")
    return Access(st.user.to_dict() if settings.asks_who else {}, chosen)


def person() -> Person:
    """The visitor of this run. Raises AccessEnded."""
    return access().person()


def sign_out() -> None:
    """End the visitor's login, in every tab; a callback of buttons."""
    _ended.end(access().claims, current_settings().login_hours)
    st.logout()
