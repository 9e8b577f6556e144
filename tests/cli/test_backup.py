"""A backup of all parts, put back where there is nothing: spans, MLflow's runs, keys, settings, files."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from llmtrace_cli.backup import folder as backup_folder
from llmtrace_cli.backup.archive import Source, count_files, opened, write_archive
from llmtrace_cli.backup.folder import all_backups, delete_old
from llmtrace_cli.backup.make import due_in
from llmtrace_cli.backup.parts import copy_database
from llmtrace_cli.healthcheck import healthy
from llmtrace_cli.local_servers import free_port
from llmtrace_cli.main import cli
from tests.cli.running import running, wait_until
from tests.collector.otlp import llm, traces
from tests.collector.prefilled import prefill
from tests.collector.running import PROTOBUF

MARK = "zanzibar"
KEY = "ab" * 32

#: Names of the files that are to be as they were.
SAVED = {"llmtrace.toml", "content", "b1.json", "blocks.json", "admin.key", "dashboard.key", "plot.txt"}


def machine(folder: Path, port: int) -> Path:
    """A folder in which `llmtrace` has settings and files of every part, as if it ran there before."""
    folder.mkdir()
    (folder / "llmtrace.toml").write_text(f"# {MARK}\n[collector]\nport = {port}\nretention_days = 17\n")
    data = folder / ".llmtrace"
    for name in ("models/files/f1/content", "models/batches/b1.json", "mlflow/artifacts/1/plot.txt"):
        (data / name).parent.mkdir(parents=True)
        (data / name).write_text(MARK)
    (data / "models" / "blocks.json").write_text(json.dumps({"mallory": MARK}))
    with closing(sqlite3.connect(data / "mlflow" / "mlflow.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (id TEXT, note TEXT)")
        database.execute("INSERT INTO runs VALUES ('run-1', ?)", (MARK,))
        database.commit()
    return data


def readable(folder: Path) -> list[str]:
    """Files below a folder in which the mark can be read."""
    return sorted(
        file.name for file in folder.rglob("*") if file.is_file() and MARK.encode() in file.read_bytes()
    )


def test_all_parts_come_back_on_an_empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, backups = free_port(), tmp_path / "backups"
    first, second = tmp_path / "first", tmp_path / "second"
    data = machine(first, port)

    def command(*arguments: str, cwd: Path, key: str = KEY) -> Result:
        monkeypatch.chdir(cwd)
        return CliRunner().invoke(cli, arguments, env={"LLMTRACE_ENCRYPTION_KEY": key})

    prefill(data / "store")
    with running("collector", cwd=first, LLMTRACE_ENCRYPTION_KEY=KEY) as it:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: healthy(f"{url}/health/ready"), 60, it.output)
        body = traces([llm({"note": MARK}) for _ in range(5)]).SerializeToString()
        assert httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF).status_code == 200
        admin = {"authorization": f"Bearer {(data / 'admin.key').read_text().strip()}"}
        key = httpx.post(f"{url}/v1/keys", json={"role": "read", "project": "default"}, headers=admin)
        reader = {"authorization": f"Bearer {key.json()['key']}"}
        wait_until(lambda: count(url, reader) == "5", 20)
        saved_now = command("backup", "--directory", str(backups), cwd=first)
        assert saved_now.exit_code == 0, saved_now.stderr
        name = saved_now.stdout.strip()
        refused = command("restore", name, "--from", str(backups), cwd=first)
        assert refused.exit_code == 1
        assert "a collector runs with these settings" in refused.stderr, refused.stderr
    assert readable(data / "mlflow"), "the mark can be read where nothing is encrypted"
    assert readable(backups) == []
    assert list(data.glob("backups/*")) == [], "it was moved to the directory"
    listed = command("backup", "--list", "--directory", str(backups), cwd=first)
    assert f"{name} " in listed.stdout
    assert "store, settings, keys, inference, mlflow" in listed.stdout

    # Another machine: nothing but the backup and the key.
    second.mkdir()
    without = command("restore", name, "--from", str(backups), cwd=second, key="")
    assert without.exit_code == 1
    assert "LLMTRACE_ENCRYPTION_KEY_FILE" in without.stderr
    back = command("restore", name, "--from", str(backups), cwd=second)
    assert back.exit_code == 0, back.stderr
    saved = [file for file in first.rglob("*") if file.is_file() and file.name in SAVED]
    assert len(saved) == len(SAVED)
    for file in (file.relative_to(first) for file in saved):
        assert (second / file).read_bytes() == (first / file).read_bytes(), file
    assert (second / ".llmtrace" / "admin.key").stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(second / ".llmtrace" / "mlflow" / "mlflow.db")) as database:
        assert database.execute("SELECT id, note FROM runs").fetchall() == [("run-1", MARK)]
    again = command("restore", name, "--from", str(backups), cwd=second)
    assert again.exit_code == 1
    assert "there is data already" in again.stderr
    other = free_port()
    with running("collector", "--port", str(other), cwd=second, LLMTRACE_ENCRYPTION_KEY=KEY) as it:
        url = f"http://127.0.0.1:{other}"
        wait_until(lambda: healthy(f"{url}/health/ready"), 60, it.output)
        assert count(url, reader) == "5", "the key of before reads the spans of before"
        assert httpx.get(f"{url}/v1/keys", headers=admin).status_code == 200

    # What was changed since is noticed before anything is put back.
    damaged = next((backups / name / "store").glob("otel_traces.*"))
    data_of_it = bytearray(damaged.read_bytes())
    data_of_it[len(data_of_it) // 2] ^= 1
    damaged.write_bytes(data_of_it)
    third = tmp_path / "third"
    third.mkdir()
    broken = command("restore", name, "--from", str(backups), cwd=third)
    assert broken.exit_code == 1
    assert "otel_traces.native.zst is not as it was written" in broken.stderr
    assert list(third.iterdir()) == []


def count(url: str, headers: dict[str, str]) -> str:
    answer = httpx.post(f"{url}/clickhouse/", content=b"SELECT count() FROM otel_traces", headers=headers)
    return answer.text.strip()


def test_the_database_is_saved_as_of_one_moment_while_it_is_written(tmp_path: Path) -> None:
    source = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    stopping = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(source, timeout=30)) as database:
            number = 0
            while not stopping.is_set():
                with database:
                    database.execute("INSERT INTO pairs VALUES (?, ?)", (number, 0))
                    database.execute("UPDATE pairs SET b = a WHERE a = ?", (number,))
                number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        time.sleep(0.3)
        copied = copy_database(source, tmp_path / "copy.db")
    finally:
        stopping.set()
        thread.join()
    with closing(sqlite3.connect(copied.path)) as database:
        rows, odd = database.execute("SELECT count(), sum(a != b) FROM pairs").fetchone()
    assert rows > 0
    assert odd == 0


def test_archives_come_back_and_damage_is_noticed(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 20_000)
    sources = [Source(big, "a/big"), Source(tmp_path / "gone", "gone")]
    file = tmp_path / "part.tar"
    assert write_archive(file, sources, None, lambda _: None) == (1, big.stat().st_size)
    assert count_files(file, None) == 1
    with opened(file, None) as archive:
        assert [member.name for member in archive] == ["a/big"]


def backup_of(directory: Path, seconds_ago: float, *, complete: bool = True) -> str:
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() - seconds_ago))
    (directory / name).mkdir(parents=True)
    if complete:
        (directory / name / backup_folder.MANIFEST).write_text(json.dumps({"parts": {}, "files": {}}))
    return name


@pytest.mark.parametrize(
    ("keep", "days", "expected"),
    [(2, 0, 2), (9, 0, 4), (9, 3, 3), (1, 1, 1)],
    ids=["number", "all", "age", "last"],
)
def test_retention_deletes_the_oldest_and_never_the_last(
    tmp_path: Path, keep: int, days: int, expected: int
) -> None:
    day = 86_400
    names = [backup_of(tmp_path, ago * day + 7200) for ago in (9, 2, 1, 0)]
    incomplete = backup_of(tmp_path, 30 * day, complete=False)
    deleted = delete_old(tmp_path, keep, days)
    assert deleted == names[: 4 - expected]
    assert [backup.name for backup in all_backups(tmp_path)] == names[4 - expected :]
    assert (tmp_path / incomplete).exists(), "what is no backup is not ours to delete"
    shutil.rmtree(tmp_path / names[-1])
    if expected > 1:
        assert due_in(all_backups(tmp_path), day) == 0


def test_a_schedule_says_why_it_could_not_make_one(tmp_path: Path) -> None:
    port = free_port()
    data = machine(tmp_path / "site", port)
    (data / "admin.key").write_text("ab" * 32)
    with running("backup", "--every", "1h", cwd=tmp_path / "site") as it:
        it.wait_for("ERROR no collector answers")
        assert [file.name for file in data.glob("backups/*")] == []
