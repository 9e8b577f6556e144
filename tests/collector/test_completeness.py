"""Completeness: per service and minute, what came in is what is stored, rejected, repeated or set aside."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from llmtrace_collector.store.engine import StoreError

from .otlp import DAY, SECOND, logs, score, span, traces
from .running import Served, until
from .test_metrics import point, request


def totals(served: Served, service: str, signal: str = "traces") -> list[int]:
    """Received, stored, rejected, duplicate, quarantined."""
    served.stored()
    served.collector.arrival_counts.flush()
    (row,) = served.rows(
        "SELECT sum(Received) AS a, sum(Stored) AS b, sum(Rejected) AS c, sum(Duplicate) AS d, "
        "sum(Quarantined) AS e FROM completeness WHERE ServiceName = {s:String} AND Signal = {g:String} "
        "AND Minute >= now() - INTERVAL 3 MINUTE",
        s=service,
        g=signal,
    )
    return [int(row[name]) for name in "abcde"]


def stored_metric(served: Served, count: int, **labels: str) -> None:
    """Wait for the metric of stored rows, which is set a moment after the log has let go of them."""
    name = "llmtrace_service_items_total"
    until(lambda: served.metric(name, outcome="stored", **labels) == count, what=f"{count} stored {labels}")


def test_every_row_is_accounted_for(served: Served) -> None:
    good = traces([span(), span()], {"service.name": "one"})
    mixed = traces(
        [span(), span(trace_id=b"x"), span(start=time.time_ns() - 90 * DAY)], {"service.name": "one"}
    )
    mixed.resource_spans.extend(traces([span()], {"service.name": "two"}).resource_spans)
    for body in (good, good, mixed):
        assert served.post(body).status_code == 200
    assert totals(served, "one") == [3, 3, 2, 2, 0]
    assert totals(served, "two") == [1, 1, 0, 0, 0]
    labels = {"service": "one", "signal": "traces"}
    assert served.metric("llmtrace_service_items_total", outcome="received", **labels) == 3
    assert served.metric("llmtrace_service_items_total", outcome="duplicate", **labels) == 2
    assert served.metric("llmtrace_service_items_total", outcome="rejected", **labels) == 2
    stored_metric(served, 3, **labels)

    # The same counts again are not taken for a repetition.
    for _ in range(2):
        assert served.post(traces([span()], {"service.name": "two"})).status_code == 200
        served.collector.arrival_counts.flush()
    assert totals(served, "two") == [3, 3, 0, 0, 0]


def test_a_span_that_ends_before_it_starts_is_kept_and_flagged(served: Served) -> None:
    now = time.time_ns()
    back, unfinished, fine = (span(start=now, duration=duration) for duration in (-SECOND, 1 - now, SECOND))
    body = traces([back, unfinished, fine], {"service.name": "clock"})
    for _ in range(2):  # a resend is no further fault
        assert served.post(body).status_code == 200
    assert totals(served, "clock") == [3, 3, 0, 3, 0]
    rows = served.rows(
        "SELECT SpanId, Duration, EndBeforeStart FROM otel_traces WHERE ServiceName = 'clock' "
        "ORDER BY Duration, EndBeforeStart"
    )
    assert [(row["Duration"], row["EndBeforeStart"]) for row in rows] == [
        (0, True),
        (0, True),
        (SECOND, False),
    ]
    assert served.value("SELECT sum(EndBeforeStart) FROM completeness WHERE ServiceName = 'clock'") == "2"
    flagged = served.metric("llmtrace_flagged_calls_total", service="clock", flag="end before start")
    assert flagged == 2


def test_logs_and_metrics_count_as_well(served: Served) -> None:
    served.post(logs([score({"gen_ai.evaluation.name": "x"})], {"service.name": "logging"}), "logs")
    sent = request()
    gauge = sent.resource_metrics[0].scope_metrics[0].metrics.add(name="g").gauge
    gauge.data_points.extend([point(1, time.time_ns()), point(2, 2 * SECOND)])
    served.post(sent, "metrics")
    assert totals(served, "logging", "logs") == [1, 1, 0, 0, 0]
    assert totals(served, "meter", "metrics") == [1, 1, 1, 0, 0]


def test_what_is_set_aside_counts_until_it_is_stored(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str, path: Path, token: str) -> None:
        raise StoreError("Code: 117. bad", 117)

    monkeypatch.setattr(served.collector.store, "insert_segment", refuse)
    served.post(traces([span(), span()], {"service.name": "bad"}))
    served.stored()
    monkeypatch.undo()
    assert totals(served, "bad") == [2, 0, 0, 0, 2]
    (name,) = [path.stem for path in served.collector.wal.quarantine_folder.glob("*.seg")]
    labels = {"service": "bad", "signal": "traces"}
    assert served.metric("llmtrace_service_items_total", outcome="quarantined", **labels) == 2
    assert served.metric("llmtrace_service_items_total", outcome="stored", **labels) == 0
    assert served.write("POST", f"/v1/quarantine/{name}/replay", {}).status_code == 200
    assert totals(served, "bad") == [2, 2, 0, 0, 0]
    stored_metric(served, 2, **labels)


def test_what_sdks_report_is_beside_it(served: Served) -> None:
    now = time.time_ns()
    for process, at, generated, dropped in ((1, -2, 10, 0), (1, -1, 25, 3), (2, -1, 5, 1)):
        values = {"generated": generated, "dropped": dropped, "sent": generated - dropped}
        values |= {"logs": generated // 5, "logs_dropped": dropped // 3}
        record = score(
            {f"llmtrace.stats.{name}": value for name, value in values.items()}
            | {"service.instance.id": "i", "process.pid": process},
            event_name="llmtrace.sdk.stats",
            time_unix_nano=now + at * 1_000_000,
        )
        assert served.post(logs([record], {"service.name": "app"}), "logs").status_code == 200
    served.stored()
    text = (
        "SELECT sum(SdkGenerated), sum(SdkDropped) FROM completeness WHERE ServiceName = 'app' AND Signal = "
    )
    # Of 30 and 4; each report is a record too.
    assert (served.value(f"{text}'traces'"), served.value(f"{text}'logs'")) == ("24\t3", "9\t1")
    text = "SELECT max(Sent) FROM sdk_reports WHERE Instance = 'i/1'"
    assert served.value(text) == "22"
    served.collector.arrival_counts.update_sdk_gauges()
    for what, spans in (("generated", 30), ("dropped", 4), ("sent", 26)):
        assert served.metric("llmtrace_sdk_spans", service="app", what=what) == spans
