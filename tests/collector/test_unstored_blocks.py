"""A block whose token the engine knows and whose part it has not: what a rename that fails, or a kill just
before it, leaves behind.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.integrity.unstored_blocks import add_unstored
from llmtrace_collector.store.store import Store, open_store

from .otlp import llm, logs, score, traces
from .prefilled import prefill
from .test_attachments import attachment
from .test_metrics import point, request

DAY = 86400 * 10**9


def _of_spans(service: str) -> Message:
    now = time.time_ns()
    spans = [llm({"user.id": "ann"}, start=now - days * DAY) for days in (0, 0, 1)]
    return traces(spans, {"service.name": service})


def _of_scores(service: str) -> Message:
    names = ("quality", "safety")
    scores = [score({"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": 0.5}) for name in names]
    return logs(scores, {"service.name": service})


def _of_attachments(service: str) -> Message:
    return logs([attachment(b"the bytes")], {"service.name": service})


def _of_points(service: str) -> Message:
    gauge = Metric(name="load", gauge=Gauge(data_points=[point(1, time.time_ns())]))
    points = request(gauge)
    for attribute in points.resource_metrics[0].resource.attributes:
        if attribute.key == "service.name":
            attribute.value.string_value = service
    return points


#: Signal, its request, the table that loses a part, and how many rows it should have.
LOSSES = [
    ("traces", _of_spans, "otel_traces", 3),
    ("traces", _of_spans, "completeness_counts", 3),
    ("logs", _of_scores, "otel_logs", 2),
    ("logs", _of_scores, "scores", 2),
    ("logs", _of_attachments, "attachments", 1),
    ("metrics", _of_points, "otel_metrics_gauge", 1),
]


class Reopened:
    """A store that can lose parts behind its back."""

    def __init__(self, folder: Path) -> None:
        self.place = f"chdb://{prefill(folder / 'store')}"
        self.folder = folder
        self.store: Store = open_store(self.place)

    def lose(self, table: str) -> None:
        """Every part of a table goes; what the table knows of tokens stays."""
        paths = self.store.engine.execute(
            f"SELECT path FROM system.parts WHERE active AND table = '{table}' "
            "AND database = currentDatabase() FORMAT TSVRaw"
        )
        self.store.close()
        for path in paths.decode().splitlines():
            shutil.rmtree(path)
        self.store = open_store(self.place)

    def rows(self, table: str, service: str) -> int:
        """The rows of a service; of counts, what they add up to."""
        what = "sum(Stored)" if table == "completeness_counts" else "count()"
        return int(self.store.read(f"SELECT {what} FROM {table} WHERE ServiceName = '{service}'"))


@pytest.fixture(scope="module")
def reopened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reopened]:
    lossy = Reopened(tmp_path_factory.mktemp("unstored"))
    yield lossy
    lossy.store.close()


@pytest.mark.parametrize(("signal", "make", "table", "rows"), LOSSES, ids=[case[2] for case in LOSSES])
def test_what_a_repeat_leaves_out_is_brought_in(
    reopened: Reopened, signal: str, make: Callable[[str], Message], table: str, rows: int
) -> None:
    service = f"of-{table}"
    path = reopened.folder / f"{uuid.uuid4().hex}.seg"
    path.write_bytes(b"".join(encode(Frame("", time.time_ns(), make(service).SerializeToString()))))
    reopened.store.insert_segment(signal, path, path.stem)
    counted = reopened.rows("completeness_counts", service)
    reopened.lose(table)
    reopened.store.insert_segment(signal, path, path.stem)
    assert reopened.rows(table, service) == 0, "the engine knows better by now: this module can go"

    lost = 0 if table == "completeness_counts" else rows
    assert add_unstored(reopened.store, signal, path) == lost
    assert reopened.rows(table, service) == rows
    assert reopened.rows("completeness_counts", service) == counted
    assert add_unstored(reopened.store, signal, path) == 0
    assert reopened.rows(table, service) == rows
    assert reopened.rows("completeness_counts", service) == counted
