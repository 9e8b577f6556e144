"""The processes under test, run from any checkout: collector, watch, and commands of `llmtrace`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from tests.collector.prefilled import prefill

_PARTS = (".", "sdk", "collector", "inference", "dashboard", "cli")
_START_SECONDS = 60.0
_OWN = Path(__file__).parents[2].resolve()

CLIENT = httpx.Client(timeout=10, trust_env=False, limits=httpx.Limits(keepalive_expiry=2))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Tree:
    """A checkout whose code is run, and a folder for empty stores made by it."""

    root: Path
    work: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables of a process that runs this code."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("LLMTRACE_", "OTEL_"))
        }
        path = os.pathsep.join(str((self.root / part).resolve()) for part in _PARTS)
        return {
            **inherited,
            "PYTHONPATH": path,
            "HOME": str(self.work),
            "XDG_CACHE_HOME": str(self.work / "cache"),
        }

    def prefill(self, store: Path) -> None:
        """Put an empty store of this code there: making one anew takes three seconds of CPU."""
        shutil.copytree(self._empty_store, store, symlinks=True)

    @cached_property
    def _empty_store(self) -> Path:
        data_dir = self.work / "template"
        if self.root == _OWN:
            prefill(data_dir / "store")
        if not data_dir.exists():
            collector = Collector(self, data_dir, self.work / "template.log", {})
            collector.start()
            collector.stop()
        return data_dir / "store"


class Process:
    """A process of a tree's code, its output in a file; it can be started again after its end."""

    def __init__(self, tree: Tree, log: Path) -> None:
        self.tree = tree
        self.log = log
        self.popen: subprocess.Popen[bytes] | None = None

    def launch(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        cwd: Path | None = None,
    ) -> None:
        """Start Python with `arguments`, behind a `prefix` such as strace or faketime."""
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [*prefix, sys.executable, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**self.tree.environment, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id. Raises AssertionError when it is not running."""
        assert self.popen is not None
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it is there and has not ended."""
        return self.popen is not None and self.popen.poll() is None

    @property
    def output(self) -> str:
        """All that it has written, of every start."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 40.0) -> int | None:
        """End it; its exit status, None when it had to be killed after so many seconds."""
        assert self.popen is not None
        self._send(how)
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        # A prefix such as faketime may end before what it started.
        deadline = time.monotonic() + seconds
        while self._is_group_there():
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(0.02)
        return status

    def _is_group_there(self) -> bool:
        assert self.popen is not None
        try:
            os.killpg(self.popen.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End it and what it started, whatever it is at."""
        if self.popen is not None and self.popen.poll() is None:
            self._send(signal.SIGCONT)
            self._send(signal.SIGKILL)
            self.popen.wait(20)
            while self._is_group_there():
                time.sleep(0.02)

    def _send(self, how: signal.Signals) -> None:
        assert self.popen is not None
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, how)


class Collector(Process):
    """A collector as `llmtrace collector` starts it."""

    def __init__(self, tree: Tree, data_dir: Path, log: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(tree, log)
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        values = {"segment_seconds": 0.2, "segment_bytes": 1 << 20, **settings}
        self.settings = {
            f"LLMTRACE_COLLECTOR__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
            if not name.isupper()
        } | {name: str(value) for name, value in values.items() if name.isupper()}

    def spawn(self, prefix: Sequence[str] = ()) -> None:
        """Start, and do not wait."""
        arguments = ["collector", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        self.launch(
            ["-P", "-m", "llmtrace_cli", *arguments],
            environment=self.settings,
            prefix=prefix,
            cwd=self.data_dir.parent,
        )

    def start(self, prefix: Sequence[str] = (), seconds: float = _START_SECONDS) -> bool:
        """Start; whether it answered reads within so many seconds."""
        self.spawn(prefix)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.is_running:
            if self.is_live():
                return True
            time.sleep(0.05)
        return False

    def is_live(self) -> bool:
        """Whether it answers at all."""
        return self._ask("/health/live").status == 200

    def health(self) -> Answer:
        """What readiness says; status 0 where there is no answer."""
        return self._ask("/health/ready")

    def _ask(self, path: str, timeout: float = 3.0) -> Answer:
        try:
            response = CLIENT.get(self.url + path, timeout=timeout)
        except httpx.HTTPError as error:
            return Answer(0, str(error) or type(error).__name__)
        return Answer(response.status_code, response.text)

    @property
    def admin_key(self) -> str:
        """The key that it made."""
        return (self.data_dir / "admin.key").read_text().strip()

    def write(self, method: str, path: str, body: object = None, timeout: float = 30.0) -> Answer:
        """Use an endpoint of administrators."""
        headers = {"authorization": f"Bearer {self.admin_key}"}
        try:
            response = CLIENT.request(method, self.url + path, json=body, headers=headers, timeout=timeout)
        except httpx.HTTPError as error:
            return Answer(0, str(error) or type(error).__name__)
        return Answer(response.status_code, response.text)

    def read(self, sql: str) -> Answer:
        """What a SELECT answers, as JSON."""
        try:
            response = CLIENT.post(
                self.url + "/clickhouse/", content=sql, params={"default_format": "JSON"}, timeout=30
            )
        except httpx.HTTPError as error:
            return Answer(0, str(error) or type(error).__name__)
        return Answer(response.status_code, response.text)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a SELECT. Raises UnreadableError."""
        answer = self.read(sql)
        if answer.status != 200:
            raise UnreadableError(f"HTTP {answer.status} {answer.text[:300]}")
        rows: list[dict[str, Any]] = json.loads(answer.text)["data"]
        return rows

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; 0 when it is not there."""
        samples = re.findall(rf"^{name}(?:{{[^\n]*}})? (\S+)$", self._ask("/metrics").text, re.MULTILINE)
        return sum(map(float, samples))

    def command(self, *arguments: str, seconds: float = 120.0) -> Answer:
        """Run a command of `llmtrace` on its data directory; the exit status and what it printed."""
        environment = {
            **self.tree.environment,
            **self.settings,
            "LLMTRACE_DATA_DIR": str(self.data_dir),
            "LLMTRACE_COLLECTOR__PORT": str(self.port),
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "llmtrace_cli", *arguments],
            env=environment,
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Answer(done.returncode, done.stdout + done.stderr)


class Watch(Process):
    """A watch as `llmtrace watch` starts it, with its health port."""

    def __init__(self, tree: Tree, collector: Collector, log: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(tree, log)
        self.port = free_port()
        self._collector = collector
        values = {"health_port": self.port, "interval_seconds": 1.0, **settings}
        self._environment = {
            f"LLMTRACE_WATCH__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    def spawn(self) -> None:
        """Start, and do not wait."""
        self.launch(
            ["-P", "-m", "llmtrace_cli", "watch"],
            environment={
                **self._environment,
                "LLMTRACE_DATA_DIR": str(self._collector.data_dir),
                "LLMTRACE_COLLECTOR__PORT": str(self._collector.port),
                "LLMTRACE_WATCH__COLLECTOR_URL": self._collector.url,
            },
            cwd=self._collector.data_dir.parent,
        )

    def page(self, path: str) -> Answer:
        """What its health port answers."""
        try:
            response = CLIENT.get(f"http://127.0.0.1:{self.port}{path}", timeout=3)
        except httpx.HTTPError as error:
            return Answer(0, str(error) or type(error).__name__)
        return Answer(response.status_code, response.text)


@dataclass(frozen=True)
class Answer:
    """A status (of HTTP, or of an exit) and a text."""

    status: int
    text: str


class UnreadableError(Exception):
    """The store did not answer a SELECT; the text says what it said."""
