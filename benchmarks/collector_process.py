"""A collector of any checkout in a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.collector.running import CLIENT, RunningCollector, free_port, until

from .checkout import Checkout, ask


class CollectorProcess(RunningCollector):
    """A checkout's collector with its data in `directory`, running while the context lasts.

    `program` is one of `programs/`. Settings that are not in `fields` are the checkout's defaults.
    """

    def __init__(
        self, checkout: Checkout, directory: Path, fields: Mapping[str, Any], program: str = "collector.py"
    ) -> None:
        self._checkout = checkout
        self._program = program
        self._port = free_port()
        self._fields = {**fields, "data_dir": str(directory), "port": self._port}
        self._errors = directory / "stderr.txt"
        self.directory = directory
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._port

    def __enter__(self) -> CollectorProcess:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._child = self._checkout.start(self._program, [json.dumps(self._fields)], errors=self._errors)
        self.process = psutil.Process(self._child.pid)
        try:
            until(self._ready, 120, "the collector's start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def _ready(self) -> bool:
        if self._child.poll() is not None:
            raise RuntimeError(f"the collector of {self._checkout.folder} ended: {self._complaint()}")
        try:
            return CLIENT.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def _complaint(self) -> str:
        return self._errors.read_text()[-2000:]

    def segments(self) -> int:
        """Segments of the log that are not stored yet."""
        return sum(1 for _ in (self.directory / "wal").glob("*.seg"))

    def python_seconds(self) -> float:
        """CPU of its Python threads so far, without the one that waits in the engine for each insert."""
        seconds: dict[str, float] = json.loads(ask(self._child, "", self._errors))
        return sum(used for name, used in seconds.items() if name != "llmtrace-writer")

    def count(self, table: str) -> int | None:
        """How many rows a table has; None where this checkout has no such table."""
        answer = self.sql(f"SELECT count() FROM {table}")
        return int(answer.text) if answer.status_code == 200 else None
