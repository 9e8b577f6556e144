"""What arrived is scanned once, whatever the clocks say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.rules import InjectionRule
from llmtrace_analysis.detect.scans.arrivals import Arrivals
from llmtrace_analysis.detect.scans.message_scan import MessageScan
from llmtrace_analysis.queries.incidents import watch_report
from llmtrace_analysis.watch.app import build
from llmtrace_collector.ingest import otlp_http
from llmtrace_collector.ingest.intake import IncomingRequest
from llmtrace_dashboard.pages.incidents import watch_line
from tests.collector import otlp
from tests.collector.running import Served, settings

from .test_watch import INJECTION, Scene, watch_settings

MINUTE = 60_000
START = 1_800_000_000_000


class Store:
    """Stamps as a store puts them on, and a reader that looks at them."""

    def __init__(self) -> None:
        self.now_ms = START
        self.at = 0.0
        self.rows: dict[int, int] = {}
        self.arrivals = Arrivals(10 * MINUTE)
        self.read: list[int] = []

    def pass_time(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now_ms += int(seconds * 1000)
        self.at += seconds

    def store(self, rows: int = 1, begun_ms: int | None = None) -> None:
        """An insert ends now."""
        stamp = self.now_ms if begun_ms is None else begun_ms
        self.rows[stamp] = self.rows.get(stamp, 0) + rows

    def scan(self, most: int = 1000) -> list[int]:
        """Read what is unread, `most` batches of it; the stamps."""
        since = self.arrivals.since(self.now_ms, self.at)
        listed = {stamp: rows for stamp, rows in self.rows.items() if stamp >= since}
        self.arrivals.listed(listed, since, self.now_ms, self.at)
        read = [stamp for batch in list(self.arrivals.batches(1))[:most] for stamp in batch.stamps]
        self.arrivals.read(read)
        self.read += read
        return read


def test_each_stamp_is_read_once() -> None:
    store = Store()
    store.store(begun_ms=START - 11 * MINUTE)
    store.store(begun_ms=START - 9 * MINUTE)
    assert store.scan() == [START - 9 * MINUTE], "no further back than its history"
    for _ in range(200):
        store.pass_time(3)
        store.store()
        assert store.scan() == [store.now_ms]
    store.store()
    assert store.scan() == [store.now_ms], "a second insert in that millisecond"


def test_an_insert_that_takes_long_is_not_missed() -> None:
    store = Store()
    store.scan()
    begun = store.now_ms
    for _ in range(20):
        store.pass_time(3)
        store.store()
        store.scan()
    store.store(begun_ms=begun)
    assert store.scan() == [begun]


@pytest.mark.parametrize("gap", [3, 30, 3 * 3600])
@pytest.mark.parametrize("step", [-86_400, -3600, 3600, 86_400, 365 * 86_400])
def test_a_clock_that_is_set_hides_nothing(step: int, gap: int) -> None:
    """Set, and back again; `gap` seconds pass between two looks."""
    store = Store()
    store.scan()
    stored = set()
    for change in (0, step, 0, -step, 0, 0):
        store.now_ms += change * 1000
        store.pass_time(1)
        store.store()
        stored.add(store.now_ms)
        store.pass_time(gap)
        store.scan()
    assert set(store.read) == stored


def test_what_was_not_read_waits() -> None:
    store = Store()
    store.scan()
    stamps = []
    for _ in range(50):
        store.pass_time(10)
        store.store()
        stamps.append(store.now_ms)
        store.scan(most=0)
    assert (store.arrivals.unread_rows, store.arrivals.oldest_unread_ms) == (50, stamps[0])
    assert store.scan(most=20) == stamps[:20], "the oldest first"
    assert store.scan() == stamps[20:]
    assert store.arrivals.oldest_unread_ms is None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("scanned")))
    yield collector
    collector.close()


def test_a_span_that_is_dated_tomorrow_blinds_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector's clock is a day ahead for one span, then right again."""
    scene = Scene(served, "ahead")
    scan = MessageScan(served.reader, ("product",), 600, 3.0)
    with closing(scan):
        scan.step()
        with monkeypatch.context() as ahead:
            received = time.time_ns() + 86_400 * 10**9
            ahead.setattr(otlp_http, "IncomingRequest", partial(IncomingRequest, received=received))
            tomorrow = [scene.call(86_400, user="mallory", text=INJECTION)]
            assert served.post(otlp.traces(tomorrow, {"llmtrace.project": "ahead"})).status_code == 200
        served.stored()
        late = served.value("SELECT max(ReceivedAt) > now() + INTERVAL 20 HOUR FROM otel_traces")
        assert late in ("1", "true")
        scan.step()
        scene.send([scene.call(0, user="mallory", text=INJECTION) for _ in range(2)])
        scene.send([scene.call(0, user="mallory", text="Where is my order?") for _ in range(5)])
        scan.step()
        assert len(scan.matches()["ahead", "mallory"]) == 3
        state = scan.state()
        assert (state.scanned, state.suspects, state.unread, state.share) == (8, 3, 0, 1.0)
        assert state.lag_seconds < 30
        # When the incident is over goes by the store's clock too, not by that span's.
        rule = InjectionRule(scan, 3, 600)
        (finding,) = rule.findings(scan._client, [], time.time())  # type: ignore[arg-type]
        assert max(finding.seen) < time.time() + 60
        (quiet,) = rule.quiet_periods(time.time()).values()
        assert abs(quiet.examined_until - time.time()) < 60


