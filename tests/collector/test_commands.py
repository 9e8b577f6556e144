"""The commands for administrators, run as one types them, against a running collector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmtrace_cli.main import cli

from .otlp import span, traces
from .running import Served, settings

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(settings(tmp_path_factory.mktemp("commands")))
    yield served
    served.close()


@pytest.fixture
def run(door: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `llmtrace …` with the collector's settings; a failure fails the test unless `fails`."""
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    file = tmp_path / "llmtrace.toml"
    configured = door.collector.settings
    file.write_text(f'[collector]\nport = {configured.port}\ndata_dir = "{configured.data_dir}"\n')

    def command(*words: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(cli, ["--config", str(file), *words])
        assert (result.exit_code != 0) == fails, result.output
        return result

    return command


def test_keys_are_made_listed_and_revoked(door: Served, run: Run) -> None:
    made = run("keys", "create", "--project", "shop", "--role", "ingest", "--name", "checkout")
    secret = made.stdout.strip()
    headers = {"authorization": f"Bearer {secret}"}
    assert door.post(traces([span()])).status_code == 401
    assert door.post(traces([span()]), headers=headers).status_code == 200
    listed = run("keys", "list").stdout
    assert "shop" in listed
    assert "checkout" in listed
    assert secret not in listed
    key_id = listed.split()[0]
    assert "revoked" in run("keys", "revoke", key_id).stdout
    assert "revoked" in run("keys", "list").stdout
    assert door.post(traces([span()])).status_code == 200  # the last key is gone: open again


def test_mistakes_are_named(run: Run) -> None:
    assert "no key nobody" in run("keys", "revoke", "nobody", fails=True).output
    wrong = run("keys", "create", "--role", "read", "--project", "a b", fails=True)
    assert "project" in wrong.output
