"""What a case is, and what the modules of cases use."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httpx

Part = Literal["collector", "inference"]


@dataclass(frozen=True)
class Target:
    """A server under attack. `keys`: by what they open (`admin`, `read` …); none where none is needed."""

    port: int
    keys: dict[str, str]
    grpc_port: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
        """POST from a connection of its own; header names with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(
            f"{self.url}{path}", content=body, headers=named, timeout=_TIMEOUT, trust_env=False, verify=False
        )

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT)


@dataclass(frozen=True)
class Case:
    """One attack. `attack` runs for about the seconds that it is passed, in a process of its own, and returns
    what it saw, in a few words; it raises AssertionError where the server did what it must not. `kind` is
    what it is one of.
    """

    name: str
    kind: str
    part: Part
    attack: Callable[[Target, float], str]
    #: Whether the trimmed run has it.
    is_quick: bool = False


_TIMEOUT = 30.0


def storm(seconds: float, threads: int, once: Callable[[int], str]) -> str:
    """Call `once` (with a number of its own) from many threads for so long; how often each outcome came."""
    outcomes: dict[str, int] = {}
    lock = threading.Lock()
    deadline = time.monotonic() + seconds

    def work(first: int) -> None:
        number = first
        while time.monotonic() < deadline:
            try:
                outcome = once(number)
            except (httpx.TransportError, OSError) as error:
                outcome = type(error).__name__
            with lock:
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            number += threads

    workers = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds + 2 * _TIMEOUT)
    return ", ".join(f"{outcome}: {count}" for outcome, count in sorted(outcomes.items()))
