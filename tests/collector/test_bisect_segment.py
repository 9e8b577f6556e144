"""Segments that the store refuses: the good of them is stored, the bad is set aside, shown and replayed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric

from llmtrace import semconv
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.engine import StoreError, StoreUnavailable

from .conftest import Run
from .otlp import llm, logs, score, span, traces
from .running import Served, settings
from .test_metrics import point, request

GAUGE = Metric(name="load", gauge=Gauge(data_points=[point(1, time.time_ns())]))
REASON = "Code: 117. these bytes are bad"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose segments hold several requests."""
    collector = Served(settings(tmp_path_factory.mktemp("poison"), segment_seconds=0.5))
    yield collector
    collector.close()


class Refusing:
    """The store's insert, which refuses files with `poison` in them and keeps the tokens it was asked for."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = served.collector.store.insert_segment
        self.tokens: list[str] = []
        self.stored_first = False
        self.away_at = -1
        monkeypatch.setattr(served.collector.store, "insert_segment", self.insert)

    def insert(self, kind: str, path: Path, token: str) -> None:
        self.tokens.append(token)
        if len(self.tokens) == self.away_at:
            raise StoreUnavailable("away", 210)
        if b"poison" in path.read_bytes():
            if self.stored_first:
                self._real(kind, path, token)
            raise StoreError(REASON, 117)
        self._real(kind, path, token)


def count(served: Served, *spans: object) -> tuple[int, int]:
    """Rows and distinct spans stored of those given."""
    wanted = ",".join(f"'{sent_span.span_id.hex()}'" for sent_span in spans)  # type: ignore[attr-defined]
    text = f"SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE SpanId IN ({wanted})"
    rows, distinct = served.value(text).split("\t")
    return int(rows), int(distinct)


def calls(served: Served, name: str) -> str:
    served.collector.store.rebuild_stale()
    return served.value("SELECT sum(Calls) FROM usage_10s WHERE ServiceName = {n:String}", n=name)


@pytest.mark.parametrize("away_at", [-1, 2, 5])
def test_the_good_of_a_segment_is_stored(
    served: Served,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    away_at: int,
) -> None:
    refusing = Refusing(served, monkeypatch)
    refusing.away_at = away_at
    service = {"service.name": f"mixed{away_at}"}
    good = [llm() for _ in range(6)]
    bad = llm({"text": "poison"})
    before = served.metric("llmtrace_quarantined_items_total", signal="traces")
    for call in [*good[:4], bad, *good[4:]]:
        assert served.post(traces([call], service)).status_code == 200
    served.stored()
    assert count(served, *good) == (6, 6)
    assert count(served, bad) == (0, 0)
    assert calls(served, service["service.name"]) == "6"
    assert served.metric("llmtrace_quarantined_items_total", signal="traces") == before + 1
    assert served.metric("llmtrace_split_segments_total") >= 1
    folder = served.collector.settings.data_dir / "wal"
    assert not list(folder.glob("*.split"))
    assert not list((folder / "split").iterdir())

    name = run("collector", "quarantine", "list").stdout.split()[0]
    description = json.loads(run("collector", "quarantine", "show", name).stdout)
    assert description["reason"] == REASON
    assert [request["rows"] for request in description["requests"]] == [1]
    # Refused again it comes back; once the store takes it, it is stored once.
    assert "queued" in run("collector", "quarantine", "replay", name).stdout
    served.stored()
    assert count(served, bad) == (0, 0)
    assert run("collector", "quarantine", "list").stdout.split()[0] == name
    monkeypatch.undo()
    run("collector", "quarantine", "replay", "--all")
    served.stored()
    assert count(served, bad, *good) == (7, 7)
    assert run("collector", "quarantine", "list").stdout == ""
    assert f"no {name} in" in run("collector", "quarantine", "show", name, fails=True).output


def test_a_segment_of_which_a_part_was_stored_is_not_split(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Refusing(served, monkeypatch)
    refusing.stored_first = True
    sent = [span(), span({"text": "poison"}), span()]
    for sent_span in sent:
        assert served.post(traces([sent_span])).status_code == 200
    served.stored()
    assert len(refusing.tokens) == 1
    quarantined = served.collector.settings.data_dir / "wal" / "quarantine"
    assert (quarantined / f"{refusing.tokens[0]}.reason").read_text() == REASON
    monkeypatch.undo()
    # Its own token makes the replay exact.
    assert served.write("POST", f"/v1/quarantine/{refusing.tokens[0]}/replay", {}).status_code == 200
    served.stored()
    assert count(served, *sent) == (3, 3)


def test_names_lead_nowhere_else(served: Served) -> None:
    for name in ("..%2Fseen", "traces", "traces-1-../x", "traces-1-a.seg"):
        assert served.write("POST", f"/v1/quarantine/{name}/replay", {}).status_code in (404, 422)


def test_a_piece_of_a_piece_is_replayed_too(served: Served) -> None:
    """As it lies there when a piece in quarantine was replayed and divided further."""
    sent = [llm(), llm()]
    folder = served.collector.settings.data_dir / "wal" / "quarantine"
    whole = Segment("traces", folder.parent, "traces-1-ab.4-8", folder)
    frames = [Frame("", 1 + n, traces([call]).SerializeToString()) for n, call in enumerate(sent)]
    whole.path.write_bytes(b"".join(part for frame in frames for part in encode(frame)))
    piece = whole.piece(0, 1)
    assert piece.quarantine("bad") == folder / "traces-1-ab.4-8.0-1.seg"
    whole.path.unlink()
    assert served.write("POST", f"/v1/quarantine/{piece.token}/replay", {}).status_code == 200
    served.stored()
    assert count(served, sent[0]) == (1, 1)
    assert count(served, sent[1]) == (0, 0)


@pytest.mark.parametrize(
    ("signal", "table", "column", "body"),
    [
        ("traces", "otel_traces", "Timestamp", traces([span()])),
        ("logs", "otel_logs", "Timestamp", logs([score({semconv.EVALUATION_NAME: "held"})])),
        ("metrics", "otel_metrics_gauge", "TimeUnix", request(GAUGE)),
    ],
)
def test_rows_are_known_by_their_times(
    served: Served, signal: str, table: str, column: str, body: Message
) -> None:
    assert served.post(body, signal).status_code == 200
    served.stored()
    store = served.collector.store
    times = f"toUnixTimestamp64Nano({column}) AS at, toUnixTimestamp64Milli(ReceivedAt) AS received"
    (row,) = store.rows(f"SELECT {times} FROM {table} ORDER BY ReceivedAt DESC LIMIT 1")
    at, received = int(row["at"]), int(row["received"])
    others = [(at + n, received) for n in range(1, 5000)]
    assert store.holds_any(signal, [*others, (at, received)])
    assert not store.holds_any(signal, [*others, (at, received + 1)])
    assert not store.holds_any(signal, [])
