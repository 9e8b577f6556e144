"""The files that the embedded engine is opened with: written at each start, and demanded."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from llmtrace_collector.store import access_control
from llmtrace_collector.store.engine import EmbeddedEngine, StoreUnavailable

_CREATE = "CREATE TABLE IF NOT EXISTS {} (Project String) ENGINE = MergeTree ORDER BY Project"


def fill(engine: EmbeddedEngine, table: str) -> None:
    """One row for each of two projects."""
    engine.execute(_CREATE.format(table))
    engine.execute(f"INSERT INTO {table} VALUES ('a'), ('b')")


def counts(engine: EmbeddedEngine, table: str) -> list[int]:
    """How many rows a project sees, then a reader of every project, then the collector."""
    text = f"SELECT count() FROM {table}"
    return [
        int(answer) for answer in (engine.read(text, project="a"), engine.read(text), engine.execute(text))
    ]


@pytest.mark.parametrize("name", ["a store", "a&b=c", "it's a?b 50%20 +#;\\n 日本"])
def test_a_directory_may_be_called_anything(tmp_path: Path, name: str) -> None:
    for rows in (2, 4):
        engine = EmbeddedEngine(tmp_path / name)
        try:
            fill(engine, "scores")
            assert counts(engine, "scores") == [rows // 2, rows, rows]
            client = engine.client()
            assert client.query("SELECT count() FROM scores").result_rows == [(rows,)]
            client.close()
        finally:
            engine.close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_files_of_a_start_before_are_replaced(tmp_path: Path) -> None:
    for name in ("config.xml", "users.xml"):
        (tmp_path / name).write_text("<clickhouse/>")
        (tmp_path / name).chmod(0o644)
    EmbeddedEngine(tmp_path).close()
    assert (tmp_path / "users.xml").read_bytes() == access_control.users_xml()
    for name in ("config.xml", "users.xml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_store_that_is_opened_anew_goes_by_new_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade, which brings tables with filters of their own."""
    now = access_control.filtered()
    before = {name: rows for name, rows in now.items() if name != "scores"}
    seen: list[list[int]] = []
    for filtered in (before, now):
        monkeypatch.setattr(access_control, "filtered", lambda filtered=filtered: filtered)
        engine = EmbeddedEngine(tmp_path / "store")
        try:
            if not seen:
                fill(engine, "scores")
            seen.append(counts(engine, "scores"))
        finally:
            engine.close()
    assert seen == [[0, 0, 2], [1, 2, 2]]


def test_a_store_that_was_opened_without_filters_is_refused(tmp_path: Path) -> None:
    """Every handle of a process goes by what its first one was opened with."""
    program = (
        "import chdb, sys; from pathlib import Path; from llmtrace_collector.store.engine import *\n"
        "handle = chdb.connect(sys.argv[1])\n"
        "try:\n    EmbeddedEngine(Path(sys.argv[1]))\n"
        "except StoreUnavailable as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "does not go by the access control" in done.stdout, done.stderr[-2000:]


def test_a_directory_that_cannot_be_written_is_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(access_control, "write_durably", refuse)
    with pytest.raises(StoreUnavailable, match="cannot be written: read-only"):
        EmbeddedEngine(tmp_path / "store")


#: What the collector never does: its grants bound a statement that somebody slips into one of ours.
_NOT_GRANTED = (
    "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
    "INSERT INTO FUNCTION url('http://127.0.0.1:9/', 'LineAsString', 'line String') VALUES ('x')",
    "INSERT INTO FUNCTION file('OUT', 'LineAsString', 'line String') VALUES ('x')",
    "CREATE TABLE x (line String) ENGINE = File(LineAsString, 'OUT')",
    "BACKUP TABLE scores TO File('OUT')",
    "SYSTEM SHUTDOWN",
    "CREATE DATABASE x",
    "CREATE USER x",
    "SELECT * FROM remote('127.0.0.1:9', llmtrace, scores)",
)


def test_grants_bound_the_collector_itself(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path / "store")
    try:
        fill(engine, "scores")
        for text in _NOT_GRANTED:
            with pytest.raises(Exception, match="ACCESS_DENIED"):
                engine.execute(text.replace("OUT", str(tmp_path / "out")))
        assert not (tmp_path / "out").exists()
    finally:
        engine.close()
