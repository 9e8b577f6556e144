"""Collectors whose logs were damaged: what was acknowledged is stored, or listed as damaged, exactly."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.store.errors import StoreUnavailable

from .otlp import llm, traces
from .running import Served, settings, until

SEED = 20


@pytest.mark.parametrize("kind", ["plain", "encrypted", "redacted"])
def test_flips_in_a_log_cost_what_they_hit_and_no_more(tmp_path: Path, kind: str) -> None:
    fields: dict[str, Any] = {}
    if kind == "encrypted":
        (tmp_path / "key").write_text("11" * 32)
        fields["encryption_key_file"] = tmp_path / "key"
    acknowledged = 0
    before = Served(settings(tmp_path / "before", segment_seconds=30.0, **fields))
    try:
        for number in range(40):
            spans = [llm() for _ in range(number % 5 + 1)]
            assert before.post(traces(spans, {"service.name": "shop"})).status_code == 200
            acknowledged += len(spans)
        # What a kill would leave: all that is acknowledged is in the files.
        shutil.copytree(tmp_path / "before" / "wal", tmp_path / "killed" / "wal")
    finally:
        before.close()
    _flip(tmp_path / "killed" / "wal", after=58 if kind == "encrypted" else 0)

    if kind == "redacted":  # the log has what was sent, whatever is left out of tables
        fields["redact_patterns"] = ["EMP-[0-9]{6}"]
    collector = Served(settings(tmp_path / "killed", **fields))
    try:
        collector.stored()
        collector.collector.arrival_counts.flush()
        entries = collector.write("GET", "/v1/quarantine", None).json()["segments"]
        stored = int(collector.value("SELECT count() FROM otel_traces"))
        counted = [
            int(collector.value(f"SELECT sum({column}) FROM completeness"))
            for column in ("Received", "Quarantined")
        ]
    finally:
        collector.close()
    damaged = [entry["rows"] for entry in entries]
    assert entries
    assert counted == [acknowledged, acknowledged - stored]
    assert all(" damaged log record" in f" {entry['reason']}" for entry in entries)
    assert all(entry["has_bytes"] == (kind != "redacted") for entry in entries)
    assert None not in damaged
    assert stored + sum(damaged) == acknowledged
    assert stored > acknowledged // 2


def _flip(log: Path, *, after: int) -> None:
    """Flip five bits of the log's only segment from an offset on."""
    choose = random.Random(SEED)
    (segment,) = log.glob("*.seg")
    data = bytearray(segment.read_bytes())
    for _ in range(5):
        data[choose.randrange(after, len(data))] ^= 1 << choose.randrange(8)
    segment.write_bytes(data)


def test_a_segment_that_is_damaged_after_it_was_closed_loses_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away while the file lies there."""
    served = Served(settings(tmp_path))
    try:
        real = served.collector.store.insert_segment
        is_away = True

        def insert(kind: str, path: Path, token: str) -> None:
            if is_away:
                raise StoreUnavailable("away", 210)
            real(kind, path, token)

        monkeypatch.setattr(served.collector.store, "insert_segment", insert)
        sent = [traces([llm(), llm()]).SerializeToString() for _ in range(6)]
        for body in sent:
            assert served.post(body).status_code == 200
        until(lambda: served.metric("llmtrace_store_failures_total") > 0, what="an attempt")
        (segment,) = [file for file in (tmp_path / "wal").glob("*.seg") if sent[2] in file.read_bytes()]
        data = bytearray(segment.read_bytes())
        at = data.index(sent[2])
        data[at + 9] ^= 4
        segment.write_bytes(data)
        is_away = False
        served.stored()
        assert served.value("SELECT count() FROM otel_traces") == "10"
        (entry,) = served.write("GET", "/v1/quarantine", None).json()["segments"]
        assert (entry["count"], entry["rows"], entry["has_bytes"]) == (1, 2, True)
        assert served.metric("llmtrace_damaged_log_requests_total", signal="traces") == 1
        assert served.metric("llmtrace_quarantined_items_total", signal="traces") == 2
        name = entry["name"]
        detail = served.write("GET", f"/v1/quarantine/{name}", None).json()
        assert detail["reason"].startswith("damaged log record: ")
        assert served.write("POST", f"/v1/quarantine/{name}/replay", {}).status_code == 409
        # Its sender may send it again.
        assert served.post(sent[2]).status_code == 200
        served.stored()
        assert served.value("SELECT count() FROM otel_traces") == "12"
        assert served.write("DELETE", f"/v1/quarantine/{name}", None).json()["state"] == "deleted"
        assert served.write("GET", "/v1/quarantine", None).json()["segments"] == []
        assert served.write("DELETE", f"/v1/quarantine/{name}", None).status_code == 404
    finally:
        served.close()
