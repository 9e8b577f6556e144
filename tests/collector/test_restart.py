"""What outlives a restart."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import httpx
import pytest

from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.engine import StoreUnavailable
from llmtrace_collector.store.store import open_store

from .otlp import llm, span, traces
from .running import Served, settings, until
from .test_otlp_http import ids


def test_a_resend_after_a_restart_is_stored_once(tmp_path: Path) -> None:
    sent = span()
    body = traces([sent]).SerializeToString()
    for _ in range(2):
        served = Served(settings(tmp_path))
        assert served.post(body).status_code == 200
        served.stored()
        assert len(ids(served, sent)) == 1
        served.close()


def test_a_rollup_waits_for_what_an_interrupted_insert_left(tmp_path: Path) -> None:
    store = open_store(f"chdb://{tmp_path}/store", 30)
    try:
        sent = llm()
        file = tmp_path / "segment"
        frame = Frame("default", time.time_ns(), traces([sent]).SerializeToString())
        file.write_bytes(b"".join(encode(frame)))
        # As a kill between its tables leaves a segment: the spans are there, the rollup is not.
        view = store.engine.execute("SHOW CREATE VIEW usage_10s_mv FORMAT TSVRaw").decode()
        store.engine.execute("DROP VIEW usage_10s_mv SYNC")
        store.insert_segment("traces", file, "token")
        store.engine.execute(view)
        store.mark_stale([sent.start_time_unix_nano // 60_000_000_000 * 60], "a test")
        with store.half_stored():
            assert store.rebuild_stale() == 0
            with pytest.raises(StoreUnavailable, match="interrupted insert"):
                store.rebuild_usage()
            store.insert_segment("traces", file, "token")
        for _ in range(2):
            assert store.read("SELECT sum(Calls) FROM usage_10s") == b"1\n"
            store.rebuild_stale()
    finally:
        store.close()


def test_the_rollup_of_a_segment_that_was_begun_before_is_made_anew(tmp_path: Path) -> None:
    """As a kill leaves it when the rollup took the segment and does not know its token any more."""
    sent = llm()
    frame = Frame("default", time.time_ns(), traces([sent]).SerializeToString())
    wal = tmp_path / "wal"
    wal.mkdir()
    segment = wal / f"traces-{time.time_ns():019d}-0.seg"
    segment.write_bytes(b"".join(encode(frame)))
    store = open_store(f"chdb://{tmp_path}/store", 30)
    store.insert_segment("traces", segment, segment.stem)
    store.engine.execute("INSERT INTO usage_10s SELECT * FROM usage_10s")
    assert store.read("SELECT sum(Calls) FROM usage_10s") == b"2\n"
    store.close()
    served = Served(settings(tmp_path))
    try:
        served.stored()
        assert not segment.exists()
        assert served.value("SELECT count() FROM otel_traces") == "1"
        until(lambda: served.collector.store.rebuild_stale() >= 0 and calls_of(served) == "1")
    finally:
        served.close()


@pytest.mark.parametrize("stored", [0, 1, 3])
def test_a_segment_is_stored_once_though_the_schema_changed(tmp_path: Path, stored: int) -> None:
    """As a kill leaves it before the log knows of the insert, of all of the segment or of a part of it."""
    sent = [llm() for _ in range(3)]
    now = time.time_ns()
    frames = [
        b"".join(encode(Frame("default", now + n * 1_000_000, traces([span]).SerializeToString())))
        for n, span in enumerate(sent)
    ]
    wal = tmp_path / "wal"
    wal.mkdir()
    segment = wal / f"traces-{now:019d}-0.seg"
    store = open_store(f"chdb://{tmp_path}/store", 30)
    if stored:
        segment.write_bytes(b"".join(frames[:stored]))
        store.insert_segment("traces", segment, segment.stem)
    store.close()
    segment.write_bytes(b"".join(frames))
    served = Served(settings(tmp_path, retention_days=60))
    try:
        served.stored()
        assert not segment.exists()
        assert served.value("SELECT count(), uniqExact(SpanId) FROM otel_traces") == "3\t3"
        until(lambda: served.collector.store.rebuild_stale() >= 0 and calls_of(served) == "3")
    finally:
        served.close()


def test_the_minutes_of_a_segment_leave_out_what_does_not_decode(tmp_path: Path) -> None:
    sent = llm()
    good = Frame("default", time.time_ns(), traces([sent]).SerializeToString())
    bad = Frame("default", time.time_ns(), b"\xff\xff\xff")
    minute = sent.start_time_unix_nano // 60_000_000_000 * 60
    segment = Segment("traces", tmp_path, "traces-1-a", tmp_path / "quarantine")
    segment.path.write_bytes(b"".join([*encode(bad), *encode(good)]))
    assert segment.minutes() == {minute}


def calls_of(served: Served) -> str:
    return served.value("SELECT sum(Calls) FROM usage_10s")


def test_metrics_are_prometheus_text(tmp_path: Path) -> None:
    served = Served(settings(tmp_path))
    try:
        text = httpx.get(f"{served.url}/metrics").text
    finally:
        served.close()
    assert re.search(r"^llmtrace_log_bytes 0.0$", text, re.MULTILINE)
    assert sorted(os.listdir(tmp_path / "wal")) == ["seen.sqlite"]
