"""What administrators do reaches the collector's audit, whatever becomes of collector and key meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from llmtrace_collector.settings import CollectorSettings
from llmtrace_inference.settings import InferenceSettings
from tests.collector.running import Served, free_port, settings, until

from .fakes import FakeEngine
from .running import Running, serving

MALLORY = "sha256:c0a497761b175379ed63397cc980546559faa84ca9cbeede773117c31508b6ac"


def configured(folder: Path, port: int, key: str | None = None) -> InferenceSettings:
    return InferenceSettings(
        models={"m": "first"},
        data_dir=folder / "inference",
        admin_key=SecretStr("boss"),
        otlp_endpoint=f"http://127.0.0.1:{port}",
        otlp_api_key=SecretStr(key) if key is not None else None,
    )


def started(inference: InferenceSettings) -> Any:
    return serving(inference, load=lambda *_: FakeEngine())


def block(running: Running, user: str) -> httpx.Response:
    body = {"user": user, "seconds": 60.0, "reason": "flooding"}
    headers = {"authorization": "Bearer boss"}
    return httpx.post(f"{running.url}/admin/blocks", json=body, headers=headers)


def rows(served: Served) -> list[dict[str, Any]]:
    return served.collector.store.rows("SELECT * FROM audit_log ORDER BY At")


def test_rows_wait_for_a_collector_that_is_away(tmp_path: Path) -> None:
    port = free_port()
    with started(configured(tmp_path, port)) as running:
        assert block(running, "first").status_code == 200
    # The service has ended meanwhile, and another process of it goes on.
    with started(configured(tmp_path, port)) as running:
        assert block(running, "second").status_code == 200
        served = Served(settings(tmp_path / "collector", port=port))
        try:
            until(lambda: len(rows(served)) == 2, 40, "both rows")
            assert block(running, "third").status_code == 200
            until(lambda: len(rows(served)) == 3, 40, "the third row")
            assert len({row["Id"] for row in rows(served)}) == 3
            assert {row["Detail"] for row in rows(served)} == {"60 s: flooding"}
            # On loopback without keys no key is needed.
            assert {(row["KeyId"], row["Actor"]) for row in rows(served)} == {("", "admin_key")}
        finally:
            served.close()
    assert not list((tmp_path / "inference" / "audit").glob("*/*.otlp"))


def test_rows_wait_for_a_key_that_may_write_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = {"ingest_key": "in-key", "read_key": "read-key", "service_key": "service-key"}
    collector: CollectorSettings = settings(tmp_path / "collector", **keys)
    served = Served(collector)
    try:
        with started(configured(tmp_path, collector.port, "in-key")) as running:
            assert block(running, "mallory").status_code == 200
            until(lambda: "should be a key of the role service" in caplog.text, what="the warning")
            assert rows(served) == []
        with started(configured(tmp_path, collector.port, "service-key")):
            until(lambda: len(rows(served)) == 1, what="the row")
        (row,) = rows(served)
        assert (row["KeyId"], row["Target"]) == ("service_key", MALLORY)
    finally:
        served.close()


def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    inference = configured(tmp_path, free_port())
    inference.data_dir.mkdir()
    (inference.data_dir / "audit").write_text("a file where the folder should be")
    with started(inference) as running:
        answer = block(running, "mallory")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "audit_failed"
        assert "nothing was done" in answer.json()["error"]["message"]
        listed = httpx.get(f"{running.url}/admin/blocks", headers={"authorization": "Bearer boss"})
        assert listed.json() == {"blocks": []}


def test_an_action_that_fails_says_so(tmp_path: Path) -> None:
    collector = settings(tmp_path / "collector")
    served = Served(collector)
    try:
        with started(configured(tmp_path, collector.port)) as running:
            headers = {"authorization": "Bearer boss"}
            # Who is not blocked cannot be let in again: nothing is begun, and no name is kept.
            assert httpx.delete(f"{running.url}/admin/blocks/nobody", headers=headers).status_code == 404
            body = {"name": "m", "rollback": True}
            failed = httpx.post(f"{running.url}/admin/models", json=body, headers=headers)
            assert failed.status_code == 409
            until(lambda: len(rows(served)) == 2, what="both rows")
        first, second = rows(served)
        assert first["Id"] == second["Id"]
        assert (first["Action"], first["Outcome"]) == ("models.roll_back", "")
        assert second["Outcome"] == "failed: model 'm' has no earlier version to go back to"
    finally:
        served.close()
