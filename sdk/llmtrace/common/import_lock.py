"""A lock for imports that happen late, off the program's own import statements; a fork waits for it.

A child that is forked in the middle of another thread's import inherits a module that is half there, and no
thread to finish it.
"""

from __future__ import annotations

# Before this module registers with fork: hooks run last first, and while ours waits for an import that uses
# logging, logging must not hold its lock for the fork yet.
import logging as _before_us  # noqa: F401
import os
import threading
from typing import Final

#: A fork waits for the import under way, a tenth of a second once in a program's life; never for ever.
_LONGEST_WAIT: Final = 5.0

# Re-entrant: a signal handler may need a name whose import it interrupts.
import_lock: Final = threading.RLock()
_held_for_fork = False


def _before_fork() -> None:
    global _held_for_fork
    _held_for_fork = import_lock.acquire(timeout=_LONGEST_WAIT)


def _after_fork() -> None:
    global _held_for_fork
    if _held_for_fork:
        _held_for_fork = False
        import_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
