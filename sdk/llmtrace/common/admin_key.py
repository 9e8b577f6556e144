"""Where the collector's own keys are: in the environment, or in files that the collector makes."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LLMTRACE_ADMIN_KEY"
"""Environment variable with the admin key, instead of the file."""

FILE = "admin.key"
"""The file's name in the collector's data directory."""

DASHBOARD_VARIABLE = "LLMTRACE_DASHBOARD_KEY"
"""Environment variable with the dashboard's key, instead of the file."""

DASHBOARD_FILE = "dashboard.key"
"""The name of the file with the dashboard's key, beside the admin key's."""


class AdminKeyMissing(LookupError):
    """There is no such key in either place; the text names both."""


def find_admin_key(data_dir: Path, configured: str | None = None) -> str:
    """The admin key in effect: `configured` by the settings, else the environment's, else the file's.

    Only reads: the collector makes the file, at its first start. Raises AdminKeyMissing.
    """
    return _find("admin", VARIABLE, data_dir / FILE, configured)


def find_dashboard_key(data_dir: Path, configured: str | None = None) -> str:
    """The dashboard's key in effect, from the same places. Raises AdminKeyMissing."""
    return _find("dashboard", DASHBOARD_VARIABLE, data_dir / DASHBOARD_FILE, configured)


def _find(whose: str, variable: str, path: Path, configured: str | None) -> str:
    if key := (configured or "").strip() or os.environ.get(variable, "").strip():
        return key
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AdminKeyMissing(_missing(whose, variable, path, f"cannot be read ({reason})")) from error
    if not key:
        raise AdminKeyMissing(_missing(whose, variable, path, "is empty"))
    return key


def _missing(whose: str, variable: str, path: Path, reason: str) -> str:
    return (
        f"the {whose} key is needed and {path} {reason}: run this where the collector's data_dir is, or set "
        f"{variable}"
    )
