"""The demo's simulated hour arrives whole, labelled so, though the collector is away for a moment."""

import threading
import time
from pathlib import Path

import pytest

from llmtrace_cli.demo.simulated_history import SERVICE, CallMeasurement, send_history
from llmtrace_cli.local_servers import free_port
from llmtrace_collector.store.reader import open_reader
from tests.collector.running import Launched, settings

_CALLS = [CallMeasurement("tiny", 0.2, 0.1, 10, 20), CallMeasurement("tiny", 0.3, None, 11, 21)]


def send(url: str, minutes: list[int]) -> int:
    until = time.time_ns()
    return send_history(
        url, _CALLS, ("ann", "bob"), until=until, calls_per_second=0.1, seed=3, progress=minutes.append
    )


def test_an_hour_arrives_though_the_collector_comes_late(tmp_path: Path) -> None:
    collector = Launched(settings(tmp_path / "data", port=free_port()))
    started = threading.Timer(1.0, collector.start)
    started.start()
    minutes: list[int] = []
    try:
        sent = send(collector.url, minutes)
        started.join()
        collector.stored()
        reader = open_reader(collector.url)
        rows = reader.query(
            "SELECT count(), uniqExact(TraceId), min(Purpose = 'simulated'), any(ServiceName), "
            "uniqExact(UserId), "
            "countIf(TimeToFirstToken > 0) FROM otel_traces"
        ).result_rows
        reader.close()
    finally:
        collector.stop()
    (row,) = rows
    assert row[:5] == (sent, sent, True, SERVICE, 2)
    assert 0 < row[5] < sent, "calls that were not streamed have no first token"
    assert minutes == list(range(1, 61))


def test_a_collector_that_refuses_is_an_error(tmp_path: Path) -> None:
    collector = Launched(settings(tmp_path / "data", ingest_key="a key that is not given"))
    with collector, pytest.raises(ConnectionError, match=r"did not take the simulated history.*401"):
        send(collector.url, [])
