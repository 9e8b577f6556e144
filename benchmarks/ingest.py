"""What it costs to take spans in: CPU of the collector's process, from HTTP request to queryable row.

    python -m benchmarks.ingest [--spans N] [--span-bytes 650|2000] [--senders N] [--redact SETS]
        [--drop-content] [--apart] [--json]

A real collector in a process of its own gets real HTTP requests of unique LLM spans that were serialised
beforehand. `engine_*` is the engine alone: the same bytes inserted as segments into the same schema by a
process that does nothing else.

With `--apart` the same is sent four times more, for `gzip_`, `zstd_`, `text_index_` (an index of the words in
both columns of messages) and `log_events_per_cpu_second` (a log record a call, its messages structured).
Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from backports import zstd
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.collector.otlp import DAY, SECOND, any_value, logs, realistic, traces
from tests.collector.running import PROTOBUF, Launched, free_port

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.settings import CollectorSettings

_SPANS_PER_REQUEST = 512  # what OpenTelemetry's batch processor sends

_ENGINE = """
import json, resource, sys, time
from pathlib import Path
from llmtrace_collector.store.store import open_store
from llmtrace_collector.store.schema.redaction import Redaction
sets, drop = json.loads(sys.argv[2])
store = open_store(f"chdb://{sys.argv[1]}/engine", redaction=Redaction(tuple(sets), (), drop))
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
began = cpu(), time.perf_counter()
for path in sorted(Path(sys.argv[1]).glob("*.seg")):
    store.insert_segment("traces", path, path.stem)
print(json.dumps({"cpu": cpu() - began[0], "wall": time.perf_counter() - began[1],
                  "rows": int(store.read("SELECT count() FROM otel_traces"))}))
store.close()
"""


_TEXT_INDEX = """
import sys
from llmtrace_collector.store.store import open_store
store = open_store(sys.argv[1])
for column in ("InputMessages", "OutputMessages"):
    kind = "text(tokenizer = 'splitByNonAlpha')"
    store.engine.execute(f"ALTER TABLE otel_traces ADD INDEX idx_words_{column} {column} TYPE {kind}")
store.close()
"""


@dataclass(frozen=True)
class Destination:
    """What is posted: where to, how encoded, and the table in which each of its items is a row."""

    signal: str = "traces"
    table: str = "otel_traces"
    headers: Mapping[str, str] = field(default_factory=dict)


_SPANS = Destination()


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def prepare(spans: int, span_bytes: int, *, as_events: bool = False) -> list[bytes]:
    """Serialised requests of unique spans, or of a log record for each."""
    source = random.Random(1)
    now = time.time_ns()
    bodies = []
    for first in range(0, spans, _SPANS_PER_REQUEST):
        count = min(_SPANS_PER_REQUEST, spans - first)
        part = [realistic(source, span_bytes, now - source.randrange(600) * SECOND) for _ in range(count)]
        resource = {"service.name": f"service-{source.randrange(4)}"}
        request = logs(map(event, part), resource) if as_events else traces(part, resource)
        bodies.append(request.SerializeToString())
    return bodies


def event(span: Span) -> LogRecord:
    """The call of a span as the conventions' event, its messages as structures."""
    record = LogRecord(
        time_unix_nano=span.end_time_unix_nano,
        trace_id=span.trace_id,
        span_id=span.span_id,
        event_name="gen_ai.client.inference.operation.details",
    )
    for attribute in span.attributes:
        added = record.attributes.add(key=attribute.key, value=attribute.value)
        if attribute.key in ("gen_ai.input.messages", "gen_ai.output.messages"):
            added.value.CopyFrom(any_value(json.loads(attribute.value.string_value)))
    return record


