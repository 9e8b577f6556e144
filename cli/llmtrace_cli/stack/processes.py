"""The parts as processes: which to start, with what settings, and how to tell that they serve.

`plan` turns settings into parts; what runs them is the caller's choice: `llmtrace up` hands them to a
process manager, the demo starts them as `Process` so that it can kill and restart one of them.
"""

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from llmtrace_cli.config.load import ENV_DELIMITER, ENV_PREFIX, Settings, tables
from llmtrace_cli.config.toml_file import write_private
from llmtrace_cli.healthcheck import healthy
from llmtrace_cli.local_servers import local_url

from .lifeline import AFTER, SUPERVISOR_PID

PartName = Literal["collector", "mlflow", "watch", "dashboard", "inference"]
DEFAULT_PARTS: tuple[PartName, ...] = ("collector", "mlflow", "watch", "dashboard")

_HEALTH: Mapping[PartName, str] = {
    "collector": "/health/ready",
    "mlflow": "/health",
    "watch": "/health/ready",
    "dashboard": "/_stcore/health",
    "inference": "/health/ready",
}


@dataclass(frozen=True)
class Part:
    """One process to run. `argv` and `env` are complete; no secret is in `argv`."""

    name: PartName
    argv: tuple[str, ...]
    env: Mapping[str, str]
    host: str
    port: int | None
    """None for a part that listens on nothing (watch, unless it was given a health port)."""
    tls: bool = False

    @property
    def url(self) -> str | None:
        """Where a browser or client on this machine reaches it."""
        return None if self.port is None else local_url(self.host, self.port, self.tls)

    @property
    def health_url(self) -> str | None:
        """Answers 200 once the part serves."""
        return None if self.url is None else self.url + _HEALTH[self.name]


