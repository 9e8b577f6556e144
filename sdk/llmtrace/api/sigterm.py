"""SIGTERM, where the program leaves it to its default: all is sent, then the signal ends the process."""

from __future__ import annotations

import _thread
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from llmtrace import internal_errors
from llmtrace.capture.runtime import Runtime

from . import open_spans

_INIT_PID: Final = 1
_SLACK: Final = 0.5
#: Whose code may hold a lock that the last delivery needs; it holds none for long.
_LOCKING: Final = ("llmtrace.delivery.", "llmtrace.internal_errors", "logging")
_RETRY_PAUSE: Final = 0.01
_REMINDER_PAUSE: Final = 0.1


class _LastDelivery:
    """What one thread sends at the end of the process, or of tracing."""

    def __init__(self, timeout: float) -> None:
        self.thread = _thread.get_ident()
        self.timeout = timeout
        self.is_interrupted = False
        self._ended = _thread.allocate_lock()
        self._ended.acquire()

    def end(self) -> None:
        self._ended.release()

    def wait(self) -> None:
        self._ended.acquire(timeout=self.timeout + _SLACK)


_current: Callable[[], Runtime | None]
_set_signal: Callable[..., Any] = signal.signal
_last_delivery: _LastDelivery | None = None
_first_signal: float | None = None
_is_ending = False
#: Threads that fork right now.
_held_back: set[int] = set()


def handle(current: Callable[[], Runtime | None]) -> None:
    """Send on SIGTERM from now on, where nobody else handles it: now, or once another's handler is taken off.

    A handler of the application, set before or after, is left alone. Servers put their own in place while
    they run, give the default back at their end, and raise the signal again.
    """
    global _current, _set_signal
    _current = current
    if signal.signal is not _signal:
        _set_signal = signal.signal
        signal.signal = functools.update_wrapper(_signal, _set_signal)
    if _is_ours_to_handle() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _set_signal(signal.SIGTERM, _on_sigterm)


@contextmanager
def waiting(timeout: float) -> Iterator[None]:
    """Within, this thread sends for the last time: a SIGTERM meanwhile ends the process after it."""
    global _last_delivery
    if _last_delivery is not None:
        yield
        return
    last = _last_delivery = _LastDelivery(timeout)
    try:
        yield
    finally:
        _last_delivery = None
        last.end()
        if last.is_interrupted:
            _end_process()


def hold_back() -> None:
    """Before a fork: the child forgets a signal that its handler has taken and not run yet, and lives on."""
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if signal.SIGTERM not in before:
            _held_back.add(_thread.get_ident())


def let_in() -> None:
    """After a fork, in both: what was held back comes now."""
    thread = _thread.get_ident()
    if thread in _held_back:
        _held_back.discard(thread)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def after_fork() -> None:
    """In the child: what the parent was sending is the parent's."""
    global _last_delivery, _first_signal, _is_ending
    _last_delivery = _first_signal = None
    _is_ending = False


def remind_main_thread() -> None:
    """Have a thread of its own see to it that SIGTERM is handled, in a child whose parent waits for its end.

    Python runs handlers on the main thread. Where the signal comes just before that one waits for a lock of
    `multiprocessing`, as the workers of a `Pool` do, it would not run until the lock is free, which is never.
    """
    if not _is_ours_to_handle():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # the parent's, if it had one, is the parent's
    _thread.start_new_thread(_remind, (reader, _thread.get_ident()))


def _remind(reader: int, main_thread: int) -> None:
    while data := os.read(reader, 64):
        if signal.SIGTERM in data and signal.getsignal(signal.SIGTERM) is _on_sigterm:
            while not _is_ending:
                time.sleep(_REMINDER_PAUSE)
                signal.pthread_kill(main_thread, signal.SIGTERM)


def _signal(signalnum: Any, handler: Any) -> Any:
    if signalnum == signal.SIGTERM and handler is signal.SIG_DFL and _is_ours_to_handle():
        handler = _on_sigterm
    return _set_signal(signalnum, handler)


def _is_ours_to_handle() -> bool:
    # Signals are the main thread's, and the default of a container's first process is to live on.
    runtime = _current()
    return (
        runtime is not None
        and runtime.config.handle_sigterm
        and threading.current_thread() is threading.main_thread()
        and os.getpid() != _INIT_PID
    )


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Send what is there, within `exit_timeout`, then end as the signal would have ended the process.

    The work is done on a new thread, since the code that was interrupted may hold any lock; if it does hold
    one that is needed, the deadline ends the wait.
    """
    global _is_ending
    if _is_ending:
        return  # a reminder
    last, runtime = _last_delivery, _current()
    if last is not None and last.thread == _thread.get_ident():
        last.is_interrupted = True  # it can go on only when this returns
        return
    if (
        last is None
        and runtime is not None
        and _holds_a_lock(frame)
        and _comes_again(runtime.config.exit_timeout)
    ):
        return
    _is_ending = True
    if last is not None:
        last.wait()
    elif runtime is not None:
        _send(runtime)
        runtime.delivery_worker.seal(_SLACK)
    _end_process()


def _holds_a_lock(frame: FrameType | None) -> bool:
    """Whether the code that was interrupted may hold a lock of ours."""
    if (
        frame is not None
        and frame.f_globals.get("__name__") == "threading"
        and frame.f_code.co_name == "wait"
    ):
        return False  # what waits there let go of its own, as `flush` does, and may wait for long
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_LOCKING):
            return True
        frame = frame.f_back
    return False


def _comes_again(timeout: float) -> bool:
    """Have the signal sent once more in a moment, so that what was interrupted can let go of its lock."""
    global _first_signal
    now = time.monotonic()
    _first_signal = now if _first_signal is None else _first_signal
    if now - _first_signal > timeout:
        return False

    def send_again() -> None:
        time.sleep(_RETRY_PAUSE)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        _thread.start_new_thread(send_again, ())
    except RuntimeError as error:
        internal_errors.report("waiting for a lock at SIGTERM", error, may_raise=False)
        return False
    return True


def _send(runtime: Runtime) -> None:
    timeout = runtime.config.exit_timeout
    done = _thread.allocate_lock()
    done.acquire()

    def send() -> None:
        try:
            open_spans.end_all()
            runtime.delivery_worker.shutdown(timeout, ends_process=True)
        finally:
            done.release()

    try:
        _thread.start_new_thread(send, ())
        done.acquire(timeout=timeout + _SLACK)
    except RuntimeError as error:
        internal_errors.report("starting the last delivery", error, may_raise=False)


def _end_process() -> None:
    _set_signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
