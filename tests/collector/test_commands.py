"""The commands for administrators, run as one types them, against a running collector."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Run
from .otlp import span, traces
from .running import Served, settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("commands")))
    yield collector
    collector.close()


def test_keys_are_made_listed_and_revoked(served: Served, run: Run) -> None:
    created = run("keys", "create", "--project", "shop", "--role", "ingest", "--name", "checkout")
    secret = created.stdout.strip()
    headers = {"authorization": f"Bearer {secret}"}
    assert served.post(traces([span()])).status_code == 401
    assert served.post(traces([span()]), headers=headers).status_code == 200
    listed = run("keys", "list").stdout
    assert "shop" in listed
    assert "checkout" in listed
    assert secret not in listed
    key_id = listed.split()[0]
    assert "revoked" in run("keys", "revoke", key_id).stdout
    assert "revoked" in run("keys", "list").stdout
    assert served.post(traces([span()])).status_code == 200  # the last key is gone: open again


def test_mistakes_are_named(run: Run) -> None:
    assert "no key nobody" in run("keys", "revoke", "nobody", fails=True).output
    wrong = run("keys", "create", "--role", "read", "--project", "a b", fails=True)
    assert "project" in wrong.output
