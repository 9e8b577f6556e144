"""One run of an emitter's program: what it sent, to whom, and when it made which kind of call."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from llmtrace.testing import Answer, Received, ReplayServer

from .provider import Exchange, LoopbackProvider
from .table import Emitter

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENTS = ROOT / ".venvs"

#: Nothing outside is asked or told.
_OFFLINE = {
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

Mode = Literal["alone", "with_sdk"]
MODES: tuple[Mode, ...] = ("alone", "with_sdk")


@dataclass
class EmitterRun:
    """What came of a program."""

    emitter: Emitter
    environment: str
    mode: Mode
    exchanges: list[Exchange] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    """OTLP as it arrived, and whatever else was sent to that address."""
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Kind → what the program printed of it."""
    failure: str = ""
    """The end of what it wrote to standard error, where it ended badly."""

    @property
    def project(self) -> str:
        """The project under which its spans are stored."""
        return re.sub("[^a-z0-9]+", "-", f"{self.emitter.name} {self.environment} {self.mode}".lower())

    def kind_at(self, start: int) -> str | None:
        """The kind of call during which a span began, in Unix nanoseconds."""
        for kind, call in self.calls.items():
            if call["start"] - 5_000_000 <= start <= call["end"]:
                return kind
        return None


def interpreter(emitter: Emitter, environment: str, environments: Path) -> Path | None:
    """What runs its program; None where the environment is missing."""
    if emitter.program.endswith(".mjs"):
        node = shutil.which("node")
        return Path(node) if node and _home(emitter, environment, environments).is_dir() else None
    if not environment:
        return Path(sys.executable)
    python = environments / environment / "bin" / "python"
    return python if python.exists() else None


def _home(emitter: Emitter, environment: str, environments: Path) -> Path:
    return environments / environment / "node_modules"


def versions(emitter: Emitter, environment: str, environments: Path) -> dict[str, str]:
    """Package → installed version, of those that the row names."""
    if emitter.program.endswith(".mjs"):
        home = _home(emitter, environment, environments)
        return {
            package: json.loads((home / package / "package.json").read_text("utf-8"))["version"]
            for package in emitter.packages
        }
    if not environment:
        return {package: importlib.metadata.version(package) for package in emitter.packages}
    installed = _installed(environment, environments)
    return {package: installed[_normal(package)] for package in emitter.packages}


def lacks_for_sdk(emitter: Emitter, environment: str, environments: Path) -> str:
    """Why our SDK cannot run in an environment; empty where it can."""
    if emitter.program.endswith(".mjs"):
        return "it is not Python"
    if not environment:
        return ""
    installed = _installed(environment, environments)
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]:
        needed = Requirement(text)
        version = installed.get(_normal(needed.name))
        if version is None or not needed.specifier.contains(version, prereleases=True):
            return f"its pins clash with {text}"
    return ""


def _installed(environment: str, environments: Path) -> dict[str, str]:
    """Name → version."""
    folders = (environments / environment / "lib").glob("python3*/site-packages")
    return {
        _normal(item.name): item.version
        for item in importlib.metadata.distributions(path=[str(folder) for folder in folders])
    }


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def run(
    emitter: Emitter,
    environment: str,
    mode: Mode,
    kinds: Sequence[str],
    environments: Path = ENVIRONMENTS,
    recorded: Sequence[Exchange] | None = None,
) -> EmitterRun:
    """Run the program for some kinds of call, or for recorded exchanges, whose numbers are their kinds then.
    Raises ValueError where the environment is missing.
    """
    python = interpreter(emitter, environment, environments)
    if python is None:
        raise ValueError(f"no environment {environments / environment}")
    outcome = EmitterRun(emitter, environment, mode)
    sink = ReplayServer(Answer(headers={"content-type": "application/x-protobuf"}))
    # Some frameworks keep files at home, which two programs at once would spoil for each other.
    home = tempfile.TemporaryDirectory(prefix="conformance-home-", ignore_cleanup_errors=True)
    with home, LoopbackProvider(recorded) as provider, sink:
        program = _program(emitter, environment, environments)
        command = [str(python), str(program), emitter.tracer]
        try:
            ended = subprocess.run(
                [*command, provider.url, sink.url, mode, *kinds],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
                env={**_environment(emitter, environment, mode, environments), "HOME": home.name},
            )
        except subprocess.TimeoutExpired:
            outcome.failure = "it did not end in 600 s"
            return outcome
        outcome.exchanges = list(provider.exchanges if recorded is None else recorded)
        outcome.requests = list(sink.requests)
    for line in ended.stdout.splitlines():
        if line.startswith('{"kind"'):
            call = json.loads(line)
            outcome.calls[call["kind"]] = call
    if ended.returncode or len(outcome.calls) < len(kinds):
        outcome.failure = ended.stderr.strip()[-3000:] or f"it ended with {ended.returncode}"
    return outcome


def _program(emitter: Emitter, environment: str, environments: Path) -> Path:
    """Where its program runs: one of Node.js finds packages from its own folder alone, so it is copied."""
    if not emitter.program.endswith(".mjs"):
        return PROGRAMS / emitter.program
    for module in PROGRAMS.glob("*.mjs"):
        shutil.copy(module, environments / environment / module.name)
    return environments / environment / emitter.program


def _environment(emitter: Emitter, environment: str, mode: Mode, environments: Path) -> Mapping[str, str]:
    values = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PYTHON", "LLMTRACE_")) and "proxy" not in name.lower()
    }
    values.pop("VIRTUAL_ENV", None)
    values |= _OFFLINE
    if mode == "with_sdk" or not environment:
        # The interpreter that runs the table has the service's requirements as well, and its tests' engine.
        parts = ("sdk",) if environment else ("sdk", "inference", "")
        values |= {
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in parts),
            "LLMTRACE_STRICT": "1",
            "LLMTRACE_SPOOL_DIR": "off",
        }
    return values
