"""Makes a small store of what a checkout of this repository writes, as the fixture of tests of upgrades.

    PYTHONPATH=OLD/sdk:OLD/collector .venv/bin/python tests/collector/stores/make.py FILE.tar.xz

Everything in it is far ahead in time, so that no row of it is ever too old to be kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

#: 2035-01-01 10:00 UTC, in nanoseconds.
BEGIN = 2_051_258_400 * 10**9
SECOND = 10**9

_PLAIN: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "resp_1",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 30,
    "gen_ai.usage.cache_read.input_tokens": 20,
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"how long?"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"an hour"}]}]',
    "user.id": "ann",
    "session.id": "s-1",
    "llmtrace.tags": ["b", "a"],
    "gen_ai.prompt.name": "delays",
    "gen_ai.prompt.version": "3",
}
_OPENINFERENCE: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "claude-sonnet-4-5",
    "llm.provider": "anthropic",
    "llm.token_count.prompt": 70,
    "llm.token_count.completion": 9,
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "and now?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "later",
}
_OLDER: dict[str, Any] = {
    "gen_ai.system": "vertex_ai",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gemini-2.5-pro",
    "gen_ai.usage.prompt_tokens": 11,
    "gen_ai.usage.completion_tokens": 12,
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "where?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "here",
}
_OTHER: dict[str, Any] = {"http.method": "GET"}


def spans(first: int = 0) -> ExportTraceServiceRequest:
    """Two services' spans: plain calls, other dialects, a failure, a tool; one service is simulated. Ids are
    counted from `first`.
    """
    body = ExportTraceServiceRequest()
    for service, simulated in (("shop", False), ("rehearsal", True)):
        part = body.resource_spans.add()
        resource: dict[str, Any] = {"service.name": service, "llmtrace.project": "harbour"}
        part.resource.attributes.extend(
            _pairs({**resource, **({"llmtrace.simulated": True} if simulated else {})})
        )
        scope = part.scope_spans.add()
        scope.scope.name = "fixture"
        for number, attributes in enumerate((_PLAIN, _OPENINFERENCE, _OLDER, _OTHER, _PLAIN)):
            position = first + number + (5 if simulated else 0)
            span = _span(position, attributes)
            if number == 4:
                span.status.code = Status.STATUS_CODE_ERROR
                span.status.message = "no answer"
            if number == 3:
                span.name = "execute_tool lookup"
                event = span.events.add(name="retry", time_unix_nano=span.start_time_unix_nano + 5)
                event.attributes.extend(_pairs({"n": 1}))
                span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8)
            scope.spans.append(span)
    return body


def logs() -> ExportLogsServiceRequest:
    """A line, a score and an SDK's report."""
    body = ExportLogsServiceRequest()
    part = body.resource_logs.add()
    part.resource.attributes.extend(_pairs({"service.name": "shop", "llmtrace.project": "harbour"}))
    records = part.scope_logs.add().log_records
    line = records.add(time_unix_nano=BEGIN, severity_text="INFO", severity_number=9)
    line.body.string_value = "started"
    score = records.add(time_unix_nano=BEGIN + SECOND, event_name="gen_ai.evaluation.result")
    score.trace_id, score.span_id = _trace_id(0), _span_id(0)
    values = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.75}
    score.attributes.extend(_pairs(values))
    report = records.add(time_unix_nano=BEGIN + 2 * SECOND, event_name="llmtrace.sdk.stats")
    counters = {"generated": 10, "sent": 9, "spooled": 0, "dropped": 1, "pending": 0}
    report.attributes.extend(_pairs({f"llmtrace.stats.{name}": value for name, value in counters.items()}))
    return body


def metrics() -> ExportMetricsServiceRequest:
    """A gauge, a sum and a histogram."""
    body = ExportMetricsServiceRequest()
    part = body.resource_metrics.add()
    part.resource.attributes.extend(_pairs({"service.name": "shop", "llmtrace.project": "harbour"}))
    scope = part.scope_metrics.add()
    gauge = scope.metrics.add(name="queue", unit="{request}").gauge.data_points.add(time_unix_nano=BEGIN)
    gauge.as_int = 3
    total = scope.metrics.add(name="sent", unit="By").sum
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    total.is_monotonic, total.aggregation_temporality = True, cumulative
    total.data_points.add(time_unix_nano=BEGIN).as_double = 1.5
    times = scope.metrics.add(name="took", unit="s").histogram
    times.aggregation_temporality = cumulative
    times.data_points.add(time_unix_nano=BEGIN, count=2, sum=3.0, bucket_counts=[1, 1], explicit_bounds=[1.0])
    return body