class Post(threading.Thread):
    """Posts its share of the bodies over one connection; keeps the time of each acknowledgement (ms)."""

    def __init__(self, port: int, bodies: Sequence[bytes], pause: float, destination: Destination) -> None:
        super().__init__(daemon=True)
        self._destination = destination
        self._port = port
        self._pause = pause
        self._bodies = bodies
        self.acks: list[float] = []

    def run(self) -> None:
        """Post everything."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        began = time.perf_counter()
        for number, body in enumerate(self._bodies):
            time.sleep(max(0.0, began + number * self._pause - time.perf_counter()))
            started = time.perf_counter()
            headers = {**PROTOBUF, **self._destination.headers}
            connection.request("POST", f"/v1/{self._destination.signal}", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the collector answered {answer.status}")
            self.acks.append((time.perf_counter() - started) * 1e3)
        connection.close()


class FreshnessProbe(threading.Thread):
    """Sends one marked span now and then and times until it can be read (ms); keeps the peak memory."""

    def __init__(self, collector: Launched, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._collector = collector
        self._process = process
        self.stopping = threading.Event()
        self.queryable: list[float] = []
        self.rss = 0

    def run(self) -> None:
        """Measure until stopped."""
        source = random.Random(2)
        while not self.stopping.wait(0.1):
            self.rss = max(self.rss, self._process.memory_info().rss)
            probe = realistic(source, 0, time.time_ns() - 2 * DAY)
            started = time.perf_counter()
            self._collector.post(traces([probe]))
            text = (
                "SELECT count() FROM otel_traces WHERE TraceId = {t:String} "
                "AND Timestamp < now() - INTERVAL 1 DAY"
            )
            while self._collector.value(text, t=probe.trace_id.hex()) == "0":
                time.sleep(0.05)
            self.queryable.append((time.perf_counter() - started) * 1e3)


def through_the_collector(
    base: CollectorSettings,
    bodies: Sequence[bytes],
    spans: int,
    senders: int,
    rate: float = 0.0,
    destination: Destination = _SPANS,
) -> dict[str, float]:
    """Send everything to a fresh collector; CPU is its process's, from the first byte to the last row.

    With a `rate` (spans per second) that much is sent and read meanwhile; without, all that is taken.
    """
    probe = rate > 0
    pause = _SPANS_PER_REQUEST * senders / rate if probe else 0.0
    configured = base.model_copy(update={"port": free_port()})
    directory = configured.data_dir
    with Launched(configured) as collector:
        assert collector.process is not None
        process = psutil.Process(collector.process.pid)
        freshness = FreshnessProbe(collector, process)
        used = process.cpu_times()
        started = time.perf_counter()
        posts = [Post(configured.port, bodies[n::senders], pause, destination) for n in range(senders)]
        for post in posts:
            post.start()
        if probe:
            freshness.start()
        for post in posts:
            post.join()
        acknowledged = time.perf_counter() - started
        folder = directory / "wal"
        while list(folder.glob("*.seg")):
            freshness.rss = max(freshness.rss, process.memory_info().rss)
            time.sleep(0.02)
        wall = time.perf_counter() - started
        after = process.cpu_times()
        freshness.stopping.set()
        if probe:
            freshness.join()
        stored = int(collector.value(f"SELECT count() FROM {destination.table}")) - len(freshness.queryable)
        acks = sorted(ack for post in posts for ack in post.acks)
        if not stored == spans or len(acks) != len(bodies):
            raise RuntimeError(f"{stored} of {spans} spans were stored")
        collector.stop()
    cpu = after.user + after.system - used.user - used.system
    return {
        "cpu": cpu,
        "wall": wall,
        "acknowledged": acknowledged,
        "rss_mb_peak": freshness.rss / (1 << 20),
        "ack_ms_p50": statistics.median(acks),
        "ack_ms_p99": acks[int(len(acks) * 0.99)],
        "queryable_ms_p95": sorted(freshness.queryable)[int(len(freshness.queryable) * 0.95)]
        if freshness.queryable
        else 0.0,
    }


def through_the_engine(base: CollectorSettings, bodies: Sequence[bytes]) -> dict[str, float]:
    """Insert the same bytes straight into the engine, in segments of the collector's size."""
    directory, segment_bytes = base.data_dir, base.segment_bytes
    directory.mkdir()
    now = time.time_ns()
    part: list[bytes] = []
    number = size = 0
    for index, body in enumerate(bodies):
        part += encode(Frame("", now, body))
        size += len(body)
        if size + len(body) > segment_bytes or index == len(bodies) - 1:
            (directory / f"{number:06d}.seg").write_bytes(b"".join(part))
            part, size = [], 0
            number += 1
    done = subprocess.run(
        [sys.executable, "-c", _ENGINE, str(directory), json.dumps([base.redact, base.drop_content])],
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(base: CollectorSettings, spans: int, span_bytes: int, senders: int) -> dict[str, float]:
    """Every figure, by name, of collectors with the settings of `base`."""
    say(f"preparing {spans} spans of about {span_bytes} bytes")
    bodies = prepare(spans, span_bytes)
    total = sum(map(len, bodies))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        say("the engine alone")
        engine = through_the_engine(base.model_copy(update={"data_dir": directory / "engine"}), bodies)
        say("through the collector")
        fresh = base.model_copy(update={"data_dir": directory / "cpu"})
        collector = through_the_collector(fresh, bodies, spans, senders)
        # Freshness under a flood is the length of the WAL; it is measured at half the rate, with reads.
        say("through the collector at half the rate, read meanwhile")
        rate = spans / collector["wall"] / 2
        subset = bodies[: max(senders, len(bodies) // 2)]
        count = min(spans, len(subset) * _SPANS_PER_REQUEST)
        fresh = base.model_copy(update={"data_dir": directory / "read"})
        read = through_the_collector(fresh, subset, count, senders, rate)
    per_second = spans / collector["cpu"]
    engine_per_second = spans / engine["cpu"]
    return {
        "spans": spans,
        "span_bytes": round(total / spans),
        "spans_per_cpu_second": round(per_second),
        "engine_spans_per_cpu_second": round(engine_per_second),
        "ratio": round(per_second / engine_per_second, 3),
        "spans_per_second": round(spans / collector["wall"]),
        "rss_mb_peak": round(max(collector["rss_mb_peak"], read["rss_mb_peak"])),
        "ack_ms_p50": round(collector["ack_ms_p50"], 2),
        "ack_ms_p99": round(collector["ack_ms_p99"], 2),
        "queryable_ms_p95": round(read["queryable_ms_p95"]),
    }


def measure_apart(base: CollectorSettings, spans: int, span_bytes: int, senders: int) -> dict[str, float]:
    """Spans (or events) per CPU second, by name, where something is otherwise than as shipped and plain."""
    bodies = prepare(spans, span_bytes)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:

        def send(what: str, encoded: Sequence[bytes], destination: Destination = _SPANS) -> None:
            say(f"through the collector: {what}")
            fresh = base.model_copy(update={"data_dir": Path(name) / what})
            cpu = through_the_collector(fresh, encoded, spans, senders, destination=destination)["cpu"]
            figures[f"{what}_per_cpu_second"] = round(spans / cpu)

        send(
            "gzip",
            [gzip.compress(body, 6) for body in bodies],
            Destination(headers={"content-encoding": "gzip"}),
        )
        send(
            "zstd",
            [zstd.compress(body) for body in bodies],
            Destination(headers={"content-encoding": "zstd"}),
        )
        indexed = Path(name) / "text_index" / "store"
        indexed.parent.mkdir()
        subprocess.run([sys.executable, "-c", _TEXT_INDEX, f"chdb://{indexed}"], check=True)
        send("text_index", bodies)
        send("log_events", prepare(spans, span_bytes, as_events=True), Destination("logs", "otel_logs"))
    return figures


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest")
    parser.add_argument("--spans", type=int, default=60_000)
    parser.add_argument("--span-bytes", type=int, default=2000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--redact", default="", help="sets of patterns, with commas: secrets,pii")
    parser.add_argument("--drop-content", action="store_true")
    parser.add_argument(
        "--apart", action="store_true", help="compressed, with an index of words, log events too"
    )
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    options = parser.parse_args()
    sets = [pattern_set for pattern_set in options.redact.split(",") if pattern_set]
    base = CollectorSettings.model_validate({"redact": sets, "drop_content": options.drop_content})
    figures = measure(base, options.spans, options.span_bytes, options.senders)
    if options.apart:
        figures |= measure_apart(base, options.spans, options.span_bytes, options.senders)
    if not options.json:
        for name, value in figures.items():
            print(f"{name:32} {value:,}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
