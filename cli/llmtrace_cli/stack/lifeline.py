"""A part started by `llmtrace up` or `llmtrace demo` must not outlive it.

An orderly stop sends signals, but a supervisor that is killed outright (SIGKILL, out of memory) sends
none, and its collector would keep port and store locked. So every part watches its supervisor through
a pidfd, a file descriptor that becomes readable when that process ends. The kernel's older way,
prctl(PR_SET_PDEATHSIG), follows the direct parent *thread* instead: it would miss a supervisor that is
not the direct parent, and fire when a mere thread of it ends.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable

from llmtrace.common.tls import TlsFiles
from llmtrace_cli.healthcheck import healthy

SUPERVISOR_PID = "LLMTRACE_SUPERVISOR_PID"
"""Environment variable with the process id to follow."""

AFTER = "LLMTRACE_AFTER"
"""Environment variable with the health URL of the part that this one reads from."""

_DRAIN_SECONDS = 15.0
_PATIENCE_SECONDS = 60.0


def follow_supervisor() -> None:
    """Stop this process when the supervisor named in the environment ends; without one, do nothing."""
    supervisor = os.environ.pop(SUPERVISOR_PID, None)
    if supervisor is not None:
        when_ended(int(supervisor), stop_own_group)


def wait_for_source(tls: TlsFiles | None = None) -> None:
    """Wait until the part named in the environment serves, so that a start together says nothing of errors.

    `tls`: what to present to it. Gives up quietly after a minute: parts live with a source that comes and
    goes.
    """
    url = os.environ.pop(AFTER, None)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while url is not None and time.monotonic() < deadline and not healthy(url, 1.0, tls):
        time.sleep(0.2)


def when_ended(pid: int, act: Callable[[], None]) -> None:
    """Call `act` from a daemon thread once process `pid` has ended; at once when it already has.

    Does nothing where the system has no pidfd (not Linux, or older than 5.3).
    """
    if not hasattr(os, "pidfd_open"):
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        act()
        return
    except OSError:  # a kernel or sandbox without pidfd: orderly stops still work
        return

    def wait() -> None:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll()
        act()

    threading.Thread(target=wait, name="follow-supervisor", daemon=True).start()


def stop_own_group() -> None:
    """Ask this process to stop as its supervisor would have, and insist after 15 seconds."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DRAIN_SECONDS)
    if os.getpgid(0) == os.getpid():  # leader of its own group: take the children along
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(137)
