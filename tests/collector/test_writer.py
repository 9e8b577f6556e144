"""The writer: a store that is unavailable is waited for, a refused segment is set aside, a stop drains."""

from __future__ import annotations

import logging
import signal
import sqlite3
from pathlib import Path

import pytest

from llmtrace_collector.store.engine import StoreError, StoreUnavailable
from tests.crash import run

from .otlp import llm, span, traces
from .running import Launched, Served, settings, until


def test_a_store_that_is_away_is_ridden_out(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = served.collector.store.insert_segment
    failures: list[Exception] = [StoreUnavailable("away", 210), StoreUnavailable("away", 0)]

    def insert(kind: str, path: Path, token: str) -> None:
        if failures:
            raise failures.pop()
        real(kind, path, token)

    monkeypatch.setattr(served.collector.store, "insert_segment", insert)
    before = served.metric("llmtrace_store_failures_total")
    sent = span()
    with caplog.at_level(logging.WARNING):
        assert served.post(traces([sent])).status_code == 200
        served.stored()
    assert served.metric("llmtrace_store_failures_total") == before + 2
    assert (
        served.value("SELECT count() FROM otel_traces WHERE SpanId = {i:String}", i=sent.span_id.hex()) == "1"
    )
    assert "tried again" in caplog.text


def test_a_refused_segment_is_set_aside(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    real = served.collector.store.insert_segment
    refused: list[str] = []

    def insert(kind: str, path: Path, token: str) -> None:
        if not refused:
            refused.append(token)
            raise StoreError("Code: 117. these bytes are bad", 117)
        real(kind, path, token)

    monkeypatch.setattr(served.collector.store, "insert_segment", insert)
    first, second = traces([span()]).SerializeToString(), traces([span()]).SerializeToString()
    assert served.post(first).status_code == 200
    until(lambda: bool(refused))
    assert served.post(second).status_code == 200
    served.stored()
    folder = served.collector.settings.data_dir / "wal" / "quarantine"
    assert (folder / f"{refused[0]}.reason").read_text() == "Code: 117. these bytes are bad"
    assert first in (folder / f"{refused[0]}.seg").read_bytes()
    assert served.metric("llmtrace_quarantined_segments_total") == 1
    # It was acknowledged: a resend changes nothing.
    assert served.post(first).status_code == 200
    served.stored()


def test_a_log_that_cannot_note_what_is_stored_is_ridden_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    dedup = served.collector.wal._dedup
    real = dedup.add
    failures = [sqlite3.OperationalError("database or disk is full")]

    def add(keys: list[bytes]) -> None:
        if failures:
            raise failures.pop()
        real(keys)

    monkeypatch.setattr(dedup, "add", add)
    sent = span()
    assert served.post(traces([sent])).status_code == 200
    served.stored()
    assert (
        served.value("SELECT count() FROM otel_traces WHERE SpanId = {i:String}", i=sent.span_id.hex()) == "1"
    )


def test_a_full_log_answers_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.collector.wal, "_budget", 0)
    answer = served.post(traces([span()]))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) in (1, 2)
    monkeypatch.undo()
    assert served.post(traces([span()])).status_code == 200


def test_every_acknowledged_span_survives_kills(tmp_path: Path) -> None:
    outcome = run(tmp_path / "data", rounds=5, seed=1, seconds=0.8)
    assert outcome.good, outcome
    assert outcome.acknowledged > 1000
    assert outcome.resends > 0


def test_a_stop_drains(folder: Path) -> None:
    # Segments would stay open for a minute: the stop closes them.
    collector = Launched(settings(folder, segment_seconds=60))
    with collector:
        sent = [llm() for _ in range(200)]
        for call in sent:
            assert collector.post(traces([call])).status_code == 200
        assert list((folder / "wal").glob("*.seg"))
        assert collector.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert sorted(path.name for path in (folder / "wal").iterdir()) == ["seen.sqlite"]
        collector.start()
        assert collector.value("SELECT uniqExact(SpanId), count() FROM otel_traces") == "200\t200"


def test_a_second_collector_on_a_directory_says_so(served: Served) -> None:
    directory = served.collector.settings.data_dir
    second = Launched(settings(directory))
    with pytest.raises(AssertionError, match="One process may own it at a time"):
        second.start()