#: Rows of tables that people and the collector write, one or two each.
ROWS: dict[str, list[dict[str, Any]]] = {
    "incident_versions": [
        {"Project": "harbour", "IncidentId": "i1", "State": state, "Title": "slow", "Version": version}
        for version, state in enumerate(("open", "resolved"), 1)
    ],
    "incident_history": [{"Project": "harbour", "IncidentId": "i1", "Action": "resolve", "Actor": "ann"}],
    "delivery_log": [{"Project": "harbour", "DeliveryId": "d1", "Attempt": 1, "Ok": True}],
    "api_keys": [{"KeyId": "k1", "Project": "harbour", "Role": "read", "Hash": "h", "Version": 1}],
    "audit_log": [{"Project": "harbour", "KeyId": "k1", "Action": "keys.create", "Target": "k1"}],
    "price_book": [
        {
            "Book": "b1", "Provider": "openai", "Model": "gpt-4o-mini",
            "ResponseModel": "gpt-4o-mini-2024-07-18",
            "ValidFrom": "2020-01-01 00:00:00", "ValidTo": "2100-01-01 00:00:00", "ContextTo": 4294967295,
            "Priced": True, "InputPrice": 1.5e-7, "OutputPrice": 6e-7, "Currency": "USD", "Source": "a list",
        }
    ],
    "price_books": [{"Book": "b1", "At": "2034-01-01 00:00:00.000", "Actor": "ann"}],
    "own_prices": [{"Provider": "openai", "Model": "own", "InputPrice": 1e-6, "OutputPrice": 2e-6}],
    "own_discounts": [{"Project": "harbour", "Provider": "openai", "Percent": 10}],
    "discount_book": [
        {
            "Book": "b1", "Project": "harbour", "Provider": "openai", "Model": "gpt-4o-mini",
            "ValidFrom": "2020-01-01 00:00:00", "ValidTo": "2100-01-01 00:00:00", "Factor": 0.9,
        }
    ],
    "fixed_costs": [{"Id": "f1", "Kind": "gpu", "Name": "a card", "Units": 1, "Price": 2, "Period": "hour"}],
    "cost_closed": [{"Month": "2034-12", "Project": "harbour", "Calls": 7, "Cost": 1.25}],
    "completeness_counts": [
        {
            "Project": "harbour", "ServiceName": "shop", "Minute": "2035-01-01 10:00:00", "Signal": "traces",
            "Received": 10,
        }
    ],
}  # fmt: skip


def fill(store: Any, folder: Path) -> None:
    """Write everything into an open store."""
    from llmtrace_collector.ingest.wal_frame import Frame, encode

    bodies = {"traces": spans(), "logs": logs(), "metrics": metrics()}
    for signal, body in bodies.items():
        file = folder / f"{signal}-1.seg"
        file.write_bytes(b"".join(encode(Frame("", BEGIN, body.SerializeToString()))))
        store.insert_segment(signal, file, f"fixture-{signal}")
    for table, rows in ROWS.items():
        store.insert_rows(table, rows)


def _span(number: int, attributes: dict[str, Any]) -> Span:
    begin = BEGIN + number * 7 * SECOND
    span = Span(
        trace_id=_trace_id(number),
        span_id=_span_id(number),
        name="chat",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=begin,
        end_time_unix_nano=begin + 2 * SECOND,
    )
    span.attributes.extend(_pairs(attributes))
    return span


def _trace_id(number: int) -> bytes:
    return (number // 2 + 1).to_bytes(16, "big")


def _span_id(number: int) -> bytes:
    return (number + 1).to_bytes(8, "big")


def _pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=value)


def main(target: Path) -> None:
    """Make the store and pack it."""
    from llmtrace_collector.store.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"chdb://{folder}/store", 3650)
        fill(store, Path(folder))
        for table in ("otel_traces", "usage_10s", "usage_hour"):
            print(table, store.read(f"SELECT count() FROM {table}").decode().strip())
        print(json.dumps(sorted(ROWS)))
        store.close()
        command = [
            "tar",
            "--xz",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "-cf",
            str(target.absolute()),
            "store",
        ]
        subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
