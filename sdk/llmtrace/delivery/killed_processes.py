"""Freeing the shared memory of killed processes, so that those that start have some.

What it holds is put onto disk first, into the process's file in its spool, where the next process of that
spool finds and reports it. What belongs to nobody's spool any more is removed. Any process does this for all
of its user, whichever spool they have, and several may at once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from llmtrace.internal_errors import swallow

from . import process_file, shared_counters

#: With fewer files nothing is looked at: a start costs no more than their listing.
_FEW: Final = 32
#: How long files stay of which nobody here can say that they are not needed.
_LONGEST_SECONDS: Final = 86_400

_FREEING: Final = swallow("freeing the memory of killed processes", may_raise=False)


def free_shared_memory() -> None:
    """Take the counters of killed processes over from shared memory, where it has many files."""
    try:
        files = shared_counters.own_files() if shared_counters.has_files(_FEW) else []
    except OSError:  # there is no such memory
        return
    for entry in files:
        with _FREEING:
            _free(Path(entry.path))


def _free(path: Path) -> None:
    is_former = path.suffix != shared_counters.SUFFIX
    try:
        left = None if is_former else shared_counters.killed(path)
        if left is None:
            if (is_former or _is_unfinished(path)) and _is_forgotten(path):
                path.unlink(missing_ok=True)
            return
        try:
            if _is_on_disk(left) or _is_left_too_long(left):
                left.remove()
        finally:
            left.close()
    except OSError:  # another process was faster
        return


def _is_on_disk(left: shared_counters.KilledCounters) -> bool:
    """Put the counters where they are reported from; True also where nobody will report them."""
    if left.process_file is None:
        return False
    try:
        process_file.write_left(left.process_file, left.counters)
    except FileNotFoundError:
        return left.sees_our_files
    except OSError:  # of another container, or a full disk
        return False
    return True


def _is_left_too_long(left: shared_counters.KilledCounters) -> bool:
    now = int(time.time())
    if not 0 < left.seen_dead <= now:
        left.note_seen(now)
        return False
    return now - left.seen_dead > _LONGEST_SECONDS


def _is_unfinished(path: Path) -> bool:
    """Whether it is being created, or its process was killed meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return not shared_counters.has_owner(descriptor)
    finally:
        os.close(descriptor)


def _is_forgotten(path: Path) -> bool:
    """Whether a file without a lock is old, and no process has its number. In another container one may."""
    pid = path.name.removeprefix(shared_counters.PREFIX).partition("-")[0]
    return time.time() - path.stat().st_mtime > _LONGEST_SECONDS and not Path("/proc", pid).exists()
