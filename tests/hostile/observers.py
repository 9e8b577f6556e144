"""Who stands beside an attack: an honest sender, a probe of health, the process's memory."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import httpx

from .wire import request, span

#: Longer than this (seconds) `/health/live` may not take; megabytes that a process may have.
HEALTH_SECONDS, MEMORY_MB = 1.0, 1200

#: For how long an honest sender tries again what was not acknowledged.
_PATIENCE_SECONDS = 30.0


class HealthProbe:
    """Asks `/health/live` ten times a second, from a new connection each time."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/health/live"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.slowest, self.asked, self.failures = 0.0, 0, 0

    def start(self) -> HealthProbe:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            started = time.monotonic()
            try:
                with httpx.Client(trust_env=False, timeout=5, verify=False) as client:
                    good = client.get(self._url).status_code == 200
            except httpx.TransportError:
                good = False
            self.asked += 1
            self.failures += not good
            self.slowest = max(self.slowest, time.monotonic() - started)


class HonestSender:
    """Sends a few spans five times a second over one client, again where it was told to come back."""

    def __init__(self, url: str, name: str, headers: dict[str, str] | None = None) -> None:
        self._url = f"{url}/v1/traces"
        self._name = name
        self._headers = {"content-type": "application/x-protobuf", **(headers or {})}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent, self.acknowledged, self.repeats = 0, 0, 0

    def start(self) -> HonestSender:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not self._stopping.wait(0.2):
                body = request(*(span(name=self._name) for _ in range(10)))
                self.sent += 10
                if self._deliver(client, body):
                    self.acknowledged += 10

    def _deliver(self, client: httpx.Client, body: bytes) -> bool:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = client.post(self._url, content=body, headers=self._headers)
            except httpx.TransportError:
                self.repeats += 1
                time.sleep(0.2)
                continue
            if answer.status_code == 200:
                return True
            self.repeats += 1
            time.sleep(min(float(answer.headers.get("retry-after", "0.5")), 2.0))
        return False


class Memory:
    """The most memory of a process since `reset`, in MB."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def reset(self) -> None:
        """Begin anew."""
        (self._folder / "clear_refs").write_text("5")

    def peak(self) -> int:
        """Its resident set's peak."""
        line = next(
            line for line in (self._folder / "status").read_text().splitlines() if line.startswith("VmHWM")
        )
        return int(line.split()[1]) // 1024

    def descriptors(self) -> int:
        """Files that it has open."""
        return len(os.listdir(self._folder / "fd"))
