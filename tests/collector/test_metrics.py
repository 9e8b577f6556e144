"""OTLP metrics: gauges, sums and histograms under the OpenTelemetry exporter's column names."""

from __future__ import annotations

import time

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from .otlp import DAY, SECOND, attributes
from .running import Served

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
LARGE = 2**53
TOTAL = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def request(*metrics: Metric) -> ExportMetricsServiceRequest:
    """A request with one resource and one scope."""
    out = ExportMetricsServiceRequest()
    part = out.resource_metrics.add(schema_url="https://example.test/resource")
    part.resource.attributes.extend(attributes({"service.name": "meter", "llmtrace.project": "m"}))
    scope = part.scope_metrics.add(schema_url="https://example.test/scope")
    scope.scope.name, scope.scope.version = "lib", "2"
    scope.scope.attributes.extend(attributes({"s": 1}))
    scope.metrics.extend(metrics)
    return out


def point(value: float | int, at: int, **fields: object) -> NumberDataPoint:
    kind = {"as_int": value} if isinstance(value, int) else {"as_double": value}
    return NumberDataPoint(
        time_unix_nano=at,
        start_time_unix_nano=at - SECOND,
        attributes=attributes(fields),
        **kind,
    )


def test_every_kind_is_stored_under_the_exporters_names(served: Served) -> None:
    now = time.time_ns()
    exemplar = Exemplar(
        time_unix_nano=now,
        as_double=0.5,
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        filtered_attributes=attributes({"user": "u"}),
    )
    latency = HistogramDataPoint(
        time_unix_nano=now,
        start_time_unix_nano=now - SECOND,
        count=6,
        sum=7.5,
        bucket_counts=[1, 2, 3],
        explicit_bounds=[0.1, 1.0],
        min=0.05,
        max=4.0,
        exemplars=[exemplar],
        attributes=attributes({"model": "m1", "nested": {"a": [1]}}),
        flags=1,
    )
    sent = request(
        Metric(
            name="queue",
            unit="1",
            description="depth",
            gauge=Gauge(data_points=[point(3, now, a="x", b=True), point(2.5, now)]),
        ),
        Metric(
            name="tokens",
            sum=Sum(data_points=[point(-LARGE, now)], is_monotonic=True, aggregation_temporality=TOTAL),
        ),
        Metric(name="latency", histogram=Histogram(data_points=[latency], aggregation_temporality=DELTA)),
    )
    answer = served.post(sent, "metrics")
    assert (answer.status_code, answer.content) == (200, b"")
    served.stored()

    first, second = served.rows("SELECT * FROM otel_metrics_gauge ORDER BY Value DESC")
    assert (first["Value"], second["Value"]) == (3, 2.5)
    assert first["Attributes"] == {"a": "x", "b": "true"}
    assert (first["MetricName"], first["MetricUnit"], first["MetricDescription"]) == ("queue", "1", "depth")
    assert (first["ServiceName"], first["Project"], first["ScopeName"]) == ("meter", "m", "lib")
    assert first["ScopeAttributes"] == {"s": "1"}
    assert first["ResourceSchemaUrl"] == "https://example.test/resource"
    assert first["ScopeSchemaUrl"] == "https://example.test/scope"
    (total,) = served.rows("SELECT * FROM otel_metrics_sum")
    assert (total["Value"], total["AggregationTemporality"], total["IsMonotonic"]) == (-LARGE, 2, True)
    (row,) = served.rows(
        "SELECT *, toUnixTimestamp64Nano(TimeUnix) AS at, Exemplars.TraceId AS traces, "
        "Exemplars.FilteredAttributes AS filtered, Exemplars.Value AS values FROM otel_metrics_histogram"
    )
    assert (int(row["Count"]), row["Sum"], row["Min"], row["Max"]) == (6, 7.5, 0.05, 4)
    assert [int(count) for count in row["BucketCounts"]] == [1, 2, 3]
    assert row["ExplicitBounds"] == [0.1, 1]
    assert row["Attributes"] == {"model": "m1", "nested": '{"a":[1]}'}
    assert (int(row["at"]), row["Flags"], row["AggregationTemporality"]) == (now, 1, 1)
    assert (row["traces"], row["filtered"], row["values"]) == ([(b"t" * 16).hex()], [{"user": "u"}], [0.5])


def test_what_cannot_be_kept_is_rejected_and_counted(served: Served) -> None:
    now = time.time_ns()
    other = ExponentialHistogram(data_points=[ExponentialHistogramDataPoint(time_unix_nano=now)] * 2)
    sent = request(
        Metric(name="exponential", exponential_histogram=other),
        Metric(name="kept", gauge=Gauge(data_points=[point(1, now), point(2, now - 40 * DAY)])),
        Metric(name="nothing"),
    )
    answer = served.post(sent, "metrics")
    partial = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_data_points == 3
    assert "exponential_histogram" in partial.error_message
    assert "retention" in partial.error_message
    served.stored()
    assert served.value("SELECT count() FROM otel_metrics_gauge WHERE MetricName = 'kept'") == "1"
