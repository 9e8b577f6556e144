"""OTLP/gRPC: the same acknowledgement, the same checks, gRPC's own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from .otlp import llm, logs, score, span, traces
from .running import Served, free_port, settings
from .test_metrics import request

# The generated stubs have no types.
TraceServiceStub: Any = trace_service_pb2_grpc.TraceServiceStub
LogsServiceStub: Any = logs_service_pb2_grpc.LogsServiceStub
MetricsServiceStub: Any = metrics_service_pb2_grpc.MetricsServiceStub

KEY = (("authorization", "Bearer in-key"),)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with a gRPC port and an ingest key."""
    fields = {"grpc_port": free_port(), "ingest_key": "in-key", "max_body_bytes": 64 << 10}
    collector = Served(settings(tmp_path_factory.mktemp("grpc"), **fields))
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{served.collector.settings.grpc_port}") as opened:
        yield opened


def status(error: Any) -> Status:
    """The google.rpc.Status of a failed call."""
    trailing = dict(error.trailing_metadata())
    return Status.FromString(trailing["grpc-status-details-bin"])


def test_every_signal_is_stored(served: Served, channel: Any) -> None:
    sent = llm()
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        answer = TraceServiceStub(channel).Export(traces([sent]), metadata=KEY, compression=compression)
        assert not answer.HasField("partial_success")
    LogsServiceStub(channel).Export(logs([score({"gen_ai.evaluation.name": "g"})]), metadata=KEY)
    MetricsServiceStub(channel).Export(request(), metadata=KEY)
    served.stored()
    where = f"WHERE SpanId = '{sent.span_id.hex()}'"
    assert served.value(f"SELECT count(), any(InputTokens) FROM otel_traces {where}") == "1\t120"
    assert served.value("SELECT count() FROM scores WHERE Name = 'g'") == "1"


def test_partial_success(channel: Any) -> None:
    answer = TraceServiceStub(channel).Export(traces([span(), span(trace_id=b"x")]), metadata=KEY)
    assert answer.partial_success.rejected_spans == 1
    assert "trace id" in answer.partial_success.error_message


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("x-bin-bin", b"\xff"),)])
def test_a_key_is_demanded(served: Served, channel: Any, metadata: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        TraceServiceStub(channel).Export(traces([span()]), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert status(caught.value).code == 16
    assert served.metric("llmtrace_refused_requests_total", signal="traces", code="401") >= 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_large_messages_exhaust_resources(channel: Any, compression: Any) -> None:
    large = traces([span({"text": "x" * (80 << 10)})])
    with pytest.raises(grpc.RpcError) as caught:
        TraceServiceStub(channel).Export(large, metadata=KEY, compression=compression)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_full_log_is_unavailable_for_now(
    served: Served, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.collector.wal, "_budget", 0)
    with pytest.raises(grpc.RpcError) as caught:
        TraceServiceStub(channel).Export(traces([span()]), metadata=KEY)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    retry = RetryInfo()
    assert status(caught.value).details[0].Unpack(retry)
    assert retry.retry_delay.seconds in (1, 2)


def test_what_is_no_request_is_an_invalid_argument(channel: Any) -> None:
    call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", metadata=KEY)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/other.Service/Export")(b"", metadata=KEY)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_taken_port_says_so(served: Served, tmp_path: Any) -> None:
    from llmtrace_collector.ingest.otlp_grpc import OtlpGrpcServer

    collector = served.collector
    with pytest.raises(ValueError, match="grpc_port"):
        OtlpGrpcServer(collector.settings, collector.authenticator, collector.intake)
