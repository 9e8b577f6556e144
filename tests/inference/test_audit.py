"""What administrators do reaches the collector's audit, whatever becomes of collector and key meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from llmtrace_collector.settings import CollectorSettings
from llmtrace_inference.app import create_app
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry import audit
from llmtrace_inference.telemetry.audit import AuditTrail
from llmtrace_inference.telemetry.request_record import RequestRecord
from tests.collector.running import Served, free_port, settings, until
from tests.spooled import spool_files, spooled_items

from .fakes import FakeEngine
from .running import Running, serving, wait_until

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
    assert not spool_files(tmp_path / "inference" / "audit")


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


class Ahead(datetime):
    """The clock of a machine that is two hours ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + timedelta(hours=2)


def test_a_clock_that_is_ahead_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = settings(tmp_path / "collector")
    served = Served(collector)
    try:
        monkeypatch.setattr(audit, "datetime", Ahead)
        with started(configured(tmp_path, collector.port)) as running:
            assert block(running, "mallory").status_code == 200
            until(lambda: len(rows(served)) == 1, what="the row")
        (row,) = rows(served)
        assert row["Target"] == MALLORY
        assert datetime.fromisoformat(row["At"] + "Z") > datetime.now(UTC) + timedelta(hours=1)
        assert row["Detail"].startswith("60 s: flooding [its clock said ")
    finally:
        served.close()
    assert not spool_files(tmp_path)


class Answering:
    """Stands where the collector should be, and answers with a status; `taken` is what it acknowledged."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.taken: list[Any] = []


@contextmanager
def answering() -> Iterator[tuple[Answering, int]]:
    """One that listens, and its port."""
    state = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = state.status
            if status == 200:
                state.taken += json.loads(body)
            self.send_response(status)
            self.send_header("content-length", "8")
            self.end_headers()
            self.wfile.write(b"it is so")
            state.asked += 1

        def log_message(self, format: str, *arguments: object) -> None:
            """Its requests are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state, int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def act(trail: AuditTrail) -> None:
    """One action, which succeeds."""

    async def action() -> None:
        async with trail.action("admin_key", "127.0.0.1", "models.replace", "m"):
            pass

    asyncio.run(action())


def fill(trail: AuditTrail) -> None:
    """Actions until one is refused."""
    for _ in range(100):
        act(trail)


def test_rows_wait_however_long_and_actions_are_refused_when_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_SPOOL_BYTES", 2000)
    with answering() as (collector, port):
        collector.status = 503
        trail = AuditTrail(configured(tmp_path, port))
        for _ in range(3):
            act(trail)
        with pytest.raises(ApiError, match="nothing was done, because its audit row cannot be kept"):
            fill(trail)
        rows_kept = spooled_items(tmp_path)
        for file in spool_files(tmp_path):
            os.utime(file, (1.0, 1.0))
        with pytest.raises(ApiError, match="cannot be kept"):
            act(trail)
        assert spooled_items(tmp_path) == rows_kept
        collector.status = 200
        trail.start()
        try:
            until(lambda: len(collector.taken) == rows_kept, 40, what="all rows")
            act(trail)
            until(lambda: len(collector.taken) == rows_kept + 1, 40, what="one more")
        finally:
            trail.close(5)


def test_a_trail_that_never_began_can_be_closed(tmp_path: Path) -> None:
    with answering() as (collector, port):
        trail = AuditTrail(configured(tmp_path, port))
        act(trail)
        trail.close(5)
        assert collector.asked == 0
        assert spooled_items(tmp_path) == 1


class Stubborn(FakeEngine):
    """Does not end as it should."""

    async def close(self) -> None:
        raise RuntimeError("it hangs on to its memory")


class ClosedPipeline:
    """Notes that it was closed."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self.closed = False

    def start(self) -> None: ...

    def put(self, record: RequestRecord) -> None: ...

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def close(self, timeout_seconds: float) -> None:
        self.closed = True


def test_what_cannot_be_closed_costs_no_rows_and_no_spans(tmp_path: Path) -> None:
    with answering() as (_, port):
        pipeline = ClosedPipeline()
        app = create_app(configured(tmp_path, port), load=lambda *_: Stubborn(), pipeline=pipeline)

        async def run() -> None:
            async with app.router.lifespan_context(app):
                engines = app.state.engines
                await asyncio.to_thread(wait_until, lambda: None not in engines.values())

        with pytest.raises(RuntimeError, match="hangs on to its memory"):
            asyncio.run(run())
        assert pipeline.closed
        assert "audit" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("status", [302, 401, 404, 408, 429, 500, 501, 502, 503, 507])
def test_rows_wait_while_the_collector_fails(tmp_path: Path, status: int) -> None:
    with answering() as (collector, port):
        collector.status = status
        trail = AuditTrail(configured(tmp_path, port))
        trail.start()
        try:
            act(trail)
            until(lambda: collector.asked > 1, what="a second attempt")
            assert spooled_items(tmp_path) == 1
            collector.status = 200
            until(lambda: not spool_files(tmp_path), 40, what="the row to be sent")
        finally:
            trail.close(5)
        assert [row["target"] for row in collector.taken] == ["m"]
        assert not (tmp_path / "inference" / "audit_refused").exists()


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_a_row_that_is_refused_for_good_is_put_aside_and_does_not_hold_up_the_next(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "inference" / "audit_refused"
    with answering() as (collector, port):
        collector.status = status
        trail = AuditTrail(configured(tmp_path, port))
        trail.start()
        try:
            act(trail)
            until(lambda: collector.asked == 1 and not spool_files(tmp_path), what="the refusal")
            (file,) = folder.iterdir()
            (error,) = (record for record in caplog.records if record.levelno == logging.ERROR)
            assert str(file) in error.getMessage()
            assert f"HTTP {status}: it is so" in error.getMessage()
            assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
            (row,) = json.loads(file.read_text())
            assert (row["action"], row["target"]) == ("models.replace", "m")
            collector.status = 200
            act(trail)
            until(lambda: len(collector.taken) == 1, what="the next row")
        finally:
            trail.close(5)
        # What is there is what was to be POSTed.
        assert httpx.post(f"http://127.0.0.1:{port}/v1/audit", content=file.read_bytes()).status_code == 200
        assert row in collector.taken


def test_a_refused_row_that_cannot_be_put_aside_stays_where_it_is(tmp_path: Path) -> None:
    with answering() as (collector, port):
        collector.status = 422
        inference = configured(tmp_path, port)
        inference.data_dir.mkdir()
        (inference.data_dir / "audit_refused").write_text("a file where the folder should be")
        trail = AuditTrail(inference)
        trail.start()
        try:
            act(trail)
            until(lambda: collector.asked > 1, what="a second attempt")
        finally:
            trail.close(5)
        assert spooled_items(tmp_path) == 1
