"""@clickhouse/client, from Node.js, against a collector: what it may ask is answered, the rest is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.store.catalogue import READABLE
from tests.collector.otlp import llm, traces
from tests.collector.running import Served, settings

_HERE = Path(__file__).parent
_MODULES = _HERE / "node_modules"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose readers need a key, with three calls."""
    collector = Served(settings(tmp_path_factory.mktemp("clients"), read_key="read me"))
    sent = collector.post(traces([llm({"user.id": f"u{number}"}) for number in range(3)]))
    assert sent.status_code == 200
    collector.stored()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def got(served: Served) -> dict[str, Any]:
    """What the client got; it runs once."""
    node = shutil.which("node")
    if node is None or not _MODULES.exists():
        missing = "node" if node is None else f"{_MODULES} (cd tests/clients && npm ci)"
        assert not os.environ.get("CI"), f"{missing} has to be there where all tests run"
        pytest.skip(f"{missing} is not there")
    done = subprocess.run(
        [node, str(_HERE / "read.mjs"), served.url, "read me"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_it_reads_every_way(got: dict[str, Any]) -> None:
    assert (got["ping"], got["ping_by_select"]) == (True, True)
    assert got["json"]["data"] == [{"user": "u1", "calls": 1}]
    assert "statistics" not in got["json"]
    assert got["rows"] == [{"number": number, "label": "it's"} for number in range(3)]
    assert got["streamed"] == 10_000
    assert got["totals"] == {"UserId": "", "c": 3}
    assert got["limited"] == [{"one": 1}]
    assert got["zipped"] == [{"two": 2}]
    assert got["long"] == [{"n": 3000}]
    assert len(got["query_id"]) == 36


def test_it_sees_what_may_be_read_and_nothing_else(got: dict[str, Any]) -> None:
    assert got["tables"] == sorted(READABLE)
    assert "api_keys" in got["hidden"]["message"]


@pytest.mark.parametrize("what", ["insert", "command", "setting", "hidden"])
def test_it_is_refused_what_it_may_not(got: dict[str, Any], what: str) -> None:
    assert got[what]["code"] == "62", got[what]


def test_a_wrong_key_is_told_as_one(got: dict[str, Any]) -> None:
    assert got["stranger"]["code"] == "516"
    assert "key" in got["stranger"]["message"]
