"""Collectors to test: one in this process, or one of its own that can be killed.

    python -m tests.collector.running SETTINGS_AS_JSON

The embedded engine opens one directory per process at a time, so a test module has at most one `Served`.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import uvicorn
from clickhouse_connect.driver.client import Client
from google.protobuf.message import Message

from llmtrace_collector.app import Collector, create_app, serve
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.sql_values import QueryValue, encode
from llmtrace_collector.store.reader import open_reader

from .prefilled import prefill

#: One client for all: making one loads certificates, which takes longer than a request.
# A connection that has been idle for as long as a server waits may be closed while it is used again.
CLIENT = httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(keepalive_expiry=2))

PROTOBUF = {"content-type": "application/x-protobuf"}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own and its key, as PEM files in `folder`."""
    certificate, private = folder / "cert.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-keyout", str(private), "-out", str(certificate), *names]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, private


def make_client_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """An authority's certificate, and a client's certificate that it signed with its key, as PEM files in
    `folder`.
    """
    folder.mkdir(exist_ok=True)
    authority, certificate, private = folder / "ca.pem", folder / "client.pem", folder / "client-key.pem"
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509"]
    signer = folder / "ca-key.pem"
    own = ["-days", "2", "-keyout", str(signer), "-out", str(authority), "-subj", "/CN=clients"]
    signed = ["-days", "2", "-keyout", str(private), "-out", str(certificate), "-subj", "/CN=client"]
    signed += ["-CA", str(authority), "-CAkey", str(signer), "-addext", "extendedKeyUsage=clientAuth"]
    for arguments in (own, signed):
        subprocess.run([*new, *arguments], check=True, capture_output=True)
    return authority, certificate, private


def settings(directory: Path, **fields: Any) -> CollectorSettings:
    """Settings of a collector in `directory` that stores quickly; its store is there, and empty."""
    if not fields.keys() & {"store", "retention_days"}:
        prefill(directory / "store")
    values = {"data_dir": directory, "port": free_port(), "segment_seconds": 0.05, **fields}
    return CollectorSettings.model_validate(values)


def until(check: Callable[[], bool], seconds: float = 20.0, what: str = "the condition") -> None:
    """Wait until `check` holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true in {seconds} s")
        time.sleep(0.02)


class RunningCollector:
    """What one does with a collector at `url`."""

    url: str
    admin_key: str

    def post(
        self, body: bytes | Message, signal: str = "traces", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send an OTLP body."""
        data = body if isinstance(body, bytes) else body.SerializeToString()
        return CLIENT.post(
            f"{self.url}/v1/{signal}", content=data, headers={**PROTOBUF, **(headers or {})}, timeout=30
        )

    def write(self, method: str, path: str, body: object) -> httpx.Response:
        """Use a write endpoint with the admin key."""
        headers = {"authorization": f"Bearer {self.admin_key}"}
        return CLIENT.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=30)

    def sql(self, text: str, **parameters: QueryValue) -> httpx.Response:
        """Ask /clickhouse as curl does."""
        values = {f"param_{name}": encode(value) for name, value in parameters.items()}
        return CLIENT.post(f"{self.url}/clickhouse/", content=text.encode(), params=values, timeout=60)

    def rows(self, text: str, **parameters: QueryValue) -> list[dict[str, Any]]:
        """The rows of a SELECT."""
        values = {f"param_{name}": encode(value) for name, value in parameters.items()}
        params = {"default_format": "JSON", **values}
        answer = CLIENT.post(f"{self.url}/clickhouse/", content=text.encode(), params=params, timeout=60)
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def value(self, text: str, **parameters: QueryValue) -> str:
        """The single value of a SELECT as text."""
        answer = self.sql(text, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.text.rstrip("\n")

    def reader(self, key: str | None = None) -> Client:
        """A clickhouse-connect client."""
        return open_reader(self.url, key)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 when it is not there yet."""
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        wanted = f"{{{wanted}}}" if wanted else ""
        for line in CLIENT.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith(f"{name}{wanted} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


class Served(RunningCollector):
    """A collector under uvicorn in a thread of this process."""

    def __init__(self, configured: CollectorSettings) -> None:
        app = self.app = create_app(configured)
        self.collector: Collector = app.state.collector
        self.admin_key = self.collector.keys.admin
        self._server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", configured.port, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.url = f"http://127.0.0.1:{configured.port}"
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive(), what="the start")
        assert self._server.started

    def stored(self) -> None:
        """Wait until everything acknowledged so far can be read."""
        until(lambda: self.collector.wal.size == 0, what="storing")

    def close(self) -> None:
        """Drain and stop."""
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


class Launched(RunningCollector):
    """A collector in a process of its own, which can be started again after its end."""

    def __init__(
        self,
        configured: CollectorSettings,
        module: str = "tests.collector.running",
        folder: Path | None = None,
    ) -> None:
        """`folder` is the working directory of its process, by default this one's."""
        self.settings = configured
        self._folder = folder
        self._module = module
        self.url = f"http://127.0.0.1:{configured.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._trusted: ssl.SSLContext | None = None
        self.errors = configured.data_dir / "stderr.txt"

    def start_tls(self, certificate: Path, client: tuple[Path, Path] | None = None) -> None:
        """Start one that speaks TLS only, with those that have the `client` certificate and key where it
        demands one.
        """
        self._trusted = ssl.create_default_context(cafile=str(certificate))
        if client is not None:
            self._trusted.load_cert_chain(*client)
        self.start()

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.spawn()
        until(self._ready, 60, "the collector's start")
        self.admin_key = (self.settings.data_dir / "admin.key").read_text().strip()

    def spawn(self) -> None:
        """Start, and do not wait."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMTRACE_")}
        paths = [str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module, self.settings.model_dump_json()],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=self._folder,
                env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.errors.read_text()[-2000:]
        with suppress(OSError, http.client.HTTPException):
            connection = (
                http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=5)
                if self._trusted is None
                else http.client.HTTPSConnection(
                    "localhost", self.settings.port, timeout=5, context=self._trusted
                )
            )
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(40)
        self.process = None
        return status

    def stored(self, seconds: float = 60.0) -> None:
        """Wait until everything acknowledged so far can be read."""
        folder = self.settings.data_dir / "wal"
        until(lambda: not list(folder.glob("*.seg")), seconds, what="storing")

    def __enter__(self) -> Launched:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.stop(signal.SIGKILL)


if __name__ == "__main__":
    serve(CollectorSettings.model_validate_json(sys.argv[1]))
