"""The ways a process ends or splits: exit, SIGTERM, fork, the children of multiprocessing."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from llmtrace import internal_errors
from llmtrace.capture.runtime import Runtime

from . import open_spans

_INIT_PID: Final = 1

_registered = False
_current: Callable[[], Runtime | None]
_shutdown: Callable[[], object]
_renew_locks: Callable[[], None]


def register(
    runtime: Runtime,
    *,
    current: Callable[[], Runtime | None],
    shutdown: Callable[[], object],
    renew_locks: Callable[[], None],
) -> None:
    """Register everything once per process; `shutdown` runs at exit, `renew_locks` after a fork."""
    global _registered, _current, _shutdown, _renew_locks
    _current, _shutdown, _renew_locks = current, shutdown, renew_locks
    if not _registered:
        _registered = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _finalize_in_child(runtime)  # a spawned child calls init itself
    if runtime.config.handle_sigterm:
        _handle_sigterm()


def _at_exit() -> None:
    _shutdown()


def _after_fork() -> None:
    internal_errors.after_fork()
    _renew_locks()
    runtime = _current()
    if runtime is None:
        return
    open_spans.forget()
    runtime.delivery_worker.after_fork()
    # Children of multiprocessing leave by os._exit, which skips atexit; its own finalizers do run.
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(runtime, _finalize_in_child)


def _finalize_in_child(runtime: Runtime) -> None:
    from multiprocessing import util

    def end() -> None:
        open_spans.end_all()
        runtime.delivery_worker.shutdown(runtime.config.exit_timeout)

    util.Finalize(None, end, exitpriority=10)


def _handle_sigterm() -> None:
    """Only where nobody does: a handler of the application, set before or after, is left alone."""
    if threading.current_thread() is not threading.main_thread() or os.getpid() == _INIT_PID:
        return  # signals are the main thread's, and the default of a container's first process is to live on
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Send what is there, within `exit_timeout`, then end as the signal would have ended the process.

    The work is done on a new thread, since the code that was interrupted may hold any lock; if it does hold
    one that is needed, the deadline ends the wait.
    """
    runtime = _current()
    if runtime is not None:
        timeout = runtime.config.exit_timeout
        done = _thread.allocate_lock()
        done.acquire()

        def send() -> None:
            try:
                open_spans.end_all()
                runtime.delivery_worker.shutdown(timeout)
            finally:
                done.release()

        try:
            _thread.start_new_thread(send, ())
            done.acquire(timeout=timeout + 0.5)
        except RuntimeError as error:
            internal_errors.report("starting the last delivery", error, may_raise=False)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
