"""One collector per test module: the embedded engine opens one directory per process at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmtrace_cli.main import cli

from .running import Served, settings

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector without keys on loopback, shared by the module's tests."""
    collector = Served(settings(tmp_path_factory.mktemp("collector")))
    yield collector
    collector.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh data directory."""
    return tmp_path / "data"


@pytest.fixture
def run(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `llmtrace …` with the settings of the module's `served`; only with `fails` may it fail."""
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    file = tmp_path / "llmtrace.toml"
    configured = served.collector.settings
    file.write_text(f'[collector]\nport = {configured.port}\ndata_dir = "{configured.data_dir}"\n')

    def command(*words: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(cli, ["--config", str(file), *words])
        assert (result.exit_code != 0) == fails, result.output
        return result

    return command
