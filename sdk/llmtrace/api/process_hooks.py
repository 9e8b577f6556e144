"""The ways a process ends or splits: exit, fork, the children of multiprocessing and of Celery."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable

from llmtrace import internal_errors
from llmtrace.capture.runtime import Runtime

from . import open_spans, sigterm

_registered = False
_current: Callable[[], Runtime | None]
_renew_locks: Callable[[], None]


def register(
    runtime: Runtime,
    *,
    current: Callable[[], Runtime | None],
    renew_locks: Callable[[], None],
) -> None:
    """Register everything once per process; `renew_locks` runs after a fork."""
    global _registered, _current, _renew_locks
    _current, _renew_locks = current, renew_locks
    if not _registered:
        _registered = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=sigterm.hold_back, after_in_parent=sigterm.let_in, after_in_child=_after_fork
            )
    if runtime.config.handle_sigterm:
        sigterm.handle(current)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _finalize_in_child(runtime)  # a spawned child calls init itself


def _at_exit() -> None:
    # What daemon threads still do is traced until the end, and counted where it comes too late.
    if (runtime := _current()) is not None:
        with internal_errors.swallow("the last delivery"):
            _end_delivery(runtime)
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        with internal_errors.swallow("keeping the exit status of Ctrl-C"):
            _keep_exit_status()


def _keep_exit_status() -> None:
    """Python ends by SIGINT after Ctrl-C only while no text was executed since, as imports at exit do."""
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102  # a constant


def _after_fork() -> None:
    internal_errors.after_fork()
    sigterm.after_fork()
    _renew_locks()
    if (runtime := _current()) is not None:
        _renew(runtime)
    sigterm.let_in()  # what it sends is the child's own by now


def _renew(runtime: Runtime) -> None:
    open_spans.forget()
    runtime.delivery_worker.after_fork()
    # Children of multiprocessing leave by os._exit, which skips atexit; its own finalizers do run. Those of
    # Celery's pool run no finalizers either.
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.register_after_fork(runtime, _finalize_in_child)
    if (signals := sys.modules.get("celery.signals")) is not None:
        signals.worker_process_shutdown.connect(_at_end_of_celery_worker, weak=False)


def _finalize_in_child(runtime: Runtime) -> None:
    from multiprocessing import util

    util.Finalize(None, _end_delivery, args=(runtime,), exitpriority=10)
    if runtime.config.handle_sigterm:
        sigterm.remind_main_thread()


def _end_delivery(runtime: Runtime) -> None:
    timeout = runtime.config.exit_timeout
    with sigterm.waiting(timeout):
        open_spans.end_all()
        runtime.delivery_worker.shutdown(timeout)


def _at_end_of_celery_worker(**_: object) -> None:
    if (runtime := _current()) is not None:
        _end_delivery(runtime)
