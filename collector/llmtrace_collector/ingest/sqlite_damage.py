"""What an error of SQLite speaks of: the bytes of its file, or what is around it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

_AROUND = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }
)


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Whether the file is at fault, and not the disk, memory, a permission or somebody who has it open: a
    format, schema or statement that SQLite does not know any more is damage too.
    """
    # The lowest byte is the kind. What this program raises itself has no code.
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if kind == sqlite3.SQLITE_READONLY:
        # So says a file of a format that can only be read, too.
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return kind not in _AROUND
