"""A backup of one data directory fills another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.synced_files import SyncedFiles

from .otlp import llm, logs, score, traces
from .running import Served, settings
from .test_incidents import report

_SUMS = (
    "SELECT count(), uniqExact(SpanId), sum(InputTokens) FROM otel_traces",
    "SELECT sum(Calls), quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest) FROM usage_10s",
    "SELECT count(), any(Name) FROM scores",
    "SELECT count(), any(Title) FROM incidents",
    "SELECT count() FROM otel_traces_trace_id_ts",
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
