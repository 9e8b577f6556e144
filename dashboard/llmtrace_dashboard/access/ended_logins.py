"""Logins that people ended before their time. A cookie cannot be taken back, so they are remembered here."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

#: More are not remembered; the oldest go first.
_MOST = 10_000

_Login = tuple[str, str, str]


class EndedLogins:
    """Logins of this process's visitors that were ended by signing out, in whatever tab that was."""

    def __init__(self) -> None:
        self._until: dict[_Login, float] = {}
        self._lock = threading.Lock()

    def end(self, claims: Mapping[str, Any], login_hours: float) -> None:
        """Remember that this login is over, for as long as it would have held."""
        now = time.time()
        with self._lock:
            self._until = {login: until for login, until in self._until.items() if until > now}
            while len(self._until) >= _MOST:
                self._until.pop(next(iter(self._until)))
            self._until[_login(claims)] = now + login_hours * 3600

    def has(self, claims: Mapping[str, Any]) -> bool:
        """Whether this login was ended."""
        with self._lock:
            return _login(claims) in self._until


def _login(claims: Mapping[str, Any]) -> _Login:
    return str(claims.get("iss")), str(claims.get("sub")), str(claims.get("iat"))
