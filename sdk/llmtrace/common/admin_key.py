"""Where the collector's admin key is: in the environment, or in the file that the collector makes."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LLMTRACE_ADMIN_KEY"
"""Environment variable with the admin key, instead of the file."""

FILE = "admin.key"
"""The file's name in the collector's data directory."""


class AdminKeyMissing(LookupError):
    """There is no admin key in either place; the text names both."""


def find_admin_key(data_dir: Path, configured: str | None = None) -> str:
    """The admin key in effect: `configured` by the settings, else the environment's, else the file's.

    Only reads: the collector makes the file, at its first start. Raises AdminKeyMissing.
    """
    if key := (configured or "").strip() or os.environ.get(VARIABLE, "").strip():
        return key
    path = data_dir / FILE
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AdminKeyMissing(_missing(path, f"cannot be read ({reason})")) from error
    if not key:
        raise AdminKeyMissing(_missing(path, "is empty"))
    return key


def _missing(path: Path, reason: str) -> str:
    return (
        f"the admin key is needed and {path} {reason}: run this where the collector's data_dir is, or set "
        f"{VARIABLE}"
    )
