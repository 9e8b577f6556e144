"""Ingest where something is otherwise than as shipped and plain: compressed, with an index of words, log
events.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from backports import zstd
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.collector.otlp import SECOND, any_value, logs, realistic, traces

from .checkout import HERE, Checkout
from .collector_process import CollectorProcess
from .flood import Destination, Plan, send
from .ingest_run import Run, per_second, say
from .span_load import SPANS_PER_REQUEST, FixedLoad

_TEXT_INDEX = """
import sys
from llmtrace_collector.store.store import open_store
store = open_store(sys.argv[1])
for column in ("InputMessages", "OutputMessages"):
    kind = "text(tokenizer = 'splitByNonAlpha')"
    store.engine.execute(f"ALTER TABLE otel_traces ADD INDEX idx_words_{column} {column} TYPE {kind}")
store.close()
"""


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


def requests(spans: int, span_bytes: int, encode: Callable[[Sequence[Span]], bytes]) -> FixedLoad:
    """Requests of unique spans, `encode` of up to 512 of them each."""
    source = random.Random(1)
    now = time.time_ns()
    bodies = []
    for first in range(0, spans, SPANS_PER_REQUEST):
        count = min(SPANS_PER_REQUEST, spans - first)
        part = [realistic(source, span_bytes, now - source.randrange(600) * SECOND) for _ in range(count)]
        bodies.append(encode(part))
    return FixedLoad(bodies, spans)


def measure_apart(run: Run, spans: int, span_bytes: int) -> dict[str, float]:
    """Spans (or events) per CPU second until the last row, by name."""
    figures: dict[str, float] = {}
    resource = {"service.name": "service-0"}

    def plain(part: Sequence[Span]) -> bytes:
        return traces(part, resource).SerializeToString()

    def measure(what: str, load: FixedLoad, destination: Destination, *, indexed: bool = False) -> None:
        say(f"through the collector: {what}")
        directory = run.folder()
        if indexed:
            command = [sys.executable, "-c", _TEXT_INDEX, f"chdb://{directory / 'store'}"]
            subprocess.run(command, check=True)
        with CollectorProcess(Checkout.of(HERE), directory, run.fields) as collector:
            result = send(collector, load, Plan(run.senders, destination=destination))
        figures[f"{what}_per_cpu_second"] = per_second(spans, result.cpu)

    load = requests(spans, span_bytes, plain)
    for name, compress in (("gzip", lambda body: gzip.compress(body, 6)), ("zstd", zstd.compress)):
        encoded = FixedLoad([compress(body) for body in load.bodies], spans)
        measure(name, encoded, Destination(headers={"content-encoding": name}))
    measure("text_index", load, Destination(), indexed=True)
    events = requests(spans, span_bytes, lambda part: logs(map(event, part), resource).SerializeToString())
    measure("log_events", events, Destination("logs", "otel_logs"))
    return figures
