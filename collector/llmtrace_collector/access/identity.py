"""Who a request is: its key's identity, and what the headers of a trusted key add to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote

from starlette.datastructures import Headers

from llmtrace.common.http_limits.refusal import Refusal

from .api_keys import Role

#: What a person may do in the dashboard; each includes the one before.
PersonRole = Literal["viewer", "operator", "admin"]
PERSON_ROLES: tuple[PersonRole, ...] = ("viewer", "operator", "admin")

#: The person at the dashboard, by e-mail or subject (URL-encoded where it is not ASCII), and what that person
#: may do: of keys of the role `dashboard` alone.
ACTOR_HEADER, ACTOR_ROLE_HEADER = "x-llmtrace-actor", "x-llmtrace-actor-role"

#: Confines a request to one project, whatever its key might do besides.
PROJECT_HEADER = "x-llmtrace-project"

_MAX_ACTOR = 200

_PROJECT = re.compile(r"[A-Za-z0-9_.:@/-]{1,128}")


class Denied(Refusal):
    """A request that may not pass: HTTP status (400, 401, 403, 429, 503), what is wrong, when to try again
    (seconds).
    """


@dataclass(frozen=True)
class Identity:
    """Whose request it is. `project` empty: not confined; `key_id` empty: no key was needed.

    `person` is who acts at the dashboard, and `person_role` what that person may do; both empty where nobody
    signed in, or with a key of another role.
    """

    key_id: str
    project: str = ""
    role: Role | None = None
    person: str = ""
    person_role: PersonRole | None = None
    address: str = ""

    @property
    def actor(self) -> str:
        """Who did it: the person, else the key."""
        return self.person or self.key_id

    def actor_stated(self, name: str) -> str:
        """Who did it where the request states a `name` as well: a dashboard in which nobody signed in is
        believed, the name that somebody gives with another key is noted beside that key.
        """
        if self.person or not name:
            return self.actor
        return name if self.role == "dashboard" else f"{name} ({self.key_id})"

    def may_act_as(self, role: PersonRole) -> bool:
        """Whether the person at the dashboard may do what `role` does; without a person it is the key's."""
        return self.person_role is None or PERSON_ROLES.index(self.person_role) >= PERSON_ROLES.index(role)

    def with_headers(self, headers: Headers) -> Identity:
        """With what the request's headers say: the person, from a dashboard; one project, from everyone.

        Raises Denied for a header that cannot be believed or read, rather than do without it.
        """
        identity = self._confined(_single(headers, PROJECT_HEADER))
        if self.role != "dashboard":
            return identity
        person, role = _single(headers, ACTOR_HEADER), _single(headers, ACTOR_ROLE_HEADER)
        if person is not None:
            person = unquote(person)  # headers are Latin-1, names are not
        if person is not None and not (0 < len(person) <= _MAX_ACTOR and person.isprintable()):
            raise Denied(400, f"{ACTOR_HEADER} should be 1 to {_MAX_ACTOR} printable characters")
        known = next((known for known in PERSON_ROLES if known == role), None)
        if role is not None and known is None:
            raise Denied(400, f"{ACTOR_ROLE_HEADER} should be one of {', '.join(PERSON_ROLES)}")
        return replace(identity, person=person or "", person_role=known)

    def _confined(self, project: str | None) -> Identity:
        if project is None:
            return self
        if not _PROJECT.fullmatch(project):  # an empty one would be every project
            raise Denied(400, f"{PROJECT_HEADER} should be the name of a project")
        if self.project and project != self.project:
            raise Denied(403, f"this key is of project {self.project!r}: {PROJECT_HEADER} names another")
        return replace(self, project=project)


def _single(headers: Headers, name: str) -> str | None:
    """A header's value; None without it. Raises Denied when it is there twice: which holds is no guess."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise Denied(400, f"{name} is there {len(values)} times")
    return values[0].strip() if values else None
