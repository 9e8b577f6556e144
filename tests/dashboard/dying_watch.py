"""Watches that die: an incident's whole life, with SIGKILL before each step that leaves the process.

    python -m tests.dashboard.dying_watch COLLECTOR_URL RECEIVER_URL SECRET MODE [FIRST STRIDE]

with the admin key in LLMTRACE_ADMIN_KEY. A step is a call that connects, sends or receives on a socket. MODE
`kills`: a watch dies before its step FIRST, then another one on the same incident goes on; then the next with
STRIDE steps more, until one ends by itself (all steps: 1 1). MODE `pair`: two watches at once. Prints a JSON
line for each incident.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import anyio._backends._asyncio  # noqa: F401, once for all forks, as are the drivers
import clickhouse_connect.driver.httpclient  # noqa: F401
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.collector_client import connect, connect_reader
from llmtrace_analysis.detect.incident_lifecycle import Finding, QuietPeriod
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build
from llmtrace_analysis.watch.service import Pace, Watch
from llmtrace_collector.store.incident import Incident

_CALLS = ("connect", "connect_ex", "send", "sendall", "recv", "recv_into")
_QUIET_SECONDS = 20.0
_DEADLINE_SECONDS = 30.0


class Trouble:
    """A rule of somebody's own, whose trouble begins at a time and is over when it says so."""

    def __init__(self, name: str, began: float) -> None:
        self.name = name
        self.began = began
        self.is_over = False

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """The trouble, while it lasts."""
        if self.is_over:
            return []
        return [
            Finding(
                rule="dying.trouble",
                kind="budget",
                project="dying",
                dimensions={"name": self.name},
                metric="",
                severity="critical",
                title=self.name,
                summary="",
                observed=1.0,
                expected_low=0.0,
                expected_high=0.0,
                unit="",
                seen=(self.began,),
                openings=(self.began,),
            )
        ]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over after twenty seconds of this rule's own clock."""
        return {"dying.trouble": QuietPeriod(now, _QUIET_SECONDS)}


def die_before(step: int) -> None:
    """Have this process killed before its socket call number `step` from here on, in whichever thread."""
    lock, calls = threading.Lock(), 0

    def counted(name: str) -> Any:
        call = getattr(socket.socket, name)

        def count_and_call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            with lock:
                calls += 1
                if calls == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return count_and_call

    for name in _CALLS:
        setattr(socket.socket, name, counted(name))


def live(settings: WatchSettings, name: str, began: float, dies_before: int) -> None:
    """One watch over the whole life of an incident: opened, delivered, over, delivered."""
    trouble = Trouble(name, began)
    built = build(settings)
    reader = connect_reader(settings)
    watch = Watch(
        open_reader=lambda: reader,
        collector=connect(settings),
        rules=[trouble],
        outbox=built.outbox,
        health=built.health,
        pace=Pace(interval_seconds=1, lookback_seconds=60, rest_seconds=600, update_seconds=600),
    )
    if dies_before:
        die_before(dies_before)
    watch.start()
    for now in (began + 1, began + 1 + _QUIET_SECONDS):
        trouble.is_over = now > began + _QUIET_SECONDS
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not watch.evaluate(now) or any(receiver.state().waiting for receiver in watch.outbox.receivers):
            if time.monotonic() > deadline:
                raise TimeoutError("the receiver did not get what happened")
            time.sleep(0.05)
    watch.close()


def forked(settings: WatchSettings, name: str, began: float, dies_before: int = 0) -> int:
    """Such a watch in a process of its own; its id."""
    process = os.fork()
    if not process:
        _live_and_exit(settings, name, began, dies_before)
    return process


def _live_and_exit(settings: WatchSettings, name: str, began: float, dies_before: int) -> NoReturn:
    status = 1
    try:
        live(settings, name, began, dies_before)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended_well(process: int) -> bool:
    """Whether it ended by itself; False when it was killed. Raises RuntimeError when it failed."""
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status == -signal.SIGKILL:
        return False
    if status:
        raise RuntimeError(f"a watch ended with {status}")
    return True


def main(collector: str, receiver: str, secret: str, mode: str, first: str = "1", stride: str = "1") -> None:
    """Run from the command line."""
    values = {
        "collector_url": collector,
        "webhooks": [{"url": receiver, "secret": secret}],
        "allow_private_webhooks": True,
        "webhook_backoff_seconds": 0.05,
    }
    settings = WatchSettings.model_validate(values)
    began = time.time() - 60
    if mode == "pair":
        for process in [forked(settings, "pair", began) for _ in range(2)]:
            ended_well(process)
        print(json.dumps({"name": "pair"}), flush=True)
        return
    step, died = int(first) - int(stride), True
    while died:
        step += int(stride)
        name = f"step-{step}"
        died = not ended_well(forked(settings, name, began, step))
        if died and not ended_well(forked(settings, name, began)):
            raise RuntimeError("somebody else killed a watch")
        print(json.dumps({"name": name, "died": died}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
