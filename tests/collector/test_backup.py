"""A backup of one data directory fills another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llmtrace_collector.store.backup import BackupRefused, Backups
from llmtrace_collector.store.engine import EmbeddedEngine
from llmtrace_collector.store.store import open_store
from tests.synced_files import SyncedFiles

from .otlp import llm, logs, score, traces
from .running import Served, settings
from .stores.opening import unpack
from .test_incidents import report

_SUMS = (
    "SELECT count(), uniqExact(SpanId), sum(InputTokens) FROM otel_traces",
    "SELECT sum(Calls), quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest) FROM usage_10s",
    "SELECT sum(Calls) FROM usage_hour",
    "SELECT sum(Steps), quantilesTDigestMerge(0.5, 0.95, 0.99)(DurationDigest) FROM steps",
    "SELECT count(), sum(InputTokens), min(Version) > 0 FROM traces",
    "SELECT count(), any(Name) FROM scores",
    "SELECT count(), any(Title) FROM incidents",
    "SELECT uniqExact(TraceId), min(Start), max(End) FROM trace_times",
    "SELECT sum(Stored) FROM completeness",
)


def test_a_backup_restores_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = SyncedFiles(monkeypatch)
    first = Served(settings(tmp_path / "first"))
    try:
        for _ in range(3):
            assert first.post(traces([llm() for _ in range(20)])).status_code == 200
        assert first.post(logs([score({"gen_ai.evaluation.name": "kept"})]), "logs").status_code == 200
        assert first.write("PUT", "/v1/incidents/one", report()).status_code == 200
        key = first.write("POST", "/v1/keys", {"role": "read", "project": "default"}).json()["key"]
        first.stored()
        first.collector.store.roll_up(at_once=True)
        before = [_ask(first, text, first.admin_key) for text in _SUMS]
        backup = first.write("POST", "/v1/backups", None)
        assert backup.status_code == 200, backup.text
        name = backup.json()["name"]
        saved = list((tmp_path / "first" / "backups" / name).iterdir())
        assert [file for file in saved if file not in synced] == []
        assert tmp_path / "first" / "backups" / name / "manifest.json" in saved
        assert first.write("POST", f"/v1/backups/{name}/restore", None).status_code == 409  # not empty
        assert first.write("GET", "/v1/backups", None).json()["backups"][0]["name"] == name
    finally:
        first.close()

    shutil.copytree(tmp_path / "first" / "backups", tmp_path / "second" / "backups")
    second = Served(settings(tmp_path / "second"))
    try:
        assert second.write("POST", "/v1/backups/20200101-000000/restore", None).status_code == 404
        answer = second.write("POST", f"/v1/backups/{name}/restore", None)
        assert answer.status_code == 200, answer.text
        assert [_ask(second, text, second.admin_key) for text in _SUMS] == before
        second.collector.api_keys.refresh()
        # What was done in either store stays known: here a restore that failed, with two rows, and this one.
        actions = _ask(second, "SELECT Action FROM audit_log ORDER BY At", second.admin_key).split()
        assert actions == ["keys.create", "store.backup", *["store.restore"] * 3]
        assert _ask(second, "SELECT count() FROM otel_traces", key) == "60"
    finally:
        second.close()

    # A copy of which a part is missing is not taken for whole.
    folder = tmp_path / "third" / "backups" / name
    shutil.copytree(tmp_path / "first" / "backups" / name, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"]["scores"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    third = Served(settings(tmp_path / "third"))
    try:
        answer = third.write("POST", f"/v1/backups/{name}/restore", None)
        assert answer.status_code == 500
        assert "1 of the 2 rows" in answer.text
    finally:
        third.close()


def _ask(served: Served, text: str, key: str) -> str:
    client = served.reader(key)
    try:
        return str(client.raw_query(text, fmt="TabSeparated").decode().strip())
    finally:
        client.close()


def test_a_backup_of_a_release_before_is_restored(tmp_path: Path) -> None:
    """What `Backups.create` of schema 60 wrote: every table of that time as the engine's Native file."""
    name = "20350101-000000"
    engine = EmbeddedEngine(unpack(tmp_path))
    folder = tmp_path / "second" / "backups" / name
    folder.mkdir(parents=True)
    tables = engine.execute(
        "SELECT name FROM system.tables WHERE database = 'default' AND engine LIKE '%MergeTree'"
    )
    counts = {}
    for table in sorted({*tables.decode().split()} - {"schema_versions"}):
        file = folder / f"{table}.native.zst"
        engine.execute(f"SELECT * FROM default.{table} INTO OUTFILE '{file}' FORMAT Native")
        counts[table] = int(engine.execute(f"SELECT count() FROM default.{table}"))
    engine.close()
    (folder / "manifest.json").write_text(json.dumps({"name": name, "schema": 60, "tables": counts}))

    store = open_store(f"chdb://{tmp_path / 'second' / 'store'}", 3650)
    try:
        assert Backups(store, tmp_path / "second" / "backups").restore(name)["schema"] == 60
        sums = "SELECT Purpose, sum(Calls), sum(InputTokens) FROM {table} GROUP BY ALL ORDER BY ALL"
        for table in ("usage_10s", "usage_hour", "usage_hour_closed"):
            usage = store.engine.execute(sums.format(table=table))
            assert usage == b"product\t4\t321\nsimulated\t4\t321\n", table
        assert store.engine.execute("SELECT count(), uniqExact(SpanId) FROM otel_traces") == b"10\t10\n"
        assert store.engine.execute("SELECT count() FROM audit_log") == b"1\n"
        assert store.read("SELECT State FROM incidents") == b"resolved\n"
        manifest = {"name": name, "schema": store.version + 1, "tables": counts}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BackupRefused, match="which is older"):
            Backups(store, tmp_path / "second" / "backups").restore(name)
    finally:
        store.close()
