"""A spool as former versions wrote it: a file for each batch, which holds what is POSTed.

Nothing is written that way any more; what is there is sent and removed. Such files have no owner, and a
process of a former version may be sending them too: one at a time does, by the lock of that version.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .settings import SIGNALS
from .spool_format import Frame

_NAME: Final = re.compile(rf"\d+-\d+-\d+-({'|'.join(SIGNALS)})-(\d+)\.otlp")
_LOCK: Final = ".lock"


def is_batch(name: str) -> bool:
    """Whether a file of this name is a batch."""
    return _NAME.fullmatch(name) is not None


def items_of(name: str) -> int:
    """How many spans or records the batch of this name is."""
    match = _NAME.fullmatch(name)
    return int(match[2]) if match is not None else 0


def read(path: Path) -> Frame:
    """The batch of a file. Raises OSError, ValueError where it holds nothing, as a power cut may leave it."""
    match = _NAME.fullmatch(path.name)
    payload = path.read_bytes()
    if match is None or not payload:
        raise ValueError("it is empty")
    (signal,) = (signal for signal in SIGNALS if signal == match[1])
    return Frame(0, signal, int(match[2]), payload, is_settled=False)


@contextlib.contextmanager
def batches(folder: Path) -> Iterator[list[Path]]:
    """The files, oldest first, for the length of the block this process's alone; none where another has them.

    A POSIX record lock: let go by the kernel when the process dies, and not inherited by fork.
    """
    import fcntl

    files = sorted(path for path in folder.glob("*.otlp") if is_batch(path.name) and path.is_file())
    if not files:
        yield []
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context((folder / _LOCK).open("a"))
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            files = []
        yield files
