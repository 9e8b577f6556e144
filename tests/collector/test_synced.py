"""What is synced before an answer and before a segment is deleted, as the kernel saw it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synced import available, record


def test_an_answer_and_a_deletion_come_after_their_syncs(tmp_path: Path) -> None:
    if not available():
        pytest.skip("strace is missing or may not trace here: apt-get install strace")
    steps = record(tmp_path)
    calls = [(step.call, step.where, step.what) for step in steps]
    written = calls.index(("writev", "wal", "segment"))
    synced = calls.index(("fdatasync", "wal", "segment"))
    answered = next(at for at, step in enumerate(steps) if step.call == "answer")
    assert ("fsync", "wal", "folder") in calls[:answered]
    assert written < synced < answered
    assert steps[answered].what == "HTTP/1.1 200 OK"
    # Every table that the span reached has its data, its part and its folder on disk before the log lets go.
    assert steps[-1].call.startswith("unlink")
    for table in ("otel_traces", "usage_10s", "completeness_counts"):
        of_table = {step.what for step in steps[answered:-1] if step.where == table}
        assert {"data.bin", "checksums.txt", "folder of the part", "folder of the table"} <= of_table, table
