"""The rules of roles as they are at this moment: their file is read again whenever it changes."""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from llmtrace_dashboard.settings import DashboardSettings, RoleRule

_RULES = TypeAdapter(tuple[RoleRule, ...])


class RolesUnreadable(Exception):
    """Nobody has a role while the rules cannot be read; the text says why."""


class RoleBook:
    """Rules of `roles_file`, else those of the settings. Safe to use from many threads."""

    def __init__(self, settings: DashboardSettings) -> None:
        self._file = settings.roles_file
        self._rules: tuple[RoleRule, ...] | RolesUnreadable = settings.roles
        self._version: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    def rules(self) -> tuple[RoleRule, ...]:
        """The rules that hold now. Raises RolesUnreadable."""
        if self._file is None:
            return self._settled()
        try:
            status = self._file.stat()
        except OSError as error:
            raise RolesUnreadable(f"{self._file} cannot be read: {error.strerror}") from error
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        with self._lock:
            if version != self._version:
                self._rules, self._version = _read(self._file), version
            return self._settled()

    def _settled(self) -> tuple[RoleRule, ...]:
        if isinstance(self._rules, RolesUnreadable):
            raise self._rules
        return self._rules


def _read(file: Path) -> tuple[RoleRule, ...] | RolesUnreadable:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("dashboard", {})
        return _RULES.validate_python(table.get("roles", ()))
    except OSError as error:
        return RolesUnreadable(f"{file} cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError) as error:
        return RolesUnreadable(f"{file} is not valid TOML: {error}")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        return RolesUnreadable(f"{file}, [[dashboard.roles]] {place}: {first['msg']}")
