"""The parts as processes: which to start, with what settings, and how to tell that they serve.

`plan` turns settings into parts; what runs them is the caller's choice: `llmtrace up` hands them to a
process manager, the demo starts them as `Process` so that it can kill and restart one of them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmtrace.common.tls import TlsFiles
from llmtrace_cli.config.settings import ENV_DELIMITER, ENV_PREFIX, PartName, Settings, tables
from llmtrace_cli.config.toml_file import write_private
from llmtrace_cli.healthcheck import healthy

from .lifeline import AFTER, SUPERVISOR_PID

_HEALTH: Mapping[PartName, str] = {
    "collector": "/health/ready",
    "mlflow": "/health",
    "watch": "/health/ready",
    "dashboard": "/_stcore/health",
    "inference": "/health/ready",
    "backup": "",
}


@dataclass(frozen=True)
class Part:
    """One process to run. `argv` and `env` are complete; no secret is in `argv`."""

    name: PartName
    argv: tuple[str, ...]
    env: Mapping[str, str]
    url: str
    """Where a browser or client on this machine reaches it; empty for a part that listens on nothing (watch,
    unless it was given a health port)."""
    tls: TlsFiles
    """What to present to it, where it demands that."""

    @property
    def health_url(self) -> str:
        """Answers 200 once the part serves; empty for a part that listens on nothing."""
        return self.url and self.url + _HEALTH[self.name]


@dataclass(frozen=True)
class Stack:
    """Parts that know of each other, by the settings that they share."""

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


def plan(settings: Settings, names: Iterable[PartName]) -> Stack:
    """What to run so that the named parts work together; `settings` are linked (`Settings.linked`).

    Writes them to {data_dir}/run/settings-<pid>.toml (0600), from which the parts start: command lines can be
    read by every user of the machine, that file cannot.
    """
    chosen = tuple(dict.fromkeys(names))
    file = (settings.data_dir / "run" / f"settings-{os.getpid()}.toml").absolute()
    write_private(settings, file)
    env, tls = _child_environment(), settings.connection().tls_files()
    after = {AFTER: settings.url_of("collector") + _HEALTH["collector"]} if "collector" in chosen else {}
    parts = tuple(
        Part(
            name=name,
            argv=(
                sys.executable,
                "-m",
                "llmtrace_cli",
                "--config",
                str(file),
                name,
                *_arguments(name, settings),
            ),
            env=env | after if name in ("watch", "backup") else env,
            url=settings.url_of(name),
            tls=tls,
        )
        for name in chosen
    )
    return Stack(settings=settings, parts=parts, file=file)


def _arguments(name: PartName, settings: Settings) -> tuple[str, ...]:
    return ("--every", settings.backup.every) if name == "backup" else ()


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
    missing = [part for part in parts if part.health_url]
    deadline = time.monotonic() + timeout
    while missing:
        missing = [part for part in missing if not healthy(part.health_url, 2.0, part.tls)]
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