def test_what_cannot_be_read_is_given_up_alone_and_an_away_store_is_not(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(served, "damaged")
    scan = MessageScan(served.reader, ("product",), 600, 3.0)
    with closing(scan):
        scan.step()
        before = scan.state().scanned
        scene.send([scene.call(0, user="mallory", text=INJECTION) for _ in range(40)])
        suspects = store_queries.suspects

        def refuse(*arguments: Any) -> Iterator[store_queries.MessageRow]:
            raise OperationalError("Connection refused")

        monkeypatch.setattr(store_queries, "suspects", refuse)
        with pytest.raises(OperationalError):
            scan.step()
        assert scan.state().given_up == 0

        def damaged(client: Any, stamps: Any, purposes: Any, parts: int, part: int) -> Iterator[Any]:
            if part % 64 % parts == 5 % parts:
                raise DatabaseError("Code: 40. DB::Exception: checksum does not match")
            return suspects(client, stamps, purposes, parts, part)

        monkeypatch.setattr(store_queries, "suspects", damaged)
        scan.step()
        state = scan.state()
        assert (state.scanned + state.given_up - before, state.unread) == (40, 0)
        assert 0 < state.given_up < 5
        assert len(scan.matches()["damaged", "mallory"]) >= 35


def test_lag_and_share_are_seen(served: Served) -> None:
    """In the metrics, in readiness, and in the table that the dashboard reads."""
    with closing(build(watch_settings(served))) as watch:
        assert watch.scan is not None
        watch.scan.step()
        assert watch.evaluate(time.time())
        assert watch.health.reasons() == []
        with closing(served.reader()) as reader:
            report = watch_report(reader)
        assert report is not None
        assert report.scan_lag_seconds < 30
        assert watch_line(report).startswith("Watch evaluates its rules in ")
        behind = replace(report, scanned=37, unread=63, scan_lag_seconds=240.0)
        assert "37.0% of the messages that arrived are scanned, 4 min behind" in watch_line(behind)
        assert "nothing is detected since" in watch_line(replace(report, age_seconds=100.0))
        sample = watch.health.registry.get_sample_value
        assert sample("llmtrace_watch_scan_share") == 1.0
        lag = sample("llmtrace_watch_scan_lag_seconds")
        assert lag is not None
        assert 0 <= lag < 30
        assert sample("llmtrace_task_lag_seconds", {"task": "message scan"}) == 0
        watch.scan._current_at -= 100
        (reason,) = watch.health.reasons()
        assert reason.code == "watch-scan-behind"


def test_a_scan_that_hangs_delays_no_rule(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*arguments: Any) -> dict[int, int]:
        time.sleep(2)
        raise TimeoutError

    monkeypatch.setattr(store_queries, "arrivals", hang)
    with closing(build(watch_settings(served, interval_seconds=0.2))) as watch:
        watch.start_threads()
        time.sleep(1.5)
        evaluations = watch.health.registry.get_sample_value("llmtrace_watch_looks_total", {"result": "ok"})
        assert evaluations is not None
        assert evaluations >= 3
        assert (watch.health.registry.get_sample_value("llmtrace_watch_scan_lag_seconds") or 0) > 1
