"""What is imported late, on the delivery thread, because it is slow; and forks, which must not interrupt it.

A child forked in the middle of an import inherits a module that is half there, and no thread to finish it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .otlp_http import OtlpHttpExporter

#: A fork waits for the import under way, a tenth of a second once in a program's life; never for ever.
_LONGEST_WAIT: Final = 5.0

_import_lock = threading.Lock()
_held_for_fork = False


def otlp_exporter() -> type[OtlpHttpExporter]:
    """The exporter's class, imported on the first call."""
    with _import_lock:
        from .otlp_http import OtlpHttpExporter

        return OtlpHttpExporter


def _before_fork() -> None:
    global _held_for_fork
    _held_for_fork = _import_lock.acquire(timeout=_LONGEST_WAIT)


def _after_fork() -> None:
    global _held_for_fork
    if _held_for_fork:
        _held_for_fork = False
        _import_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