@dataclass(frozen=True)
class Stack:
    """Parts that know of each other. `settings` are the ones given, with the links filled in."""

    settings: Settings
    parts: tuple[Part, ...]
    file: Path
    """The settings file that the parts start from. It holds the keys: remove it after the last stop."""

    def part(self, name: PartName) -> Part:
        """One part by name; raises KeyError when it is not planned."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)


def plan(settings: Settings, names: Iterable[PartName] = DEFAULT_PARTS) -> Stack:
    """What to run so that the named parts work together.

    Fills in the links between them that the settings leave open, and writes the result to
    {data_dir}/run/settings-<pid>.toml (0600), from which the parts start: command lines can be read by
    every user of the machine, that file cannot.
    """
    chosen = tuple(dict.fromkeys(names))
    linked = link(settings, chosen)
    file = (settings.data_dir / "run" / f"settings-{os.getpid()}.toml").absolute()
    write_private(linked, file)
    env = _child_environment() | _trust(linked)
    collector = _collector_url(linked) + _HEALTH["collector"]
    after = {AFTER: collector} if "collector" in chosen else {}
    parts = []
    for name in chosen:
        host, port = _listens(name, linked)
        parts.append(
            Part(
                name=name,
                argv=(sys.executable, "-m", "llmtrace_cli", "--config", str(file), name),
                env=env | after if name == "watch" else env,
                host=host,
                port=port,
                tls=name == "collector" and linked.collector.tls_certificate is not None,
            )
        )
    return Stack(settings=linked, parts=tuple(parts), file=file)


def link(settings: Settings, names: tuple[PartName, ...]) -> Settings:
    """Point the parts at each other. A link that was set explicitly stays as it is."""
    collector = _collector_url(settings)
    dashboard = local_url(settings.dashboard.host, settings.dashboard.port)
    mlflow = local_url(settings.mlflow.host, settings.mlflow.port) if "mlflow" in names else ""
    reader = {
        "collector_url": collector,
        "read_key": settings.collector.read_key,
        "admin_key": settings.collector.admin_key,
    }
    links: dict[str, dict[str, Any]] = {
        "collector": {"mlflow_url": mlflow, "trace_url": dashboard + "/traces?trace={trace_id}"},
        "watch": {**reader, "dashboard_url": dashboard},
        "dashboard": {**reader, "mlflow_url": mlflow},
        "inference": {"otlp_endpoint": collector, "otlp_api_key": settings.collector.ingest_key},
    }
    changed = {name: _fill(getattr(settings, name), values) for name, values in links.items()}
    for name in ("watch", "dashboard"):  # where the collector puts its admin key is where they look for it
        if getattr(settings, name).data_dir == settings.data_dir:
            changed[name] = changed[name].model_copy(update={"data_dir": settings.collector.data_dir})
    return settings.model_copy(update=changed)


def _collector_url(settings: Settings) -> str:
    collector = settings.collector
    return local_url(collector.host, collector.port, collector.tls_certificate is not None)


def _trust(settings: Settings) -> dict[str, str]:
    """Environment in which the other parts trust the collector's certificate besides the usual ones.

    The certificate has to name the address by which they reach the collector (127.0.0.1 unless
    `collector.host` or their `collector_url` says otherwise).
    """
    certificate = settings.collector.tls_certificate
    if certificate is None:
        return {}
    usual = ssl.get_default_verify_paths().cafile
    bundle = (settings.data_dir / "trusted.pem").absolute()
    texts = [Path(name).read_text() for name in (usual, certificate) if name is not None]
    bundle.write_text("\n".join(texts))
    # The second one is for the OTLP exporter of the inference service.
    return {"SSL_CERT_FILE": str(bundle), "OTEL_EXPORTER_OTLP_CERTIFICATE": str(bundle)}


def _fill(table: BaseModel, values: Mapping[str, Any]) -> BaseModel:
    return table.model_copy(update={k: v for k, v in values.items() if k not in table.model_fields_set})


def _listens(name: PartName, settings: Settings) -> tuple[str, int | None]:
    """Host and port of a part; watch has a port for its health only where it is given one."""
    if name == "watch":
        return settings.watch.health_host, settings.watch.health_port or None
    table = getattr(settings, name)
    return table.host, table.port


def _child_environment() -> dict[str, str]:
    """This process's environment without the settings in it: they are in the file already, and the
    command line may have overruled them."""
    ours = tuple(f"{ENV_PREFIX}{table}{ENV_DELIMITER}".upper() for table in tables())
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(ours) and name.upper() != f"{ENV_PREFIX}DATA_DIR"
    }
    return env | {SUPERVISOR_PID: str(os.getpid()), "PYTHONUNBUFFERED": "1"}


def wait_ready(
    parts: Iterable[Part], timeout: float = 90.0, alive: Callable[[Part], bool] = lambda part: True
) -> list[Part]:
    """Wait until every part that has a health URL answers; return those that do not.

    Stops early when `alive` says that a part's process has ended: it comes back among the missing.
    """
    missing = [part for part in parts if part.health_url is not None]
    deadline = time.monotonic() + timeout
    while missing:
        missing = [part for part in missing if not healthy(part.health_url or "", timeout=2.0)]
        if not missing or time.monotonic() > deadline or not all(alive(part) for part in missing):
            break
        time.sleep(0.2)
    return missing


class Process:
    """A part running as a child process, for callers that start, kill and restart single parts.

    Its output goes to a file. The child follows this process: when this one ends, even by SIGKILL, the
    child stops too.
    """

    def __init__(self, part: Part, log: Path) -> None:
        self.part = part
        self.log = log
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; raises RuntimeError before the first start."""
        if self._popen is None:
            raise RuntimeError(f"{self.part.name} was not started")
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the process; its log is appended to."""
        if self.alive:
            raise RuntimeError(f"{self.part.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self.part.argv,
                env=dict(self.part.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C reaches the caller alone, and children can be ended with it.
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL the process and its children, as a crash would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()

    def stop(self, timeout: float = 20.0) -> int | None:
        """SIGTERM, wait, SIGKILL what is left. Returns the exit code; None when it never ran."""
        if self._popen is None:
            return None
        if self.alive:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)
        self._signal(signal.SIGKILL)  # a worker may outlive its parent
        return self._popen.wait()

    def tail(self, lines: int = 20) -> str:
        """The last lines that the process wrote."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)
